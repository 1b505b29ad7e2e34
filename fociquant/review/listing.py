"""Every decision with what became of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from fociquant.review.decisions import Action, Entry, active_entries
from fociquant.review.locate import Located
from fociquant.review.read_log import Log
from fociquant.review.state import DECIDING, EDITS

DECISION_COLUMNS: tuple[str, ...] = (
    "section", "reviewer", "station", "seq", "time", "action", "cell", "y_um", "x_um", "found",
    "outcome", "reason",
)  # fmt: skip
"""Columns of ``review/decisions.csv``."""


WAITING = {*EDITS, Action.EXCLUDE}
"""What counts, beside verdicts on cells, only if its reviewer's word does."""

COMMENT_COLUMNS: tuple[str, ...] = (
    "section", "reviewer", "station", "time", "cell", "y_um", "x_um", "comment",
)  # fmt: skip
"""Columns of ``review/comments.csv``."""


class Person(Protocol):
    """What is needed to know of a reviewer."""

    @property
    def key(self) -> tuple[str, str]:
        """Name and station."""
        ...

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All, in order."""
        ...

    @property
    def located(self) -> Mapping[str, Located]:
        """Hash of each to where its cells are."""
        ...


def list_decisions(
    people: Sequence[Person],
    rows: Mapping[str, np.ndarray],
    verdict: np.ndarray,
    numbers: np.ndarray,
    *,
    counting: Collection[tuple[str, str]],
) -> list[dict[str, Any]]:
    """One row per entry of each reviewer, in order.

    Parameters
    ----------
    people : sequence of Person
    rows : mapping of str to numpy.ndarray
        Hash of each entry that holds to the rows of its cells among those of all reviewers.
    verdict : numpy.ndarray of int8
        The result, per row.
    numbers : numpy.ndarray of int64
        Number of each row's cell.
    counting : collection of (str, str)
        People whose regions and edits of foci count.

    Returns
    -------
    list of dict
        `DECISION_COLUMNS` without ``section``. ``outcome`` is one of ``applied``,
        ``undone``, ``object gone``, ``partly applied``, ``superseded`` (the same reviewer
        decided otherwise later), ``overruled`` (another one, or the sign-off of another one),
        ``repeat``, ``not trusted``.
    """
    listed = []
    for person in people:
        held = {entry.hash for entry in active_entries(person.entries)}
        undone = _undone(person.entries)
        last = _last_on_row(person, rows)
        for entry in person.entries:
            own = rows.get(entry.hash, np.empty(0, np.int64))
            row = _row(person.key, entry, person.located[entry.hash].how)
            if len(own) and own[0] >= 0:
                row["cell"] = int(numbers[own[0]])
            if entry.hash in undone:
                row["outcome"] = "undone"
            elif entry.is_repeat:
                row["outcome"] = "repeat"
            elif entry.hash in held and entry.action in WAITING and person.key not in counting:
                row["outcome"] = "overruled"
            elif entry.hash in held:
                row["outcome"] = _outcome(entry, own, verdict, last)
            listed.append(row)
    return listed


def list_study(logs: Sequence[Log]) -> list[dict[str, Any]]:
    """Rows of entries about the study as a whole: who had names and groups shown, and why."""
    return [
        {"section": ""} | _row((log.reviewer, log.station), entry, "")
        for log in logs
        for entry in log.entries
        if entry.action is not Action.OPEN
    ] + [{"section": ""} | row for log in logs for row in list_untrusted(log)]


def comments_of(decisions: pd.DataFrame) -> pd.DataFrame:
    """What reviewers remarked and did not take back, from the table of decisions.

    Parameters
    ----------
    decisions : pandas.DataFrame
        `DECISION_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        `COMMENT_COLUMNS`; ``cell``, ``y_um``, ``x_um``: what it is about (of several cells the
        first), missing for a comment on a section.
    """
    kept = decisions["outcome"].isin(("applied", "object gone"))
    found = decisions[(decisions["action"] == str(Action.COMMENT)) & kept]
    return found.rename(columns={"reason": "comment"})[list(COMMENT_COLUMNS)]


def list_untrusted(log: Log) -> Iterator[dict[str, Any]]:
    """Rows of entries that are kept and not applied."""
    for entry in log.untrusted:
        yield _row((log.reviewer, log.station), entry, "") | {"outcome": "not trusted"}


def _row(who: tuple[str, str], entry: Entry, how: str) -> dict[str, Any]:
    cells = entry.cells
    return {
        "reviewer": who[0],
        "station": who[1],
        "seq": entry.seq,
        "time": entry.time,
        "action": str(entry.action),
        "cell": None,
        "y_um": cells[0].y_um if cells else np.nan,
        "x_um": cells[0].x_um if cells else np.nan,
        "found": how,
        "outcome": "applied",
        "reason": entry.reason,
    }


def _undone(entries: Sequence[Entry]) -> set[str]:
    undone: set[str] = set()
    for entry in reversed(entries):
        if entry.action is Action.UNDO and entry.hash not in undone:
            undone.add(entry.target)
    return undone


def _last_on_row(person: Person, rows: Mapping[str, np.ndarray]) -> dict[int, str]:
    """Row to the hash of this reviewer's last entry that decides about it."""
    last: dict[int, str] = {}
    for entry in person.entries:
        if entry.action in DECIDING and entry.hash in rows:
            last |= {int(row): entry.hash for row in rows[entry.hash] if row >= 0}
    return last


def _outcome(entry: Entry, own: np.ndarray, verdict: np.ndarray, last: Mapping[int, str]) -> str:
    if len(own) and (own < 0).all():
        return "object gone"
    if entry.action in EDITS:
        return "applied" if (own >= 0).all() else "partly applied"
    if entry.action not in DECIDING or verdict[own[0]] == DECIDING[entry.action]:
        return "applied"
    return "overruled" if last.get(int(own[0])) == entry.hash else "superseded"
