"""Entries of a log to rows of a section, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import shapely

from fociquant.review.decisions import Action, CellRef, Entry
from fociquant.review.match import NOT_FOUND, SAME_PLACE_UM, Candidates, polygons_of
from fociquant.review.state import SectionState

SAME_OBJECT_IOU = 0.5
"""Two added outlines that share more than this are one cell."""

ADDED = "added"
"""How a cell that a reviewer added is found: by the outline that was drawn."""

FAR_UM = 500.0
"""No cell reaches further: outlines with centres this far apart are not compared."""


@dataclass(frozen=True, slots=True)
class Located:
    """Where the cells of an entry are.

    Parameters
    ----------
    entry : Entry
    rows : numpy.ndarray of int64
        In the order of ``entry.cells``; -1: not found.
    how : str
        How the first of them was found, see :mod:`fociquant.review.match`; ``added`` for
        cells that reviewers added; empty for entries without cells.
    """

    entry: Entry
    rows: np.ndarray
    how: str

    @property
    def complete(self) -> bool:
        """Whether all cells were found."""
        return bool((self.rows >= 0).all())


class Rows(Protocol):
    """What makes rows for cells that were added."""

    def added_row(self, ref: CellRef) -> int:
        """A new row."""
        ...

    def added_outline(self, row: int) -> np.ndarray | None:
        """Outline of an added row, flat, µm."""
        ...


def locate_rows(
    entries: Sequence[Entry], state: SectionState, candidates: Candidates, rows: Rows
) -> Iterator[Located]:
    """Rows of the cells of each entry.

    Candidates are looked for all at once, cells that were added entry by entry: an added
    cell is there for the entries after it.

    Parameters
    ----------
    entries : sequence of Entry
        In order.
    state : SectionState
    candidates : Candidates
    rows : Rows

    Yields
    ------
    Located
        In the order of `entries`.
    """
    refs = [entry.cells for entry in entries]
    found = candidates.find([ref for some in refs for ref in some])
    ends = np.cumsum([len(some) for some in refs])
    for entry, some, end in zip(entries, refs, ends, strict=True):
        own = found.row[end - len(some) : end].copy()
        how = str(found.how[end - len(some)]) if some else ""
        for i in np.flatnonzero(own < 0):
            own[i] = _among_added(some[i], state, rows)
        if entry.action is Action.ADD and own[0] < 0:
            own[0] = rows.added_row(some[0])
        if len(own) and how == NOT_FOUND and own[0] >= 0:
            how = ADDED
        yield Located(entry, own, how)


def _among_added(ref: CellRef, state: SectionState, rows: Rows) -> int:
    """Row of the added cell that a reference is about; -1: none."""
    added = np.flatnonzero(state.added)
    if not len(added):
        return -1
    y, x = state.y_um[added] - ref.y_um, state.x_um[added] - ref.x_um
    near = added[np.hypot(y, x) < FAR_UM]
    if not ref.outline:
        close = near[(np.hypot(state.y_um[near] - ref.y_um, state.x_um[near] - ref.x_um)
                      <= SAME_PLACE_UM)]  # fmt: skip
        return int(close[0]) if len(close) else -1
    own = polygons_of([np.asarray(ref.outline)])[0]
    shapes = polygons_of([rows.added_outline(int(row)) for row in near])
    common = shapely.area(shapely.intersection(shapes, own))
    iou = common / np.maximum(shapely.area(shapes) + shapely.area(own) - common, 1e-9)
    best = int(np.argmax(iou)) if len(iou) else 0
    return int(near[best]) if len(iou) and iou[best] > SAME_OBJECT_IOU else -1
