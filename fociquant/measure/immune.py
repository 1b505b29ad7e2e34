"""Cells of the host that carry an immune marker: a nucleus with the marker around it.

The network looks for cancer cells, and screening leaves out what cannot be one, so immune
cells are found by themselves: nuclei as round spots of the nuclear stain, each of which is
positive where the immune marker stands out on more than half of its circumference. A
neighbour of a positive cell has the marker on one side only.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.ndimage import (
    center_of_mass,
    gaussian_filter,
    gaussian_laplace,
    label,
    map_coordinates,
    maximum_filter,
)

from fociquant.model import ChannelStats
from fociquant.settings import ImmuneSettings

WORK_UM = 1.0
"""Pixels are averaged to at most this size, µm: fine enough for a nucleus of 5 µm."""

PEAK = 2.0 / np.e
"""Scale-normalised Laplacian of Gaussian at the centre of a disc of the fitting radius
(sigma = radius / √2) and amplitude 1."""

DIRECTIONS = 16
"""Places on a circle round a nucleus at which the marker is looked for."""

RIM = (0.3, 0.45, 0.6, 0.75, 0.9)
"""Radii of those circles in nuclear diameters: from inside the nucleus to a lymphocyte's rim."""

AROUND = (1.5, 2.0, 2.5, 3.0)
"""The same for the surroundings."""

AROUND_PERCENTILE = 10.0
"""Of the surroundings: in a crowd of immune cells what lies between them is still there."""

SMOOTHING_PX = 0.8
"""Gaussian that the marker is smoothed by, px of the working grid."""


def work_factor(pixel_um: float) -> int:
    """Image pixels per edge of a working pixel, >= 1."""
    return max(1, int(WORK_UM / pixel_um))


def reach_px(settings: ImmuneSettings, pixel_um: float) -> int:
    """Working pixels around a nucleus that decide about it; `pixel_um` is theirs."""
    sigma = settings.nucleus_um / (2.0 * np.sqrt(2.0)) / pixel_um
    around = AROUND[-1] * settings.nucleus_um / pixel_um + 4.0 * SMOOTHING_PX
    return int(np.ceil(max(around, 4.0 * sigma + _window(sigma)))) + 3


def reduced(planes: np.ndarray, factor: int) -> np.ndarray:
    """Means over squares of `factor` pixels, float32 (C, h // factor, w // factor).

    Pixels that are not finite are left out of the means; a square of such is 0.
    """
    channels, height, width = planes.shape
    rows, columns = height // factor, width // factor
    cut = planes[:, : rows * factor, : columns * factor].astype(np.float32)
    good = np.isfinite(cut)
    shape = (channels, rows, factor, columns, factor)
    number = good.reshape(shape).sum((2, 4), dtype=np.int32)
    total = np.where(good, cut, 0.0).reshape(shape).sum((2, 4), dtype=np.float64)
    return (total / np.maximum(number, 1)).astype(np.float32)


def find_immune_cells(
    nucleus: np.ndarray,
    markers: Mapping[str, np.ndarray],
    *,
    pixel_um: float,
    stats: Mapping[str, ChannelStats],
    settings: ImmuneSettings,
) -> pd.DataFrame:
    """Nuclei with an immune marker around them.

    Parameters
    ----------
    nucleus : numpy.ndarray of float32, shape (h, w)
        Nuclear stain on the working grid, raw counts, finite.
    markers : mapping of str to numpy.ndarray of float32, shape (h, w)
        The immune markers.
    pixel_um : float
        Edge of a working pixel, µm.
    stats : mapping of str to ChannelStats
        Of ``nucleus`` and of each marker, over the whole section.
    settings : ImmuneSettings

    Returns
    -------
    pandas.DataFrame
        One row per nucleus with at least one of the markers, from the top, then from the left:
        ``y_px``, ``x_px`` (float64, working pixels from the array's corner, centres at +0.5),
        and ``<marker>`` (bool) for each.
    """
    places = _nuclei(nucleus, pixel_um, stats["nucleus"], settings)
    found = {
        name: _has_marker(plane, places, pixel_um, stats[name], settings)
        for name, plane in markers.items()
    }
    table = pd.DataFrame({"y_px": places[:, 0] + 0.5, "x_px": places[:, 1] + 0.5, **found})
    return table[table[list(markers)].any(axis=1)].reset_index(drop=True)


def _window(sigma: float) -> int:
    """Two nuclei are no closer than this to each other, px."""
    return max(1, round(1.2 * sigma))


def _nuclei(
    plane: np.ndarray, pixel_um: float, stats: ChannelStats, settings: ImmuneSettings
) -> np.ndarray:
    """Centres of round spots (n, 2), px, that rise by enough over what is around them."""
    sigma = settings.nucleus_um / (2.0 * np.sqrt(2.0)) / pixel_um
    amplitude = -gaussian_laplace(plane.astype(np.float64), sigma) * sigma**2 / PEAK
    needed = max(settings.nucleus_fraction * (stats.high - stats.low), settings.snr * stats.noise)
    tallest = maximum_filter(amplitude, size=2 * _window(sigma) + 1)
    # Pixels of equal height side by side are one summit.
    summits, number = label((amplitude == tallest) & (amplitude > needed), np.ones((3, 3)))
    if not number:
        return np.empty((0, 2))
    centres = np.array(center_of_mass(summits > 0, summits, np.arange(1, number + 1)))
    return centres[np.lexsort((centres[:, 1], centres[:, 0]))]


def _has_marker(
    plane: np.ndarray,
    places: np.ndarray,
    pixel_um: float,
    stats: ChannelStats,
    settings: ImmuneSettings,
) -> np.ndarray:
    """Whether the marker stands out on more than half of the circumference; bool (n,)."""
    if not len(places):
        return np.zeros(0, dtype=bool)
    smooth = gaussian_filter(plane.astype(np.float64), SMOOTHING_PX)
    unit = settings.nucleus_um / pixel_um
    rim = _on_circles(smooth, places, np.array(RIM) * unit).max(axis=1)
    around = _on_circles(smooth, places, np.array(AROUND) * unit).reshape(len(places), -1)
    above = np.median(rim, axis=1) - np.percentile(around, AROUND_PERCENTILE, axis=1)
    needed = max(settings.fraction * (stats.high - stats.low), settings.snr * stats.noise)
    return np.asarray(above > needed)


def _on_circles(plane: np.ndarray, places: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """The plane on circles round each place, (n, radii, directions); its edge goes on outside."""
    angle = np.arange(DIRECTIONS) * (2.0 * np.pi / DIRECTIONS)
    steps = radii[:, None, None] * np.stack((np.sin(angle), np.cos(angle)), axis=-1)
    at = places[:, None, None, :] + steps[None]
    return np.asarray(map_coordinates(plane, np.moveaxis(at, -1, 0), order=1, mode="nearest"))
