"""What a review needs to know of a results folder; nothing in it is changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fociquant.errors import ResultsError, said

KEY_LENGTH = 16
"""Characters of a section's key that are written into every decision."""

NEEDED = ("section", "cell", "y_um", "x_um", "positive", "flags", "score", "outline")
"""Columns of ``cells.parquet`` without which nothing can be reviewed."""


@dataclass(frozen=True, slots=True)
class SectionCells:
    """The candidates of one section, as the run left them.

    Parameters
    ----------
    section : str
    frame : pandas.DataFrame
        Rows of ``cells.parquet`` without those that reviewers added; ``positive_automatic``
        says what counts without review.
    results : str
        Fingerprint of the section's objects.
    image : str
        Beginning of that of its image; empty where it is not known.
    """

    section: str
    frame: pd.DataFrame
    results: str
    image: str = ""


def read_run(results: Path) -> dict[str, Any]:
    """The content of ``run.json``.

    Raises
    ------
    ResultsError
        If the folder holds no results.
    """
    path = results / "run.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{results} holds no readable run.json. Give the results folder of 'fociquant run'."
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("sections"), list):
        raise ResultsError(f"{path} is of another version. Run the study again with this one.")
    return content


def section_names(results: Path) -> list[str]:
    """Names of all sections of the study, in the order of the sheet.

    Raises
    ------
    ResultsError
    """
    return [str(entry.get("name", "")) for entry in read_run(results)["sections"]]


def results_key(results: Path, section: str) -> str:
    """Fingerprint of the objects of a section; changes when it is segmented or measured again.

    Raises
    ------
    ResultsError
        If the section was not counted.
    """
    return str(_state(results, section)["key"])[:KEY_LENGTH]


def _state(results: Path, section: str) -> dict[str, Any]:
    """What is stored of a counted section."""
    path = results / "sections" / section / "section.json"
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = state["key"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"section {section!r} of {results} was not counted, so it cannot be reviewed. "
            "See sections.csv for the reason."
        ) from error
    return state


def image_key(state: Mapping[str, Any]) -> str:
    """What a decision notes of a section's image; empty where its state does not tell."""
    return str(state.get("image_fingerprint", ""))[:KEY_LENGTH]


def read_cells(results: Path, section: str) -> SectionCells:
    """The candidates of a section.

    Parameters
    ----------
    results : pathlib.Path
    section : str

    Returns
    -------
    SectionCells

    Raises
    ------
    ResultsError
        If the table is absent, damaged, or of a version without outlines.
    """
    state = _state(results, section)
    path = results / "cells.parquet"
    try:
        names = pq.read_schema(path).names
        table = pq.read_table(path, filters=[("section", "==", section)])
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(
            f"{path} cannot be read: {said(error)}. Run 'fociquant recount'."
        ) from error
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise ResultsError(
            f"{path} has no column {', '.join(missing)}: an older version made it. "
            "Run 'fociquant recount' on the folder, or the study again."
        )
    frame = table.to_pandas()
    if "decision" in frame:
        frame = frame[frame["decision"] != "added"].reset_index(drop=True)
    if "positive_automatic" not in frame:
        frame["positive_automatic"] = frame["positive"]
    return SectionCells(section, frame, str(state["key"])[:KEY_LENGTH], image_key(state))
