"""What napari remembers of opened files: nothing that a blinded reviewer could read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def forget_paths(folders: Iterable[Path]) -> None:
    """Take files and folders below these out of napari's history.

    napari's dialogs begin where something was opened last, and would show the names of the
    images beside a results folder that was dropped on the window.
    """
    from napari.settings import get_settings

    known = get_settings().application
    roots = [Path(folder) for folder in folders]
    for name in ("open_history", "save_history"):
        old = list(getattr(known, name))
        kept = [text for text in old if not any(_below(text, root) for root in roots)]
        if kept != old:
            setattr(known, name, kept)


def _below(text: str, root: Path) -> bool:
    return Path(text) == root or Path(text).is_relative_to(root)
