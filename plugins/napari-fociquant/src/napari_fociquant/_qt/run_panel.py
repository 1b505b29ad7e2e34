"""Counting from the window: a run in another process, with progress and a way to stop it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_fociquant._qt.process import Command

RESULTS = "results"
"""Name of the results folder beside the study file."""


def results_of(study: Path) -> Path:
    """Where the results of a study go."""
    return study.parent / RESULTS


class RunPanel(QWidget):
    """Start, bar, stop.

    Attributes
    ----------
    counted : Signal(object)
        Path of a results folder that has tables now.
    told : Signal(str)
        Something the user must be told.
    """

    counted = Signal(object)
    told = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.command = Command(self)
        self.start_button = QPushButton("Count")
        self.stop_button = QPushButton("Stop")
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.state = QLabel()
        self.state.setWordWrap(True)
        self._out = Path()
        self._began, self._done, self._sections = 0.0, 0, 0
        self.start_button.setToolTip(
            "Looks for mistakes first; results go to 'results' beside the study"
        )
        self.stop_button.setToolTip("Ends at the next good place; 'Count' goes on from there")
        self._build()

    def _build(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.start_button)
        row.addWidget(self.stop_button)
        row.addWidget(self.bar, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.state)
        self.stop_button.setEnabled(False)
        self.stop_button.clicked.connect(lambda: self.stop())
        self.command.said.connect(self._take)
        self.command.finished.connect(self._finish)

    @property
    def running(self) -> bool:
        """Whether a run is at work."""
        return self.command.running

    def say(self, text: str) -> None:
        """Words below the buttons, while no run has something to say there."""
        if not self.running:
            self.state.setText(text)

    def start(self, study: Path) -> None:
        """Count a study; what is counted already is not counted again."""
        self._out = results_of(study)
        self._began, self._done, self._sections = time.monotonic(), 0, 0
        self.bar.setValue(0)
        self.state.setText("Loading the network …")
        self.start_button.setEnabled(False)
        self.stop_button.setEnabled(True)
        self.command.start(["-m", "napari_fociquant._child", str(study), str(self._out)])

    def stop(self) -> None:
        """Stop at the next good place; counting goes on from there later."""
        self.stop_button.setEnabled(False)
        self.state.setText("Stopping; what is finished is kept …")
        self.command.stop()

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if kind == "start":
            self._sections = int(event["sections"])
            self._began = time.monotonic()
        if kind == "done":
            self._done += 1
        if kind in ("failed", "note"):
            self.told.emit(f"{event['section']}: {event.get('reason') or event.get('warning')}")
        if kind in ("error", "told"):
            self.told.emit(str(event["text"]))
        if kind == "tables":
            self.state.setText("Tables and report …")
        if kind in ("start", "advance", "done"):
            self._show(int(event.get("seen", 0)), max(int(event["pixels"]), 1))

    def _show(self, seen: int, pixels: int) -> None:
        self.bar.setValue(round(1000 * seen / pixels))
        spent = time.monotonic() - self._began
        rate = seen / max(spent, 1e-3)
        left = f", {(pixels - seen) / rate:.0f} s left" if seen else ""
        self.state.setText(
            f"{self._done} of {self._sections} sections, {rate / 1e6:.2f} megapixels/s{left}"
        )

    def _finish(self, code: int, _: str, errors: str) -> None:
        self.start_button.setEnabled(True)
        self.stop_button.setEnabled(False)
        words = {
            0: "Counted.",
            1: "Counted, but not every section: the list says which and why.",
            2: "Nothing was counted: the study has problems.",
            130: "Stopped. 'Count' goes on from here.",
        }
        # What a run says last may name a file: that goes where names are hidden in a blind review.
        self.state.setText(words.get(code, "The run ended unexpectedly; see the message below."))
        if code == 0:
            self.bar.setValue(1000)
        if code not in words:
            last = errors.strip().splitlines()[-1:] or ["no message"]
            self.told.emit(f"The run ended unexpectedly ({last[0]}).")
        if (self._out / "sections.csv").exists() and code in (0, 1, 130):
            self.counted.emit(self._out)
