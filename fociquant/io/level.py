"""One resolution of an image: what a reader provides, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fociquant.model import Box

CHUNK_PX = 2048
"""Dask chunks are whole tiles, about this large along each side."""

MAX_SEGMENT_BYTES = 2**30
"""A stored piece that must be decoded whole may not be larger than this, bytes."""


class Level(Protocol):
    """One resolution of an image, as a reader provides it.

    Pixels are stored in groups of channels (one page, one chunk of channels), and each group in
    a grid of tiles.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    tile_shape: tuple[int, int]

    def place(self, channel: int) -> tuple[int, int]:
        """(group, index in the group) of a channel."""

    def decode(self, group: int, row: int, column: int) -> np.ndarray:
        """Decode one tile, shape (channels of the group, h, w), cut at the image's border.

        May raise any of ``READ_ERRORS``. Called by several threads at once.
        """

    def stored(self, group: int) -> np.ndarray:
        """Which pieces of a group the file holds, bool; the others are read as empty.

        The shape is that of the file's own grid of pieces, the same for every group. A level may
        have ``piece_shape``, the height and width of a piece in px.
        """


@dataclass(frozen=True, slots=True)
class LevelOutline:
    """Shape (C, Y, X), dtype and shape of a chunk of one level, as a Dask array has them.

    ``lacking_pieces`` says of a channel where the file lacks pieces of this level and level 0 has
    some, see :func:`fociquant.io.pieces.lacking_pieces`.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    chunksize: tuple[int, int, int]
    lacking_pieces: Callable[[int], list[Box]] = field(compare=False, repr=False)


def chunk_of(level: Level) -> tuple[int, int]:
    """Height and width of a chunk: whole tiles, about :data:`CHUNK_PX`."""
    height, width = (
        min(size, tile * max(1, CHUNK_PX // tile))
        for size, tile in zip(level.shape[1:], level.tile_shape, strict=True)
    )
    return height, width
