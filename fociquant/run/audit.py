"""An audit of a results folder: drawn from it, estimated with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fociquant.errors import InputError, ResultsError
from fociquant.model import Section
from fociquant.review import (
    AuditDesign,
    AuditEstimate,
    LogWriter,
    Reviewer,
    ReviewFolder,
    audit_verdicts,
    draw_audit,
    estimate_audit,
    open_blinding,
    read_design,
    read_logs,
    settle_verdicts,
    tissue_fields,
    write_design,
)
from fociquant.review.audit_design import ACCEPTED, FIELD_COLUMNS, OBJECT_COLUMNS, REJECTED, TISSUE
from fociquant.review.decisions import Action, Draft
from fociquant.review.results import KEY_LENGTH, read_run
from fociquant.run.gating import find_gating, gate_section, stored_sections
from fociquant.run.provenance import inputs_of
from fociquant.run.review import StudyReview, counted_tissue, extent_of
from fociquant.run.tables import TableInputs
from fociquant.settings import ReviewSettings
from fociquant.store import ResultsFolder, read_csv, write_csv

SHEET_COLUMNS = ("item", "code", "what", "y_um", "x_um", "height_um", "width_um", "verdict")
"""Columns of the sheet that a reviewer without a viewer fills in."""


@dataclass(frozen=True, slots=True)
class Frames:
    """What a sample can be drawn from.

    Parameters
    ----------
    objects : pandas.DataFrame
        `OBJECT_COLUMNS`.
    fields : pandas.DataFrame
        `FIELD_COLUMNS`.
    keys : dict of str to str
        Section to the fingerprint of its results.
    """

    objects: pd.DataFrame
    fields: pd.DataFrame
    keys: dict[str, str]


def audit_settings(results: Path) -> ReviewSettings:
    """The review settings of a run: how much an audit draws by default.

    Raises
    ------
    ResultsError
        The folder holds no results.
    """
    return _open(results)[1].settings.review


def draw(results: Path, *, seed: int, settings: ReviewSettings, again: bool = False) -> AuditDesign:
    """Draw a sample from what is counted now, and store its design.

    Negative controls and excluded regions are left out.

    Parameters
    ----------
    results : pathlib.Path
    seed : int
    settings : ReviewSettings
        Sizes of the sample.
    again : bool
        Replace an earlier design. Verdicts on its items no longer count.

    Returns
    -------
    AuditDesign

    Raises
    ------
    InputError
        An audit was drawn before, or there is nothing to draw from.
    ResultsError, DiskError
    """
    if not again and read_design(results) is not None:
        raise InputError(
            f"{ReviewFolder(results).audit} holds an audit already. Judge it to the end, or give "
            "--again to draw another one in its place."
        )
    folder, inputs = _open(results)
    frames = audit_frames(folder, inputs, field_um=settings.audit_field_um)
    sizes = {ACCEPTED: settings.audit_accepted, REJECTED: settings.audit_rejected,
             TISSUE: settings.audit_fields}  # fmt: skip
    design = draw_audit(frames.objects, frames.fields, keys=frames.keys, sizes=sizes, seed=seed)
    write_design(results, design)
    return design


def audit_frames(folder: ResultsFolder, inputs: TableInputs, *, field_um: float) -> Frames:
    """Every candidate and every field of tissue of the study, controls left out."""
    review, gating = StudyReview.read(folder, inputs), find_gating(folder, inputs)
    objects, fields, keys = [], [], {}
    for section, state in stored_sections(folder, inputs):
        if state is None or section.negative_control:
            continue
        gated, facts = gate_section(folder, inputs, section, state, gating)
        reviewed = review.section(section, state, gated, facts)
        keys[section.name] = str(state["key"])[:KEY_LENGTH]
        cells = reviewed.cells[reviewed.cells["decision"] != "excluded"]
        named = cells[["cell", "y_um", "x_um", "outline"]].assign(
            accepted=cells["positive"].to_numpy(bool)
        )
        objects.append(_of(section, named))
        table = tissue_fields(
            counted_tissue(facts), facts.overview_px, field_um=field_um, excluded=reviewed.region,
            extent_um=extent_of(state),
        )  # fmt: skip
        fields.append(_of(section, table))
    return Frames(_joined(objects, OBJECT_COLUMNS), _joined(fields, FIELD_COLUMNS), keys)


def _of(section: Section, table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(
        section=section.name, mouse=section.mouse, group=section.group, dpi=section.dpi
    )


def _joined(tables: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    if not filled:
        return pd.DataFrame({name: [] for name in columns})
    return pd.concat(filled, ignore_index=True)[list(columns)]


def estimate(results: Path) -> AuditEstimate:
    """What the verdicts say so far.

    Raises
    ------
    InputError
        No audit was drawn.
    ResultsError
    """
    design = _require_design(results)
    logs, _ = read_logs(results)
    folder, _ = _open(results)
    mice = read_csv(folder.mice, text=("mouse", "group"))
    failed = mice[mice["sections_failed"] > 0]
    keys = zip(failed["mouse"], failed["group"], failed["dpi"], strict=True)
    return estimate_audit(
        design, settle_verdicts(design, audit_verdicts(logs)),
        incomplete=[(str(m), str(g), float(d)) for m, g, d in keys],
    )  # fmt: skip


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
    design, blinding = _require_design(results), open_blinding(results)
    rows: list[dict[str, Any]] = []
    for item in design.items:
        if item.box is not None:
            y0, x0, y1, x1 = item.box
            place = ((y0 + y1) / 2, (x0 + x1) / 2, y1 - y0, x1 - x0)
        elif item.ref is not None:
            points = np.array(item.ref.outline or (item.ref.y_um, item.ref.x_um)).reshape(-1, 2)
            size = np.ptp(points, axis=0)
            place = (item.ref.y_um, item.ref.x_um, float(size[0]), float(size[1]))
        else:
            continue
        row = (item.id, blinding.code_of(item.section), item.question, *place, "")
        rows.append(dict(zip(SHEET_COLUMNS, row, strict=True)))
    write_csv(target, pd.DataFrame(rows, columns=list(SHEET_COLUMNS)))
    return len(rows)


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
        All that is wrong with the sheet, one line each; nothing is taken in then.
    """
    design = _require_design(results)
    table = read_csv(source, text=("item", "verdict"))
    if not {"item", "verdict"} <= set(table.columns):
        raise InputError(
            f"{source} has no columns 'item' and 'verdict'. Fill in a sheet of --sheet."
        )
    items = {item.id: item for item in design.items}
    wrong, verdicts = [], {}
    for line, (item, text) in enumerate(zip(table["item"], table["verdict"], strict=True), start=2):
        value = str(text).strip()
        if not value:
            continue
        known = items.get(str(item))
        if known is None:
            wrong.append(f"{source}, line {line}: there is no item {item!r} in this audit.")
        elif not value.isdecimal() or (known.kind != TISSUE and value not in ("0", "1")):
            allowed = "0, 1, 2 …" if known.kind == TISSUE else "1 (cancer cell) or 0"
            wrong.append(f"{source}, line {line}: verdict {value!r} on {item}. Write {allowed}.")
        else:
            verdicts[known.id] = int(value)
    if wrong:
        raise InputError("\n".join(wrong))
    return _take_in(results, design, verdicts, reviewer)


def _take_in(
    results: Path, design: AuditDesign, verdicts: dict[str, int], reviewer: Reviewer
) -> int:
    logs, _ = read_logs(results)
    known = audit_verdicts(logs).get((reviewer.name, reviewer.station), {})
    new = [i for i in design.items if i.id in verdicts and known.get(i.id) != verdicts[i.id]]
    for section in dict.fromkeys(item.section for item in new):
        drafts = [
            Draft(Action.AUDIT, {"item": item.id, "value": verdicts[item.id]})
            for item in new
            if item.section == section
        ]
        with LogWriter(ReviewFolder(results), section, reviewer) as log:
            log.append(drafts)
    return len(new)


def _require_design(results: Path) -> AuditDesign:
    read_run(results)
    design = read_design(results)
    if design is None:
        raise InputError(
            f"no audit was drawn from {results}. Draw one: fociquant audit {results} --draw"
        )
    return design


def _open(results: Path) -> tuple[ResultsFolder, TableInputs]:
    folder = ResultsFolder(results)
    inputs: TableInputs = inputs_of(read_run(results), folder)
    if not folder.mice.is_file():
        raise ResultsError(f"{folder.mice} does not exist. Run 'fociquant recount {results}'.")
    return folder, inputs
