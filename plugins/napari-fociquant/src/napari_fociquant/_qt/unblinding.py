"""Asking for the reason before names are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QInputDialog, QWidget

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk


def ask_to_unblind(desk: Desk, parent: QWidget) -> None:
    """Ask for a reason; with one, unblinding is written down and names are shown."""
    reason, yes = QInputDialog.getText(
        parent, "Unblind", "Names, groups and days will be shown to you from now on. This is "
        "written down and cannot be undone.\nReason:",
    )  # fmt: skip
    if yes and reason.strip():
        desk.unblind(reason.strip())
