"""Whether the borders of decode cells can be seen in what was found.

Objects near the borders are compared with objects near control lines, which have the same
length and lie an eighth of a cell behind the middle of one: away from the borders, and from
those of the network's windows too. A method that cuts or loses objects at its borders has fewer
or more there; chance alone makes the two differ by about the square root of their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from fociquant.tiling import Lattice
from fociquant.units import PixelSize

REACH_UM = 12.0
"""Objects with their centre this close to a line are counted at it, µm: one cell's diameter."""

CONTROL = 0.625
"""Where control lines lie, in cells behind a border before."""

SUMMED = ("length_mm", "objects", "control_objects", "repeats")
"""Of a seam report, what sections have together."""

REPEAT_SHARE = 0.5
"""Two objects whose boxes share more than this of the smaller one are one, reported twice."""


def seam_report(
    objects: pd.DataFrame, lattice: Lattice, mask: np.ndarray, pixel_size: PixelSize
) -> dict[str, Any]:
    """Objects at the borders between decode cells, and at control lines.

    Parameters
    ----------
    objects : pandas.DataFrame
        Columns ``decode_cell`` and ``mask_y0, mask_x0, mask_height, mask_width``.
    lattice : Lattice
    mask : numpy.ndarray of bool, shape ``lattice.cells``
        Decode cells that were counted; only borders between two of these are looked at.
    pixel_size : PixelSize
        Of the analysis grid.

    Returns
    -------
    dict
        ``length_mm`` of the borders, ``objects`` at them, ``control_objects`` at the control
        lines, ``repeats``: pairs from two decode cells that are one object.
    """
    size = objects[["mask_height", "mask_width"]].to_numpy(np.float64)
    centres = objects[["mask_y0", "mask_x0"]].to_numpy(np.float64) + size / 2.0
    found = {"length_mm": 0.0, "objects": 0, "control_objects": 0}
    for axis, um in enumerate((pixel_size.y, pixel_size.x)):
        # Lines between rows of cells (axis 0) lie along x, and the other way round.
        pairs = mask[:-1] & mask[1:] if axis == 0 else mask[:, :-1] & mask[:, 1:]
        along = (pixel_size.x, pixel_size.y)[axis]
        found["length_mm"] += _length_px(pairs, lattice, axis) * along / 1000.0
        at, control = _counts(centres, pairs, lattice, axis, REACH_UM / um)
        found["objects"] += at
        found["control_objects"] += control
    found["length_mm"] = round(float(found["length_mm"]), 4)
    return found | {"repeats": _repeats(objects, centres, size)}


def seam_columns(state: Mapping[str, Any] | None) -> dict[str, float]:
    """Columns of ``sections.csv`` on what was looked at and on the seams in it.

    Parameters
    ----------
    state : mapping or None
        What is stored of the section; None if it was not counted.

    Returns
    -------
    dict of str to float
        ``screened``, share of the area that was not looked at; ``seam_rate`` and
        ``seam_control_rate``, objects per mm of border and of control line; ``seam_repeats``.
        NaN where unknown, rates also where there is no border.
    """
    known = state or {}
    seams = known.get("seams", {})
    length = seams.get("length_mm") or np.nan
    return {
        "screened": known.get("screened", np.nan),
        "seam_rate": seams.get("objects", np.nan) / length,
        "seam_control_rate": seams.get("control_objects", np.nan) / length,
        "seam_repeats": seams.get("repeats", np.nan),
    }


def looked_at(states: Iterable[tuple[str, Mapping[str, Any] | None]]) -> dict[str, Any]:
    """What was looked at and what is at the seams in it, for ``run.json``.

    Parameters
    ----------
    states : iterable of (str, mapping or None)
        Name of every section and what is stored of it; None if it was not counted.

    Returns
    -------
    dict
        ``sections``: per counted section ``screened`` (share of the area left out),
        ``decode_cells`` and ``decode_cells_counted``, ``seams`` as of :func:`seam_report` and
        its two rates per mm. ``all``: the sums, and the rates of all borders together; a rate
        is None where there is no border.
    """
    sections = {name: _looked_at(state) for name, state in states if state is not None}
    known = list(sections.values())
    total = {
        name: sum(one[name] for one in known if one[name] is not None)
        for name in ("decode_cells", "decode_cells_counted")
    }
    seams = {name: sum(one["seams"].get(name, 0) for one in known) for name in SUMMED}
    seams["length_mm"] = round(float(seams["length_mm"]), 4)
    return {"all": {**total, "seams": _with_rates(seams)}, "sections": sections}


def _looked_at(state: Mapping[str, Any]) -> dict[str, Any]:
    cells = state.get("decode_cells", {})  # results of earlier versions have none
    return {
        "screened": state.get("screened"),
        "decode_cells": cells.get("all"),
        "decode_cells_counted": cells.get("counted"),
        "seams": _with_rates(state.get("seams", {})),
    }


def _with_rates(seams: Mapping[str, Any]) -> dict[str, Any]:
    length = seams.get("length_mm") or 0.0
    rates = {"rate_per_mm": "objects", "control_rate_per_mm": "control_objects"}
    return dict(seams) | {
        name: round(seams[count] / length, 4) if length else None for name, count in rates.items()
    }


def _length_px(pairs: np.ndarray, lattice: Lattice, axis: int) -> int:
    """Length of all borders between counted cells that are neighbours along `axis`."""
    core, end = lattice.decode_core_px, lattice.shape[1 - axis]
    counts = pairs.sum(axis=axis)
    starts = np.arange(len(counts)) * core
    return int((counts * (np.minimum(starts + core, end) - starts)).sum())


def _counts(
    centres: np.ndarray, pairs: np.ndarray, lattice: Lattice, axis: int, reach: float
) -> tuple[int, int]:
    """Objects at the borders, and at the control lines of the cells before them."""
    if not len(centres) or not pairs.size:
        return 0, 0
    core = lattice.decode_core_px
    place = centres[:, axis] / core
    other = np.minimum(centres[:, 1 - axis] // core, pairs.shape[1 - axis] - 1).astype(np.int64)

    def near(line: np.ndarray, before: np.ndarray) -> int:
        valid = (before >= 0) & (before < pairs.shape[axis])
        row = np.clip(before, 0, pairs.shape[axis] - 1)
        counted = pairs[row, other] if axis == 0 else pairs[other, row]
        return int((valid & counted & (np.abs(place - line) * core <= reach)).sum())

    border = np.round(place)
    cell = np.floor(place)
    return (
        near(border, border.astype(np.int64) - 1),
        near(cell + CONTROL, cell.astype(np.int64)),
    )


def _repeats(objects: pd.DataFrame, centres: np.ndarray, size: np.ndarray) -> int:
    """Pairs of objects of two decode cells whose boxes cover each other."""
    if len(objects) < 2:
        return 0
    from scipy.spatial import cKDTree

    # Boxes that share half of the smaller one have their centres within half its diagonal.
    half = np.hypot(*size.T) / 2.0
    pairs = cKDTree(centres).query_pairs(float(np.quantile(half, 0.99)), output_type="ndarray")
    cells = objects["decode_cell"].to_numpy()
    pairs = pairs[cells[pairs[:, 0]] != cells[pairs[:, 1]]]
    first, second = pairs.T
    overlap = np.minimum(centres[first] + size[first] / 2, centres[second] + size[second] / 2)
    overlap -= np.maximum(centres[first] - size[first] / 2, centres[second] - size[second] / 2)
    shared = np.clip(overlap, 0.0, None).prod(axis=1)
    smaller = np.minimum(size[first].prod(axis=1), size[second].prod(axis=1))
    return int((shared > REPEAT_SHARE * smaller).sum())
