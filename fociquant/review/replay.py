"""All logs of a section onto its candidates: what counts, and whose word it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely

from fociquant.model import FocusEdit
from fociquant.review.combine import NAMES, Vote, combine, counted
from fociquant.review.decisions import Action, CellRef, Entry, active_entries
from fociquant.review.listing import list_decisions, list_untrusted
from fociquant.review.locate import Located, locate_rows
from fociquant.review.match import Candidates
from fociquant.review.read_log import Log
from fociquant.review.regions import inside, to_geometry
from fociquant.review.signing import last_signature, signature
from fociquant.review.state import (
    ACCEPTED,
    DECIDING,
    EDITS,
    REJECTED,
    SectionState,
    focus_edit,
)
from fociquant.settings import ReviewSettings

NOBODY, BEGUN, SIGNED, OUTDATED = "", "begun", "signed off", "outdated"
"""How far the review of a section is. Outdated: it was signed off, and something that is not
a decision (another segmentation, another gate) has changed what counts since."""


@dataclass(frozen=True, slots=True)
class AddedCell:
    """A cell that a reviewer added.

    Parameters
    ----------
    ref : CellRef
        Place and outline.
    measured : mapping of str to (float or bool)
        Columns that were measured when it was added.
    """

    ref: CellRef
    measured: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """What one reviewer's log says about a section.

    Parameters
    ----------
    reviewer, station : str
    status : str
        ``begun``, ``signed off`` or ``outdated``.
    verdict : numpy.ndarray of bool, shape (candidates,)
        Which candidates count by this reviewer alone (undecided ones as the gate has them).
    cells : int
        Counted by this reviewer alone, added ones included.
    """

    reviewer: str
    station: str
    status: str
    verdict: np.ndarray
    cells: int


@dataclass(frozen=True, slots=True)
class SectionReview:
    """A section after review. Rows: the candidates, then ``added``.

    Parameters
    ----------
    status : str
        ``""``, ``begun``, ``signed off`` or ``outdated``; the furthest of all reviewers.
    positive : numpy.ndarray of bool, shape (rows,)
    decision : numpy.ndarray of str, shape (rows,)
        ``""``, ``accepted``, ``rejected``, ``added``, ``excluded``.
    added : list of AddedCell
    edits : list of FocusEdit
        In numbers of cells; added ones have the numbers after the largest candidate's.
    region : shapely geometry
        All that is excluded, x before y, µm; may be empty.
    readers : list of Reader
    second_looks : list of Reader
        Of reviewers who were shown the section again; they count nothing.
    decisions : list of dict
        One per entry, for ``review/decisions.csv``.
    conflicts : list of dict
        Cells about which reviewers differ, for ``review/conflicts.csv``.
    problems : list of str
    """

    status: str
    positive: np.ndarray
    decision: np.ndarray
    added: list[AddedCell] = field(default_factory=list)
    edits: list[FocusEdit] = field(default_factory=list)
    region: shapely.Geometry = field(default_factory=shapely.GeometryCollection)
    readers: list[Reader] = field(default_factory=list)
    second_looks: list[Reader] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SectionObjects:
    """The candidates that decisions are applied to.

    Parameters
    ----------
    cell : numpy.ndarray of int64, shape (n,)
    y_um, x_um : numpy.ndarray of float64, shape (n,)
    automatic : numpy.ndarray of bool, shape (n,)
        Which count without review.
    outlines : sequence of numpy.ndarray
        Flat ``y0, x0, …``, µm.
    results : str
        Fingerprint, as from :func:`fociquant.review.results_key`.
    """

    cell: np.ndarray
    y_um: np.ndarray
    x_um: np.ndarray
    automatic: np.ndarray
    outlines: Sequence[np.ndarray | None]
    results: str


class _Book:
    """Rows of one replay: the candidates, then what was added."""

    def __init__(self, objects: SectionObjects) -> None:
        self.state = SectionState(objects.y_um, objects.x_um, objects.automatic)
        self.outlines: list[np.ndarray | None] = list(objects.outlines)
        self.refs: dict[int, CellRef] = {}

    def added_row(self, ref: CellRef) -> int:
        row = self.state.add_row(ref.y_um, ref.x_um)
        self.outlines.append(np.asarray(ref.outline, np.float64))
        self.refs[row] = ref
        return row

    def added_outline(self, row: int) -> np.ndarray | None:
        return self.outlines[row]


@dataclass(frozen=True, slots=True)
class _Person:
    """One reviewer's entries on a section, and what they make of it."""

    entries: tuple[Entry, ...]
    located: Mapping[str, Located]
    reader: Reader

    @property
    def key(self) -> tuple[str, str]:
        return self.reader.reviewer, self.reader.station

    @property
    def signed(self) -> bool:
        return self.reader.status == SIGNED


def replay_section(
    objects: SectionObjects, logs: Sequence[Log], *, settings: ReviewSettings
) -> SectionReview:
    """Apply all decisions about one section.

    Each reviewer's log is replayed alone first (their sign-off stands for what they saw),
    then all are combined object by object, see :func:`fociquant.review.combine.combine`.
    Regions that any reviewer excluded are excluded; edits of foci are applied in the order
    of time; where some have signed the section off, only theirs. Logs of a second look
    (``repeat``) count nothing.

    Parameters
    ----------
    objects : SectionObjects
    logs : sequence of Log
        Of this section.
    settings : ReviewSettings

    Returns
    -------
    SectionReview
        Without any log: the automatic result.
    """
    candidates = Candidates(
        objects.cell, objects.y_um, objects.x_um, objects.outlines,
        results=objects.results, settings=settings,
    )  # fmt: skip
    people = [_person(objects, candidates, own) for own in _by_person(logs, repeat=False)]
    review = _combined(_Together(objects, candidates, people), settings)
    again = _by_person(logs, repeat=True)
    review.second_looks.extend(_person(objects, candidates, own).reader for own in again)
    review.problems.extend(text for log in logs for text in log.problems)
    review.decisions.extend(row for log in logs for row in list_untrusted(log))
    return review


def _by_person(logs: Sequence[Log], *, repeat: bool) -> list[list[Log]]:
    """Files of each reviewer, broken ones before those that go on from them."""
    people: dict[tuple[str, str], list[Log]] = {}
    for log in logs:
        if log.repeat == repeat:
            people.setdefault((log.reviewer, log.station), []).append(log)
    return [
        sorted(people[key], key=lambda log: (log.entries[0].time if log.entries else "", log.path))
        for key in sorted(people)
    ]


def _person(objects: SectionObjects, candidates: Candidates, logs: list[Log]) -> _Person:
    entries = tuple(e for log in logs for e in log.entries if e.action is not Action.OPEN)
    book = _Book(objects)
    located: dict[str, Located] = {}
    for one in locate_rows(entries, book.state, candidates, book):
        located[one.entry.hash] = one
        book.state.apply(one.entry, one.rows)
    name, station = logs[0].reviewer, logs[0].station
    counted = book.state.positive[: len(objects.cell)].copy()
    reader = Reader(name, station, _status(book.state), counted, book.state.reviewed)
    return _Person(entries, located, reader)


def _status(state: SectionState) -> str:
    """How far one reviewer is: a sign-off holds as long as the section is what was signed."""
    active = state.active()
    signed = last_signature(state)
    if signed is None:
        return BEGUN if any(map(_shapes, active)) else NOBODY
    if signed.content.get("state") == signature(state):
        return SIGNED
    later = active[active.index(signed) + 1 :]
    return BEGUN if any(map(_shapes, later)) else OUTDATED


def _shapes(entry: Entry) -> bool:
    """Whether an entry changes what counts, foci or area."""
    deciding = entry.action in DECIDING or entry.action in EDITS or entry.action is Action.EXCLUDE
    return deciding and not entry.is_repeat


class _Together:
    """All reviewers' entries that hold, on the same rows."""

    def __init__(
        self, objects: SectionObjects, candidates: Candidates, people: Sequence[_Person]
    ) -> None:
        self.objects, self.people, self.book = objects, people, _Book(objects)
        self.votes: dict[int, list[Vote]] = {}
        self.measured: dict[int, Mapping[str, Any]] = {}
        self.rows: dict[str, np.ndarray] = {}
        order = _in_time(people)
        entries = [entry for _, _, entry in order]
        # A section that was signed off is as the signers saw it: others wait for their own.
        # One person on two computers signs for both.
        self._signers = {person.reader.reviewer.casefold() for person in people if person.signed}
        self.counting = {
            person.key for person in people if not self._signers or self._has_signed(person)
        }
        self.entries = [entry for _, person, entry in order if person.key in self.counting]
        located = locate_rows(entries, self.book.state, candidates, self.book)
        for (time, person, entry), one in zip(order, located, strict=True):
            self.rows[entry.hash] = one.rows
            if entry.action in DECIDING:
                self._vote(time, person, entry, one.rows)

    def _has_signed(self, person: _Person) -> bool:
        return person.reader.reviewer.casefold() in self._signers

    def _vote(self, time: str, person: _Person, entry: Entry, rows: np.ndarray) -> None:
        for row in rows[rows >= 0].tolist():
            vote = Vote(person.key, time, DECIDING[entry.action], self._has_signed(person))
            self.votes.setdefault(row, []).append(vote)
            if entry.action is Action.ADD and row in self.book.refs:
                self.measured.setdefault(row, dict(entry.content.get("measured", {})))

    def region(self) -> shapely.Geometry:
        """Everything that anybody whose word counts excluded."""
        excluding = [entry for entry in self.entries if entry.action is Action.EXCLUDE]
        return to_geometry([ring for entry in excluding for ring in entry.polygons])

    def added_order(self) -> np.ndarray:
        """Added rows from the top, then from the left: their order in tables."""
        rows = np.array(sorted(self.book.refs), np.int64)
        refs = [self.book.refs[int(row)] for row in rows]
        key = [(ref.y_um, ref.x_um, ref.outline) for ref in refs]
        return rows[sorted(range(len(rows)), key=key.__getitem__)]


def _combined(together: _Together, settings: ReviewSettings) -> SectionReview:
    objects, state = together.objects, together.book.state
    n, added = len(objects.cell), together.added_order()
    readers = [person.reader for person in together.people]
    verdict, conflicts = combine(together.votes, state.automatic, readers, settings.combine_rule)
    region = together.region()
    excluded = np.zeros(len(verdict), bool)
    excluded[inside(region, state.y_um, state.x_um)] = True
    positive, decision = counted(verdict, state.automatic, excluded, state.added)
    order = np.concatenate([np.arange(n), added])
    numbers = np.zeros(len(verdict), np.int64)
    numbers[:n] = objects.cell
    numbers[added] = objects.cell.max(initial=0) + 1 + np.arange(len(added))
    refs = together.book.refs
    return SectionReview(
        status=_furthest(readers),
        positive=positive[order],
        decision=decision[order],
        added=[AddedCell(refs[int(row)], together.measured.get(int(row), {})) for row in added],
        edits=_edits(together, numbers),
        region=region,
        readers=readers,
        decisions=list_decisions(
            together.people, together.rows, verdict, numbers, counting=together.counting
        ),
        conflicts=[
            {"cell": int(numbers[row]), "y_um": state.y_um[row], "x_um": state.x_um[row],
             "verdicts": conflicts[row], "result": _said(verdict[row], state.automatic[row])}
            for row in order.tolist() if row in conflicts
        ],
        problems=_waiting(together),
    )  # fmt: skip


def _said(verdict: int, automatic: bool) -> str:
    """The verdict in words; where nobody whose word counts decided, what the program says."""
    return NAMES[int(verdict) or (ACCEPTED if automatic else REJECTED)]


def _waiting(together: _Together) -> list[str]:
    """Whose decisions do not count yet, because others have signed the section off."""
    waiting = [
        person.reader.reviewer for person in together.people
        if person.key not in together.counting and any(map(_shapes, active_entries(person.entries)))
    ]  # fmt: skip
    if not waiting:
        return []
    signers = sorted({person.reader.reviewer for person in together.people if person.signed})
    return [
        f"decisions of {', '.join(sorted(waiting))} do not count before the section is signed off "
        f"by them too, as it is by {', '.join(signers)}"
    ]


def _edits(together: _Together, numbers: np.ndarray) -> list[FocusEdit]:
    found = [
        focus_edit(entry, together.rows[entry.hash], numbers)
        for entry in together.entries
        if entry.action in EDITS
    ]
    return [edit for edit in found if edit is not None]


def _furthest(readers: Sequence[Reader]) -> str:
    said = {reader.status for reader in readers}
    return next((one for one in (SIGNED, OUTDATED, BEGUN) if one in said), NOBODY)


def _in_time(people: Sequence[_Person]) -> list[tuple[str, _Person, Entry]]:
    """Entries that hold, of all reviewers, by time; each reviewer's own order is kept."""
    rows = []
    for person in people:
        latest = ""
        for number, entry in enumerate(active_entries(person.entries)):
            latest = max(latest, entry.time)  # a clock may have been set back
            if not entry.is_repeat:
                rows.append(((latest, person.key, number), person, entry))
    return [(key[0], person, entry) for key, person, entry in sorted(rows, key=lambda r: r[0])]
