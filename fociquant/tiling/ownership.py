"""Which decode cell an object belongs to.

The centre is rounded to a whole pixel by integer arithmetic, so two decode cells that
see the same pixels decide alike. They do see the same pixels except where rounding
inside the dynamics moves a border pixel; hence each cell also reports objects whose
centre lies up to :data:`BAND_PX` outside its core, and pairs reported twice are
resolved once per section, by the lower number.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from fociquant.model import Box

BAND_PX = 3
"""Objects whose centre is this close to a core are reported by it too."""
SAME_OBJECT_PX = 3.0
"""Two reports from different decode cells with centres this close are one object."""


def integer_centres(labels: np.ndarray) -> np.ndarray:
    """Centre of every object, rounded down to a pixel.

    Parameters
    ----------
    labels : numpy.ndarray of int, shape (H, W)
        Objects numbered 1 … n without gaps.

    Returns
    -------
    numpy.ndarray of int64, shape (n, 2)
        (y, x) of the mean pixel index, by integer division.
    """
    flat = labels.ravel()
    where = np.flatnonzero(flat)
    ids = flat[where]
    rows, columns = np.divmod(where, labels.shape[1])
    count = np.bincount(ids)[1:]
    # Sums of pixel indices are whole numbers far below 2**53: exact in float64.
    sums = [np.bincount(ids, weights=axis)[1:].astype(np.int64) for axis in (rows, columns)]
    return np.stack([total // np.maximum(count, 1) for total in sums], axis=1)


def reported_labels(labels: np.ndarray, region: Box, core: Box) -> np.ndarray:
    """Labels that a decode cell reports: centre in its core or within the band around it.

    Parameters
    ----------
    labels : numpy.ndarray of int, shape of `region`
    region, core : Box
        Of the decode cell, on the analysis grid.

    Returns
    -------
    numpy.ndarray of int64
        Increasing.
    """
    if not labels.any():
        return np.empty(0, np.int64)
    centres = integer_centres(labels) + np.array([region.y0, region.x0])
    inside = core.expand(BAND_PX)
    keep = (centres >= (inside.y0, inside.x0)) & (centres < (inside.y1, inside.x1))
    return np.flatnonzero(keep.all(axis=1)) + 1


def duplicate_rows(
    centres_px: np.ndarray, decode_cell: np.ndarray, identity: np.ndarray
) -> np.ndarray:
    """Rows that repeat an object already reported by another decode cell.

    Parameters
    ----------
    centres_px : numpy.ndarray of float64, shape (n, 2)
        (y, x) on the analysis grid.
    decode_cell : numpy.ndarray of int64, shape (n,)
        Number of the decode cell that reported the row.
    identity : numpy.ndarray of int64, shape (n,)
        Unique; of two reports of one object the lower is kept.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        True where the row is to be left out. Independent of the order of rows.
    """
    repeated = np.zeros(len(centres_px), bool)
    if len(centres_px) < 2:
        return repeated
    pairs = cKDTree(centres_px).query_pairs(SAME_OBJECT_PX, output_type="ndarray")
    pairs = pairs[decode_cell[pairs[:, 0]] != decode_cell[pairs[:, 1]]]
    if not len(pairs):
        return repeated
    first, second = pairs.T
    low = np.where(identity[first] < identity[second], first, second)
    high = np.where(identity[first] < identity[second], second, first)
    for index in np.argsort(identity[low], kind="stable"):
        if not repeated[low[index]]:
            repeated[high[index]] = True
    return repeated
