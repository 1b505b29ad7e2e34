"""The tables of a results folder, read back; one that is not whole is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from fociquant.cohort import (
    COMPARISON_COLUMNS,
    GROUP_COLUMNS,
)
from fociquant.errors import ResultsError
from fociquant.model import (
    FOCUS_COLUMNS,
    MOUSE_COLUMNS,
    SECTION_COLUMNS,
)
from fociquant.reading import is_file, look_at
from fociquant.run.gating import (
    THRESHOLD_COLUMNS,
)
from fociquant.run.table_inputs import TableInputs, Tables
from fociquant.store import ResultsFolder, read_csv
from fociquant.study.taken import CARRIED_TO

TEXT_COLUMNS = (
    "section", "image", "mouse", "group", "status", "reason", "warnings", "control", "batch",
    "reviewed", "review", "edited", "compartment", "region", "excluded",
    "class", "fold_change_note", "reference", "offset", "comparison_note", "zero_note",
    "threshold_source", "threshold_note", "control_sections", "control_sections_refused",
    "marker", "bands_note", "reviewer", "station", "comment", "note",
)  # fmt: skip
"""Columns of the CSV tables that are text even where they look like numbers."""

REQUIRED_COLUMNS: dict[str, tuple[str, ...]] = {
    "sections.csv": SECTION_COLUMNS,
    "foci.csv": FOCUS_COLUMNS,
    "mice.csv": MOUSE_COLUMNS,
    "groups.csv": GROUP_COLUMNS,
    "comparisons.csv": COMPARISON_COLUMNS,
    "thresholds.csv": THRESHOLD_COLUMNS,
    "foci_sensitivity.csv": ("group", "dpi", "link_um", "in_use", "foci"),
}
"""File to the columns without which it is not that table."""


def read_tables(folder: ResultsFolder, inputs: TableInputs) -> Tables:
    """The tables of :func:`write_tables`, read back from disk.

    Raises
    ------
    ResultsError
        If one is absent or damaged.
    """
    return Tables(
        sections=read_table(folder.sections, inputs),
        foci=read_table(folder.foci, inputs),
        mice=read_table(folder.mice, inputs),
        groups=read_table(folder.groups, inputs),
        comparisons=read_table(folder.comparisons, inputs),
        classes=inputs.classes,
    )


def read_table(path: Path, inputs: TableInputs) -> pd.DataFrame:
    """One CSV table of a results folder, with the columns that it must have.

    Raises
    ------
    ResultsError
        If it is absent, damaged, not complete, or was saved otherwise by another program.
    """
    if _breaks_off(path):
        raise _not_complete(path, "it ends within a line")
    table = read_csv(
        path,
        text=(*TEXT_COLUMNS, *(inputs.extras if path.name in CARRIED_TO else ())),
        columns=REQUIRED_COLUMNS.get(path.name, ()),
    )
    missing = _missing(path, table, inputs)
    if missing:
        raise _not_complete(path, f"{missing} is missing")
    return table


def _not_complete(path: Path, why: str) -> ResultsError:
    cure = f"'fociquant recount {path.parent}' makes the tables again."
    return ResultsError(f"{path} is not complete: {why}. {cure}")


def _breaks_off(path: Path) -> bool:
    """Whether a copy of the table broke off; what is no file at all is told by its reader."""
    return is_file(path) and (look_at(path, _last_byte) or b"") not in (b"", b"\n", b"\r")


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1 if file.seek(0, os.SEEK_END) else 0, os.SEEK_END)
        return file.read()


def _missing(path: Path, table: pd.DataFrame, inputs: TableInputs) -> str:
    """A mouse, section or focus of the study whose row was deleted, or nothing."""
    if path.name == "foci.csv":
        counted = int(read_csv(path.with_name("sections.csv"), columns=("foci",))["foci"].sum())
        return f"a row for {counted - len(table)} of {counted} foci" * (len(table) < counted)
    wanted = {
        "mice.csv": ("mouse", [section.mouse for section in inputs.sections]),
        "sections.csv": ("section", [section.name for section in inputs.sections]),
    }
    column, names = wanted.get(path.name, ("", []))
    missing = sorted(set(names) - set(table[column])) if column else []
    return f"{column} {missing[0]!r}" if missing else ""
