"""The gate over a whole study: first at its floor, then at the thresholds of each batch.

Pixels are not read: everything comes from stored measurements, so `recount` gives what
the run gave.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fociquant.counts import several
from fociquant.flags import CellFlag
from fociquant.gate import (
    BatchThreshold,
    ChannelRange,
    Passing,
    batch_thresholds,
    control_threshold,
    gate_objects,
    looks_of,
    marker_needed,
    section_spill_over,
)
from fociquant.gate.phenotypes import FEWEST_CONTROL_CANDIDATES
from fociquant.gate.raising import upper_bound
from fociquant.gate.standout import out_of_place
from fociquant.model import ChannelStats, PhenotypeRule, Section, SectionFacts
from fociquant.run.plan import screening_settings
from fociquant.settings import GateSettings
from fociquant.store import ResultsFolder, facts_of, read_json, read_objects, stats_of
from fociquant.store.facts import is_whole
from fociquant.units import PixelSize

if TYPE_CHECKING:
    from fociquant.run.tables import TableInputs

SATURATED = str(CellFlag.SATURATED.name).lower()
"""The flag in the text of ``flags``."""

RAISES = 3
"""How often thresholds are sought again because of what the last ones let pass in controls."""

THRESHOLD_COLUMNS = (
    "batch", "threshold_source", "marker_counts", "score_threshold", "ring_threshold",
    "control_sections", "control_sections_refused", "control_mm2",
    "false_at_floor", "false_cells", "false_per_mm2", "false_upper_per_mm2", "threshold_note",
)  # fmt: skip
"""Columns of ``thresholds.csv``."""

PHENOTYPE_PARTS = ("positive", "cells", "spill_over")
"""Columns of ``sections.csv`` per phenotype: numerator, denominator, bleed of the marker."""

Ranges = Mapping[str, Mapping[str, ChannelRange]]
"""Batch to role to the range of its channel."""

UNLIKE_BATCH = 0.2
"""A section whose range is below this part of its batch's may have been scanned otherwise."""


@dataclass(frozen=True, slots=True)
class Gating:
    """How the sections of a study are judged.

    Parameters
    ----------
    batches : mapping of str to BatchThreshold
    phenotypes : mapping of str to mapping of str to float
        Batch to phenotype to the strength that its controls ask for, where they do.
    ranges : Ranges
        Of the nuclear stain and the phenotypes.
    """

    batches: Mapping[str, BatchThreshold]
    phenotypes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    ranges: Ranges = field(default_factory=dict)

    def columns(
        self, section: Section, facts: SectionFacts | None, settings: GateSettings
    ) -> dict[str, Any]:
        """What ``sections.csv`` says of the thresholds of one section; None: it was not counted."""
        one = self.batches[section.batch]
        marker = math.nan
        if facts is not None:
            marker = marker_needed(facts, one.gate, settings) / facts.marker_unit
        return {
            "marker_threshold": marker,
            "score_threshold": _or_nan(one.gate.score),
            "ring_threshold": _or_nan(one.gate.ring_asked),
            "threshold_source": one.source,
            "threshold_note": " | ".join(one.warnings),
        }

    def table(self) -> pd.DataFrame:
        """``thresholds.csv``: a row per batch."""
        rows = [
            (
                one.batch, one.source, _or_nan(one.gate.marker), _or_nan(one.gate.score),
                _or_nan(one.gate.ring_asked), "|".join(one.controls),
                "|".join(one.refused),
                one.control_mm2, one.false_at_floor, one.false_left, one.false_per_mm2,
                one.false_per_mm2_upper, " | ".join(one.warnings),
            )
            for one in self.batches.values()
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=list(THRESHOLD_COLUMNS))

    def record(self) -> dict[str, Any]:
        """The same for ``run.json``; what is not known is None."""
        rows = self.table().astype(object).to_dict(orient="records")
        clean = [
            {
                k: None if isinstance(v, float) and not math.isfinite(v) else v
                for k, v in row.items()
            }
            for row in rows
        ]
        return {
            "thresholds": clean,
            "phenotype_thresholds": {b: dict(t) for b, t in self.phenotypes.items() if t},
            "raised_by_controls": {b: _raised(one) for b, one in self.batches.items()},
        }

    @property
    def warnings(self) -> list[str]:
        """Of all batches, in their order."""
        return [text for one in self.batches.values() for text in one.warnings]


def _raised(one: BatchThreshold) -> list[str]:
    """What the controls of a batch raised: ``marker``, ``score``, ``ring``."""
    asked = {"marker": one.gate.marker, "score": one.gate.score, "ring": one.gate.ring}
    return [name for name, at in asked.items() if math.isfinite(at)]


def _or_nan(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def stored_sections(
    folder: ResultsFolder, inputs: TableInputs
) -> Iterator[tuple[Section, dict[str, Any] | None]]:
    """Every section of the sheet with its state; None if it was not counted under this key.

    Raises
    ------
    UnreadableError
        If a state is there and cannot be read. The thresholds of a batch rest on all of its
        sections: one that is left out would change the counts of the others.
    """
    for section in inputs.sections:
        state = read_json(folder.state(section.name)) or {}
        current = bool(state) and state.get("key") == inputs.keys.get(section.name)
        yield section, state if current and is_whole(state) else None


def gate_section(
    folder: ResultsFolder,
    inputs: TableInputs,
    section: Section,
    state: Mapping[str, Any],
    gating: Gating | None = None,
    *,
    settings: GateSettings | None = None,
    ranges: Ranges | None = None,
) -> tuple[pd.DataFrame, SectionFacts]:
    """Judged objects and facts of one section; at the floor without a `gating`.

    `settings` stands in for those of the study, `ranges` for those of a `gating`.
    """
    facts = facts_of(state)
    of_batch = (gating.ranges if gating else ranges or {}).get(section.batch, {})
    gated = gate_objects(
        read_objects(folder.objects(section.name)),
        facts,
        phenotypes=inputs.phenotypes,
        settings=settings or inputs.settings.gate,
        pixel_area_um2=PixelSize(*state["analysis_pixel_um"]).area_um2,
        gate=gating.batches[section.batch].gate if gating else None,
        rules=inputs.rules,
        phenotype_thresholds=gating.phenotypes.get(section.batch) if gating else None,
        ranges={
            role: usual.counts for role, usual in of_batch.items() if _holds(usual, facts, role)
        },
    )
    return gated, facts


def find_gating(folder: ResultsFolder, inputs: TableInputs) -> Gating:
    """The thresholds of every batch of a study.

    Parameters
    ----------
    folder : ResultsFolder
    inputs : TableInputs

    Returns
    -------
    Gating
        Has every batch of the sheet, also where no section of it was counted.
    """
    ranges = _ranges(folder, inputs)
    batches, found = _thresholds(folder, inputs, ranges, {})
    phenotypes, notes = _of_phenotypes(found, inputs)
    gating = Gating(batches, phenotypes, ranges)
    missed: dict[str, set[int]] = {}
    for _ in range(RAISES):
        left = _left_in_controls(folder, inputs, gating)
        more = {name: cells - found[name].cells for name, cells in left.items()}
        if not any(cells - missed.get(name, set()) for name, cells in more.items()):
            break
        missed = {name: cells | missed.get(name, set()) for name, cells in more.items()}
        gating = replace(gating, batches=_thresholds(folder, inputs, ranges, missed)[0])
    else:
        left = _left_in_controls(folder, inputs, gating)
    told = {name: _told(one, left, notes) for name, one in gating.batches.items()}
    return replace(gating, batches=told)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """What the floor lets pass in a negative control, and what may be asked of phenotypes.

    Parameters
    ----------
    batch : str
    cells : set of int
        Numbers of the objects that pass; empty for other sections.
    strengths : mapping of str to numpy.ndarray
        Phenotype to its strength in the candidates of a negative control.
    """

    batch: str
    cells: set[int]
    strengths: Mapping[str, np.ndarray]


def _thresholds(
    folder: ResultsFolder, inputs: TableInputs, ranges: Ranges, missed: Mapping[str, set[int]]
) -> tuple[dict[str, BatchThreshold], dict[str, _Candidates]]:
    """The gate of every batch, and by section what it rests on.

    `missed`: numbers of further objects that count in control sections.
    """
    passing: list[Passing] = []
    found: dict[str, _Candidates] = {}
    for section, state in stored_sections(folder, inputs):
        if state is None:
            passing.append(_nothing(section))
            continue
        gated, facts = gate_section(folder, inputs, section, state, ranges=ranges)
        passes = gated.loc[gated["positive"], "cell"] if section.negative_control else ()
        found[section.name] = _Candidates(
            section.batch, set(passes), _strengths(section, gated, facts, inputs)
        )
        counted = gated["positive"] | gated["cell"].isin(missed.get(section.name, ()))
        passing.append(_passing(section, gated[counted], facts, inputs.rules))
    return batch_thresholds(passing, settings=inputs.settings.gate), found


def _left_in_controls(
    folder: ResultsFolder, inputs: TableInputs, gating: Gating
) -> dict[str, set[int]]:
    """Objects that count in the control sections after all, by section.

    They can be others than those that the thresholds were sought with: where the better half
    of an object that was cut in two is too weak now, the other one may pass.
    """
    found = {}
    for section, state in stored_sections(folder, inputs):
        if state is not None and section.name in gating.batches[section.batch].controls:
            gated, _ = gate_section(folder, inputs, section, state, gating)
            found[section.name] = set(gated.loc[gated["positive"], "cell"])
    return found


def _told(
    one: BatchThreshold, left: Mapping[str, set[int]], notes: Mapping[str, list[str]]
) -> BatchThreshold:
    """The threshold with what is counted in its controls indeed, and notes on phenotypes."""
    warnings = (*one.warnings, *notes.get(one.batch, ()))
    if not one.controls:
        return replace(one, warnings=warnings)
    false = sum(len(left[name]) for name in one.controls)
    return replace(
        one, warnings=warnings, false_left=false, false_per_mm2=false / one.control_mm2,
        false_per_mm2_upper=upper_bound(false, one.control_mm2),
    )  # fmt: skip


def _strengths(
    section: Section, gated: pd.DataFrame, facts: SectionFacts, inputs: TableInputs
) -> dict[str, np.ndarray]:
    """Of phenotypes for which negative controls are negative too, in one of these.

    Only candidates where screening asks for objects: without it there are more of them.
    """
    wanted = [name for name in inputs.phenotypes if name in inputs.rules
              and inputs.rules[name].controls]  # fmt: skip
    if not (section.negative_control and wanted):
        return {}
    asked = screening_settings(inputs.settings).gate
    near = ~out_of_place(gated, facts.marker_map, asked)
    return {name: gated.loc[near, f"{name}_strength"].to_numpy(np.float64) for name in wanted}


def _of_phenotypes(
    found: Mapping[str, _Candidates], inputs: TableInputs
) -> tuple[dict[str, dict[str, float]], dict[str, list[str]]]:
    """By batch: strengths that controls ask for, and notes where these say nothing."""
    strengths: dict[tuple[str, str], list[np.ndarray]] = {}
    for one in found.values():
        for name, values in one.strengths.items():
            strengths.setdefault((one.batch, name), []).append(values)
    phenotypes: dict[str, dict[str, float]] = {}
    notes: dict[str, list[str]] = {}
    for (batch, name), parts in strengths.items():
        values = np.concatenate(parts)
        threshold = control_threshold(values, inputs.settings.gate)
        if threshold is not None:
            phenotypes.setdefault(batch, {})[name] = threshold
        else:
            known = several(int(np.isfinite(values).sum()), "candidate")
            notes.setdefault(batch, []).append(
                f"{name} is judged by the sections alone: its negative controls have {known}, "
                f"{FEWEST_CONTROL_CANDIDATES} are needed"
            )
    return phenotypes, notes


def _ranges(folder: ResultsFolder, inputs: TableInputs) -> Ranges:
    """The ranges of each batch's channels, over its sections that have them."""
    found: dict[str, dict[str, list[ChannelStats]]] = {}
    for section, state in stored_sections(folder, inputs):
        stats = stats_of(state) if state is not None else {}
        for role in ("nucleus", *inputs.phenotypes):
            if role in stats:
                found.setdefault(section.batch, {}).setdefault(role, []).append(stats[role])
    return {
        batch: {role: ChannelRange.of_batch(sections) for role, sections in roles.items()}
        for batch, roles in found.items()
    }


def _holds(usual: ChannelRange, facts: SectionFacts, role: str) -> bool:
    return role in facts.stats and usual.holds_for(facts.stats[role])


def _passing(
    section: Section,
    counted: pd.DataFrame,
    facts: SectionFacts,
    rules: Mapping[str, PhenotypeRule],
) -> Passing:
    saturated = {flags: SATURATED in flags.split(";") for flags in counted["flags"].unique()}
    return Passing(
        section.name, section.batch, section.negative_control, facts.tissue_mm2,
        counted[["marker_unexplained", "score_mean", "ring"]].to_numpy(np.float64),
        counted[["y_um", "x_um"]].to_numpy(np.float64),
        unstained=facts.autofluorescence_slope is not None,
        looks=looks_of(counted, counted["marker_strength"].to_numpy(), facts, rules),
        pigment=facts.redder,
        saturated=counted["flags"].map(saturated).to_numpy(bool),
    )  # fmt: skip


def _nothing(section: Section) -> Passing:
    """A section that says nothing: it was not counted."""
    return Passing(
        section.name, section.batch, section.negative_control, 0.0, np.empty((0, 3)),
        np.empty((0, 2)), counted=False,
    )  # fmt: skip


def unlike_its_batch(
    section: Section, facts: SectionFacts, gating: Gating, inputs: TableInputs
) -> list[str]:
    """A warning for each phenotype whose channel looks as if it was scanned otherwise."""
    found = []
    for name, usual in gating.ranges.get(section.batch, {}).items():
        if name not in inputs.phenotypes or name not in facts.stats:
            continue
        own = facts.stats[name].high - facts.stats[name].low
        spans = f"the {name} channel spans {own:.4g} counts, {usual.counts:.4g} in its batch"
        cure = "if it was scanned otherwise, give it a batch of its own"
        if not usual.holds_for(facts.stats[name]):
            found.append(f"{spans}, with another noise: {name} is judged by its own; {cure}")
        elif own < UNLIKE_BATCH * usual.counts:
            found.append(f"{spans}, by which its {name} is judged; {cure}")
    return found


def has_channel(gated: pd.DataFrame, name: str) -> bool:
    """Whether the section has the channel of a phenotype."""
    return f"{name}_ring" in gated


def phenotype_columns(gated: pd.DataFrame, inputs: TableInputs) -> dict[str, Any]:
    """Numerator, denominator and spill-over of each phenotype; unknown without its channel."""
    counted = gated[gated["positive"]]
    found: dict[str, Any] = {}
    for name in inputs.phenotypes:
        known = has_channel(gated, name)
        rule = inputs.rules.get(name, PhenotypeRule())
        judged = counted[f"{name}_positive"].dropna()  # a cell added by hand may not be
        found[f"{name}_positive"] = int(judged.sum()) if known else np.nan
        found[f"{name}_cells"] = len(judged) if known else np.nan
        found[f"{name}_spill_over"] = section_spill_over(gated, name, rule)
    return found


def missing_channels(gated: pd.DataFrame, inputs: TableInputs) -> list[str]:
    """A warning for each phenotype and immune marker whose channel the section has not."""
    warnings = [
        f"the image has no channel for {name}: its cells are left out of the share of {name}"
        for name in inputs.phenotypes
        if not has_channel(gated, name)
    ]
    return warnings + [
        f"the image has no channel for {name}: no bands of it around foci"
        for name in inputs.immune
        if not has_channel(gated, name)
    ]
