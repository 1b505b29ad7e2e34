"""Candidates that stand together."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

NEIGHBOUR_UM = 25.0
"""Centres of neighbouring cells of a focus are about two diameters apart at most, µm."""


def largest_groups(places_um: np.ndarray) -> np.ndarray:
    """Sizes of the groups of candidates, largest first.

    Parameters
    ----------
    places_um : numpy.ndarray of float64, shape (n, 2)
        Centres.

    Returns
    -------
    numpy.ndarray of int64, shape (groups,)
        Empty without candidates.
    """
    n = len(places_um)
    if not n:
        return np.empty(0, np.int64)
    pairs = cKDTree(places_um).query_pairs(NEIGHBOUR_UM, output_type="ndarray")
    edges = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, labels = connected_components(edges, directed=False)
    return np.sort(np.bincount(labels))[::-1].astype(np.int64)
