"""Panels in which every mouse is a dot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from fociquant.report._style import CONTROL_COLOUR

SLOT = 0.8
"""Share of the distance between two days that the dots of all groups take."""

Styles = Mapping[str, tuple[str, str]]
"""Group to (colour, marker)."""


def is_control(mice: pd.DataFrame) -> pd.Series:
    """Which mice (or sections) are negative controls; bool, aligned to `mice`."""
    if "control" not in mice.columns:
        return pd.Series(False, index=mice.index)
    return mice["control"].notna() & (mice["control"] != "")


def is_complete(mice: pd.DataFrame) -> pd.Series:
    """Which mice have every section counted; bool, aligned to `mice`."""
    return (mice["sections_failed"] == 0) & mice["cells"].notna()


def dot_panel(ax: Axes, mice: pd.DataFrame, *, value: str, styles: Styles) -> None:
    """Draw one column of `mice` over time, one dot per mouse.

    Days stand at equal distances. The axis is logarithmic from 1 and linear
    between 0 and 1, so that a count of zero has a place. Bars are arithmetic
    means of the complete mice, joined by a thin line; open dots are mice with a
    failed section, crosses negative controls: neither is in a mean.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    mice : pandas.DataFrame
        With ``group``, ``dpi``, ``sections_failed``, ``cells``, `value` and,
        optionally, ``control``.
    value : str
        Column of counts; empty ones are not drawn.
    styles : mapping of str to (str, str)
        Colour and marker of each group, in the order of drawing.
    """
    days = sorted(set(mice["dpi"]))
    shown = mice.assign(value=mice[value].astype("float64")).dropna(subset=["value"])
    for index, (group, style) in enumerate(styles.items()):
        shift = SLOT * ((index + 0.5) / len(styles) - 0.5)
        own = shown[shown["group"] == group]
        _draw_group(ax, own, days=days, shift=shift, width=SLOT / len(styles), style=style)
    _time_axis(ax, days)
    _count_axis(ax, float(shown["value"].max()) if len(shown) else 0.0)


def _draw_group(
    ax: Axes,
    own: pd.DataFrame,
    *,
    days: Sequence[float],
    shift: float,
    width: float,
    style: tuple[str, str],
) -> None:
    """The dots of one group, and its means."""
    colour, marker = style
    places, means = [], []
    for position, day in enumerate(days):
        today = own[own["dpi"] == day]
        if not len(today):
            continue
        x = position + shift + _spread(len(today), width)
        complete = is_complete(today).to_numpy()
        control = is_control(today).to_numpy()
        y = today["value"].to_numpy()
        counted = complete & ~control
        look: dict[str, Any] = {"s": 22, "linewidths": 0.9, "zorder": 3, "clip_on": False}
        ax.scatter(x[counted], y[counted], c=colour, marker=marker, alpha=0.85, **look)
        part = ~complete & ~control
        ax.scatter(x[part], y[part], facecolors="white", edgecolors=colour, marker=marker, **look)
        ax.scatter(x[control], y[control], c=CONTROL_COLOUR, marker="x", **look)
        if counted.any():
            places.append(position + shift)
            means.append(float(y[counted].mean()))
    half = 0.38 * width
    ax.hlines(means, np.subtract(places, half), np.add(places, half), colors=colour, lw=2, zorder=4)
    ax.plot(places, means, color=colour, lw=0.8, alpha=0.6, zorder=2)


def _spread(n: int, width: float) -> np.ndarray:
    """Offsets that keep n dots of one group and day apart; float64 (n,)."""
    return (np.arange(n) - (n - 1) / 2) * min(0.55 * width / max(n - 1, 1), 0.09)


def _time_axis(ax: Axes, days: Sequence[float]) -> None:
    """Equal distances, labelled with the day."""
    ax.set_xlim(-0.6, max(len(days) - 0.4, 0.6))
    ax.set_xticks(range(len(days)), [f"{day:g}" for day in days])
    ax.tick_params(axis="x", length=0)
    for edge in range(1, len(days)):
        ax.axvline(edge - 0.5, color="#E6E6E6", lw=0.8, zorder=0)


def _count_axis(ax: Axes, largest: float) -> None:
    """Logarithmic above 1, with a place for 0."""
    ax.set_yscale("symlog", linthresh=1.0, linscale=0.35)
    decades = int(np.ceil(np.log10(max(largest, 10.0) * 1.05)))
    ticks = [0.0, *(10.0**power for power in range(decades + 1))]
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    minor = [k * 10.0**power for power in range(decades) for k in range(2, 10)]
    ax.yaxis.set_minor_locator(FixedLocator(minor) if decades <= 5 else NullLocator())
    ax.set_yticklabels([f"{tick:,.0f}" for tick in ticks])
    ax.set_ylim(-0.25, max(largest * 1.6, 12.0))
    ax.axhline(0.0, color="#B0B0B0", lw=0.8, zorder=1)


def legend_entries(mice: pd.DataFrame, styles: Styles) -> tuple[list[Line2D], list[str]]:
    """Handles and labels for what the panels of these mice show."""
    kinds = [(colour, marker, colour, group) for group, (colour, marker) in styles.items()]
    if (~is_complete(mice) & mice["cells"].notna() & ~is_control(mice)).any():
        kinds.append(("#000000", "o", "white", "a section failed; not in the mean"))
    if is_control(mice).any():
        kinds.append((CONTROL_COLOUR, "x", CONTROL_COLOUR, "negative control; not in the mean"))
    handles = [
        Line2D([], [], ls="", marker=marker, color=edge, markerfacecolor=face, markersize=5)
        for edge, marker, face, _ in kinds
    ]
    handles.append(Line2D([], [], color="#000000", lw=2))
    # matplotlib hides labels that begin with an underscore: a space in front keeps such a group
    return handles, [f" {label}" for *_, label in kinds] + [" mean"]
