"""One writer at a time in a file: also between processes, on every system."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fociquant.errors import ResultsError

PATIENCE_S = 5.0
"""How long another writer is waited for."""

PAUSE_S = 0.005
"""Between two tries."""

if sys.platform == "win32":
    import msvcrt

    FAR = 0x7FFF0000
    """A byte that no log reaches: locks on Windows also keep readers out of what they cover."""

    def _try_lock(handle: int) -> None:
        os.lseek(handle, FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def _unlock(handle: int) -> None:
        os.lseek(handle, FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)


@contextmanager
def locked(handle: int, path: Path) -> Iterator[None]:
    """Hold an exclusive lock on an open file.

    On a network drive that knows no locks the block runs without one: the writer notices
    by the file's size if another one was faster.

    Parameters
    ----------
    handle : int
        File descriptor.
    path : pathlib.Path
        For the message.

    Raises
    ------
    ResultsError
        If another process holds it for longer than :data:`PATIENCE_S`.
    """
    held = _acquire(handle, path)
    try:
        yield
    finally:
        if held:
            with suppress(OSError):
                _unlock(handle)


def _acquire(handle: int, path: Path) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            _try_lock(handle)
        except (BlockingIOError, PermissionError):
            if time.monotonic() > deadline:
                raise ResultsError(
                    f"{path} is held by another program. Close the other window and try again."
                ) from None
            time.sleep(PAUSE_S)
        except OSError:
            return False
        else:
            return True
