"""What one reviewer's decisions make of a section, kept up to date entry by entry."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fociquant.model import FocusEdit
from fociquant.review.decisions import Action, Entry
from fociquant.review.regions import inside, to_geometry

UNDECIDED, ACCEPTED, REJECTED = 0, 1, 2
"""Values of a verdict."""

DECIDING = {Action.ACCEPT: ACCEPTED, Action.REJECT: REJECTED, Action.ADD: ACCEPTED}
"""Verdict that an action gives its cells."""

EDITS = {Action.MERGE: "merge", Action.SPLIT: "split", Action.CLASS: "class"}
"""Kind of edit that an action makes of foci."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Cells of a section, in numbers.

    Parameters
    ----------
    automatic : int
        Counted without any decision.
    reviewed : int
        Counted with all decisions.
    accepted, rejected, added : int
        Cells by what was decided last (excluded ones included).
    excluded : int
        Cells that would count, were they not in an excluded region.
    undecided : int
        Candidates nobody has decided about.
    """

    automatic: int
    reviewed: int
    accepted: int
    rejected: int
    added: int
    excluded: int
    undecided: int


class SectionState:
    """Verdicts of all cells of a section; every change costs only what it touches.

    Rows are candidates in the order given, then cells that were added, in the order of
    their entries. A row is never removed: an addition taken back has ``exists`` false.

    Parameters
    ----------
    y_um, x_um : numpy.ndarray of float64, shape (n,)
        Centres of the candidates.
    automatic : numpy.ndarray of bool, shape (n,)
        Whether each is counted without review.

    Attributes
    ----------
    verdict : numpy.ndarray of int8, shape (rows,)
        0 undecided, 1 accepted, 2 rejected.
    positive : numpy.ndarray of bool, shape (rows,)
        Counted, with all decisions.
    excluded : numpy.ndarray of bool, shape (rows,)
        In an excluded region.
    added, exists : numpy.ndarray of bool, shape (rows,)
    """

    def __init__(self, y_um: np.ndarray, x_um: np.ndarray, automatic: np.ndarray) -> None:
        self._n = self.candidates = len(y_um)
        self._y, self._x = np.array(y_um, np.float64), np.array(x_um, np.float64)
        self._automatic = np.array(automatic, bool)
        self._verdict = np.zeros(self._n, np.int8)
        self._regions = np.zeros(self._n, np.int32)
        self._added = np.zeros(self._n, bool)
        self._exists = np.ones(self._n, bool)
        self._positive = self._automatic.copy()
        self._count = int(self._positive.sum())
        self._order: dict[str, int] = {}
        self._undone: dict[str, int] = {}
        self._entries: dict[str, Entry] = {}
        self._rows: dict[str, np.ndarray] = {}
        self._decided: dict[int, list[tuple[int, int, str]]] = {}
        self._second: dict[int, list[tuple[int, int, str]]] = {}

    @property
    def y_um(self) -> np.ndarray:
        """Centres of all rows, µm."""
        return self._y[: self._n]

    @property
    def x_um(self) -> np.ndarray:
        """Centres of all rows, µm."""
        return self._x[: self._n]

    @property
    def verdict(self) -> np.ndarray:
        """Per row, int8: 0 undecided, 1 accepted, 2 rejected."""
        return self._verdict[: self._n]

    @property
    def positive(self) -> np.ndarray:
        """Per row: counted, with all decisions."""
        return self._positive[: self._n]

    @property
    def automatic(self) -> np.ndarray:
        """Counted without review; false for what was added."""
        return self._automatic[: self._n]

    @property
    def excluded(self) -> np.ndarray:
        """Per row: in an excluded region."""
        return self._regions[: self._n] > 0

    @property
    def added(self) -> np.ndarray:
        """Per row: not a candidate, added by a reviewer."""
        return self._added[: self._n]

    @property
    def exists(self) -> np.ndarray:
        """Per row: false for an addition that was taken back."""
        return self._exists[: self._n]

    @property
    def reviewed(self) -> int:
        """Number of cells counted with all decisions; costs nothing."""
        return self._count

    @property
    def counts(self) -> Counts:
        """All numbers."""
        verdict, exists, added = self.verdict, self.exists, self.added
        would = exists & ((verdict == ACCEPTED) | ((verdict == UNDECIDED) & self.automatic))
        return Counts(
            automatic=int(self.automatic.sum()),
            reviewed=self._count,
            accepted=int(((verdict == ACCEPTED) & ~added).sum()),
            rejected=int(((verdict == REJECTED) & exists).sum()),
            added=int(((verdict == ACCEPTED) & added).sum()),
            excluded=int((would & self.excluded).sum()),
            undecided=int(((verdict == UNDECIDED) & exists).sum()),
        )

    @property
    def second_looks(self) -> dict[int, int]:
        """Row to verdict, of hidden repeats that were decided; they count nothing."""
        return {row: history[-1][1] for row, history in self._second.items() if history}

    def apply(self, entry: Entry, rows: Sequence[int] | np.ndarray = ()) -> None:
        """Take in the next entry of the log.

        Parameters
        ----------
        entry : Entry
        rows : sequence of int
            Rows of its cells, in the order of ``entry.cells``; -1 where a cell was not found.
        """
        self._order[entry.hash] = len(self._order)
        self._entries[entry.hash] = entry
        self._rows[entry.hash] = np.asarray(rows, np.int64)
        self._set_active(entry, active=True)

    def add_row(self, y_um: float, x_um: float) -> int:
        """Make room for a cell that was added; it exists once its entry is applied."""
        row = self._n
        if row == len(self._y):
            self._grow()
        self._y[row], self._x[row] = y_um, x_um
        self._added[row] = True
        self._n += 1
        for other in self._entries.values():
            if other.action is Action.EXCLUDE and self.is_active(other.hash):
                self._regions[row] += len(
                    _within(other, self._y[row : row + 1], self._x[row : row + 1])
                )
        return row

    def is_active(self, digest: str) -> bool:
        """Whether an entry was taken in and holds."""
        return digest in self._entries and self._undone.get(digest, 0) == 0

    def entry(self, digest: str) -> Entry | None:
        """The entry of this hash; None if it was not taken in."""
        return self._entries.get(digest)

    def rows_of(self, digest: str) -> np.ndarray:
        """Rows of the cells of an entry, -1 where one was not found."""
        return self._rows[digest]

    def active(self) -> list[Entry]:
        """Entries that hold, in order; undos left out."""
        return [
            entry for digest, entry in self._entries.items()
            if entry.action is not Action.UNDO and self.is_active(digest)
        ]  # fmt: skip

    def edits(self, numbers: np.ndarray) -> list[FocusEdit]:
        """What was decided about foci, in order.

        Parameters
        ----------
        numbers : numpy.ndarray of int64, shape (rows,)
            Number of each row's cell.
        """
        return [
            edit for entry in self.active() if entry.action in EDITS and not entry.is_repeat
            for edit in [focus_edit(entry, self._rows[entry.hash], numbers)] if edit is not None
        ]  # fmt: skip

    def _set_active(self, entry: Entry, *, active: bool) -> None:
        if entry.action is Action.UNDO:
            target = self._entries.get(entry.target)
            if target is None:
                return
            before = self._undone.get(target.hash, 0)
            self._undone[target.hash] = before + (1 if active else -1)
            if (before == 0) == active:
                self._set_active(target, active=not active)
        elif entry.is_repeat:
            self._record(self._second, entry, active=active)
        elif entry.action in DECIDING:
            self._decide(entry, active=active)
        elif entry.action is Action.EXCLUDE:
            rows = _within(entry, self.y_um, self.x_um)
            self._regions[rows] += 1 if active else -1
            self._update(rows)

    def _decide(self, entry: Entry, *, active: bool) -> None:
        rows = self._record(self._decided, entry, active=active)
        for row in rows.tolist():
            history = self._decided[row]
            self._verdict[row] = history[-1][1] if history else UNDECIDED
            if self._added[row]:
                self._exists[row] = any(
                    self._entries[one[2]].action is Action.ADD for one in history
                )
        self._update(rows)

    def _record(
        self, histories: dict[int, list[tuple[int, int, str]]], entry: Entry, *, active: bool
    ) -> np.ndarray:
        """Put a decision into the histories of its rows, or take it out; those rows."""
        rows = self._rows[entry.hash]
        rows = rows[rows >= 0]
        if entry.action not in DECIDING:
            return rows[:0]
        item = (self._order[entry.hash], DECIDING[entry.action], entry.hash)
        for row in rows.tolist():
            history = histories.setdefault(row, [])
            if active:
                bisect.insort(history, item)
            else:
                history.remove(item)
        return rows

    def _update(self, rows: np.ndarray) -> None:
        """Bring ``positive`` and the count up to date for these rows."""
        rows = np.unique(rows)
        verdict = self._verdict[rows]
        now = (verdict == ACCEPTED) | ((verdict == UNDECIDED) & self._automatic[rows])
        now &= (self._regions[rows] == 0) & self._exists[rows]
        self._count += int(now.sum()) - int(self._positive[rows].sum())
        self._positive[rows] = now

    def _grow(self) -> None:
        extra = max(64, len(self._y) // 4)
        for name in ("_y", "_x", "_automatic", "_verdict", "_regions", "_added", "_exists",
                     "_positive"):  # fmt: skip
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros(extra, old.dtype)]))


def focus_edit(entry: Entry, rows: np.ndarray, numbers: np.ndarray) -> FocusEdit | None:
    """The edit that an entry makes of foci, in numbers of cells; None if nothing is left of it."""
    sizes = [len(part) for part in entry.parts] or [len(rows)]
    pieces = np.split(rows, np.cumsum(sizes)[:-1])
    parts = tuple(tuple(int(numbers[row]) for row in piece if row >= 0) for piece in pieces)
    parts = tuple(part for part in parts if part)
    kind = EDITS[entry.action]
    needed = {"merge": sum(map(len, parts)) > 1, "split": len(parts) > 1, "class": bool(parts)}
    if not needed[kind]:
        return None
    return FocusEdit(kind, parts, str(entry.value or ""))  # type: ignore[arg-type]


def _within(entry: Entry, y_um: np.ndarray, x_um: np.ndarray) -> np.ndarray:
    return inside(to_geometry(entry.polygons), y_um, x_um)
