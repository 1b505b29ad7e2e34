"""Groups against the same day's reference group, with the mouse as the unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fociquant.cohort._likelihood import Arm, SharedSpread
from fociquant.cohort._order import sort_mice
from fociquant.cohort._ranks import rank_test, smallest_p
from fociquant.counts import is_control, is_observed, several
from fociquant.errors import InputError

COMPARISON_COLUMNS: tuple[str, ...] = (
    "group", "reference", "dpi", "mice", "mice_reference", "mice_excluded", "total",
    "total_reference", "rate_ratio", "ratio_low", "ratio_high", "p_model", "p_holm", "p_bh",
    "p_rank", "p_rank_smallest", "cv_between_mice", "offset", "comparison_note",
)  # fmt: skip
"""Columns of :func:`compare_groups`."""

LEVEL = 0.05
"""Intervals are those of 1 - LEVEL."""

SMALLEST_P = 1e-4
"""Smaller P values of the model are written as this one: the far tail of a distribution fitted
to a few mice is known to nobody."""

ZERO_LIMIT = -math.log(LEVEL)
"""One-sided 95 % limit of a Poisson mean after a count of zero: 3.0 ("rule of three")."""

NEEDED = ("mouse", "group", "dpi", "sections_failed")
SMALLER_UNITS = ("section", "image", "cell", "focus", "field")
"""Columns that only tables of sections, cells or foci have."""

Key = tuple[float, str]
"""Day and group."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One group on one day: the mice used, and what was left out."""

    arm: Arm
    sections: int
    excluded: int


def compare_groups(
    mice: pd.DataFrame, *, reference_group: str | None, value: str = "cells"
) -> pd.DataFrame:
    """Compare each group with the reference group of the same day.

    Negative-control mice, mice with a failed section (or no count) and those without any tissue
    are left out;
    ``mice_excluded`` counts those of the two groups. The rate ratio is that of a negative
    binomial model with the log of ``tissue_mm2`` as offset; how much mice differ
    (``cv_between_mice``) is estimated from all groups and days together, and the uncertainty of
    that estimate is in the interval. How often the interval is right with 3 to 7 mice was
    measured: ``docs/statistics.md``.

    Parameters
    ----------
    mice : pandas.DataFrame
        From `mice_table` or read back from ``mice.csv``: one row per mouse, with ``mouse``,
        ``group``, ``dpi``, ``sections_failed`` and `value`; used if there: ``control``,
        ``sections``, ``tissue_mm2`` (mm²).
    reference_group : str or None
        The group that the others are compared with.
    value : str
        The counts compared: whole numbers, >= 0.

    Returns
    -------
    pandas.DataFrame
        `COMPARISON_COLUMNS`, one row per day and group other than the reference (every group if
        none was named), in the order of :func:`sort_mice`. ``rate_ratio``: per mm² of tissue, or
        per mouse where ``offset`` is ``none``. ``ratio_low``, ``ratio_high``: 95 % interval; where
        one group has counted nothing, ``rate_ratio`` is empty and one one-sided 95 % bound is
        given. ``p_model``: two-sided, of the same model; ``p_holm``, ``p_bh``: adjusted for all
        rows. ``p_rank``: exact Mann-Whitney test of the rates; ``p_rank_smallest``: the smallest it
        could be with so few mice. ``comparison_note``: why something is empty. Nothing is infinite.

    Raises
    ------
    InputError
        If the rows are not mice, a column is missing, or `value` does not hold counts.
    """
    _refuse_other_units(mice, value)
    counted = mice[~is_control(mice)]
    used = counted[is_observed(counted, value)]
    _refuse_other_numbers(used, value)
    offset, offset_note = _offset(used)
    sides = _sides(mice, counted, used, value=value, offset=offset)
    spread = SharedSpread({key: side.arm for key, side in sides.items() if side.arm.n})
    rows = [
        _row(key, sides, spread, reference=reference_group, what=value)
        | {"offset": "tissue_mm2" if offset else "none"}
        for key in sides
        if key[1] != reference_group
    ]
    table = _typed(pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS)), offset_note)
    table["p_holm"] = _holm(table["p_model"])
    table["p_bh"] = _benjamini_hochberg(table["p_model"])
    return sort_mice(table, reference_group=reference_group)


def _refuse_other_units(mice: pd.DataFrame, value: str) -> None:
    """Cells, foci and sections of one mouse are not independent: they are no n."""
    smaller = [name for name in SMALLER_UNITS if name in mice.columns]
    if smaller:
        raise InputError(
            f"the table has a column {smaller[0]!r}: its rows are not mice. Cells, foci and "
            "sections of one mouse are not independent and cannot be n. Give the table of mice "
            "(mice.csv), where the sections of a mouse are added up."
        )
    missing = [name for name in (*NEEDED, value) if name not in mice.columns]
    if missing:
        raise InputError(
            f"the table of mice has no column {', '.join(map(repr, missing))}. Give mice.csv of a "
            "results folder, and as value one of its columns of counts."
        )
    twice = mice.duplicated(["mouse", "group", "dpi"])
    if twice.any():
        one = mice[twice].iloc[0]
        raise InputError(
            f"mouse {str(one['mouse'])!r} of group {str(one['group'])!r} at {one['dpi']} dpi has "
            "more than one row. The mouse is the unit: add up its sections first, or give two "
            "animals two names."
        )


def _refuse_other_numbers(used: pd.DataFrame, value: str) -> None:
    """The model is one of counts."""
    numbers = pd.to_numeric(used[value], errors="coerce").to_numpy("float64", na_value=np.nan)
    bad = ~(np.isfinite(numbers) & (numbers >= 0) & (numbers == np.round(numbers)))
    if bad.any():
        one = used[bad].iloc[0]
        raise InputError(
            f"column {value!r}, mouse {str(one['mouse'])!r}: {one[value]} is not a count. The "
            "comparison is one of whole numbers >= 0 per mouse: cells, or foci of a class."
        )


def _offset(used: pd.DataFrame) -> tuple[bool, str]:
    """Whether the area of tissue is known for every mouse used, and if not, who lacks it."""
    if "tissue_mm2" not in used.columns:
        return False, "no area offset: there is no column tissue_mm2"
    area = used["tissue_mm2"].to_numpy("float64", na_value=np.nan)
    known = np.isfinite(area) & (area > 0)
    if known.all():
        return True, ""
    names = used.loc[~known, "mouse"].astype(str)
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return False, f"no area offset: tissue_mm2 of {names.iloc[0]}{more} is not known or 0"


def _sides(
    mice: pd.DataFrame, counted: pd.DataFrame, used: pd.DataFrame, *, value: str, offset: bool
) -> dict[Key, _Side]:
    """Every group and day that has a mouse other than negative controls."""
    everyone = mice.groupby(["dpi", "group"]).size()
    sides = {}
    for dpi, group in sorted(set(zip(counted["dpi"], counted["group"], strict=True))):
        rows = used[(used["dpi"] == dpi) & (used["group"] == group)]
        counts = rows[value].to_numpy("float64")
        area = rows["tissue_mm2"].to_numpy("float64") if offset else np.ones(len(rows))
        sections = int(rows["sections"].sum()) if "sections" in rows.columns else 0
        left_out = int(everyone[(dpi, group)]) - len(rows)
        sides[dpi, group] = _Side(Arm(counts, area), sections, left_out)
    return sides


def _row(
    key: Key, sides: Mapping[Key, _Side], spread: SharedSpread, *, reference: str | None, what: str
) -> dict[str, Any]:
    """One comparison, or why there is none."""
    side, other_key = sides[key], (key[0], reference or "")
    nobody = _Side(Arm(np.zeros(0), np.zeros(0)), 0, 0)
    other = nobody if reference is None else sides.get(other_key, nobody)
    row: dict[str, Any] = {
        "group": key[1], "reference": reference or "", "dpi": key[0], "mice": side.arm.n,
        "mice_reference": other.arm.n, "mice_excluded": side.excluded + other.excluded,
        "total": side.arm.total, "total_reference": other.arm.total,
        "cv_between_mice": spread.cv() if spread.informed else math.nan,
    }  # fmt: skip
    if reference is None:
        return row | {"comparison_note": "no reference group was named"}
    for name, one in ((reference, other), (key[1], side)):
        if not one.arm.n:
            return row | {"comparison_note": f"no complete mouse of {name} at this dpi"}
    row |= _ranks(side.arm, other.arm)
    notes = [_zero_note(name, one, what) for name, one in ((key[1], side), (reference, other))]
    row |= _estimate(side.arm, other.arm, spread)
    if min(side.arm.n, other.arm.n) < 2:
        single = key[1] if side.arm.n < 2 else reference
        notes.append(f"no interval: {single} has one mouse, which does not show how mice differ")
    else:
        row |= _interval(key, other_key, sides, spread)
    return row | {"comparison_note": "; ".join(note for note in notes if note)}


def _ranks(ours: Arm, reference: Arm) -> dict[str, float]:
    return {
        "p_rank": rank_test(ours.counts / ours.exposures, reference.counts / reference.exposures),
        "p_rank_smallest": smallest_p(ours.n, reference.n),
    }


def _estimate(ours: Arm, reference: Arm, spread: SharedSpread) -> dict[str, float]:
    """The ratio of maximum likelihood rates; nothing where a rate is zero."""
    if not (ours.total and reference.total):
        return {}
    cv = spread.cv()
    return {"rate_ratio": math.exp(ours.log_rate(cv) - reference.log_rate(cv))}


def _interval(
    key: Key, other_key: Key, sides: Mapping[Key, _Side], spread: SharedSpread
) -> dict[str, float]:
    """Two limits; one where one group has counted nothing; none where both have."""
    ours, reference = sides[key].arm, sides[other_key].arm
    if not ours.total and not reference.total:
        return {"p_model": 1.0}
    below = spread.probability_below(0.0, key, other_key)
    found = {"p_model": min(1.0, max(2 * min(below, 1 - below), SMALLEST_P))}
    if not reference.total:
        wanted = {"ratio_low": LEVEL}
    elif not ours.total:
        wanted = {"ratio_high": 1 - LEVEL}
    else:
        wanted = {"ratio_low": LEVEL / 2, "ratio_high": 1 - LEVEL / 2}
    limits = spread.quantiles(list(wanted.values()), key, other_key)
    return found | {name: math.exp(x) for name, x in zip(wanted, limits, strict=True)}


def _zero_note(name: str, side: _Side, what: str) -> str:
    """What a sum of zero still allows."""
    if side.arm.total:
        return ""
    text = f"{name} has no {what} in {several(side.arm.n, 'mouse', 'mice')}"
    if side.sections:
        text += (
            f" ({several(side.sections, 'section')}): up to "
            f"{ZERO_LIMIT / side.sections:.2g} per section cannot be excluded (one-sided 95 %)"
        )
    return text


def _holm(p: pd.Series) -> pd.Series:
    """P values adjusted by Holm's step down, for all that were tested; empty stays empty."""
    tested = p.dropna().sort_values(kind="stable")
    steps = tested * np.arange(len(tested), 0, -1)
    return steps.cummax().clip(upper=1.0).reindex(p.index)


def _benjamini_hochberg(p: pd.Series) -> pd.Series:
    """The same by the step up of Benjamini and Hochberg."""
    tested = p.dropna().sort_values(ascending=False, kind="stable")
    steps = tested * len(tested) / np.arange(len(tested), 0, -1)
    return steps.cummin().clip(upper=1.0).reindex(p.index)


def _typed(table: pd.DataFrame, offset_note: str) -> pd.DataFrame:
    """Whole numbers, numbers and text, also with zero rows; the note on the offset added."""
    whole = ("mice", "mice_reference", "mice_excluded", "total", "total_reference")
    text = ("group", "reference", "offset", "comparison_note")
    kinds: dict[str, Any] = dict.fromkeys(table.columns, "float64")
    kinds |= dict.fromkeys(whole, "int64") | dict.fromkeys(text, "str")
    table = table.astype(kinds)
    if offset_note:
        notes = table["comparison_note"]
        table["comparison_note"] = [
            f"{note}; {offset_note}" if note else offset_note for note in notes
        ]
    return table
