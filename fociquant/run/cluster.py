"""Worker processes: a cluster of this computer's own, or the workers of an existing scheduler.

A worker does what it is told and writes nothing; results come back to the process that runs
the study. The user's configuration of Dask is left as it is.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import struct
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import dask.config
from distributed import Client, LocalCluster, Security
from distributed.comm import connect
from distributed.config import defaults as dask_defaults
from distributed.versions import VersionMismatchWarning

from fociquant.errors import ClusterError
from fociquant.run import desk
from fociquant.run.acquaintance import different_versions
from fociquant.run.endings import FROM_TERMINAL
from fociquant.run.jobqueue import BatchQueue, read_batch_jobs
from fociquant.run.memory import WINDOWS_BYTES, shares
from fociquant.run.progress import Progress
from fociquant.run.worker_lanes import NETWORK_ERRORS, START_S, ClusterLanes
from fociquant.segment import check_model_name
from fociquant.segment.contract import ModelInfo
from fociquant.segment.late import file_sha256
from fociquant.segment.registry import CELLPOSE_NAMES, EMBEDDED
from fociquant.settings import ComputeSettings

CONNECT_S = 10.0
"""How long a scheduler may take to answer, s."""

LOST_WORKER = "distributed.deploy.lost-worker-timeout"
"""How long Dask gives a worker that died to be back, before it is given up for good: 15 s, in
which a busy computer has not loaded the network. Ours may take :data:`START_S`."""

CLOSE_S = 5.0
"""How long letting go of them may take, s."""

NOISY_LOGGERS = ("distributed", "tornado", "asyncio")
"""Loggers whose messages are about connections; Dask sets the level of each part of its own."""

NOT_DASK = (MemoryError, LookupError, struct.error)
"""What Dask raises for the greeting of another program: it takes letters for lengths."""

ADDRESS = re.compile(r"(tcp|tls)://[^/\s]+:\d+/?")


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
    is_name = model == EMBEDDED or model in CELLPOSE_NAMES
    weights = None if is_name else Path(model).resolve()
    if weights is not None:
        model = str(weights)  # workers were started in other folders
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
        if weights is not None:
            _require_same(weights, lanes.info)
        lanes.keep(cleaning.pop_all())
    return lanes


def _require_same(weights: Path, found: ModelInfo) -> None:
    """Refuse workers that have another file under the name of this computer's weights."""
    here = file_sha256(weights)
    if found.sha256 != here:
        raise ClusterError(
            f"the workers have other weights as {weights} (sha256 {found.sha256[:12]}, here "
            f"{here[:12]}). Copy the same file to every computer."
        )


def _of_scheduler(
    model: str, how: ComputeSettings, address: str, images: Sequence[Path], cleaning: ExitStack
) -> ClusterLanes:
    if not ADDRESS.fullmatch(address):
        raise ClusterError(
            f"--scheduler {address!r} is no address. Write it as 'dask scheduler' prints it, "
            "for example tcp://127.0.0.1:8786."
        )
    _require_scheduler(address)
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
    # Not the user's: these are for other clusters, and ours dies of a time limit of seconds.
    cleaning.enter_context(dask.config.set(deepcopy(dask_defaults)))
    cleaning.enter_context(dask.config.set({LOST_WORKER: START_S}))
    cluster = _started(
        partial(
            LocalCluster,
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
    )
    cleaning.callback(_close, cluster.close, timeout=CLOSE_S)
    client = Client(cluster, timeout=CONNECT_S, set_as_default=False)
    cleaning.callback(_close, client.close, timeout=CLOSE_S)
    return ClusterLanes(client, order, images)


def _started(start: Callable[[], LocalCluster], *, again: bool = True) -> LocalCluster:
    """Worker processes; `again` from the beginning if one of them dies before it is there."""
    try:
        return _deaf_to_the_terminal(start)
    except NETWORK_ERRORS as error:
        if again:
            return _started(start, again=False)
        raise ClusterError(
            f"worker processes cannot be started: {error}. Run without --workers."
        ) from error


def _deaf_to_the_terminal(start: Callable[[], LocalCluster]) -> LocalCluster:
    """Start processes that a Ctrl-C does not reach, even before they can say that they ignore it.

    They inherit what the thread blocks that starts them; Windows has no such thing.
    """
    with ThreadPoolExecutor(1, initializer=_block_what_comes_from_the_terminal) as starting:
        started = starting.submit(start)
        try:
            return started.result()
        except KeyboardInterrupt:
            with suppress(*NETWORK_ERRORS):  # on Windows they may have heard it too, and died of it
                started.result().close(timeout=CLOSE_S)
            raise


def _block_what_comes_from_the_terminal() -> None:
    if hasattr(signal, "pthread_sigmask"):
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # its start lets Ctrl-C through again
        signal.pthread_sigmask(signal.SIG_BLOCK, FROM_TERMINAL)


def _of_batch_jobs(
    model: str, how: ComputeSettings, file: str, images: Sequence[Path], cleaning: ExitStack
) -> tuple[ClusterLanes, float]:
    asked = read_batch_jobs(Path(file))
    cleaning.enter_context(dask.config.set({LOST_WORKER: START_S}))
    queue = BatchQueue(asked)
    cleaning.callback(_close, queue.cluster.close, timeout=CLOSE_S)
    client = Client(queue.cluster, timeout=CONNECT_S, set_as_default=False)
    cleaning.callback(_close, client.close, timeout=CLOSE_S)
    queue.hand_in()
    order = desk.Order(uuid.uuid4().hex, model, how.device, WINDOWS_BYTES, own=False)
    return ClusterLanes(client, order, images, queue), asked.wait_s


def _close(close: Callable[..., object], *, timeout: float) -> None:
    with suppress(*NETWORK_ERRORS):
        close(timeout=timeout)


def _require_scheduler(address: str) -> None:
    """Greet it, as another program at that address may take everything and never answer.

    In a thread of its own, as this one may have a loop that runs.
    """
    try:
        with ThreadPoolExecutor(1) as greeting:
            greeting.submit(asyncio.run, _greeted(address)).result()
    except OSError as error:
        raise ClusterError(
            f"no Dask scheduler answers at {address}. Start one ('dask scheduler'), "
            "or correct --scheduler."
        ) from error
    except NOT_DASK as error:
        raise ClusterError(
            f"what answers at {address} is no Dask scheduler. Write --scheduler as "
            "'dask scheduler' prints it."
        ) from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise ClusterError(
            f"what is at {address} cannot be spoken to: {error}. A tls:// address needs Dask's "
            "certificates (distributed.comm.tls) here too."
        ) from error


async def _greeted(address: str) -> None:
    how = Security().get_connection_args("client")
    comm = await asyncio.wait_for(connect(address, timeout=CONNECT_S, **how), CONNECT_S)
    await comm.close()


def _connected(address: str) -> Client:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # told below, with the cure
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
