"""Folds: long, narrow bands in which tissue lies double and glows twice as much.

They are looked for in autofluorescence only, which no cancer cell raises: in the
marker a row of cells along a lymph vessel would look the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from fociquant.prepare.detail import Levels
from fociquant.prepare.distances import Distances
from fociquant.units import PixelSize

ROLE = "autofluorescence"

SMOOTH_UM = 10.0
"""Gaussian sigma that evens the grain of tissue out, µm."""

WIDEST_UM = 80.0
"""Wider bands are consolidated lung, µm."""

SURELY, PERHAPS = 1.2, 0.7
"""Light over that of the wider surroundings, relative to that of tissue: a fold has one pixel of
the first, and is followed down to the second. On simulated sections the median of folds is
1.3-2.4; 99 % of other lung is below 1.0."""

LONG_UM = 200.0
"""Shorter bands are walls and clumps of macrophages, µm."""

EMPTY = 0.25
"""Pixels of which less is tissue are air."""

SOLID = 0.56
"""A fold is tissue throughout; lint is bright, but thinner than the pixels of the overview."""

LINT = 0.3
"""A band of which this share lies in the light of debris is a fibre."""

STRAIGHT = 0.22
"""A fold is at most this wide relative to its length, bends included; the ring of an airway is
as wide as long, and of the arcs that images cut from it the straightest seen had 0.33; folds had
0.08-0.19."""

LUMEN_UM = 60.0
"""Air this far from any tissue, µm, is no alveolus but the lumen of an airway or a vessel."""

BESIDE_UM = 45.0
"""Its wall lies within this of it, µm; a band of which half does is that wall."""

BRIGHTEST = 4.0
"""Light beyond this multiple of tissue's is cut."""


def find_folds(
    planes: Mapping[str, np.ndarray],
    levels: Mapping[str, Levels],
    cover: np.ndarray,
    inside: np.ndarray,
    debris: np.ndarray,
    *,
    pixel: PixelSize,
) -> np.ndarray:
    """Overview pixels in folds.

    Parameters
    ----------
    planes : mapping of str to numpy.ndarray, shape (h, w)
        Role to mean raw counts.
    levels : mapping of str to Levels
        Air and tissue; without those of autofluorescence no fold is found.
    cover : numpy.ndarray, shape (h, w)
        Share of each pixel that is tissue.
    inside : numpy.ndarray of bool, shape (h, w)
        The lung's outline.
    debris : numpy.ndarray of bool, shape (h, w)
        Where dirt shines: a band of which much does is lint.
    pixel : PixelSize
        Of the overview.

    Returns
    -------
    numpy.ndarray of bool, shape (h, w)
    """
    nothing = np.zeros(inside.shape, bool)
    if ROLE not in levels or ROLE not in planes:
        return nothing
    over = _above_surroundings(planes[ROLE], levels[ROLE], pixel)
    band = inside & (over > PERHAPS)
    pieces, count = ndimage.label(band, structure=np.ones((3, 3)))
    if not count:
        return nothing
    # Of the bands alone: SciPy sorts all that it is given.
    peaks = ndimage.maximum(over[band], pieces[band], np.arange(1, count + 1))
    folds = nothing
    for number, place in enumerate(ndimage.find_objects(pieces), start=1):
        piece = pieces[place] == number
        solid = peaks[number - 1] > SURELY and cover[place][piece].mean() >= SOLID
        solid = solid and debris[place][piece].mean() < LINT
        if solid and _is_band(piece, pixel):
            folds[place] |= piece
    folds = _without_walls(folds, inside & (cover < EMPTY), pixel)
    return np.asarray(ndimage.binary_dilation(folds, np.ones((3, 3))) & inside)


def _without_walls(folds: np.ndarray, air: np.ndarray, pixel: PixelSize) -> np.ndarray:
    """Only bands of which less than half lies beside a wide lumen."""
    if not folds.any():
        return folds
    middle = Distances(~air, pixel).at_least(LUMEN_UM)
    if not middle.any():
        return folds
    near = Distances(middle, pixel).within(LUMEN_UM + BESIDE_UM)
    bands, count = ndimage.label(folds, structure=np.ones((3, 3)))
    beside = ndimage.mean(near[folds], bands[folds], np.arange(1, count + 1))
    return np.concatenate([[False], np.asarray(beside) < 0.5])[bands]


def _above_surroundings(plane: np.ndarray, level: Levels, pixel: PixelSize) -> np.ndarray:
    """Light of bands over that of what is wider, in units of tissue's (white top hat)."""
    sigma = SMOOTH_UM / pixel.mean
    light = (plane - level.air) / (level.tissue - level.air)
    light = ndimage.gaussian_filter(np.clip(light, 0.0, BRIGHTEST, out=light), sigma)
    radius = max(round(WIDEST_UM / 2 / pixel.mean), 1)
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    opened = ndimage.grey_opening(light, footprint=y * y + x * x <= radius * radius)
    light -= ndimage.gaussian_filter(opened, sigma)
    return np.asarray(light)


def _is_band(piece: np.ndarray, pixel: PixelSize) -> bool:
    """Long, and far longer than wide, along its own main axis."""
    places = np.argwhere(piece) * (pixel.y, pixel.x)
    if len(places) < 3:
        return False
    centred = places - places.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1]
    width, length = np.ptp(centred @ axes, axis=0) + pixel.mean
    return bool(length >= LONG_UM and width <= STRAIGHT * length)
