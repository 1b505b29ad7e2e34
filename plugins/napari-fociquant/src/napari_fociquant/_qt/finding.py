"""Asking for the number of a cell, as tables and lists of conflicts have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QInputDialog, QWidget

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk

HIGHEST = 2**31 - 1
"""What a box of Qt takes."""


def ask_for_cell(parent: QWidget) -> int:
    """The number that is typed; 0 for none."""
    number, yes = QInputDialog.getInt(parent, "Find a cell", "Number of the cell:", 1, 1, HIGHEST)
    return number if yes else 0


def find_cell(desk: Desk, parent: QWidget) -> int:
    """Ask for a cell, bring it to the middle of the slide, mark it.

    Returns
    -------
    int
        Its row; -1 if there is none.
    """
    section = desk.section
    if section is None:
        desk.say("Open a section first.")
        return -1
    number = ask_for_cell(parent)
    if not number:
        return -1
    row = section.row_of(number)
    if row < 0:
        desk.say(f"There is no cell {number} in this section.")
        return -1
    place = float(section.session.y_um[row]), float(section.session.x_um[row])
    desk.view.jump(*place)
    desk.view.mark(*place)
    return row
