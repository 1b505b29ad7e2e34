"""An audit of a results folder: drawn from it, estimated with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import shapely

from fociquant.errors import InputError, ResultsError
from fociquant.flags import CellFlag, carrying
from fociquant.model import Section, SectionFacts
from fociquant.review import (
    AuditDesign,
    AuditEstimate,
    ReviewFolder,
    audit_verdicts,
    draw_audit,
    estimate_audit,
    read_design,
    read_logs,
    require_design,
    settle_verdicts,
    tissue_fields,
    with_surroundings,
    write_design,
)
from fociquant.review.audit_design import (
    ACCEPTED,
    FIELD_COLUMNS,
    OBJECT_COLUMNS,
    REJECTED,
    TISSUE,
    Owner,
)
from fociquant.review.regions import from_mask
from fociquant.review.results import KEY_LENGTH, read_run
from fociquant.review.reviewers import AUDIT
from fociquant.run.audit_currency import mice_in_no_mean, mice_that_changed, owner_of, shown_by
from fociquant.run.audit_sheet import read_sheet, write_sheet
from fociquant.run.gating import gate_section, stored_sections
from fociquant.run.provenance import inputs_of
from fociquant.run.review import StudyReview
from fociquant.run.reviewed_section import counted_tissue, extent_of
from fociquant.run.table_inputs import TableInputs
from fociquant.run.thresholds import find_gating
from fociquant.settings import ReviewSettings
from fociquant.store import ResultsFolder, read_csv

__all__ = [
    "Frames",
    "audit_frames",
    "audit_settings",
    "draw",
    "estimate",
    "read_sheet",
    "write_sheet",
]

ELSEWHERE = CellFlag.OUTSIDE_REGION | CellFlag.IN_ARTEFACT
"""Of a candidate in another section of the slide, which has cells of another mouse, or in a masked
place: both are in no area, so what is a cancer cell there is none that this section lacks."""


@dataclass(frozen=True, slots=True)
class Frames:
    """What a sample can be drawn from.

    Parameters
    ----------
    objects : pandas.DataFrame
        `OBJECT_COLUMNS`.
    outlined : pandas.DataFrame
        The same, with candidates that are not drawn: what has an outline was not missed.
    fields : pandas.DataFrame
        `FIELD_COLUMNS`.
    keys : dict of str to str
        Section to the fingerprint of its results.
    excluded : dict of str to shapely geometry
        Section to what is not counted of its image.
    images : dict of str to str
        Section to the fingerprint of its image, and the region.
    owners : dict of str to (str, str, float)
        Section to its mouse, group and dpi.
    """

    objects: pd.DataFrame
    outlined: pd.DataFrame
    fields: pd.DataFrame
    keys: dict[str, str]
    excluded: dict[str, shapely.Geometry]
    images: dict[str, str]
    owners: dict[str, Owner]


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

    Negative controls, excluded mice and regions, masked artefacts and other sections of the same
    slide are left out.

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
    design = with_surroundings(design, frames.outlined, frames.excluded)
    design = replace(design, images=frames.images, owners=frames.owners)
    write_design(results, design)
    return design


def audit_frames(folder: ResultsFolder, inputs: TableInputs, *, field_um: float) -> Frames:
    """Every candidate and every field of tissue counted, of mice that are in means."""
    review, gating = StudyReview.read(folder, inputs), find_gating(folder, inputs)
    objects, outlined, fields = [], [], []
    keys, excluded, images, owners = {}, {}, {}, {}
    for section, state in stored_sections(folder, inputs):
        if state is None or section.negative_control or section.excluded:
            continue
        gated, facts = gate_section(folder, inputs, section, state, gating)
        reviewed = review.section(section, state, gated, facts)
        excluded[section.name] = shapely.union_all([reviewed.region, _masked(facts)])
        keys[section.name] = str(state["key"])[:KEY_LENGTH]
        images[section.name] = shown_by(section, state)
        owners[section.name] = owner_of(section)
        cells = reviewed.cells[reviewed.cells["decision"] != "excluded"]
        named = cells[["cell", "y_um", "x_um", "outline"]].assign(
            accepted=cells["positive"].to_numpy(bool)
        )
        outlined.append(_of(section, named))
        objects.append(_of(section, named[_is_here(cells)]))
        table = tissue_fields(
            counted_tissue(facts), facts.overview_px, field_um=field_um, excluded=reviewed.region,
            extent_um=extent_of(state),
        )  # fmt: skip
        fields.append(_of(section, table))
    return Frames(
        _joined(objects, OBJECT_COLUMNS), _joined(outlined, OBJECT_COLUMNS),
        _joined(fields, FIELD_COLUMNS), keys, excluded, images, owners,
    )  # fmt: skip


def _is_here(cells: pd.DataFrame) -> np.ndarray:
    """Whether objects can be cells of the section: not `ELSEWHERE`, or counted all the same.

    A person who accepts a candidate there says that it is a cell of this section.
    """
    return np.asarray(cells["positive"].to_numpy(bool) | ~carrying(cells["flags"], ELSEWHERE))


def _masked(facts: SectionFacts) -> shapely.Geometry:
    """Artefacts, and what is another section: cells there are not asked for in fields."""
    masked = facts.artefact if facts.region is None else facts.artefact | ~facts.region
    return from_mask(masked, facts.overview_px)


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
    design = require_design(results)
    logs, unusable = read_logs(results)
    folder, inputs = _open(results)
    mice = read_csv(folder.mice, text=("mouse", "group"))
    found = estimate_audit(
        design, settle_verdicts(design, audit_verdicts(design, logs)),
        incomplete=mice_in_no_mean(mice),
        changed=mice_that_changed(design, folder, inputs),
    )  # fmt: skip
    left_out = [
        f"verdicts that are not applied: {' '.join(texts)}"
        for path, texts in unusable.items()
        if path.name.startswith(f"{AUDIT}--")
    ]
    return replace(found, notes=(*found.notes, *left_out))


def _open(results: Path) -> tuple[ResultsFolder, TableInputs]:
    folder = ResultsFolder(results)
    inputs: TableInputs = inputs_of(read_run(results), folder)
    if not folder.mice.is_file():
        raise ResultsError(f"{folder.mice} does not exist. Run 'fociquant recount {results}'.")
    return folder, inputs
