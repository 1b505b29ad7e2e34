"""What the user must be told, in the window where it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QTextCursor
from qtpy.QtWidgets import QLabel, QPlainTextEdit

from napari_fociquant._qt.parts import NOTICE_STYLE

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk

KEPT = 200
"""Lines of the list."""


class NoticeLine(QLabel):
    """The last notice."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        # A widget that is docked later need not say what has been dealt with.
        self.setText(desk.notices[-1] if len(desk.notices) > desk.noted else "")
        desk.noticed.connect(self.setText)
        desk.decided.connect(self._fade)
        desk.section_changed.connect(self._fade)
        self._desk = desk
        desk.results_changed.connect(self._say_again)

    def setText(self, a0: str | None) -> None:  # noqa: N802 - Qt's name
        """Words on dark; nothing where there is nothing to tell."""
        self.setStyleSheet(NOTICE_STYLE if a0 else "")
        super().setText(a0)

    def clear(self) -> None:
        """Say nothing."""
        self.setText("")

    def _say_again(self) -> None:
        """The same in words that do not unblind, where names are hidden by now."""
        if self.text():
            self.setText(self._desk.notices[-1] if self._desk.notices else "")

    def _fade(self) -> None:
        """A notice goes with the next decision, or section, that gives no notice itself."""
        if len(self._desk.notices) == self._desk.noted:
            self.clear()


class NoticeList(QPlainTextEdit):
    """All of them."""

    def __init__(self, desk: Desk) -> None:
        super().__init__("\n".join(desk.notices))
        self.setReadOnly(True)
        self.setMaximumBlockCount(KEPT)
        self.setPlaceholderText("Nothing to tell.")
        self.setMaximumHeight(90)
        self.setAccessibleName("Notices")
        desk.noticed.connect(self.appendPlainText)
        desk.results_changed.connect(self._say_again)
        self._desk = desk

    def _say_again(self) -> None:
        """All in words that do not unblind, where names are hidden by now."""
        self.setPlainText("\n".join(self._desk.notices))
        self.moveCursor(QTextCursor.MoveOperation.End)
