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

from fociquant.foci._outlines import Outlines

LEAST_CELLS = 12
"""Smaller foci are mostly rim."""

BODY = 0.7
"""Part of the radius of the disc with a cell's area that surely lies round its centre."""

SAME_AREA = 1e-9
"""Relative difference up to which two ways to an area agree."""

Filled = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Which cells are inside; a polygon for each of some foci; those foci."""


def inside_of(outlines: Outlines, rows: np.ndarray, focus: np.ndarray, radius: float) -> Filled:
    """Cells that lie wholly within triangles which closing by `radius` fills.

    Two discs of radius ``b`` whose centres are ``2 h`` apart are joined by a neck that
    holds the line between their centres if ``h² <= 2 radius b + b²``; three such in a
    triangle whose circumradius is no larger leave no hole that a disc of `radius` fits into.

    Parameters
    ----------
    outlines : Outlines
    rows : numpy.ndarray of int64, shape (n,)
        The cells of some foci.
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
    inside = np.zeros(len(rows), bool)
    nothing = inside, np.empty(0, dtype=object), np.empty(0, np.int64)
    large = np.flatnonzero(np.bincount(focus)[focus] >= LEAST_CELLS)
    if not len(large) or radius <= 0:
        return nothing
    rows, focus = rows[large], focus[large]
    centres = outlines.centre[rows]
    body = BODY * np.sqrt(outlines.area[rows] / np.pi)
    triangles, twice = _filled_triangles(centres, focus, body, radius)
    if not len(triangles):
        return nothing
    rim = _rim(triangles)
    edge = np.ones(len(rows), bool)
    edge[triangles.ravel()] = False
    edge[rim.ravel()] = True
    area = np.bincount(focus[triangles[:, 0]], weights=twice / 2)
    fills, owner = _fill(centres, triangles, rim, focus, area)
    held = ~edge
    unsure = np.flatnonzero(held & (outlines.outer[rows] >= _free(centres, triangles, twice)))
    if len(unsure):
        shapely.prepare(fills)
        around = fills[np.searchsorted(owner, focus[unsure])]
        held[unsure] = shapely.contains_properly(around, outlines.polygons(rows[unsure]))
    inside[large[held]] = True
    return inside, fills, owner


def _filled_triangles(
    centres: np.ndarray, focus: np.ndarray, body: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Delaunay triangles (m, 3) of one focus each that closing fills, and twice their areas."""
    try:
        corners = Delaunay(centres).simplices
    except QhullError:  # all on one line
        return np.empty((0, 3), np.int64), np.empty(0)
    own = focus[corners]
    corners = corners[(own[:, 0] == own[:, 1]) & (own[:, 0] == own[:, 2])].astype(np.int64)
    a, b, c = (centres[corners[:, k]] for k in range(3))
    ab, bc, ca = b - a, c - b, a - c
    twice = np.abs(ab[:, 0] * ca[:, 1] - ab[:, 1] * ca[:, 0])
    sides = [(side * side).sum(axis=1) for side in (ab, bc, ca)]
    thin = body[corners].min(axis=1)
    # circumradius² = (product of the sides)² / (2 twice)²
    good = sides[0] * sides[1] * sides[2] <= (2 * radius * thin + thin**2) * (2 * twice) ** 2
    good &= twice > 0
    return corners[good], twice[good]


def _rim(triangles: np.ndarray) -> np.ndarray:
    """Edges (m, 2) that only one triangle has."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    key = edges[:, 0] * (triangles.max() + 1) + edges[:, 1]
    _, first, count = np.unique(key, return_index=True, return_counts=True)
    return edges[first[count == 1]]


def _free(centres: np.ndarray, triangles: np.ndarray, twice: np.ndarray) -> np.ndarray:
    """Distance from each centre that its own triangles surely reach to, if they surround it."""
    free = np.full(len(centres), np.inf)
    for k in range(3):
        one, other = centres[triangles[:, k - 1]], centres[triangles[:, k - 2]]
        height = twice / np.sqrt(((one - other) ** 2).sum(axis=1))
        np.minimum.at(free, triangles[:, k], height)
    return free * (1 - SAME_AREA)


def _fill(
    centres: np.ndarray, triangles: np.ndarray, rim: np.ndarray, focus: np.ndarray, area: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The area of the triangles of each focus, from its rim, and the foci, ascending."""
    order = np.argsort(focus[rim[:, 0]], kind="stable")
    foci, number = np.unique(focus[rim[order, 0]], return_inverse=True)
    lines = shapely.multilinestrings(shapely.linestrings(centres[rim[order]]), indices=number)
    fills = np.asarray(shapely.build_area(lines), dtype=object)
    wrong = np.abs(shapely.area(fills) - area[foci]) > SAME_AREA * area[foci]
    for at in np.flatnonzero(wrong).tolist():
        own = triangles[focus[triangles[:, 0]] == foci[at]]
        fills[at] = shapely.coverage_union_all(shapely.polygons(centres[own]))
    return fills, foci
