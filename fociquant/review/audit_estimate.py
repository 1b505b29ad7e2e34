"""Corrected counts from the verdicts of an audit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fociquant.review.audit_design import ACCEPTED, KINDS, REJECTED, TISSUE, AuditDesign, AuditItem
from fociquant.review.audit_groups import group_ends
from fociquant.review.audit_model import DRAWS, Spread, dispersion_of, missed_in, true_among
from fociquant.review.audit_verdicts import Verdicts

MOUSE_COLUMNS: tuple[str, ...] = (
    "mouse", "group", "dpi", "cells_corrected", "cells_corrected_low", "cells_corrected_high",
)  # fmt: skip
"""Columns of the estimate per mouse."""

GROUP_COLUMNS: tuple[str, ...] = (
    "group", "dpi", "mice", "mean_corrected", "mean_corrected_low", "mean_corrected_high",
)  # fmt: skip
"""Columns of the estimate per group and day."""

RATE_COLUMNS: tuple[str, ...] = (
    "group", "dpi", "kind", "units", "area_mm2", "sampled", "judged", "cannot_say",
    "cancer_cells", "note",
)  # fmt: skip
"""Columns of what was found, per arm and kind."""

LOW, HIGH = 0.025, 0.975
"""Where a 95 % interval is cut."""


@dataclass(frozen=True, slots=True)
class AuditEstimate:
    """What an audit says.

    Parameters
    ----------
    mice : pandas.DataFrame
        `MOUSE_COLUMNS`; empty numbers where a kind that was drawn was not judged at all in the
        arm, or nothing was.
    groups : pandas.DataFrame
        `GROUP_COLUMNS`: mean per mouse of the group, with the interval of the mean of the
        population of mice.
    rates : pandas.DataFrame
        `RATE_COLUMNS`.
    notes : tuple of str
        What limits it, in plain words.
    """

    mice: pd.DataFrame
    groups: pd.DataFrame
    rates: pd.DataFrame
    notes: tuple[str, ...]


def estimate_audit(
    design: AuditDesign,
    verdicts: Verdicts,
    *,
    incomplete: Sequence[tuple[str, str, float]] = (),
    changed: Mapping[tuple[str, str, float], str] | None = None,
) -> AuditEstimate:
    """Corrected counts per mouse and group.

    The count of a mouse is estimated as the cancer cells among its counted cells, plus
    those among its rejected candidates, plus those in its tissue that have no outline.
    Rates come from the sample of the arm, see :mod:`fociquant.review.audit_model`; the
    interval of a group adds the variation of mice, see
    :mod:`fociquant.review.audit_groups`. Items without a verdict, and those of which nobody
    could say, are treated as not drawn; how many these are is in the notes.

    Parameters
    ----------
    design : AuditDesign
    verdicts : mapping of str to int
        From :func:`settle_verdicts`.
    incomplete : sequence of (mouse, group, dpi)
        Mice that are no observation (a failed section, no tissue): they have a corrected count,
        but are in no group's mean.
    changed : mapping of (mouse, group, dpi) to str, optional
        Mice whose sections are others than when the sample was drawn, with the reason: they have
        no corrected count, as the sample stands for what was there then.

    Returns
    -------
    AuditEstimate
        The same design and verdicts give the same numbers: draws come from the design's seed.
    """
    rng = np.random.default_rng(design.seed)
    arms = sorted({(one.dpi, one.group) for one in design.strata})
    mice: list[dict[str, object]] = []
    groups: list[tuple[str, float, int, float]] = []
    rates: list[dict[str, object]] = []
    notes: list[str] = []
    stale = changed or {}
    left_out = {*incomplete, *stale}
    lows: list[np.ndarray] = []
    highs: list[np.ndarray] = []
    for dpi, group in arms:
        arm = _Arm(design, verdicts, group, dpi)
        total = arm.total(rng)
        rates += arm.rates()
        notes += arm.notes()
        mice += [
            _mouse_row(m, group, dpi, None if (m, group, dpi) in stale else total, i)
            for i, m in enumerate(arm.mice)
        ]
        used = [i for i, m in enumerate(arm.mice) if (m, group, dpi) not in left_out]
        lows.append(np.empty((DRAWS, 0)) if total is None else total.low[:, used])
        highs.append(np.empty((DRAWS, 0)) if total is None else total.high[:, used])
        mean = float(total.point[used].mean()) if total is not None and used else math.nan
        groups.append((group, dpi, lows[-1].shape[1], mean))
    notes += [
        f"{mouse} ({group}, {dpi:g} dpi) has no corrected count: {why}, and the sample was drawn "
        "before. Draw again (--draw --again)."
        for (mouse, group, dpi), why in sorted(stale.items())
    ]
    ends = zip(group_ends(lows, share=LOW), group_ends(highs, share=HIGH), strict=True)
    table = [
        (*row, min(low, row[3]), max(high, row[3]))
        for row, (low, high) in zip(groups, ends, strict=True)
    ]
    return AuditEstimate(
        pd.DataFrame(mice, columns=list(MOUSE_COLUMNS)),
        pd.DataFrame(table, columns=list(GROUP_COLUMNS)),
        pd.DataFrame(rates, columns=list(RATE_COLUMNS)),
        tuple(notes),
    )


def _mouse_row(
    mouse: str, group: str, dpi: float, total: Spread | None, index: int
) -> dict[str, object]:
    row: dict[str, object] = {"mouse": mouse, "group": group, "dpi": dpi}
    if total is None:
        return row | dict.fromkeys(MOUSE_COLUMNS[3:], math.nan)
    point = float(total.point[index])
    low = np.quantile(total.low[:, index], LOW)
    high = np.quantile(total.high[:, index], HIGH)
    return row | {
        "cells_corrected": point,
        "cells_corrected_low": min(float(low), point),
        "cells_corrected_high": max(float(high), point),
    }


class _Arm:
    """The strata and verdicts of one group and day."""

    def __init__(self, design: AuditDesign, verdicts: Verdicts, group: str, dpi: float) -> None:
        self._group, self._dpi = group, dpi
        self._verdicts = {item: value for item, value in verdicts.items() if value is not None}
        self._unsure = {item for item, value in verdicts.items() if value is None}
        self._strata = [s for s in design.strata if (s.group, s.dpi) == (group, dpi)]
        self._items = [i for i in design.items if (i.group, i.dpi) == (group, dpi)]
        self.mice = sorted({one.mouse for one in self._strata})

    def judged(self, kind: str) -> list[AuditItem]:
        """Items of a kind that have a verdict."""
        return [i for i in self._items if i.kind == kind and i.id in self._verdicts]

    def unsure(self, kind: str) -> int:
        """Items of a kind of which nobody could say."""
        return sum(i.kind == kind and i.id in self._unsure for i in self._items)

    def units(self, kind: str) -> np.ndarray:
        """Objects or fields of each mouse."""
        held = {s.mouse: s.units for s in self._strata if s.kind == kind}
        return np.array([held.get(mouse, 0) for mouse in self.mice], np.int64)

    def area(self) -> np.ndarray:
        """Tissue of each mouse, mm²."""
        held = {s.mouse: s.area_mm2 for s in self._strata if s.kind == TISSUE}
        return np.array([held.get(mouse, 0.0) for mouse in self.mice])

    def sums(self, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Per mouse: items judged, cancer cells in them, tissue looked at."""
        position = {mouse: i for i, mouse in enumerate(self.mice)}
        judged, found = (np.zeros(len(self.mice), np.int64) for _ in range(2))
        seen = np.zeros(len(self.mice))
        for item in self.judged(kind):
            judged[position[item.mouse]] += 1
            found[position[item.mouse]] += self._verdicts[item.id]
            seen[position[item.mouse]] += item.area_mm2
        return judged, found, seen

    def is_judged(self) -> bool:
        """Whether verdicts carry a corrected count.

        Of every kind there is something must have been judged, and something at all: without a
        verdict 0 is no finding. Only where no field was drawn, as was asked for, tissue may lack.
        """
        kinds = [kind for kind in KINDS if self.units(kind).any() and self._is_asked(kind)]
        return bool(kinds) and all(self.judged(kind) for kind in kinds)

    def _is_asked(self, kind: str) -> bool:
        return kind != TISSUE or any(item.is_field for item in self._items)

    def total(self, rng: np.random.Generator) -> Spread | None:
        """Cancer cells of each mouse; None where too little was judged."""
        if not self.is_judged():
            return None
        nothing = np.zeros((DRAWS, len(self.mice)))
        total = Spread(np.zeros(len(self.mice)), nothing, nothing)
        for kind in (ACCEPTED, REJECTED):
            judged, found, _ = self.sums(kind)
            units = self.units(kind)
            if units.sum():
                total += true_among(units, judged, found, rng)
        _, found, seen = self.sums(TISSUE)
        if seen.sum() > 0:
            fields = self.judged(TISSUE)
            counts = np.array([self._verdicts[item.id] for item in fields], np.float64)
            areas = np.array([item.area_mm2 for item in fields])
            total += missed_in(self.area(), seen, found, dispersion_of(counts, areas), rng)
        return total

    def rates(self) -> list[dict[str, object]]:
        """What was found, per kind."""
        rows = []
        for kind in KINDS:
            judged, found, _ = self.sums(kind)
            rows.append({
                "group": self._group, "dpi": self._dpi, "kind": kind,
                "units": int(self.units(kind).sum()),
                "area_mm2": float(self.area().sum()) if kind == TISSUE else math.nan,
                "sampled": sum(item.kind == kind for item in self._items),
                "judged": int(judged.sum()), "cannot_say": self.unsure(kind),
                "cancer_cells": int(found.sum()),
                "note": self._note(kind),
            })  # fmt: skip
        return rows

    def notes(self) -> list[str]:
        """The notes of all kinds, with the arm's name."""
        said = [self._note(kind) for kind in KINDS]
        return [f"{self._group}, {self._dpi:g} dpi: {text}" for text in said if text]

    def _note(self, kind: str) -> str:
        sampled = sum(item.kind == kind for item in self._items)
        judged = len(self.judged(kind))
        if self.units(kind).sum() and not judged:
            missing = {ACCEPTED: "no counted cell", REJECTED: "no rejected candidate",
                       TISSUE: "no field of tissue"}[kind]  # fmt: skip
            effect = ("cells without an outline are not in the corrected counts"
                      if self.is_judged() else "there is no corrected count")  # fmt: skip
            if sampled and self.unsure(kind) == sampled:
                return (f"of none of {sampled} {kind} items could it be said what they are; "
                        f"{effect}. Draw more (--draw --again)")  # fmt: skip
            return f"{missing} has been {'judged' if sampled else 'drawn'}; {effect}"
        unsure = self.unsure(kind)
        left = sampled - judged - unsure
        parts = [f"{left} of {sampled} {kind} items are not judged yet"] if left else []
        if unsure:
            parts.append(f"of {unsure} of {sampled} {kind} items it could not be said what they "
                         "are; they are treated as not drawn")  # fmt: skip
        return "; ".join(parts)
