"""The thresholds of every batch of a study, sought over stored measurements.

First every section is judged at the floor of the gate; what passes there in the negative
controls raises the gate of their batch, until what counts in them is what the thresholds
say is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fociquant.counts import several
from fociquant.flags import CellFlag, carrying
from fociquant.gate import (
    BatchThreshold,
    ChannelRange,
    Passing,
    batch_thresholds,
    control_threshold,
    looks_of,
)
from fociquant.gate.phenotypes import FEWEST_CONTROL_CANDIDATES
from fociquant.gate.raising import upper_bound
from fociquant.gate.standout import out_of_place
from fociquant.model import ChannelStats, PhenotypeRule, Section, SectionFacts
from fociquant.run.gating import Gating, Ranges, gate_section, stored_sections
from fociquant.run.plan import screening_settings
from fociquant.store import ResultsFolder, stats_of

if TYPE_CHECKING:
    from fociquant.run.table_inputs import TableInputs

ASKED = ("marker_unexplained", "score_mean", "ring")
"""Columns that thresholds are asked of, in the order of ``Passing.values``."""

RAISES = 3
"""How often thresholds are sought again because of what the last ones let pass in controls."""


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
    passing, found = _at_the_floor(folder, inputs, ranges)
    phenotypes, notes = _of_phenotypes(found, inputs)

    def gating_of(sections: Sequence[Passing]) -> Gating:
        batches = batch_thresholds(sections, settings=inputs.settings.gate)
        return Gating(batches, phenotypes, ranges)

    gating = gating_of(passing)
    missed: dict[str, dict[int, tuple[float, ...]]] = {}
    left = _left_in_controls(folder, inputs, gating)
    for _ in range(RAISES):
        news = False
        for name, cells in left.items():
            known = missed.setdefault(name, {})
            seen = found[name].cells | known.keys()
            new = {cell: row for cell, row in cells.items() if cell not in seen}
            known.update(new)
            news |= bool(new)
        if not news:
            break
        gating = gating_of([_with_missed(one, missed.get(one.section, {})) for one in passing])
        left = _left_in_controls(folder, inputs, gating)
    told = {name: _told(one, left, notes) for name, one in gating.batches.items()}
    return replace(gating, batches=told)


def _with_missed(one: Passing, missed: Mapping[int, tuple[float, ...]]) -> Passing:
    rows = [missed[cell] for cell in sorted(missed)]
    return replace(one, missed=np.array(rows, np.float64).reshape(-1, 3)) if rows else one


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


def _at_the_floor(
    folder: ResultsFolder, inputs: TableInputs, ranges: Ranges
) -> tuple[list[Passing], dict[str, _Candidates]]:
    """What passes in every section at the floor of the gate."""
    passing: list[Passing] = []
    found: dict[str, _Candidates] = {}
    for section, state in stored_sections(folder, inputs):
        if state is None:
            passing.append(_nothing(section))
            continue
        gated, facts = gate_section(folder, inputs, section, state, ranges=ranges)
        counted = gated[gated["positive"]]
        passes = counted["cell"] if section.negative_control else ()
        found[section.name] = _Candidates(
            section.batch, set(passes), _strengths(section, gated, facts, inputs)
        )
        passing.append(_passing(section, counted, facts, inputs.rules))
    return passing, found


def _left_in_controls(
    folder: ResultsFolder, inputs: TableInputs, gating: Gating
) -> dict[str, dict[int, tuple[float, ...]]]:
    """What counts in the control sections after all: by section and number, what it is asked for.

    These can be other objects than thresholds were sought with: where the better half of an
    object that was cut in two is too weak now, the other one may pass.
    """
    found = {}
    for section, state in stored_sections(folder, inputs):
        if state is not None and section.name in gating.batches[section.batch].controls:
            gated, _ = gate_section(folder, inputs, section, state, gating)
            counted = gated[gated["positive"]]
            rows = counted[list(ASKED)].itertuples(index=False, name=None)
            found[section.name] = dict(zip(counted["cell"].tolist(), rows, strict=True))
    return found


def _told(
    one: BatchThreshold,
    left: Mapping[str, Mapping[int, tuple[float, ...]]],
    notes: Mapping[str, list[str]],
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


def _passing(
    section: Section,
    counted: pd.DataFrame,
    facts: SectionFacts,
    rules: Mapping[str, PhenotypeRule],
) -> Passing:
    return Passing(
        section.name, section.batch, section.negative_control, facts.tissue_mm2,
        counted[list(ASKED)].to_numpy(np.float64),
        counted[["y_um", "x_um"]].to_numpy(np.float64),
        unstained=facts.autofluorescence_slope is not None,
        looks=looks_of(counted, counted["marker_strength"].to_numpy(), facts, rules),
        pigment=facts.redder,
        saturated=carrying(counted["flags"], CellFlag.SATURATED),
    )  # fmt: skip


def _nothing(section: Section) -> Passing:
    """A section that says nothing: it was not counted."""
    return Passing(
        section.name, section.batch, section.negative_control, 0.0, np.empty((0, 3)),
        np.empty((0, 2)), counted=False,
    )  # fmt: skip
