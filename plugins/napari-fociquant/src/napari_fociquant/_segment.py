"""A missed cell, outlined from one click: threshold and watershed, no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_fill_holes, gaussian_filter
from skimage.measure import find_contours, label
from skimage.segmentation import watershed

from fociquant.units import PixelSize

WINDOW_UM = 48.0
"""Edge of the square that is looked at, µm: the cell and enough around it for a background."""

SMOOTH_UM = 0.8
"""Standard deviation of the smoothing before the threshold, µm."""

SNAP_UM = 4.0
"""The cell's brightest point is looked for so far from the click, µm."""

LEAST_SNR = 8.0
"""A peak below so many robust deviations of the dimmer half of the square gives no outline.
Of noise alone the highest point near a click is some 6 of them above."""

AREA_RANGE = (0.15, 6.0)
"""An outline with an area outside this, as multiples of a typical cell's, is not believed."""

OUTLINED, CIRCLE = "outlined by threshold around the click", "no edge found: a circle"
"""What is logged as the reason."""


@dataclass(frozen=True, slots=True)
class Clicked:
    """The outline of a cell that was clicked.

    Parameters
    ----------
    outline : numpy.ndarray of float64, shape (n, 2)
        (y, x), µm.
    how : str
        :data:`OUTLINED` or :data:`CIRCLE`.
    """

    outline: np.ndarray
    how: str


def outline_at(
    marker: np.ndarray,
    origin_um: tuple[float, float],
    pixel: PixelSize,
    click_um: tuple[float, float],
    *,
    diameter_um: float,
) -> Clicked:
    """Outline of the cell at a click.

    Half way between the peak at the click and the background, cut at the valleys towards
    brighter neighbours. Where that gives nothing like a cell, a circle of the typical
    diameter round the click.

    Parameters
    ----------
    marker : numpy.ndarray, shape (h, w)
        Pixels around the click.
    origin_um : (float, float)
        Top-left corner of `marker`, (y, x) in µm.
    pixel : PixelSize
    click_um : (float, float)
    diameter_um : float
        Of a typical cell.
    """
    smooth = gaussian_filter(np.asarray(marker, np.float32), SMOOTH_UM / pixel.mean)
    at = ((np.asarray(click_um) - origin_um) / (pixel.y, pixel.x)).astype(int)
    mask = _mask(smooth, np.clip(at, 0, np.array(smooth.shape) - 1), pixel)
    typical = np.pi * diameter_um**2 / 4.0 / pixel.area_um2
    if mask is None or not AREA_RANGE[0] * typical <= mask.sum() <= AREA_RANGE[1] * typical:
        return Clicked(_circle(click_um, diameter_um / 2.0), CIRCLE)
    ring = max(find_contours(np.pad(mask, 1).astype(float), 0.5), key=len)
    # find_contours counts from pixel centres; the padding moved everything by one pixel.
    outline = (ring[:-1] - 1.0 + 0.5) * (pixel.y, pixel.x) + origin_um
    return Clicked(_thinned(outline), OUTLINED)


def _mask(smooth: np.ndarray, at: np.ndarray, pixel: PixelSize) -> np.ndarray | None:
    # Inside a large focus more than half of the square is cells: the dimmer half is background.
    dim = smooth[smooth <= np.median(smooth)]
    background = float(np.median(dim))
    spread = 1.4826 * float(np.median(np.abs(dim - background)))
    peak = _snap(smooth, at, max(1, round(SNAP_UM / pixel.mean)))
    height = float(smooth[peak]) - background
    if height <= LEAST_SNR * max(spread, 1e-6):
        return None
    above = smooth > background + height / 2.0
    markers = label(_peaks(smooth, above, max(1, round(SNAP_UM / pixel.mean))))
    markers[peak] = markers[peak] or markers.max() + 1
    basins = watershed(-smooth, markers, mask=above)
    return np.asarray(binary_fill_holes(basins == basins[peak]))


def _snap(smooth: np.ndarray, at: np.ndarray, reach: int) -> tuple[int, int]:
    """The brightest pixel near the click."""
    y0, x0 = np.maximum(at - reach, 0)
    part = smooth[y0 : at[0] + reach + 1, x0 : at[1] + reach + 1]
    y, x = np.unravel_index(int(part.argmax()), part.shape)
    return int(y0 + y), int(x0 + x)


def _peaks(smooth: np.ndarray, above: np.ndarray, reach: int) -> np.ndarray:
    """Local maxima of what is above the threshold, `reach` px apart."""
    from scipy.ndimage import maximum_filter

    return np.asarray((smooth == maximum_filter(smooth, 2 * reach + 1)) & above)


def _circle(centre: tuple[float, float], radius: float) -> np.ndarray:
    angle = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    return np.stack([centre[0] + radius * np.sin(angle), centre[1] + radius * np.cos(angle)], -1)


def _thinned(outline: np.ndarray, most: int = 60) -> np.ndarray:
    step = max(1, len(outline) // most)
    return outline[::step]
