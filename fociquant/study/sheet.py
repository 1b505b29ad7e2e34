"""The sample sheet: one row per section image, checked row by row and across rows."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fociquant.errors import Problem
from fociquant.model import Section, parse_region
from fociquant.study.images import ImageFinder
from fociquant.study.naming import default_section_name, folded, safe_name, why_unsafe
from fociquant.study.spelling import did_you_mean, listed, nearest
from fociquant.study.table import Row, Table

REQUIRED: tuple[str, ...] = ("image", "mouse", "group", "dpi")
"""Columns that every sheet has."""

OPTIONAL: tuple[str, ...] = ("section", "control", "batch", "region", "excluded")
"""Columns with a meaning that a sheet may leave out."""

NEGATIVE = "negative"
"""The only value of ``control`` besides an empty cell."""

NO_REASONS = frozenset({"0", "1", "n", "y", "no", "yes", "false", "true", "x", "-", "ja", "nein"})
"""What ``excluded`` cannot hold: who reads the report asks why."""

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
"""A number with a decimal point or, as Excel writes it in half of Europe, a comma."""

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class SheetRow:
    """What could be read of one row.

    Parameters
    ----------
    line : int
        Line of the file.
    name : str
        The section's name, given or from the image's; ``""`` without either.
    image : Path or None
        Absolute path of the image; None if there is none to open.
    section : Section or None
        None if the row has a problem.
    region : str
        The part of the slide as written, ``""`` for all of it.
    """

    line: int
    name: str
    image: Path | None
    section: Section | None
    region: str = ""


def read_rows(
    table: Table, path: Path, *, taken: Collection[str]
) -> tuple[tuple[SheetRow, ...], list[Problem]]:
    """Rows of a sheet as sections, and everything that is wrong with them.

    Parameters
    ----------
    table : Table
        The sheet as text.
    path : Path
        Where the sheet lies; images are relative to its folder.
    taken : collection of str
        Names that columns of the results have, case folded.

    Returns
    -------
    rows : tuple of SheetRow
        In the order of the sheet.
    problems : list of Problem
        In the order of the sheet, those between rows last.
    """
    file = path.name
    problems = list(_column_problems(table, file, taken))
    if not table.rows and not table.refused:
        problems.append(
            Problem(file, "no rows below the header.", "Write one row per section image.")
        )
    finder = ImageFinder(path.parent)
    rows = tuple(_sheet_row(row, table, file, finder, problems) for row in table.rows)
    problems += _repeated_names(rows, table, file)
    problems += _repeated_images(rows, file)
    problems += _inconsistent_mice(table, file)
    problems += _partly_excluded(table, file)
    return rows, problems


def parse_dpi(text: str) -> float | None:
    """Days post infection, or None if `text` is no finite number >= 0."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text.replace(",", "."))
    return abs(value) if math.isfinite(value) and value >= 0 else None


def _column_problems(table: Table, file: str, taken: Collection[str]) -> Iterator[Problem]:
    others = [name for name in table.columns if name not in REQUIRED + OPTIONAL]
    for name in REQUIRED:
        if name not in table.columns:
            meant = nearest(name, others)
            rename = "" if meant is None else f"If column {meant!r} holds it, rename it. "
            cure = f"{rename}Required are {listed(REQUIRED)}."
            yield Problem(f"{file}, header", f"column {name!r} is missing.", cure)
    for name in others:
        if name.casefold() in taken:
            meaning = did_you_mean(name, [c for c in OPTIONAL if c not in table.columns])
            what = f"column {name!r} has the name of a column of the results."
            yield Problem(f"{file}, header", what, f"{meaning}Rename it.")


def _sheet_row(
    row: Row, table: Table, file: str, finder: ImageFinder, problems: list[Problem]
) -> SheetRow:
    """One row; its problems are appended."""
    found = list(_text_problems(row, table, file))
    image: Path | None = None
    if row.cells.get("image"):
        image, problem = finder.find(row.cells["image"], _where(file, row.line, "image"))
        found += [problem] if problem else []
    problems += found
    name = row.cells.get("section", "")
    if not name and row.cells.get("image"):
        name = _default_name(row.cells["image"], row.cells.get("region", ""))
    complete = not found and image is not None and set(REQUIRED) <= set(table.columns)
    section = _section(row, name, image) if complete and image is not None else None
    return SheetRow(row.line, name, image, section, row.cells.get("region", ""))


def _default_name(image: str, region: str) -> str:
    """The image's name; with the region's number, or its box, where there is one."""
    name = default_section_name(image)
    if not region:
        return name
    what = f"region{region}" if region.isdigit() else "-".join(re.split(r"[,;\s]+", region))
    return safe_name(f"{name}_{what}")


def _section(row: Row, name: str, image: Path) -> Section:
    cells = row.cells
    extra = {key: text for key, text in cells.items() if key not in REQUIRED + OPTIONAL}
    return Section(
        name=name,
        image=image,
        image_text=cells["image"],
        mouse=cells["mouse"],
        group=cells["group"],
        dpi=parse_dpi(cells["dpi"]) or 0.0,
        negative_control=bool(cells.get("control")),
        batch=cells.get("batch", ""),
        region=cells.get("region", ""),
        extra=MappingProxyType(extra),
        excluded=cells.get("excluded", ""),
    )


def _text_problems(row: Row, table: Table, file: str) -> Iterator[Problem]:
    for column in REQUIRED:
        if column in table.columns and not row.cells[column]:
            cure = f"Write the {_MEANING[column]}, or delete the row."
            yield Problem(_where(file, row.line, column), "the cell is empty.", cure)
    for column, text in row.cells.items():
        if _CONTROL_CHARACTER.search(text):
            what = f"{text!r} holds a line break or a control character."
            yield Problem(_where(file, row.line, column), what, "Write it on one line.")
    if row.cells.get("dpi") and parse_dpi(row.cells["dpi"]) is None:
        what = f"{row.cells['dpi']!r} is not a number of days, 0 or more."
        cure = "Write the days post infection as digits only, for example 15."
        yield Problem(_where(file, row.line, "dpi"), what, cure)
    yield from _option_problems(row, file)


_MEANING = {
    "image": "path of the image, relative to this file",
    "mouse": "mouse's name or number",
    "group": "group, for example PBS",
    "dpi": "days post infection",
}


def _option_problems(row: Row, file: str) -> Iterator[Problem]:
    control, section = row.cells.get("control", ""), row.cells.get("section", "")
    if control and control.casefold() != NEGATIVE:
        cure = f"{did_you_mean(control, [NEGATIVE])}Leave it empty, or write {NEGATIVE!r}."
        yield Problem(_where(file, row.line, "control"), f"{control!r} is not known.", cure)
    excluded = row.cells.get("excluded", "")
    if excluded.casefold() in NO_REASONS:
        what = f"{excluded!r} is no reason."
        cure = "Write why the mouse is left out, for example 'died at 12 dpi', or nothing."
        yield Problem(_where(file, row.line, "excluded"), what, cure)
    region = row.cells.get("region", "")
    if region:
        try:
            parse_region(region)
        except ValueError as error:
            cure = "Write the piece's number, for example 1, or a box in µm: 0,0,5000,8000."
            where = _where(file, row.line, "region")
            yield Problem(where, f"{region!r} {error}.", cure)
    reason = why_unsafe(section) if not _CONTROL_CHARACTER.search(section) else ""
    if reason:
        what = f"section {section!r} {reason}"
        cure = "Results get a folder of that name: write letters, digits, '-' and '_'."
        yield Problem(_where(file, row.line, "section"), what, cure)


def _repeated_names(rows: Sequence[SheetRow], table: Table, file: str) -> Iterator[Problem]:
    first: dict[str, SheetRow] = {}
    for row in rows:
        if row.name and folded(row.name) in first:
            other = first[folded(row.name)]
            same = "" if other.name == row.name else f" as {other.name!r}"
            what = f"section {row.name!r} is already on line {other.line}{same}."
            add = "Give" if "section" in table.columns else "Add a column 'section' and give"
            cure = f"{add} each row its own name (upper and lower case count as the same)."
            yield Problem(_where(file, row.line, "section"), what, cure)
        first.setdefault(folded(row.name), row)


def _repeated_images(rows: Sequence[SheetRow], file: str) -> Iterator[Problem]:
    seen: dict[Path, list[SheetRow]] = defaultdict(list)
    for row in rows:
        if row.image is None:
            continue
        real = row.image.resolve()
        other = next((one for one in seen[real] if _same_tissue(one.region, row.region)), None)
        if other is not None and other.region and row.region:
            what = f"region {row.region!r} of this image overlaps region {other.region!r} of line "
            cure = "Cells would be counted twice: correct one of the two."
            yield Problem(_where(file, row.line, "region"), f"{what}{other.line}.", cure)
        elif other is not None:
            what = f"the same image is already on line {other.line}."
            cure = (
                "Each image is counted once: correct the path, delete one row, or say in a column "
                "'region' which piece of tissue each row means."
            )
            yield Problem(_where(file, row.line, "image"), what, cure)
        seen[real].append(row)


def _same_tissue(one: str, other: str) -> bool:
    """Whether two rows of one image may mean the same tissue; numbers are compared later."""
    try:
        boxes = [parse_region(text) if text else None for text in (one, other)]
    except ValueError:
        return False
    first, second = boxes
    if first is None or second is None:
        return True
    if isinstance(first, int) or isinstance(second, int):
        return first == second or isinstance(first, int) != isinstance(second, int)
    apart = (
        first[2] <= second[0] or second[2] <= first[0]
        or first[3] <= second[1] or second[3] <= first[1]
    )  # fmt: skip
    return not apart


def _inconsistent_mice(table: Table, file: str) -> Iterator[Problem]:
    """Mice whose rows disagree in group or dpi; one problem for each."""
    seen: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for row in table.rows:
        for column in ("group", "dpi"):
            mouse, value = row.cells.get("mouse"), row.cells.get(column)
            days = parse_dpi(value) if value and column == "dpi" else None
            if mouse and value and (column == "group" or days is not None):
                same = value if days is None else str(days).removesuffix(".0")
                seen[mouse, column].setdefault(same, row.line)
    for (mouse, column), lines in seen.items():
        if len(lines) > 1:
            values = ", ".join(f"{value} (line {line})" for value, line in lines.items())
            what = f"mouse {mouse!r} has more than one {column}: {values}."
            cure = "Correct the cell, or give different mice different names."
            yield Problem(_where(file, max(lines.values()), column), what, cure)


def _partly_excluded(table: Table, file: str) -> Iterator[Problem]:
    """Mice that some of their rows exclude; one problem for each."""
    lines: dict[str, dict[bool, int]] = defaultdict(dict)
    for row in table.rows:
        mouse = row.cells.get("mouse")
        if mouse:
            lines[mouse].setdefault(bool(row.cells.get("excluded")), row.line)
    for mouse, found in lines.items():
        if len(found) == 2:
            what = f"mouse {mouse!r} is excluded on line {found[True]}, but not on this one."
            cure = (
                "Mice are excluded, not sections: write the reason on all lines of the mouse. "
                "Parts of a section are excluded in the review."
            )
            yield Problem(_where(file, found[False], "excluded"), what, cure)


def _where(file: str, line: int, column: str) -> str:
    return f"{file}, line {line}, column {column!r}"
