"""The figures of phenotypes and of the comparison of groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from fociquant.report._dots import Styles, label_small_ticks
from fociquant.report._figures import dot_grid
from fociquant.report._style import fitting

MOST_ROWS = 80
"""Further comparisons are in the table only."""


def phenotype_fractions(
    mice: pd.DataFrame, styles: Styles, phenotypes: Sequence[str]
) -> Figure | str:
    """Share of the positive cells that carry each phenotype marker, per mouse over time."""
    if not phenotypes:
        return "The study names no phenotype marker."
    columns = {name: f"{name}_pct" for name in phenotypes}
    shown = [n for n, c in columns.items() if c in mice.columns and mice[c].notna().any()]
    if not shown:
        return (
            f"{', '.join(phenotypes)}: not estimable in any mouse; none has enough positive cells "
            "in sections where the marker could be read."
        )
    panels = [(columns[name], f"{name}+, % of positive cells", "percent") for name in shown]
    return dot_grid(mice, styles, panels)  # type: ignore[arg-type]


def phenotype_table(mice: pd.DataFrame, phenotypes: Sequence[str]) -> pd.DataFrame:
    """``mouse, group, dpi``, and for each phenotype numerator, denominator and share in words."""
    table = mice[["mouse", "group", "dpi"]].copy()
    for name in phenotypes:
        table[name] = [_share(row, name) for row in mice.to_dict("records")]
    return table


def _share(mouse: Mapping[Any, Any], name: str) -> str:
    """``12 of 40 (30 %)``, or why there is no share."""
    cells = mouse.get(f"{name}_cells", mouse.get("cells"))
    found, percent = mouse.get(f"{name}_positive"), mouse.get(f"{name}_pct")
    if cells is None or pd.isna(cells):
        return "not counted"
    if cells == 0:
        return "not estimable: no cells"
    if found is None or pd.isna(found):
        return "not read"
    if percent is None or pd.isna(percent):
        return f"not estimable: {int(found)} of {int(cells)}"
    return f"{int(found)} of {int(cells)} ({percent:.0f} %)"


def rate_ratios(comparisons: pd.DataFrame | None, styles: Styles) -> Figure | str:
    """Rate ratio of each comparison with its interval; arrows are one-sided bounds."""
    if comparisons is None or not len(comparisons):
        return "There is nothing to compare: no day has two groups of which one is the reference."
    rows = comparisons.head(MOST_ROWS).to_dict("records")
    known = [v for row in rows for v in _numbers(row) if math.isfinite(v) and v > 0]
    if not known:
        return "No rate ratio can be told; the table says why for each comparison."
    figure = Figure(figsize=(6.4, 0.9 + 0.3 * len(rows)), layout="constrained")
    ax = figure.add_subplot()
    ax.set_xscale("log")
    ax.set_xlim(min([*known, 0.5]) / 2.0, max([*known, 2.0]) * 2.0)
    for place, row in enumerate(rows):
        _ratio_row(ax, -place, row, styles)
    ax.axvline(1.0, color="#9A9A9A", lw=0.9, zorder=0)
    names = [" " + fitting(f"{row['dpi']:g} dpi, {row['group']}") for row in rows]
    ax.set_yticks([-place for place in range(len(rows))], names)
    ax.set_ylim(-len(rows) + 0.4, 0.6)
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    label_small_ticks(ax.xaxis)
    ax.set_xlabel(f"rate ratio to {_reference(rows)} (95 % interval; 1: no difference)")
    if len(rows) < len(comparisons):
        told = f"the first {len(rows)} of {len(comparisons)} comparisons; the table has all"
        ax.set_title(told, loc="left", fontsize=9)
    return figure


def _reference(rows: Sequence[Mapping[Any, Any]]) -> str:
    names = dict.fromkeys(str(row.get("reference", "the reference")) for row in rows)
    return fitting(", ".join(names), lines=1)


def _numbers(row: Mapping[Any, Any]) -> list[float]:
    return [float(row[name]) for name in ("rate_ratio", "ratio_low", "ratio_high")]


def _ratio_row(ax: Axes, y: float, row: Mapping[Any, Any], styles: Styles) -> None:
    """Point and interval of one comparison."""
    ratio, low, high = _numbers(row)
    colour, marker = styles.get(str(row["group"]), ("#000000", "o"))
    left, right = ax.get_xlim()
    if math.isnan(ratio) and math.isnan(low) and math.isnan(high):
        ax.text(1.0, y, " no rate ratio", va="center", fontsize=7, color="#666666")
        return
    ends = (left if math.isnan(low) or low <= 0 else low, right if math.isnan(high) else high)
    if not math.isnan(ratio) and math.isnan(low) and math.isnan(high):
        ends = (ratio, ratio)
    ax.plot(ends, (y, y), color=colour, lw=1.4, solid_capstyle="butt")
    if math.isnan(ratio):
        bound, direction = (low, ">") if not math.isnan(low) else (high, "<")
        ax.plot(bound, y, marker="|", color=colour, ms=9)
        ax.plot(right if direction == ">" else left, y, marker=direction, color=colour, ms=6,
                clip_on=False)  # fmt: skip
    else:
        ax.plot(ratio, y, marker=marker, color=colour, ms=6)
