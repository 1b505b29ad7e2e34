"""Decisions to objects: the same cell is found again after another segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely

from fociquant.review.decisions import CellRef
from fociquant.settings import ReviewSettings

SAME_PLACE_UM = 0.02
"""Two centres this close, under the same number and results, are one object: rounding, twice."""

FEW = 64
"""Up to so many references are looked for in their surroundings only."""

NOT_FOUND, SAME, OUTLINE, PLACE = "not found", "same", "outline", "place"
"""How an object was found: under its number; by its outline; by its place, where the outlines
differ much; or not."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where the objects of some decisions are now.

    Parameters
    ----------
    row : numpy.ndarray of int64, shape (n,)
        Row of the candidate; -1: not found.
    how : numpy.ndarray of str, shape (n,)
        ``same``, ``outline``, ``place`` or ``not found``.
    """

    row: np.ndarray
    how: np.ndarray


class Candidates:
    """The objects of a section that decisions can be about.

    Parameters
    ----------
    cell : numpy.ndarray of int64, shape (n,)
        Their numbers.
    y_um, x_um : numpy.ndarray of float64, shape (n,)
    outlines : sequence of numpy.ndarray
        Flat ``y0, x0, …``, µm; may be None or shorter than three points.
    results : str
        Fingerprint of the results they are from.
    settings : ReviewSettings
    """

    def __init__(
        self,
        cell: np.ndarray,
        y_um: np.ndarray,
        x_um: np.ndarray,
        outlines: Sequence[np.ndarray | None],
        *,
        results: str,
        settings: ReviewSettings,
    ) -> None:
        self._y, self._x, self._outlines = y_um, x_um, outlines
        self._results, self._settings = results, settings
        self._row_of = {int(number): row for row, number in enumerate(cell)}

    @cached_property
    def _reach(self) -> float:
        """See :func:`_reach`; not needed while all decisions are on these very results."""
        return _reach(self._y, self._x, self._outlines)

    def find(self, refs: Sequence[CellRef]) -> Found:
        """The candidate that each reference is about.

        Under its own number in the same results; else the candidate whose outline shares
        more than ``same_object_iou`` with it (above one half there can be only one); else
        the only one whose centre lies in its outline, and the other way round, and that
        shares more than ``in_place_iou``. A reference without outline is found by the only
        outline around its place. Where several different objects now point at one
        candidate, the best fitting one has it and the others are not found: a decision is
        never applied to another object.

        Parameters
        ----------
        refs : sequence of CellRef

        Returns
        -------
        Found
        """
        row = np.array([self._by_number(ref) for ref in refs], np.int64)
        how = np.where(row >= 0, SAME, NOT_FOUND).astype(object)
        rest = np.flatnonzero(row < 0)
        if len(rest) and len(self._row_of):
            self._by_shape([refs[int(i)] for i in rest], rest, row, how)
        return Found(row, how)

    def _by_number(self, ref: CellRef) -> int:
        if not ref.cell or ref.results != self._results:
            return -1
        row = self._row_of.get(ref.cell, -1)
        if row < 0:
            return -1
        near = max(abs(self._y[row] - ref.y_um), abs(self._x[row] - ref.x_um)) <= SAME_PLACE_UM
        return row if near else -1

    def _by_shape(
        self, refs: Sequence[CellRef], where: np.ndarray, row: np.ndarray, how: np.ndarray
    ) -> None:
        near = self._near(refs)
        polygons = self._shapes(near)
        tree = shapely.STRtree(polygons)
        shapes = polygons_of([np.asarray(ref.outline) for ref in refs])
        points = shapely.points([ref.x_um for ref in refs], [ref.y_um for ref in refs])
        bare = shapely.is_empty(shapes)
        shapes = np.where(bare, points, shapes)
        one, other = tree.query(shapes, predicate="intersects")
        common = shapely.area(shapely.intersection(shapes[one], polygons[other]))
        union = shapely.area(shapes[one]) + shapely.area(polygons[other]) - common
        iou = np.divide(common, union, out=np.zeros(len(common)), where=union > 0)
        centres = shapely.points(self._x[near[other]], self._y[near[other]])
        mutual = shapely.intersects(shapes[one], centres)
        mutual &= shapely.intersects(polygons[other], points[one])
        good = iou > self._settings.same_object_iou
        fair = mutual & (iou > self._settings.in_place_iou)
        best: dict[int, list[tuple[float, int, int]]] = {}
        for index in np.unique(one):
            own = np.flatnonzero(one == index) if len(one) < 64 else _span(one, index)
            if bare[index]:
                chosen, kind = (own, PLACE) if len(own) == 1 else (own[:0], PLACE)
            elif good[own].any():
                chosen, kind = own[[int(np.argmax(iou[own]))]], OUTLINE
            else:
                chosen, kind = own[fair[own]], PLACE
            if len(chosen) == 1:
                target = int(near[other[chosen[0]]])
                row[where[index]], how[where[index]] = target, kind
                best.setdefault(target, []).append((float(iou[chosen[0]]), int(index), target))
        self._settle(best, refs, shapes, where, row, how)

    def _settle(
        self,
        claims: dict[int, list[tuple[float, int, int]]],
        refs: Sequence[CellRef],
        shapes: np.ndarray,
        where: np.ndarray,
        row: np.ndarray,
        how: np.ndarray,
    ) -> None:
        """One candidate, one object: of several different ones the best fitting has it."""
        for rivals in claims.values():
            if len(rivals) < 2:
                continue
            winner = max(rivals, key=lambda one: (one[0], -refs[one[1]].y_um, -refs[one[1]].x_um))
            for _, index, _ in rivals:
                if not _same_object(shapes[winner[1]], shapes[index], self._settings):
                    row[where[index]], how[where[index]] = -1, NOT_FOUND

    def _near(self, refs: Sequence[CellRef]) -> np.ndarray:
        """Rows that can meet any of the references: all, or those around a few."""
        if len(refs) > FEW:
            return np.arange(len(self._y))
        hit = np.zeros(len(self._y), bool)
        for ref in refs:
            points = np.array(ref.outline or (ref.y_um, ref.x_um)).reshape(-1, 2)
            (y0, x0), (y1, x1) = points.min(0) - self._reach, points.max(0) + self._reach
            hit |= (self._y >= y0) & (self._y <= y1) & (self._x >= x0) & (self._x <= x1)
        return np.flatnonzero(hit)

    def _shapes(self, rows: np.ndarray) -> np.ndarray:
        return polygons_of([self._outlines[int(row)] for row in rows])


def _reach(y: np.ndarray, x: np.ndarray, outlines: Sequence[np.ndarray | None]) -> float:
    """Largest distance of an outline's point from its centre along one axis, µm."""
    usable = [i for i, one in enumerate(outlines) if one is not None and len(one)]
    if not usable:
        return 0.0
    points = np.concatenate([outlines[i] for i in usable]).reshape(-1, 2)
    sizes = np.array([len(outlines[i]) // 2 for i in usable])  # type: ignore[arg-type]
    centres = np.repeat(np.column_stack([y[usable], x[usable]]), sizes, axis=0)
    return float(np.abs(points - centres).max())


def _span(sorted_values: np.ndarray, value: int) -> np.ndarray:
    ends = np.searchsorted(sorted_values, [value, value + 1])
    return np.arange(*ends)


def _same_object(one: shapely.Geometry, other: shapely.Geometry, settings: ReviewSettings) -> bool:
    if shapely.area(one) == 0 or shapely.area(other) == 0:
        return bool(shapely.intersects(one, other))
    common = shapely.area(shapely.intersection(one, other))
    return bool(common / shapely.area(shapely.union(one, other)) > settings.same_object_iou)


def polygons_of(outlines: Sequence[np.ndarray | None]) -> np.ndarray:
    """Valid geometries of flat outlines (``y0, x0, …``, µm), x before y; empty where there is none.

    Parameters
    ----------
    outlines : sequence of numpy.ndarray or None

    Returns
    -------
    numpy.ndarray of object, shape (n,)
    """
    flat = [np.empty(0) if one is None else np.asarray(one, np.float64) for one in outlines]
    sizes = np.array([len(one) // 2 for one in flat], np.int64)
    shapes = np.full(len(flat), shapely.Polygon(), dtype=object)
    usable = np.flatnonzero(sizes >= 3)
    if len(usable):
        points = np.concatenate([flat[i] for i in usable]).reshape(-1, 2)[:, ::-1]
        owner = np.repeat(np.arange(len(usable)), sizes[usable])
        made = shapely.polygons(shapely.linearrings(points, indices=owner))
        invalid = ~shapely.is_valid(made)
        made[invalid] = shapely.make_valid(made[invalid])
        shapes[usable] = made
    return shapes
