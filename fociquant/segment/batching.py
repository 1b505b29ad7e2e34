"""Full batches for a GPU, from windows of whatever block or section asks for them.

Threads hand in their windows and wait. One of those that wait takes as many windows of
one shape as fill a batch, computes them for all, and the next takes the next. Nobody
runs in the background, and while one batch is computed the next gathers by itself.

Every batch has the same number of windows (the last is filled up with empty ones), because
a GPU may round differently at another size: what a window gives must not depend on
who else was waiting.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from fociquant.errors import ModelError
from fociquant.segment.contract import ModelInfo, Segmenter
from fociquant.segment.devices import free_memory, is_out_of_memory

LINGER_S = 0.003
"""How long a batch waits to be filled, s; a fraction of the time that it takes to compute."""

IN_FLIGHT = 2
"""Batches handed to the device at once: the next is prepared while one is computed."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """One window, and where its output goes."""

    window: np.ndarray
    output: Future[np.ndarray] = field(default_factory=Future)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.window.shape


class BatchingSegmenter:
    """A segmenter that gathers the windows of all threads into batches of one size.

    Where a batch does not fit into the device's memory it is halved, for the rest of the
    run, and the work goes on.

    Parameters
    ----------
    inner : Segmenter
        Does the work. Its ``info.batch`` is the size of the batches.
    linger_s : float
        How long an incomplete batch waits for more windows, s.
    """

    def __init__(self, inner: Segmenter, *, linger_s: float = LINGER_S) -> None:
        self._inner, self._linger_s = inner, linger_s
        self._batch = inner.info.batch
        self._waiting: list[_Job] = []
        self._changed = threading.Condition()
        self._turns = threading.Semaphore(IN_FLIGHT)

    @property
    def info(self) -> ModelInfo:
        """Facts of the network; ``batch`` is what fits into memory, as far as it is known."""
        return replace(self._inner.info, batch=self._batch)

    def flows(self, windows: np.ndarray) -> np.ndarray:
        """See :class:`fociquant.segment.contract.Segmenter`; may be called by many threads.

        Raises
        ------
        ModelError
            If not even one window fits into the device's memory.
        """
        jobs = [_Job(window) for window in windows]
        with self._changed:
            self._waiting.extend(jobs)
            self._changed.notify_all()
        while not all(job.output.done() for job in jobs):
            with self._turns:
                taken = self._take()
                self._compute(taken)
            if not taken:  # what is not done yet is in the hands of another thread
                break
        return np.stack([job.output.result() for job in jobs])

    def _take(self) -> list[_Job]:
        """A batch of the oldest windows of one shape; waits a moment for a full one."""
        with self._changed:
            self._changed.wait_for(self._enough, self._linger_s)
            taken = self._next()
            chosen = {id(job) for job in taken}
            self._waiting = [job for job in self._waiting if id(job) not in chosen]
        return taken

    def _enough(self) -> bool:
        return not self._waiting or len(self._next()) == self._batch

    def _next(self) -> list[_Job]:
        alike = (job for job in self._waiting if job.shape == self._waiting[0].shape)
        return list(islice(alike, self._batch))

    def _compute(self, jobs: list[_Job]) -> None:
        """Compute windows of one shape, in smaller batches if they do not fit."""
        done = 0
        try:
            while done < len(jobs):
                size = self._batch
                part = jobs[done : done + size]
                outputs = self._try(part, size)
                if outputs is None:
                    continue
                for job, output in zip(part, outputs, strict=False):
                    job.output.set_result(output)
                done += len(part)
        except BaseException as error:
            for job in jobs[done:]:
                job.output.set_exception(error)
            raise

    def _try(self, jobs: list[_Job], size: int) -> np.ndarray | None:
        """Outputs of a batch filled up to `size`; None if it did not fit into memory."""
        batch = np.zeros((size, *jobs[0].shape), np.float32)
        for place, job in zip(batch, jobs, strict=False):
            place[:] = job.window
        try:
            return self._inner.flows(batch)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._halve(size, error)
            return None

    def _halve(self, size: int, error: RuntimeError) -> None:
        if size == 1:
            raise ModelError(
                f"the memory of {self.info.device} does not hold one window of the network. "
                "End other programs that use it, or write --device cpu."
            ) from error
        with self._changed:
            # Another batch in flight may have been halved already.
            self._batch = min(self._batch, size // 2)
        free_memory(self.info.device)
        _log.warning("%s is short of memory: batches of %d.", self.info.device, self._batch)
