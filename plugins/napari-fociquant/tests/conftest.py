"""A small study that is counted once, and a viewer with the widgets on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from vispy.gloo import glir

from napari_fociquant._sample import sample_images

# Software OpenGL crashes when a shader is deleted and the canvas drawn again.
glir.GlirProgram.delete = lambda self: None

REVIEWER = "rita"

MICE = {
    "PBS-09d-1-s1": ("mouse-alpha", "arm-salina", "97.5"),
    "IAV-15d-1-s1": ("mouse-bravo", "arm-virosa", "98.5"),
}
"""Sample image to mouse, group and day: words that stand for nothing else in a window."""


def write_study(folder: Path) -> Path:
    """Two of the sample images under telling names."""
    (folder / "pixels").mkdir(parents=True)
    lines = ["image,mouse,group,dpi,section"]
    for name, (mouse, group, dpi) in MICE.items():
        image = folder / "pixels" / f"scan-{mouse}.ome.tif"
        shutil.copy(sample_images() / "images" / f"{name}.ome.tif", image)
        lines.append(f"pixels/{image.name},{mouse},{group},{dpi},cut-{mouse}")
    (folder / "samples.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = (sample_images() / "study.yaml").read_text(encoding="utf-8")
    study = folder / "study.yaml"
    study.write_text(text.replace("reference_group: PBS", "reference_group: arm-salina"))
    return study


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a study with its results, made by the command line.

    ``FOCIQUANT_COUNTED_STUDY`` may name one that an earlier call has left, to save a minute.
    """
    if "FOCIQUANT_COUNTED_STUDY" in os.environ:
        return Path(os.environ["FOCIQUANT_COUNTED_STUDY"])
    folder = tmp_path_factory.mktemp("study-secret")
    study = write_study(folder)
    subprocess.run(
        [sys.executable, "-m", "fociquant", "run", str(study), "--out", str(folder / "results"),
         "--quiet"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def results(counted: Path, tmp_path: Path) -> Path:
    """A copy of the study; the results folder in it."""
    target = tmp_path / "study-secret"
    shutil.copytree(counted, target)
    return target / "results"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A folder of two images whose names tell nothing."""
    folder = tmp_path / "lungs"
    folder.mkdir()
    for name, source in (("a", "PBS-09d-1-s1"), ("b", "IAV-15d-1-s1")):
        shutil.copy(sample_images() / "images" / f"{source}.ome.tif", folder / f"{name}.ome.tif")
    return folder


@pytest.fixture
def sample_of() -> Callable[[Path], None]:
    """``sample_of(results)`` draws a small sample: one counted, one rejected object, one field."""

    def draw(results: Path) -> None:
        subprocess.run(
            [sys.executable, "-m", "fociquant", "audit", str(results), "--draw", "--seed=1",
             "--accepted=1", "--rejected=1", "--fields=1"],
            check=True, capture_output=True,
        )  # fmt: skip

    return draw


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the settings of the person who runs it."""
    path = tmp_path / "settings" / "napari-fociquant.json"
    monkeypatch.setenv("NAPARI_FOCIQUANT_CONFIG", str(path))
    path.parent.mkdir()
    path.write_text(f'{{"reviewer": "{REVIEWER}"}}', encoding="utf-8")
    return path


class Bench:
    """A viewer with the widgets.

    Attributes
    ----------
    viewer, desk, study, gallery, queue, audit
    """

    def __init__(self, viewer) -> None:
        self.viewer = viewer
        window = viewer.window
        _, self.study = window.add_plugin_dock_widget("napari-fociquant", "Study")
        _, self.queue = window.add_plugin_dock_widget("napari-fociquant", "Queue review")
        _, self.gallery = window.add_plugin_dock_widget("napari-fociquant", "Gallery review")
        _, self.audit = window.add_plugin_dock_widget("napari-fociquant", "Audit")
        self.desk = self.study.desk

    def open(self, results: Path, section: str) -> None:
        """Open one section of a results folder by its name."""
        if not self.desk.open_results(results):
            raise AssertionError(self.desk.notices)
        if not self.desk.open_section(self.desk.blinding.code_of(section)):
            raise AssertionError(self.desk.notices)


@pytest.fixture
def bench(make_napari_viewer: Callable[..., object]) -> Iterator[Bench]:
    """A viewer with the widgets, closed in order."""
    made = Bench(make_napari_viewer())
    yield made
    made.study.run.command.kill()
    made.study.sections.command.kill()
    made.study.draft.command.kill()
    made.audit.sample.command.kill()
    made.audit.judging.leave()
    made.gallery.model.loader.stop()
    made.desk.close_section()


BUSY = "cut-mouse-bravo"
QUIET = "cut-mouse-alpha"
"""Names of the two sections."""
