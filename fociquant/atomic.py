"""Whole files or none: a temporary name beside the target, then a rename.

The one place where files of any room get their final name. A target that exists is replaced,
and is as it was if anything goes wrong on the way, a power cut included.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fociquant.errors import DiskError, said

TEMPORARY = ".tmp"
"""Ending of files that are being written; their names begin with a dot."""

KEPT_CHARACTERS = 60
"""Of a target's name in a temporary one: a file name has at most 255 bytes, a character 4."""

IN_USE = (5, 32, 33, 145, 303, 1224)
"""Windows: access denied, sharing violation, lock violation, directory not empty, deletion pending,
user-mapped section open. Another program has the file, or one in the folder, open."""

WAIT_S = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Waits before a file in use is tried again, s: virus scanners let go after about a second."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk, the user's share of it, or what one file may have of it is used up."""

LONGEST_PATH = 259
"""Characters of a path on Windows, unless long paths were switched on (MAX_PATH less the end)."""

LONGEST_FOLDER = 247
"""The same of a folder: there is always room for a short name in it."""

SHORTEN = "Choose a folder with a shorter path, for example nearer to the drive's root."
"""What helps where a path is too long."""

ELSEWHERE = "choose another folder."
"""What helps wherever one folder does not."""

_MARKS: dict[Path, tuple[Path, ...]] = {}
"""Folders in which somebody works to the files by which they are known, see :func:`known_by`."""

CLOSE_IT = "Close the program that has it open, then run the same command again."
"""What helps where another program holds the target, on Windows."""


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that takes its place when the block ends well.

    Parameters
    ----------
    target : pathlib.Path
        Its folder exists.

    Yields
    ------
    pathlib.Path
        Does not exist yet, in the same folder (a rename across disks is not atomic). Write a
        file to it and close every handle before the block ends: Windows renames no open file.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written; the disk is full; another program
        holds the target (Windows). Nothing is left behind.
    """
    name = f".{target.name[:KEPT_CHARACTERS]}.{secrets.token_hex(4)}{TEMPORARY}"
    temporary = target.with_name(name)
    try:
        yield temporary
        _flush(temporary)
        put_in_place(temporary, target)
    except BaseException:
        discard(temporary)
        raise


@contextmanager
def atomic_path(target: Path, *, cure: str = "") -> Iterator[Path]:
    """Like :func:`whole_file`, for files of ours: the folder is made, errors say what helps.

    Parameters
    ----------
    target : pathlib.Path
    cure : str, optional
        What the user can do if the disk does not take it, one sentence; default: from the error.

    Yields
    ------
    pathlib.Path

    Raises
    ------
    DiskError
        If it cannot be written: full, read-only, no permission, open elsewhere; or it lies in a
        folder that is not there any more, see :func:`known_by`.
    """
    require_folder(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as temporary:
            yield temporary
    except OSError as error:
        raise cannot_write(target, error, cure=cure) from error


@contextmanager
def known_by(folder: Path, marks: Sequence[Path]) -> Iterator[None]:
    """Within the block, files of ours are written below a folder only while it is there.

    A drive that goes away leaves its mount point: an empty folder, often one that can be
    written, in which all that follows would be begun anew, on the system's own disk.

    Parameters
    ----------
    folder : pathlib.Path
    marks : sequence of pathlib.Path
        Files in it. One of them is there now, and as long as it is the same folder.
    """
    _MARKS[folder] = tuple(marks)
    try:
        yield
    finally:
        _MARKS.pop(folder, None)


def require_folder(target: Path) -> None:
    """Refuse a target in a folder that went away, see :func:`known_by`.

    Raises
    ------
    DiskError
    """
    folder = _gone_above(target)
    if folder is not None:
        raise DiskError(
            f"the results folder {folder} is not there any more: its drive was taken off, or "
            "it was moved. Bring it back."
        )


def leave_nothing(target: Path) -> None:
    """Remove empty folders that a library made on the way to a target in a folder that went away.

    Where the folder is still there nothing is removed.
    """
    folder = _gone_above(target)
    if folder is None:
        return
    for parent in target.parents:
        with suppress(OSError):  # not empty: somebody else's
            parent.rmdir()
        if parent == folder:
            return


def _gone_above(target: Path) -> Path | None:
    """The folder above a target in which somebody works and that went away, if there is one."""
    for folder, marks in list(_MARKS.items()):
        if folder in target.parents and all(map(_is_gone, marks)):
            return folder
    return None


def _is_gone(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # no answer: writing will tell
        return False
    return False


def write_text(target: Path, text: str, *, cure: str = "") -> None:
    """Write UTF-8 text with line feeds as line ends, see :func:`atomic_path`."""
    write_bytes(target, text.encode("utf-8"), cure=cure)


def write_json(target: Path, content: Any, *, cure: str = "", sort_keys: bool = True) -> None:
    """Write JSON, see :func:`atomic_path`: two spaces of indent, no NaN, keys sorted or as told."""
    text = json.dumps(content, indent=2, sort_keys=sort_keys, allow_nan=False)
    write_text(target, text + "\n", cure=cure)


def write_bytes(target: Path, content: bytes, *, cure: str = "") -> None:
    """Write a file, see :func:`atomic_path`."""
    with atomic_path(target, cure=cure) as temporary:
        temporary.write_bytes(content)


def remove(target: Path) -> None:
    """Remove a file if it is there.

    Raises
    ------
    DiskError
        If the disk does not let it go.
    """
    try:
        patiently(lambda: target.unlink(missing_ok=True))
    except OSError as error:
        raise cannot_write(target, error) from error


def cannot_write(target: Path, error: OSError, *, cure: str = "") -> DiskError:
    """The error for a target that the disk does not take."""
    helps = CLOSE_IT if _in_use(error) else _too_long(target, error) or cure or _cure(error)
    return DiskError(f"{target} cannot be written: {said(error)}. {helps}")


def _cure(error: OSError) -> str:
    if error.errno in FULL:
        return f"Free space or {ELSEWHERE}"
    if error.errno == errno.ENAMETOOLONG:
        return SHORTEN
    return f"Make it writable or {ELSEWHERE}"


def _too_long(target: Path, error: OSError) -> str:
    """What helps if the path was too long, which Windows calls a path that is not found."""
    if not longest_path() or not isinstance(error, FileNotFoundError):
        return ""
    # Under its temporary name, or deep in a folder, it was longer.
    paths = (target, error.filename or target)
    length = max(len(str(Path(path).absolute())) for path in paths)
    if length <= LONGEST_FOLDER:
        return ""
    return f"Its path has {length} characters, Windows takes {LONGEST_PATH}. {SHORTEN}"


def longest_path() -> int:
    """Characters that a path may have here; 0 where that is not known beforehand."""
    return LONGEST_PATH if sys.platform == "win32" and not _takes_long_paths() else 0


def _takes_long_paths() -> bool:
    """Whether long paths were switched on in this Windows, and this Python can use them."""
    if sys.platform == "win32":
        import ctypes

        # Not before Windows 10, version 1607.
        enabled = getattr(ctypes.WinDLL("ntdll"), "RtlAreLongPathsEnabled", None)
        if enabled is not None:
            enabled.restype = ctypes.c_ubyte
            return bool(enabled())
    return False


def remove_folder(target: Path) -> None:
    """Remove a folder with all that is in it; what is in use is tried again, as in `put_in_place`.

    Raises
    ------
    OSError
        If there is none, or the disk or another program does not let it go.
    """
    patiently(lambda: shutil.rmtree(target))


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left in a folder, if that is possible."""
    # Left-overs change nothing: a folder that cannot be listed is tidied another time.
    with suppress(OSError):
        for stale in folder.glob(f".*{TEMPORARY}"):
            discard(stale)


def discard(path: Path) -> None:
    """Remove a file or a folder, if that is possible."""
    # Where the folder itself is the trouble, there is nothing to remove, nothing more to tell.
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _flush(temporary: Path) -> None:
    # A rename may reach the disk before the content does; a power cut would leave an empty file.
    def flush() -> None:
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())

    patiently(flush)


def put_in_place(temporary: Path, target: Path) -> None:
    """Give a file, or a folder where there is none, its final name.

    On Windows what another program has open for a moment is tried again: virus scanners open
    whatever was just written, and a folder that was removed is gone only when its last handle is.

    Parameters
    ----------
    temporary : pathlib.Path
        On the same disk.
    target : pathlib.Path

    Raises
    ------
    OSError
        If the disk does not take it, or another program keeps it.
    """
    patiently(lambda: temporary.replace(target))


def patiently(act: Callable[[], object]) -> None:
    """Do it; what another program has open is tried again for a while.

    Parameters
    ----------
    act : callable
        Is called more than once if Windows says that something is in use.

    Raises
    ------
    OSError
        If the last try fails too, or for another reason.
    """
    for wait_s in WAIT_S:
        try:
            act()
        except OSError as error:
            if not (_in_use(error) or _is_refused(error)):
                raise
            time.sleep(wait_s)
        else:
            return
    act()


def _in_use(error: OSError) -> bool:
    return getattr(error, "winerror", None) in IN_USE


def _is_refused(error: OSError) -> bool:
    # Of a file that it does not open, Windows tells Python no more than "permission denied".
    return sys.platform == "win32" and isinstance(error, PermissionError)
