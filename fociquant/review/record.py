"""Who reviewed what, when, how far, and whether blind; and what they remarked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fociquant.review.decisions import Action, Entry, active_entries
from fociquant.review.read_log import Log
from fociquant.review.replay import Reader, SectionReview
from fociquant.review.state import DECIDING, EDITS

REVIEWER_COLUMNS: tuple[str, ...] = (
    "section", "reviewer", "station", "second_look", "status", "decisions", "comments", "first",
    "last", "blinded", "unblinded", "note",
)  # fmt: skip
"""Columns of ``review/reviewers.csv``."""

YES, NO, PARTLY = "yes", "no", "partly"
"""Whether somebody decided without having seen group, day, mouse and path."""

NOT_READ = "not read"
"""Status of a log that cannot be used at all."""


def first_unblinding(logs: Iterable[Log]) -> dict[str, str]:
    """When each reviewer first saw names and groups.

    By name, whatever the computer: who has seen them on one has seen them. Entries that
    cannot be trusted count too, since seeing once is enough.

    Parameters
    ----------
    logs : iterable of Log
        Of the study as a whole.

    Returns
    -------
    dict of str to str
        Name, without capitals, to UTC.
    """
    times: dict[str, str] = {}
    for log in logs:
        name = log.reviewer.casefold()
        for entry in (*log.entries, *log.untrusted):
            if entry.action is Action.UNBLIND:
                times[name] = min(times.get(name, entry.time), entry.time)
    return times


def list_reviewers(
    logs: Sequence[Log], review: SectionReview, unblinded: Mapping[str, str]
) -> list[dict[str, Any]]:
    """One row per reviewer of a section, and per second look at it.

    Parameters
    ----------
    logs : sequence of Log
        Of the section.
    review : SectionReview
        What became of them.
    unblinded : mapping of str to str
        See :func:`first_unblinding`.

    Returns
    -------
    list of dict
        `REVIEWER_COLUMNS` without ``section``.
    """
    rows = []
    for second, readers in ((False, review.readers), (True, review.second_looks)):
        for reader in readers:
            own = [
                log for log in logs
                if (log.reviewer, log.station, log.repeat)
                == (reader.reviewer, reader.station, second)
            ]  # fmt: skip
            rows.append(_row(reader, own, unblinded) | {"second_look": second})
    return rows


def _row(reader: Reader, logs: Sequence[Log], unblinded: Mapping[str, str]) -> dict[str, Any]:
    entries = [entry for log in logs for entry in log.entries]
    held = active_entries(entries)
    times = sorted(entry.time for entry in entries if _decides(entry))
    seen = unblinded.get(reader.reviewer.casefold(), "")
    return {
        "reviewer": reader.reviewer,
        "station": reader.station,
        "status": reader.status,
        "decisions": sum(map(_decides, held)),
        "comments": sum(entry.action is Action.COMMENT for entry in held),
        "first": times[0] if times else "",
        "last": times[-1] if times else "",
        "blinded": _blinded(times, seen),
        "unblinded": seen,
        "note": " ".join(text for log in logs for text in log.problems),
    }


def _decides(entry: Entry) -> bool:
    return entry.action in DECIDING or entry.action in EDITS or entry.action is Action.EXCLUDE


def _blinded(times: Sequence[str], seen: str) -> str:
    """Whether decisions at these times were made before names were seen."""
    if not times:
        return ""
    if not seen or times[-1] < seen:
        return YES
    return NO if times[0] >= seen else PARTLY


def list_troubled(logs: Iterable[Log]) -> list[dict[str, Any]]:
    """Rows for logs of the study or its audit that are damaged: other logs have rows anyway."""
    return [
        {"section": "", "reviewer": log.reviewer, "station": log.station, "second_look": False,
         "note": " ".join(log.problems)}
        for log in logs if log.problems
    ]  # fmt: skip


def list_unusable(
    problems: Mapping[Path, Sequence[str]], sections: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows for logs of which nothing can be applied.

    Parameters
    ----------
    problems : mapping of pathlib.Path to sequence of str
        Log to what is wrong with it.
    sections : sequence of str
        Names of the study's sections; the log's is found by its file's name.

    Returns
    -------
    list of dict
    """
    return [
        {"section": _section_of(path, sections), "second_look": "--again" in path.stem,
         "status": NOT_READ, "note": " ".join(texts)}
        for path, texts in problems.items()
    ]  # fmt: skip


def _section_of(path: Path, sections: Sequence[str]) -> str:
    own = [name for name in sections if path.name.startswith(f"{name}--")]
    return max(own, key=len, default="")
