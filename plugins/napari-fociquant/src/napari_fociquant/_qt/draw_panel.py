"""What was drawn waits here for its reason before it is a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from fociquant.errors import InputError
from fociquant.review import check_region

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk

REASONS = ("fold", "bubble", "out of focus", "debris", "airway", "vessel", "lymph node",
           "tissue other than lung", "staining artefact")  # fmt: skip
"""Common reasons for leaving a region out; any other can be written."""


class ExcludePanel(QWidget):
    """Reason for a region, and two buttons; hidden until something was drawn."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._points: np.ndarray | None = None
        self._repair = False
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.reason = QComboBox()
        line = QLineEdit()
        line.setPlaceholderText("reason")
        self.reason.setEditable(True)
        self.reason.setLineEdit(line)
        self.reason.addItems(["", *REASONS])
        self.keep = QPushButton("Exclude")
        self.drop = QPushButton("Discard")
        row = QHBoxLayout()
        row.addWidget(self.keep, 1)
        row.addWidget(self.drop)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addWidget(self.reason)
        layout.addLayout(row)
        self.keep.clicked.connect(lambda: self.commit())
        self.drop.clicked.connect(lambda: self.discard())
        desk.section_changed.connect(self.discard)
        self.hide()

    def offer(self, points: np.ndarray) -> None:
        """Ask for the reason of a region that was drawn."""
        self._points = np.asarray(points, np.float64)
        self._repair = False
        self._desk.view.offer(self._points)
        self.keep.setEnabled(True)
        try:
            area = check_region(self._points).area_um2 / 1e6
            self.text.setText(f"Leave out {area:.4f} mm². Why?")
            self.keep.setText("Exclude")
        except InputError as error:
            self._refuse(error)
        self.show()

    def _refuse(self, error: InputError) -> None:
        """Say what is wrong; a line that crosses itself can be taken all the same."""
        self.text.setText(str(error))
        self._repair = "crosses itself" in str(error)
        self.keep.setEnabled(self._repair)
        self.keep.setText("Exclude everything inside the line")

    def commit(self) -> None:
        """Exclude the region."""
        if self._points is None:
            return
        points, repair, reason = self._points, self._repair, self.reason.currentText()
        done = self._desk.decide(
            lambda session: session.exclude(points, reason=reason, repair=repair)
        )
        if done is not None:
            self.discard()

    def discard(self) -> None:
        """Forget what was drawn."""
        self._points, self._repair = None, False
        self._desk.view.offer(None)
        self.reason.setCurrentText("")
        self.keep.setEnabled(True)
        self.hide()
