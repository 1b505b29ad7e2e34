"""The queue of foci: a list that keeps its order while decisions change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_fociquant._foci import Focus

OPEN, CONFIRMED, GONE = "", "confirmed", "rejected"
"""What was decided about a focus as a whole."""


@dataclass(frozen=True)
class Item:
    """One line of the queue.

    Parameters
    ----------
    focus : Focus
        As it stands, or as it stood before its cells were rejected.
    state : str
        :data:`OPEN`, :data:`CONFIRMED` (every cell accepted) or :data:`GONE`.
    """

    focus: Focus
    state: str = OPEN


def state_of(focus: Focus, positive: np.ndarray, verdict: np.ndarray) -> str:
    """What was decided about the cells of a focus."""
    if not positive[focus.rows].any():
        return GONE
    return CONFIRMED if bool((verdict[focus.rows] == 1).all()) else OPEN


def renew(
    items: Sequence[Item], foci: Sequence[Focus], positive: np.ndarray, verdict: np.ndarray
) -> list[Item]:
    """The queue for foci that were found again.

    Parameters
    ----------
    items : sequence of Item
        As it was; empty for a section just opened.
    foci : sequence of Focus
        As they are now.
    positive : numpy.ndarray of bool, shape (rows,)
    verdict : numpy.ndarray of int8, shape (rows,)

    Returns
    -------
    list of Item
        Foci whose cells were all rejected stay where they were, so that they can be taken
        back; the largest focus is first in a new queue.
    """
    gone = [replace(item, state=GONE) for item in items if not positive[item.focus.rows].any()]
    order = {tuple(item.focus.rows[:1].tolist()): place for place, item in enumerate(items)}
    now = [Item(focus, state_of(focus, positive, verdict)) for focus in foci]
    return sorted(
        now + gone,
        key=lambda item: (
            order.get(tuple(item.focus.rows[:1].tolist()), len(order)),
            -len(item.focus.rows), item.focus.y_um, item.focus.x_um,
        ),
    )  # fmt: skip


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
