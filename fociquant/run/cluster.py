"""Worker processes: a cluster of this computer's own, or the workers of an existing scheduler.

A worker does what it is told and writes nothing; results come back to the process that runs
the study. The user's configuration of Dask is left as it is.
"""

from __future__ import annotations

import logging
import queue
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from distributed import Client, Future, KilledWorker, LocalCluster

from fociquant.errors import ClusterError, ClusterLostError
from fociquant.run import desk
from fociquant.run.acquaintance import different_versions, stranger
from fociquant.run.jobqueue import read_batch_jobs, start_jobs
from fociquant.run.jobs import Failed, Job, reason_of
from fociquant.run.lanes import Ended, Lost
from fociquant.run.memory import WINDOWS_BYTES, shares
from fociquant.run.progress import Progress
from fociquant.segment import check_model_name
from fociquant.segment.contract import ModelInfo
from fociquant.settings import ComputeSettings

CONNECT_S = 10.0
"""How long a scheduler may take to answer, s."""

START_S = 600.0
"""How long workers of this computer may take to start and load the network, s."""

REFRESH_S = 1.0
"""How often it is asked which workers there are, s."""

CLOSE_S = 5.0
"""How long letting go of them may take, s."""

GATHER_S = 20.0
"""How long the result of a finished job may take to arrive, s."""

IMAGES_LOOKED_FOR = 20
"""Images of which a worker must see the files before anything is started."""

SILENCE_S, FIRST_WORD_S = 60.0, 10.0
"""How often it is said that there is no worker, and when for the first time, s."""

NOISY_LOGGERS = ("distributed", "tornado", "asyncio")
"""Loggers whose messages are about connections; Dask sets the level of each part of its own."""

NETWORK_ERRORS = (OSError, TimeoutError, RuntimeError, ValueError, AttributeError)
"""What Dask raises where a scheduler is not there, or not one, or went away."""

ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://[^/\s]+:\d+/?")


def open_cluster(
    model: str, how: ComputeSettings, *, images: Sequence[Path], progress: Progress
) -> ClusterLanes:
    """Start worker processes, or connect to those of a scheduler, and check them.

    Parameters
    ----------
    model : str
    how : ComputeSettings
    images : sequence of pathlib.Path
    progress : Progress
        Told while waiting for workers.

    Raises
    ------
    ClusterError
        With the cure, if they cannot be used.
    SettingsError
        Unknown model.
    """
    check_model_name(model)
    with ExitStack() as cleaning:
        cleaning.enter_context(_quiet())
        if how.scheduler is None:
            lanes, wait_s = _of_this_computer(model, how, images, cleaning), START_S
        elif how.scheduler.endswith((".yaml", ".yml")):
            lanes, wait_s = _of_batch_jobs(model, how, how.scheduler, images, cleaning)
        else:
            lanes = _of_scheduler(model, how, how.scheduler, images, cleaning)
            wait_s = how.wait_for_workers_s
        lanes.wait(wait_s, how.workers or 1, progress)
        lanes.keep(cleaning.pop_all())
    return lanes


def _of_scheduler(
    model: str, how: ComputeSettings, address: str, images: Sequence[Path], cleaning: ExitStack
) -> ClusterLanes:
    if not ADDRESS.fullmatch(address):
        raise ClusterError(
            f"--scheduler {address!r} is no address. Write it as 'dask scheduler' prints it, "
            "for example tcp://127.0.0.1:8786."
        )
    client = _connected(address)
    cleaning.callback(_close, client.close, timeout=CLOSE_S)
    order = desk.Order(uuid.uuid4().hex, model, how.device, WINDOWS_BYTES, own=False)
    return ClusterLanes(client, order, images)


def _of_this_computer(
    model: str, how: ComputeSettings, images: Sequence[Path], cleaning: ExitStack
) -> ClusterLanes:
    share = shares(how, processes=how.workers)
    order = desk.Order(uuid.uuid4().hex, model, how.device, share.window_cache_bytes, own=True)
    scratch = cleaning.enter_context(
        tempfile.TemporaryDirectory(prefix="fociquant-", ignore_cleanup_errors=True)
    )
    try:
        cluster = LocalCluster(
            n_workers=how.workers,
            threads_per_worker=share.lanes,
            processes=True,
            host="127.0.0.1",
            protocol="tcp",
            scheduler_port=0,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,
            local_directory=scratch,
            silence_logs=logging.CRITICAL,
        )
    except NETWORK_ERRORS as error:
        raise ClusterError(
            f"worker processes cannot be started: {error}. Run without --workers."
        ) from error
    cleaning.callback(_close, cluster.close, timeout=CLOSE_S)
    client = Client(cluster, timeout=CONNECT_S, set_as_default=False)
    cleaning.callback(_close, client.close, timeout=CLOSE_S)
    return ClusterLanes(client, order, images)


def _of_batch_jobs(
    model: str, how: ComputeSettings, file: str, images: Sequence[Path], cleaning: ExitStack
) -> tuple[ClusterLanes, float]:
    asked = read_batch_jobs(Path(file))
    cluster = start_jobs(asked)
    cleaning.callback(_close, cluster.close, timeout=CLOSE_S)
    client = Client(cluster, timeout=CONNECT_S, set_as_default=False)
    cleaning.callback(_close, client.close, timeout=CLOSE_S)
    order = desk.Order(uuid.uuid4().hex, model, how.device, WINDOWS_BYTES, own=False)
    return ClusterLanes(client, order, images), asked.wait_s


def _close(close: Callable[..., object], *, timeout: float) -> None:
    with suppress(*NETWORK_ERRORS):
        close(timeout=timeout)


def _connected(address: str) -> Client:
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False, name="fociquant")
    except NETWORK_ERRORS as error:
        raise ClusterError(
            f"no Dask scheduler answers at {address}. Start one ('dask scheduler'), "
            "or correct --scheduler."
        ) from error
    try:
        wrong = different_versions(client.get_versions())
        if not wrong and client.run_on_scheduler(find_spec, "fociquant") is None:
            wrong = "fociquant is not installed where the scheduler runs"
    except NETWORK_ERRORS as error:
        client.close()
        raise ClusterError(f"the scheduler at {address} does not answer: {error}.") from error
    if wrong:
        client.close()
        raise ClusterError(
            f"the scheduler at {address} cannot be used: {wrong}. "
            "Install the same versions there (see docs/cluster.md), and start it again."
        )
    return client


class ClusterLanes:
    """Workers of a Dask scheduler.

    Parameters
    ----------
    client : distributed.Client
    order : Order
    images : sequence of pathlib.Path
    """

    def __init__(self, client: Client, order: desk.Order, images: Sequence[Path]) -> None:
        self._client, self._order, self._cleaning = client, order, ExitStack()
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
        self._closed = False

    @property
    def info(self) -> ModelInfo:
        """See :class:`~fociquant.run.lanes.Lanes`."""
        if self._info is None:
            raise ClusterError("no worker has loaded the network yet.")
        return self._info

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
            if time.monotonic() > until:
                break
            for note in self.notes():
                progress.say(note)
            time.sleep(0.1)
        raise ClusterError(
            f"after {timeout_s:.0f} s {there} of {least} workers can be used. "
            + ("Run with fewer --workers." if self._order.own else _start_workers(self._client))
        )

    def places(self) -> Mapping[str, int]:
        """See :class:`~fociquant.run.lanes.Lanes`."""
        if time.monotonic() - self._asked > REFRESH_S:
            self._refresh()
        # One more than threads, so that none waits for the way there and back.
        return {address: threads + 1 for address, threads in self._usable.items()}

    def _refresh(self) -> None:
        """Who has come, who is gone."""
        now = self._workers()
        self._asked = time.monotonic()
        for address in [address for address in self._usable if address not in now]:
            del self._usable[address]
            self._notes.append(f"worker {address} is gone; its blocks are done again")
            self._give_up(address)
        for address in [address for address in self._greeted if address not in now]:
            del self._greeted[address]
        for address in sorted(set(now) - {*self._usable, *self._greeted, *self._refused}):
            self._greet(address)
        for address in sorted(self._greeted):
            if self._greeted[address].done():
                self._get_to_know(address, now[address], self._greeted.pop(address))
        if not self._usable and time.monotonic() - self._told > SILENCE_S:
            self._told = time.monotonic()
            if not self._order.own:
                self._notes.append(f"waiting for workers. {_start_workers(self._client)}")

    def _workers(self) -> dict[str, int]:
        try:
            if self._client.status != "running":
                raise OSError("the connection is closed")
            return dict(self._client.nthreads())
        except NETWORK_ERRORS as error:
            raise ClusterLostError(
                "the Dask scheduler went away. What was done is kept; start the scheduler again, "
                "and the same command continues."
            ) from error

    def _greet(self, address: str) -> None:
        if self._order.own:
            self._client.run(desk.ignore_interrupts, workers=[address], wait=False)
        self._greeted[address] = self._client.submit(
            desk.describe, self._order, self._images, workers=[address], pure=False,
            allow_other_workers=False, key=f"fociquant-hello-{uuid.uuid4().hex}",
        )  # fmt: skip

    def _get_to_know(self, address: str, threads: int, answer: Future) -> None:
        try:
            described = answer.result(timeout=GATHER_S)
        except NETWORK_ERRORS as error:
            self._refuse(address, stranger(address, error))
            return
        except ImportError as error:
            self._refuse(address, stranger(address, error))
            return
        except KilledWorker:
            return  # it is gone already, or will be greeted again
        wrong = stranger(address, described, expected=self._info)
        if wrong:
            self._refuse(address, wrong)
            return
        self._info = self._info or described.model
        self._usable[address] = threads

    def _refuse(self, address: str, reason: str) -> None:
        self._refused[address] = reason
        self._notes.append(f"not used: {reason}")

    def submit(self, place: str, number: int, job: Job) -> None:
        """See :class:`~fociquant.run.lanes.Lanes`."""
        future = self._client.submit(
            desk.perform_for, self._order, job, workers=[place], allow_other_workers=False,
            pure=False, retries=0, key=f"fociquant-{self._order.run}-{number}",
        )  # fmt: skip
        self._in_hand[number] = (place, future)
        future.add_done_callback(partial(self._note_end, number))

    def _note_end(self, number: int, future: Future) -> None:
        self._finished.put((number, future))

    def _give_up(self, address: str) -> None:
        for number in [n for n, (place, _) in self._in_hand.items() if place == address]:
            place, future = self._in_hand.pop(number)
            future.cancel()
            self._lost.append(Ended(number, Lost(place)))

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
                future.cancel()  # the worker died with the result
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
            with suppress(*NETWORK_ERRORS):
                self._client.cancel([*futures, *self._greeted.values()])

    def keep(self, cleaning: ExitStack) -> None:
        """What is to be let go of in the end."""
        self._cleaning = cleaning


def _start_workers(client: Client) -> str:
    address = client.scheduler.address if client.scheduler is not None else "ADDRESS"
    return f"Start workers with 'dask worker {address}'."


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask tells of every connection that breaks; here that is expected and handled."""
    names = [
        name for name in logging.root.manager.loggerDict if name.split(".")[0] in NOISY_LOGGERS
    ]
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
