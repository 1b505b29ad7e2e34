"""One reviewer at work on one section: every decision is on the disk before it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from fociquant.errors import InputError, ResultsError
from fociquant.review.closing import Closed
from fociquant.review.decisions import Action, CellRef, Draft, Entry
from fociquant.review.locate import locate_rows
from fociquant.review.regions import Region, check_region
from fociquant.review.results import SectionCells, read_cells, results_key
from fociquant.review.reviewers import Reviewer, ReviewFolder
from fociquant.review.shown import LONG_LIST, ShownSection
from fociquant.review.signing import signature
from fociquant.review.together import KEY, made_together, same_act
from fociquant.review.write_log import LogWriter, utc_now
from fociquant.settings import ReviewSettings

COMMENT_LENGTH = 4000
"""Characters of a comment: a page."""


class ReviewSession(ShownSection, Closed):
    """The decisions of one reviewer on one section, live.

    Shows the automatic result and this reviewer's own decisions, never those of others:
    reviewers stay independent until ``recount`` combines them.

    Use :meth:`open`. Rows of all arrays are the candidates of ``cells.parquet`` in their
    order, then added cells; a row never disappears (see :attr:`exists`).

    Attributes
    ----------
    section : str
    reviewer : Reviewer
    results_key : str
        Fingerprint of the objects shown.
    notices : list of str
        What the reviewer must be told, in plain words, oldest first: a torn or edited log,
        decisions whose object is gone, a run that changed the section meanwhile. Grows.
    unmatched : list of Entry
        Earlier decisions whose object is no longer there; kept, not applied.
    """

    def __init__(
        self, cells: SectionCells, writer: LogWriter, *, results: Path, reviewer: Reviewer,
        settings: ReviewSettings,
    ) -> None:  # fmt: skip
        super().__init__(cells, settings)
        self.reviewer = reviewer
        self._results, self._writer = results, writer
        self.notices: list[str] = list(writer.problems)
        self.unmatched: list[Entry] = []
        self._seen = self._signature()
        self._take_in(writer.entries)
        if self.unmatched:
            self._notify(
                "Earlier decisions about objects that are no longer there: "
                f"{len(self.unmatched)}. They are kept and not applied."
            )

    @classmethod
    def open(
        cls,
        results: Path,
        section: str,
        reviewer: Reviewer | str,
        *,
        repeat: bool = False,
        settings: ReviewSettings | None = None,
        clock: Callable[[], str] = utc_now,
    ) -> ReviewSession:
        """Open a section for review; earlier decisions of this reviewer are there again.

        Parameters
        ----------
        results : pathlib.Path
            Results folder.
        section : str
            Name of the section (not its code).
        reviewer : Reviewer or str
            A name is completed with this computer's station.
        repeat : bool
            The section is shown a second time to measure the reviewer: decisions go to a file
            of their own and change no count.
        settings : ReviewSettings, optional
        clock : callable
            Gives the time; for tests.

        Returns
        -------
        ReviewSession
            Close it, or use it in a ``with`` block.

        Raises
        ------
        ResultsError
            The section was not counted, the results are of an older version, or the log
            cannot be used; the message says what to do.
        DiskError
            The log cannot be written.
        InputError
            The reviewer's name cannot be used.
        """
        who = Reviewer(reviewer) if isinstance(reviewer, str) else reviewer
        cells = read_cells(results, section)
        writer = LogWriter(
            ReviewFolder(results), section, who, repeat=repeat, image=cells.image, clock=clock
        )
        return cls(
            cells, writer, results=results, reviewer=who, settings=settings or ReviewSettings()
        )

    # What can be decided

    def accept(
        self,
        cells: int | Sequence[int],
        *,
        reason: str = "",
        repeat: bool | Sequence[bool] = False,
    ) -> list[Entry]:
        """These are cancer cells: one entry each, written together.

        Parameters
        ----------
        cells : int or sequence of int
            Numbers of candidates or added cells.
        reason : str
        repeat : bool or sequence of bool
            A hidden repeat: recorded to measure the reviewer, changes no count. One for all
            cells, or one for each.

        Returns
        -------
        list of Entry

        Raises
        ------
        InputError
            No such cell; nothing was written.
        DiskError, ResultsError
            It could not be written; nothing has changed.
        """
        return self._decide(Action.ACCEPT, cells, reason, repeat=repeat)

    def reject(
        self,
        cells: int | Sequence[int],
        *,
        reason: str = "",
        repeat: bool | Sequence[bool] = False,
    ) -> list[Entry]:
        """These are not cancer cells; see :meth:`accept`."""
        return self._decide(Action.REJECT, cells, reason, repeat=repeat)

    def add(
        self,
        outline: np.ndarray,
        *,
        reason: str = "",
        measured: Mapping[str, float | bool] = MappingProxyType({}),
    ) -> int:
        """Add a cell that was missed.

        Where its outline is that of a candidate, that candidate is accepted instead, so
        that no cell counts twice; a notice says so.

        Parameters
        ----------
        outline : array_like, shape (n, 2)
            (y, x), µm.
        reason : str
        measured : mapping of str to float or bool
            Columns of ``cells.parquet`` for its row, where known: ``HER2_mean``,
            ``Ki67_positive``.

        Returns
        -------
        int
            Number of the cell.

        Raises
        ------
        InputError
            The outline crosses itself, has no area, or fewer than three points.
        DiskError, ResultsError
            As for :meth:`accept`.
        """
        region = check_region(outline)
        centre = region.geometry.centroid
        flat = tuple(region.rings[0].ravel().tolist())
        ref = CellRef(float(centre.y), float(centre.x), flat, results=self.results_key)
        content: dict[str, Any] = {"object": ref.to_json()}
        if measured:
            content["measured"] = {
                str(name): bool(value) if isinstance(value, bool | np.bool_) else float(value)
                for name, value in measured.items()
            }
        entry = self._commit([Draft(Action.ADD, content, reason)])[0]
        row = int(self._state.rows_of(entry.hash)[0])
        if not self.added[row]:
            self._notify(
                f"There is already a candidate (cell {self._numbers[row]}) in that place; it was "
                "accepted instead of adding another."
            )
        return int(self._numbers[row])

    def merge(self, cells: Sequence[int], *, reason: str = "") -> Entry:
        """The foci of these cells are one focus; name at least one cell of each.

        Raises
        ------
        InputError
            Fewer than two cells, or no such cell.
        """
        if len(set(cells)) < 2:
            raise InputError("A merge needs cells of at least two foci. Select them first.")
        return self._commit([Draft(Action.MERGE, {"objects": self._refs(cells)}, reason)])[0]

    def split(self, parts: Sequence[Sequence[int]], *, reason: str = "") -> Entry:
        """The focus of these cells is several.

        Parameters
        ----------
        parts : sequence of sequence of int
            At least two parts with at least one cell each; cells of the focus that are not
            named go to the nearest named one's part.
        reason : str

        Raises
        ------
        InputError
            Fewer than two parts, an empty one, or a cell in two of them.
        """
        flat = [cell for part in parts for cell in part]
        if len(parts) < 2 or not all(len(part) for part in parts) or len(set(flat)) != len(flat):
            raise InputError("A split needs at least two parts, each with cells of its own.")
        few = len(flat) <= LONG_LIST
        content = {"parts": [self._refs(part, outlines=few) for part in parts]}
        return self._commit([Draft(Action.SPLIT, content, reason)])[0]

    def set_class(self, cells: Sequence[int], name: str, *, reason: str = "") -> Entry:
        """The focus that holds most of these cells is of class `name` of the profile.

        Raises
        ------
        InputError
            No cell, or no name.
        """
        return self.set_classes([cells], name, reason=reason)[0]

    def set_classes(
        self, foci: Sequence[Sequence[int]], name: str, *, reason: str = ""
    ) -> list[Entry]:
        """Several foci are of one class: one entry each, written and taken back together.

        Parameters
        ----------
        foci : sequence of sequences of int
            Cells of each focus; see :meth:`set_class`.
        name : str
        reason : str

        Raises
        ------
        InputError
            No focus, one without a cell, or no name.
        """
        if not len(foci) or not all(len(cells) for cells in foci) or not name:
            raise InputError("A class needs a focus and the name of a class. Select a focus first.")
        contents = [{"objects": self._refs(cells), "value": str(name)} for cells in foci]
        return self._commit(
            made_together([Draft(Action.CLASS, content, reason) for content in contents])
        )

    def exclude(self, polygon: np.ndarray, *, reason: str, repair: bool = False) -> Entry:
        """Leave a region out: its cells do not count, its area leaves the denominator.

        Parameters
        ----------
        polygon : array_like, shape (n, 2)
            (y, x), µm.
        reason : str
            Required: an exclusion without a reason cannot be reported.
        repair : bool
            Take everything inside a line that crosses itself; a notice says so.

        Raises
        ------
        InputError
            No reason, or a polygon that cannot be used; see :func:`check_region`.
        """
        if not reason.strip():
            raise InputError("An excluded region needs a reason, for example 'fold' or 'airway'.")
        region: Region = check_region(polygon, repair=repair)
        rings = [np.round(ring, 2).tolist() for ring in region.rings]
        if region.note:
            self._notify(region.note)
        return self._commit([Draft(Action.EXCLUDE, {"polygons": rings}, reason)])[0]

    def comment(self, text: str, *, cells: int | Sequence[int] = ()) -> Entry:
        """Words, about the section or some of its cells; they change no count.

        Parameters
        ----------
        text : str
            At most 4000 characters.
        cells : int or sequence of int
            None: the section.

        Raises
        ------
        InputError
            No words or too many, or no such cell.
        """
        words = text.strip()
        if not words or len(words) > COMMENT_LENGTH:
            raise InputError(f"A comment needs words, at most {COMMENT_LENGTH} characters.")
        refs = self._refs(_numbers(cells))
        content = {"object": refs[0]} if len(refs) == 1 else {"objects": refs} if refs else {}
        return self._commit([Draft(Action.COMMENT, content, words)])[0]

    def undo(self, entry: Entry | str | None = None) -> Entry | None:
        """Take back an entry; without one, the last act. Can be repeated to the first.

        The last act is the last entry that holds, with all that were written by the same call:
        a focus that was rejected comes back whole. An undo is itself an entry: undoing it
        (:meth:`redo`) brings the decision back.

        Parameters
        ----------
        entry : Entry or str, optional
            An entry or its hash.

        Returns
        -------
        Entry or None
            The undo, of several the last; None if there is nothing to take back.

        Raises
        ------
        InputError
            The entry is not of this session's log.
        """
        if entry is None:
            held = [one for one in self._state.active()
                    if one.action not in (Action.UNBLIND, Action.AUDIT)]  # fmt: skip
            return self._take_back(held[-1]) if held else None
        digest = entry if isinstance(entry, str) else entry.hash
        if all(one.hash != digest for one in reversed(self._history)):
            raise InputError("That decision is not in this reviewer's log of this section.")
        return self._commit([Draft(Action.UNDO, {"target": digest})])[0]

    def redo(self) -> Entry | None:
        """Bring back what the last undo took; None if something was decided since."""
        for one in reversed(self._history):
            if one.action is not Action.UNDO:
                return None
            if not self._state.is_active(one.hash):
                continue
            target = self._state.entry(one.target)
            if target is None or target.action is Action.UNDO:
                continue  # this one was a redo itself
            return self._take_back(one)
        return None

    def _take_back(self, entry: Entry) -> Entry:
        """Undo an entry, and what was made with it and still holds."""
        act = same_act(self._history, entry)
        targets = [one.hash for one in act if self._state.is_active(one.hash)]
        drafts = [Draft(Action.UNDO, {"target": target}) for target in targets]
        return self._commit(made_together(drafts))[-1]

    def sign_off(self) -> Entry:
        """The section is finished as it stands; any later decision opens it again."""
        content = {"cells": self.reviewed_cells, "state": signature(self._state)}
        return self._commit([Draft(Action.SIGN_OFF, content | {"results": self.results_key})])[0]

    @property
    def adoptable(self) -> list[Entry]:
        """Decisions that are not trusted and were not adopted yet; see `adopt_untrusted`."""
        untrusted = [one for log in self._writer.logs for one in log.untrusted]
        settled = {one.content.get("adopted") for one in self._history}
        settled |= {one.target for one in untrusted if one.action is Action.UNDO}
        return [
            one for one in untrusted
            if one.action not in (Action.OPEN, Action.UNDO, Action.SIGN_OFF, Action.UNBLIND)
            and one.hash not in settled
        ]  # fmt: skip

    def adopt_untrusted(self) -> list[Entry]:
        """Decide again what stands behind a break of the log, after the reviewer has looked."""
        return self._commit([
            Draft(one.action, _alone(one.content) | {"adopted": one.hash}, one.reason)
            for one in self.adoptable
        ])  # fmt: skip

    def close(self) -> None:
        """Close the log; every decision is on the disk already."""
        self._writer.close()

    # How it is kept

    def _decide(
        self,
        action: Action,
        cells: int | Sequence[int],
        reason: str,
        *,
        repeat: bool | Sequence[bool],
    ) -> list[Entry]:
        refs = self._refs(_numbers(cells), outlines=True)
        repeats = [repeat] * len(refs) if isinstance(repeat, bool) else repeat
        drafts = [
            Draft(action, {"object": ref} | ({"repeat": True} if again else {}), reason)
            for ref, again in zip(refs, repeats, strict=True)
        ]
        return self._commit(made_together(drafts))

    def _commit(self, drafts: Sequence[Draft]) -> list[Entry]:
        """Write, then show; what another process of this reviewer wrote comes first."""
        self._watch()
        known = len(self._history)
        entries = self._writer.append(drafts)
        if self._writer.overtaken:
            self._notify(
                f"Decisions of {self.reviewer.name!r} came from another window on this computer "
                f"({self._writer.overtaken}); they are shown now."
            )
            self._take_in(self._writer.entries[known:])
        else:
            self._take_in(entries)
        return entries

    def _take_in(self, entries: Sequence[Entry]) -> None:
        for one in locate_rows(entries, self._state, self._candidates, self):
            self._history.append(one.entry)
            self._state.apply(one.entry, one.rows)
            if not one.complete:
                self.unmatched.append(one.entry)

    def _signature(self) -> tuple[int, ...]:
        paths = (self._results / "sections" / self.section / "section.json",
                 self._results / "cells.parquet")  # fmt: skip
        signature = []
        for path in paths:
            try:
                stat = path.stat()
            except OSError:
                signature += [0, 0]
            else:
                signature += [stat.st_mtime_ns, stat.st_size]
        return tuple(signature)

    def _watch(self) -> None:
        """Say once if the section was counted again while it is open."""
        seen = self._signature()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            key = results_key(self._results, self.section)
        except ResultsError:
            key = ""
        if key != self.results_key:
            self._notify(
                "This section was counted again (or its results were removed) while it is open. "
                "Decisions are kept with the outlines shown here; open the section again to see "
                "them on the new result."
            )

    def _notify(self, text: str) -> None:
        self.notices.append(text)


def _alone(content: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry says, without what it was once written with."""
    return {name: value for name, value in content.items() if name != KEY}


def _numbers(cells: int | Sequence[int]) -> list[int]:
    return [int(cells)] if isinstance(cells, int | np.integer) else [int(c) for c in cells]
