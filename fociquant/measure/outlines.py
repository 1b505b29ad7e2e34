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
_IN_PLANE = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))]).astype(bool)
"""Pixels that touch at a side or a corner; masks that lie on each other do not."""


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
    canvas = _Canvas(objects)
    if not len(canvas.owner):
        return Outlines(np.empty(0, np.int64), np.zeros(1, np.int64), np.empty((0, 2), np.int64))
    piece, points = _walk(canvas)
    keep = ~_collinear(piece, points)
    piece, points = piece[keep], points[keep]
    lengths = np.bincount(piece, minlength=len(canvas.owner))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Outlines(canvas.owner, starts, points)


def hull_areas(outlines: Outlines, n: int) -> np.ndarray:
    """Area of the convex hull of each of `n` objects (all its pieces), px², float64 (n,)."""
    if n == 0:
        return np.empty(0)
    of_vertex = np.repeat(outlines.owner, np.diff(outlines.starts))
    # Whole numbers: areas are exact whatever holds the points, and lines are made fastest.
    lines = shapely.linestrings(outlines.vertices.astype(np.float64), indices=of_vertex)
    return np.asarray(shapely.area(shapely.convex_hull(lines)) / 4.0, dtype=np.float64)


class _Canvas:
    """Masks of the pieces, each with a margin of one pixel, in one flat buffer.

    One entry per piece in all arrays: its object, the width of its mask, where that begins in the
    buffer, and where its first pixel is.
    """

    def __init__(self, objects: Objects) -> None:
        self._owner: list[np.ndarray] = []
        self._masks: list[np.ndarray] = []
        for indices, masks in objects.groups(1):
            self._add(indices, np.pad(masks, ((0, 0), (1, 1), (1, 1))))
        firsts = [masks.reshape(len(masks), -1).argmax(axis=1) for masks in self._masks]
        sizes = [np.full(len(masks), masks[0].size) for masks in self._masks]
        widths = [np.full(len(masks), masks.shape[2]) for masks in self._masks]
        owner, first, size, width = (
            np.concatenate([*parts, np.empty(0, np.int64)]).astype(np.int64)
            for parts in (self._owner, firsts, sizes, widths)
        )
        order = np.argsort(owner, kind="stable")
        self.owner, self.width = owner[order], width[order]
        self.offset = (np.cumsum(size) - size)[order]
        self.first_y, self.first_x = np.divmod(first[order], self.width)

    def _add(self, indices: np.ndarray, masks: np.ndarray) -> None:
        """Append the connected pieces of objects: largest first, then in raster order."""
        pieces, count = ndimage.label(masks, _IN_PLANE)
        if count == len(masks):
            self._owner.append(indices)
            self._masks.append(masks)
            return
        last = pieces.reshape(len(pieces), -1).max(axis=1)
        several = np.diff(last, prepend=0) > 1
        if not several.all():
            self._owner.append(indices[~several])
            self._masks.append(masks[~several])
        for number in np.flatnonzero(several).tolist():
            sizes = np.bincount(pieces[number].ravel())
            found = np.flatnonzero(sizes)[1:]
            found = found[np.argsort(-sizes[found], kind="stable")]
            self._owner.append(np.full(len(found), indices[number]))
            self._masks.append(pieces[number] == found[:, None, None])

    def buffer(self) -> np.ndarray:
        """All masks, one after the other."""
        return np.concatenate([masks.reshape(-1) for masks in self._masks])


def _walk(canvas: _Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Piece and (y, x), half pixels, of every edge middle: piece by piece, in walking order."""
    buffer = canvas.buffer()
    width, offset, first_y, first_x = canvas.width, canvas.offset, canvas.first_y, canvas.first_x
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
