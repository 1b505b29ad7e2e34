"""Airway linings on the map of unexplained marker: thin, even rings around a lumen.

Bronchial epithelium binds antibodies against HER2. It closes around a lumen, is one
layer of cells thick, and even; a ring like that is never a focus. What stands out of the
ring itself is left on the map, and so is the whole ring where anything on it is thick.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from fociquant.model import MAP_STEPS

LEVEL = 3 * MAP_STEPS
"""Unexplained marker from which on a ring is looked for."""

BRIGHTEST = 24 * MAP_STEPS
"""A ring whose median is brighter is no lining: labelled cells are that bright."""

LUMEN_UM2 = 1500.0
"""Smallest lumen: an airway of 44 µm."""

MOST_LUMENS = 3
"""An airway has one lumen, two or three where it branches; without an autofluorescence channel the
septa of a whole lung are one net around 50 to 150 alveoli."""

MAX_RADIUS_UM = 15.0
"""Largest disc inside a lining: epithelium is 10 to 20 µm high, and may be cut obliquely."""

HEIGHT_UM, DEPTH_UM = 21.0, 28.0
"""What lies further than this from the lumen, or behind the ring's outside, is no epithelium: a
cell beside the airway, or one in its lumen."""

CRUMB_UM2 = 60.0
"""Smaller bumps are no cells beside the ring but corners of it; a cell of 12 µm has 113 µm²."""

STANDS_OUT = 2.5
"""This many times the ring's median does not belong to the lining."""

EDGE_UM = 12.0
"""A lining fades out over this distance: blur, and squares that it covers in part."""

GAP_UM = 12.0
"""Gaps in a ring up to twice this are closed."""


def remove_linings(steps: np.ndarray, *, square_um: float) -> None:
    """Set airway linings to 0, in place.

    Parameters
    ----------
    steps : numpy.ndarray of uint8, shape (h, w)
        Unexplained marker of each square, in steps of :data:`~fociquant.model.MAP_STEPS` to the
        pixel noise.
    square_um : float
        Edge of a square, µm.
    """
    pooled = block_max(steps, 2) >= LEVEL
    labels, count = ndimage.label(pooled, structure=np.ones((3, 3), bool))
    if not count:
        return
    margin = round(max(EDGE_UM, GAP_UM) / square_um) + 2
    smallest = max(int(2 * np.sqrt(LUMEN_UM2 / np.pi) / (2 * square_um)), 1)
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        if min(rows.stop - rows.start, columns.stop - columns.start) < smallest:
            continue
        mine = np.kron(labels[rows, columns] == number, np.ones((2, 2), bool))
        top, left = 2 * rows.start, 2 * columns.start
        height, width = (min(size, limit) for size, limit in
                         zip(mine.shape, (steps.shape[0] - top, steps.shape[1] - left),
                             strict=True))  # fmt: skip
        y0, x0 = max(top - margin, 0), max(left - margin, 0)
        part = steps[y0 : top + height + margin, x0 : left + width + margin]
        ring = np.zeros(part.shape, bool)
        inside = np.s_[top - y0 : top - y0 + height, left - x0 : left - x0 + width]
        ring[inside] = mine[:height, :width] & (part[inside] >= LEVEL)
        _remove(part, ring, square_um)


def _remove(part: np.ndarray, ring: np.ndarray, square_um: float) -> None:
    """Set one connected piece to 0 if it is a lining."""
    middle = float(np.median(part[ring]))
    if middle > BRIGHTEST or not 1 <= _lumens(ring, square_um) <= MOST_LUMENS:
        return
    thickness = ndimage.distance_transform_edt(np.pad(ring, 1))
    if (float(thickness.max()) - 0.5) * square_um > MAX_RADIUS_UM:
        return
    # What is as bright as the map can tell stands out of any ring.
    even = ring & (part < min(STANDS_OUT * middle, np.iinfo(np.uint8).max))
    lining = even & _band(ring, square_um)
    lining |= _crumbs(even & ~lining, square_um)
    fading = _grown(lining, EDGE_UM / square_um) & (part < LEVEL)
    part[fading | lining] = 0


def _band(ring: np.ndarray, square_um: float) -> np.ndarray:
    """Where a layer of cells around a lumen can be: no bump of it, and nothing deep inside."""
    closed = _grown(ring, GAP_UM / square_um)
    lumen = _grown(ndimage.binary_fill_holes(closed) & ~closed, GAP_UM / square_um)
    filled = np.pad(ring | lumen, 1)
    depth = ndimage.distance_transform_edt(filled)[1:-1, 1:-1]
    return np.asarray(_grown(lumen, HEIGHT_UM / square_um) & (depth <= DEPTH_UM / square_um))


def _crumbs(mask: np.ndarray, square_um: float) -> np.ndarray:
    """Pieces too small for a cell: corners of a wavy ring."""
    pieces, _ = ndimage.label(mask, structure=np.ones((3, 3), bool))
    small = np.bincount(pieces.ravel()) * square_um**2 < CRUMB_UM2
    small[0] = False
    return np.asarray(small[pieces])


def _lumens(ring: np.ndarray, square_um: float) -> int:
    """How many lumens of the size of an airway's a ring encloses."""
    closed = _grown(ring, GAP_UM / square_um)
    holes, count = ndimage.label(ndimage.binary_fill_holes(closed) & ~closed)
    if not count:
        return 0
    # What closing the gaps took from the lumen is given back.
    radius = np.sqrt(np.bincount(holes.ravel())[1:] / np.pi) * square_um + GAP_UM
    return int(np.count_nonzero(np.pi * radius**2 >= LUMEN_UM2))


def _grown(mask: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(ndimage.distance_transform_edt(~mask) <= radius)


def block_max(values: np.ndarray, n: int) -> np.ndarray:
    """Largest of each n x n values; blocks at the far borders have fewer."""
    rows = np.maximum.reduceat(values, np.arange(0, values.shape[0], n), axis=0)
    return np.asarray(np.maximum.reduceat(rows, np.arange(0, values.shape[1], n), axis=1))
