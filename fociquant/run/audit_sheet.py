"""The sample of an audit as a sheet: written, filled in by hand, taken in again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fociquant.errors import InputError
from fociquant.review import (
    AuditDesign,
    AuditSession,
    Blinding,
    Reviewer,
    open_blinding,
    require_design,
)
from fociquant.review.audit_design import AuditItem
from fociquant.review.audit_verdicts import check_verdict
from fociquant.store import read_csv, write_csv

SHEET_COLUMNS = (
    "item", "code", "what", "y_um", "x_um", "height_um", "width_um", "verdict", "draw",
)  # fmt: skip
"""Columns of the sheet that a reviewer without a viewer fills in."""

CANNOT_SAY = "?"
"""In the sheet: this item cannot be told."""

PLACE_UM = 0.02
"""Places in a sheet are rounded to 0.01 µm."""


def write_sheet(results: Path, target: Path) -> int:
    """Write the sample as a sheet to fill in: coded names, no word of what the program thinks.

    Parameters
    ----------
    results : pathlib.Path
    target : pathlib.Path
        CSV.

    Returns
    -------
    int
        Number of items.
    """
    design, blinding = require_design(results), open_blinding(results)
    rows: list[dict[str, Any]] = []
    for item in design.items:
        y0, x0, y1, x1 = item.span_um
        place = (*item.centre_um, y1 - y0, x1 - x0)
        code = blinding.code_of(item.section)
        row = (item.id, code, item.question, *place, "", _draw_text(design))
        rows.append(dict(zip(SHEET_COLUMNS, row, strict=True)))
    write_csv(target, pd.DataFrame(rows, columns=list(SHEET_COLUMNS)))
    return len(rows)


def _draw_text(design: AuditDesign) -> str:
    # A word before the digits: a spreadsheet would make a number of 12345678901234e5.
    return f"draw {design.draw}"


def read_sheet(results: Path, source: Path, reviewer: Reviewer) -> int:
    """Take the verdicts of a filled-in sheet into the reviewer's logs.

    Parameters
    ----------
    results : pathlib.Path
    source : pathlib.Path
        A sheet of :func:`write_sheet`; items without a verdict are passed over.
    reviewer : Reviewer

    Returns
    -------
    int
        Verdicts taken in; those that are in the log already are not repeated.

    Raises
    ------
    InputError
        The sheet is empty or of another draw; or all that is wrong with it, one line each.
        Nothing is taken in then.
    """
    design = require_design(results)
    table = read_csv(source, text=("item", "verdict", "code", "draw"))
    if not {"item", "verdict"} <= set(table.columns):
        raise InputError(
            f"{source} has no columns 'item' and 'verdict'. Fill in a sheet of --sheet."
        )
    judged = table[table["verdict"].str.strip() != ""]
    if not len(judged):
        raise InputError(
            f"{source} has no verdict yet. Fill in the column 'verdict', save the sheet as CSV "
            "and give it again."
        )
    _require_this_draw(results, source, judged, design)
    items = {item.id: item for item in design.items}
    wrong: list[str] = []
    verdicts: dict[str, int | None] = {}
    for index, name, text in judged[["item", "verdict"]].itertuples():
        try:
            item = _known(items, str(name))
            verdicts[item.id] = _verdict(item, str(text).strip())
        except InputError as error:
            wrong.append(f"{source}, line {index + 2}: {error}")
    if wrong:
        raise InputError("\n".join(wrong))
    with AuditSession.open(results, reviewer) as session:
        before = session.verdicts
        new = {i: v for i, v in verdicts.items() if i not in before or before[i] != v}
        session.judge_all(new)
    return len(new)


def _require_this_draw(
    results: Path, source: Path, judged: pd.DataFrame, design: AuditDesign
) -> None:
    """Refuse verdicts on the items of another draw, which have the same names.

    Raises
    ------
    InputError
    """
    items, blinding = {item.id: item for item in design.items}, open_blinding(results)
    for index, row in zip(judged.index, judged.to_dict("records"), strict=True):
        item = items.get(str(row["item"]))
        written = str(row.get("draw", "")).strip()
        if written:
            same, what = (
                written == _draw_text(design),
                "the sheet is of another draw than the sample",
            )
        else:  # sheets of earlier versions; an item that there is not is told of by itself
            same = item is None or _is_placed_at(item, row, blinding)
            what = f"{row['item']} has another code or place in the sample"
            if not {"code", "y_um", "x_um"} <= row.keys():
                what = "the columns draw, code, y_um and x_um, by which it is known, are not there"
                what += ": it may be of another draw than the sample"
        if not same:
            raise InputError(
                f"{source}, line {index + 2}: {what} that {results} holds. Verdicts on another "
                f"draw do not count: write a sheet of this one (fociquant audit {results} "
                "--sheet FILE) and fill that in."
            )


def _is_placed_at(item: AuditItem, row: Mapping[Any, Any], blinding: Blinding) -> bool:
    """Whether a row of the sheet names the section and the place of an item."""
    if str(row.get("code", "")).strip() != blinding.code_of(item.section):
        return False
    try:
        written = float(row["y_um"]), float(row["x_um"])
    except (KeyError, TypeError, ValueError):
        return False
    return math.dist(written, item.centre_um) <= PLACE_UM


def _known(items: Mapping[str, AuditItem], name: str) -> AuditItem:
    if name not in items:
        raise InputError(f"there is no item {name!r} in this audit.")
    return items[name]


def _verdict(item: AuditItem, text: str) -> int | None:
    """What was written in the sheet.

    Raises
    ------
    InputError
        It is no verdict on this item.
    """
    if text == CANNOT_SAY:
        return None
    # A spreadsheet may have made 1 a 1.0; more digits than these are no count.
    number = text.removesuffix(".0")
    try:
        return check_verdict(item, int(number if number.isdecimal() and len(number) < 9 else "-1"))
    except InputError:
        allowed = "0, 1, 2 …" if item.is_field else "1 (cancer cell), 0"
        raise InputError(
            f"verdict {text!r} on {item.id}. Write {allowed} or {CANNOT_SAY} (cannot be said)."
        ) from None
