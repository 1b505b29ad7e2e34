"""The figures of counts: over time, per area, and by class of focus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fociquant.counts import is_control
from fociquant.report._dots import (
    Scale,
    Styles,
    dot_panel,
    is_complete,
    legend_entries,
)
from fociquant.report._style import fitting

CLASS_COLUMNS = ("solitary", "clusters", "micrometastases", "macrometastases")
"""Class columns of ``mice.csv`` under the default profile."""

MAX_WIDTH_IN = 16.0
"""Widest figure, inches; studies with many days are squeezed into it."""


def panel_width(mice: pd.DataFrame, styles: Styles, *, least: float) -> float:
    """Width of a panel, inches: enough for the dots of every group and day."""
    return min(MAX_WIDTH_IN, max(least, 1.2 + 0.33 * mice["dpi"].nunique() * max(len(styles), 2)))


def time_course(mice: pd.DataFrame, styles: Styles) -> Figure | str:
    """Cells per mouse over time, with the number of mice of every mean below."""
    if not len(mice):
        return "There is no mouse to draw."
    figure = Figure(
        figsize=(panel_width(mice, styles, least=5.0) + 1.6, 3.6 + 0.16 * len(styles)),
        layout="constrained",
    )
    ax = figure.add_subplot()
    dot_panel(ax, mice, value="cells", styles=styles)
    ax.set_ylabel("positive cells per mouse\n(sum of its sections)")
    ax.set_title(_what_is_shown(mice), loc="left", fontsize=9)
    ax.set_xlabel("days post infection (not to scale)", labelpad=8 + 12 * len(styles))
    _mice_per_mean(ax, mice, styles)
    handles, labels = legend_entries(mice, styles)
    figure.legend(handles, labels, loc="outside right upper", frameon=False)
    return figure


def _what_is_shown(mice: pd.DataFrame) -> str:
    """Title of the time course: what a dot is, and how many mice have none."""
    absent = int(mice["cells"].isna().sum())
    if not absent:
        return "Every dot is one mouse"
    return f"Every dot is one mouse\n(not shown, without any counted section: {absent})"


def _mice_per_mean(ax: Axes, mice: pd.DataFrame, styles: Styles) -> None:
    """Write n under every day, one line per group."""
    counted = mice[is_complete(mice) & ~is_control(mice)]
    numbers = counted.groupby(["group", "dpi"]).size()
    days = sorted(set(mice["dpi"]))
    for line, (group, (colour, _)) in enumerate(styles.items()):
        below: dict[str, Any] = {
            "textcoords": "offset points",
            "va": "top",
            "color": colour,
            "fontsize": 8,
        }
        drop = -20 - 12 * line
        name = f"n {fitting(group, lines=1)}"
        ax.annotate(name, (0, 0), (-6, drop), xycoords="axes fraction", ha="right", **below)
        for position, day in enumerate(days):
            n = int(numbers.get((group, day), 0))
            ax.annotate(
                str(n), (position, 0), (0, drop), xycoords=("data", "axes fraction"),
                ha="center", **below,
            )  # fmt: skip


def foci_classes(mice: pd.DataFrame, styles: Styles, classes: Sequence[str]) -> Figure | str:
    """Foci per mouse over time, one panel per class."""
    shown = [name for name in classes if name in mice.columns and mice[name].notna().any()]
    if not shown:
        return "No mouse has a counted section, so there are no foci to draw."
    return dot_grid(mice, styles, [(name, name, "count") for name in shown],
                    ylabel="foci per mouse (sum of its sections)")  # fmt: skip


def density(mice: pd.DataFrame, styles: Styles) -> Figure | str:
    """Cells per mm² of tissue, and the tissue itself, per mouse over time."""
    wanted: list[tuple[str, str, Scale]] = [
        ("cells_per_mm2", "positive cells per mm²", "rate"),
        ("tissue_mm2", "tissue looked at, mm²", "linear"),
    ]
    shown = [one for one in wanted if one[0] in mice.columns and mice[one[0]].notna().any()]
    if not shown:
        return "No tissue was found in any counted section, so there is no density to draw."
    return dot_grid(mice, styles, shown)


def dot_grid(
    mice: pd.DataFrame,
    styles: Styles,
    values: Sequence[tuple[str, str, Scale]],
    *,
    ylabel: str = "",
) -> Figure:
    """Panels of dots, two in a row: one for each (column of `mice`, title, scale)."""
    columns = min(2, len(values))
    rows = -(-len(values) // columns)
    width = panel_width(mice, styles, least=3.2)
    size = (min(MAX_WIDTH_IN, width * columns) + 1.6, 2.6 * rows + 0.2)
    figure = Figure(figsize=size, layout="constrained")
    for index, (name, title, scale) in enumerate(values):
        ax = figure.add_subplot(rows, columns, index + 1)
        dot_panel(ax, mice, value=name, styles=styles, scale=scale)
        ax.set_title(title, loc="left", fontsize=9)
    figure.supxlabel("days post infection (not to scale)", fontsize=9)
    if ylabel:
        figure.supylabel(ylabel, fontsize=9)
    handles, labels = legend_entries(mice, styles)
    figure.legend(handles, labels, loc="outside right upper", frameon=False)
    return figure
