"""What in a sheet looks like a slip but may be meant."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from fociquant.errors import Problem
from fociquant.study.sheet import OPTIONAL, REQUIRED, parse_dpi
from fociquant.study.table import Table

_EXCEL_NUMBER = re.compile(r"\d[.,]\d\dE[+-]\d\d+")
"""How Excel shows a name such as ``1E5`` that it took for a number."""

_EXCEL_DATE = re.compile(
    r"\d{1,2}[-.](jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-z]*\.?"
    r"|(jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-z]*\.?[- ]\d{2,4}",
    re.IGNORECASE,
)
"""How Excel shows a name such as ``3-1`` that it took for a date."""

_WHOLE = re.compile(r"(\d+)[.,]0*", re.ASCII)
"""A whole number with a decimal point or comma, which spreadsheets add. ``1.1`` and ``1.10`` may be
mice 1 and 10 of a cage."""

MOUSE_DAYS = 1500
"""Laboratory mice live two to three years, days; the oldest known lived five."""


def sheet_notes(table: Table, file: str) -> Iterator[Problem]:
    """Slips that a program cannot be sure of.

    Parameters
    ----------
    table : Table
        The sheet as text.
    file : str
        For messages.

    Yields
    ------
    Problem
        Names that Excel may have rewritten; dates as days; names that differ only by case,
        spaces or zeros that leave a number the same; extra columns that differ within a mouse.
    """
    yield from _rewritten(table, file)
    yield from _longer_than_life(table, file)
    for column in ("mouse", "group", "batch"):
        yield from _near_twins(table, file, column)
    yield from _differing_extras(table, file)


def _rewritten(table: Table, file: str) -> Iterator[Problem]:
    for row in table.rows:
        mouse = row.cells.get("mouse", "")
        if _EXCEL_NUMBER.fullmatch(mouse) or _EXCEL_DATE.fullmatch(mouse):
            what = f"{mouse!r} looks like a name that Excel has rewritten."
            cure = "If so, write the name again in a text editor, or format the column as Text."
            yield Problem(f"{file}, line {row.line}, column 'mouse'", what, cure)


def _longer_than_life(table: Table, file: str) -> Iterator[Problem]:
    """Days that no mouse lives: Excel shows dates as numbers of days since 1900."""
    for row in table.rows:
        days = parse_dpi(row.cells.get("dpi", ""))
        if days is not None and days > MOUSE_DAYS:
            what = f"{row.cells['dpi']!r} days are more than a mouse lives."
            cure = "Is it a date, or the number that Excel makes of one? Write days post infection."
            yield Problem(f"{file}, line {row.line}, column 'dpi'", what, cure)


def _near_twins(table: Table, file: str, column: str) -> Iterator[Problem]:
    """Different texts that a person would read as the same name."""
    seen: dict[str, dict[str, int]] = defaultdict(dict)
    for row in table.rows:
        text = row.cells.get(column, "")
        if text:
            seen[_looks_like(text)].setdefault(text, row.line)
    for lines in seen.values():
        if len(lines) > 1:
            forms = ", ".join(f"{text!r} (line {line})" for text, line in lines.items())
            what = f"counted as different: {forms}."
            cure = "Write one form throughout if they are the same."
            yield Problem(f"{file}, column {column!r}", what, cure)


def _looks_like(text: str) -> str:
    number = _WHOLE.fullmatch(text)
    plain = number[1] if number else text
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s_-]+", "", plain.casefold()))


def _differing_extras(table: Table, file: str) -> Iterator[Problem]:
    extras = [name for name in table.columns if name not in REQUIRED + OPTIONAL]
    for column in extras:
        values: dict[str, set[str]] = defaultdict(set)
        for row in table.rows:
            values[row.cells.get("mouse", "")].add(row.cells[column])
        mixed = [mouse for mouse, texts in values.items() if mouse and len(texts) > 1]
        if mixed:
            what = f"differs between sections of one mouse ({mixed[0]!r})."
            cure = "Correct it if it describes the mouse; leave it if it describes the section."
            yield Problem(f"{file}, column {column!r}", what, cure)
