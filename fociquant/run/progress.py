"""Progress of a run: events in, a bar on a terminal or plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Protocol, TextIO

LINE_EVERY_S = 10.0
"""At most one plain line in this time, besides those that say something new."""


class Progress(Protocol):
    """What a run tells while it works; called from several threads."""

    def start(self, pixels: Mapping[str, int]) -> None:
        """Section name to the pixels that will be looked at."""

    def advance(self, section: str, pixels: int) -> None:
        """So many more pixels of a section are done."""

    def done(self, section: str) -> None:
        """A section is complete."""

    def failed(self, section: str, reason: str) -> None:
        """A section could not be counted."""

    def note(self, section: str, warnings: Sequence[str]) -> None:
        """Something the user should know about a section."""

    def close(self) -> None:
        """The run has ended."""


class Silent:
    """Says nothing."""

    def start(self, pixels: Mapping[str, int]) -> None:
        """See :class:`Progress`."""

    def advance(self, section: str, pixels: int) -> None:
        """See :class:`Progress`."""

    def done(self, section: str) -> None:
        """See :class:`Progress`."""

    def failed(self, section: str, reason: str) -> None:
        """See :class:`Progress`."""

    def note(self, section: str, warnings: Sequence[str]) -> None:
        """See :class:`Progress`."""

    def close(self) -> None:
        """See :class:`Progress`."""


class _Counter:
    """Pixels done, rate and remaining time of a run."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pixels: dict[str, int] = {}
        self.seen = 0
        self.sections_done = 0
        self.began = time.monotonic()

    def begin(self, pixels: Mapping[str, int]) -> None:
        self.pixels = dict(pixels)
        self.began = time.monotonic()

    @property
    def total(self) -> int:
        return sum(self.pixels.values())

    def text(self) -> str:
        rate = self.seen / max(time.monotonic() - self.began, 1e-3)
        left = (self.total - self.seen) / rate if rate else float("inf")
        share = 100.0 * self.seen / max(self.total, 1)
        remaining = f", {duration(left)} left" if rate else ""
        return (
            f"{share:3.0f} %  {self.sections_done}/{len(self.pixels)} sections, "
            f"{rate / 1e6:.2f} megapixels/s{remaining}"
        )


def duration(seconds: float) -> str:
    """A duration for people: ``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


class Lines:
    """Plain lines, for logs and pipes.

    Parameters
    ----------
    stream : text file, optional
        Default standard error.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._counter = _Counter()
        self._last = 0.0

    def start(self, pixels: Mapping[str, int]) -> None:
        """See :class:`Progress`."""
        self._counter.begin(pixels)
        self._say(f"{len(pixels)} sections, {sum(pixels.values()) / 1e6:.0f} megapixels")

    def advance(self, section: str, pixels: int) -> None:
        """See :class:`Progress`."""
        with self._counter.lock:
            self._counter.seen += pixels
            due = time.monotonic() - self._last > LINE_EVERY_S
            if due:
                self._say(self._counter.text())

    def done(self, section: str) -> None:
        """See :class:`Progress`."""
        with self._counter.lock:
            self._counter.sections_done += 1
            self._say(f"{section}: done  ({self._counter.text()})")

    def failed(self, section: str, reason: str) -> None:
        """See :class:`Progress`."""
        self._say(f"{section}: FAILED: {reason}")

    def note(self, section: str, warnings: Sequence[str]) -> None:
        """See :class:`Progress`."""
        for warning in warnings:
            self._say(f"{section}: note: {warning}")

    def close(self) -> None:
        """See :class:`Progress`."""

    def _say(self, text: str) -> None:
        self._last = time.monotonic()
        self._stream.write(text + "\n")
        self._stream.flush()


class Bars:
    """One bar with rate and remaining time, on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._counter = _Counter()
        self._rich = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            console=Console(stderr=True),
        )
        self._task = self._rich.add_task("counting", total=1, state="")

    def start(self, pixels: Mapping[str, int]) -> None:
        """See :class:`Progress`."""
        self._counter.begin(pixels)
        self._rich.update(self._task, total=max(self._counter.total, 1))
        self._rich.start()

    def advance(self, section: str, pixels: int) -> None:
        """See :class:`Progress`."""
        with self._counter.lock:
            self._counter.seen += pixels
        self._update(section)

    def done(self, section: str) -> None:
        """See :class:`Progress`."""
        with self._counter.lock:
            self._counter.sections_done += 1
        self._update(section)

    def failed(self, section: str, reason: str) -> None:
        """See :class:`Progress`."""
        self._rich.console.print(f"{section}: FAILED: {reason}", style="red", markup=False)

    def note(self, section: str, warnings: Sequence[str]) -> None:
        """See :class:`Progress`."""
        for warning in warnings:
            self._rich.console.print(f"{section}: note: {warning}", markup=False)

    def close(self) -> None:
        """See :class:`Progress`."""
        self._rich.stop()

    def _update(self, section: str) -> None:
        self._rich.update(
            self._task,
            completed=self._counter.seen,
            description=section,
            state=self._counter.text(),
        )


def for_terminal() -> Progress:
    """A bar where standard error is a terminal, plain lines otherwise."""
    return Bars() if sys.stderr.isatty() else Lines()
