"""The inside of a packed focus, found without joining its cells one by one.

Closing fills every gap between cells that stand close, so the inside of a packed focus
belongs to it whatever the outlines there are. What is surely inside is a set of
Delaunay triangles between centres of cells; only the cells along its rim have to be widened
and joined, which is what takes the time.
"""

from __future__ import annotations

import numpy as np
import shapely
from scipy.spatial import Delaunay, QhullError

LEAST_CELLS = 12
"""Smaller foci are mostly rim."""

BODY = 0.7
"""Part of the radius of the disc with a cell's area that surely lies round its centre."""

Filled = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rows of cells that are inside; a polygon for each of some foci; those foci."""


def inside_of(polygons: np.ndarray, focus: np.ndarray, radius: float) -> Filled:
    """Cells that lie wholly within triangles which closing by `radius` fills.

    Two discs of radius ``b`` whose centres are ``2 h`` apart are joined by a neck that
    holds the line between their centres if ``h² <= 2 radius b + b²``; three such in a
    triangle whose circumradius is no larger leave no hole that a disc of `radius` fits into.

    Parameters
    ----------
    polygons : numpy.ndarray of object, shape (n,)
        Valid shapely geometries, µm.
    focus : numpy.ndarray of int64, shape (n,)
        Focus of each, from 0 without a gap.
    radius : float
        Of the closing, µm.

    Returns
    -------
    inside : numpy.ndarray of bool, shape (n,)
        Cells that need not be looked at.
    fills : numpy.ndarray of object, shape (k,)
        Polygons that hold them.
    owner : numpy.ndarray of int64, shape (k,)
        Foci of `fills`, ascending.
    """
    inside = np.zeros(len(polygons), bool)
    nothing = inside, np.empty(0, dtype=object), np.empty(0, np.int64)
    large = np.flatnonzero(np.bincount(focus)[focus] >= LEAST_CELLS)
    if not len(large) or radius <= 0:
        return nothing
    centres = shapely.get_coordinates(shapely.centroid(polygons[large]))
    body = BODY * np.sqrt(shapely.area(polygons[large]) / np.pi)
    triangles = _filled_triangles(centres, focus[large], body, radius)
    if not len(triangles):
        return nothing
    rim = _rim(triangles)
    edge = np.ones(len(large), bool)
    edge[triangles.ravel()] = False
    edge[rim.ravel()] = True
    fills, owner = _fill(centres, triangles, focus[large])
    candidates = np.flatnonzero(~edge)
    at = np.searchsorted(owner, focus[large][candidates])
    shapely.prepare(fills)
    held = shapely.contains_properly(fills[at], polygons[large[candidates]])
    inside[large[candidates[held]]] = True
    return inside, fills, owner


def _filled_triangles(
    centres: np.ndarray, focus: np.ndarray, body: np.ndarray, radius: float
) -> np.ndarray:
    """Delaunay triangles (m, 3) of one focus each that closing fills."""
    try:
        corners = Delaunay(centres).simplices
    except QhullError:  # all on one line
        return np.empty((0, 3), np.int64)
    alike = (focus[corners] == focus[corners[:, :1]]).all(axis=1)
    corners = corners[alike]
    a, b, c = (centres[corners[:, k]] for k in range(3))
    sides = [np.hypot(*(p - q).T) for p, q in ((a, b), (b, c), (c, a))]
    ab, ac = b - a, c - a
    twice = np.abs(ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    with np.errstate(divide="ignore"):
        circumradius = sides[0] * sides[1] * sides[2] / (2 * twice)
    thin = body[corners].min(axis=1)
    good = (twice > 0) & (circumradius**2 <= 2 * radius * thin + thin**2)
    return np.asarray(corners[good], np.int64)


def _rim(triangles: np.ndarray) -> np.ndarray:
    """Edges (m, 2) that only one triangle has."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    key = edges[:, 0] * (triangles.max() + 1) + edges[:, 1]
    _, first, count = np.unique(key, return_index=True, return_counts=True)
    return edges[first[count == 1]]


def _fill(
    centres: np.ndarray, triangles: np.ndarray, focus: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The area of the triangles of each focus, and the foci, ascending."""
    owner = focus[triangles[:, 0]]
    order = np.argsort(owner, kind="stable")
    shapes = shapely.polygons(centres[triangles[order]])
    foci, starts = np.unique(owner[order], return_index=True)
    parts = np.split(shapes, starts[1:])
    return np.array([shapely.coverage_union_all(part) for part in parts], dtype=object), foci
