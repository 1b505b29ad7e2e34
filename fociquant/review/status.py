"""Who has looked at what: for a list of sections with marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from fociquant.errors import ResultsError, UnreadableError, path_as
from fociquant.review.decisions import Action, active_entries
from fociquant.review.queue import deciding
from fociquant.review.read_log import Log, read_log
from fociquant.review.reviewers import AUDIT, STUDY, ReviewFolder

KEPT = 10_000
"""Logs of which a process remembers what they say."""


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


def read_logs(results: Path) -> tuple[list[Log], dict[Path, tuple[str, ...]]]:
    """Every log of a results folder that can be used, and what is said about the others.

    Parameters
    ----------
    results : pathlib.Path

    Returns
    -------
    logs : list of Log
        Sorted by file name. What several files hold, such as ``… - Copy.jsonl`` or what a
        program that synchronises folders has put beside a log, is there once.
    problems : dict of pathlib.Path to tuple of str
        Logs of a newer version, too large ones, and those of which it cannot be known whose
        they are: nothing in them is applied.

    Raises
    ------
    UnreadableError
        If the drive does not let one be read: nobody's decisions go missing for that.
    """
    logs: list[Log] = []
    known: set[str] = set()
    problems: dict[Path, tuple[str, ...]] = {}
    for path in ReviewFolder(results).all_logs():
        try:
            log = read_log(path)
        except UnreadableError:
            raise
        except ResultsError as error:
            # Tables say it, which do not depend on where the results lie.
            inside = path.relative_to(results).as_posix()
            problems[path] = (path_as(str(error), path, inside),)
            continue
        if log.section:
            logs += _news(log, known)
        elif log.problems:
            problems[path] = log.problems
    return logs, problems


def _news(log: Log, known: set[str]) -> list[Log]:
    """A log with those entries that no other file held; none if it is nothing but a copy."""
    fresh = tuple(entry for entry in log.entries if entry.hash not in known)
    if log.entries and not fresh and not log.problems:
        return []
    known.update(entry.hash for entry in fresh)
    return [log if len(fresh) == len(log.entries) else replace(log, entries=fresh)]


def namesakes(results: Path, name: str) -> set[tuple[str, str]]:
    """Names and stations of those who decided under a name.

    Several stations may be one person at two computers, or two people of one name; their
    decisions are kept apart either way, and so are those under other capitals.

    Parameters
    ----------
    results : pathlib.Path
    name : str
        Of a reviewer; capitals make no difference.
    """
    found = ((mark.reviewer, mark.station) for _, mark in _known(results))
    return {one for one in found if one[0].casefold() == name.casefold()}


def review_marks(results: Path) -> list[ReviewMark]:
    """What each reviewer has done on each section, by section, reviewer and station.

    A log is read again only if it has changed since this process read it last.

    Parameters
    ----------
    results : pathlib.Path

    Returns
    -------
    list of ReviewMark
        Empty where nobody has reviewed.
    """
    groups: dict[tuple[str, str, str, bool], list[tuple[Path, ReviewMark]]] = {}
    for path, mark in _known(results):
        if mark.section not in (STUDY, AUDIT):
            key = (mark.section, mark.reviewer, mark.station, mark.repeat)
            groups.setdefault(key, []).append((path, mark))
    return [
        own[0][1] if len(own) == 1 else _mark([read_log(path) for path, _ in own])
        for _, own in sorted(groups.items())
    ]


def _known(results: Path) -> Iterator[tuple[Path, ReviewMark]]:
    """Each log that can be read, with what it alone says."""
    for path in ReviewFolder(results).all_logs():
        with suppress(ResultsError, OSError):
            state = path.stat()
            mark = _mark_of(path, (state.st_mtime_ns, state.st_size, state.st_ino))
            if mark.section:
                yield path, mark


@lru_cache(maxsize=KEPT)
def _mark_of(path: Path, _: tuple[int, int, int]) -> ReviewMark:
    """What a log says, as long as the file is the same."""
    return _mark([read_log(path)])


def _mark(logs: Sequence[Log]) -> ReviewMark:
    """What the files of one reviewer and section say."""
    first = logs[0]
    entries = list({entry.hash: entry for log in logs for entry in log.entries}.values())
    shaping = [
        entry for entry in active_entries(entries)
        if entry.action not in (Action.COMMENT, Action.AUDIT, Action.OPEN)
    ]  # fmt: skip
    return ReviewMark(
        first.section, first.reviewer, first.station, deciding(entries),
        entries[-1].time if entries else "",
        bool(shaping) and shaping[-1].action is Action.SIGN_OFF,
        tuple(text for log in logs for text in log.problems), first.repeat,
    )  # fmt: skip
