"""What a worker process keeps between jobs: one loaded network, its open images, its caches."""

from __future__ import annotations

import signal
import socket
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fociquant import __version__
from fociquant.errors import FociquantError
from fociquant.run.endings import FROM_TERMINAL
from fociquant.run.jobs import Desk, Interrupted, Job, Result, perform
from fociquant.run.memory import share_arenas
from fociquant.segment import load_segmenter
from fociquant.segment.contract import ModelInfo, Segmenter
from fociquant.segment.windows import WindowCache

RUNS_KEPT = 2
"""Runs whose caches a worker keeps; an older one was ended without saying so."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a run asks of every worker.

    Parameters
    ----------
    run : str
        Unique.
    model, device : str
        As the user named them.
    window_cache_bytes : int
    own : bool
        Whether the run started its workers; of several CUDA devices each of these takes one.
    """

    run: str
    model: str
    device: str
    window_cache_bytes: int
    own: bool


@dataclass(frozen=True, slots=True)
class Description:
    """What a worker says of itself.

    Parameters
    ----------
    host, version : str
    model : ModelInfo or None
        None if it cannot be loaded.
    problem : str
        Why; empty if it can.
    missing : tuple of str
        Images that the worker does not see.
    """

    host: str
    version: str
    model: ModelInfo | None
    problem: str
    missing: tuple[str, ...]


_lock = threading.Lock()
_segmenters: dict[tuple[str, str], Segmenter] = {}
_desks: OrderedDict[str, Desk] = OrderedDict()
_ended: deque[str] = deque(maxlen=1000)


def describe(order: Order, images: Sequence[Path]) -> Description:
    """Load the network of a run and look whether the images are there."""
    missing = tuple(str(path) for path in images if not path.exists())
    model, problem = None, _absent(order.model)
    try:
        desk = None if problem else _desk(order)
        model = None if desk is None else desk.segmenter.info
    except FociquantError as error:
        problem = str(error)
    return Description(socket.gethostname(), __version__, model, problem, missing)


def _absent(model: str) -> str:
    """What to say of a file of weights that this worker does not see; empty if it does."""
    if not Path(model).is_absolute() or Path(model).exists():
        return ""  # a name, see `fociquant.run.cluster.open_cluster`
    return (
        f"the weights {model} are not there. Put the same file under the same path on every "
        "computer."
    )


def perform_for(order: Order, job: Job) -> Result:
    """Do a job of a run at this worker's desk."""
    desk = _desk(order)
    return Interrupted() if desk is None else perform(job, desk)


async def end(run: str) -> None:
    """A run has ended, or is to end: its jobs come back soon, its images are closed.

    A coroutine, like the next one, because Dask waits for the answer of a function.
    """
    with _lock:
        _ended.append(run)
        desk = _desks.pop(run, None)
    if desk is not None:
        desk.stop.set()
        desk.images.close()


async def ignore_interrupts() -> None:
    """What ends a terminal's processes reaches all; a run itself tells its workers to end."""
    if threading.current_thread() is threading.main_thread():
        for number in FROM_TERMINAL:
            signal.signal(number, signal.SIG_IGN)


def _desk(order: Order) -> Desk | None:
    """The desk of a run; None if the run has ended."""
    with _lock:
        if order.run in _ended:
            return None
        desk = _desks.get(order.run)
        if desk is None:
            cache = WindowCache(order.window_cache_bytes)
            share_arenas()
            desk = _desks[order.run] = Desk(_segmenter(order), cache)
            while len(_desks) > RUNS_KEPT:
                _desks.popitem(last=False)[1].images.close()
        _desks.move_to_end(order.run)
        return desk


def _segmenter(order: Order) -> Segmenter:
    from fociquant.segment.devices import one_of_several

    number = _own_number() if order.own else None
    device = order.device if number is None else one_of_several(order.device, number)
    name = (order.model, device)
    if name not in _segmenters:
        _segmenters.clear()  # a worker does not hold two networks in memory
        _segmenters[name] = load_segmenter(order.model, device=device)
    return _segmenters[name]


def _own_number() -> int | None:
    from distributed import get_worker

    name = get_worker().name
    return name if isinstance(name, int) else None
