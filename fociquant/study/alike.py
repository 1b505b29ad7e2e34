"""Problems of many lines of the sheet that are the same, told once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from fociquant.errors import Problem

MANY = 5
"""Lines with the same problem up to this number are told one by one."""

_LINE = re.compile(r"\bline (\d+)\b")


def told_once(problems: Iterable[Problem]) -> list[Problem]:
    """Problems in their order, but those of many lines as one, in place of the first.

    Parameters
    ----------
    problems : iterable of Problem

    Returns
    -------
    list of Problem
        ``samples.csv, lines 2 to 41, column 'mouse'`` stands for 40 of them.
    """
    found = list(problems)
    alike: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in found:
        alike.setdefault(_kind(problem), []).append(problem)
    told = []
    for problem in found:
        same = alike[_kind(problem)]
        if len(same) <= MANY or not _LINE.search(problem.where):
            told.append(problem)
        elif problem is same[0]:
            told.append(replace(problem, where=_LINE.sub(_lines(same), problem.where, count=1)))
    return told


def _kind(problem: Problem) -> tuple[str, str, str]:
    """What problems have in common that differ by their line only."""
    return _LINE.sub("line", problem.where, count=1), problem.what, problem.cure


def _lines(problems: Sequence[Problem]) -> str:
    """Numbers of the lines, runs of them as ``2 to 9``."""
    matches = (_LINE.search(problem.where) for problem in problems)
    numbers = sorted({int(match[1]) for match in matches if match})
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    runs = [str(a) if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True)]
    return f"lines {', '.join(runs)}"
