"""The queue as a table that Qt asks for what it shows."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor

from napari_fociquant._colours import COLOURS, Shown
from napari_fociquant._queue import CONFIRMED, GONE, Item

HEADINGS = ("class", "cells", "decided")

STATE_COLOURS = {CONFIRMED: COLOURS[Shown.ACCEPTED], GONE: COLOURS[Shown.REJECTED]}


class FocusListModel(QAbstractTableModel):
    """Class, cells and decision of each focus."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.items: list[Item] = []

    def show(self, items: list[Item]) -> None:
        """Other items."""
        self.beginResetModel()
        self.items = items
        self.endResetModel()

    def restate(self, items: list[Item]) -> None:
        """The same items in the same places, decided otherwise; selection stays."""
        self.items = items
        if items:
            corner = self.index(len(items) - 1, len(HEADINGS) - 1)
            self.dataChanged.emit(self.index(0, 0), corner)

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
        item = self.items[index.row()]
        if role == Qt.ItemDataRole.ForegroundRole and item.state in STATE_COLOURS:
            return QColor(STATE_COLOURS[item.state])
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return (item.focus.kind, str(len(item.focus.rows)), item.state)[index.column()]
