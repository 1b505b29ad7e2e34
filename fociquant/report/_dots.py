"""Panels in which every mouse is a dot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.markers import TICKDOWN, TICKLEFT
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from fociquant.counts import is_control, is_excluded, is_observed
from fociquant.report._style import CONTROL_COLOUR, fitting

SLOT = 0.8
"""Share of the distance between two days that the dots of all groups take."""

SMALL_TICK: dict[str, Any] = {"markersize": 2.0, "markeredgewidth": 0.6}
"""Minor ticks of matplotlib's own style, pt."""

Styles = Mapping[str, tuple[str, str]]
"""Group to (colour, marker)."""


def is_complete(mice: pd.DataFrame) -> pd.Series:
    """Which mice have every section counted, tissue in them, and are not excluded; bool."""
    return is_observed(mice)


def excluded_in_words(mice: pd.DataFrame) -> str:
    """Each of these mice with its group, day and reason."""
    return "; ".join(
        f"{row['mouse']}, {row['group']}, {row['dpi']:g} dpi: {row['excluded']}"
        for row in mice.to_dict("records")
    )


Scale = Literal["count", "rate", "linear", "percent"]
"""How the values of a panel are laid out, see :func:`dot_panel`."""


def dot_panel(
    ax: Axes, mice: pd.DataFrame, *, value: str, styles: Styles, scale: Scale = "count"
) -> None:
    """Draw one column of `mice` over time, one dot per mouse.

    Days stand at equal distances. Counts have an axis that is logarithmic from 1
    and linear between 0 and 1, so that a count of zero has a place; rates the same
    from the decade of the smallest one. Bars are arithmetic means of the complete
    mice, joined by a thin line; open dots are mice with a failed section or excluded ones,
    crosses negative controls: none of them is in a mean.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    mice : pandas.DataFrame
        With ``group``, ``dpi``, ``sections_failed``, ``cells``, `value` and,
        optionally, ``control`` and ``excluded``.
    value : str
        Column of numbers >= 0; empty ones are not drawn.
    styles : mapping of str to (str, str)
        Colour and marker of each group, in the order of drawing.
    scale : {'count', 'rate', 'linear', 'percent'}
        Of the vertical axis.
    """
    days = sorted(set(mice["dpi"]))
    shown = mice.assign(value=mice[value].astype("float64")).dropna(subset=["value"])
    for index, (group, style) in enumerate(styles.items()):
        shift = SLOT * ((index + 0.5) / len(styles) - 0.5)
        own = shown[shown["group"] == group]
        _draw_group(ax, own, days=days, shift=shift, width=SLOT / len(styles), style=style)
    time_axis(ax, days)
    value_axis(ax, shown["value"].to_numpy(), scale)


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


def time_axis(ax: Axes, days: Sequence[float]) -> None:
    """Equal distances, labelled with the day."""
    ax.set_xlim(-0.6, max(len(days) - 0.4, 0.6))
    ax.set_xticks(range(len(days)), [f"{day:g}" for day in days])
    ax.tick_params(axis="x", length=0)
    for edge in range(1, len(days)):
        ax.axvline(edge - 0.5, color="#E6E6E6", lw=0.8, zorder=0)


def value_axis(ax: Axes, values: np.ndarray, scale: Scale) -> None:
    """Lay out the vertical axis for these values (>= 0, none missing), see :func:`dot_panel`."""
    largest = float(values.max()) if len(values) else 0.0
    if scale == "percent":
        ax.set_ylim(-4.0, 104.0)
    elif scale == "linear":
        ax.set_ylim(0.0, 1.15 * largest if largest > 0 else 1.0)
    else:
        above = values[values > 0]
        lowest = 0 if scale == "count" or not len(above) else math.floor(math.log10(above.min()))
        zero_log_axis(ax, largest, lowest=lowest)


def zero_log_axis(ax: Axes, largest: float, *, lowest: int = 0, which: str = "y") -> None:
    """Logarithmic from ``10 ** lowest``, and linear below it, with a place for 0.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    largest : float
        Largest value to be drawn.
    lowest : int
        Decade from which the axis is logarithmic.
    which : {'x', 'y'}
    """
    first = 10.0**lowest
    last = math.ceil(math.log10(max(largest, 10.0 * first) * 1.05))
    ticks = [0.0, *(10.0**power for power in range(lowest, last + 1))]
    minor = [k * 10.0**power for power in range(lowest, last) for k in range(2, 10)]
    axis = ax.yaxis if which == "y" else ax.xaxis
    set_scale = ax.set_yscale if which == "y" else ax.set_xscale
    set_scale("symlog", linthresh=first, linscale=0.35)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_ticklabels([_tick(tick) for tick in ticks])
    limits = (-0.25 * first, max(largest * 1.6, 12.0 * first))
    if last - lowest <= 5:
        _small_ticks(ax, [place for place in minor if place <= limits[1]], which)
    line: dict[str, Any] = {"color": "#B0B0B0", "lw": 0.8, "zorder": 1}
    if which == "y":
        ax.set_ylim(*limits)
        ax.axhline(0.0, **line)
    else:
        ax.set_xlim(*limits)
        ax.axvline(0.0, **line)


def _small_ticks(ax: Axes, places: Sequence[float], which: str) -> None:
    """Minor ticks without labels, as one line: matplotlib's own are several artists each."""
    rest = [0.0] * len(places)
    x, y = (rest, places) if which == "y" else (places, rest)
    transform = (ax.get_yaxis_transform if which == "y" else ax.get_xaxis_transform)("tick1")
    look = SMALL_TICK | {"marker": TICKLEFT if which == "y" else TICKDOWN}
    marks = Line2D(
        x, y, transform=transform, linestyle="", clip_on=False, zorder=2.01, color="black", **look
    )
    marks.set_in_layout(False)
    ax.add_artist(marks)


def label_small_ticks(axis: Axis) -> None:
    """Label 2, 5, 20 … of a logarithmic axis that has no two powers of ten to read it by.

    Matplotlib labels all nine then, in its mathematical notation, which is switched off here.
    """

    def label(value: float, _: object) -> str:
        low, high = axis.get_view_interval()
        told = math.floor(math.log10(high)) > math.ceil(math.log10(low))
        return f"{value:g}" if not told and f"{value:.0e}"[0] in "25" else ""

    axis.set_minor_formatter(FuncFormatter(label))
    axis.set_tick_params(which="minor", pad=5.0)  # in line with those of longer ticks


def _tick(value: float) -> str:
    """``10,000``, ``0.01``; powers of ten where that would be long."""
    if value == 0 or 1e-4 <= value < 1e7:
        return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:.{_places(value)}f}"
    return f"1e{round(math.log10(value))}"


def _places(value: float) -> int:
    return max(0, -math.floor(math.log10(value)))


def legend_entries(mice: pd.DataFrame, styles: Styles) -> tuple[list[Line2D], list[str]]:
    """Handles and labels for what the panels of these mice show."""
    kinds = [(colour, marker, colour, fitting(group)) for group, (colour, marker) in styles.items()]
    open_dots = mice[~is_complete(mice) & mice["cells"].notna() & ~is_control(mice)]
    if len(open_dots):
        out = is_excluded(open_dots)
        reasons = ["excluded"] * bool(out.any())
        reasons += ["a section failed, or no tissue"] * bool((~out).any())
        kinds.append(("#000000", "o", "white", f"{', or '.join(reasons)}; not in the mean"))
    if is_control(mice).any():
        kinds.append((CONTROL_COLOUR, "x", CONTROL_COLOUR, "negative control; not in the mean"))
    handles = [
        Line2D([], [], ls="", marker=marker, color=edge, markerfacecolor=face, markersize=5)
        for edge, marker, face, _ in kinds
    ]
    handles.append(Line2D([], [], color="#000000", lw=2))
    # matplotlib hides labels that begin with an underscore: a space in front keeps such a group
    return handles, [f" {label}" for *_, label in kinds] + [" mean"]
