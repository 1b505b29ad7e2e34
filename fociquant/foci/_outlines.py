"""Outlines to shapely polygons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from fociquant.foci._parts import in_parts

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
    numbered = np.asarray(cells)
    sizes = in_parts(_sizes, outlines)
    short = (sizes < 2 * MIN_POINTS) | (sizes % 2 != 0)
    _refuse(short, numbered, f"has no closed outline of at least {MIN_POINTS} (y, x) points")
    broken = ~in_parts(_finite, outlines)
    _refuse(broken, numbered, "has an outline with a coordinate that is not finite")
    return in_parts(_polygons, outlines)


def _flat(outlines: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """The outlines as flat arrays, whatever sequences they were."""
    if any(type(outline) is not np.ndarray or outline.ndim != 1 for outline in outlines):
        return [np.ravel(np.asarray(outline)) for outline in outlines]
    return outlines


def _sizes(outlines: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([outline.size for outline in _flat(outlines)], np.int64)


def _finite(outlines: Sequence[np.ndarray]) -> np.ndarray:
    """Whether every coordinate of each outline, none empty, is finite."""
    flat = _flat(outlines)
    starts = np.concatenate([[0], np.cumsum(_sizes(flat))[:-1]])
    return np.logical_and.reduceat(np.isfinite(np.concatenate(flat).astype(np.float64)), starts)


def _polygons(outlines: Sequence[np.ndarray]) -> np.ndarray:
    flat = _flat(outlines)
    points = np.concatenate(flat).astype(np.float64).reshape(-1, 2)[:, ::-1]
    owner = np.repeat(np.arange(len(flat)), _sizes(flat) // 2)
    polygons = np.asarray(shapely.polygons(shapely.linearrings(points, indices=owner)), object)
    invalid = ~shapely.is_valid(polygons)
    polygons[invalid] = shapely.make_valid(polygons[invalid])
    return polygons


def _refuse(bad: np.ndarray, cells: np.ndarray, what: str) -> None:
    """Raise for the first cell marked in `bad`."""
    if bad.any():
        raise ValueError(f"cell {int(cells[np.argmax(bad)])} {what} ({int(bad.sum())} such cells)")
