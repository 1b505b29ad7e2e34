"""The comparison of groups in words, and what the next experiment needs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from fociquant.counts import ratio_decimals
from fociquant.report import _html as html

SHOWN = (
    "dpi", "group", "mice", "mice_reference", "mice_excluded", "rate_ratio", "ratio_low",
    "ratio_high", "p_model", "p_holm", "p_bh", "p_rank", "p_rank_smallest",
)  # fmt: skip
"""Columns of the comparisons in the page's table; the others are in its sentences."""

P_FLOOR = 1e-4
"""At or below it a P value is printed as an upper limit, as the table has it."""

USEFUL = 1e4
"""An upper bound beyond it excludes nothing that anybody expects."""

HOW = (
    "Rate ratio: negative binomial model, mice as the unit, spread between mice shared by all "
    "groups and days; its uncertainty is in the 95 % interval. p_model is its two-sided P, "
    "p_holm and p_bh are adjusted for all comparisons in the table (Holm; Benjamini and "
    "Hochberg). p_rank is an exact Mann-Whitney test, p_rank_smallest the smallest P that it can "
    "give with so few mice, whatever the difference."
)


def comparison_section(
    comparisons: pd.DataFrame | None, power: pd.DataFrame | None = None
) -> list[str]:
    """Pieces of HTML below the page's heading; none without comparisons.

    Parameters
    ----------
    comparisons : pandas.DataFrame or None
        As in ``comparisons.csv``.
    power : pandas.DataFrame or None
        Mice per group for some fold changes: ``fold_change``, ``reference_mean``,
        ``cv_between_mice``, ``mice_per_group``, ``power``.
    """
    if comparisons is None:
        return []
    if not len(comparisons):
        return [html.absent("There is one group on each day: nothing to compare.")]
    rows = _rows(comparisons)
    body = [
        html.table(_shown(comparisons)),
        f"<p>{html.text(' '.join([HOW, *_exposure(rows)]))}</p>",
    ]
    if power is not None and len(power):
        body += ["<h3>How many mice next time</h3>", f"<p>{html.text(_plan(power, rows))}</p>"]
        body += [html.table(power)]
    return body


def in_words(comparisons: pd.DataFrame) -> list[str]:
    """Each comparison as a sentence or two."""
    return [_in_words(row) for row in _rows(comparisons)]


def _rows(comparisons: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        dict(zip(comparisons.columns, values, strict=True))
        for values in comparisons.itertuples(index=False, name=None)
    ]


def _shown(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The table of the page; P values as text, which never becomes 1e-04."""
    shown = [name for name in SHOWN if name in comparisons]
    table = comparisons[shown].copy()
    for name in (name for name in shown if name.startswith("p_")):
        table[name] = [_p("", value).strip(" =") for value in table[name]]
    return table


def _in_words(row: Mapping[str, Any]) -> str:
    """One comparison as a sentence or two."""
    parts = [f"{row['dpi']:g} dpi, {row['group']}: {_finding(row)}"]
    if not math.isnan(row["p_model"]):
        parts.append(f"{_p('P', row['p_model'])}, {_p('Holm', row['p_holm'])}.")
    if not math.isnan(row["p_rank"]):
        parts.append(_ranks(row))
    if row["comparison_note"]:
        parts.append(f"Note: {row['comparison_note']}.")
    return " ".join(parts)


def _finding(row: Mapping[str, Any]) -> str:
    ratio, low, high = (row[name] for name in ("rate_ratio", "ratio_low", "ratio_high"))
    what = f"the rate of {row['reference']}"
    mice = f"{row['mice']} and {row['mice_reference']} mice"
    if math.isnan(ratio) and not math.isnan(low):
        return f"at least {_times(low)} times {what} (one-sided 95 % bound; {mice})."
    if math.isnan(ratio) and high > USEFUL:
        return f"too few cells to bound the ratio to {what} ({mice})."
    if math.isnan(ratio) and not math.isnan(high):
        return f"at most {_times(high)} times {what} (one-sided 95 % bound; {mice})."
    if math.isnan(ratio):
        return "no rate ratio."
    if math.isnan(low):
        return f"{_times(ratio)} times {what}, without an interval ({mice})."
    interval = f"95 % interval {_times(low)} to {_times(high)}"
    return f"{_times(ratio)} times {what} ({interval}; {mice})."


def _ranks(row: Mapping[str, Any]) -> str:
    found, smallest = row["p_rank"], row["p_rank_smallest"]
    text = f"Exact rank {_p('P', found)}"
    if found <= smallest:
        return f"{text}, the smallest possible with so few mice."
    return f"{text} (the smallest possible is {smallest:.2g})."


def _times(value: float) -> str:
    """Two significant digits below 100, never as 4e-05; whole numbers from there."""
    if 0 < value < 1:
        return f"{value:.{ratio_decimals(value, digits=2)}f}".rstrip("0").rstrip(".")
    return f"{value:.0f}" if value >= 99.5 else f"{value:.2g}"


def _p(name: str, value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{name} ≤ {P_FLOOR:g}" if value <= P_FLOOR else f"{name} = {value:.2g}"


def _exposure(rows: list[dict[str, Any]]) -> Iterator[str]:
    if any(row["offset"] == "none" for row in rows):
        yield "Rates are per mouse: the area of tissue is not known for every mouse."
    else:
        yield "Rates are per mm² of tissue."
    cvs = [row["cv_between_mice"] for row in rows if not math.isnan(row["cv_between_mice"])]
    if cvs:
        yield f"Mice of one group and day differ by a CV of about {cvs[0]:.2g}."


def _plan(power: pd.DataFrame, rows: list[dict[str, Any]]) -> str:
    first = power.iloc[0]
    mean = first["reference_mean"]
    text = (
        f"Mice per group that find a fold change at P < 0.05 with a power of 0.8, on one day, if "
        f"mice differ by a CV of {first['cv_between_mice']:.2g} and a mouse of the reference "
        f"group has {mean:.3g} {'cell' if mean == 1 else 'cells'}. With fewer than 4 mice per "
        "group no rank test can reach P < 0.05. Sections lost, and mice, come on top."
    )
    return " ".join([text, *_assumed(mean, rows)])


def _assumed(mean: float, rows: list[dict[str, Any]]) -> Iterator[str]:
    """What the plan rests on and the study does not show; without any cell its mean is 1."""
    if mean == 1 and not any(row["total_reference"] for row in rows):
        name = rows[0]["reference"]
        why = f"{name} has no cell" if name else "no reference group was named"
        yield f"The cells of the reference group are assumed: {why}."
    if all(math.isnan(row["cv_between_mice"]) for row in rows):
        yield "The CV is assumed: no group of two mice or more has a cell."
