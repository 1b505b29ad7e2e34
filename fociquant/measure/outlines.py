"""Outlines of all objects at once, by walking along the edges between pixels.

Every walker keeps its object on the right hand and turns left whenever it can, so
pixels that touch at a corner stay together (8-connectivity). The outline joins the
*middles* of the pixel edges passed. It is the 0.5 level line of the mask, and:

- its area is the number of pixels inside minus one half, exactly, because convex
  corners (each cut by 1/8 px²) outnumber concave ones by four on a closed walk;
- it never touches itself, also where pixels meet at a corner only;
- two objects that share a pixel edge share a vertex: their distance is exactly 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from scipy import ndimage

from fociquant.measure.objects import Objects

_STEP_Y = np.array([0, 1, 0, -1])  # east, south, west, north
_STEP_X = np.array([1, 0, -1, 0])
# Pixel ahead on the left and on the right of a corner point, relative to the pixel below right.
_LEFT = (np.array([-1, 0, 0, -1]), np.array([0, 0, -1, -1]))
_RIGHT = (np.array([0, 0, -1, -1]), np.array([0, -1, -1, 0]))
_EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True, slots=True)
class Outlines:
    """Closed polygons around the connected pieces of objects.

    Parameters
    ----------
    owner : numpy.ndarray of int64, shape (m,)
        Object of each piece; pieces of one object follow each other, largest first.
    starts : numpy.ndarray of int64, shape (m + 1,)
        The vertices of piece `j` are ``starts[j]:starts[j + 1]``.
    vertices : numpy.ndarray of int64, shape (k, 2)
        (y, x) in half pixels from the corner of the object's bounding box.
    """

    owner: np.ndarray
    starts: np.ndarray
    vertices: np.ndarray


def trace_outlines(objects: Objects) -> Outlines:
    """Outer outlines of every piece of every object; holes are ignored."""
    canvas = _Canvas()
    for index, mask in enumerate(objects.masks()):
        canvas.add_object(index, mask)
    if not canvas.owner:
        return Outlines(np.empty(0, np.int64), np.zeros(1, np.int64), np.empty((0, 2), np.int64))
    piece, points = _walk(canvas)
    keep = ~_collinear(piece, points)
    piece, points = piece[keep], points[keep]
    lengths = np.bincount(piece, minlength=len(canvas.owner))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Outlines(np.asarray(canvas.owner, np.int64), starts, points)


def hull_areas(outlines: Outlines, n: int) -> np.ndarray:
    """Area of the convex hull of each of `n` objects (all its pieces), px², float64 (n,)."""
    if n == 0:
        return np.empty(0)
    of_vertex = np.repeat(outlines.owner, np.diff(outlines.starts))
    points = shapely.multipoints(outlines.vertices.astype(np.float64), indices=of_vertex)
    return np.asarray(shapely.area(shapely.convex_hull(points)) / 4.0, dtype=np.float64)


class _Canvas:
    """Masks of the pieces, each with a margin of one pixel, in one flat buffer."""

    def __init__(self) -> None:
        self.owner: list[int] = []
        self.width: list[int] = []
        self.offset: list[int] = []
        self.start_x: list[int] = []
        self.start_y: list[int] = []
        self._parts: list[np.ndarray] = []
        self._size = 0

    def add_object(self, index: int, mask: np.ndarray) -> None:
        """Append the connected pieces of one object: largest first, then in raster order."""
        pieces, count = ndimage.label(mask, _EIGHT)
        if count == 1:
            self._add_piece(index, mask)
            return
        sizes = np.bincount(pieces.ravel())[1:]
        for piece in np.argsort(-sizes, kind="stable"):
            self._add_piece(index, pieces == piece + 1)

    def _add_piece(self, index: int, mask: np.ndarray) -> None:
        h, w = mask.shape
        padded = np.zeros((h + 2, w + 2), bool)
        padded[1:-1, 1:-1] = mask
        first = int(padded.argmax())
        self.owner.append(index)
        self.width.append(w + 2)
        self.offset.append(self._size)
        self.start_y.append(first // (w + 2))
        self.start_x.append(first % (w + 2))
        self._parts.append(padded.ravel())
        self._size += padded.size

    def buffer(self) -> np.ndarray:
        """All masks, one after the other."""
        return np.concatenate(self._parts)


def _walk(canvas: _Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Piece and (y, x), half pixels, of every edge middle: piece by piece, in walking order."""
    buffer = canvas.buffer()
    width, offset = np.asarray(canvas.width), np.asarray(canvas.offset)
    first_y, first_x = np.asarray(canvas.start_y), np.asarray(canvas.start_x)
    # The upper edge of the first pixel in raster order is on the outer outline: go east along it.
    walker, y, x = np.arange(len(width)), first_y.copy(), first_x.copy()
    heading = np.zeros(len(width), np.int64)
    pieces, points = [], []
    while len(walker):
        pieces.append(walker)
        # -2: the margin of one pixel, in half pixels.
        points.append(np.stack([2 * y + _STEP_Y[heading] - 2, 2 * x + _STEP_X[heading] - 2], 1))
        y, x = y + _STEP_Y[heading], x + _STEP_X[heading]
        left = buffer[offset + (y + _LEFT[0][heading]) * width + x + _LEFT[1][heading]]
        right = buffer[offset + (y + _RIGHT[0][heading]) * width + x + _RIGHT[1][heading]]
        heading = (heading + np.where(left, -1, np.where(right, 0, 1))) % 4
        on = (y != first_y) | (x != first_x) | (heading != 0)
        if not on.all():
            walker, y, x, heading = walker[on], y[on], x[on], heading[on]
            width, offset, first_y, first_x = width[on], offset[on], first_y[on], first_x[on]
    piece = np.concatenate(pieces)
    order = np.argsort(piece, kind="stable")
    return piece[order], np.concatenate(points)[order]


def _collinear(piece: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether each vertex lies on the straight line between its neighbours on the same ring."""
    index = np.arange(len(piece))
    lengths = np.bincount(piece)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])[piece]
    last = first + lengths[piece] - 1
    before = points - points[np.where(index == first, last, index - 1)]
    after = points[np.where(index == last, first, index + 1)] - points
    return before[:, 0] * after[:, 1] == before[:, 1] * after[:, 0]
