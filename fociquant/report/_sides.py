"""Automatic, reviewed and corrected counts, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fociquant.counts import is_control
from fociquant.report import _html as html
from fociquant.report._dots import Styles, is_complete, zero_log_axis
from fociquant.report._style import legend_beside

MANY = 1000.0
"""Counts from here on are written without decimals."""

NOBODY = (
    "All counts are automatic: nobody has reviewed a section to its end, and no audit was made. "
    "'fociquant review RESULTS' opens the sections for review; 'fociquant audit RESULTS' draws a "
    "random sample to judge, from which corrected counts with intervals are estimated."
)


def has_sides(mice: pd.DataFrame) -> bool:
    """Whether a mouse has another count than the automatic one."""
    return any(
        name in mice and bool(mice[name].notna().any())
        for name in ("cells_reviewed", "cells_corrected")
    ) or _was_changed(mice)


def _was_changed(mice: pd.DataFrame) -> bool:
    if "cells_automatic" not in mice:
        return False
    known = mice[mice["cells"].notna() & mice["cells_automatic"].notna()]
    return bool((known["cells"].astype(int) != known["cells_automatic"].astype(int)).any())


def group_sides(groups: pd.DataFrame) -> pd.DataFrame:
    """``group, dpi, n`` and the three means in words."""
    rows = [
        {
            "group": row["group"],
            "dpi": row["dpi"],
            "n": row["mice"],
            "automatic": _number(row.get("mean_automatic")),
            "reviewed": _number(row.get("mean_reviewed")) or "not all reviewed",
            "corrected (95 %)": _interval(row, "mean_corrected") or "no audit",
        }
        for row in _records(groups)
    ]
    return pd.DataFrame(rows)


def mouse_sides(mice: pd.DataFrame) -> pd.DataFrame:
    """``mouse, group, dpi`` and the three counts in words."""
    rows = [
        {
            "mouse": row["mouse"],
            "group": row["group"],
            "dpi": row["dpi"],
            "automatic": _number(row.get("cells_automatic")) or "not counted",
            "reviewed": _reviewed(row),
            "corrected (95 %)": _interval(row, "cells_corrected") or "no audit",
        }
        for row in _records(mice)
    ]
    return pd.DataFrame(rows)


def _records(frame: pd.DataFrame) -> Iterator[Mapping[Any, Any]]:
    yield from frame.to_dict("records")


def _reviewed(row: Mapping[Any, Any]) -> str:
    """The reviewed count; for a review that is not at its end, what it has come to."""
    final = _number(row.get("cells_reviewed"))
    if final:
        return final
    now, before = _number(row.get("cells")), _number(row.get("cells_automatic"))
    return f"not signed off; {now} so far" if now and now != before else "not reviewed"


def _number(value: Any) -> str:
    if value is None or pd.isna(value):
        return ""
    number = float(value)
    # Four digits, but never '1.234e+04' for a count.
    return f"{number:.0f}" if abs(number) >= MANY else f"{number:.4g}"


def _interval(row: Mapping[Any, Any], name: str) -> str:
    """``12.5 (9 to 17)``."""
    estimate = _number(row.get(name))
    low, high = _number(row.get(f"{name}_low")), _number(row.get(f"{name}_high"))
    return f"{estimate} ({low} to {high})" if estimate and low and high else estimate


def sides_section(mice: pd.DataFrame, groups: pd.DataFrame) -> tuple[list[str], list[str]]:
    """HTML before and after the figure; only a sentence where all counts are automatic."""
    if not has_sides(mice):
        return [html.absent(NOBODY)], []
    before = (
        "Automatic: without any decision. Reviewed: after the decisions of reviewers, of mice all "
        "of whose sections are signed off. Corrected: estimated from a random audit, with what "
        "it leaves open. Means and comparisons use the reviewed count where there are "
        "decisions, and never the corrected one."
    )
    tables = [f"<p>{html.text(before)}</p>"]
    if "mean_automatic" in groups:
        tables.append(html.table(group_sides(groups)))
    return tables, [html.table(mouse_sides(mice))]


def sides(mice: pd.DataFrame, styles: Styles) -> Figure | str:
    """Reviewed and corrected count of each mouse over the automatic one."""
    if not has_sides(mice):
        return NOBODY
    shown = mice[is_complete(mice) & ~is_control(mice)]
    rows = [row for row in _records(shown) if _number(row.get("cells_automatic"))]
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.add_subplot()
    largest = max([_draw(ax, row, styles) for row in rows], default=1.0)
    for which in ("x", "y"):
        zero_log_axis(ax, largest, which=which)
    line = np.array([0.0, *np.geomspace(1.0, max(largest, 10.0) * 1.6, 20)])
    ax.plot(line, line, color="#9A9A9A", lw=0.9, zorder=0)
    ax.set_xlabel("automatic count of a mouse")
    ax.set_ylabel("reviewed (filled), corrected (open, 95 %)")
    handles = [
        Line2D([], [], ls="", marker=marker, color=colour) for colour, marker in styles.values()
    ]
    unchanged = Line2D([], [], color="#9A9A9A", lw=0.9)
    legend_beside(figure, [*handles, unchanged], [*styles, "no change"])
    return figure


def _draw(ax: Axes, row: Mapping[Any, Any], styles: Styles) -> float:
    """One mouse; the largest value drawn."""
    colour, marker = styles.get(str(row["group"]), ("#000000", "o"))
    values = {
        name: math.nan if row.get(name) is None or pd.isna(row.get(name)) else float(row[name])
        for name in ("cells_automatic", "cells_reviewed", "cells_corrected",
                     "cells_corrected_low", "cells_corrected_high")
    }  # fmt: skip
    x = values["cells_automatic"]
    if math.isfinite(values["cells_reviewed"]):
        ax.plot(x, values["cells_reviewed"], marker=marker, color=colour, ms=5, ls="", zorder=3)
    if math.isfinite(values["cells_corrected"]):
        ends = [values["cells_corrected_low"], values["cells_corrected_high"]]
        ax.plot([x, x], ends, color=colour, lw=1.2)
        ax.plot(x, values["cells_corrected"], marker=marker, markerfacecolor="white",
                color=colour, ms=5, ls="", zorder=2)  # fmt: skip
    return max(value for value in values.values() if math.isfinite(value))
