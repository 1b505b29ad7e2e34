"""Why a candidate is accepted or rejected, in a word; may stay empty."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QLineEdit

REASONS = ("macrophage", "autofluorescence", "red blood cell", "debris", "out of focus",
           "airway lining", "no nucleus", "staining artefact")  # fmt: skip
"""Common ones; any other can be written."""


class ReasonBox(QComboBox):
    """A reason for the next decision; empty again after it."""

    def __init__(self) -> None:
        super().__init__()
        line = QLineEdit()
        line.setPlaceholderText("reason (optional)")
        self.setEditable(True)
        self.setLineEdit(line)
        self.addItems(["", *REASONS])
        self.setAccessibleName("Reason")

    def take(self) -> str:
        """The reason that is written; it is used up."""
        text = self.currentText().strip()
        self.setCurrentText("")
        return text
