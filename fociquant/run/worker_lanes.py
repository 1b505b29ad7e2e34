"""The workers of a Dask scheduler as lanes: who is there, what each has in hand, who died."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from distributed import Client, Future, KilledWorker
from distributed import client as dask_client
from distributed.comm import CommClosedError

from fociquant.errors import ClusterError, ClusterLostError
from fociquant.run import desk
from fociquant.run.acquaintance import stranger
from fociquant.run.jobqueue import BatchQueue
from fociquant.run.jobs import Failed, Job, reason_of
from fociquant.run.lanes import Ended, Lost
from fociquant.run.progress import Progress
from fociquant.segment.contract import ModelInfo

REFRESH_S = 1.0
"""How often it is asked which workers there are, s."""

GATHER_S = 20.0
"""How long the result of a finished job may take to arrive, s."""

HELLO_S = 120.0
"""The same for a worker's first words, s: a scheduler that has just been sent work loads the
network's libraries too, and answers nobody in that time."""

IMAGES_LOOKED_FOR = 20
"""Images of which a worker must see the files before anything is started."""

START_S = 600.0
"""How long workers of this computer may take to start and load the network, s."""

SILENCE_S, FIRST_WORD_S = 60.0, 10.0
"""How often it is said that there is no worker, and when for the first time, s."""

DEATHS_LOADING = 3
"""Workers that die while they load the network, after which it is said."""

ROUNDS = 3
"""So many times as many of this computer's own, and it is given up."""

AWAY = (
    "the Dask scheduler went away. What was done is kept; start the scheduler again, and the same "
    "command continues."
)
"""What is said when nothing can be asked of the scheduler any more."""

CLOSED: type[Exception] = getattr(dask_client, "ClosedClientError", RuntimeError)
"""What is raised by whatever is asked of a client that lost its scheduler; not in older Dask."""

NETWORK_ERRORS = (
    OSError, TimeoutError, RuntimeError, ValueError, AttributeError, AssertionError, CancelledError,
    CLOSED,
)  # fmt: skip
"""What Dask raises where a scheduler is not there, or not one, or went away."""


class ClusterLanes:
    """Workers of a Dask scheduler.

    Parameters
    ----------
    client : distributed.Client
    order : Order
    images : sequence of pathlib.Path
    jobs : BatchQueue, optional
        Whose workers these are.
    """

    def __init__(
        self,
        client: Client,
        order: desk.Order,
        images: Sequence[Path],
        jobs: BatchQueue | None = None,
    ) -> None:
        self._client, self._order, self._cleaning = client, order, ExitStack()
        self._jobs, self._died_loading = jobs, 0
        self._images = list(images)[:IMAGES_LOOKED_FOR]
        self._info: ModelInfo | None = None
        self._usable: dict[str, int] = {}
        self._greeted: dict[str, Future] = {}
        self._refused: dict[str, str] = {}
        self._in_hand: dict[int, tuple[str, Future]] = {}
        self._finished: queue.SimpleQueue[tuple[int, Future]] = queue.SimpleQueue()
        self._lost: list[Ended] = []
        self._notes: list[str] = []
        self._asked = 0.0
        self._told = time.monotonic() - SILENCE_S + FIRST_WORD_S
        self._seen = time.monotonic()
        self._closed = False

    @property
    def info(self) -> ModelInfo:
        """See :class:`~fociquant.run.lanes.Lanes`."""
        if self._info is None:
            raise ClusterError("no worker has loaded the network yet.")
        return self._info

    @property
    def segmenter(self) -> None:
        """See :class:`~fociquant.run.lanes.Lanes`: the workers have their own."""
        return

    def wait(self, timeout_s: float, least: int, progress: Progress) -> None:
        """Wait for so many workers.

        Raises
        ------
        ClusterError
            If none comes in time, or one of them cannot be used.
        """
        until = time.monotonic() + timeout_s
        while True:
            self._refresh()
            if self._refused:
                raise ClusterError(next(iter(self._refused.values())))
            there = len(self._usable)
            if there >= least and not self._greeted:
                return
            if time.monotonic() > until or self._hopeless():
                break
            for note in self.notes():
                progress.say(note)
            time.sleep(0.1)
        waited_s = time.monotonic() - until + timeout_s
        raise ClusterError(
            f"after {waited_s:.0f} s {there} of {least} workers can be used. {self._cure()}"
        )

    def _hopeless(self) -> bool:
        """Worker processes of our own end whenever they load the network."""
        return self._order.own and self._died_loading >= DEATHS_LOADING * ROUNDS

    def _cure(self) -> str:
        dying = self._dying() if self._died_loading >= DEATHS_LOADING else ""
        if self._order.own:
            return f"{dying} Run with fewer --workers.".lstrip()
        if dying:
            return dying
        if self._greeted:
            silent = sorted(self._greeted)[0]
            return f"Worker {silent} has not loaded the network in that time: look into its log."
        return self._start_workers()

    def _dying(self) -> str:
        return (
            f"Workers ended {self._died_loading} times while they loaded the network, as happens "
            f"with too little memory{'' if self._order.own else ': look into their logs'}."
        )

    def _start_workers(self) -> str:
        if self._jobs is not None:
            return self._jobs.cure
        there = self._client.scheduler
        return f"Start workers with 'dask worker {'ADDRESS' if there is None else there.address}'."

    def places(self) -> Mapping[str, int]:
        """See :class:`~fociquant.run.lanes.Lanes`."""
        if time.monotonic() - self._asked > REFRESH_S:
            self._refresh()
        # One more than threads, so that none waits for the way there and back.
        return {address: threads + 1 for address, threads in self._usable.items()}

    def _refresh(self) -> None:
        """Who has come, who is gone."""
        now = self._workers()
        self._asked = now_s = time.monotonic()
        for address in [address for address in self._usable if address not in now]:
            del self._usable[address]
            self._notes.append(f"worker {address} is gone; its blocks are done again")
            self._give_up(address)
        for address in [address for address in self._greeted if address not in now]:
            del self._greeted[address]
            self._note_death(address)
        for address in sorted(set(now) - {*self._usable, *self._greeted, *self._refused}):
            self._greet(address)
        for address in sorted(self._greeted):
            if self._greeted[address].done():
                self._get_to_know(address, now[address], self._greeted.pop(address))
        if self._jobs is not None:
            self._notes += self._jobs.keep_up(usable=bool(self._usable))
        if self._usable:
            self._seen = now_s
        else:
            self._wait_on(now_s)

    def _note_death(self, address: str) -> None:
        """A worker died on its first words; another one, or the same started again, will come."""
        self._died_loading += 1
        if self._died_loading % DEATHS_LOADING == 0:
            self._notes.append(f"worker {address} is gone. {self._dying()}")

    def _wait_on(self, now_s: float) -> None:
        """Nobody is there: say so now and then; worker processes of our own must come back."""
        never = self._hopeless() or now_s - self._seen > START_S
        if self._order.own and self._info is not None and never:
            raise ClusterLostError(
                "no worker process could be started again. What was done is kept; the same command "
                "continues. With fewer --workers each has more memory."
            )
        if now_s - self._told > SILENCE_S:
            self._told = now_s
            if self._greeted:
                self._notes.append(f"waiting for workers to load the network: {len(self._greeted)}")
            elif not self._order.own:
                self._notes.append(f"waiting for workers. {self._start_workers()}")
            elif self._info is not None:
                self._notes.append("waiting for worker processes to start again")

    def _workers(self) -> dict[str, int]:
        try:
            if self._client.status != "running":
                raise OSError("the connection is closed")
            return dict(self._client.nthreads())
        except NETWORK_ERRORS as error:
            raise ClusterLostError(AWAY) from error

    def _greet(self, address: str) -> None:
        if self._order.own:
            # It may have died since it was seen.
            self._client.run(
                desk.ignore_interrupts, workers=[address], wait=False, on_error="ignore"
            )
            self._greeted[address] = self._describing(address)
        else:
            # A worker that is sent what it cannot import ends, and says why only in its log.
            self._greeted[address] = self._asked_of(address, find_spec, desk.__name__)

    def _describing(self, address: str) -> Future:
        return self._asked_of(address, desk.describe, self._order, self._images)

    def _asked_of(self, address: str, what: Callable[..., Any], *about: Any) -> Future:
        return self._client.submit(
            what, *about, workers=[address], pure=False, allow_other_workers=False,
            key=f"fociquant-hello-{uuid.uuid4().hex}",
        )  # fmt: skip

    def _get_to_know(self, address: str, threads: int, answer: Future) -> None:
        error = answer.exception() if answer.status == "error" else None
        if isinstance(error, KilledWorker):
            self._note_death(address)  # it is gone already, or will be greeted again
            return
        if error is not None and not isinstance(error, CommClosedError):
            self._refuse(address, stranger(address, error))
            return
        try:
            described = answer.result(timeout=HELLO_S)
        except NETWORK_ERRORS as silence:
            if address in self._workers():
                self._refuse(address, stranger(address, silence))
            else:
                self._note_death(address)
            return
        if described is None:
            missing = ImportError(f"no module named {desk.__name__!r}")
            self._refuse(address, stranger(address, missing))
            return
        if not isinstance(described, desk.Description):
            self._greeted[address] = self._describing(address)
            return
        wrong = stranger(address, described, expected=self._info)
        if wrong:
            self._refuse(address, wrong)
            return
        self._info = self._info or described.model
        self._usable[address], self._died_loading = threads, 0

    def _refuse(self, address: str, reason: str) -> None:
        self._refused[address] = reason
        self._notes.append(f"not used: {reason}")

    def submit(self, place: str, number: int, job: Job) -> None:
        """See :class:`~fociquant.run.lanes.Lanes`."""
        try:
            future = self._client.submit(
                desk.perform_for, self._order, job, workers=[place], allow_other_workers=False,
                pure=False, retries=0, key=f"fociquant-{self._order.run}-{number}",
            )  # fmt: skip
        except CLOSED as error:
            raise ClusterLostError(AWAY) from error
        self._in_hand[number] = (place, future)
        future.add_done_callback(partial(self._note_end, number))

    def _note_end(self, number: int, future: Future) -> None:
        self._finished.put((number, future))

    def _give_up(self, address: str) -> None:
        for number in [n for n, (place, _) in self._in_hand.items() if place == address]:
            place, future = self._in_hand.pop(number)
            self._cancel([future])
            self._lost.append(Ended(number, Lost(place)))

    def _cancel(self, futures: Sequence[Future]) -> None:
        """Let go of jobs; where the scheduler is gone, they are as well."""
        with suppress(*NETWORK_ERRORS):
            self._client.cancel(list(futures))

    def next(self, timeout_s: float) -> Ended | None:
        """See :class:`~fociquant.run.lanes.Lanes`."""
        if self._lost:
            return self._lost.pop(0)
        try:
            number, future = self._finished.get(timeout=timeout_s)
        except queue.Empty:
            return None
        held = self._in_hand.pop(number, None)
        return None if held is None else self._ended(number, held[0], future)

    def _ended(self, number: int, place: str, future: Future) -> Ended:
        if future.status == "finished":
            try:
                return Ended(number, future.result(timeout=GATHER_S))
            except NETWORK_ERRORS:
                self._cancel([future])  # the worker died with the result
                return Ended(number, Lost(place))
        error = future.exception() if future.status == "error" else None
        if error is None or isinstance(error, KilledWorker):
            return Ended(number, Lost(place))
        return Ended(number, Failed(reason_of(error), again=True))

    def notes(self) -> list[str]:
        """See :class:`~fociquant.run.lanes.Lanes`."""
        notes, self._notes = self._notes, []
        return notes

    def stop(self) -> None:
        """See :class:`~fociquant.run.lanes.Lanes`."""
        if self._client.status == "running":
            with suppress(*NETWORK_ERRORS):
                self._client.run(desk.end, self._order.run, wait=False, on_error="ignore")

    def close(self) -> None:
        """See :class:`~fociquant.run.lanes.Lanes`."""
        if self._closed:
            return
        self._closed = True
        with self._cleaning:
            self.stop()
            futures = [future for _, future in self._in_hand.values()]
            self._in_hand.clear()
            self._cancel([*futures, *self._greeted.values()])

    def keep(self, cleaning: ExitStack) -> None:
        """What is to be let go of in the end."""
        self._cleaning = cleaning
