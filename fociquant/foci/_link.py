"""Single linkage of outlines by their edge-to-edge distance.

Groups need only enough links, not all of them, so an exact distance is asked for last:

1. cells of which a point each is close enough are joined (`_sure`);
2. of what is still apart, only cells whose boxes are near each other are looked at, each from
   the smaller of the two groups (`_near`);
3. circles inside and around the outlines say of most of these pairs whether they are close;
4. the others are measured, unless they belong together by now.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from fociquant.foci._outlines import Outlines
from fociquant.foci._parts import in_parts, threads_for

LINK_TOLERANCE_UM = 0.002
"""Added to the linking distance, µm. Outlines are float32: a coordinate up to 32 mm
is rounded by at most 0.00098 µm, a gap between two by twice that. Without it a gap
of exactly ``link_um`` would be in or out depending on where in the section it lies."""

CIRCLE_MARGIN_UM = 1e-6
"""Where circles leave less doubt than this, distances are measured, µm."""

AT_ONCE = 50_000
"""Cells or groups per query; bounds memory, changes no result."""

_NO_PAIRS = np.empty((0, 2), np.int64)


def link(outlines: Outlines, *, link_um: float) -> np.ndarray:
    """Group of every outline when those at most `link_um` apart are joined.

    The result is that of :func:`link_exhaustively`.

    Parameters
    ----------
    outlines : Outlines
        Of n cells.
    link_um : float
        Largest gap, edge to edge, inclusive, µm; 0 joins what touches.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
        Group from 0, in no meaningful order.
    """
    if len(outlines) < 2:
        return np.zeros(len(outlines), dtype=np.int64)
    reach = link_um + LINK_TOLERANCE_UM
    group = _sure(outlines, reach)
    joined, doubtful = [_NO_PAIRS], [_NO_PAIRS]
    for pairs in _near(outlines, group, reach):
        close, open_ = _by_circles(outlines, pairs, reach)
        joined.append(np.unique(group[close], axis=0))
        doubtful.append(open_)
    group = _components(np.concatenate(joined), int(group.max()) + 1)[group]
    pairs = np.concatenate(doubtful)
    close = _measured(outlines, pairs[group[pairs[:, 0]] != group[pairs[:, 1]]], reach)
    return _components(group[close], int(group.max()) + 1)[group]


def group_boxes(outlines: Outlines, group: np.ndarray) -> np.ndarray:
    """Smallest x and y, largest x and y of each group (from 0 without a gap), µm; (m, 4)."""
    boxes = np.empty((int(group.max()) + 1 if len(group) else 0, 4))
    boxes[:, :2], boxes[:, 2:] = np.inf, -np.inf
    for k in range(2):
        np.minimum.at(boxes[:, k], group, outlines.bounds[:, k])
        np.maximum.at(boxes[:, k + 2], group, outlines.bounds[:, k + 2])
    return boxes


def link_exhaustively(polygons: np.ndarray, *, link_um: float) -> np.ndarray:
    """The same as :func:`link` of shapely polygons, computing every distance: its reference."""
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


def _sure(outlines: Outlines, reach: float) -> np.ndarray:
    """Groups of cells whose first points are at most `reach` apart.

    Strip by strip, each with what is within `reach` below it; of a strip's many pairs only
    those that hold it together are kept.
    """
    points = outlines.some_points()
    order = np.argsort(points[:, 0], kind="stable")
    y = points[order, 0]
    kept = [_NO_PAIRS]
    for start in range(0, len(order), AT_ONCE):
        last = y[min(start + AT_ONCE, len(order)) - 1]
        rows = order[start : np.searchsorted(y, last + reach, side="right")]
        pairs = cKDTree(points[rows]).query_pairs(reach, output_type="ndarray")
        _, first, strip = np.unique(
            _components(pairs, len(rows)), return_index=True, return_inverse=True
        )
        kept.append(np.column_stack([rows, rows[first[strip]]]))
    return _components(np.concatenate(kept), len(order))


def _near(outlines: Outlines, group: np.ndarray, reach: float) -> Iterator[np.ndarray]:
    """Pairs (m, 2) of cells of different groups whose boxes are at most `reach` apart.

    Each once, and of two groups only the smaller asks: the inside of a large focus
    with small ones around it is not looked at.
    """
    sizes = np.bincount(group)
    rank = np.empty(len(sizes), np.int64)
    rank[np.argsort(sizes, kind="stable")] = np.arange(len(sizes))
    boxes = group_boxes(outlines, group)
    asking, asked = np.zeros(len(sizes), bool), np.zeros(len(sizes), bool)
    every = np.arange(len(sizes))
    for one, other in _touching(boxes, every, every, reach):
        up = rank[other] > rank[one]
        asking[one[up]], asked[other[up]] = True, True
    smaller, larger = np.flatnonzero(asking[group]), np.flatnonzero(asked[group])
    for one, other in _touching(outlines.bounds, smaller, larger, reach):
        up = rank[group[other]] > rank[group[one]]
        yield np.column_stack([one[up], other[up]])


def _touching(
    boxes: np.ndarray, one: np.ndarray, other: np.ndarray, reach: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of `one` and of `other` whose boxes touch when those of `one` are grown by `reach`."""
    if not len(one) or not len(other):
        return
    tree = shapely.STRtree(_diagonals(boxes[other]))
    grow = np.array((-reach, -reach, reach, reach))

    def found(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        left, right = tree.query(_diagonals(boxes[rows] + grow))
        return rows[left], other[right]

    parts = [one[k : k + AT_ONCE] for k in range(0, len(one), AT_ONCE)]
    with ThreadPoolExecutor(threads_for(len(parts))) as pool:
        yield from pool.map(found, parts)


def _diagonals(boxes: np.ndarray) -> np.ndarray:
    """Lines whose boxes are these: lighter than boxes, and an R-tree knows no difference."""
    return np.asarray(shapely.linestrings(boxes.reshape(-1, 2, 2)), dtype=object)


def _by_circles(
    outlines: Outlines, pairs: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs that surely are at most `reach` apart, and those of which that is not known."""
    one, other = pairs.T
    apart = np.sqrt(((outlines.centre[one] - outlines.centre[other]) ** 2).sum(axis=1))
    most = apart - outlines.inner[one] - outlines.inner[other]
    least = apart - outlines.outer[one] - outlines.outer[other]
    close = most <= reach - CIRCLE_MARGIN_UM
    return pairs[close], pairs[~close & (least <= reach + CIRCLE_MARGIN_UM)]


def _measured(outlines: Outlines, pairs: np.ndarray, reach: float) -> np.ndarray:
    """Those of the pairs (m, 2) whose outlines are at most `reach` apart."""

    def near(part: np.ndarray) -> np.ndarray:
        rows, at = np.unique(part, return_inverse=True)
        polygons = outlines.polygons(rows)[at.reshape(-1, 2)]
        return np.asarray(shapely.dwithin(polygons[:, 0], polygons[:, 1], reach))

    return pairs[in_parts(near, pairs)] if len(pairs) else pairs
