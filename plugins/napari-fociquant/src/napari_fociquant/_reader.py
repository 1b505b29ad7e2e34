"""A results folder or a study, dropped on the viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fociquant.study import STUDY_FILE
from napari_fociquant._draft import SHEET
from napari_fociquant._results import is_results

LayerTuple = tuple[None]


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerTuple]] | None:
    """A reader for results of fociquant, a ``study.yaml`` or a ``samples.csv``; else None."""
    if not isinstance(path, str):
        return None
    given = Path(path)
    is_study = given.name in (STUDY_FILE, SHEET) or (given / STUDY_FILE).is_file()
    return open_in_widget if is_study or is_results(given) else None


def open_in_widget(path: str) -> list[LayerTuple]:
    """Show the widget 'Study' with what was dropped; layers come when a section is opened."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        _, widget = viewer.window.add_plugin_dock_widget("napari-fociquant", "Study")
        widget.open(Path(path))
    return [(None,)]
