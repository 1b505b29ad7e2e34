"""Cells that the network cut in two: no membrane runs between the halves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

OPEN = 0.35
"""A border with less marker than this share of the edge's (``joint``) is none. Of 18 000 pairs of
true neighbours in simulated sections by three authors none that is so near has less on both sides,
of 13 cells with two nuclei that were cut 9."""

RIM = 0.4
"""Only where the marker sits in the membrane (1 - core / edge) does its absence say anything."""

NEAR = 0.7
"""Centres of halves are nearer than this multiple of the root of their area together: of a circle
cut in two 0.48, of two circles that touch 0.80."""


def other_halves(
    objects: pd.DataFrame, *, ring: np.ndarray, score: np.ndarray, passing: np.ndarray
) -> np.ndarray:
    """Objects whose other half is counted already.

    Parameters
    ----------
    objects : pandas.DataFrame
        Uses ``y_um``, ``x_um``, ``area_um2`` and ``joint``; without the last nothing is a half.
    ring, score : numpy.ndarray of float64, shape (n,)
        1 - core / edge of the marker; the network's.
    passing : numpy.ndarray of bool, shape (n,)
        Others are nobody's half.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        Of each pair the one with the lower score. Nearest pairs first, an object is in one.
    """
    found = np.zeros(len(objects), bool)
    if "joint" not in objects:
        return found
    open_ones = np.flatnonzero(passing & (ring > RIM) & (objects["joint"].to_numpy() < OPEN))
    places = objects[["y_um", "x_um"]].to_numpy()[open_ones]
    areas = objects["area_um2"].to_numpy()[open_ones]
    if not len(areas):
        return found
    reach = NEAR * float(np.sqrt(2.0 * areas.max()))
    pairs = cKDTree(places).query_pairs(reach, output_type="ndarray")
    apart = np.hypot(*(places[pairs[:, 0]] - places[pairs[:, 1]]).T)
    near = apart < NEAR * np.sqrt(areas[pairs].sum(axis=1))
    pairs, apart = pairs[near], apart[near]
    free = np.ones(len(areas), bool)
    for one, other in pairs[np.lexsort((pairs[:, 1], pairs[:, 0], apart))]:
        if free[one] and free[other]:
            free[[one, other]] = False
            less = one if score[open_ones[one]] < score[open_ones[other]] else other
            found[open_ones[less]] = True
    return found
