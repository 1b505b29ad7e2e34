"""Where the pixels of a few cells flow to, found without torch.

Loading torch takes two seconds and half a gigabyte, more than the way of a few thousand pixels
is worth. What is returned is to the last bit what :mod:`fociquant.segment.dynamics` returns, on
processors where torch multiplies and adds in one rounding: its compiled interpolation does so
wherever it can.
"""

from __future__ import annotations

import platform
import sys
from functools import cache

import numpy as np

from fociquant.segment.late import processor_flags

MOST_POINTS = 16384
"""Pixels that are followed here: it takes up to 0.2 s, and more is left to torch."""

FUSED_FLAGS = frozenset({"avx2", "fma"})
"""Flags of processors for which torch has kernels that multiply and add in one rounding."""

FIRST_PAUSE = 22
"""Steps after which equal points are first looked for: cells have a radius of 12 px, and only
then have most points met (of 560 000 points in 1900 nuclei 110 000 differ after 20 steps, 45 000
after 25, 41 000 after 100)."""

CIRCLE = 12
"""Steps between later looks. Rounding lets points circle around the middle of a cell; three
quarters of them come back after 12 steps or a divisor of it."""

HALF = 1 << 28
"""The bits of a double behind those of a float, when it lies in the middle between two floats."""


@cache
def rounds_as_torch() -> bool:
    """Whether this is a processor on which torch is known to round as this module does."""
    known = sys.platform == "linux" and platform.machine() == "x86_64"
    return known and processor_flags() >= FUSED_FLAGS


def end_points(flow: np.ndarray, foreground: np.ndarray, steps: int) -> np.ndarray:
    """Where each foreground pixel ends.

    Parameters
    ----------
    flow : numpy.ndarray of float32, shape (2, H, W)
        Flow along y and x, 5 times a unit vector; H and W at least 2.
    foreground : numpy.ndarray of bool, shape (H, W)
        Pixels that move; there is no flow elsewhere. At least one.
    steps : int
        Euler steps of at most one pixel.

    Returns
    -------
    numpy.ndarray of int32, shape (2, n)
        Row and column of each foreground pixel at the end, in raster order.
    """
    sizes = np.array(foreground.shape[::-1], np.float32) - 1
    ends = _follow(_Field(flow, foreground), _start(foreground, sizes), steps)
    # The operations and their order are Cellpose's: every rounding is the same.
    ends += 1
    ends *= np.float32(0.5)
    ends *= sizes[:, None]
    return ends[::-1].astype(np.int32)


def _start(foreground: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Foreground pixels from -1 to 1, float32 (2, n), x first."""
    rows, columns = np.nonzero(foreground)
    points = np.stack([columns, rows]).astype(np.float32)
    points /= sizes[:, None]
    points *= 2
    points -= 1
    return points


def _follow(field: _Field, points: np.ndarray, steps: int) -> np.ndarray:
    """`points` after `steps`; equal points are followed once, what goes round in a circle stays."""
    first = min(FIRST_PAUSE, steps)
    return _finish(field, field.moved(points, first), steps - first)


def _finish(field: _Field, points: np.ndarray, steps: int) -> np.ndarray:
    """`points` after the last `steps`."""
    if not steps or not points.size:
        return points
    different, link = _merged(points)
    # What is left is then a multiple of the circle: a point that closes it ends here.
    stride = steps % CIRCLE or CIRCLE
    ends = field.moved(different, stride)
    moving = np.ones(len(ends[0]), bool)
    if stride == CIRCLE:
        moving = (ends != different).any(axis=0)
    ends[:, moving] = _finish(field, ends[:, moving], steps - stride)
    return ends[:, link]


def _merged(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different points, float32 (2, m), and which of them each of `points` is."""
    keys = np.ascontiguousarray(points.T).view(np.int64)[:, 0]
    _, kept, link = np.unique(keys, return_index=True, return_inverse=True)
    return points[:, kept], link


class _Field:
    """The flow as :func:`torch.grid_sampler` reads it: bilinear, zeros outside.

    Parameters
    ----------
    flow : numpy.ndarray of float32, shape (2, H, W)
    foreground : numpy.ndarray of bool, shape (H, W)
    """

    def __init__(self, flow: np.ndarray, foreground: np.ndarray) -> None:
        height, width = foreground.shape
        self._width = width + 2
        self._halves = np.array([[width / 2], [height / 2]], np.float32)
        padded = np.zeros((2, height + 2, self._width), np.float32)
        inside = padded[:, 1:-1, 1:-1]
        np.multiply(flow[::-1], foreground, out=inside)
        inside /= np.float32(5.0)
        for axis, size in enumerate((width - 1, height - 1)):
            inside[axis] *= np.float32(2.0 / size)
        self._values = padded.reshape(2, -1)

    def moved(self, points: np.ndarray, steps: int) -> np.ndarray:
        """`points`, float32 (2, n), after `steps`."""
        points = points.copy()
        for _ in range(steps):
            points += self._at(points)
            np.clip(points, -1.0, 1.0, out=points)
        return points

    def _at(self, points: np.ndarray) -> np.ndarray:
        """The flow at `points`, float32 (2, n)."""
        pixels = _multiply_add(points + 1, self._halves, np.float32(-0.5))
        corner = np.floor(pixels)
        west, north = pixels - corner
        east, south = 1 - west, 1 - north
        column, row = corner.astype(np.int64) + 1
        first = row * self._width + column
        moves = self._values[:, first] * (east * south)
        for offset, weight in (
            (1, west * south),
            (self._width, east * north),
            (self._width + 1, west * north),
        ):
            moves = _multiply_add(weight, self._values[:, first + offset], moves)
        return moves


def _multiply_add(one: np.ndarray, other: np.ndarray, more: np.ndarray | np.float32) -> np.ndarray:
    """``one * other + more`` of float32, rounded once."""
    product = one.astype(np.float64) * other  # exact
    total = product + more
    # Rounded twice it would be wrong only where the first rounding ends in the middle.
    middle = (total.view(np.int64) & (2 * HALF - 1)) == HALF
    if middle.any():
        total[middle] = _off_middle(
            total[middle], product[middle], np.broadcast_to(more, total.shape)[middle]
        )
    return total.astype(np.float32)


def _off_middle(total: np.ndarray, product: np.ndarray, more: np.ndarray) -> np.ndarray:
    """`total` moved towards the exact sum of two doubles, where it is not that (Knuth's TwoSum)."""
    added = total - product
    error = (product - (total - added)) + (more - added)
    return np.where(error != 0.0, np.nextafter(total, np.copysign(np.inf, error)), total)
