"""Where jobs are done: the threads of this process, or (in ``cluster``) workers elsewhere."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from fociquant.run.jobs import Desk, Job, Result, perform
from fociquant.run.memory import give_back
from fociquant.segment.contract import ModelInfo, Segmenter

HERE = "here"
"""Name of the place that is this process."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Instead of a result: the worker died over it, or went away."""

    place: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A job has come to its end.

    Parameters
    ----------
    number : int
        That the job was given when it was handed in.
    result : Result or Lost
    """

    number: int
    result: Result | Lost


class Lanes(Protocol):
    """Does jobs, several at once."""

    @property
    def info(self) -> ModelInfo:
        """The network, the same in every place."""

    @property
    def segmenter(self) -> Segmenter | None:
        """The network of this process; None if others compute."""

    def places(self) -> Mapping[str, int]:
        """Name of every place where jobs can be done now, and how many it should have at once."""

    def submit(self, place: str, number: int, job: Job) -> None:
        """Hand in a job under a number of its own."""

    def next(self, timeout_s: float) -> Ended | None:
        """The next job that has ended; None if there is none within the time."""

    def notes(self) -> list[str]:
        """What the user should know since the last time, one line each."""

    def stop(self) -> None:
        """End the jobs in hand soon; they come back as interrupted."""

    def close(self) -> None:
        """Let go of everything."""


class ThreadLanes:
    """Threads of this process.

    Parameters
    ----------
    desk : Desk
    threads : int
        At least 1.
    """

    def __init__(self, desk: Desk, threads: int) -> None:
        self._desk, self._threads = desk, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fociquant")
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self.segmenter, self.info = desk.segmenter, desk.segmenter.info

    def places(self) -> Mapping[str, int]:
        """See :class:`Lanes`."""
        # One more than threads, so that none waits while a result is being written.
        return {HERE: self._threads + 1}

    def submit(self, place: str, number: int, job: Job) -> None:
        """See :class:`Lanes`."""
        self._pool.submit(self._do, number, job)

    def _do(self, number: int, job: Job) -> None:
        self._ended.put(Ended(number, perform(job, self._desk)))

    def next(self, timeout_s: float) -> Ended | None:
        """See :class:`Lanes`."""
        try:
            return self._ended.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def notes(self) -> list[str]:
        """See :class:`Lanes`."""
        return []

    def stop(self) -> None:
        """See :class:`Lanes`."""
        self._desk.stop.set()

    def close(self) -> None:
        """See :class:`Lanes`."""
        self._desk.stop.set()
        self._pool.shutdown(cancel_futures=True)
        self._desk.images.close()
        give_back()  # tables and figures come next
