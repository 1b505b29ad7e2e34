"""The area of tissue that a focus takes up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import shapely

from fociquant.foci._interior import inside_of
from fociquant.foci._parts import in_parts

AREA_DECIMALS = 2
"""Areas are rounded to 0.01 µm², far below one pixel, so that tables are stable to the byte."""

QUAD_SEGMENTS = 8
"""Segments per quarter circle of a dilation (shapely's default at the time of writing)."""

GROUPS_AT_ONCE = 500
"""Foci whose cells are joined by one thread before it takes the next."""


def focus_areas(polygons: np.ndarray, focus: np.ndarray, *, link_um: float) -> np.ndarray:
    """Area of each focus, µm²: that of its shape, see :func:`focus_shapes`.

    Parameters
    ----------
    polygons : numpy.ndarray of object, shape (n,)
        Valid shapely geometries, µm, in an order that does not depend on the file's.
    focus : numpy.ndarray of int64, shape (n,)
        Focus of each, from 0 without a gap.
    link_um : float
        Linking distance, µm, >= 0.

    Returns
    -------
    numpy.ndarray of float64, shape (number of foci,)
        Rounded to 0.01 µm².
    """
    shapes = focus_shapes(polygons, focus, link_um=link_um)
    return np.round(shapely.area(shapes).astype(np.float64), AREA_DECIMALS)


def focus_shapes(polygons: np.ndarray, focus: np.ndarray, *, link_um: float) -> np.ndarray:
    """The part of the tissue that each focus takes up.

    The union of its cells, closed by half the linking distance (dilated by
    ``link_um / 2``, then eroded by as much): gaps up to ``link_um`` between
    cells belong to the focus, the tissue around it does not. A focus of one
    cell is that cell's outline.

    Parameters
    ----------
    polygons, focus, link_um
        As for :func:`focus_areas`.

    Returns
    -------
    numpy.ndarray of object, shape (number of foci,)
        shapely geometries, x before y, µm.
    """
    sizes = np.bincount(focus) if len(focus) else np.zeros(0, dtype=np.int64)
    shapes = np.empty(len(sizes), dtype=object)
    alone = sizes[focus] == 1
    shapes[focus[alone]] = polygons[alone]
    grouped = np.flatnonzero(sizes > 1)
    if len(grouped):
        order = np.flatnonzero(~alone)[np.argsort(focus[~alone], kind="stable")]
        member = np.searchsorted(grouped, focus[order])
        shapes[grouped] = _closed(polygons[order], member, link_um / 2)
    return shapes


def _closed(polygons: np.ndarray, focus: np.ndarray, radius: float) -> np.ndarray:
    """Shapes of foci of several cells (ascending), after closing by `radius`.

    Each cell is dilated alone and the results are joined: dilating the group as
    one geometry gives the same area and was five times slower (10 000 packed cells).
    Cells inside a packed focus are replaced by the area that they fill.
    """
    inside, fills, owner = inside_of(polygons, focus, radius)
    if inside.any():
        polygons = np.concatenate([polygons[~inside], fills])
        focus = np.concatenate([focus[~inside], owner])
        order = np.argsort(focus, kind="stable")
        polygons, focus = polygons[order], focus[order]
    joined = _join(in_parts(partial(_widened, radius=radius), polygons), focus)
    return in_parts(partial(_widened, radius=-radius), joined, part=GROUPS_AT_ONCE)


def _widened(shapes: np.ndarray, *, radius: float) -> np.ndarray:
    return np.asarray(shapely.buffer(shapes, radius, quad_segs=QUAD_SEGMENTS), dtype=object)


def _join(parts: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Union of the parts of each owner (ascending from 0 without a gap)."""
    ends = np.cumsum(np.bincount(owner))
    return in_parts(_unions, np.split(parts, ends[:-1]), part=GROUPS_AT_ONCE)


def _unions(groups: Sequence[np.ndarray]) -> np.ndarray:
    unions = np.empty(len(groups), dtype=object)
    unions[:] = [shapely.union_all(group) for group in groups]
    return unions
