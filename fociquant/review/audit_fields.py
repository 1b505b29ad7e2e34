"""The tissue of a section cut into fields in which missed cells can be looked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import shapely

from fociquant.review.audit_design import AuditDesign, AuditItem
from fociquant.review.decisions import rounded
from fociquant.review.regions import area_within
from fociquant.units import UM2_PER_MM2, PixelSize

LEAST_SHARE = 0.02
"""A field with less tissue than this is left to its neighbours: nobody would look at it."""

REACH_UM = 40.0
"""Outlines with centres so far outside a field are kept with it: they may reach into it, or lie
in the margin that is shown around it."""


def tissue_fields(
    outline: np.ndarray,
    pixel: PixelSize,
    *,
    field_um: float,
    excluded: shapely.Geometry,
    extent_um: tuple[float, float],
) -> pd.DataFrame:
    """Square fields on a lattice from the image's corner, with the tissue in each.

    Parameters
    ----------
    outline : numpy.ndarray of bool, shape (h, w)
        Lung on the overview grid.
    pixel : PixelSize
        Of that grid.
    field_um : float
        Edge of a field, µm.
    excluded : shapely geometry
        Not to be counted; x before y, µm.
    extent_um : (float, float)
        Height and width of the image, µm.

    Returns
    -------
    pandas.DataFrame
        ``y0_um, x0_um, y1_um, x1_um, area_mm2``, float64, in raster order. Fields with
        less than 2 % tissue are left out.
    """
    rows, columns = np.nonzero(outline)
    y = (rows + 0.5) * pixel.y
    x = (columns + 0.5) * pixel.x
    across = int(extent_um[1] // field_um) + 1
    number = (y // field_um).astype(np.int64) * across + (x // field_um).astype(np.int64)
    fields, counts = np.unique(number, return_counts=True)
    y0, x0 = fields // across * field_um, fields % across * field_um
    table = pd.DataFrame({
        "y0_um": y0, "x0_um": x0,
        "y1_um": np.minimum(y0 + field_um, extent_um[0]),
        "x1_um": np.minimum(x0 + field_um, extent_um[1]),
        "area_mm2": counts * pixel.area_um2 / UM2_PER_MM2,
    })  # fmt: skip
    table["area_mm2"] -= _excluded_mm2(table, outline, pixel, excluded)
    return table[table["area_mm2"] > LEAST_SHARE * field_um**2 / UM2_PER_MM2].reset_index(drop=True)


def _excluded_mm2(
    fields: pd.DataFrame, outline: np.ndarray, pixel: PixelSize, excluded: shapely.Geometry
) -> np.ndarray:
    """Excluded tissue in each field, mm²."""
    lost = np.zeros(len(fields))
    if shapely.is_empty(excluded):
        return lost
    boxes = shapely.box(fields["x0_um"], fields["y0_um"], fields["x1_um"], fields["y1_um"])
    for index in shapely.STRtree(boxes).query(excluded, predicate="intersects"):
        common = shapely.intersection(boxes[index], excluded)
        lost[index] = area_within(common, outline, pixel)
    return lost


def with_surroundings(
    design: AuditDesign, objects: pd.DataFrame, excluded: Mapping[str, shapely.Geometry]
) -> AuditDesign:
    """The design with what has to be seen to judge its fields, as it is at the draw.

    Missed cells are those without an outline *then*: a later segmentation has others.

    Parameters
    ----------
    design : AuditDesign
    objects : pandas.DataFrame
        All candidates and added cells: ``section``, ``y_um``, ``x_um``, ``outline``.
    excluded : mapping of str to shapely geometry
        Section to what is not to be counted, x before y, µm.
    """
    own = {str(name): rows for name, rows in objects.groupby("section", sort=False)}
    nothing = objects.iloc[:0]
    items = [
        _surrounded(item, own.get(item.section, nothing), excluded.get(item.section))
        if item.is_field else item
        for item in design.items
    ]  # fmt: skip
    return replace(design, items=tuple(items))


def _surrounded(
    item: AuditItem, objects: pd.DataFrame, excluded: shapely.Geometry | None
) -> AuditItem:
    y0, x0, y1, x1 = item.span_um
    y, x = objects["y_um"].to_numpy(np.float64), objects["x_um"].to_numpy(np.float64)
    near = (y > y0 - REACH_UM) & (y < y1 + REACH_UM) & (x > x0 - REACH_UM) & (x < x1 + REACH_UM)
    outlines = tuple(_flat(one) for one in objects["outline"].to_numpy()[near] if one is not None)
    cut = shapely.GeometryCollection() if excluded is None else excluded
    parts = shapely.get_parts(shapely.intersection(cut, shapely.box(x0, y0, x1, y1)))
    rings = [
        shapely.get_coordinates(part.exterior)[:-1, ::-1]
        for whole in parts if isinstance(whole, shapely.Polygon)
        for part in _without_holes(whole)
    ]  # fmt: skip
    return replace(item, outlines=outlines, left_out=tuple(_flat(ring) for ring in rings))


def _without_holes(polygon: shapely.Polygon) -> list[shapely.Polygon]:
    """The same area in polygons without holes: each ring of `left_out` is filled by itself."""
    if not polygon.interiors:
        return [polygon]
    hole = shapely.Polygon(polygon.interiors[0])
    (x0, y0, x1, y1), cut = polygon.bounds, hole.centroid.y
    halves = (shapely.box(x0, y0, x1, cut), shapely.box(x0, cut, x1, y1))
    return [
        piece
        for half in halves
        for part in shapely.get_parts(shapely.intersection(polygon, half))
        if isinstance(part, shapely.Polygon)
        for piece in _without_holes(part)
    ]


def _flat(points: np.ndarray) -> tuple[float, ...]:
    return tuple(rounded(value) for value in np.asarray(points, np.float64).ravel())
