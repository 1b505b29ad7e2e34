"""The gate over a whole study: first at its floor, then at the thresholds of each batch.

Pixels are not read: everything comes from stored measurements, so `recount` gives what
the run gave.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fociquant.gate import (
    BatchThreshold,
    ChannelRange,
    gate_objects,
    marker_needed,
    section_spill_over,
)
from fociquant.model import PhenotypeRule, Section, SectionFacts
from fociquant.settings import GateSettings
from fociquant.store import ResultsFolder, facts_of, read_json, read_objects
from fociquant.store.facts import is_whole
from fociquant.units import PixelSize

if TYPE_CHECKING:
    from fociquant.run.table_inputs import TableInputs

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


def _holds(usual: ChannelRange, facts: SectionFacts, role: str) -> bool:
    return role in facts.stats and usual.holds_for(facts.stats[role])


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
