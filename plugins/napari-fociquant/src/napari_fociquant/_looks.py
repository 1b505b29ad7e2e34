"""Candidates as they are presented: each of them, and some a second time, unannounced.

Whatever counts them on the screen counts looks, not candidates: a number that stays where it is
would tell a second look from a first one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fociquant.review import ACCEPTED, REJECTED, ReviewSession
from napari_fociquant._colours import Shown

SECOND_LOOKS = {ACCEPTED: Shown.ACCEPTED, REJECTED: Shown.REJECTED}
"""How a second look is drawn by its verdict."""

COUNTING = (Shown.COUNTED, Shown.ACCEPTED, Shown.ADDED)
"""States of what is a cancer cell."""


@dataclass(frozen=True, slots=True)
class Looks:
    """The queue of a section, fixed for a study.

    Parameters
    ----------
    rows : numpy.ndarray of int64, shape (n,)
        Of the session, in the order in which they are shown.
    again : numpy.ndarray of bool, shape (n,)
        Which are second looks.
    """

    rows: np.ndarray
    again: np.ndarray

    def codes(self, session: ReviewSession, codes: np.ndarray) -> np.ndarray:
        """How each look is drawn.

        Parameters
        ----------
        session : ReviewSession
        codes : numpy.ndarray of uint8
            Values of :class:`Shown` of the session's rows.

        Returns
        -------
        numpy.ndarray of uint8, shape (n,)
        """
        out = codes[self.rows]
        out[self.again] = second_codes(session)[self.rows[self.again]]
        return out

    def numbers(self, session: ReviewSession, codes: np.ndarray) -> np.ndarray:
        """How many there are of each state: looks, and cells that were added."""
        added = codes[len(session.cells) :]
        shown = np.concatenate([self.codes(session, codes), added])
        return np.bincount(shown, minlength=max(Shown) + 1)

    def decided(self, session: ReviewSession) -> np.ndarray:
        """Which looks have a verdict, bool, shape (n,)."""
        second = np.isin(self.rows, list(session.second_looks))
        return np.where(self.again, second, session.verdict[self.rows] != 0)

    def automatic(self, session: ReviewSession) -> int:
        """How many looks are at something that the program counts."""
        return int(session.positive_automatic[self.rows].sum())


def second_codes(session: ReviewSession) -> np.ndarray:
    """How a second look at each row is drawn: as if there had been no first one."""
    out = np.where(session.positive_automatic, Shown.COUNTED, Shown.CANDIDATE).astype(np.uint8)
    for row, verdict in session.second_looks.items():
        out[row] = SECOND_LOOKS[verdict]
    out[session.excluded] = Shown.EXCLUDED
    return out
