"""The text of a sheet to rows: separators, quotes, blank and ragged lines, line numbers."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fociquant.errors import Problem
from fociquant.study.spelling import listed

_SEPARATORS = ",;\t"
_STRIPPED = " \t\r\n\xa0\ufeff\u200b"
"""Space that programs leave around a cell, invisible to the user."""

_BROKEN_QUOTE = "Every quote that opens must close, and stand at the ends of its cell."


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a sheet.

    Parameters
    ----------
    line : int
        Line in the file on which the row begins, from 1.
    cells : dict of str to str
        Column to text without surrounding space; ``""`` for an empty cell.
    """

    line: int
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A sheet as text.

    Parameters
    ----------
    columns : tuple of str
        Named columns in the order of the file; known ones as they are known.
    rows : tuple of Row
        Rows with at least one cell that is not empty.
    refused : bool
        Whether the file has more rows, which could not be read.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    refused: bool = False


_Record = tuple[int, list[str]]
"""Line number and cells."""


def read_table(text: str, file: str, *, known: Sequence[str]) -> tuple[Table, list[Problem]]:
    """Split the text of a sheet into rows, without giving any cell a type.

    Parameters
    ----------
    text : str
        Separated by commas, semicolons or tabs (found from the header; Excel's
        ``sep=;`` line is honoured), cells quoted with ``"`` where needed.
    file : str
        For messages.
    known : sequence of str
        Columns with a meaning; they are recognised in any case.

    Returns
    -------
    table : Table
        All rows that could be read.
    problems : list of Problem
        Broken quotes, columns without a name or with the same one, ragged rows.
    """
    text, skipped, declared = _directive(text)
    problems: list[Problem] = []
    separator = declared or _separator(text, known)
    records = list(_records(text, separator, file, skipped, problems))
    if not records:
        return Table(), problems
    header, body = records[0], records[1:]
    names = [_known_spelling(name, known) for name in header[1]]
    while names and not names[-1] and not any(any(c[len(names) - 1 :]) for _, c in body):
        names.pop()
    broken = bool(problems)
    problems += _header_problems(names, header[0], file, body)
    rows = [row for record in body for row in _row(record, names, file, problems)]
    refused = broken or len(rows) < len(body)
    return Table(tuple(dict.fromkeys(filter(None, names))), tuple(rows), refused), problems


def _directive(text: str) -> tuple[str, int, str]:
    """Text after Excel's ``sep=X`` line, the lines skipped, and the separator it names."""
    first, _, rest = text.partition("\n")
    word = first.strip('\r "')
    if word[:-1].lower() == "sep=" and word[-1] in _SEPARATORS:
        return rest, 1, word[-1]
    return text, 0, ""


def _separator(text: str, known: Sequence[str]) -> str:
    """The candidate that makes the header hold the most known columns, then the most cells."""
    header = next((line for line in text.splitlines() if line.strip(_STRIPPED + ",;")), "")

    def score(separator: str) -> tuple[int, int]:
        names = [_known_spelling(cell.strip('"'), known) for cell in header.split(separator)]
        return len(set(names) & set(known)), len(names)

    return max(_SEPARATORS, key=score)


def _known_spelling(name: str, known: Sequence[str]) -> str:
    clean = _clean(name)
    return clean.lower() if clean.lower() in known else clean


def _clean(cell: str) -> str:
    """Composed Unicode without surrounding space, so that equal names are equal text."""
    return unicodedata.normalize("NFC", cell).strip(_STRIPPED)


def _records(
    text: str, separator: str, file: str, skipped: int, problems: list[Problem]
) -> Iterator[_Record]:
    """Records that are not blank, with the line each begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = skipped + 1
    try:
        for cells in reader:
            clean = [_clean(cell) for cell in cells]
            if any(clean):
                yield line, clean
            line = skipped + reader.line_num + 1
    except csv.Error as error:
        problems.append(Problem(f"{file}, line {line}", f"broken row: {error}.", _BROKEN_QUOTE))


def _header_problems(
    names: list[str], line: int, file: str, body: list[_Record]
) -> Iterator[Problem]:
    where = f"{file}, line {line}"
    counts = Counter(name.casefold() for name in names if name)
    for name in dict.fromkeys(names):
        if counts[name.casefold()] > 1:
            counts[name.casefold()] = 0
            what = f"column {name!r} appears more than once."
            yield Problem(where, what, "Rename or remove all but one (upper and lower case alike).")
    for index, name in enumerate(names):
        used = [at for at, cells in body if not name and any(cells[index : index + 1])]
        if used:
            what = f"column {index + 1} has values (line {used[0]}) but no name."
            yield Problem(where, what, "Write a name in the header, or empty the column.")


def _row(record: _Record, names: list[str], file: str, problems: list[Problem]) -> Iterator[Row]:
    """The row, or nothing and a problem if it does not fit the header."""
    line, cells = record
    surplus = [cell for cell in cells[len(names) :] if cell]
    if surplus:
        what = f"more cells than the header has columns ({len(names)}): {listed(surplus)}."
        cure = "Remove the surplus, or put quotes round a cell that holds the separator."
        problems.append(Problem(f"{file}, line {line}", what, cure))
    elif len(cells) < len(names):
        what = f"{len(cells)} cells where the header has {len(names)} columns."
        cure = "Add the missing cells; an empty cell still needs its separator."
        problems.append(Problem(f"{file}, line {line}", what, cure))
    else:
        by_name: dict[str, str] = {}
        for name, cell in zip(names, cells, strict=False):
            if name:
                by_name.setdefault(name, cell)
        yield Row(line, by_name)
