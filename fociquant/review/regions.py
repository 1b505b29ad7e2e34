"""Regions drawn by hand: checked, repaired in the open, and their area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from fociquant.errors import InputError
from fociquant.units import UM2_PER_MM2, PixelSize

MIN_AREA_UM2 = 1.0
"""A region smaller than this is a slip of the hand."""


@dataclass(frozen=True, slots=True)
class Region:
    """A region that can be used.

    Parameters
    ----------
    rings : tuple of numpy.ndarray of float64, shape (n, 2)
        Its pieces, (y, x) in µm, none crossing itself.
    note : str
        What was repaired, in plain words; empty if nothing.
    """

    rings: tuple[np.ndarray, ...]
    note: str = ""

    @property
    def geometry(self) -> shapely.Geometry:
        """The union of the pieces; x before y."""
        return to_geometry(self.rings)

    @property
    def area_um2(self) -> float:
        """Its area, µm²."""
        return float(shapely.area(self.geometry))


def check_region(points: np.ndarray, *, repair: bool = False) -> Region:
    """A polygon drawn by hand, checked.

    Parameters
    ----------
    points : array_like, shape (n, 2)
        (y, x), µm; the first point may be repeated at the end.
    repair : bool
        Take everything that the line encloses where it crosses itself, and say so;
        otherwise such a polygon is refused.

    Returns
    -------
    Region

    Raises
    ------
    InputError
        Fewer than three points, a coordinate that is not finite, no area, or a line that
        crosses itself; the message says where and what to do.
    """
    ring = _ring(points)
    polygon = shapely.polygons(ring[:, ::-1])
    if shapely.is_valid(polygon):
        _require_area(float(shapely.area(polygon)))
        return Region((ring,))
    where = _crossing(polygon)
    if not repair:
        raise InputError(
            f"The outline crosses itself near {where}. Draw it again without crossing, or let "
            "it be repaired: then everything inside the line belongs to it."
        )
    pieces = _enclosed(ring)
    _require_area(float(sum(shapely.area(piece) for piece in pieces)))
    rings = tuple(shapely.get_coordinates(piece.exterior)[:-1, ::-1] for piece in pieces)
    number = "one piece" if len(rings) == 1 else f"{len(rings)} pieces"
    note = (
        f"The outline crossed itself near {where}; everything inside the line was taken: {number}."
    )
    return Region(rings, note)


def _ring(points: np.ndarray) -> np.ndarray:
    ring = np.asarray(points, np.float64)
    if ring.ndim != 2 or ring.shape[1:] != (2,):
        raise InputError("A region needs a list of (y, x) points in µm.")
    if not np.isfinite(ring).all():
        raise InputError("A corner of the region is not a finite number. Draw it again.")
    same = np.all(ring == np.roll(ring, 1, axis=0), axis=1)
    ring = ring[~same] if len(ring) > 1 else ring
    if len(ring) < 3:
        raise InputError(f"A region needs at least three corners; this one has {len(ring)}.")
    return ring


def _require_area(area: float) -> None:
    if area < MIN_AREA_UM2:
        raise InputError("The region has no area. Draw round what is to be left out.")


def _crossing(polygon: shapely.Geometry) -> str:
    reason = str(shapely.is_valid_reason(polygon))
    inside = reason.partition("[")[2].rstrip("]").split()
    if len(inside) < 2:
        return "one of its corners"
    return f"y {float(inside[1]):.0f} µm, x {float(inside[0]):.0f} µm"


def _enclosed(ring: np.ndarray) -> list[shapely.Polygon]:
    """Everything that a closed line encloses, without holes."""
    line = shapely.linearrings(ring[:, ::-1])
    faces = shapely.polygonize([shapely.unary_union(line)])
    whole = shapely.union_all(shapely.get_parts(faces))
    pieces = [piece for piece in shapely.get_parts(whole) if piece.area > 0]
    return [shapely.Polygon(piece.exterior) for piece in pieces]


def to_geometry(rings: Sequence[np.ndarray]) -> shapely.Geometry:
    """The union of rings (y, x), repaired where they were written by hand; x before y."""
    polygons = [shapely.make_valid(shapely.polygons(ring[:, ::-1])) for ring in rings]
    return shapely.union_all(polygons)


def from_mask(mask: np.ndarray, pixel: PixelSize) -> shapely.Geometry:
    """What a mask on the overview grid covers; x before y, µm.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (h, w)
        Its origin is the image's.
    pixel : PixelSize
        Of the mask.
    """
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    # Runs of a row: they begin and end as often, and in the same order.
    (rows, first), (_, end) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    runs = shapely.box(first * pixel.x, rows * pixel.y, end * pixel.x, (rows + 1) * pixel.y)
    return shapely.union_all(runs)


def inside(geometry: shapely.Geometry, y_um: np.ndarray, x_um: np.ndarray) -> np.ndarray:
    """Indices of the points within a region or on its edge.

    Parameters
    ----------
    geometry : shapely.Geometry
        x before y, µm.
    y_um, x_um : numpy.ndarray of float64, shape (n,)

    Returns
    -------
    numpy.ndarray of int64
    """
    x0, y0, x1, y1 = shapely.bounds(geometry)
    near = np.flatnonzero((y_um >= y0) & (y_um <= y1) & (x_um >= x0) & (x_um <= x1))
    shapely.prepare(geometry)
    return near[shapely.intersects_xy(geometry, x_um[near], y_um[near])]


def area_within(
    geometry: shapely.Geometry,
    mask: np.ndarray,
    pixel: PixelSize,
    *,
    extent_um: tuple[float, float] | None = None,
) -> float:
    """Area that a region has in common with a mask on the overview grid, mm².

    Exact: overview pixels on the region's edge count by the share that lies inside.

    Parameters
    ----------
    geometry : shapely.Geometry
        x before y, µm; may be empty.
    mask : numpy.ndarray of bool, shape (h, w)
        Its origin is the image's.
    pixel : PixelSize
        Of the mask.
    extent_um : (float, float), optional
        Height and width of the image: overview pixels at the far edges may reach beyond.

    Returns
    -------
    float
    """
    parts = shapely.get_parts(geometry)
    geometry = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    if shapely.is_empty(geometry):
        return 0.0
    x0, y0, x1, y1 = shapely.bounds(geometry)
    top, left = max(int(y0 // pixel.y), 0), max(int(x0 // pixel.x), 0)
    rows, columns = np.nonzero(mask[top : int(y1 // pixel.y) + 1, left : int(x1 // pixel.x) + 1])
    rows, columns = rows + top, columns + left
    end_y, end_x = extent_um or (np.inf, np.inf)
    box = np.stack([
        columns * pixel.x, rows * pixel.y,
        np.minimum((columns + 1) * pixel.x, end_x), np.minimum((rows + 1) * pixel.y, end_y),
    ])  # fmt: skip
    return float(_common_area(geometry, box).sum()) / UM2_PER_MM2


def _common_area(geometry: shapely.Geometry, box: np.ndarray) -> np.ndarray:
    """Area of each box (x0, y0, x1, y1) inside a geometry, µm²."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    shapely.prepare(geometry)
    corners = [(box[i], box[j]) for i in (0, 2) for j in (1, 3)]
    touched = np.zeros(len(area), bool)
    edge = shapely.boundary(geometry)
    squares = shapely.box(*box)
    hits = shapely.STRtree(squares).query(
        shapely.get_parts(_segments(edge)), predicate="intersects"
    )
    touched[hits[1]] = True
    whole = ~touched & shapely.contains_xy(geometry, *corners[0])
    common = np.where(whole, area, 0.0)
    common[touched] = shapely.area(shapely.intersection(squares[touched], geometry))
    return common


def _segments(edge: shapely.Geometry) -> shapely.Geometry:
    """Each straight piece of a boundary: a tree finds short lines faster than a long one."""
    lines = []
    for line in shapely.get_parts(edge):
        points = shapely.get_coordinates(line)
        lines += list(shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1)))
    return shapely.multilinestrings(lines)
