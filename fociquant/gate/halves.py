"""Cells that the network cut in two: halves lie nearer than cells, without a membrane between."""

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

CUT = 0.52
"""No two of these neighbours are so near, whatever they wear (the nearest has 0.55, and 0.536 in
sections of our own simulator); 11 halves are."""

NEIGHBOURS = 3
"""The other half is among so many of the nearest objects."""


def other_halves(
    objects: pd.DataFrame, *, ring: np.ndarray, score: np.ndarray, passing: np.ndarray
) -> np.ndarray:
    """Objects whose other half is counted already.

    Parameters
    ----------
    objects : pandas.DataFrame
        Uses ``y_um``, ``x_um``, ``area_um2`` and ``joint``; without the last nothing is known of
        borders.
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
    some = np.flatnonzero(passing)
    if len(some) < 2:
        return found
    areas = objects["area_um2"].to_numpy()[some]
    pairs, apart = _neighbours(objects[["y_um", "x_um"]].to_numpy()[some])
    share = apart / np.sqrt(areas[pairs].sum(axis=1))
    bare = np.zeros(len(some), bool)
    if "joint" in objects:
        bare = (ring[some] > RIM) & (objects["joint"].to_numpy()[some] < OPEN)
    same = (share < CUT) | ((share < NEAR) & bare[pairs].all(axis=1))
    pairs, apart = pairs[same], apart[same]
    free = np.ones(len(some), bool)
    for one, other in pairs[np.lexsort((pairs[:, 1], pairs[:, 0], apart))]:
        if free[one] and free[other]:
            free[[one, other]] = False
            less = one if score[some[one]] < score[some[other]] else other
            found[some[less]] = True
    return found


def _neighbours(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of near places, int64 (m, 2), each once, and how far apart they are."""
    number = min(NEIGHBOURS + 1, len(places))
    apart, near = cKDTree(places).query(places, k=number)
    first = np.repeat(np.arange(len(places)), number)
    pairs = np.sort(np.stack([first, near.ravel()], axis=1), axis=1)
    pairs, index = np.unique(pairs, axis=0, return_index=True)
    kept = pairs[:, 0] < pairs[:, 1]
    return pairs[kept], apart.ravel()[index[kept]]
