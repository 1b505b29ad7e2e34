"""One array of an OME-Zarr image as one level: its chunks, and which of them are there."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fociquant.errors import ImageError, ImageFormatError
from fociquant.io.files import at_second_try
from fociquant.io.level import MAX_SEGMENT_BYTES
from fociquant.io.ome_xml import check_flat
from fociquant.io.pieces import MOST_PIECES
from fociquant.reading import ABSENT

if TYPE_CHECKING:
    import zarr

TILE_PX = 512
"""Smaller chunks are read several at a time, up to about this side."""

SAMPLED_CHUNKS = 8
"""Chunks along the diagonal of each level whose samples are in the fingerprint."""

CHUNK_NAME = re.compile(r"(?:c[/.])?\d+(?:[/.]\d+)*")
"""Path of a chunk from its array's folder; other programs leave files of other names there."""

ARRAY_FILES = ("zarr.json", ".zarray")
"""One of them lies in the folder of every array."""

CURE = "Convert it again, for example with bioformats2raw or ome-zarr."


@dataclass(frozen=True)
class Axes:
    """Where the axes of the stored arrays are; None for an axis that is absent."""

    names: tuple[str, ...]
    units: tuple[str | None, ...]

    def index(self, name: str) -> int | None:
        """Place of an axis among those of the arrays."""
        return self.names.index(name) if name in self.names else None


class ZarrLevel:
    """One array as one level (see ``fociquant.io.level.Level``).

    Parameters
    ----------
    array : zarr.Array
    folder : Path
        Where it is stored.
    axes : Axes
    transforms : object
        What its metadata say of its size, as they are: only that of the finest level is used.
    """

    def __init__(self, array: zarr.Array, folder: Path, axes: Axes, transforms: Any = ()) -> None:
        self.array, self.folder, self.axes, self.transforms = array, folder, axes, transforms
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        self.shape = (self._size("c", array.shape), *self._plane(array.shape))
        self._channels = self._size("c", array.chunks)
        self.tile_shape = self._tile_shape(self._plane(array.chunks))
        self._check()

    def _size(self, axis: str, sizes: Sequence[int]) -> int:
        index = self.axes.index(axis)
        return 1 if index is None else int(sizes[index])

    def _plane(self, sizes: Sequence[int]) -> tuple[int, int]:
        return self._size("y", sizes), self._size("x", sizes)

    def _tile_shape(self, chunk: tuple[int, int]) -> tuple[int, int]:
        """Whole chunks, but never far more than the image."""
        height, width = (
            min(side * max(1, TILE_PX // side), max(side, size))
            for side, size in zip(chunk, self.shape[1:], strict=True)
        )
        return height, width

    def _check(self) -> None:
        if 0 in self.shape:
            raise ImageFormatError(f"{self.folder}: shape {self.array.shape}: no pixels. {CURE}")
        check_flat(
            self.folder, self._size("z", self.array.shape), self._size("t", self.array.shape)
        )
        if self.dtype.kind not in "biuf":
            raise ImageFormatError(
                f"{self.folder}: pixels of type {self.dtype} cannot be read. Convert to uint16."
            )
        largest = math.prod(self.array.chunks) * self.dtype.itemsize
        if largest > MAX_SEGMENT_BYTES:
            raise ImageFormatError(
                f"{self.folder}: chunks of {largest / 1e9:.1f} GB must be decoded whole. "
                "Convert with chunks of 512 or 1024 px."
            )

    def place(self, channel: int) -> tuple[int, int]:
        """(chunk of channels, index in it)."""
        return divmod(channel, self._channels)

    def decode(self, group: int, row: int, column: int) -> np.ndarray:
        """One tile, shape (channels, h, w), cut at the image's border."""
        y, x = row * self.tile_shape[0], column * self.tile_shape[1]
        first = group * self._channels
        parts = {
            "c": slice(first, min(first + self._channels, self.shape[0])),
            "y": slice(y, min(y + self.tile_shape[0], self.shape[1])),
            "x": slice(x, min(x + self.tile_shape[1], self.shape[2])),
        }
        key = tuple(parts.get(name, 0) for name in self.axes.names)
        pixels = np.asarray(self.array[key])
        self._check_there()
        kept = [name for name in self.axes.names if name in parts]
        if "c" not in kept:
            pixels, kept = pixels[np.newaxis], ["c", *kept]
        ordered = pixels.transpose([kept.index(name) for name in "cyx"])
        return ordered.astype(self.dtype, copy=False)

    def _check_there(self) -> None:
        """Refuse pixels of an array that has gone: of a missing chunk all are empty."""
        if not any(is_there(self.folder / name) for name in ARRAY_FILES):
            raise ImageError(
                f"{self.folder} is not there any more. Check the drive, then run the same "
                "command again."
            )

    def stored(self, group: int) -> np.ndarray:
        """Chunks (or shards) of a group of channels that have a file; all if they are too many."""
        outer = dict(zip(self.axes.names, self._outer(), strict=True))
        rows, columns = (
            -(-size // outer[axis]) for axis, size in zip("yx", self.shape[1:], strict=True)
        )
        if rows * columns > MOST_PIECES:
            return np.ones((rows, columns), bool)
        names = self._files
        place = {"c": group * self._channels // outer.get("c", 1)}
        found = np.zeros((rows, columns), bool)
        for y, x in np.ndindex(rows, columns):
            at = place | {"y": y, "x": x}
            key = self.array.metadata.encode_chunk_key(
                tuple(at.get(name, 0) for name in self.axes.names)
            )
            found[y, x] = key in names
        return found

    @cached_property
    def _files(self) -> frozenset[str]:
        """Every file of the array, by its name from the array's folder: asked for in one go."""
        return at_second_try(self.folder, lambda: frozenset(_files_below(self.folder)))

    def incomplete(self) -> str:
        """The names of all stored chunks where some are not stored, else empty.

        With it a copy that has been completed is another image than before.
        """
        wanted = math.prod(self._counts())
        if wanted > MOST_PIECES:
            return ""
        names = sorted(name for name in self._files if CHUNK_NAME.fullmatch(name))
        return "" if len(names) >= wanted else "\n".join(names)

    def sampled_files(self) -> list[Path]:
        """Where the chunks along the diagonal are, if they exist."""
        counts = self._counts()
        steps = np.linspace(0, 1, SAMPLED_CHUNKS)
        places = {tuple(round(step * (count - 1)) for count in counts) for step in steps}
        keys = [self.array.metadata.encode_chunk_key(place) for place in sorted(places)]
        return [self.folder / key for key in keys]

    def _counts(self) -> list[int]:
        """Files along every axis."""
        return [
            -(-size // side) for size, side in zip(self.array.shape, self._outer(), strict=True)
        ]

    def _outer(self) -> Sequence[int]:
        """Shape of what one file holds: a shard, or a chunk."""
        return self.array.shards or self.array.chunks


def _files_below(root: Path) -> Iterator[str]:
    """Names of all files from a folder on, with slashes.

    Raises
    ------
    OSError
        A folder cannot be listed: what is in it is not known.
    """

    def fail(error: OSError) -> None:
        raise error

    start = len(str(root))
    for folder, _, names in os.walk(root, onerror=fail):
        inside = folder[start:].replace(os.sep, "/").strip("/")
        yield from (f"{inside}/{name}" for name in names) if inside else names


def is_there(path: Path) -> bool:
    """Whether there is a file; a drive that does not tell raises OSError."""
    try:
        path.stat()
    except ABSENT:
        return False
    return True
