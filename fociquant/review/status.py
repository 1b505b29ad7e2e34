"""Who has looked at what: for a list of sections with marks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fociquant.errors import ResultsError
from fociquant.review.decisions import Action, active_entries
from fociquant.review.queue import deciding
from fociquant.review.read_log import Log, read_log
from fociquant.review.reviewers import AUDIT, STUDY, ReviewFolder


@dataclass(frozen=True, slots=True)
class ReviewMark:
    """What one reviewer has done on one section.

    Parameters
    ----------
    section : str
    reviewer, station : str
    decisions : int
        That hold.
    last : str
        Time of the last entry, UTC.
    signed_off : bool
        The last decision is a sign-off. Whether it still stands for the section as it is
        counted now, ``recount`` finds out.
    problems : tuple of str
        What is wrong with the log.
    repeat : bool
        A second look, to measure the reviewer.
    """

    section: str
    reviewer: str
    station: str
    decisions: int
    last: str
    signed_off: bool
    problems: tuple[str, ...]
    repeat: bool


def read_logs(results: Path) -> tuple[list[Log], list[str]]:
    """Every log of a results folder that can be read, and what is said about the others.

    Parameters
    ----------
    results : pathlib.Path

    Returns
    -------
    logs : list of Log
        Sorted by file name.
    problems : list of str
    """
    logs, problems = [], []
    for path in ReviewFolder(results).all_logs():
        try:
            log = read_log(path)
        except ResultsError as error:
            problems.append(str(error))
            continue
        problems += log.problems
        if log.section:
            logs.append(log)
    return logs, problems


def stations_of(results: Path, name: str) -> set[str]:
    """Computers and accounts on which decisions were made under a name.

    More than one may be one person at two computers, or two people of one name; their
    decisions are kept apart either way.

    Parameters
    ----------
    results : pathlib.Path
    name : str
        Of a reviewer; capitals make no difference.
    """
    logs, _ = read_logs(results)
    return {log.station for log in logs if log.reviewer.casefold() == name.casefold()}


def review_marks(results: Path) -> list[ReviewMark]:
    """What each reviewer has done on each section, by section, reviewer and station.

    Parameters
    ----------
    results : pathlib.Path

    Returns
    -------
    list of ReviewMark
        Empty where nobody has reviewed.
    """
    logs, _ = read_logs(results)
    groups: dict[tuple[str, str, str, bool], list[Log]] = {}
    for log in logs:
        if log.section not in (STUDY, AUDIT):
            key = (log.section, log.reviewer, log.station, log.repeat)
            groups.setdefault(key, []).append(log)
    return [_mark(key, groups[key]) for key in sorted(groups)]


def _mark(key: tuple[str, str, str, bool], logs: list[Log]) -> ReviewMark:
    entries = [entry for log in logs for entry in log.entries]
    shaping = [
        entry for entry in active_entries(entries)
        if entry.action not in (Action.COMMENT, Action.AUDIT, Action.OPEN)
    ]  # fmt: skip
    section, reviewer, station, repeat = key
    return ReviewMark(
        section, reviewer, station, deciding(entries), entries[-1].time if entries else "",
        bool(shaping) and shaping[-1].action is Action.SIGN_OFF,
        tuple(text for log in logs for text in log.problems), repeat,
    )  # fmt: skip
