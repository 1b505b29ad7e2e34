"""Cell outlines: one array of points, what is quickly told from it, polygons on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from fociquant.foci._parts import in_parts

MIN_POINTS = 3
"""Fewer points enclose nothing."""

MARGIN_UM2 = 1e-6
"""Triangles between an outline's centre and its edges must be larger to be told from none, µm²."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """The outlines of `n` cells. A polygon takes ten times the memory, so few are made.

    Parameters
    ----------
    points : numpy.ndarray of float32 or float64, shape (k, 2)
        (y, x), µm, cell after cell; no outline is closed by its first point.
    starts : numpy.ndarray of int64, shape (n + 1,)
        The points of cell `i` are ``starts[i]:starts[i + 1]``.
    bounds : numpy.ndarray of float64, shape (n, 4)
        Smallest x and y, largest x and y, µm.
    centre : numpy.ndarray of float64, shape (n, 2)
        Centroid (x, y), µm.
    area : numpy.ndarray of float64, shape (n,)
        µm².
    outer : numpy.ndarray of float64, shape (n,)
        No part of the cell is farther from its centre, µm.
    inner : numpy.ndarray of float64, shape (n,)
        All that is no farther from the centre surely is cell, µm; ``-outer`` where nothing
        is sure.
    repaired : mapping of int to shapely.Geometry
        What became of outlines that are no valid polygons.
    """

    points: np.ndarray
    starts: np.ndarray
    bounds: np.ndarray
    centre: np.ndarray
    area: np.ndarray
    outer: np.ndarray
    inner: np.ndarray
    repaired: Mapping[int, shapely.Geometry]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def some_points(self) -> np.ndarray:
        """A place (x, y) of each cell's edge, µm; float64 (n, 2)."""
        places = self.points[self.starts[:-1], ::-1].astype(np.float64)
        for row, shape in self.repaired.items():  # a repair may cut off a spike
            places[row] = shapely.get_coordinates(shape)[0]
        return places

    def polygons(self, rows: np.ndarray) -> np.ndarray:
        """Valid shapely geometries (x before y, µm) of some cells; object, shape (len(rows),).

        A self-crossing outline is repaired with :func:`shapely.make_valid` (which is
        deterministic): a bow tie becomes its two halves, an outline without area the
        line or point it covers.
        """
        made = _raw_polygons(self.points, self.starts, rows)
        if self.repaired:
            for at in np.flatnonzero(np.isin(rows, list(self.repaired))).tolist():
                made[at] = self.repaired[int(rows[at])]
        return made


def read_outlines(outlines: Sequence[np.ndarray], *, cells: np.ndarray) -> Outlines:
    """The outlines of a column of a table. Nothing is dropped, so rows stay aligned.

    Parameters
    ----------
    outlines : sequence of numpy.ndarray
        One flat array ``[y0, x0, y1, x1, …]`` each, µm, finite, at least three
        points, the first not repeated at the end.
    cells : numpy.ndarray of int64, shape (n,)
        Their ids, for messages.

    Returns
    -------
    Outlines

    Raises
    ------
    ValueError
        If an outline is absent, has fewer than three points, an odd number of
        values, or a coordinate that is not finite; the message names the cell.
    """
    flat = _flat(outlines)
    sizes = np.fromiter((outline.size for outline in flat), np.int64, len(flat))
    short = (sizes < 2 * MIN_POINTS) | (sizes % 2 != 0)
    _refuse(short, cells, f"has no closed outline of at least {MIN_POINTS} (y, x) points")
    values = np.concatenate([np.empty(0, np.float32), *flat])
    if values.dtype != np.float32:
        values = values.astype(np.float64)
    starts = np.concatenate([[0], np.cumsum(sizes // 2)])
    if not np.isfinite(values).all():
        finite = np.logical_and.reduceat(np.isfinite(values), 2 * starts[:-1])
        _refuse(~finite, cells, "has an outline with a coordinate that is not finite")
    return _told(values.reshape(-1, 2), starts)


def _flat(outlines: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """The outlines as flat arrays, whatever sequences they were."""
    if any(type(outline) is not np.ndarray or outline.ndim != 1 for outline in outlines):
        return [np.ravel(np.asarray(outline)) for outline in outlines]
    return outlines


def _refuse(bad: np.ndarray, cells: np.ndarray, what: str) -> None:
    """Raise for the first cell marked in `bad`."""
    if bad.any():
        cell = int(np.asarray(cells)[np.argmax(bad)])
        raise ValueError(f"cell {cell} {what} ({int(bad.sum())} such cells)")


def _told(points: np.ndarray, starts: np.ndarray) -> Outlines:
    """Measure all outlines; only those that are not plainly simple are looked at by shapely."""

    def of(rows: np.ndarray) -> np.ndarray:
        own = slice(starts[rows[0]], starts[rows[-1] + 1])
        return _measured(points[own], starts[rows[0] : rows[-1] + 2] - own.start)

    def broken(rows: np.ndarray) -> np.ndarray:
        return ~shapely.is_valid(_raw_polygons(points, starts, rows))

    every = np.arange(len(starts) - 1)
    told = in_parts(of, every) if len(every) else np.empty((0, 9))
    unsure = np.flatnonzero(told[:, 8] <= 0)
    invalid = unsure[in_parts(broken, unsure)] if len(unsure) else unsure
    repaired = shapely.make_valid(_raw_polygons(points, starts, invalid))
    told[invalid] = _measured_shapes(repaired)
    columns = np.split(told, (4, 6, 7, 8), axis=1)
    bounds, centre, area, outer, inner = (np.ascontiguousarray(column) for column in columns)
    return Outlines(
        points, starts, bounds, centre, area[:, 0], outer[:, 0], inner[:, 0],
        dict(zip(invalid.tolist(), repaired.tolist(), strict=True)),
    )  # fmt: skip


def _raw_polygons(points: np.ndarray, starts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Polygons of some outlines as they are, valid or not."""
    if not len(rows):
        return np.empty(0, dtype=object)
    sizes = starts[rows + 1] - starts[rows]
    at = np.arange(sizes.sum()) + np.repeat(starts[rows] - np.cumsum(sizes) + sizes, sizes)
    xy = points[at, ::-1].astype(np.float64)
    rings = shapely.linearrings(xy, indices=np.repeat(np.arange(len(rows)), sizes))
    return np.asarray(shapely.polygons(rings), dtype=object)


def _measured(points: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Bounds, centre, area, outer and inner radius of some outlines; float64 (n, 9).

    An outline that goes round its centroid once, always in the same sense, is a simple
    polygon that holds the disc up to its nearest edge. Of the others nothing is sure.
    """
    xy = points[:, ::-1].astype(np.float64)
    first, sizes = starts[:-1], np.diff(starts)
    following = np.arange(1, len(xy) + 1)
    following[starts[1:] - 1] = first
    low, high = np.minimum.reduceat(xy, first), np.maximum.reduceat(xy, first)
    anchor = xy[first]
    x, y = (xy - np.repeat(anchor, sizes, axis=0)).T
    cross = x * y[following] - x[following] * y
    twice = np.add.reduceat(cross, first)
    moment = np.stack([np.add.reduceat((v + v[following]) * cross, first) for v in (x, y)], axis=1)
    flat = twice == 0
    shift = moment / (3 * np.where(flat, 1.0, twice))[:, None]
    x, y = x - np.repeat(shift[:, 0], sizes), y - np.repeat(shift[:, 1], sizes)
    nx, ny = x[following], y[following]
    outer = np.sqrt(np.maximum.reduceat(x * x + y * y, first))
    cross = (x * ny - nx * y) * np.repeat(np.sign(twice), sizes)
    rounds = np.add.reduceat((y < 0) & (ny >= 0), first, dtype=np.int64)
    plain = (np.minimum.reduceat(cross, first) > MARGIN_UM2) & (rounds == 1)
    edge = np.sqrt((nx - x) ** 2 + (ny - y) ** 2)
    height = np.divide(cross, edge, out=np.zeros_like(cross), where=edge > 0)
    inner = np.where(plain, np.minimum.reduceat(height, first), -outer)
    return np.column_stack([low, high, anchor + shift, np.abs(twice) / 2, outer, inner])


def _measured_shapes(shapes: np.ndarray) -> np.ndarray:
    """The same as :func:`_measured` of repaired outlines, of which nothing is sure."""
    centre = shapely.get_coordinates(shapely.centroid(shapes))
    places, owner = shapely.get_coordinates(shapes, return_index=True)
    outer = np.zeros(len(shapes))
    np.maximum.at(outer, owner, np.hypot(*(places - centre[owner]).T))
    return np.column_stack([shapely.bounds(shapes), centre, shapely.area(shapes), outer, -outer])
