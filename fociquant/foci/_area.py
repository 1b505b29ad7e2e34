"""The area of tissue that a focus takes up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import shapely

from fociquant.foci._interior import inside_of
from fociquant.foci._outlines import Outlines
from fociquant.foci._parts import threads_for

AREA_DECIMALS = 2
"""Areas are rounded to 0.01 µm², far below one pixel, so that tables are stable to the byte."""

QUAD_SEGMENTS = 8
"""Segments per quarter circle of a dilation (shapely's default at the time of writing)."""

BATCH_CELLS = 2_000
"""Cells of the foci that are worked out together: few stay in the processor's cache, and
memory is that of a batch. Changes no result."""


def focus_areas(
    outlines: Outlines, focus: np.ndarray, *, link_um: float, chosen: np.ndarray | None = None
) -> np.ndarray:
    """Area of each focus, µm²: that of its shape, see :func:`focus_shapes`.

    Parameters
    ----------
    outlines : Outlines
        Of n cells, in an order that does not depend on the file's.
    focus : numpy.ndarray of int64, shape (n,)
        Focus of each, from 0 without a gap.
    link_um : float
        Linking distance, µm, >= 0.
    chosen : numpy.ndarray of bool, shape (number of foci,), optional
        Foci of several cells to measure; all by default.

    Returns
    -------
    numpy.ndarray of float64, shape (number of foci,)
        Rounded to 0.01 µm²; NaN for foci of several cells that were not chosen.
    """

    def areas(rows: np.ndarray, own: np.ndarray) -> np.ndarray:
        return np.asarray(shapely.area(_closed(outlines, rows, own, link_um / 2)))

    values = _of_each(areas, outlines.area, focus, chosen, otherwise=np.nan)
    return np.round(values, AREA_DECIMALS)


def focus_shapes(outlines: Outlines, focus: np.ndarray, *, link_um: float) -> np.ndarray:
    """The part of the tissue that each focus takes up.

    The union of its cells, closed by half the linking distance (dilated by
    ``link_um / 2``, then eroded by as much): gaps up to ``link_um`` between
    cells belong to the focus, the tissue around it does not. A focus of one
    cell is that cell's outline.

    Parameters
    ----------
    outlines, focus, link_um
        As for :func:`focus_areas`.

    Returns
    -------
    numpy.ndarray of object, shape (number of foci,)
        shapely geometries, x before y, µm.
    """

    def shapes(rows: np.ndarray, own: np.ndarray) -> np.ndarray:
        return _closed(outlines, rows, own, link_um / 2)

    alone = np.empty(len(outlines), dtype=object)
    rows = np.flatnonzero(np.bincount(focus)[focus] == 1) if len(focus) else focus
    alone[rows] = outlines.polygons(rows)
    return _of_each(shapes, alone, focus, None, otherwise=None)


def _of_each(
    of_groups: Callable[[np.ndarray, np.ndarray], np.ndarray],
    alone: np.ndarray,
    focus: np.ndarray,
    chosen: np.ndarray | None,
    *,
    otherwise: Any,
) -> np.ndarray:
    """A value per focus: that of its cell, or what `of_groups` makes of it and others.

    `of_groups` is given the rows of some whole foci, focus after focus, and the focus of each,
    from 0 without a gap.
    """
    sizes = np.bincount(focus) if len(focus) else np.zeros(0, np.int64)
    values = np.full(len(sizes), otherwise, dtype=alone.dtype)
    single = sizes[focus] == 1
    values[focus[single]] = alone[single]
    wanted = (sizes > 1) if chosen is None else (sizes > 1) & chosen
    grouped = np.flatnonzero(wanted)
    if not len(grouped):
        return values
    rows = np.flatnonzero(wanted[focus])
    rows = rows[np.argsort(focus[rows], kind="stable")]
    ends = np.cumsum(sizes[grouped])
    batch = (ends - 1) // BATCH_CELLS
    last = np.flatnonzero(np.append(np.diff(batch) > 0, True))
    number = np.searchsorted(grouped, focus[rows])

    def of_batch(first_group: int, end_group: int) -> np.ndarray:
        own = slice(ends[first_group - 1] if first_group else 0, ends[end_group - 1])
        return of_groups(rows[own], number[own] - first_group)

    bounds = [0, *(last + 1).tolist()]
    with ThreadPoolExecutor(threads_for(len(last))) as pool:
        values[grouped] = np.concatenate(list(pool.map(of_batch, bounds[:-1], bounds[1:])))
    return values


def _closed(outlines: Outlines, rows: np.ndarray, focus: np.ndarray, radius: float) -> np.ndarray:
    """Shapes of foci of several cells (ascending), after closing by `radius`.

    Each cell is dilated alone and the results are joined: dilating the group as
    one geometry gives the same area and was five times slower (10 000 packed cells).
    Cells inside a packed focus are replaced by the area that they fill.
    """
    inside, fills, owner = inside_of(outlines, rows, focus, radius)
    polygons = np.concatenate([outlines.polygons(rows[~inside]), fills if inside.any() else []])
    focus = np.concatenate([focus[~inside], owner if inside.any() else []]).astype(np.int64)
    order = np.argsort(focus, kind="stable")
    joined = _join(_widened(polygons[order], radius), focus[order])
    return _widened(joined, -radius)


def _widened(shapes: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(shapely.buffer(shapes, radius, quad_segs=QUAD_SEGMENTS), dtype=object)


def _join(parts: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Union of the parts of each owner (ascending from 0 without a gap)."""
    groups = np.split(parts, np.cumsum(np.bincount(owner))[:-1])
    unions = np.empty(len(groups), dtype=object)
    unions[:] = [shapely.union_all(group) for group in groups]
    return unions
