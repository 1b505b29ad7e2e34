"""Several reviewers, one result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from fociquant.review.state import ACCEPTED, REJECTED, UNDECIDED

NAMES = {ACCEPTED: "accepted", REJECTED: "rejected"}
"""Verdicts in words."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One reviewer's verdict on one cell.

    Parameters
    ----------
    reviewer : (str, str)
        Name and station.
    time : str
        UTC, of the decision.
    verdict : int
        1 accepted (or added), 2 rejected.
    signed : bool
        The reviewer has signed the section off, on this computer or another.
    """

    reviewer: tuple[str, str]
    time: str
    verdict: int
    signed: bool


class Signer(Protocol):
    """What is needed to know of a reviewer."""

    @property
    def reviewer(self) -> str:
        """Name."""
        ...

    @property
    def station(self) -> str:
        """Computer."""
        ...

    @property
    def status(self) -> str:
        """``signed off`` or not."""
        ...


def combine(
    votes: Mapping[int, Sequence[Vote]],
    automatic: np.ndarray,
    people: Sequence[Signer],
    rule: Literal["latest", "majority"],
) -> tuple[np.ndarray, dict[int, str]]:
    """The verdict on every cell, and where reviewers differ.

    Only a reviewer's last verdict on a cell is a vote. Where reviewers have signed the
    section off, only their votes count: of a cell about which none of them decided the
    automatic result stands, which they saw. ``latest``: the last vote by time holds.
    ``majority``: the verdict with most votes; a reviewer who signed off without deciding
    about the cell votes for the automatic result; a tie goes to the latest.

    Parameters
    ----------
    votes : mapping of int to sequence of Vote
        Row to its votes, in order of time.
    automatic : numpy.ndarray of bool, shape (rows,)
        Counted without review; false for added cells.
    people : sequence of Signer
        All reviewers of the section.
    rule : {'latest', 'majority'}

    Returns
    -------
    verdict : numpy.ndarray of int8, shape (rows,)
        0 undecided, 1 accepted, 2 rejected.
    conflicts : dict of int to str
        Row to who says what, for example ``ana accepted, bo rejected``. A reviewer who
        signed off without deciding about the cell stands for the automatic result.
    """
    verdict = np.zeros(len(automatic), np.int8)
    conflicts: dict[int, str] = {}
    signed = [(p.reviewer, p.station) for p in people if p.status == "signed off"]
    for row, some in votes.items():
        last = {vote.reviewer: vote for vote in some}
        silent = ACCEPTED if automatic[row] else REJECTED
        # Who decided on one computer and signed on another has said what they think of it.
        spoke = {
            who[0].casefold() for who, vote in last.items() if vote.signed and who not in signed
        }
        implied = {
            who: silent for who in signed if who not in last and who[0].casefold() not in spoke
        }
        verdict[row] = _winner(list(last.values()), implied, rule)
        said = {who: vote.verdict for who, vote in last.items()} | implied
        if len(set(said.values())) > 1:
            conflicts[row] = _who_says_what(said)
    return verdict, conflicts


def _winner(
    last: Sequence[Vote],
    implied: Mapping[tuple[str, str], int],
    rule: Literal["latest", "majority"],
) -> int:
    counting = [vote for vote in last if vote.signed]
    if not counting and implied:
        return UNDECIDED
    counting = counting or list(last)
    latest = max(counting, key=lambda vote: (vote.time, vote.reviewer)).verdict
    if rule == "latest":
        return latest
    tally = Counter(vote.verdict for vote in counting) + Counter(implied.values())
    best = max(tally.values())
    leading = [value for value, number in tally.items() if number == best]
    return leading[0] if len(leading) == 1 else latest


def _who_says_what(said: Mapping[tuple[str, str], int]) -> str:
    names = Counter(name for name, _ in said)
    parts = []
    for (name, station), value in sorted(said.items()):
        who = name if names[name] == 1 else f"{name} ({station[:4]})"
        parts.append(f"{who} {NAMES[value]}")
    return ", ".join(parts)


def counted(
    verdict: np.ndarray, automatic: np.ndarray, excluded: np.ndarray, added: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows count, and the decision in words.

    Parameters
    ----------
    verdict : numpy.ndarray of int8, shape (rows,)
    automatic, excluded, added : numpy.ndarray of bool, shape (rows,)

    Returns
    -------
    positive : numpy.ndarray of bool, shape (rows,)
    decision : numpy.ndarray of object (str), shape (rows,)
    """
    positive = (verdict == ACCEPTED) | ((verdict == UNDECIDED) & automatic)
    words: Any = np.select(
        [excluded, verdict == REJECTED, added, verdict == ACCEPTED],
        ["excluded", "rejected", "added", "accepted"],
        "",
    )
    return positive & ~excluded, words.astype(object)
