"""The signals by which work is asked to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def _there(*names: str) -> list[signal.Signals]:
    """Those that this system has: Windows knows no SIGHUP."""
    return [signal.Signals[name] for name in names if name in signal.Signals.__members__]


FROM_TERMINAL = _there("SIGINT", "SIGHUP")
"""Ctrl-C, and a terminal that closes: every process that was started in it gets them."""

ENDINGS = [*FROM_TERMINAL, *_there("SIGTERM")]
"""These, and what a batch system sends."""


@contextmanager
def asked_to_end(stop: threading.Event) -> Iterator[Callable[[], bool]]:
    """While entered, the first signal of :data:`ENDINGS` only sets `stop`; the second is Python's.

    Those that were told to be ignored are: ``nohup`` and shells do so for what shall go on.
    Outside the main thread, which alone gets signals, nothing is changed.

    Yields
    ------
    callable
        Whether `stop` is set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return
    previous = {number: signal.getsignal(number) for number in ENDINGS}
    previous = {number: how for number, how in previous.items() if how != signal.SIG_IGN}

    def ask(number: int, frame: object) -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in previous:
        signal.signal(number, ask)
    try:
        yield stop.is_set
    finally:
        restore()


@contextmanager
def as_ctrl_c() -> Iterator[None]:
    """While entered, every signal of :data:`ENDINGS` ends what is done as Ctrl-C does.

    Left as they are: signals that are ignored, and those that somebody else handles.

    Raises
    ------
    KeyboardInterrupt
        Wherever the main thread is when one comes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    mine = [number for number in ENDINGS if signal.getsignal(number) == signal.SIG_DFL]
    for number in mine:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)
