"""Where an object can be counted at all: near a place where the marker stands out.

The gate and the screen of whole slides ask the same question of the same map, so that
what the screen leaves out is what the gate would reject.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.ndimage import maximum_filter

from fociquant.model import MAP_RATIO, MAP_STEPS, MarkerMap
from fociquant.settings import GateSettings

RARE = 1e-4
"""The bar is where no more than this share of a section stands out by its texture."""

ONE_CELL = 4
"""Grid pixels that a single cell can raise, where it lies on a corner of the grid. In a small
section these alone are more than a share of `RARE`, and must not set the bar by themselves."""

TAIL = 1.3
"""There the bar is this multiple of the next brightest grid pixel instead: the brightest of some
hundred to some ten thousand values of noise exceeds the fifth by less."""

LEAST, MOST = 0.5, 2.0
"""The bar is never below or above these multiples of ``marker_snr``: what is rare may be cells."""

PAYS = 0.1
"""Where more than this share stands out even above the highest bar, looking everywhere costs little
more, and the bar is the lowest."""

REACH_UM = 24.0
"""An object's centre is at most this far from the place (and its grid pixel), µm: two cells."""


def bar(found: MarkerMap, settings: GateSettings) -> float:
    """What a small square must exceed to stand out, in standard deviations of the pixel noise.

    Parameters
    ----------
    found : MarkerMap
    settings : GateSettings
        Uses ``marker_snr``.
    """
    least, most = LEAST * settings.marker_snr, MOST * settings.marker_snr
    levels = found.peaks.astype(np.float64).ravel() / MAP_STEPS
    if not levels.size or float(np.mean(levels > most)) > PAYS:
        return least
    if RARE * levels.size >= ONE_CELL:
        highest = np.quantile(levels, 1.0 - RARE, method="higher")
    elif levels.size > ONE_CELL:
        highest = TAIL * np.partition(levels, -1 - ONE_CELL)[-1 - ONE_CELL]
    else:
        return least
    return float(np.clip(highest, least, most))


def countable_places(found: MarkerMap, settings: GateSettings) -> np.ndarray:
    """Grid pixels of a marker map in which the centre of a counted object can lie.

    Parameters
    ----------
    found : MarkerMap
    settings : GateSettings
        Uses ``marker_snr`` and ``autofluorescence_ratio``. With a ratio below the map's own
        (1.8) the map says nothing, and every place is countable.

    Returns
    -------
    numpy.ndarray of bool, shape of ``found.peaks``
    """
    if settings.autofluorescence_ratio < MAP_RATIO:
        return np.ones(found.peaks.shape, bool)
    # At 255 the map knows no more than "at least".
    standing = found.peaks > min(bar(found, settings) * MAP_STEPS, 254.0)
    return grown(standing, found.edge_um, REACH_UM)


def grown(places: np.ndarray, edge_um: tuple[float, float], by_um: float) -> np.ndarray:
    """Grid pixels within `by_um` of True ones along both axes, rounded up to whole ones."""
    size = [2 * math.ceil(by_um / edge) + 1 for edge in edge_um]
    return np.asarray(maximum_filter(places, size=size, mode="constant"), bool)


def out_of_place(
    objects: pd.DataFrame, found: MarkerMap | None, settings: GateSettings
) -> np.ndarray:
    """Whether the marker stands out nowhere near an object.

    Parameters
    ----------
    objects : pandas.DataFrame
        ``y_um``, ``x_um``.
    found : MarkerMap or None
        Of the section; None: unknown, and no object is out of place.
    settings : GateSettings

    Returns
    -------
    numpy.ndarray of bool, shape (number of objects,)
    """
    if found is None or not found.peaks.size:
        return np.zeros(len(objects), bool)
    places = np.floor(objects[["y_um", "x_um"]].to_numpy(np.float64) / found.edge_um)
    inside = np.clip(places.astype(np.int64), 0, np.array(found.peaks.shape) - 1)
    return np.asarray(~countable_places(found, settings)[inside[:, 0], inside[:, 1]])
