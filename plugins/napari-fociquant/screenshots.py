"""Pictures of the widgets for the documentation: ``python screenshots.py RESULTS OUT``.

RESULTS is a results folder of the sample images, for example that of ``fociquant demo``; it is
copied first. Needs a screen, for example ``xvfb-run -a -s "-screen 0 1920x1200x24" python …``.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

SECTION = "IAV-15d-1-s1"
WIDTH, HEIGHT = 1600, 1000
BLANK = 5.0
"""A picture whose pixels vary less than this shows nothing."""


def main(results: Path, out: Path) -> None:
    """Make every picture."""
    scratch = Path(tempfile.mkdtemp())
    os.environ["NAPARI_CONFIG"] = str(scratch / "napari.yaml")
    os.environ["NAPARI_FOCIQUANT_CONFIG"] = str(scratch / "napari-fociquant.json")
    (scratch / "napari-fociquant.json").write_text('{"reviewer": "rita"}', encoding="utf-8")
    shutil.copytree(results, scratch / "results", ignore=shutil.ignore_patterns("review"))
    out.mkdir(parents=True, exist_ok=True)

    from vispy.gloo import glir

    # Software OpenGL crashes when a shader is deleted and the canvas drawn again.
    glir.GlirProgram.delete = lambda self: None
    import napari

    viewer = napari.Viewer(show=True)
    viewer.window.resize(WIDTH, HEIGHT)
    dock = viewer.window.add_plugin_dock_widget
    _, study = dock("napari-fociquant", "Study")
    _, queue = dock("napari-fociquant", "Queue review", tabify=True)
    _, gallery = dock("napari-fociquant", "Gallery review", tabify=True)
    _, audit = dock("napari-fociquant", "Audit", tabify=True)
    study.show_review()  # short names on the tabs
    shots = Shots(viewer, out)
    picture_study(study, shots)
    desk = study.desk
    study.open(scratch / "results")
    desk.blinding = type(desk.blinding)(7, desk.blinding.views, desk.blinding.words)
    desk.open_section(desk.blinding.code_of(SECTION))
    picture_gallery(gallery, shots)
    picture_queue(queue, shots)
    picture_sections(study, shots)
    picture_audit(audit, shots)
    audit.judging.leave()
    viewer.close()


class Shots:
    """Saves pictures of the whole window."""

    def __init__(self, viewer: object, out: Path) -> None:
        self._viewer, self._out = viewer, out

    def take(self, name: str, widget: QWidget) -> None:
        """Bring a widget to the front, wait for what is loaded, save."""
        dock = widget
        while dock.parent() is not None and type(dock).__name__ != "QtViewerDockWidget":
            dock = dock.parent()
        dock.raise_()
        window = widget.window()
        window.resize(WIDTH, HEIGHT)
        QTest.qWait(2500)
        picture = window.grab()
        path = self._out / f"{name}.png"
        picture.save(str(path))
        image = picture.toImage()
        places = [(x, y) for x in range(0, image.width(), 9) for y in range(0, image.height(), 9)]
        sample = [image.pixelColor(x, y).lightness() for x, y in places]
        if float(np.std(sample)) < BLANK:
            sys.exit(f"{path} is blank")
        print(path)


def picture_study(study: QWidget, shots: Shots) -> None:
    """A study whose sheet has a mistake, found by the check."""
    from napari_fociquant._sample import sample_images

    folder = Path(tempfile.mkdtemp()) / "lungs of may"
    folder.mkdir()
    for mouse, name in enumerate(("PBS-09d-1-s1", "PBS-09d-2-s1", "IAV-09d-1-s1"), start=1):
        group, days, *_ = name.split("-")
        target = folder / f"{group}_{int(days[:-1])}dpi_m{mouse:02d}_s1.ome.tif"
        shutil.copy(sample_images() / "images" / f"{name}.ome.tif", target)
    study.open(folder)
    study.draft.table.item(1, 3).setText("nine")
    study.draft.check()
    wait(lambda: not study.draft.command.running)
    shots.take("napari_study", study)


def picture_gallery(gallery: QWidget, shots: Shots) -> None:
    """Candidates, some of them decided."""
    wait(lambda: gallery.model.pixmap(gallery.model.tiles[20]) is not None)
    for action in ("reject", "reject", "accept", "reject"):
        gallery.act(action)
    gallery.act("jump")
    shots.take("napari_gallery", gallery)


def picture_queue(queue: QWidget, shots: Shots) -> None:
    """A focus in the middle of the slide."""
    queue.next_item(1)
    queue.act("accept")
    queue.next_item(1)
    shots.take("napari_queue", queue)


def picture_sections(study: QWidget, shots: Shots) -> None:
    """The list of coded sections."""
    study.desk.sign_off()
    study._viewer.reset_view()
    shots.take("napari_sections", study)


def picture_audit(audit: QWidget, shots: Shots) -> None:
    """An object of the sample, some items after the first."""
    sizes = {"accepted": 6, "rejected": 6, "fields": 2}
    for option, size in sizes.items():
        audit.sample.sizes[option].setValue(size)
    audit.sample.draw(seed=7)
    wait(lambda: not audit.sample.command.running, seconds=600.0)
    audit.begin()
    judging = audit.judging
    fields = [place for place, item in enumerate(judging.items) if item.is_field]
    others = [place for place, item in enumerate(judging.items) if not item.is_field]
    for place in others[:4]:
        judging.show_place(place)
        wait(lambda: judging.picture() is not None)
        audit.act("accept" if place % 2 else "unsure")
    judging.show_place(others[4])
    wait(lambda: judging.picture() is not None)
    shots.take("napari_audit", audit)
    judging.show_place(next(place for place in fields if judging.items[place].outlines))
    wait(lambda: judging.picture() is not None)
    shots.take("napari_audit_field", audit)


def wait(until: Callable[[], bool], *, seconds: float = 120.0) -> None:
    """Let the window work until something has happened."""
    for _ in range(int(seconds * 10)):
        QTest.qWait(100)
        if until():
            return
    sys.exit("waited in vain")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    QApplication.processEvents()
