"""Outlines to shapely polygons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

MIN_POINTS = 3
"""Fewer points enclose nothing."""


def to_polygons(outlines: Sequence[np.ndarray], *, cells: np.ndarray) -> np.ndarray:
    """Valid shapely geometries of cell outlines.

    A self-crossing outline is repaired with :func:`shapely.make_valid` (which is
    deterministic): a bow tie becomes its two halves, an outline without area the
    line or point it covers. Nothing is dropped, so rows stay aligned.

    Parameters
    ----------
    outlines : sequence of numpy.ndarray
        One flat array ``[y0, x0, y1, x1, …]`` each, µm, finite, at least three
        points, the first not repeated at the end.
    cells : numpy.ndarray of int64, shape (n,)
        Their ids, for messages.

    Returns
    -------
    numpy.ndarray of object, shape (n,)
        shapely geometries with x before y, µm.

    Raises
    ------
    ValueError
        If an outline is absent, has fewer than three points, an odd number of
        values, or a coordinate that is not finite; the message names the cell.
    """
    if not len(outlines):
        return np.empty(0, dtype=object)
    if any(type(outline) is not np.ndarray or outline.ndim != 1 for outline in outlines):
        outlines = [np.ravel(np.asarray(outline)) for outline in outlines]
    sizes = np.fromiter((outline.size for outline in outlines), np.int64, len(outlines))
    short = (sizes < 2 * MIN_POINTS) | (sizes % 2 != 0)
    _refuse(short, cells, f"has no closed outline of at least {MIN_POINTS} (y, x) points")
    flat = np.concatenate(outlines).astype(np.float64)
    owner = np.repeat(np.arange(len(sizes)), sizes // 2)
    points = flat.reshape(-1, 2)[:, ::-1]
    broken = np.zeros(len(sizes), dtype=bool)
    broken[owner[~np.isfinite(points).all(axis=1)]] = True
    _refuse(broken, cells, "has an outline with a coordinate that is not finite")
    polygons = shapely.polygons(shapely.linearrings(points, indices=owner))
    invalid = ~shapely.is_valid(polygons)
    polygons[invalid] = shapely.make_valid(polygons[invalid])
    return polygons


def _refuse(bad: np.ndarray, cells: np.ndarray, what: str) -> None:
    """Raise for the first cell marked in `bad`."""
    if bad.any():
        raise ValueError(f"cell {int(cells[np.argmax(bad)])} {what} ({int(bad.sum())} such cells)")
