"""Foci as they stand, from stored tables or found again after decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely

from fociquant.foci import find_foci
from fociquant.model import FocusEdit
from fociquant.settings import FociProfile
from napari_fociquant._picture import Outlines

RING_UM = 6.0
"""A focus is drawn as the hull of its cells, so far outside them, µm."""


@dataclass(frozen=True, slots=True)
class Focus:
    """One focus.

    Parameters
    ----------
    kind : str
        Its class.
    rows : numpy.ndarray of int64
        Its cells, as rows of the session.
    y_um, x_um : float
        Its centre, µm.
    """

    kind: str
    rows: np.ndarray
    y_um: float
    x_um: float


@dataclass(frozen=True)
class Snapshot:
    """What foci depend on, at one moment; safe to use on another thread.

    Parameters
    ----------
    cell : numpy.ndarray of int64, shape (n,)
    y_um, x_um : numpy.ndarray of float64, shape (n,)
    positive : numpy.ndarray of bool, shape (n,)
    outlines : Outlines
        Of the same rows.
    edits : sequence of FocusEdit
    """

    cell: np.ndarray
    y_um: np.ndarray
    x_um: np.ndarray
    positive: np.ndarray
    outlines: Outlines
    edits: Sequence[FocusEdit]


def foci_of(snapshot: Snapshot, *, link_um: float, profile: FociProfile) -> list[Focus]:
    """Group what is counted into foci, with the merges, splits and classes decided.

    Parameters
    ----------
    snapshot : Snapshot
    link_um : float
    profile : FociProfile

    Returns
    -------
    list of Focus
        From the top.
    """
    rows = np.flatnonzero(snapshot.positive)
    table = pd.DataFrame({
        "cell": snapshot.cell[rows],
        "y_um": snapshot.y_um[rows],
        "x_um": snapshot.x_um[rows],
        "positive": np.ones(len(rows), bool),
        "outline": [snapshot.outlines.of(row).ravel() for row in rows.tolist()],
    })  # fmt: skip
    found = find_foci(
        table, link_um=link_um, profile=profile, phenotypes=(), edits=list(snapshot.edits)
    )
    return list_foci(found.foci, np.asarray(found.focus), rows)


def list_foci(foci: pd.DataFrame, numbers: np.ndarray, rows: np.ndarray) -> list[Focus]:
    """Foci from their table.

    Parameters
    ----------
    foci : pandas.DataFrame
        Columns ``focus``, ``class``, ``y_um``, ``x_um``.
    numbers : numpy.ndarray of int64, shape (n,)
        Focus of each cell; 0: none.
    rows : numpy.ndarray of int64, shape (n,)
        Row of each cell in the session.
    """
    order = np.argsort(numbers, kind="stable")
    wanted = foci["focus"].to_numpy()
    starts = np.searchsorted(numbers[order], wanted)
    ends = np.searchsorted(numbers[order], wanted, side="right")
    columns = (foci[name].tolist() for name in ("class", "y_um", "x_um"))
    return [
        Focus(str(kind), rows[order[start:end]], float(y), float(x))
        for kind, y, x, start, end in zip(*columns, starts, ends, strict=True)
        if end > start
    ]


def rings_of(foci: Sequence[Focus], outlines: Outlines, classes: Sequence[str]) -> Outlines:
    """A ring round each focus of two and more cells, coloured by class from 1 up."""
    several = [focus for focus in foci if len(focus.rows) > 1]
    if not several:
        return Outlines.of_lists([], [])
    points = [np.concatenate([outlines.of(row) for row in one.rows.tolist()]) for one in several]
    owner = np.repeat(np.arange(len(points)), [len(one) for one in points])
    clouds = shapely.multipoints(np.concatenate(points).astype(np.float64), indices=owner)
    hulls = shapely.buffer(shapely.convex_hull(clouds), RING_UM, quad_segs=4)
    codes = [classes.index(one.kind) + 1 if one.kind in classes else 1 for one in several]
    return Outlines.of_lists([shapely.get_coordinates(hull)[:-1] for hull in hulls], codes)
