"""Every section of a study through prepare, screen, count and finish; one writer, resumable.

Jobs are done in the lanes; what they give back comes to the one thread that runs this, which
writes it into the results folder and decides what is next. Merging a section happens in a
thread beside, so that the lanes never wait for it.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fociquant.errors import DiskError, UnreadableError
from fociquant.run.jobs import (
    Count,
    Failed,
    Interrupted,
    Job,
    Prepare,
    Prepared,
    Result,
    Screen,
    reason_of,
)
from fociquant.run.lanes import Ended, Lanes, Lost
from fociquant.run.plan import PlannedSection
from fociquant.run.progress import Progress
from fociquant.run.routes import Routes
from fociquant.run.sections import Known, Ledger, Part, record_failure
from fociquant.settings import Settings
from fociquant.store import ResultsFolder

POLL_S = 0.1
"""How often it is looked whether the user wants to stop or workers have come or gone, s."""

ENDING_S = 20.0
"""How long jobs in hand may take to end after a stop, s; then they are left behind."""

SECTIONS_AT_ONCE = 2
"""Sections in work at once, while these have more blocks waiting than there are lanes: each
open image keeps decoded tiles."""

DEATHS = 3
"""Workers that one job may take with it before its section is given up."""


@dataclass(slots=True)
class _Section:
    """A section on its way."""

    ledger: Ledger
    known: Known | None = None
    mask: np.ndarray | None = None
    parts: list[Part] = field(default_factory=list)
    seams: dict[str, Any] | None = None  # of an earlier run's objects, which stay
    waiting: set[str] = field(default_factory=set)
    failure: Failed | None = None

    @property
    def name(self) -> str:
        return self.ledger.planned.name


@dataclass(slots=True)
class _Task:
    """A job, whose section it belongs to, and its history."""

    section: _Section
    job: Job
    part: Part | None = None
    tries: int = 1
    deaths: int = 0
    place: str = ""


class Corridor:
    """One run over the sections that are not counted yet.

    Parameters
    ----------
    folder : ResultsFolder
    settings : Settings
    lanes : Lanes
    progress : Progress
    stop : threading.Event
        Set from outside to end the run soon.
    block_px : int
    """

    def __init__(
        self,
        folder: ResultsFolder,
        settings: Settings,
        lanes: Lanes,
        progress: Progress,
        *,
        stop: threading.Event,
        block_px: int,
    ) -> None:
        self._folder, self._settings, self._lanes = folder, settings, lanes
        self._progress, self._stop, self._block_px = progress, stop, block_px
        self._numbers = itertools.count()
        self._waiting: list[_Section] = []
        self._active: dict[str, _Section] = {}
        self._routes: Routes[_Task] = Routes()
        self._urgent: list[_Task] = []
        self._suspects: list[_Task] = []
        self._in_hand: dict[int, _Task] = {}
        self._merging: dict[str, Future[None]] = {}

    def run(self, sections: Sequence[PlannedSection]) -> bool:
        """Count what is not counted yet.

        Returns
        -------
        bool
            Whether every section has come to its end, counted or failed.

        Raises
        ------
        DiskError
            If a result could not be written; what was written before is kept.
        """
        self._waiting = [
            _Section(Ledger(self._folder, planned, self._settings)) for planned in sections
        ]
        with ThreadPoolExecutor(1, thread_name_prefix="fociquant-merge") as self._merger:
            try:
                while not self._stop.is_set() and (self._waiting or self._active):
                    self._step()
            finally:
                self._leave()
        self._collect_merged()
        return not (self._waiting or self._active)

    def _step(self) -> None:
        for note in self._lanes.notes():
            self._progress.say(note)
        self._feed()
        only_merging = bool(self._merging) and not self._in_hand
        if only_merging:
            wait(self._merging.values(), POLL_S, FIRST_COMPLETED)
        ended = self._lanes.next(0.0 if only_merging else POLL_S)
        while ended is not None:
            task = self._in_hand.pop(ended.number, None)
            if task is not None:
                self._take_in(task, ended.result)
                self._feed()
            ended = self._lanes.next(0.0)
        self._collect_merged()

    # What is next.

    def _feed(self) -> None:
        """Give every place as many jobs as it should have."""
        places = self._lanes.places()
        alone = {task.place for task in self._in_hand.values() if task.deaths}
        for place, wanted in places.items():
            held = sum(task.place == place for task in self._in_hand.values())
            while held < wanted and place not in alone:
                task = self._next_task(place, sum(places.values()), idle=not held)
                if task is None:
                    break
                self._hand_in(task, place)
                held += 1
                if task.deaths:
                    break  # what may have killed a worker gets one for itself

    def _hand_in(self, task: _Task, place: str) -> None:
        task.place = place
        number = next(self._numbers)
        self._in_hand[number] = task
        self._lanes.submit(place, number, task.job)

    def _next_task(self, place: str, lanes: int, *, idle: bool) -> _Task | None:
        while not self._urgent and self._waiting and self._may_begin(lanes):
            self._begin(self._waiting.pop(0))
        if self._urgent:
            return self._urgent.pop(0)
        task = self._routes.take(place)
        if task is None and idle and self._suspects:
            return self._suspects.pop(0)
        return task

    def _may_begin(self, lanes: int) -> bool:
        """Whether lanes would soon have nothing to do without another section."""
        few = len(self._routes) < lanes
        return few and (len(self._active) < SECTIONS_AT_ONCE or not self._routes)

    def _begin(self, section: _Section) -> None:
        self._active[section.name] = section
        self._progress.begin(section.name)
        with self._failing(section):
            section.known = section.ledger.known()
            if section.known is None:
                self._urgent.append(_Task(section, Prepare(section.ledger.planned, self._settings)))
            else:
                self._go_on(section, section.known)

    @contextmanager
    def _failing(self, section: _Section) -> Iterator[None]:
        """What is stored of a section and cannot be read fails it; the others go on."""
        try:
            yield
        except (UnreadableError, OSError) as error:
            section.failure = Failed(reason_of(error), again=False)
            self._give_up(section)

    def _go_on(self, section: _Section, known: Known) -> None:
        """Facts are known: which cells are worth counting?"""
        self._progress.note(section.name, known.warnings)
        mask = section.ledger.mask()
        if mask is None:
            job = Screen(section.ledger.planned, known.facts, self._settings)
            self._urgent.append(_Task(section, job))
        else:
            self._count(section, known, mask)

    def _count(
        self, section: _Section, known: Known, mask: np.ndarray, *, just_screened: bool = False
    ) -> None:
        section.mask = mask
        section.seams = section.ledger.seams_of_objects(known.facts, mask)
        if section.seams is None:
            section.parts = self._parts(section, known, mask)
        there = [part for part in section.parts if section.ledger.has(part)]
        done = {part.block.name for part in there}
        left = [part for part in section.parts if part.block.name not in done]
        section.waiting = {part.block.name for part in left}
        image = section.ledger.planned.lattice.image.area
        counted = sum(part.job.pixels for part in section.parts)
        left_out = self._progress.pass_over if just_screened else self._progress.skip
        left_out(section.name, image - counted)
        self._progress.skip(section.name, sum(part.job.pixels for part in there))
        self._progress.blocks(section.name, len(left))
        self._routes.add(section.name, [_Task(section, part.job, part) for part in left])
        self._merge_if_complete(section)

    def _parts(self, section: _Section, known: Known, mask: np.ndarray) -> list[Part]:
        """Its blocks; single decode cells if lanes would stand idle beside the last section."""
        parts = section.ledger.parts(known.facts, mask, self._block_px)
        lanes = sum(wanted - 1 for wanted in self._lanes.places().values())  # one is in reserve
        if self._waiting or len(self._active) > 1 or len(parts) >= lanes:
            return parts
        return section.ledger.parts(known.facts, mask, 1)

    # What came back.

    def _take_in(self, task: _Task, result: Result | Lost) -> None:
        section = task.section
        if section.name not in self._active:
            return
        with self._failing(section):
            self._go_on_with(section, task, result)

    def _go_on_with(self, section: _Section, task: _Task, result: Result | Lost) -> None:
        if isinstance(result, Lost):
            self._lost(task)
        elif isinstance(result, Failed):
            self._failed(task, result)
        elif isinstance(result, Prepared):
            section.known = section.ledger.keep_facts(result)
            self._go_on(section, section.known)
        elif isinstance(result, np.ndarray) and section.known is not None:
            section.ledger.keep_mask(result)
            self._count(section, section.known, result, just_screened=True)
        elif isinstance(result, bytes) and task.part is not None:
            section.ledger.keep(task.part, result)
            self._settle(section, task.part)
            self._progress.advance(section.name, task.part.job.pixels)
            self._merge_if_complete(section)
        elif isinstance(result, Interrupted):
            self._urgent.append(task)  # the worker's own end, not ours: somewhere else, then

    def _lost(self, task: _Task) -> None:
        """A worker died with this in hand: again, and if that was no accident, by itself."""
        self._routes.leave(task.place)
        task.deaths += 1
        if task.deaths >= DEATHS:
            place = _place_of(task.job)
            self._failed(
                task,
                Failed(
                    f"{task.deaths} worker processes in a row died over {place}. If it is for want "
                    "of memory, give --memory or fewer --workers; then run the same command again.",
                    again=False,
                    cell=_first_cell(task.job),
                ),
            )
        else:
            self._suspects.append(task)

    def _failed(self, task: _Task, failure: Failed) -> None:
        """A job that may go well another time is tried again; else its section fails."""
        if failure.again and task.tries == 1:
            task.tries += 1
            self._urgent.append(task)
            return
        section = task.section
        if section.failure is None or failure.cell < section.failure.cell:
            section.failure = failure
        if task.part is not None:
            self._settle(section, task.part)
            self._drop_after(section)
        if not section.waiting:
            self._give_up(section)

    def _settle(self, section: _Section, part: Part) -> None:
        section.waiting.discard(part.block.name)

    def _drop_after(self, section: _Section) -> None:
        """Blocks behind the first bad one need not be tried; those before may have the reason.

        Which of several bad tiles is named must not depend on the order of work.
        """
        if section.failure is None:
            return
        kept = []
        for task in self._routes.drop(section.name):
            if _first_cell(task.job) < section.failure.cell:
                kept.append(task)
            elif task.part is not None:
                self._settle(section, task.part)
        self._routes.add(section.name, kept)

    def _give_up(self, section: _Section) -> None:
        if section.failure is not None:
            self._active.pop(section.name, None)
            planned = section.ledger.planned
            record_failure(planned.section, section.failure.reason, self._folder, self._progress)

    def _merge_if_complete(self, section: _Section) -> None:
        if section.waiting or section.mask is None or section.known is None:
            return
        if section.failure is not None:
            self._give_up(section)
            return
        self._merging[section.name] = self._merger.submit(
            section.ledger.finish, section.known, section.mask, section.parts, section.seams
        )

    def _collect_merged(self) -> None:
        """Sections whose objects are stored, or could not be."""
        for name in [name for name, merged in self._merging.items() if merged.done()]:
            error = self._merging.pop(name).exception()
            section = self._active[name]
            if isinstance(error, DiskError):
                raise error
            if error is None:
                del self._active[name]
                self._progress.done(name)
            elif isinstance(error, Exception):
                section.failure = Failed(reason_of(error), again=False)
                self._give_up(section)
            else:
                raise error

    # The end.

    def _leave(self) -> None:
        """Let what is in hand end, keep what it gives back."""
        if not self._in_hand:
            return
        self._lanes.stop()
        for ended in _until_silent(self._lanes, len(self._in_hand)):
            task = self._in_hand.pop(ended.number, None)
            if task is not None and isinstance(ended.result, bytes | Prepared | np.ndarray):
                self._take_in(task, ended.result)


def _until_silent(lanes: Lanes, expected: int) -> Iterator[Ended]:
    """What still comes back, for a while."""
    until = time.monotonic() + ENDING_S
    while expected and time.monotonic() < until:
        ended = lanes.next(POLL_S)
        if ended is not None:
            expected -= 1
            yield ended


def _first_cell(job: Job) -> int:
    return job.planned.lattice.cell_number(job.cells[0]) if isinstance(job, Count) else -1


def _place_of(job: Job) -> str:
    if not isinstance(job, Count):
        return "preparing this section"
    lattice = job.planned.lattice
    core = lattice.cell_core(job.cells[0])
    return f"the block at ({core.y0}, {core.x0}) px of the analysis grid"
