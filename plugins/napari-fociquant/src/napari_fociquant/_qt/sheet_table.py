"""A table that is written in like a spreadsheet: typed, filled, pasted into, cleared."""

from __future__ import annotations

import csv
import io

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import QApplication, QTableWidget, QTableWidgetItem

COMMANDS = (QKeySequence.StandardKey.Paste, QKeySequence.StandardKey.Copy)
"""Keys of the system that mean something here."""

CLEARING = (Qt.Key.Key_Delete, Qt.Key.Key_Backspace)


class SheetTable(QTableWidget):
    """Cells that take text also from a spreadsheet.

    Attributes
    ----------
    told : Signal(str)
        Something the user must be told.
    """

    told = Signal(str)

    def event(self, e: QEvent | None) -> bool:
        """Letters are written into the cell, whatever they mean elsewhere in the window."""
        if isinstance(e, QKeyEvent) and e.type() == QEvent.Type.ShortcutOverride and _is_ours(e):
            e.accept()
            return True
        return bool(super().event(e))

    def keyPressEvent(self, e: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Paste, copy, clear; all else as in any table."""
        clipboard = QApplication.clipboard()
        if e is None or clipboard is None:
            return
        if e.matches(QKeySequence.StandardKey.Paste):
            self.paste(clipboard.text())
        elif e.matches(QKeySequence.StandardKey.Copy):
            clipboard.setText(self.copied())
        elif e.key() in CLEARING:
            for item in self.selectedItems():
                self._write(item, "")
        else:
            super().keyPressEvent(e)

    def paste(self, text: str) -> None:
        """Write a block of cells from where the selection begins; one value fills the selection.

        Parameters
        ----------
        text : str
            Lines with tabs between the cells, as spreadsheets copy them.
        """
        block = list(csv.reader(io.StringIO(text), dialect="excel-tab"))
        chosen = self.selectedIndexes()
        if not block or not chosen:
            return
        if len(block) == 1 and len(block[0]) == 1:
            for item in self.selectedItems():
                self._write(item, block[0][0])
            return
        top, left = min(one.row() for one in chosen), min(one.column() for one in chosen)
        for y, row in enumerate(block, start=top):
            for x, cell in enumerate(row, start=left):
                self._write(self.item(y, x), cell)
        beyond = top + len(block) - self.rowCount()
        if beyond > 0:
            self.told.emit(f"Lines left out, because the table has no more rows: {beyond}.")

    def copied(self) -> str:
        """The selected cells, as spreadsheets take them."""
        chosen = sorted((one.row(), one.column()) for one in self.selectedIndexes())
        lines: dict[int, list[str]] = {}
        for y, x in chosen:
            item = self.item(y, x)
            lines.setdefault(y, []).append(item.text() if item is not None else "")
        return "\n".join("\t".join(line) for line in lines.values())

    @staticmethod
    def _write(item: QTableWidgetItem | None, text: str) -> None:
        if item is not None and item.flags() & Qt.ItemFlag.ItemIsEditable:
            item.setText(text.strip())


def _is_ours(event: QKeyEvent) -> bool:
    if any(event.matches(one) for one in COMMANDS) or event.key() in CLEARING:
        return True
    held = event.modifiers() & ~(Qt.KeyboardModifier.ShiftModifier
                                 | Qt.KeyboardModifier.KeypadModifier)  # fmt: skip
    return bool(event.text()) and event.text().isprintable() and not held
