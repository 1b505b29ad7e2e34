"""One process at a time writes into a results folder."""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from fociquant.atomic import FULL, known_by
from fociquant.errors import ResultsError, said
from fociquant.store.folder import MARKER

LOCK = ".lock"
"""Name of the file that says who is writing."""

BEAT_S = 20.0
"""How often the owner of a lock shows that it lives, s."""

SILENT_S = 180.0
"""A lock of another computer that did not show life for this long is left over, s."""

SLACK_S = 2.0
"""What clocks and the times of files are rounded to, s: FAT keeps even seconds."""

_HELD: set[str] = set()
"""Tokens of the locks that this process holds now."""

TRIES = 5
"""How often a left-over lock is replaced before giving up: others may be quicker."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a results folder; one left over by a killed process is replaced.

    Nothing is written there any more, see :func:`fociquant.atomic.known_by`, once neither the
    lock nor the folder's own mark is in it: it is another folder then, or none.

    Parameters
    ----------
    folder : pathlib.Path
        Exists.

    Raises
    ------
    ResultsError
        If another process is writing there, or the folder cannot be written. Nothing was
        started then.
    """
    path, token = folder / LOCK, uuid.uuid4().hex
    _take(path, token)
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, ended), daemon=True)
    beat.start()
    try:
        with known_by(folder, (folder / MARKER, path)):
            yield
    finally:
        _HELD.discard(token)
        ended.set()
        beat.join()
        if _read(path).get("token") == token:
            with suppress(OSError):
                path.unlink()


def _take(path: Path, token: str) -> None:
    me = {"pid": os.getpid(), "began": _began(os.getpid()), "host": socket.gethostname(),
          "token": token}  # fmt: skip
    for _ in range(TRIES):
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            _remove_left_over(path)
            continue
        except OSError as error:
            raise _not_writable(path, error) from error
        _HELD.add(token)
        _sign(path, handle, me)
        return
    raise _taken(path, _read(path))


def _sign(path: Path, handle: int, me: dict[str, Any]) -> None:
    """Say who holds a lock; an empty one, left on a full disk, would keep everybody out."""
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(me, file)
    except OSError as error:
        _HELD.discard(me["token"])
        with suppress(OSError):
            path.unlink()
        raise _not_writable(path, error) from error


def _not_writable(path: Path, error: OSError) -> ResultsError:
    if error.errno in FULL:
        cure = "Free space, then run the same command again."
    else:
        cure = "Make it writable, or work on a copy of it that is."
    return ResultsError(f"{path.parent} cannot be written: {said(error)}. {cure}")


def _remove_left_over(path: Path) -> None:
    owner = _read(path)
    if _lives(path, owner):
        raise _taken(path, owner)
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    with suppress(OSError):  # another process may have been quicker
        path.rename(aside)
        if _read(aside) != owner:  # that was a lock which another process has just taken
            aside.rename(path)
        aside.unlink(missing_ok=True)


def _taken(path: Path, owner: dict[str, Any]) -> ResultsError:
    who = f"process {owner.get('pid', '?')} on {owner.get('host', 'another computer')}"
    return ResultsError(
        f"{path.parent} is being written by {who}. Wait until it has ended, or choose another "
        f"folder with --out. If no such process runs any more, delete {path}."
    )


def _lives(path: Path, owner: dict[str, Any]) -> bool:
    """Whether the owner of a lock still runs, as far as can be told from here."""
    if owner.get("host") == socket.gethostname() and isinstance(owner.get("pid"), int):
        if owner["pid"] == os.getpid():
            # The drive was away when this process let go of it.
            return owner.get("token") in _HELD
        began = _began(owner["pid"])
        if began is None:
            return False
        # Setting the clock moves the time at which a process seems to have begun. One that got
        # the number of an owner that died has begun after its last sign of life.
        return began == owner.get("began") or began <= _beaten(path) + SLACK_S
    return _age(path) < SILENT_S


def _began(pid: int) -> float | None:
    """When a process was started, s; None if there is none. Numbers of processes are used again."""
    try:
        return round(psutil.Process(pid).create_time(), 1)
    except psutil.Error:
        return None


def _beaten(path: Path) -> float:
    """When the last sign of life was given, s since 1970; long ago if that cannot be told."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _age(path: Path) -> float:
    """Seconds since the last sign of life, by the clock of the drive."""
    probe = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        probe.touch()
        now = probe.stat().st_mtime
        return now - path.stat().st_mtime
    except OSError:
        return 0.0
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT_S):
        with suppress(OSError):
            os.utime(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
