"""The table of foci of one section."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from fociquant.foci._area import focus_areas, focus_shapes
from fociquant.foci._classes import classify
from fociquant.foci._edits import CLASS, class_overrides, edit_components
from fociquant.foci._link import link
from fociquant.foci._outlines import Outlines, read_outlines
from fociquant.model import FocusEdit
from fociquant.settings import FociProfile

POSITION_DECIMALS = 2
"""Positions and distances are rounded to 0.01 µm."""


@dataclass(frozen=True, slots=True)
class FociResult:
    """The foci of one section.

    Parameters
    ----------
    focus : numpy.ndarray of int64, shape (n,)
        Focus of each row of the table of cells; 0: none (the cell is not positive).
    foci : pandas.DataFrame
        One row per focus, in order of ``focus`` = 1, 2, …; columns:

        ``focus`` int64, ``class`` str (of the profile), ``cells`` int64,
        ``area_um2`` float64, ``y_um`` and ``x_um`` float64 (mean of its cells'
        centres), ``<phenotype>_positive`` int64 for each phenotype (Int64 where cells were
        not judged, ``<NA>`` for foci of which none was),
        ``equivalent_diameter_um`` float64 (of the disc with that area),
        ``nearest_focus_um`` float64 (centre to centre, NaN for an only focus).
    edited : numpy.ndarray of object (str), shape (number of foci,)
        What reviewers changed of each: ``""``, ``merged``, ``split``, ``class``, or
        several, joined by ``;``.
    """

    focus: np.ndarray
    foci: pd.DataFrame
    edited: np.ndarray


def find_foci(
    cells: pd.DataFrame,
    *,
    link_um: float,
    profile: FociProfile,
    phenotypes: Sequence[str],
    edits: Sequence[FocusEdit] = (),
) -> FociResult:
    """Group the positive cells of one section into foci and name their classes.

    Positive cells whose outlines are at most `link_um` apart, edge to edge,
    belong to one focus (single linkage over the whole section). Foci are
    numbered from the top, then from the left, by their centre; the order of the
    rows of `cells` changes nothing.

    Parameters
    ----------
    cells : pandas.DataFrame
        Cells of ONE section. Columns: ``cell`` (int64, unique), ``y_um``,
        ``x_um`` (finite, µm), ``positive`` (bool), ``outline`` (flat arrays
        ``[y0, x0, y1, x1, …]``, µm, at least three points, the first not
        repeated), and ``<phenotype>_positive`` (bool, or nullable where some were not
        judged) for each phenotype.
        Outlines of cells that are not positive are not looked at.
    link_um : float
        Largest gap between two linked outlines, inclusive, µm, >= 0. Gaps are
        compared with a tolerance of 0.002 µm, the rounding of float32 outlines.
    profile : FociProfile
        Names and limits of the classes.
    phenotypes : sequence of str
        Names whose positive cells are counted per focus.
    edits : sequence of FocusEdit
        What reviewers changed, applied in order after linking.

    Returns
    -------
    FociResult
        With zero rows and the same dtypes where no cell is positive.

    Raises
    ------
    ValueError
        If a column is missing, `link_um` is not a finite number >= 0, two cells
        share an id, a positive cell has no usable outline or centre, or an edit names a
        class that the profile does not have.
    """
    _check(cells, link_um, phenotypes)
    _check_classes(edits, profile)
    counted = np.flatnonzero(cells["positive"].to_numpy(dtype=bool))
    counted, table, outlines = _in_order(cells, counted, phenotypes)
    linked = link(outlines, link_um=link_um)
    component, marks = edit_components(linked, counted, cells, edits)
    number = _number(table, component)
    focus = np.zeros(len(cells), dtype=np.int64)
    focus[counted] = number + 1
    areas = focus_areas(outlines, number, link_um=link_um)
    foci = _table(table, number, areas, profile, phenotypes)
    edited = np.full(len(foci), "", dtype=object)
    edited[number] = marks
    for one, name in class_overrides(table["cell"].to_numpy(np.int64), number, edits).items():
        foci.loc[one, "class"] = name
        edited[one] = f"{edited[one]};{CLASS}".lstrip(";")
    return FociResult(focus, foci, edited)


def shapes_of(cells: pd.DataFrame, focus: np.ndarray, *, link_um: float) -> np.ndarray:
    """What each focus takes up of the tissue; its area is ``area_um2``.

    Parameters
    ----------
    cells : pandas.DataFrame
        As for :func:`find_foci`.
    focus : numpy.ndarray of int64, shape (n,)
        As in :class:`FociResult`.
    link_um : float
        As for :func:`find_foci`, µm.

    Returns
    -------
    numpy.ndarray of object, shape (number of foci,)
        shapely geometries, x before y, µm, in order of ``focus`` = 1, 2, …
    """
    counted = np.flatnonzero(focus > 0)
    counted, _, outlines = _in_order(cells, counted, ())
    return focus_shapes(outlines, focus[counted] - 1, link_um=link_um)


def _in_order(
    cells: pd.DataFrame, counted: np.ndarray, phenotypes: Sequence[str]
) -> tuple[np.ndarray, pd.DataFrame, Outlines]:
    """Rows of counted cells from the top, then from the left, what is needed of them, outlines."""
    needed = ["cell", "y_um", "x_um", *dict.fromkeys(f"{name}_positive" for name in phenotypes)]
    table = cells[needed].iloc[counted]
    order = np.lexsort((table["cell"], table["x_um"], table["y_um"]))
    counted, table = counted[order], table.iloc[order]
    outlines = cells["outline"].iloc[counted].to_list()
    return counted, table, read_outlines(outlines, cells=table["cell"].to_numpy())


def _check(cells: pd.DataFrame, link_um: float, phenotypes: Sequence[str]) -> None:
    """Refuse a table or a distance that cannot be meant."""
    if not (math.isfinite(link_um) and link_um >= 0):
        raise ValueError(f"link_um must be a finite number >= 0, not {link_um!r}")
    needed = ["cell", "y_um", "x_um", "positive", "outline"]
    needed += [f"{name}_positive" for name in phenotypes]
    missing = [name for name in needed if name not in cells.columns]
    if missing:
        raise ValueError(f"the table of cells has no column {', '.join(missing)}")
    if cells["cell"].duplicated().any():
        raise ValueError("two cells share an id; find_foci takes the cells of one section")
    centres = cells.loc[cells["positive"].to_numpy(dtype=bool), ["y_um", "x_um"]]
    if not np.isfinite(centres.to_numpy(dtype=np.float64)).all():
        raise ValueError("a positive cell has a centre that is not finite")


def _check_classes(edits: Sequence[FocusEdit], profile: FociProfile) -> None:
    known = {one.name for one in profile.classes}
    for edit in edits:
        if edit.kind == "class" and edit.value not in known:
            raise ValueError(f"foci profile {profile.name!r} has no class {edit.value!r}")


def _number(table: pd.DataFrame, component: np.ndarray) -> np.ndarray:
    """Components renumbered from 0 by centre (top, then left), then by their lowest cell id."""
    if not len(component):
        return component
    y, x = _centres(table, component)
    lowest = np.full(len(y), np.iinfo(np.int64).max)
    np.minimum.at(lowest, component, table["cell"].to_numpy(dtype=np.int64))
    order = np.lexsort((lowest, x, y))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return np.asarray(rank[component])


def _centres(table: pd.DataFrame, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean centre (y, x) of the cells of each group, µm, rounded."""
    cells = np.bincount(group)
    y = np.bincount(group, weights=table["y_um"].to_numpy(dtype=np.float64)) / cells
    x = np.bincount(group, weights=table["x_um"].to_numpy(dtype=np.float64)) / cells
    return np.round(y, POSITION_DECIMALS), np.round(x, POSITION_DECIMALS)


def _table(
    table: pd.DataFrame,
    number: np.ndarray,
    areas: np.ndarray,
    profile: FociProfile,
    phenotypes: Sequence[str],
) -> pd.DataFrame:
    """One row per focus; `number` (from 0) is aligned to `table`."""
    n = len(areas)
    cells = np.bincount(number, minlength=n).astype(np.int64)
    y, x = _centres(table, number) if n else (np.zeros(0), np.zeros(0))
    columns: dict[str, Any] = {
        "focus": np.arange(1, n + 1, dtype=np.int64),
        "class": pd.Series(classify(cells, areas, profile), dtype="str"),
        "cells": cells,
        "area_um2": areas,
        "y_um": y,
        "x_um": x,
    }
    for name in phenotypes:
        columns[f"{name}_positive"] = _carrying(table[f"{name}_positive"], number, n)
    columns["equivalent_diameter_um"] = np.round(2 * np.sqrt(areas / np.pi), POSITION_DECIMALS)
    columns["nearest_focus_um"] = _nearest(y, x)
    return pd.DataFrame(columns)


def _carrying(positive: pd.Series, number: np.ndarray, n: int) -> Any:
    """Cells of each focus that carry a phenotype; <NA> where none of its cells was judged."""
    judged = positive.notna().to_numpy()
    carries = positive.eq(True).fillna(False).to_numpy(bool)
    counts = np.bincount(number, weights=carries, minlength=n).astype(np.int64)
    if judged.all():
        return counts
    known = np.bincount(number[judged], minlength=n) > 0
    return pd.Series(counts, dtype="Int64").where(known).array


def _nearest(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Distance from each centre to the nearest other one, µm; NaN if there is no other."""
    if len(y) < 2:
        return np.full(len(y), np.nan)
    centres = np.column_stack((y, x))
    distance, _ = cKDTree(centres).query(centres, k=2)
    return np.round(distance[:, 1], POSITION_DECIMALS)
