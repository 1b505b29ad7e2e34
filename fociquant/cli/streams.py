"""What is printed, when nobody reads it any more.

``fociquant run … | head`` ends its reader, a closed terminal leaves a run that goes on without
one: neither is a reason to end hours of work, nor to end otherwise than without a reader.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from fociquant.atomic import FULL
from fociquant.errors import DiskError, said


class _Outlet:
    """A standard stream whose reader may leave: what is printed after that goes nowhere.

    Parameters
    ----------
    stream : text file
    talk_only : bool
        Nothing that is written here is a result: no error of the stream is told. Otherwise an
        error that is not the reader's, such as a full disk, is.
    """

    def __init__(self, stream: TextIO, *, talk_only: bool) -> None:
        self._stream, self._talk_only = stream, talk_only

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As of a file; always all of it."""
        with self._reader_may_leave():
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                self._stream.write(_spelled_out(text, self._stream.encoding))
        return len(text)

    def flush(self) -> None:
        """As of a file."""
        with self._reader_may_leave():
            self._stream.flush()

    @contextmanager
    def _reader_may_leave(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._talk_only or _reader_left(error):
                _silence(self._stream)
            else:
                raise DiskError(
                    f"standard output cannot be written: {said(error)}. Free space, or write to "
                    "another place."
                ) from error


@contextmanager
def patient_streams() -> Iterator[None]:
    """Standard output and error that are there, and stay usable after their readers have left."""
    before = sys.stdout, sys.stderr
    with suppress(OSError):
        # A program without a terminal, or one started with '2>&-', has none at all.
        sys.stdout = _outlet(sys.stdout or _nowhere(), talk_only=False)
        sys.stderr = _outlet(sys.stderr or _nowhere(), talk_only=True)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        _empty(before[0])


def _outlet(stream: TextIO, *, talk_only: bool) -> TextIO:
    outlet: Any = _Outlet(stream, talk_only=talk_only)
    return outlet


def _spelled_out(text: str, encoding: str) -> str:
    r"""The text with ``\u2192`` for an arrow where the stream, say a pipe on Windows, has none."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _reader_left(error: OSError) -> bool:
    # Windows says EINVAL of a pipe whose other end is closed, and other things of a console.
    unclear = sys.platform == "win32" and error.errno not in FULL
    return isinstance(error, BrokenPipeError) or unclear


def _empty(stream: TextIO | None) -> None:
    """Python tries once more at its end to write what is left in a buffer, and complains."""
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        _silence(stream)


def _silence(stream: TextIO | None) -> None:
    """Let what is left in the stream's buffer, and all that follows, go nowhere."""
    if stream is None:
        return
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
