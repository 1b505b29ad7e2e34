"""The pixels of every object, gathered once and kept in one order.

Everything later works on these flat lists. The pixels of an object are in raster
order of its own bounding box, so a running sum over them adds the same numbers in
the same order whatever array the object came in: that is what makes a cell's row
the same, bit for bit, for any block size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

GROUP_PX = 1 << 20
"""Pixels worked on together; keeps the scratch memory at a few MB."""

WINDOW_STEP_PX = 8
"""Edges of the windows round objects are multiples of this: few shapes, many objects in each."""


@dataclass(frozen=True, slots=True)
class Objects:
    """`n` objects of one label array and their `p` pixels.

    Parameters
    ----------
    labels : numpy.ndarray of int32, shape (h, w)
        The array they lie in; 0 is background.
    ids : numpy.ndarray of int64, shape (n,)
        Label of each object, increasing.
    boxes : numpy.ndarray of int64, shape (n, 4)
        Bounding box ``y0, x0, y1, x1`` (half open) of each, px of this array.
    starts : numpy.ndarray of int64, shape (n + 1,)
        The pixels of object `i` are ``starts[i]:starts[i + 1]``.
    flat : numpy.ndarray of int64, shape (p,)
        Place of each pixel in the flattened array, object after object, each in raster order.
    owner : numpy.ndarray of int64, shape (p,)
        Index of the object that each pixel belongs to.
    """

    labels: np.ndarray
    ids: np.ndarray
    boxes: np.ndarray
    starts: np.ndarray
    flat: np.ndarray
    owner: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def counts(self) -> np.ndarray:
        """Number of pixels of each object, int64 (n,)."""
        return np.diff(self.starts)

    def values(self, plane: np.ndarray) -> np.ndarray:
        """The pixels' values in `plane` (h, w), float64 (p,)."""
        return plane.reshape(-1).take(self.flat).astype(np.float64)

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of each pixel, int64 (p,)."""
        rows = self.flat // self.labels.shape[1]
        return rows, self.flat - rows * self.labels.shape[1]

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values` (p,) per object, float64 (n,).

        The order of additions depends on the number of pixels of the object only.
        """
        return np.add.reduceat(values.astype(np.float64, copy=False), self.starts[:-1])

    def groups(self, margin: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Objects that fit into windows of the same shape, to be worked on together.

        Parameters
        ----------
        margin : int
            What the caller adds round each box, px; bounds the size of a group.

        Yields
        ------
        indices : numpy.ndarray of int64, shape (k,)
        masks : numpy.ndarray of bool, shape (k, height, width)
            Each object in a window that begins where its box begins, and may be larger.
        """
        shapes = -(-(self.boxes[:, 2:] - self.boxes[:, :2]) // WINDOW_STEP_PX) * WINDOW_STEP_PX
        order = np.lexsort((shapes[:, 1], shapes[:, 0]))
        breaks = np.flatnonzero(np.diff(shapes[order], axis=0).any(axis=1)) + 1
        for same in np.split(order, breaks) if len(order) else ():
            h, w = shapes[same[0]].tolist()
            step = max(1, GROUP_PX // ((h + 2 * margin) * (w + 2 * margin)))
            for indices in np.split(same, range(step, len(same), step)):
                y, x = (
                    (self.boxes[indices, axis, None] + np.arange(size))
                    for axis, size in ((0, h), (1, w))
                )
                masks = self._at(y, x) == self.ids[indices, None, None]
                if y[:, -1].max() >= self.labels.shape[0] or x[:, -1].max() >= self.labels.shape[1]:
                    masks &= (y < self.labels.shape[0])[:, :, None]
                    masks &= (x < self.labels.shape[1])[:, None, :]
                yield indices, masks

    def _at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Labels of windows, rows `y` (k, h) by columns `x` (k, w); beyond the end the last."""
        height, width = self.labels.shape
        y, x = np.minimum(y, height - 1), np.minimum(x, width - 1)
        flat = y[:, :, None] * width + x[:, None, :]
        return np.asarray(self.labels.reshape(-1).take(flat))


def gather(labels: np.ndarray, owned: np.ndarray) -> Objects:
    """The owned objects of a label array.

    Parameters
    ----------
    labels : numpy.ndarray of int, shape (h, w)
        0 is background.
    owned : numpy.ndarray of int
        Labels to take, in any order; duplicates count once.

    Returns
    -------
    Objects
        In increasing order of label.

    Raises
    ------
    ValueError
        If an owned label has no pixel, or `labels` is not two-dimensional.
    """
    if labels.ndim != 2:
        raise ValueError(f"labels must be (h, w), not of shape {labels.shape}")
    ids = np.unique(np.asarray(owned).astype(np.int64))
    boxes = _bounding_boxes(labels, ids)
    flat, owner = _pixels(labels, ids)
    counts = np.bincount(owner, minlength=len(ids))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Objects(labels, ids, boxes, starts, flat, owner)


def _pixels(labels: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices of the objects' pixels, object after object, and whose they are."""
    flat = np.flatnonzero(labels)
    values = labels.reshape(-1)[flat]
    owner = np.searchsorted(ids, values)
    owned = np.append(ids, -1)[owner] == values
    flat, owner = flat[owned], owner[owned]
    # Sixteen bits are sorted by counting. Stable: pixels of one object stay in raster order.
    keys = owner.astype(np.uint16) if len(ids) < 1 << 16 else owner
    order = np.argsort(keys, kind="stable")
    return flat[order], owner[order].astype(np.int64, copy=False)


def _bounding_boxes(labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    if len(ids) == 0:
        return np.empty((0, 4), np.int64)
    found, positions = _find(labels, ids)
    boxes = np.empty((len(ids), 4), np.int64)
    for row, (label, position) in enumerate(zip(ids, positions, strict=True)):
        span = found[position] if 0 <= position < len(found) else None
        if span is None:
            raise ValueError(f"label {label} is owned but has no pixel in this array")
        boxes[row] = span[0].start, span[1].start, span[0].stop, span[1].stop
    return boxes


def _find(
    labels: np.ndarray, ids: np.ndarray
) -> tuple[list[tuple[slice, slice] | None], np.ndarray]:
    """Spans of the labels, and where in that list each of `ids` is."""
    highest = int(labels.max(initial=0))
    if highest <= labels.size:
        return ndimage.find_objects(labels, highest), ids - 1
    # find_objects makes a list as long as the largest label: compact large numbers first.
    present, compact = np.unique(labels, return_inverse=True)
    spans = ndimage.find_objects(compact.reshape(labels.shape).astype(np.int32) + 1)
    where = np.searchsorted(present, ids)
    known = present[np.minimum(where, len(present) - 1)] == ids
    return spans, np.where(known & (ids > 0), where, -1)
