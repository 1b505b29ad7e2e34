"""Single linkage of polygons by their edge-to-edge distance."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from fociquant.foci._parts import threads_for

LINK_TOLERANCE_UM = 0.002
"""Added to the linking distance, µm. Outlines are float32: a coordinate up to 32 mm
is rounded by at most 0.00098 µm, a gap between two by twice that. Without it a gap
of exactly ``link_um`` would be in or out depending on where in the section it lies."""

QUERY_CHUNK = 50_000
"""Cells per neighbour query; bounds memory, changes no result."""


def link(polygons: np.ndarray, *, link_um: float) -> np.ndarray:
    """Component of every polygon when those at most `link_um` apart are joined.

    Components need only enough links, not all of them. So pairs that are surely
    close (their first vertices are) are joined first, by a k-d tree; an exact
    distance is computed only for neighbours that are still apart. The result is
    that of :func:`link_exhaustively`.

    Parameters
    ----------
    polygons : numpy.ndarray of object, shape (n,)
        Valid shapely geometries, µm.
    link_um : float
        Largest gap, edge to edge, inclusive, µm; 0 joins what touches.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
        Component from 0, in no meaningful order.
    """
    if len(polygons) < 2:
        return np.zeros(len(polygons), dtype=np.int64)
    reach = link_um + LINK_TOLERANCE_UM
    sure = _components(_close_vertices(polygons, reach), len(polygons))
    return _components(_close_components(polygons, sure, reach), int(sure.max()) + 1)[sure]


def link_exhaustively(polygons: np.ndarray, *, link_um: float) -> np.ndarray:
    """The same as :func:`link`, computing every distance; the reference it is tested against."""
    if len(polygons) < 2:
        return np.zeros(len(polygons), dtype=np.int64)
    reach = link_um + LINK_TOLERANCE_UM
    pairs = shapely.STRtree(polygons).query(polygons, predicate="dwithin", distance=reach)
    return _components(pairs.T, len(polygons))


def _components(pairs: np.ndarray, n: int) -> np.ndarray:
    """Connected components, int64 (n,), of n nodes and edges (m, 2)."""
    edges = (np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1]))
    _, labels = connected_components(coo_array(edges, shape=(n, n)), directed=False)
    return labels.astype(np.int64)


def _close_vertices(polygons: np.ndarray, reach: float) -> np.ndarray:
    """Pairs (m, 2) whose first vertices are at most `reach` apart: certainly linked."""
    coordinates, owner = shapely.get_coordinates(polygons, return_index=True)
    first = coordinates[np.searchsorted(owner, np.arange(len(polygons)))]
    pairs: np.ndarray = cKDTree(first).query_pairs(reach, output_type="ndarray")
    return pairs


def _close_components(polygons: np.ndarray, component: np.ndarray, reach: float) -> np.ndarray:
    """Pairs (m, 2) of different components holding two polygons at most `reach` apart."""
    tree = shapely.STRtree(polygons)
    grow = np.array((-reach, -reach, reach, reach))

    def found_from(start: int) -> np.ndarray:
        bounds = shapely.bounds(polygons[start : start + QUERY_CHUNK])
        windows = shapely.box(*(bounds + grow).T)
        one, other = tree.query(windows)
        one = one + start
        apart = (component[one] != component[other]) & (one < other)
        one, other = one[apart], other[apart]
        near = shapely.dwithin(polygons[one], polygons[other], reach)
        return np.column_stack((component[one[near]], component[other[near]]))

    starts = range(0, len(polygons), QUERY_CHUNK)
    with ThreadPoolExecutor(threads_for(len(starts))) as pool:
        return np.concatenate(list(pool.map(found_from, starts)))
