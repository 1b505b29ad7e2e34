"""One reviewer at the sample of an audit: every verdict is on the disk before it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fociquant.errors import InputError
from fociquant.review.audit_design import AuditDesign, AuditItem, read_design
from fociquant.review.audit_verdicts import check_verdict, verdicts_of
from fociquant.review.closing import Closed
from fociquant.review.decisions import Action, Draft, Entry, active_entries, rounded
from fociquant.review.results import read_run
from fociquant.review.reviewers import AUDIT, Reviewer, ReviewFolder
from fociquant.review.write_log import LogWriter, utc_now


class AuditSession(Closed):
    """The verdicts of one reviewer on the sample, live.

    Use :meth:`open`. The log is a file of its own beside those of the sections, made and kept in
    the same way: append-only, chained, one per reviewer and computer.

    Attributes
    ----------
    design : AuditDesign
    reviewer : Reviewer
    verdicts : mapping of str to (int or None)
        Item to this reviewer's verdict; None: cannot be said. Items that wait are not in it.
    notices : list of str
        What the reviewer must be told, in plain words, oldest first. Grows.
    """

    def __init__(self, design: AuditDesign, writer: LogWriter, reviewer: Reviewer) -> None:
        self.design, self.reviewer, self._writer = design, reviewer, writer
        self._items = {item.id: item for item in design.items}
        self.notices: list[str] = list(writer.problems)
        self.verdicts: Mapping[str, int | None] = verdicts_of(design, writer.entries)

    @classmethod
    def open(
        cls, results: Path, reviewer: Reviewer | str, *, clock: Callable[[], str] = utc_now
    ) -> AuditSession:
        """Open the sample for judging; earlier verdicts of this reviewer on it are there again.

        Parameters
        ----------
        results : pathlib.Path
        reviewer : Reviewer or str
            A name is completed with this computer's station.
        clock : callable
            Gives the time; for tests.

        Returns
        -------
        AuditSession
            Close it, or use it in a ``with`` block.

        Raises
        ------
        InputError
            No sample was drawn, or the reviewer's name cannot be used.
        ResultsError
            No results, a damaged design, or a log that cannot be used.
        DiskError
            The log cannot be written.
        """
        who = Reviewer(reviewer) if isinstance(reviewer, str) else reviewer
        design = require_design(results)
        writer = LogWriter(ReviewFolder(results), AUDIT, who, clock=clock)
        return cls(design, writer, who)

    @property
    def waiting(self) -> list[AuditItem]:
        """Items without a verdict, in the order in which they are to be shown."""
        return [item for item in self.design.items if item.id not in self.verdicts]

    @property
    def finished(self) -> bool:
        """Whether every item has a verdict (or cannot be told)."""
        return not self.waiting

    @property
    def unsure(self) -> int:
        """Items of which this reviewer cannot say."""
        return sum(value is None for value in self.verdicts.values())

    def judge(self, item: str, value: int | None, *, reason: str = "") -> Entry:
        """Write down the verdict on one item; it replaces an earlier one.

        Parameters
        ----------
        item : str
            Its id in the design.
        value : int or None
            Of an object: 1 a cancer cell, 0 none. Of a field: number of cells that were missed.
            None: it cannot be said.
        reason : str

        Returns
        -------
        Entry

        Raises
        ------
        InputError
            No such item, or a number that cannot be; nothing was written.
        DiskError, ResultsError
            It could not be written; nothing has changed.
        """
        return self.judge_all({item: value}, reason=reason)[0]

    def judge_all(self, verdicts: Mapping[str, int | None], *, reason: str = "") -> list[Entry]:
        """Write down several verdicts at once; see :meth:`judge`."""
        return self._commit([self._draft(item, verdicts[item], reason) for item in verdicts])

    def undo(self) -> str:
        """Take back the last verdict that holds; can be repeated to the first.

        Returns
        -------
        str
            Id of its item; ``""`` if there is nothing to take back.
        """
        held = [
            entry for entry in active_entries(self._writer.entries)
            if entry.action is Action.AUDIT and entry.content.get("draw") == self.design.draw
        ]  # fmt: skip
        if not held:
            return ""
        self._commit([Draft(Action.UNDO, {"target": held[-1].hash})])
        return str(held[-1].content["item"])

    def close(self) -> None:
        """Close the log; every verdict is on the disk already."""
        self._writer.close()

    def _draft(self, name: str, value: int | None, reason: str) -> Draft:
        item = self._items.get(name)
        if item is None:
            raise InputError(f"There is no item {name!r} in this audit.")
        content: dict[str, Any] = {
            "item": name, "draw": self.design.draw, "section": item.section,
            "value": check_verdict(item, value),
        }  # fmt: skip
        # The place too: the line says what it is about even where the design was lost.
        if item.ref is not None:
            content["object"] = item.ref.to_json()
        if item.box is not None:
            y0, x0, y1, x1 = (rounded(number) for number in item.box)
            content["polygons"] = [[[y0, x0], [y0, x1], [y1, x1], [y1, x0]]]
        return Draft(Action.AUDIT, content, reason)

    def _commit(self, drafts: list[Draft]) -> list[Entry]:
        entries = self._writer.append(drafts)
        if self._writer.overtaken:
            self.notices.append(
                f"{self._writer.overtaken} verdicts of {self.reviewer.name!r} came from another "
                "window on this computer; they hold too."
            )
        self.verdicts = verdicts_of(self.design, self._writer.entries)
        return entries


def require_design(results: Path) -> AuditDesign:
    """The sample that was drawn from a results folder.

    Raises
    ------
    InputError
        None was drawn.
    ResultsError
        No results, or a damaged design.
    """
    read_run(results)
    design = read_design(results)
    if design is None:
        raise InputError(
            f"no audit was drawn from {results}. Draw one: fociquant audit {results} --draw"
        )
    return design
