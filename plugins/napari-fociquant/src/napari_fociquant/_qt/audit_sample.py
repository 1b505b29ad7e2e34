"""Before and after judging: draw the sample, begin, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QFormLayout,
    QGroupBox,
    QLabel,
    QMessageBox,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from fociquant.review import AuditSession, read_design
from fociquant.settings import ReviewSettings
from napari_fociquant._qt.counts_table import CountsTable
from napari_fociquant._qt.process import Command, said_by
from napari_fociquant._qt.room import WrappingRow
from napari_fociquant._qt.unblinding import ask_to_unblind

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk

SIZES = (
    ("accepted", "counted cells", "audit_accepted"),
    ("rejected", "rejected candidates", "audit_rejected"),
    ("fields", "fields of tissue", "audit_fields"),
)
"""Option of ``fociquant audit``, words, setting with its default."""

MOST = 100_000
"""Largest sample per arm."""

WHAT = (
    "An audit corrects the counts: of a random sample of counted cells, rejected candidates and "
    "fields of tissue you say what they are, in random order, without knowing what the program "
    "thinks. Some come from sections that you have reviewed."
)


class SamplePanel(QWidget):
    """The sample of the results that are open."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.command = Command(self)
        self.state = QLabel(WHAT)
        self.state.setWordWrap(True)
        self.sizes = {option: QSpinBox() for option, _, _ in SIZES}
        self.form = QGroupBox("Sample of each group and day")
        self.begin = QPushButton("Begin")
        self.draw_button = QPushButton("Draw a sample")
        self.correct = QPushButton("Correct the counts")
        self.unblind = QPushButton("Unblind …")
        self.counts = CountsTable(desk)
        self._drawing = self._drawn = False
        self._build()
        self._connect()

    def _build(self) -> None:
        form = QFormLayout(self.form)
        for option, words, setting in SIZES:
            box = self.sizes[option]
            box.setRange(0 if option == "fields" else 1, MOST)
            box.setValue(ReviewSettings.model_fields[setting].default)
            form.addRow(words, box)
        row = WrappingRow()
        for button in (self.begin, self.draw_button, self.correct, self.unblind):
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.state, self.form):
            layout.addWidget(part)
        layout.addLayout(row)
        layout.addWidget(self.counts)

    def _connect(self) -> None:
        self.draw_button.clicked.connect(lambda: self.ask_to_draw())
        self.correct.clicked.connect(lambda: self.recount())
        self.unblind.clicked.connect(lambda: ask_to_unblind(self.desk, self))
        self.command.finished.connect(self._finish)

    # What is there

    def show_state(self, session: AuditSession | None) -> None:
        """Buttons and words for where the audit is."""
        results = self.desk.results
        root = results.root if results is not None else Path()
        design = self.desk.attempt(lambda: read_design(root)) if results is not None else None
        self._drawn = design is not None
        finished = session is not None and session.finished
        judging = session is not None and not finished
        self.form.setVisible(results is not None and session is None)
        self.begin.setVisible(self._drawn and not judging)
        self.begin.setText("Look through them again" if finished else "Begin")
        self.draw_button.setVisible(results is not None and session is None)
        self.draw_button.setText("Draw another sample …" if self._drawn else "Draw a sample")
        self.correct.setVisible(finished)
        self.unblind.setVisible(finished and self.desk.blinded)
        self.counts.setVisible(finished and not self.desk.blinded)
        self.state.setVisible(not judging)
        self.state.setText(self._words(session, len(design.items) if design else 0))

    def _words(self, session: AuditSession | None, items: int) -> str:
        if self.desk.results is None:
            return "Open results in the widget 'Study'."
        if session is not None and session.finished:
            hidden = " Counts per mouse are shown after unblinding." if self.desk.blinded else ""
            return (
                f"All {items} items are judged, {session.unsure} of them cannot be said. 'Correct "
                f"the counts' makes the tables again.{hidden}"
            )
        if items:
            return (
                f"{WHAT} {items} items are drawn. 'Begin' closes a section that is open, because "
                "its colours would tell."
            )
        return WHAT

    # What is done in another process

    def ask_to_draw(self) -> None:
        """Draw; where a sample is there already, only after asking."""
        if self._drawn:
            answer = QMessageBox.question(
                self, "Another sample",
                "Verdicts on the sample that is there will not count any more. Draw another one?",
            )  # fmt: skip
            if answer != QMessageBox.StandardButton.Yes:
                return
        self.draw(again=self._drawn)

    def draw(self, *, again: bool = False, seed: int | None = None) -> None:
        """Draw a sample of the sizes that are set."""
        options = [f"--{option}={box.value()}" for option, box in self.sizes.items()]
        options += ["--again"] if again else []
        options += [] if seed is None else [f"--seed={seed}"]
        self._start(["audit", "--draw", *options], drawing=True)

    def recount(self) -> None:
        """Make the tables again, with what the audit says."""
        self._start(["recount"], drawing=False)

    def _start(self, command: list[str], *, drawing: bool) -> None:
        if self.desk.results is None or self.command.running or not self.desk.there():
            return
        self._drawing = drawing
        self._busy(True)
        self.state.setText("Drawing the sample …" if drawing else "Making the tables …")
        name, *options = command
        root = str(self.desk.results.root)
        self.command.start(["-m", "fociquant", name, root, "--json", *options])

    def _busy(self, busy: bool) -> None:
        for button in (self.begin, self.draw_button, self.correct):
            button.setEnabled(not busy)

    def _finish(self, code: int, _: str, errors: str) -> None:
        self._busy(False)
        if code not in (0, 1):
            self.desk.say(said_by(errors, "That could not be done."))
        elif not self._drawing:
            self.desk.say("Tables and report hold the corrected counts now.")
        self.desk.reread()
