"""Looking at files of ours on drives that answer badly for a moment.

What is not there and what cannot be read are two things: what is not there is made again, while
a drive in trouble must neither change a count nor make anybody's decisions go missing.
"""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from fociquant.errors import UnreadableError, said

Found = TypeVar("Found")

ABSENT = (FileNotFoundError, NotADirectoryError)
"""The only answers of a system that say that there is no such file. Windows gives them too where
the drive or the share went away."""

WAITS_S = (0.05, 0.2, 0.5)
"""Waits before a file that could not be read is tried again, s."""

CURE = "Check the drive, then run the same command again; what is stored is kept."
"""What helps where a file cannot be read."""


def look_at(path: Path, look: Callable[[Path], Found]) -> Found | None:
    """What a look at a file gives; a bad moment of the drive is waited out.

    Parameters
    ----------
    path : pathlib.Path
    look : callable
        Is given the path, more than once if it raises an :class:`OSError` of the system.

    Returns
    -------
    object
        What `look` returned; None where there is no such file.

    Raises
    ------
    UnreadableError
        If the drive does not let it be read.
    OSError
        Of a library, without a number of the system: what is in the file is damaged.
    """
    waits = iter(WAITS_S)
    while True:
        try:
            return look(path)
        except OSError as error:
            if isinstance(error, ABSENT) and _drive_is_there(path):
                return None
            if error.errno is None:
                raise
            wait_s = next(waits, None)
            if wait_s is None:
                raise unreadable(path, error) from error
        time.sleep(wait_s)


def _drive_is_there(path: Path) -> bool:
    """Whether the drive or share of a path answers; elsewhere than on Windows there is one root."""
    if sys.platform != "win32":
        return True
    try:
        root_of(path).stat()
    except OSError:
        return False
    return True


def root_of(path: Path) -> Path:
    r"""The root of its drive or share: ``C:\``, ``\\server\share\``, ``/``."""
    return Path(path.absolute().anchor)


def is_file(path: Path) -> bool:
    """Whether there is a file, see :func:`look_at`."""
    found = look_at(path, Path.stat)
    return found is not None and stat.S_ISREG(found.st_mode)


def is_folder(path: Path) -> bool:
    """Whether there is a folder, see :func:`look_at`."""
    found = look_at(path, Path.stat)
    return found is not None and stat.S_ISDIR(found.st_mode)


def unreadable(path: Path, error: OSError) -> UnreadableError:
    """The error for a file that the drive does not let be read."""
    return UnreadableError(f"{path} cannot be read: {said(error)}. {CURE}")
