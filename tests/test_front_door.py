"""The front door, and who may import whom."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest

import fociquant
from fociquant.cli import COMMANDS

ROOT = Path(fociquant.__file__).resolve().parent.parent


def test_the_public_names_are_sorted_and_all_there():
    assert fociquant.__all__ == sorted(fociquant.__all__, key=str)
    for name in fociquant.__all__:
        home = importlib.import_module(fociquant._HOME[name])
        assert getattr(fociquant, name) is getattr(home, name)
        assert name in dir(fociquant)
        assert getattr(fociquant, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'run_studies'"):
        fociquant.run_studies  # noqa: B018


def modules_after(code: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after running `code`."""
    program = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return {line.split(".")[0] for line in ran.stdout.splitlines()}


def test_the_front_door_and_the_command_line_load_nothing_heavy():
    heavy = {"torch", "cellpose", "pandas", "numpy", "dask", "scipy", "matplotlib", "tifffile"}
    loaded = modules_after("import fociquant, fociquant.cli, fociquant.__main__")
    assert not loaded & heavy


@pytest.mark.parametrize(
    "code",
    [
        "from fociquant.cli import group; group(['check', '--help'], standalone_mode=False)",
        "from fociquant.cli import group; group(['run', '--help'], standalone_mode=False)",
        "from fociquant import load_study, open_image, find_foci, Settings",
        "from fociquant.segment import check_model_name; check_model_name('compact')",
    ],
)
def test_what_needs_no_network_loads_none(code):
    assert not modules_after(code) & {"torch", "cellpose", "napari", "qtpy", "matplotlib"}


def test_nobody_imports_upward():
    ran = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example(name):
    command = importlib.import_module(f"fociquant.cli.{name}").command
    text = (command.help or "") + (command.epilog or "")
    assert "Example" in text and f"fociquant {name}" in text
    assert all(option.help for option in command.params if isinstance(option, click.Option))
