"""``fociquant review RESULTS``: napari with everything open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.viewer import Viewer


def open_viewer(results: Path) -> Viewer:
    """A viewer with the three widgets on a results folder.

    Raises
    ------
    ResultsError
        If the folder holds no results that this version can read.
    """
    from napari_fociquant._results import Results

    Results(results)
    # Slices are read on threads: the window answers while a slow drive does not.
    os.environ.setdefault("NAPARI_ASYNC", "1")
    import napari

    viewer = napari.Viewer(title="fociquant")
    _, widget = viewer.window.add_plugin_dock_widget("napari-fociquant", "Study")
    widget.show_review()
    widget.open(results)
    return viewer


def launch(results: Path) -> None:
    """Open the viewer and stay until its window is closed."""
    viewer = open_viewer(results)
    import napari

    napari.run()
    del viewer
