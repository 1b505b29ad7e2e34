"""Bounds of the areas of foci from pictures of them: much faster than their exact shapes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from fociquant.foci._outlines import Outlines
from fociquant.foci._parts import threads_for

MOST_PIXELS = 4_000_000
"""Larger foci are drawn with larger pixels."""

DRAWN = 1.5
"""No place of an outline is farther from the centre of a drawn pixel, and no such centre farther
from the outline, in pixels: OpenCV also draws the pixels that an edge runs through."""

CORNER = np.sqrt(0.5)
"""From the centre of a pixel to its corner, pixels."""

FINE = 8
"""Binary digits behind the point of the coordinates that OpenCV is given."""

BORDER = 4
"""Pixels around what can be within the radius of a focus."""


def area_bounds(
    outlines: Outlines,
    focus: np.ndarray,
    *,
    link_um: float,
    chosen: np.ndarray,
    pixel_um: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Between which areas those of the shapes of chosen foci surely are.

    A focus is drawn, widened and narrowed by distances between pixels, once with everything that
    drawing can have lost taken off the distance and once with it added. Closing a larger set
    gives a larger one, so the first is inside the shape and the second holds it, but for the
    corners of the circles that shapes are made with
    (:func:`~fociquant.foci._area.focus_shapes`), far below a part in 100.

    Parameters
    ----------
    outlines : Outlines
        Of n cells.
    focus : numpy.ndarray of int64, shape (n,)
        Focus of each, from 0 without a gap.
    link_um : float
        Linking distance, µm, >= 0.
    chosen : numpy.ndarray of bool, shape (number of foci,)
    pixel_um : float
        Of the pictures, µm: the bounds of a focus are some six pixels times its circumference
        apart.

    Returns
    -------
    least, most : numpy.ndarray of float64, shape (number of foci,)
        µm²; 0 and infinite for foci not chosen, and where an outline had to be repaired.
    """
    least, most = np.zeros(len(chosen)), np.full(len(chosen), np.inf)
    wanted = chosen.copy()
    wanted[focus[list(outlines.repaired)]] = False
    foci = np.flatnonzero(wanted)
    rows = np.flatnonzero(wanted[focus])
    rows = rows[np.argsort(focus[rows], kind="stable")]
    each = np.split(rows, np.cumsum(np.bincount(focus, minlength=len(chosen))[foci])[:-1])

    def of(own: np.ndarray) -> tuple[float, float]:
        return _bounds(outlines, own, link_um / 2, pixel_um)

    if not len(foci):
        return least, most
    with ThreadPoolExecutor(threads_for(len(foci))) as pool:
        found = np.array(list(pool.map(of, each)))
    least[foci], most[foci] = found.T
    return least, most


def _bounds(
    outlines: Outlines, rows: np.ndarray, radius_um: float, pixel_um: float
) -> tuple[float, float]:
    """Bounds of the area of one focus, µm², from its cells."""
    low, high = outlines.bounds[rows, :2].min(axis=0), outlines.bounds[rows, 2:].max(axis=0)
    sides = high - low + 2 * radius_um
    pixel = max(pixel_um, float(np.sqrt(sides.prod() / MOST_PIXELS)))
    radius = radius_um / pixel
    away = _away(outlines, rows, low - radius_um - BORDER * pixel, sides, pixel)
    outside = away >= radius - DRAWN - CORNER
    least = np.count_nonzero(_to(outside) >= radius + 2 * CORNER)
    outside = away > radius + DRAWN
    most = np.count_nonzero(_to(outside) >= radius - CORNER)
    return least * pixel**2, most * pixel**2


def _away(
    outlines: Outlines, rows: np.ndarray, corner: np.ndarray, sides: np.ndarray, pixel: float
) -> np.ndarray:
    """How far each pixel is from those drawn, pixels; float32 (h, w)."""
    width, height = np.ceil(sides / pixel).astype(int) + 2 * BORDER + 1
    drawn = np.zeros((height, width), np.uint8)
    for row in rows.tolist():
        points = outlines.points[outlines.starts[row] : outlines.starts[row + 1], ::-1]
        places = np.rint((points - corner) * (2**FINE / pixel)).astype(np.int32)
        cv2.fillPoly(drawn, [places], 1, cv2.LINE_8, FINE)
    return _to(drawn.astype(bool))


def _to(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel from the nearest of a mask, pixels; float32 (h, w)."""
    return np.asarray(
        cv2.distanceTransform(
            np.logical_not(mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
    )
