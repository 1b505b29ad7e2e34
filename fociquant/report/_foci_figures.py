"""The figures of foci: which share each class has, and how large foci are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from fociquant.counts import is_control
from fociquant.report._dots import Styles, is_complete, label_small_ticks, zero_log_axis
from fociquant.report._figures import MAX_WIDTH_IN
from fociquant.report._style import fitting, legend_beside
from fociquant.units import UM2_PER_MM2, equivalent_diameter

CLASS_COLOURS = ("#E8E1C4", "#B5C7A3", "#5E9A96", "#27527A", "#1B1B3A")
"""Light to dark as foci grow: the order is seen in grey print too."""

NUMBERED_BARS = 60
"""With more mice the number of foci is not written on the bars."""

MOST_GROUPS = 8
"""Further groups have no row of their own in the composition."""


def class_composition(mice: pd.DataFrame, styles: Styles, classes: Sequence[str]) -> Figure | str:
    """Share of each class in the foci of each mouse: a row per group, a bar per mouse."""
    shown = [name for name in classes if name in mice.columns and mice[name].notna().any()]
    counted = mice[is_complete(mice) & ~is_control(mice)]
    if not shown or not len(counted):
        return "No mouse has all its sections counted, so no composition is drawn."
    totals = counted[shown].astype(float).sum(axis=1)
    if not (totals > 0).any():
        return "No mouse has a focus: there is nothing to divide into classes."
    groups = [group for group in styles if (counted["group"] == group).any()][:MOST_GROUPS]
    days = sorted(set(counted["dpi"]))
    width = min(MAX_WIDTH_IN, max(4.0, 0.16 * len(counted) / len(groups) + 0.5 * len(days)) + 2.2)
    figure = Figure(figsize=(width, 1.45 * len(groups) + 0.6), layout="constrained")
    panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
    for ax, group in zip(panels, groups, strict=True):
        own = counted[counted["group"] == group]
        _bars(ax, own, days, shown, numbered=len(counted) <= NUMBERED_BARS)
        ax.set_title(fitting(group), loc="left", fontsize=9)
    panels[-1].set_xticks(range(len(days)), [f"{day:g}" for day in days])
    panels[-1].set_xlabel("days post infection (not to scale)")
    figure.supylabel("share of the foci of a mouse, %", fontsize=9)
    handles = [_patch(index) for index in range(len(shown))]
    # matplotlib hides labels that begin with an underscore
    labels = [f" {name}" for name in shown]
    figure.legend(handles[::-1], labels[::-1], loc="outside right upper", frameon=False)
    return figure


def _bars(
    ax: Axes, own: pd.DataFrame, days: Sequence[float], classes: Sequence[str], *, numbered: bool
) -> None:
    """One stacked bar per mouse, side by side within its day."""
    most = max(int((own["dpi"] == day).sum()) for day in days)
    width = 0.8 / max(most, 1)
    for position, day in enumerate(days):
        today = own[own["dpi"] == day]
        values = today[list(classes)].astype(float).fillna(0.0).to_numpy()
        totals = values.sum(axis=1)
        x = position + (np.arange(len(today)) - (len(today) - 1) / 2) * width
        shares = 100.0 * np.divide(values, totals[:, None], where=totals[:, None] > 0,
                                   out=np.zeros_like(values))  # fmt: skip
        some = totals > 0
        bottom = np.zeros(int(some.sum()))
        for index in range(len(classes)):
            share = shares[some, index]
            ax.bar(x[some], share, 0.9 * width, bottom, color=_colour(index), ec="#444444", lw=0.4)
            bottom += share
        for place, total in zip(x, totals, strict=True):
            if numbered:
                ax.text(place, 101.0 if total else 1.0, f"{total:.0f}", ha="center", va="bottom",
                        fontsize=6)  # fmt: skip
    ax.set_xlim(-0.6, len(days) - 0.4)
    ax.set_ylim(0.0, 112.0)
    ax.set_yticks([0, 50, 100])


def _colour(index: int) -> str:
    return CLASS_COLOURS[min(index, len(CLASS_COLOURS) - 1)]


def _patch(index: int) -> Line2D:
    return Line2D([], [], ls="", marker="s", color=_colour(index), markeredgecolor="#444444",
                  markersize=7)  # fmt: skip


def foci_sizes(
    foci: pd.DataFrame | None,
    mice: pd.DataFrame,
    sections: pd.DataFrame,
    styles: Styles,
    classes: Sequence[Mapping[str, Any]],
) -> Figure | str:
    """How many foci of a mouse have at least so many cells, and at least such a diameter.

    A line is a mouse, a column a day; dashed lines are mice that are in no mean.
    Grey lines are the limits of the profile's classes.
    """
    if foci is None or "section" not in foci.columns:
        return "The table of foci is not there."
    owned = _owned(foci, mice, sections)
    days = sorted(set(mice.loc[mice["cells"].notna() & ~is_control(mice), "dpi"]))
    if not len(owned) or not days:
        return "No focus was found: there is no size to draw."
    width = min(MAX_WIDTH_IN, 2.1 * len(days) + 1.9)
    figure = Figure(figsize=(max(width, 4.6), 5.0), layout="constrained")
    panels = figure.subplots(2, len(days), sharex="row", sharey=True, squeeze=False)
    tallest = int(owned.groupby(["mouse", "group", "dpi"]).size().max())
    measures = (("cells", "cells of a focus, at least"),
                ("diameter", "diameter of a focus, µm, at least"))  # fmt: skip
    for row, (value, label) in zip(panels, measures, strict=True):
        for ax, day in zip(row, days, strict=True):
            _size_lines(ax, owned[owned["dpi"] == day], mice[mice["dpi"] == day], styles, value)
            for limit in _limits(classes, value):
                ax.axvline(limit, color="#9A9A9A", lw=0.8, ls=":", zorder=0)
            zero_log_axis(ax, tallest)
        row[len(days) // 2].set_xlabel(label)
    for ax, day in zip(panels[0], days, strict=True):
        ax.set_title(f"{day:g} dpi", loc="left", fontsize=9)
    figure.supylabel("foci of a mouse", fontsize=9)
    # The dots at the ends tell groups apart that share a colour.
    handles = [Line2D([], [], color=c, marker=m, ms=5) for c, m in styles.values()]
    legend_beside(figure, handles, styles)
    return figure


def _owned(foci: pd.DataFrame, mice: pd.DataFrame, sections: pd.DataFrame) -> pd.DataFrame:
    """``mouse, group, dpi, cells, diameter`` of the foci in the sums of mice, without controls."""
    counted = sections[(sections["status"] == "done") & ~is_control(sections)]
    owners = {str(row["section"]): _key(row) for row in counted.to_dict("records")}
    known = {_key(row) for row in mice[~is_control(mice)].to_dict("records")}
    rows = [
        (*owners[name], cells, equivalent_diameter(max(area, 0.0)))
        for name, cells, area in zip(
            foci["section"].astype(str), foci["cells"].astype(float),
            foci["area_um2"].astype(float), strict=True,
        )
        if owners.get(name) in known
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["mouse", "group", "dpi", "cells", "diameter"])


def _key(row: Mapping[Any, Any]) -> tuple[str, str, float]:
    """The three columns that together name a mouse."""
    return str(row["mouse"]), str(row["group"]), float(row["dpi"])


def _size_lines(
    ax: Axes, today: pd.DataFrame, mice: pd.DataFrame, styles: Styles, value: str
) -> None:
    """One descending line per mouse; ends in a dot at its largest focus."""
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    label_small_ticks(ax.xaxis)
    failed = {_key(row) for row in mice[~is_complete(mice)].to_dict("records")}
    for _, own in today.groupby(["mouse", "group"], sort=False):
        key = _key(own.iloc[0].to_dict())
        colour, marker = styles[key[1]]
        sizes = np.sort(own[value].astype(float).to_numpy())
        steps = np.unique(sizes[sizes > 0])
        if not len(steps):
            continue
        numbers = [int((sizes >= step).sum()) for step in steps]
        dash = "--" if key in failed else "-"
        ax.step(steps, numbers, where="pre", color=colour, lw=1.1, alpha=0.85, ls=dash)
        ax.plot(steps[-1:], numbers[-1:], color=colour, marker=marker, ms=4, alpha=0.85, ls="")


def _limits(classes: Sequence[Mapping[str, Any]], value: str) -> list[float]:
    """Limits of the classes on this axis."""
    if value == "cells":
        return [one["max_cells"] + 0.5 for one in classes if one.get("max_cells")]
    areas = [one["below_mm2"] * UM2_PER_MM2 for one in classes if one.get("below_mm2")]
    return [2.0 * math.sqrt(area / math.pi) for area in areas]
