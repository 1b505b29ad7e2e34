"""Review of fociquant's results in napari: blinded, fast, audited."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__version__ = "0.1.0"

__all__ = ["__version__", "review"]


def review(results: Path) -> None:
    """Open napari on a results folder and stay until its window is closed.

    Parameters
    ----------
    results : pathlib.Path
        Folder that ``fociquant run`` wrote.

    Raises
    ------
    ResultsError
        If the folder holds no results that this version can read.
    """
    from napari_fociquant._launch import launch

    launch(results)
