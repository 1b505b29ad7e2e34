"""One row per cell."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from fociquant.flags import CellFlag
from fociquant.measure.compartments import compartment_columns, mean_of
from fociquant.measure.joints import joints
from fociquant.measure.objects import Objects, gather
from fociquant.measure.outlines import Outlines, hull_areas, trace_outlines
from fociquant.measure.rings import Disc, backgrounds, quantiles
from fociquant.settings import MeasureSettings
from fociquant.units import PixelSize

MARKER, AUTOFLUORESCENCE = "marker", "autofluorescence"

PEAK_PERCENTILE = 90.0
"""A profile of a nucleus fills a part of its cell only; this is the level inside that part."""

SATURATED_FRACTION = 0.01
"""More marker pixels than this at the largest value make an object saturated."""

OUTLINE_DECIMALS = 2
"""Outlines are rounded to 0.01 µm, far below a pixel."""


def measure_cells(
    labels: np.ndarray,
    owned: np.ndarray,
    planes: Mapping[str, np.ndarray],
    *,
    origin_px: tuple[int, int],
    pixel_size: PixelSize,
    image_shape: tuple[int, int],
    saturation: Mapping[str, float],
    settings: MeasureSettings,
    plain: Collection[str] = (),
) -> pd.DataFrame:
    """Measure the owned objects of a label array.

    A row depends only on the object and on the pixels up to
    :func:`~fociquant.measure.reach_px` around it, and then to the last bit.

    Parameters
    ----------
    labels : numpy.ndarray of int32, shape (h, w)
        0 is background.
    owned : numpy.ndarray of int
        Labels to measure.
    planes : mapping of str to numpy.ndarray of float32, shape (h, w)
        Raw counts per role; ``marker`` is required. Pixels that are not finite are left out.
    origin_px : (int, int)
        (y, x) of the array's first pixel on the section's analysis grid.
    pixel_size : PixelSize
        Of that grid.
    image_shape : (int, int)
        (height, width) of the section on that grid, px.
    saturation : mapping of str to float
        Largest value that the dtype of each role's channel can hold, ``inf`` if none.
    settings : MeasureSettings
        Limits of the background ring.
    plain : collection of str
        Roles of planes that are no light: their mean and 90th percentile alone are measured.

    Returns
    -------
    pandas.DataFrame
        One row per owned label, in increasing order, with the columns

        - ``label`` (int64);
        - ``y_um``, ``x_um`` (float64): centroid, µm, pixel centres at +0.5;
        - ``area_um2`` (float64): pixels times their area;
        - ``solidity`` (float64, 0 to 1): area over convex area; holes lower it;
        - ``eccentricity`` (float64, 0 to 1): of the ellipse with the same second moments;
        - ``<role>_mean`` (float64): mean over the object, raw counts;
        - ``<role>_ring`` (float64): median of the background around it, raw counts;
        - ``<role>_p90`` (float64): 90th percentile, for nucleus and phenotypes;
        - ``marker_edge_mean``, ``marker_core_mean`` (float64): mean over the outer 2 µm and
          over the rest (equal if there is no rest); ``<phenotype>_edge_mean``;
        - with a nuclear stain ``nucleus_area_um2``, ``nucleus_rim``, ``marker_on_nucleus``,
          ``marker_off_nucleus``, ``<phenotype>_nuclear_mean`` (float64), see
          :func:`~fociquant.measure.compartments.compartment_columns`;
        - ``joint`` (float64, -1 to 3): marker along the longest border with another object, see
          :func:`~fociquant.measure.joints.joints`;
        - ``correlation`` (float64, -1 to 1): of marker and autofluorescence inside the
          object; 0 without the channel or where undefined;
        - ``ring_px`` (int64): background pixels in the ring; 0 in a crowd, where ``_ring``
          is a fallback (the gap within the ring, or else the darkest pixels near by);
        - ``flags`` (int64): ``EDGE``, ``OVERSIZE``, ``SATURATED``, see
          :class:`~fociquant.flags.CellFlag`;
        - ``outline`` (object): float32 ``[y0, x0, y1, x1, ...]``, µm, the outer outline of
          the largest connected piece, not closed, clockwise on the screen. Its area is the pixel
          area (holes filled) minus half a pixel; cells that share a pixel edge are 0 apart.

    Raises
    ------
    ValueError
        If an owned label has no pixel, a plane has another shape, or ``marker`` is missing.
    """
    _check_planes(labels, planes)
    objects = gather(labels, owned)
    outlines = trace_outlines(objects)
    origin = np.asarray(origin_px, np.int64)
    columns: dict[str, np.ndarray] = {"label": objects.ids}
    columns |= _shape_columns(objects, outlines, origin, pixel_size)
    values = {role: objects.values(plane) for role, plane in planes.items()}
    columns |= {f"{role}_mean": mean_of(objects, inside) for role, inside in values.items()}
    light = {role: plane for role, plane in planes.items() if role not in plain}
    columns |= _ring_columns(objects, light, pixel_size, settings)
    columns |= _peak_columns(objects, values)
    inside_light = {role: values[role] for role in light}
    columns |= compartment_columns(objects, inside_light, columns, pixel_size)
    columns["joint"] = joints(
        objects,
        values[MARKER],
        columns["marker_edge_mean"],
        columns["marker_core_mean"],
        pixel_size,
    )
    columns["correlation"] = _correlation(objects, values)
    columns["flags"] = _border_flags(objects, origin, image_shape)
    full = objects.sum(values[MARKER] >= saturation.get(MARKER, np.inf))
    columns["flags"] |= CellFlag.SATURATED * (full > SATURATED_FRACTION * objects.counts)
    columns["outline"] = _outline_column(objects, outlines, origin, pixel_size)
    order = [name for name in columns if name not in ("ring_px", "flags", "outline")]
    return pd.DataFrame(columns)[[*order, "ring_px", "flags", "outline"]]


def _check_planes(labels: np.ndarray, planes: Mapping[str, np.ndarray]) -> None:
    if MARKER not in planes:
        raise ValueError(f"planes must hold {MARKER!r}; there are {sorted(planes)}")
    for role, plane in planes.items():
        if plane.shape != labels.shape:
            raise ValueError(f"plane {role!r} is {plane.shape}, labels are {labels.shape}")


def _shape_columns(
    objects: Objects, outlines: Outlines, origin: np.ndarray, pixel_size: PixelSize
) -> dict[str, np.ndarray]:
    """Position, area and shape. Sums are of integers from the box's corner, hence exact."""
    corner = objects.boxes[:, :2]
    rows, columns = objects.places()
    y = rows - np.repeat(corner[:, 0], objects.counts)
    x = columns - np.repeat(corner[:, 1], objects.counts)
    n = objects.counts.astype(np.float64)
    mean_y, mean_x = objects.sum(y) / n, objects.sum(x) / n
    # A pixel is a square, not a point: its own second moment is 1/12.
    var_y = (objects.sum(y * y) / n - mean_y**2 + 1 / 12) * pixel_size.y**2
    var_x = (objects.sum(x * x) / n - mean_x**2 + 1 / 12) * pixel_size.x**2
    cov = (objects.sum(y * x) / n - mean_y * mean_x) * pixel_size.area_um2
    centre = corner + origin
    return {
        "y_um": (centre[:, 0] + mean_y + 0.5) * pixel_size.y,
        "x_um": (centre[:, 1] + mean_x + 0.5) * pixel_size.x,
        "area_um2": n * pixel_size.area_um2,
        "solidity": _solidity(objects, outlines),
        "eccentricity": _eccentricity(var_y, var_x, cov),
    }


def _solidity(objects: Objects, outlines: Outlines) -> np.ndarray:
    """Area over convex area, both of the outline: hence minus half a pixel per piece."""
    pieces = np.bincount(outlines.owner, minlength=len(objects))
    hulls = hull_areas(outlines, len(objects))
    return np.clip((objects.counts - 0.5 * pieces) / hulls, 0.0, 1.0)


def _eccentricity(var_y: np.ndarray, var_x: np.ndarray, cov: np.ndarray) -> np.ndarray:
    half_sum = (var_y + var_x) / 2
    root = np.sqrt(((var_y - var_x) / 2) ** 2 + cov**2)
    return np.sqrt(np.clip(2 * root / (half_sum + root), 0.0, 1.0))


def _ring_columns(
    objects: Objects,
    planes: Mapping[str, np.ndarray],
    pixel_size: PixelSize,
    settings: MeasureSettings,
) -> dict[str, np.ndarray]:
    inner = Disc(settings.ring_inner_um, pixel_size)
    outer = Disc(settings.ring_outer_um, pixel_size)
    table, ring_px = backgrounds(objects, list(planes.values()), inner, outer)
    columns = {f"{role}_ring": table[:, i] for i, role in enumerate(planes)}
    return columns | {"ring_px": ring_px}


def _peak_columns(objects: Objects, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    columns = {}
    wanted = np.full(len(objects), PEAK_PERCENTILE)
    for role in (role for role in values if role not in (MARKER, AUTOFLUORESCENCE)):
        columns[f"{role}_p90"] = quantiles(values[role], objects.counts, wanted)
    return columns


def _correlation(objects: Objects, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Pearson's r of marker and autofluorescence per object; 0 where undefined."""
    if AUTOFLUORESCENCE not in values:
        return np.zeros(len(objects))
    a, b = values[MARKER], values[AUTOFLUORESCENCE]
    use = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(use, a, 0.0), np.where(use, b, 0.0)
    a = np.where(use, a - mean_of(objects, a, use)[objects.owner], 0.0)
    b = np.where(use, b - mean_of(objects, b, use)[objects.owner], 0.0)
    scale = np.sqrt(objects.sum(a * a) * objects.sum(b * b))
    r = np.divide(objects.sum(a * b), scale, out=np.zeros(len(objects)), where=scale > 0)
    return np.clip(r, -1.0, 1.0)


def _border_flags(objects: Objects, origin: np.ndarray, image_shape: tuple[int, int]) -> np.ndarray:
    boxes, shape = objects.boxes, np.asarray(objects.labels.shape)
    first, last = boxes[:, :2], boxes[:, 2:]
    at_image = (first + origin <= 0) | (last + origin >= np.asarray(image_shape))
    starts = (first == 0) & (origin > 0)
    ends = (last == shape) & (origin + shape < np.asarray(image_shape))
    flags = np.zeros(len(objects), np.int64)
    flags[at_image.any(axis=1)] |= CellFlag.EDGE
    flags[(starts | ends).any(axis=1)] |= CellFlag.OVERSIZE
    return flags


def _outline_column(
    objects: Objects, outlines: Outlines, origin: np.ndarray, pixel_size: PixelSize
) -> np.ndarray:
    column = np.empty(len(objects), object)
    corner = (objects.boxes[:, :2] + origin)[outlines.owner]
    absolute = outlines.vertices + 2 * np.repeat(corner, np.diff(outlines.starts), axis=0)
    um = np.round(pixel_size.to_um(absolute / 2), OUTLINE_DECIMALS).astype(np.float32)
    largest = np.searchsorted(outlines.owner, np.arange(len(objects)))
    for i, piece in enumerate(largest.tolist()):
        column[i] = um[outlines.starts[piece] : outlines.starts[piece + 1]].ravel()
    return column
