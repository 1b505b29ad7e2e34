"""A free comment, on the section or on what is selected; it changes no count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QPlainTextEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from fociquant.review import ReviewSession
from napari_fociquant._qt.parts import NOTICE_STYLE

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk

EARLIER = 8
"""Comments of the section that are shown again, the latest."""


class CommentDialog(QDialog):
    """Asks for words; they are on the disk when it closes.

    Parameters
    ----------
    desk : Desk
        A section is open.
    rows : sequence of int
        Of the session: what is selected; may be empty.
    what : str
        The same in words, for example ``the selected candidate``.
    parent : QWidget
    """

    def __init__(
        self, desk: Desk, rows: Sequence[int] | np.ndarray, what: str, parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._desk, self._rows = desk, rows
        self.setWindowTitle("Comment")
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.on_section = QRadioButton("on the section")
        self.on_selection = QRadioButton(f"on {what}")
        self.words = QPlainTextEdit()
        self.words.setTabChangesFocus(True)
        self.words.setStyleSheet("border: 1px solid gray")
        self.words.setAccessibleName("Comment")
        self.problem = QLabel()
        self.problem.setStyleSheet(NOTICE_STYLE)
        self.problem.setWordWrap(True)
        self.problem.hide()
        self.earlier = QLabel()
        self.earlier.setTextFormat(Qt.TextFormat.PlainText)
        self.earlier.setWordWrap(True)
        buttons = QDialogButtonBox.StandardButton
        self.box = QDialogButtonBox(buttons.Save | buttons.Cancel)
        self._build()
        desk.section_changed.connect(self.reject)

    def _build(self) -> None:
        any_selected = len(self._rows) > 0
        self.on_selection.setVisible(any_selected)
        (self.on_selection if any_selected else self.on_section).setChecked(True)
        if self._desk.section is not None:
            self.earlier.setText(earlier_words(self._desk.section.session))
        self.earlier.setVisible(bool(self.earlier.text()))
        layout = QVBoxLayout(self)
        for part in (self.on_section, self.on_selection, self.words, self.problem, self.earlier,
                     self.box):  # fmt: skip
            layout.addWidget(part)
        self.setMinimumWidth(420)
        self.words.setFocus()
        self.box.accepted.connect(self.accept)
        self.box.rejected.connect(self.reject)

    def accept(self) -> None:
        """Write it down; stays open, with the words, if that fails."""
        rows = self._rows if self.on_selection.isChecked() else ()
        if self._desk.comment(self.words.toPlainText(), rows):
            super().accept()
            return
        self.problem.setText(self._desk.notices[-1])
        self.problem.show()


def earlier_words(session: ReviewSession) -> str:
    """Comments that this reviewer made on the section before, one a line."""
    lines = []
    for entry, rows in session.comments[-EARLIER:]:
        known = rows[rows >= 0]
        place = ""
        if len(known):
            y, x = session.y_um[known[0]], session.x_um[known[0]]
            place = f" (y {y:.0f}, x {x:.0f} µm)"
        lines.append(f"{entry.time[:10]}{place}: {entry.reason}")
    return "\n".join(lines)
