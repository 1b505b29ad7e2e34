"""GeoJSON as QuPath reads it: one FeatureCollection per section."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from fociquant.export._files import exported_file
from fociquant.units import PixelSize

DECIMALS = 2
"""Coordinates are rounded to 0.01 px."""

CELL_COLOUR, FOCUS_COLOUR = [213, 94, 0], [0, 114, 178]
"""Red, green, blue."""

CELL_CLASS = "positive cell"


def write_geojson(
    path: Path, cells: pd.DataFrame, foci: pd.DataFrame, *, pixel_size: PixelSize
) -> Path:
    """Write the counted cells and the foci of ONE section.

    Cells are detections, foci annotations whose shape is the union of their
    cells' outlines. Coordinates are (x, y) in pixels of the full-resolution
    image, from its top-left corner.

    Parameters
    ----------
    path : pathlib.Path
        Ending in ``.geojson``.
    cells : pandas.DataFrame
        ``cell``, ``focus``, ``positive``, ``area_um2``, ``outline`` (flat
        ``[y0, x0, …]``, µm). Only rows with ``positive`` are written.
    foci : pandas.DataFrame
        ``focus``, ``class``, ``cells``, ``area_um2``.
    pixel_size : PixelSize
        Of the full-resolution image.

    Returns
    -------
    pathlib.Path
        `path`.
    """
    counted = cells[cells["positive"].astype(bool)].sort_values("cell")
    rings = [_ring(outline, pixel_size) for outline in counted["outline"]]
    with (
        exported_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.write('{"type": "FeatureCollection", "features": [')
        comma = "\n"
        for feature in _features(counted, foci, rings):
            file.write(comma + json.dumps(feature, ensure_ascii=False, allow_nan=False))
            comma = ",\n"
        file.write("\n]}\n")
    return path


def _ring(outline: np.ndarray, pixel_size: PixelSize) -> np.ndarray:
    """Closed ring (n + 1, 2) of x and y, px."""
    yx = pixel_size.to_px(np.asarray(outline, dtype=np.float64).reshape(-1, 2))
    xy = np.round(yx[:, ::-1], DECIMALS)
    return np.vstack((xy, xy[:1]))


def _features(
    cells: pd.DataFrame, foci: pd.DataFrame, rings: list[np.ndarray]
) -> Iterator[dict[str, Any]]:
    """Foci first, so that a viewer draws the cells on them."""
    members = pd.Series(range(len(cells))).groupby(cells["focus"].to_numpy()).indices
    for row in foci.to_dict("records"):
        shapes = [shapely.make_valid(shapely.polygons(rings[i])) for i in members[row["focus"]]]
        whole = shapely.set_precision(shapely.union_all(shapes), 10.0**-DECIMALS)
        measured = {"cells": int(row["cells"]), "area µm²": float(row["area_um2"])}
        yield _feature(
            shapely.geometry.mapping(whole),
            kind="annotation",
            name=f"focus {row['focus']}",
            classed=(str(row["class"]), FOCUS_COLOUR),
            measured=measured,
        )
    numbers = zip(cells["cell"], cells["focus"], cells["area_um2"], rings, strict=True)
    for cell, focus, area, ring in numbers:
        yield _feature(
            {"type": "Polygon", "coordinates": [ring.tolist()]},
            kind="detection",
            name=f"cell {cell}",
            classed=(CELL_CLASS, CELL_COLOUR),
            measured={"focus": int(focus), "area µm²": round(float(area), DECIMALS)},
        )


def _feature(
    geometry: dict[str, Any],
    *,
    kind: str,
    name: str,
    classed: tuple[str, list[int]],
    measured: dict[str, float],
) -> dict[str, Any]:
    """One object in QuPath's dialect."""
    return {
        "type": "Feature",
        "geometry": geometry,
        "properties": {
            "objectType": kind,
            "name": name,
            "classification": {"name": classed[0], "color": classed[1]},
            "measurements": measured,
        },
    }
