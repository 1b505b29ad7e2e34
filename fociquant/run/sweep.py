"""How counts and comparisons change with the gate; stored tables are never touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fociquant.cohort import compare_groups, group_table
from fociquant.errors import ResultsError
from fociquant.model import Section
from fociquant.run.gating import Gating, gate_section, stored_sections
from fociquant.run.provenance import inputs_of, open_results
from fociquant.run.table_inputs import TableInputs
from fociquant.run.thresholds import find_gating
from fociquant.run.verdict import sentences
from fociquant.settings import GateSettings
from fociquant.store import ResultsFolder, read_csv

STEPS = 8
"""Thresholds above the one in use, per property."""

LEFT_AT_LAST = 0.5
"""The last threshold leaves about this part of the cells that are counted now."""

MOUSE_KEY = ["mouse", "group", "dpi"]


@dataclass(frozen=True, slots=True)
class Level:
    """One gate of the sweep.

    Parameters
    ----------
    property : str
        A key of :data:`~fociquant.run.verdict.PROPERTIES`.
    threshold : float
        What every section asks for at least, in the unit of the property.
    state : {'floor', 'in use', 'raised'}
        As if no section were marked as a control; as in the tables; higher than that.
    """

    property: str
    threshold: float
    state: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """Counts and comparisons at every level.

    Parameters
    ----------
    mice : pandas.DataFrame
        ``property, threshold, state, mouse, group, dpi, cells``.
    groups : pandas.DataFrame
        ``property, threshold, state, group, dpi, mice, mean, rate_ratio, ratio_low, ratio_high,
        p_model, p_holm, comparison_note``, one row per level, group and day.
    sentences : tuple of str
        What it means, in plain words.
    reference_group : str or None
    """

    mice: pd.DataFrame
    groups: pd.DataFrame
    sentences: tuple[str, ...]
    reference_group: str | None


def sweep_gate(root: Path) -> Sweep:
    """Judge all stored objects again at rising thresholds.

    Counts and areas are those of the gate alone: decisions of reviewers are left out, and regions
    that they excluded are counted.

    Parameters
    ----------
    root : pathlib.Path
        Results folder.

    Returns
    -------
    Sweep

    Raises
    ------
    ResultsError
        If there are no results of this version, or no section was counted.
    """
    folder, record = open_results(root)
    inputs = inputs_of(record, folder)
    gating = find_gating(folder, inputs)
    levels, counts = _count(folder, inputs, gating)
    if not counts:
        raise ResultsError(f"{root} has no counted section. Run the study first.")
    table = _mice_of(folder, inputs)
    mice, groups = [], []
    for number, level in enumerate(levels):
        cells = {name: found[number] for name, found in counts.items()}
        own = _with_cells(table, inputs.sections, cells)
        mice.append(_labelled(own[[*MOUSE_KEY, "cells"]], level))
        groups.append(_labelled(_compared(own, inputs.reference_group), level))
    all_groups = pd.concat(groups, ignore_index=True)
    return Sweep(
        pd.concat(mice, ignore_index=True), all_groups,
        tuple(sentences(all_groups, reference=inputs.reference_group)), inputs.reference_group,
    )  # fmt: skip


def _labelled(table: pd.DataFrame, level: Level) -> pd.DataFrame:
    table = table.reset_index(drop=True)
    table.insert(0, "property", level.property)
    table.insert(1, "threshold", round(level.threshold, 4))
    table.insert(2, "state", level.state)
    return table


def _count(
    folder: ResultsFolder, inputs: TableInputs, gating: Gating
) -> tuple[list[Level], dict[str, list[int]]]:
    """The levels, and the cells of every counted section at each."""
    levels = _levels(folder, inputs, gating)
    without = gating
    if any(level.state == "floor" for level in levels):
        without = find_gating(folder, _without_controls(inputs))
    found: dict[str, list[int]] = {}
    for section, state in stored_sections(folder, inputs):
        if state is None:
            continue
        found[section.name] = [
            _cells(
                folder, inputs, section, state, level=level,
                gating=without if level.state == "floor" else gating,
            )
            for level in levels
        ]  # fmt: skip
    return levels, found


def _without_controls(inputs: TableInputs) -> TableInputs:
    """The same study with no section marked as a control.

    What the certain cells of a batch ask for is left, and is asked of the controls too.
    """
    sections = tuple(replace(section, negative_control=False) for section in inputs.sections)
    return replace(inputs, sections=sections)


def _cells(
    folder: ResultsFolder,
    inputs: TableInputs,
    section: Section,
    state: dict[str, Any],
    *,
    level: Level,
    gating: Gating,
) -> int:
    settings = _raised(inputs.settings.gate, level)
    gated, _ = gate_section(folder, inputs, section, state, gating, settings=settings)
    return int(gated["positive"].sum())


def _raised(settings: GateSettings, level: Level) -> GateSettings:
    """The settings with one floor raised to the level; nothing is lowered."""
    names = {
        "marker": ("marker_snr",),
        "score": ("min_score", "without_autofluorescence_min_score"),
    }
    if level.state != "raised":
        return settings
    changes = {
        name: max(getattr(settings, name), level.threshold) for name in names[level.property]
    }
    return settings.model_copy(update=changes)


def _levels(folder: ResultsFolder, inputs: TableInputs, gating: Gating) -> list[Level]:
    """From the floor over what is in use to where half of the cells are left."""
    strengths, scores = [np.empty(0)], [np.empty(0)]
    for section, state in stored_sections(folder, inputs):
        if state is None or section.negative_control:
            continue
        gated, facts = gate_section(folder, inputs, section, state, gating)
        counted = gated[gated["positive"]]
        strengths.append(counted["marker_unexplained"].to_numpy() / facts.marker_unit)
        scores.append(counted["score_mean"].to_numpy())
    settings = inputs.settings.gate
    floors = {"marker": settings.marker_snr, "score": settings.min_score}
    values = {"marker": np.concatenate(strengths), "score": np.concatenate(scores)}
    raised = any(one.gate.raised for one in gating.batches.values())
    levels = []
    for name, floor in floors.items():
        levels += [Level(name, floor, "floor")] if raised else []
        levels.append(Level(name, floor, "in use"))
        if len(values[name]):
            last = float(np.quantile(values[name], 1.0 - LEFT_AT_LAST))
            levels += [Level(name, at, "raised") for at in _steps(floor, last, name)]
    return levels


def _steps(floor: float, last: float, name: str) -> list[float]:
    """Above the floor up to the last: equal ratios of strengths, equal steps of scores."""
    if last <= floor:
        return []
    if name == "marker" and floor > 0:
        return [float(at) for at in np.geomspace(floor, last, STEPS + 1)[1:]]
    return [float(at) for at in np.linspace(floor, last, STEPS + 1)[1:]]


def _mice_of(folder: ResultsFolder, inputs: TableInputs) -> pd.DataFrame:
    """The stored table of mice: who they are, their tissue as found, what failed."""
    mice = read_csv(
        folder.mice,
        text=("mouse", "group", "control", "batch", "excluded", *inputs.extras),
        columns=("tissue_mm2", "excluded_mm2"),
    )
    # The cells of excluded regions are counted here, so their area is too.
    return mice.assign(tissue_mm2=mice["tissue_mm2"] + mice["excluded_mm2"])


def _with_cells(
    mice: pd.DataFrame, sections: Sequence[Section], cells: dict[str, int]
) -> pd.DataFrame:
    """The mice with their sums at one level; empty where no section was counted."""
    sums: dict[tuple[str, str, float], int] = {}
    keys = list(zip(mice["mouse"], mice["group"], mice["dpi"].astype(float), strict=True))
    controls = dict(zip(keys, mice["control"] == "negative", strict=True))
    for section in sections:
        key = (section.mouse, section.group, float(section.dpi))
        if section.name in cells and section.negative_control == controls.get(key):
            sums[key] = sums.get(key, 0) + cells[section.name]
    return mice.assign(cells=pd.array([sums.get(key) for key in keys], dtype="Int64"))


def _compared(mice: pd.DataFrame, reference: str | None) -> pd.DataFrame:
    described = group_table(mice, reference_group=reference)
    compared = compare_groups(mice, reference_group=reference)
    shown = ["rate_ratio", "ratio_low", "ratio_high", "p_model", "p_holm", "comparison_note"]
    joined = described[["group", "dpi", "mice", "mean"]].merge(
        compared[["group", "dpi", *shown]], on=["group", "dpi"], how="left"
    )
    joined["comparison_note"] = joined["comparison_note"].fillna("reference")
    return joined
