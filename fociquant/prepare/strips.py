"""Counts of quiet and of bright pixels in rectangles of a grid of camera fields."""

from __future__ import annotations

import math

import numpy as np

from fociquant.prepare.stitching import Axis

GAP_PX = 1
"""Overview pixels left out beside a border, which may be blended."""

COVERED = 0.6
"""Share of a rectangle that has to lie in the lung."""


def borders_along(axis: Axis, size: int) -> np.ndarray:
    """Places of all borders from before the first pixel to beyond the last, float64 pixels."""
    first = math.floor(-axis.origin / axis.period)
    last = math.ceil((size - axis.origin) / axis.period)
    return np.asarray(axis.origin + np.arange(first, last + 1) * axis.period)


def runs_of(axis: Axis, size: int) -> np.ndarray:
    """Pixels of each field along an axis, without those beside its borders, (fields, pixels)."""
    starts = np.rint(borders_along(axis, size)[:-1]).astype(np.int64) + GAP_PX
    return starts[:, None] + np.arange(max(int(axis.period) - 2 * GAP_PX, 1))


def classes_of(
    plane: np.ndarray, inside: np.ndarray, rows: np.ndarray, columns: np.ndarray,
    shares: tuple[float, ...],
) -> np.ndarray:  # fmt: skip
    """Counts than which some shares of the pixels of rectangles are darker.

    Parameters
    ----------
    plane : numpy.ndarray of float32, shape (height, width)
        Finite counts.
    inside : numpy.ndarray of bool, shape (height, width)
        Pixels that count.
    rows, columns : numpy.ndarray of int, shape (n, h) and (m, w)
        Of n x m rectangles; some may lie off the picture.
    shares : tuple of float
        From 0 to 1.

    Returns
    -------
    numpy.ndarray of float64, shape (n, m, len(shares))
        NaN where too little of a rectangle counts.
    """
    height, width = plane.shape
    there = ((rows >= 0) & (rows < height))[:, None, :, None]
    there = there & ((columns >= 0) & (columns < width))[None, :, None, :]
    at = (rows.clip(0, height - 1)[:, None, :, None], columns.clip(0, width - 1)[None, :, None, :])
    there &= inside[at]
    values = np.where(there, plane[at], np.inf).reshape(len(rows), len(columns), -1)
    values.sort(axis=2)
    count = np.count_nonzero(there.reshape(values.shape), axis=2)[..., None]
    ranks = (np.array(shares) * np.maximum(count - 1, 0)).astype(np.int64)
    known = count >= max(COVERED * values.shape[2], 1)
    return np.where(known, np.take_along_axis(values, ranks, axis=2).astype(np.float64), np.nan)
