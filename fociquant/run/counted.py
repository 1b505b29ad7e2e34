"""Each section by itself: gate, review, foci, and its rows of every table; no pixels are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fociquant.foci import FociResult, find_foci, link_sensitivity
from fociquant.model import CELL_COLUMNS, Section, SectionFacts
from fociquant.run.gating import (
    PHENOTYPE_PARTS,
    Gating,
    gate_section,
    missing_channels,
    phenotype_columns,
    stored_sections,
    unlike_its_batch,
)
from fociquant.run.immune import section_bands, uncounted_bands
from fociquant.run.places import PLACE_COLUMNS, compartment_counts, no_places, place
from fociquant.run.review import StudyReview
from fociquant.run.reviewed_section import CELL_COLUMNS as REVIEW_COLUMNS
from fociquant.run.reviewed_section import unreviewed
from fociquant.run.seams import seam_columns
from fociquant.run.sections import DONE, FAILED
from fociquant.run.table_inputs import TableInputs
from fociquant.store import ResultsFolder, read_json


@dataclass(frozen=True, slots=True)
class Counted:
    """One section after gate and foci: its rows of every table but that of the cells."""

    row: dict[str, Any]
    foci: pd.DataFrame
    links: pd.DataFrame | None = None
    bands: Sequence[dict[str, Any]] = ()


def count_all(
    folder: ResultsFolder, inputs: TableInputs, gating: Gating, review: StudyReview
) -> Iterator[tuple[Counted, pd.DataFrame]]:
    """The sections of the study one after the other, each with its rows of ``cells.parquet``."""
    for section, state in stored_sections(folder, inputs):
        if state is not None:
            yield _count_section(folder, inputs, section, state, gating, review)
        else:
            failure = read_json(folder.failure(section.name)) or {}
            reason = failure.get("reason") or "not counted yet; run the same command again"
            yield _uncounted(inputs, section, reason, gating)


def cells_schema(inputs: TableInputs) -> pa.Schema:
    """Schema of ``cells.parquet``."""
    kinds: dict[str, pa.DataType] = {
        "section": pa.string(),
        "mouse": pa.string(),
        "cell": pa.int64(),
        "focus": pa.int64(),
        "positive": pa.bool_(),
        "flags": pa.string(),
        "compartment": pa.string(),
        "outline": pa.list_(pa.float32()),
        "positive_automatic": pa.bool_(),
        "decision": pa.string(),
        **{f"{name}_positive": pa.bool_() for name in inputs.phenotypes},
    }
    return pa.schema([(name, kinds.get(name, pa.float64())) for name in _cell_columns(inputs)])


def _cell_columns(inputs: TableInputs) -> list[str]:
    columns = [*CELL_COLUMNS]
    channels = list(dict.fromkeys(inputs.names.values()))
    columns += [f"{name}_mean" for name in channels]
    columns += [f"{name}_positive" for name in inputs.phenotypes]
    columns += [f"{name}_background" for name in channels]
    columns += ["marker_excess", "marker_strength", "ring", "solidity", "eccentricity", "score"]
    columns += PLACE_COLUMNS
    return [*columns, *REVIEW_COLUMNS, "mouse", "outline"]


def _count_section(
    folder: ResultsFolder,
    inputs: TableInputs,
    section: Section,
    state: Mapping[str, Any],
    gating: Gating,
    review: StudyReview,
) -> tuple[Counted, pd.DataFrame]:
    judged, facts = gate_section(folder, inputs, section, state, gating)
    reviewed = review.section(section, state, judged, facts)
    gated = reviewed.cells
    link_um, profile = inputs.settings.foci.link_um, inputs.profile
    linked = find_foci(
        gated, link_um=link_um, profile=profile, phenotypes=inputs.phenotypes, edits=reviewed.edits
    )
    places = place(gated, facts, inputs.settings.gate)
    cells = _rename(gated.assign(focus=linked.focus, **places), inputs, section)
    found_at = place(linked.foci, facts, inputs.settings.gate)
    warnings = [
        *state.get("warnings", []),
        *missing_channels(judged, inputs),
        *unlike_its_batch(section, facts, gating, inputs),
        *reviewed.warnings,
    ]
    counts = {
        "status": DONE,
        "reason": "",
        "tissue_mm2": reviewed.tissue_mm2,
        "parenchyma_mm2": reviewed.parenchyma_mm2,
        "artefact_mm2": facts.artefact_mm2,
        "artefact_pct": _masked_pct(facts),
        "shading_pct": _shading_pct(facts),
        **_step_columns(facts),
        "cells": int(gated["positive"].sum()),
        "foci": len(linked.foci),
        "candidates": len(judged),
        **compartment_counts(places["compartment"][gated["positive"].to_numpy(bool)]),
        "warnings": " | ".join(warnings),
        **seam_columns(state),
        **gating.columns(section, facts, inputs.settings.gate),
        **phenotype_columns(gated, inputs),
        **reviewed.columns,
    }
    counted = Counted(
        row=_section_row(inputs, section, counts),
        foci=_foci_rows(linked, found_at, section.name, section.mouse),
        links=link_sensitivity(gated, link_um=link_um, profile=profile),
        bands=section_bands(folder, inputs, section, state, reviewed, linked, facts),
    )
    return counted, cells


def _foci_rows(
    linked: FociResult, found_at: Mapping[str, Any], section: Any, mouse: Any
) -> pd.DataFrame:
    """Rows of ``foci.csv`` of one section."""
    foci = linked.foci.assign(edited=linked.edited, **found_at)
    foci.insert(0, "section", section)
    foci.insert(1, "mouse", mouse)
    return foci


def _masked_pct(facts: SectionFacts) -> float:
    """Share of all tissue that lies in artefacts, percent; unknown without tissue."""
    whole = facts.tissue_mm2 + facts.artefact_mm2
    return 100.0 * facts.artefact_mm2 / whole if whole > 0 else np.nan


def _shading_pct(facts: SectionFacts) -> float:
    """Light missing at the darkest place of a camera field, worst channel; unknown: none shows."""
    return 100.0 * max((one.loss for one in facts.shading.values()), default=np.nan)


def _step_columns(facts: SectionFacts | None) -> dict[str, float]:
    """The marker's steps between camera fields; empty where no fields show."""
    steps = facts.field_steps if facts is not None else None
    if steps is None or "marker" not in steps.percent:
        return {"field_step_pct": np.nan, "field_step_borders": np.nan}
    return {"field_step_pct": steps.percent["marker"], "field_step_borders": steps.borders}


def _rename(gated: pd.DataFrame, inputs: TableInputs, section: Section) -> pd.DataFrame:
    """From names by role to names by channel, with the columns of the contract."""
    renamed = {"score_mean": "score"}
    # Two roles may share a channel: the first to name it fills its columns.
    first = {name: role for role, name in reversed(list(inputs.names.items()))}
    for name, role in first.items():
        renamed[f"{role}_mean"] = f"{name}_mean"
        renamed[f"{role}_ring"] = f"{name}_background"
    table = gated.rename(columns=renamed)
    table["section"], table["mouse"] = section.name, section.mouse
    missing = [column for column in _cell_columns(inputs) if column not in table]
    for column in missing:
        table[column] = np.nan
    return table[_cell_columns(inputs)]


def _uncounted(
    inputs: TableInputs, section: Section, reason: str, gating: Gating
) -> tuple[Counted, pd.DataFrame]:
    unknown = ("tissue_mm2", "parenchyma_mm2", "artefact_mm2", "artefact_pct", "shading_pct",
               "cells", "foci", "candidates", *compartment_counts([]))  # fmt: skip
    counts = {
        "status": FAILED, "reason": reason, **dict.fromkeys(unknown, np.nan), "warnings": "",
        **seam_columns(None),
        **_step_columns(None),
        **gating.columns(section, None, inputs.settings.gate),
        **{f"{name}_{what}": np.nan for name in inputs.phenotypes for what in PHENOTYPE_PARTS},
        **unreviewed(),
    }  # fmt: skip
    row = _section_row(inputs, section, counts)
    cells = pa.Table.from_pylist([], schema=cells_schema(inputs)).to_pandas()
    return Counted(row, _no_foci(inputs), bands=uncounted_bands(inputs, section)), cells


def _no_foci(inputs: TableInputs) -> pd.DataFrame:
    columns = ["cell", "y_um", "x_um", "area_um2", "positive", "outline"]
    columns += [f"{name}_positive" for name in inputs.phenotypes]
    nothing = pd.DataFrame({name: [] for name in columns}).astype(
        {"cell": "int64", "positive": bool}
    )
    for name in inputs.phenotypes:
        nothing[f"{name}_positive"] = nothing[f"{name}_positive"].astype(bool)
    found = find_foci(
        nothing,
        link_um=inputs.settings.foci.link_um,
        profile=inputs.profile,
        phenotypes=inputs.phenotypes,
    )
    nobody = pd.Series([], dtype=object)
    return _foci_rows(found, no_places(), nobody, nobody)


def _section_row(
    inputs: TableInputs, section: Section, counts: Mapping[str, Any]
) -> dict[str, Any]:
    """One row of ``sections.csv``: the contract's columns, then the others."""
    row = {
        "section": section.name,
        "image": section.image_text,
        "mouse": section.mouse,
        "group": section.group,
        "dpi": section.dpi,
    }
    first: Sequence[str] = ("status", "reason", "tissue_mm2", "cells", "foci")
    row |= {name: counts[name] for name in first}
    row |= {name: value for name, value in counts.items() if name not in first}
    row["control"] = "negative" if section.negative_control else ""
    row["batch"] = section.batch
    row["region"], row["excluded"] = section.region, section.excluded
    # What was found stays, whatever the sheet's own columns are called.
    return row | {name: section.extra.get(name, "") for name in inputs.extras if name not in row}
