"""Files that several threads read at once, and fingerprints of them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from fociquant.errors import CorruptImageError, ImageError

Found = TypeVar("Found")

HEAD_BYTES = 16 * 1024
"""Bytes hashed at the beginning and at the end of a file."""

SAMPLE_BYTES, SAMPLES = 1024, 64
"""Bytes of one sample, and number of samples spread evenly over the file."""


def open_binary(path: Path) -> BinaryIO:
    """Open for reading.

    Raises
    ------
    ImageError
        The file does not exist or must not be read.
    """
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file. Check the path and the drive.") from error
    except PermissionError as error:
        raise ImageError(
            f"{path}: no permission to read it, or another program holds it. Close that program, "
            "ask the file's owner for access, or copy it elsewhere."
        ) from error
    except OSError as error:
        raise ImageError(
            f"{path}: cannot be opened ({error.strerror}). Check the drive."
        ) from error


def cannot_read(path: Path, error: OSError) -> ImageError:
    """The error for a drive that does not give what is on it."""
    return ImageError(
        f"{path}: cannot be read ({error.strerror or error}). Check the drive, then run the same "
        "command again."
    )


def at_second_try(path: Path, look: Callable[[], Found]) -> Found:
    """What a look at something gives; a drive that answered badly once is asked again.

    Raises
    ------
    ImageError
        It did so twice.
    """
    try:
        return look()
    except OSError:
        try:
            return look()
        except OSError as error:
            raise cannot_read(path, error) from error


class SharedFile:
    """One open file, read at given places by any number of threads.

    Seek and read happen under a lock, because Windows has no positioned read.

    Attributes
    ----------
    path : Path
    size : int
        Bytes.
    handle : BinaryIO
        For parsers; only before the file is shared between threads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle = open_binary(path)
        self.size = self.handle.seek(0, 2)
        self.handle.seek(0)
        self._lock = threading.Lock()

    def read_at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`.

        Raises
        ------
        EOFError
            The file ends before.
        ValueError
            The file was closed.
        """
        with self._lock:
            self.handle.seek(offset)
            data = self.handle.read(size)
        if len(data) != size:
            raise EOFError(f"the file ends {size - len(data)} bytes too early")
        return data

    def read_runs(self, offsets: Sequence[int], size: int) -> bytes:
        """The same number of bytes from each of several places, joined."""
        with self._lock:
            parts = []
            for offset in offsets:
                self.handle.seek(offset)
                parts.append(self.handle.read(size))
        data = b"".join(parts)
        if len(data) != size * len(offsets):
            raise EOFError("the file ends too early")
        return data

    def close(self) -> None:
        """Close the file; reading afterwards raises ValueError."""
        self.handle.close()


def fingerprint_files(paths: Sequence[Path], *, more: str = "") -> str:
    """A hash of the sizes and of samples of some files, independent of their names and times.

    Parameters
    ----------
    paths : sequence of Path
        In an order that does not depend on the computer.
    more : str, optional
        What else the fingerprint depends on.

    Returns
    -------
    str
        64 hexadecimal digits (SHA-256). Identical copies have the same.

    Raises
    ------
    ImageError
        A file does not exist or cannot be read, not at a second try either.

    Notes
    -----
    Hashed are each file's size, its first and last 16 KiB, and 64 samples of 1 KiB spread evenly:
    at most 96 KiB are read, whatever the size. It detects any change of size, any change of the
    head or tail (where TIFF keeps its metadata), and any re-export, re-compression or different
    acquisition. It does not detect a few changed pixels of an uncompressed file, nor a flipped
    byte in the middle.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(at_second_try(path, partial(_sampled, path)))
    digest.update(more.encode("utf-8"))
    return digest.hexdigest()


def _sampled(path: Path) -> bytes:
    """Size and sampled bytes of one file."""
    with open_binary(path) as handle:
        size = handle.seek(0, 2)
        parts = [size.to_bytes(8, "little")]
        for offset, length in _sampled_places(size):
            handle.seek(offset)
            parts.append(handle.read(length))
    return b"".join(parts)


def _sampled_places(size: int) -> list[tuple[int, int]]:
    """(offset, length) pairs to hash; the whole file when it is small."""
    if size <= 2 * HEAD_BYTES + SAMPLES * SAMPLE_BYTES:
        return [(0, size)]
    step = (size - SAMPLE_BYTES) / (SAMPLES + 1)
    samples = [(int(step * (index + 1)), SAMPLE_BYTES) for index in range(SAMPLES)]
    return [(0, HEAD_BYTES), *samples, (size - HEAD_BYTES, HEAD_BYTES)]


def companion(folder: Path, name: str, named_by: Path) -> Path:
    """A file of the same folder that another file names.

    Raises
    ------
    CorruptImageError
        The name leaves the folder, or there is no such file.
    """
    if not name or Path(name).name != name or "\\" in name or name in (".", ".."):
        raise CorruptImageError(
            f"{named_by}: names {name!r} as a part of the image, which is not a file of its own "
            "folder. Export the image again as one OME-TIFF."
        )
    path = folder / name
    if not path.is_file():
        raise CorruptImageError(
            f"{named_by}: a part of the image, {name!r}, is missing. Copy all files of the image "
            "into one folder, or export it again as one OME-TIFF."
        )
    return path
