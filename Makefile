# Two commands do everything, each with its own set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo paper test test-plugin lint clean

# The viewer needs a screen: a display, or Xvfb in its place, or macOS.
PLUGIN := plugins/napari-fociquant
SCREEN := $(DISPLAY)$(WAYLAND_DISPLAY)$(shell command -v Xvfb 2>/dev/null)$(filter Darwin,$(shell uname))

demo: $(VENV)/.user
	$(BIN)/fociquant demo --out demo_results

paper: $(VENV)/.user
	$(BIN)/fociquant demo --design paper-small --out paper_demo

test: $(VENV)/.dev
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -q -n 2
	$(MAKE) --no-print-directory test-plugin

ifeq ($(strip $(SCREEN)),)
test-plugin:
	@echo "tests of the viewer skipped: no display and no Xvfb (Debian: apt-get install xvfb libegl1 libgl1 libgl1-mesa-dri libxkbcommon-x11-0 libdbus-1-3 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0)"
else
test-plugin: $(VENV)/.plugin
	cd $(PLUGIN) && env -u QT_QPA_PLATFORM $(CURDIR)/$(BIN)/python -m pytest -q
endif

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What pip does for packages it copies: 150 modules are then read, not compiled, at every start.
COMPILE := $(BIN)/python -m compileall -q

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.user: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	$(COMPILE) fociquant
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	$(COMPILE) fociquant
	touch $@ $(VENV)/.user

$(VENV)/.plugin: $(VENV)/.dev $(PLUGIN)/pyproject.toml
	$(BIN)/python -m pip install --quiet -c constraints.txt -e "$(PLUGIN)[test]"
	$(COMPILE) $(PLUGIN)/src
	touch $@

clean:
	rm -rf $(VENV) demo_results paper_demo build dist
