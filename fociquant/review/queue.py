"""In which order candidates are shown, and which are shown twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fociquant.flags import REJECTING, CellFlag, parse_flags
from fociquant.review.decisions import Action, Entry, active_entries
from fociquant.review.state import ACCEPTED, DECIDING

FLAG_WEIGHT = 1.0
"""Each reason to reject other than uncertainty is worth so much logit: it was a clear case."""

REPEAT_GAP = 20
"""A repeat comes at least so many objects after the first look."""

UNSURE = CellFlag.UNCERTAIN | CellFlag.LINING
"""Flags that are doubt itself."""


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One object of a queue.

    Parameters
    ----------
    cell : int
    repeat : bool
        Second look: pass it on to :meth:`ReviewSession.accept` or ``reject``.
    """

    cell: int
    repeat: bool = False


def doubt(cells: pd.DataFrame, *, threshold: float) -> np.ndarray:
    """How far each candidate is from being decided otherwise; smallest is most doubtful.

    Parameters
    ----------
    cells : pandas.DataFrame
        ``score`` (logit) and ``flags`` (names joined by ``;``).
    threshold : float
        Logit at which the gate becomes sure (``gate.min_score``).

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
        Distance from the threshold, plus one for each other reason to reject; candidates
        without a score come first.
    """
    score = cells["score"].to_numpy(np.float64)
    reasons = {text: _clear_reasons(str(text)) for text in cells["flags"].unique()}
    clear = np.array([reasons[text] for text in cells["flags"]], np.float64)
    return np.where(np.isfinite(score), np.abs(score - threshold), 0.0) + FLAG_WEIGHT * clear


def _clear_reasons(text: str) -> int:
    try:
        flags = parse_flags(text)
    except ValueError:
        return 0  # a flag of another version
    return bin(int(flags & REJECTING & ~UNSURE)).count("1")


def make_queue(
    cells: pd.DataFrame, *, threshold: float, repeat_share: float, seed: int
) -> list[QueueItem]:
    """The most doubtful candidates first, some of them a second time, unannounced.

    Parameters
    ----------
    cells : pandas.DataFrame
        Those to be shown: ``cell``, ``score``, ``flags``.
    threshold : float
    repeat_share : float
        0 to 0.5.
    seed : int
        Draws which are repeated and where.

    Returns
    -------
    list of QueueItem
    """
    rows, again = queue_rows(cells, threshold=threshold, repeat_share=repeat_share, seed=seed)
    numbers = cells["cell"].to_numpy(np.int64)[rows]
    return [QueueItem(*one) for one in zip(numbers.tolist(), again.tolist(), strict=True)]


def queue_rows(
    cells: pd.DataFrame, *, threshold: float, repeat_share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The queue of :func:`make_queue` as arrays, for sections of 100 000 candidates.

    Returns
    -------
    rows : numpy.ndarray of int64
        Rows of `cells`, in the order of the queue.
    again : numpy.ndarray of bool
        Which are second looks.
    """
    order = np.lexsort((cells["cell"].to_numpy(), doubt(cells, threshold=threshold)))
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(order), round(repeat_share * len(order)), replace=False)
    gaps = REPEAT_GAP + rng.integers(0, max(2 * REPEAT_GAP, 1), len(chosen))
    places = np.concatenate([np.arange(len(order)), chosen + gaps])
    again = np.arange(len(places)) >= len(order)
    ranks = np.lexsort((again, places))
    return np.concatenate([order, order[chosen]])[ranks], again[ranks]


def repeat_pairs(entries: Sequence[Entry]) -> list[tuple[bool, bool]]:
    """First and second verdict (cancer cell or not) of every hidden repeat.

    Parameters
    ----------
    entries : sequence of Entry
        One reviewer's log of one section.

    Returns
    -------
    list of (bool, bool)
        In order; a repeat without a first verdict is left out.
    """
    first: dict[tuple[float, float], bool] = {}
    pairs = []
    for entry in active_entries(entries):
        if entry.action not in DECIDING:
            continue
        place = (entry.cells[0].y_um, entry.cells[0].x_um)
        verdict = DECIDING[entry.action] == ACCEPTED
        if not entry.is_repeat:
            first[place] = verdict
        elif place in first:
            pairs.append((first[place], verdict))
    return pairs


def deciding(entries: Sequence[Entry]) -> int:
    """How many entries that hold are decisions (not openings, comments, audits, sign-offs)."""
    quiet = (Action.OPEN, Action.COMMENT, Action.AUDIT, Action.SIGN_OFF, Action.UNBLIND)
    return sum(entry.action not in quiet for entry in active_entries(entries))
