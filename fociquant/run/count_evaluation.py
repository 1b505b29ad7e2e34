"""Counts of a results folder against a simulation's truth: ``fociquant evaluate``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fociquant.errors import InputError
from fociquant.run.evaluation import Evaluation, plain_values
from fociquant.segment.metrics import Counts, match_centres
from fociquant.settings import load_profile
from fociquant.store import ResultsFolder, read_csv, read_parquet

SMALL_COUNT, SMALL_ERROR, RELATIVE_ERROR = 20, 1, 0.05
"""A mouse is counted well within 1 cell below 20 cells, within 5 % from there."""

TEXT = ("section", "mouse", "group", "control", "class", "status", "reason", "warnings", "image")


def is_results(path: Path) -> bool:
    """Whether the folder is a results folder of ``fociquant run``."""
    return ResultsFolder(path).run.is_file() and ResultsFolder(path).cells.is_file()


def truth_folder(path: Path) -> Path:
    """The folder with the truth tables: `path` or its ``truth/``.

    Raises
    ------
    InputError
        If neither has them.
    """
    needed = ("cells.csv", "foci.csv", "sections.csv")
    for folder in (path, path / "truth"):
        if all((folder / name).is_file() for name in needed):
            return folder
    raise InputError(
        f"{path} has no {', '.join(needed)}. Give the truth/ folder written by fociquant simulate."
    )


def evaluate_results(results: Path, truth: Path) -> Evaluation:
    """Compare the counts of a results folder with simulated truth.

    A counted cell is right if its centre lies within one cell radius (that of a disc
    of the true cell's area) of a true cell's centre, one to one. Sections that could
    not be counted are left out on both sides, and told.

    Parameters
    ----------
    results : pathlib.Path
        Of ``fociquant run``.
    truth : pathlib.Path
        ``truth/`` of ``fociquant simulate``, or the folder around it.

    Raises
    ------
    InputError
        If truth is absent or the sections are not the same.
    ResultsError
        If a table cannot be read.
    """
    folder, source = ResultsFolder(results), truth_folder(truth)
    true = {
        name: read_csv(source / f"{name}.csv", text=TEXT) for name in ("cells", "foci", "sections")
    }
    sections = read_csv(folder.sections, text=TEXT)
    _same_sections(sections, true["sections"], results, source)
    counted = read_parquet(folder.cells)
    counted = counted[counted["positive"].astype(bool)]
    done = set(sections.loc[sections["status"] == "done", "section"])
    rows = [
        _section_row(row, counted[counted["section"] == row.section],
                     true["cells"][true["cells"]["section"] == row.section])
        for row in true["sections"].itertuples(index=False)
        if row.section in done
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=list(_SECTION_COLUMNS))
    foci = read_csv(folder.foci, text=TEXT)
    mice = _mice(table, true["sections"], foci, true["foci"])
    overall = _results_overall(table, mice, failed=len(sections) - len(table))
    return Evaluation(table, overall, mice)


_SECTION_COLUMNS = (
    "section", "mouse", "group", "dpi", "cells", "cells_true", "count_error", "count_error_pct",
    "matched", "missed", "false_positives", "precision", "recall", "f1",
    "solitary_true", "solitary_matched", "solitary_recall", "tissue_mm2", "false_positives_per_mm2",
)  # fmt: skip


def _same_sections(found: pd.DataFrame, true: pd.DataFrame, results: Path, truth: Path) -> None:
    names = {"results": set(found["section"]), "truth": set(true["section"])}
    only = {
        f"only in {results}": sorted(names["results"] - names["truth"]),
        f"only in {truth}": sorted(names["truth"] - names["results"]),
    }
    lines = [f"{where}: {', '.join(which)}" for where, which in only.items() if which]
    if lines:
        raise InputError(
            "results and truth are not of the same sections.\n  " + "\n  ".join(lines)
            + "\nGive the truth of the study that was counted."
        )  # fmt: skip


def _section_row(section: Any, found: pd.DataFrame, true: pd.DataFrame) -> dict[str, Any]:
    radius = np.sqrt(true["area_um2"].to_numpy(float) / math.pi)
    centres = [table[["y_um", "x_um"]].to_numpy(float) for table in (found, true)]
    matching = match_centres(centres[0], centres[1], radius)
    hit = np.zeros(len(true), bool)
    hit[matching.true_index] = True
    solitary = (true["class"] == "solitary").to_numpy()
    counts = Counts(len(matching.score), len(found) - len(matching.score), int((~hit).sum()))
    return {
        "section": section.section,
        "mouse": section.mouse,
        "group": section.group,
        "dpi": section.dpi,
        **_count_error(len(found), len(true)),
        "matched": counts.tp,
        "missed": counts.fn,
        "false_positives": counts.fp,
        "precision": counts.precision,
        "recall": counts.recall if len(true) else math.nan,
        "f1": counts.f1,
        "solitary_true": int(solitary.sum()),
        "solitary_matched": int(hit[solitary].sum()),
        "solitary_recall": _ratio(hit[solitary].sum(), solitary.sum()),
        "tissue_mm2": float(section.tissue_mm2),
        "false_positives_per_mm2": _ratio(counts.fp, section.tissue_mm2),
    }


def _count_error(found: int, true: int) -> dict[str, Any]:
    return {
        "cells": found,
        "cells_true": true,
        "count_error": found - true,
        "count_error_pct": 100.0 * _ratio(found - true, true),
    }


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else math.nan


def _mice(
    table: pd.DataFrame, sections: pd.DataFrame, foci: pd.DataFrame, foci_true: pd.DataFrame
) -> pd.DataFrame:
    """One row per mouse in the order of the sheet, over its counted sections."""
    classes = [one.name for one in load_profile("chia2025").classes]
    rows = []
    for mouse, planned in sections.groupby("mouse", sort=False):
        own = table[table["mouse"] == mouse]
        found, true = int(own["cells"].sum()), int(own["cells_true"].sum())
        allowed = SMALL_ERROR if true < SMALL_COUNT else RELATIVE_ERROR * true
        row = {
            "mouse": mouse,
            "group": planned["group"].iloc[0],
            "dpi": planned["dpi"].iloc[0],
            "sections": len(own),
            "sections_failed": len(planned) - len(own),
            **_count_error(found, true),
            "within_tolerance": abs(found - true) <= allowed,
        }
        for side, those in (("", foci), ("_true", foci_true)):
            mine = those.loc[those["section"].isin(own["section"]), "class"]
            row |= {f"{name}{side}": int((mine == name).sum()) for name in classes}
        rows.append(row)
    return pd.DataFrame(rows)


def _results_overall(table: pd.DataFrame, mice: pd.DataFrame, *, failed: int) -> dict[str, Any]:
    total = {name: float(table[name].sum()) for name in table.select_dtypes("number")}
    empty = table[table["cells_true"] == 0]
    counts = Counts(*(int(total[name]) for name in ("matched", "false_positives", "missed")))
    return plain_values(
        {
            "sections": len(table),
            "sections_failed": failed,
            **_count_error(int(total["cells"]), int(total["cells_true"])),
            "precision": counts.precision,
            "recall": counts.recall,
            "f1": counts.f1,
            "solitary_true": int(total["solitary_true"]),
            "solitary_recall": _ratio(total["solitary_matched"], total["solitary_true"]),
            "false_positives": counts.fp,
            "false_positives_per_mm2": _ratio(counts.fp, total["tissue_mm2"]),
            "sections_without_cells": len(empty),
            "false_positives_per_mm2_without_cells": _ratio(
                empty["false_positives"].sum(), empty["tissue_mm2"].sum()
            ),
            "mice": len(mice),
            "mice_within_tolerance": int(mice["within_tolerance"].sum()),
        }
    )
