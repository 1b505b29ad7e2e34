"""The queue as a table that Qt asks for what it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from qtpy.QtGui import QColor

from napari_fociquant._colours import COLOURS, Shown
from napari_fociquant._foci import Focus
from napari_fociquant._queue import CONFIRMED, GONE, LEFT_OUT

HEADINGS = ("class", "cells", "decided")

STATE_COLOURS = {
    CONFIRMED: COLOURS[Shown.ACCEPTED], GONE: COLOURS[Shown.REJECTED],
    LEFT_OUT: COLOURS[Shown.EXCLUDED],
}  # fmt: skip


class FocusListModel(QAbstractTableModel):
    """Class, cells and decision of each focus.

    Parameters
    ----------
    state : callable
        What was decided about a focus; asked for what is in view only.
    """

    def __init__(self, state: Callable[[Focus], str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.items: list[Focus] = []
        self._state = state

    def show(self, items: list[Focus]) -> None:
        """Other foci."""
        self.beginResetModel()
        self.items = items
        self.endResetModel()

    def restate(self) -> None:
        """The same foci, decided otherwise; the selection stays."""
        if self.items:
            corner = self.index(len(self.items) - 1, len(HEADINGS) - 1)
            self.dataChanged.emit(self.index(0, 0), corner)

    def state(self, place: int) -> str:
        """What was decided about one of them."""
        return self._state(self.items[place])

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Number of foci."""
        return 0 if parent is not None and parent.isValid() else len(self.items)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Class, cells, decided."""
        return len(HEADINGS)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Names of columns, numbers of lines."""
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return HEADINGS[section] if orientation == Qt.Orientation.Horizontal else section + 1

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Texts, and the colour of what was decided."""
        state = self.state(index.row())
        if role == Qt.ItemDataRole.ForegroundRole and state in STATE_COLOURS:
            return QColor(STATE_COLOURS[state])
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        focus = self.items[index.row()]
        return (focus.kind, str(len(focus.rows)), state)[index.column()]
