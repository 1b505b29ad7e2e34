"""The section at a few µm per pixel, in bounded memory.

A reduced level of the file is used only if it holds what averaging would give:
some scanners write zeros there for fluorescence, others every n-th pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fociquant.model import Box
from fociquant.prepare.soundness import ProbedReader

MAX_OVERVIEW_PX = 1 << 23
"""An overview is not made larger than this: 32 MB per channel."""

STRIP_PX = 1 << 22
"""Pixels per channel read at once."""


class PixelReader(Protocol):
    """What is needed of an opened section image."""

    @property
    def levels(self) -> Sequence[Any]:
        """Finest first; each has ``.shape`` (C, Y, X) and ``.dtype``."""

    def read(self, box: Box, channels: Sequence[int], level: int = 0) -> np.ndarray:
        """Pixels (len(channels), h, w) of a box of that level."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Channel means on a coarse grid whose origin is the image's.

    Parameters
    ----------
    image : numpy.ndarray of float32, uint8 or uint16, shape (n, h, w)
        Mean raw counts over each block of ``factor`` x ``factor`` pixels (fewer at the far
        edges), finite; whole numbers where a level of the file is the overview. 0 in all channels
        where none has a finite pixel.
    factor : int
        Full-resolution pixels per overview pixel, along both axes.
    level : int
        Level it was made from.
    refused : tuple of int
        Finer-fitting levels that do not hold averages of the full resolution.
    not_finite : int
        Pixels read that were NaN or infinite.
    unscanned : numpy.ndarray of bool, shape (h, w), or None
        What was never scanned, where that is known to be so; None: nothing. See
        :mod:`fociquant.prepare.unscanned`.
    """

    image: np.ndarray
    factor: int
    level: int
    refused: tuple[int, ...]
    not_finite: int
    unscanned: np.ndarray | None = None

    def planes(self, roles: Iterable[str]) -> Planes:
        """The channels by role, which are in the same order."""
        return Planes(self.image, roles)


class Planes(Mapping[str, np.ndarray]):
    """Channels of an overview by role, float32 (h, w): made when asked for.

    Parameters
    ----------
    image : numpy.ndarray, shape (n, h, w)
    roles : iterable of str
    """

    def __init__(self, image: np.ndarray, roles: Iterable[str]) -> None:
        self._stored = dict(zip(roles, image, strict=True))

    def __getitem__(self, role: str) -> np.ndarray:
        return self._stored[role].astype(np.float32, copy=False)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def make_overview(reader: PixelReader, channels: Sequence[int], factor: int) -> Overview:
    """The overview at about `factor` full-resolution pixels per pixel.

    Parameters
    ----------
    reader : PixelReader
    channels : sequence of int
    factor : int
        Wanted reduction, >= 1; made larger for an image of more than
        :data:`MAX_OVERVIEW_PX` overview pixels.

    Returns
    -------
    Overview
    """
    height, width = reader.levels[0].shape[1:]
    factor = max(factor, math.ceil(math.sqrt(height * width / MAX_OVERVIEW_PX)), 1)
    level, reduction, refused = choose_level(reader, channels, factor)
    blocks = max(round(factor / reduction), 1)
    image, not_finite = _block_means(reader, channels, level, blocks)
    return Overview(image, reduction * blocks, level, refused, not_finite)


def choose_level(
    reader: PixelReader, channels: Sequence[int], factor: int
) -> tuple[int, int, tuple[int, ...]]:
    """The coarsest sound level that is not coarser than wanted: level, reduction, those refused.

    What a :class:`~fociquant.prepare.soundness.ProbedReader` knows already is not read again.
    """
    probed = reader if isinstance(reader, ProbedReader) else ProbedReader(reader)
    refused: list[int] = []
    for level in range(len(reader.levels) - 1, 0, -1):
        reduction = level_reduction(reader, level)
        if reduction is None or not 1 < reduction <= factor:
            continue
        if probed.is_sound(channels, level, reduction):
            return level, reduction, tuple(refused)
        refused.append(level)
    return 0, 1, tuple(refused)


def level_reduction(reader: PixelReader, level: int) -> int | None:
    """Whole number of full-resolution pixels per pixel of a level; None if it is not whole."""
    full, reduced = reader.levels[0].shape[1:], reader.levels[level].shape[1:]
    if min(*full, *reduced) == 0:
        return None
    candidates = {round(f / r) for f, r in zip(full, reduced, strict=True) if r > 1} or {
        round(max(full) / max(reduced))
    }
    for n in sorted(candidates):
        if all(f // n <= r <= -(-f // n) for f, r in zip(full, reduced, strict=True)):
            return n
    return None


def _is_integer(reader: PixelReader) -> bool:
    return np.dtype(reader.levels[0].dtype).kind in "iub"


def _block_means(
    reader: PixelReader, channels: Sequence[int], level: int, n: int
) -> tuple[np.ndarray, int]:
    """Means over n x n pixels of a level (n, h, w), and how many pixels were not finite.

    Sums of integers are exact, so the cutting into pieces cannot show.
    """
    height, width = reader.levels[level].shape[1:]
    shape = (len(channels), -(-height // n), -(-width // n))
    integer = _is_integer(reader)
    if n == 1 and integer:
        return _whole_level(reader, channels, level), 0
    sums = np.zeros(shape)
    counts = np.zeros((1 if integer else shape[0], *shape[1:]), np.float32)
    not_finite = 0
    for box in _pieces(reader.levels[level], height, width):
        pixels = reader.read(box, channels, level)
        if integer:
            finite = np.ones((1, *box.shape), bool)
        else:
            finite = np.isfinite(pixels)
            not_finite += int(finite.size - np.count_nonzero(finite))
            pixels = np.where(finite, pixels, 0)
        _add_blocks(sums, pixels, box, n)
        _add_blocks(counts, finite, box, n)
    means = np.empty(shape, np.float32)
    scanned = (counts > 0).any(axis=0)
    for channel in range(shape[0]):
        count = counts[channel % len(counts)]
        full = count > 0
        np.divide(sums[channel], count, out=sums[channel], where=full)
        means[channel] = sums[channel]
        if not full.all():
            means[channel][~full] = np.median(sums[channel][full]) if full.any() else 0.0
    # As scanners that know no NaN store what they never scanned.
    means[:, ~scanned] = 0.0
    return means, not_finite


def _whole_level(reader: PixelReader, channels: Sequence[int], level: int) -> np.ndarray:
    """A level as it is (n, h, w): float32, or as stored where that takes less."""
    height, width = reader.levels[level].shape[1:]
    stored = np.dtype(reader.levels[level].dtype)
    small = stored.kind == "u" and stored.itemsize <= 2
    image = np.empty((len(channels), height, width), stored if small else np.float32)
    for box in _pieces(reader.levels[level], height, width):
        image[:, *box.slices] = reader.read(box, channels, level)
    return image


def _pieces(level: Any, height: int, width: int) -> Iterator[Box]:
    """Boxes that cover a level: its own chunks where it says them, cut into flat strips."""
    chunks = getattr(level, "chunksize", None)
    ch, cw = chunks[-2:] if chunks else (2048, 2048)
    rows = max(min(ch, STRIP_PX // max(cw, 1)), 1)
    for y in range(0, height, ch):
        for x in range(0, width, cw):
            for top in range(y, min(y + ch, height), rows):
                bottom = min(top + rows, y + ch, height)
                yield Box(top, x, bottom, min(x + cw, width))


def _add_blocks(total: np.ndarray, pixels: np.ndarray, box: Box, n: int) -> None:
    """Add the pixels of a box to the sums of the blocks they lie in, in place."""
    dtype = np.uint32 if pixels.dtype.kind in "bu" and pixels.dtype.itemsize <= 2 else np.float64
    rows = _sum_rows(pixels, box.y0, n, dtype)
    both = _sum_rows(rows.transpose(0, 2, 1), box.x0, n, np.float64).transpose(0, 2, 1)
    y, x = box.y0 // n, box.x0 // n
    total[:, y : y + both.shape[1], x : x + both.shape[2]] += both


def _sum_rows(pixels: np.ndarray, start: int, n: int, dtype: type) -> np.ndarray:
    """Sums over runs of `n` rows of (c, h, w), the first row being number `start` of the image."""
    c, h, w = pixels.shape
    head = min(-start % n, h)
    whole = (h - head) // n
    parts = []
    if head:
        parts.append(pixels[:, :head].sum(axis=1, dtype=dtype, keepdims=True))
    if whole:
        middle = pixels[:, head : head + whole * n].reshape(c, whole, n, w)
        parts.append(middle.sum(axis=2, dtype=dtype))
    if head + whole * n < h:
        parts.append(pixels[:, head + whole * n :].sum(axis=1, dtype=dtype, keepdims=True))
    return np.concatenate(parts, axis=1) if parts else np.empty((c, 0, w), dtype)
