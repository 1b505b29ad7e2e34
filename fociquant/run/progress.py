"""Progress of a run: events in, a bar on a terminal or plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

LINE_EVERY_S = 10.0
"""At most one plain line in this time, besides those that say something new."""


class Progress:
    """What a run tells while it works; this one says nothing.

    All methods are called from one thread.
    """

    def start(self, pixels: Mapping[str, int]) -> None:
        """Section name to the pixels that it has."""

    def begin(self, section: str) -> None:
        """Work on a section begins."""

    def skip(self, section: str, pixels: int) -> None:
        """So many pixels of a section were done by an earlier run."""

    def pass_over(self, section: str, pixels: int) -> None:
        """So many pixels of a section were screened just now, and need no counting."""
        self.skip(section, pixels)

    def blocks(self, section: str, number: int) -> None:
        """So many blocks of a section will be counted."""

    def advance(self, section: str, pixels: int) -> None:
        """A block, and so many more pixels of a section, are done."""

    def done(self, section: str) -> None:
        """A section is complete."""

    def failed(self, section: str, reason: str) -> None:
        """A section could not be counted."""

    def note(self, section: str, warnings: Sequence[str]) -> None:
        """Something the user should know about a section."""

    def say(self, text: str) -> None:
        """Something the user should know about the run."""

    def close(self) -> None:
        """The run has ended."""


Silent = Progress
"""Says nothing."""


class _Counter:
    """Pixels and blocks done, rate and remaining time of a run."""

    def __init__(self) -> None:
        self.pixels: dict[str, int] = {}
        self.seen = self.skipped = 0
        self.of_section: dict[str, int] = {}  # of `finished`
        self.sections_done = 0
        self.blocks: dict[str, list[int]] = {}
        self.began = time.monotonic()

    def start(self, pixels: Mapping[str, int]) -> None:
        self.pixels = dict(pixels)
        self.began = time.monotonic()

    @property
    def total(self) -> int:
        return sum(self.pixels.values())

    @property
    def finished(self) -> int:
        """Pixels that need no more work."""
        return self.seen + self.skipped

    def skip(self, section: str, pixels: int) -> None:
        self.skipped += pixels
        self._add(section, pixels)

    def failed(self, section: str) -> None:
        """What is left of it will not be worked on."""
        self.skip(section, self.pixels.get(section, 0) - self.of_section.get(section, 0))

    def _add(self, section: str, pixels: int) -> None:
        self.of_section[section] = self.of_section.get(section, 0) + pixels

    def advance(self, section: str, pixels: int) -> None:
        self.seen += pixels
        self._add(section, pixels)
        if section in self.blocks:
            self.blocks[section][0] += 1

    def pass_over(self, section: str, pixels: int) -> None:
        # Screening them was work: a study of dormant lungs hardly has any other.
        self.seen += pixels
        self._add(section, pixels)

    def text(self) -> str:
        rate = self.seen / max(time.monotonic() - self.began, 1e-3)
        left = (self.total - self.finished) / rate if rate else float("inf")
        share = 100.0 * self.finished / max(self.total, 1)
        remaining = f", {duration(left)} left" if rate else ""
        return (
            f"{share:3.0f} %  {self.sections_done}/{len(self.pixels)} sections, "
            f"{rate / 1e6:.2f} megapixels/s{remaining}"
        )

    def of(self, section: str) -> str:
        done, total = self.blocks.get(section, (0, 0))
        return f"{section}: block {done}/{total}" if total else f"{section}: preparing"


def duration(seconds: float) -> str:
    """A duration for people: ``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


class Lines(Progress):
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
        self._counter.start(pixels)
        if not pixels:
            self.say("no section to count: tables and report are made of what is stored")
            return
        sections = "1 section" if len(pixels) == 1 else f"{len(pixels)} sections"
        self.say(f"{sections}, {sum(pixels.values()) / 1e6:,.1f} megapixels")

    def skip(self, section: str, pixels: int) -> None:
        """See :class:`Progress`."""
        self._counter.skip(section, pixels)

    def pass_over(self, section: str, pixels: int) -> None:
        """See :class:`Progress`."""
        self._counter.pass_over(section, pixels)

    def blocks(self, section: str, number: int) -> None:
        """See :class:`Progress`."""
        self._counter.blocks[section] = [0, number]

    def advance(self, section: str, pixels: int) -> None:
        """See :class:`Progress`."""
        self._counter.advance(section, pixels)
        if time.monotonic() - self._last > LINE_EVERY_S:
            self.say(f"{self._counter.of(section)}  ({self._counter.text()})")

    def done(self, section: str) -> None:
        """See :class:`Progress`."""
        self._counter.sections_done += 1
        self.say(f"{section}: done  ({self._counter.text()})")

    def failed(self, section: str, reason: str) -> None:
        """See :class:`Progress`."""
        self._counter.failed(section)
        self.say(f"{section}: FAILED: {reason}")

    def note(self, section: str, warnings: Sequence[str]) -> None:
        """See :class:`Progress`."""
        for warning in warnings:
            self.say(f"{section}: note: {warning}")

    def say(self, text: str) -> None:
        """See :class:`Progress`."""
        self._last = time.monotonic()
        self._stream.write(text + "\n")
        self._stream.flush()


class Bars(Progress):
    """On a terminal: a bar for the study with rate and remaining time, one per section in work."""

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
        self._study = self._rich.add_task("study", total=1, state="")
        self._sections: dict[str, Any] = {}

    def start(self, pixels: Mapping[str, int]) -> None:
        """See :class:`Progress`."""
        self._counter.start(pixels)
        self._rich.update(self._study, total=max(self._counter.total, 1))
        self._rich.start()

    def begin(self, section: str) -> None:
        """See :class:`Progress`."""
        self._sections[section] = self._rich.add_task(section, total=None, state="preparing")

    def skip(self, section: str, pixels: int) -> None:
        """See :class:`Progress`."""
        self._counter.skip(section, pixels)
        self._update()

    def pass_over(self, section: str, pixels: int) -> None:
        """See :class:`Progress`."""
        self._counter.pass_over(section, pixels)
        self._update()

    def blocks(self, section: str, number: int) -> None:
        """See :class:`Progress`."""
        self._counter.blocks[section] = [0, number]
        self._rich.update(self._sections[section], total=max(number, 1), completed=0)
        self._update(section)

    def advance(self, section: str, pixels: int) -> None:
        """See :class:`Progress`."""
        self._counter.advance(section, pixels)
        self._update(section)

    def done(self, section: str) -> None:
        """See :class:`Progress`."""
        self._counter.sections_done += 1
        self._end(section)

    def failed(self, section: str, reason: str) -> None:
        """See :class:`Progress`."""
        self._counter.failed(section)
        self._rich.console.print(f"{section}: FAILED: {reason}", style="red", markup=False)
        self._end(section)

    def note(self, section: str, warnings: Sequence[str]) -> None:
        """See :class:`Progress`."""
        for warning in warnings:
            self.say(f"{section}: note: {warning}")

    def say(self, text: str) -> None:
        """See :class:`Progress`."""
        self._rich.console.print(text, markup=False)

    def close(self) -> None:
        """See :class:`Progress`."""
        self._rich.stop()

    def _end(self, section: str) -> None:
        if section in self._sections:
            self._rich.remove_task(self._sections.pop(section))
        self._update()

    def _update(self, section: str | None = None) -> None:
        self._rich.update(self._study, completed=self._counter.finished, state=self._counter.text())
        if section in self._sections:
            done, total = self._counter.blocks[section]
            state = f"block {done}/{total}" if done < total else "putting together"
            self._rich.update(self._sections[section], completed=done, state=state)


def for_terminal() -> Progress:
    """Bars where standard error is a terminal, plain lines otherwise."""
    return Bars() if sys.stderr.isatty() else Lines()
