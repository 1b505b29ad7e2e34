"""What reviewers changed about foci: joined, cut, named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from fociquant.model import FocusEdit

MERGED, SPLIT, CLASS = "merged", "split", "class"
"""Words of ``edited``; several are joined by ``;``."""


@dataclass(frozen=True, slots=True)
class _Places:
    """Numbers and centres of all cells of a section, counted or not."""

    row_of: Mapping[int, int]
    yx: np.ndarray


def edit_components(
    component: np.ndarray, counted: np.ndarray, cells: pd.DataFrame, edits: Sequence[FocusEdit]
) -> tuple[np.ndarray, np.ndarray]:
    """Components after merges and splits, applied in order, each to what is there then.

    A merge joins the foci of its cells. A split cuts the focus (or foci) of its cells: each
    cell goes to the part that names it, else to that of the nearest named cell, centre to
    centre; two foci are never joined by a split. Cells that do not count any more still say
    where a part is; numbers that are in no table are passed over.

    Parameters
    ----------
    component : numpy.ndarray of int64, shape (m,)
        Component of each counted cell.
    counted : numpy.ndarray of int64, shape (m,)
        Their rows in `cells`.
    cells : pandas.DataFrame
        All cells of the section: ``cell``, ``y_um``, ``x_um``.
    edits : sequence of FocusEdit

    Returns
    -------
    component : numpy.ndarray of int64, shape (m,)
    edited : numpy.ndarray of object (str), shape (m,)
        ``""``, ``merged``, ``split`` or both, of the cell's focus.
    """
    labels = component.astype(np.int64).copy()
    marks = {MERGED: np.zeros(len(labels), bool), SPLIT: np.zeros(len(labels), bool)}
    if len(labels) and edits:
        numbers = cells["cell"].to_numpy(np.int64)
        places = _Places({int(n): row for row, n in enumerate(numbers)}, _yx(cells))
        position = np.full(len(numbers), -1, np.int64)
        position[counted] = np.arange(len(counted))
        for edit in edits:
            parts = [[places.row_of[c] for c in part if c in places.row_of] for part in edit.parts]
            if edit.kind == "merge":
                _merge(labels, position, [row for part in parts for row in part], marks[MERGED])
            elif edit.kind == "split":
                _split(labels, position, counted, parts, places.yx, marks[SPLIT])
    words = np.array(["", MERGED, SPLIT, f"{MERGED};{SPLIT}"], dtype=object)
    edited = words[marks[MERGED] + 2 * marks[SPLIT].astype(np.int64)]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64), edited


def class_overrides(
    numbers: np.ndarray, focus: np.ndarray, edits: Sequence[FocusEdit]
) -> dict[int, str]:
    """Focus (from 0) to the class that a reviewer gave it; a later override holds.

    An override belongs to the focus that holds more than half of its counted cells.

    Parameters
    ----------
    numbers, focus : numpy.ndarray of int64, shape (m,)
        Number and focus of each counted cell.
    edits : sequence of FocusEdit
    """
    if not any(edit.kind == "class" for edit in edits):
        return {}
    focus_of = dict(zip(numbers.tolist(), focus.tolist(), strict=True))
    named = {}
    for edit in edits:
        if edit.kind == "class":
            own = [focus_of[cell] for part in edit.parts for cell in part if cell in focus_of]
            values, sizes = np.unique(np.array(own, np.int64), return_counts=True)
            if len(own) and 2 * int(sizes.max()) > len(own):
                named[int(values[np.argmax(sizes)])] = edit.value
    return named


def _yx(cells: pd.DataFrame) -> np.ndarray:
    return cells[["y_um", "x_um"]].to_numpy(np.float64)


def _merge(labels: np.ndarray, position: np.ndarray, rows: list[int], mark: np.ndarray) -> None:
    own = position[rows]
    joined = np.unique(labels[own[own >= 0]])
    if len(joined) > 1:
        members = np.isin(labels, joined)
        labels[members] = joined[0]
        mark[members] = True


def _split(
    labels: np.ndarray,
    position: np.ndarray,
    counted: np.ndarray,
    parts: list[list[int]],
    yx: np.ndarray,
    mark: np.ndarray,
) -> None:
    anchors = np.array([row for part in parts for row in part], np.int64)
    part_of = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    own = position[anchors]
    members = np.flatnonzero(np.isin(labels, labels[own[own >= 0]]))
    if not len(members) or len(np.unique(part_of)) < 2:
        return
    _, nearest = cKDTree(yx[anchors]).query(yx[counted[members]])
    part = part_of[nearest]
    named = dict(zip(anchors.tolist(), part_of.tolist(), strict=True))
    part = np.array([named.get(int(row), p) for row, p in zip(counted[members], part, strict=True)])
    _, piece = np.unique(np.column_stack([labels[members], part]), axis=0, return_inverse=True)
    for focus in np.unique(labels[members]):
        cut = labels[members] == focus
        mark[members[cut]] |= len(np.unique(part[cut])) > 1
    labels[members] = labels.max() + 1 + piece.ravel()
