"""The figures of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fociquant.report._dots import Styles, dot_panel, is_complete, is_control, legend_entries
from fociquant.report._style import figure_style, group_styles, save

CLASS_COLUMNS = ("solitary", "clusters", "micrometastases", "macrometastases")
"""Class columns of ``mice.csv`` under the default profile."""

MAX_WIDTH_IN = 16.0
"""Widest figure, inches; studies with many days are squeezed into it."""


def write_figures(
    mice: pd.DataFrame,
    *,
    out_dir: Path,
    reference_group: str | None,
    class_columns: Sequence[str] = CLASS_COLUMNS,
) -> list[Path]:
    """Draw the time course and the foci by class.

    Parameters
    ----------
    mice : pandas.DataFrame
        The table of mice, in its order (see ``mice.csv``). Groups are drawn in
        the order in which they first appear, the reference first.
    out_dir : pathlib.Path
        Folder for ``time_course`` and ``foci_classes``, each ``.png`` and
        ``.svg``; made if absent.
    reference_group : str or None
        Drawn in black.
    class_columns : sequence of str
        Columns of `mice` with foci per class; absent or empty ones are left out.

    Returns
    -------
    list of pathlib.Path
        The files written. The same table gives the same bytes.
    """
    groups = list(dict.fromkeys(mice["group"]))
    groups.sort(key=lambda group: group != reference_group)
    styles = group_styles(groups, reference_group)
    classes = [name for name in class_columns if name in mice.columns and mice[name].notna().any()]
    with figure_style():
        paths = save(_time_course(mice, styles), out_dir / "time_course")
        if classes:
            paths += save(_foci_classes(mice, styles, classes), out_dir / "foci_classes")
    return paths


def _width(mice: pd.DataFrame, styles: Styles, *, least: float) -> float:
    """Width of a panel, inches: enough for the dots of every group and day."""
    return min(MAX_WIDTH_IN, max(least, 1.2 + 0.33 * mice["dpi"].nunique() * max(len(styles), 2)))


def _time_course(mice: pd.DataFrame, styles: Styles) -> Figure:
    """Cells per mouse over time, with the number of mice of every mean below."""
    figure = Figure(
        figsize=(_width(mice, styles, least=5.0) + 1.6, 3.6 + 0.16 * len(styles)),
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
    if not len(mice):
        return "No mouse"
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
        ax.annotate(f"n {group}", (0, 0), (-6, drop), xycoords="axes fraction", ha="right", **below)
        for position, day in enumerate(days):
            n = int(numbers.get((group, day), 0))
            ax.annotate(
                str(n), (position, 0), (0, drop), xycoords=("data", "axes fraction"),
                ha="center", **below,
            )  # fmt: skip


def _foci_classes(mice: pd.DataFrame, styles: Styles, classes: Sequence[str]) -> Figure:
    """Foci per mouse over time, one panel per class."""
    columns = min(2, len(classes))
    rows = -(-len(classes) // columns)
    width = _width(mice, styles, least=3.2)
    figure = Figure(
        figsize=(min(MAX_WIDTH_IN, width * columns) + 1.6, 2.6 * rows), layout="constrained"
    )
    for index, name in enumerate(classes):
        ax = figure.add_subplot(rows, columns, index + 1)
        dot_panel(ax, mice, value=name, styles=styles)
        ax.set_title(name, loc="left", fontsize=9)
    figure.supxlabel("days post infection (not to scale)", fontsize=9)
    figure.supylabel("foci per mouse (sum of its sections)", fontsize=9)
    handles, labels = legend_entries(mice, styles)
    figure.legend(handles, labels, loc="outside right upper", frameon=False)
    return figure
