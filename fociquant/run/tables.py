"""From stored objects to the tables: gate, foci, mice; no pixels are read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fociquant.atomic import atomic_path, remove
from fociquant.cohort import (
    ASSUMED_CV,
    COMPARISON_COLUMNS,
    GROUP_COLUMNS,
    compare_groups,
    group_table,
    mice_table,
    power_table,
)
from fociquant.errors import ResultsError
from fociquant.foci import find_foci, link_sensitivity
from fociquant.model import (
    CELL_COLUMNS,
    FOCUS_COLUMNS,
    MOUSE_COLUMNS,
    SECTION_COLUMNS,
    PhenotypeRule,
    Section,
    SectionFacts,
)
from fociquant.reading import is_file, look_at
from fociquant.run.gating import (
    PHENOTYPE_PARTS,
    THRESHOLD_COLUMNS,
    Gating,
    gate_section,
    missing_channels,
    phenotype_columns,
    stored_sections,
    unlike_its_batch,
)
from fociquant.run.immune import bands_table, section_bands, uncounted_bands
from fociquant.run.linking import sensitivity_table
from fociquant.run.places import PLACE_COLUMNS, compartment_counts, no_places, place
from fociquant.run.review import CELL_COLUMNS as REVIEW_COLUMNS
from fociquant.run.review import StudyReview, unreviewed
from fociquant.run.seams import seam_columns
from fociquant.run.sections import DONE, FAILED
from fociquant.run.thresholds import find_gating
from fociquant.settings import FociProfile, Settings
from fociquant.store import ResultsFolder, read_csv, read_json, write_csv
from fociquant.store.tables import as_written
from fociquant.study.taken import CARRIED_TO, made_columns, taken_names

TEXT_COLUMNS = (
    "section", "image", "mouse", "group", "status", "reason", "warnings", "control", "batch",
    "reviewed", "review", "edited", "compartment", "region",
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

PIECE_ROWS = 65536
"""Rows of ``cells.parquet`` that are made ready at a time: a section of a million cells would
take 400 MB more as one piece. The file's bytes depend on it."""


@dataclass(frozen=True, slots=True)
class TableInputs:
    """All that the tables need besides stored objects.

    Parameters
    ----------
    sections : tuple of Section
        In the order of the sheet.
    settings : Settings
    profile : FociProfile
    names : mapping of str to str
        Role to channel name in tables.
    phenotypes : tuple of str
        Of the cancer cells; markers of immune cells are `immune`.
    reference_group : str or None
    keys : mapping of str to str
        Section name to the key under which its objects must have been stored; a section
        that has none could not be opened.
    rules : mapping of str to PhenotypeRule
        How phenotypes are read, where the study file says it.
    """

    sections: tuple[Section, ...]
    settings: Settings
    profile: FociProfile
    names: Mapping[str, str]
    phenotypes: tuple[str, ...]
    reference_group: str | None
    keys: Mapping[str, str]
    rules: Mapping[str, PhenotypeRule] = field(default_factory=dict)

    @property
    def immune(self) -> tuple[str, ...]:
        """Markers of the immune cells that are counted around foci."""
        return tuple(name for name, rule in self.rules.items() if rule.immune)

    @property
    def extras(self) -> tuple[str, ...]:
        """Extra columns of the sheet, in its order; none that the tables make themselves.

        A study with such a column is refused before it is counted; results of earlier versions
        may name one.
        """
        names = dict.fromkeys(name for section in self.sections for name in section.extra)
        if not names:
            return ()
        # Columns of channels are in cells.parquet, to which no column of the sheet is carried.
        made = made_columns(
            phenotypes=self.phenotypes, immune=bool(self.immune), profile=self.profile
        )
        taken = taken_names(made)
        return tuple(name for name in names if name.casefold() not in taken)


@dataclass(frozen=True, slots=True)
class Tables:
    """The study's tables, as written.

    Parameters
    ----------
    sections, foci, mice, groups, comparisons : pandas.DataFrame
    gating : Gating, optional
        The thresholds, where they were just found.
    not_read : tuple of str
        What is wrong with logs of reviewers that belong to no section.
    """

    sections: pd.DataFrame
    foci: pd.DataFrame
    mice: pd.DataFrame
    groups: pd.DataFrame
    comparisons: pd.DataFrame
    gating: Gating | None = None
    not_read: tuple[str, ...] = ()

    @property
    def power(self) -> pd.DataFrame:
        """Mice per group for the next experiment, if its mice are like these."""
        cv = self.comparisons["cv_between_mice"].dropna()
        reference = self.groups["group"].isin(self.comparisons["reference"])
        means = self.groups["mean"][reference & (self.groups["mean"] > 0)]
        return power_table(
            reference_mean=max(0.1, round(float(means.median()), 1)) if len(means) else 1.0,
            cv=float(cv.iloc[0]) if len(cv) else ASSUMED_CV,
        )

    @property
    def uncounted(self) -> list[str]:
        """Names of the sections that could not be counted."""
        return [str(name) for name in self.sections["section"][self.sections["status"] != DONE]]


@dataclass(frozen=True, slots=True)
class _Counted:
    """One section after gate and foci."""

    row: dict[str, Any]
    cells: pd.DataFrame
    foci: pd.DataFrame
    links: pd.DataFrame | None = None
    bands: Sequence[dict[str, Any]] = ()


def write_tables(folder: ResultsFolder, inputs: TableInputs) -> Tables:
    """Gate, link and sum everything that is stored, and write every table.

    Parameters
    ----------
    folder : ResultsFolder
    inputs : TableInputs

    Returns
    -------
    Tables
    """
    rows: list[dict[str, Any]] = []
    foci: list[pd.DataFrame] = []
    links: list[pd.DataFrame | None] = []
    bands: list[dict[str, Any]] = []
    schema = cells_schema(inputs)
    gating = find_gating(folder, inputs)
    review = StudyReview.read(folder, inputs)
    with (
        atomic_path(folder.cells) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for counted in _count_all(folder, inputs, gating, review):
            rows.append(counted.row)
            foci.append(counted.foci)
            links.append(counted.links)
            bands += counted.bands
            _append(writer, counted.cells, schema)
            del counted  # or it would stay in memory while the next section is counted
    sections = pd.DataFrame(rows)
    all_foci = pd.concat(foci, ignore_index=True)
    mice = mice_table(
        sections, all_foci, inputs.profile, inputs.phenotypes,
        reference_group=inputs.reference_group, extras=inputs.extras,
        min_cells=inputs.settings.gate.min_cells_for_fraction,
    )  # fmt: skip
    mice = review.with_mice(folder, mice, sections)
    groups = group_table(mice, reference_group=inputs.reference_group)
    groups = review.with_groups(groups, mice)
    comparisons = compare_groups(mice, reference_group=inputs.reference_group)
    comparisons = as_written(comparisons)  # the report has what the file has
    tables = Tables(sections, all_foci, mice, groups, comparisons, gating, review.not_read)
    write_csv(folder.thresholds, gating.table())
    write_csv(folder.sections, sections)
    write_csv(folder.foci, all_foci)
    sensitivity = sensitivity_table(
        rows, links, profile=inputs.profile, link_um=inputs.settings.foci.link_um,
        reference_group=inputs.reference_group,
    )  # fmt: skip
    write_csv(folder.links, sensitivity)
    if inputs.immune:
        write_csv(folder.bands, bands_table(bands))
    else:
        remove(folder.bands)
    write_csv(folder.mice, mice)
    write_csv(folder.groups, groups)
    write_csv(folder.comparisons, comparisons)
    review.write(folder)
    return tables


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


def _append(writer: pq.ParquetWriter, cells: pd.DataFrame, schema: pa.Schema) -> None:
    """Write the cells of a section piece by piece, at least one piece."""
    for first in range(0, max(len(cells), 1), PIECE_ROWS):
        piece = cells.iloc[first : first + PIECE_ROWS]
        writer.write_table(pa.Table.from_pandas(piece, schema=schema, preserve_index=False))


def _count_all(
    folder: ResultsFolder, inputs: TableInputs, gating: Gating, review: StudyReview
) -> Iterator[_Counted]:
    for section, state in stored_sections(folder, inputs):
        if state is not None:
            yield _count_section(folder, inputs, section, state, gating, review)
        else:
            failure = read_json(folder.failure(section.name)) or {}
            reason = failure.get("reason") or "not counted yet; run the same command again"
            yield _uncounted(inputs, section, reason, gating)


def _count_section(
    folder: ResultsFolder,
    inputs: TableInputs,
    section: Section,
    state: Mapping[str, Any],
    gating: Gating,
    review: StudyReview,
) -> _Counted:
    judged, facts = gate_section(folder, inputs, section, state, gating)
    reviewed = review.section(section, state, judged, facts)
    gated = reviewed.cells
    linked = find_foci(
        gated,
        link_um=inputs.settings.foci.link_um,
        profile=inputs.profile,
        phenotypes=inputs.phenotypes,
        edits=reviewed.edits,
    )
    places = place(gated, facts, inputs.settings.gate)
    cells = _rename(gated.assign(focus=linked.focus, **places), inputs, section)
    foci = linked.foci.assign(edited=linked.edited)
    foci = foci.assign(**place(foci, facts, inputs.settings.gate))
    foci.insert(0, "section", section.name)
    foci.insert(1, "mouse", section.mouse)
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
        "foci": len(foci),
        "candidates": len(judged),
        **compartment_counts(places["compartment"][gated["positive"].to_numpy(bool)]),
        "warnings": " | ".join(
            [
                *state.get("warnings", []),
                *missing_channels(judged, inputs),
                *unlike_its_batch(section, facts, gating, inputs),
                *reviewed.warnings,
            ]
        ),
        **seam_columns(state),
        **gating.columns(section, facts, inputs.settings.gate),
        **phenotype_columns(gated, inputs),
        **reviewed.columns,
    }
    links = link_sensitivity(gated, link_um=inputs.settings.foci.link_um, profile=inputs.profile)
    bands = section_bands(folder, inputs, section, state, reviewed, linked, facts)
    return _Counted(_section_row(inputs, section, counts), cells, foci, links, bands)


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


def _uncounted(inputs: TableInputs, section: Section, reason: str, gating: Gating) -> _Counted:
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
    return _Counted(row, cells, _no_foci(inputs), bands=uncounted_bands(inputs, section))


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
    foci = found.foci.assign(edited=found.edited, **no_places())
    foci.insert(0, "section", pd.Series([], dtype=object))
    foci.insert(1, "mouse", pd.Series([], dtype=object))
    return foci


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
    row["region"] = section.region
    # What was found stays, whatever the sheet's own columns are called.
    return row | {name: section.extra.get(name, "") for name in inputs.extras if name not in row}
