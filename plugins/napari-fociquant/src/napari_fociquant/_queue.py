"""The queue of foci: a list that keeps its order while decisions change it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_fociquant._foci import Focus

OPEN, CONFIRMED, GONE, LEFT_OUT = "", "confirmed", "rejected", "excluded"
"""What was decided about a focus as a whole."""


def state_of(focus: Focus, positive: np.ndarray, verdict: np.ndarray) -> str:
    """What was decided about the cells of a focus."""
    if not positive[focus.rows].any():
        return GONE if bool((verdict[focus.rows] == 2).all()) else LEFT_OUT
    return CONFIRMED if bool((verdict[focus.rows] == 1).all()) else OPEN


def count_open(foci: Sequence[Focus], positive: np.ndarray, verdict: np.ndarray) -> int:
    """How many foci are neither confirmed nor rejected."""
    if not foci:
        return 0
    sizes = [len(focus.rows) for focus in foci]
    starts = np.cumsum([0, *sizes[:-1]])
    rows = np.concatenate([focus.rows for focus in foci])
    there = np.add.reduceat(positive[rows].astype(np.int64), starts)
    accepted = np.add.reduceat((verdict[rows] == 1).astype(np.int64), starts)
    return int(((there > 0) & (accepted < np.array(sizes))).sum())


def renew(
    queue: Sequence[Focus],
    foci: Sequence[Focus],
    positive: np.ndarray,
    exists: np.ndarray | None = None,
) -> list[Focus]:
    """The queue for foci that were found again.

    Parameters
    ----------
    queue : sequence of Focus
        As it was; empty for a section just opened.
    foci : sequence of Focus
        As they are now.
    positive : numpy.ndarray of bool, shape (rows,)
    exists : numpy.ndarray of bool, shape (rows,), optional
        False for added cells that were taken back: a focus of nothing else leaves the queue.

    Returns
    -------
    list of Focus
        Foci whose cells were all rejected stay where they were, so that they can be taken
        back; parts of a split are beside each other; the largest focus is first in a new queue.
    """
    there = np.ones(len(positive), bool) if exists is None else exists
    gone = [f for f in queue if there[f.rows].any() and not positive[f.rows].any()]
    places = places_of(queue, len(positive))

    def key(focus: Focus) -> tuple[int, int, float, float]:
        place = int(places[focus.rows[0]])
        return (place if place >= 0 else len(queue)), -len(focus.rows), focus.y_um, focus.x_um

    return sorted([*foci, *gone], key=key)


def places_of(queue: Sequence[Focus], rows: int) -> np.ndarray:
    """Place in the queue of each row, int64, shape (rows,); -1: in none."""
    out = np.full(rows, -1, np.int64)
    for place, focus in enumerate(queue):
        out[focus.rows] = place
    return out


def sides(y_um: np.ndarray, x_um: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points on either side of a line through the first and last vertex drawn.

    Parameters
    ----------
    y_um, x_um : numpy.ndarray of float64, shape (n,)
    line : numpy.ndarray, shape (m, 2)
        (y, x), µm.

    Returns
    -------
    left, right : numpy.ndarray of int64
        Indices.
    """
    start, end = np.asarray(line[0], np.float64), np.asarray(line[-1], np.float64)
    dy, dx = end - start
    side = dy * (x_um - start[1]) - dx * (y_um - start[0])
    return np.flatnonzero(side < 0), np.flatnonzero(side >= 0)
