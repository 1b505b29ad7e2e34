"""How counts and rate ratios change with the threshold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from fociquant.report._style import figure_style, fitting, group_styles, save

ROOM = 100.0
"""The axis of ratios ends this factor beyond the outermost ratio: intervals may be wider."""

DASHES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)))
"""Lines of days, in order of time."""


def write_sweep(
    groups: pd.DataFrame, *, out_dir: Path, reference_group: str | None, words: Mapping[str, str]
) -> list[Path]:
    """Draw ``gate_sweep`` as PNG and SVG.

    Parameters
    ----------
    groups : pandas.DataFrame
        ``property, threshold, state, group, dpi, mean, rate_ratio, ratio_low, ratio_high``.
    out_dir : pathlib.Path
    reference_group : str or None
        Drawn in black.
    words : mapping of str to str
        Property to the label of its axis.

    Returns
    -------
    list of pathlib.Path
        The same table gives the same bytes.
    """
    names = list(dict.fromkeys(groups["group"]))
    names.sort(key=lambda name: name != reference_group)
    styles = {name: style[0] for name, style in group_styles(names, reference_group).items()}
    days = sorted(set(groups["dpi"]))
    dashes = {day: DASHES[k % len(DASHES)] for k, day in enumerate(days)}
    properties = [name for name in words if (groups["property"] == name).any()]
    with figure_style():
        figure = Figure(figsize=(4.2 * len(properties) + 1.4, 6.0), layout="constrained")
        axes = figure.subplots(2, len(properties), squeeze=False, sharex="col")
        for column, name in enumerate(properties):
            own = groups[(groups["property"] == name) & (groups["state"] != "floor")]
            _means(axes[0, column], own, styles, dashes)
            _ratios(axes[1, column], own, styles, dashes, reference_group)
            axes[1, column].set_xlabel(words[name])
        axes[0, 0].set_ylabel("mean cells per mouse")
        axes[1, 0].set_ylabel(
            f"rate ratio to {reference_group or 'the reference'}\n(95 % interval)"
        )
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, handlelength=3)
        return save(figure, out_dir / "gate_sweep")


def _means(
    ax: Axes, own: pd.DataFrame, styles: Mapping[Any, str], dashes: Mapping[Any, Any]
) -> None:
    for (group, day), line in own.groupby(["group", "dpi"], sort=False):
        line = line.sort_values("threshold")
        ax.plot(line["threshold"], line["mean"], color=styles[str(group)], linestyle=dashes[day],
                label=fitting(f"{group} {day:g} dpi"), linewidth=1.4)  # fmt: skip
    ax.set_yscale("symlog", linthresh=1.0)
    ax.set_ylim(bottom=-0.05)
    ax.yaxis.set_major_formatter(FuncFormatter(_plain))
    _in_use(ax, own)


def _ratios(
    ax: Axes,
    own: pd.DataFrame,
    styles: Mapping[str, str],
    dashes: Mapping[Any, Any],
    reference: str | None,
) -> None:
    for (group, day), line in own[own["group"] != reference].groupby(["group", "dpi"], sort=False):
        line = line.sort_values("threshold")
        colour = styles[str(group)]
        ax.plot(line["threshold"], line["rate_ratio"], color=colour, linestyle=dashes[day],
                linewidth=1.4)  # fmt: skip
        both = line["ratio_low"].notna() & line["ratio_high"].notna()
        band = line[both]
        ax.fill_between(band["threshold"], band["ratio_low"], band["ratio_high"], color=colour,
                        alpha=0.08, linewidth=0)  # fmt: skip
    ax.axhline(1.0, color="#7F7F7F", linewidth=0.8)
    ratios = own["rate_ratio"].to_numpy("float64")
    ratios = ratios[np.isfinite(ratios)]
    if len(ratios):
        ax.set_yscale("log")
        ax.set_ylim(min(1.0, ratios.min()) / ROOM, max(1.0, ratios.max()) * ROOM)
        ax.yaxis.set_major_formatter(FuncFormatter(_plain))
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        ax.text(0.5, 0.6, "no ratio can be estimated", transform=ax.transAxes, ha="center")
    _in_use(ax, own)


def _plain(value: float, _position: int) -> str:
    """Numbers as they are spoken: 0.01, 100."""
    return f"{value:g}"


def _in_use(ax: Axes, own: pd.DataFrame) -> None:
    used = own[own["state"] == "in use"]["threshold"]
    if len(used):
        ax.axvline(float(used.iloc[0]), color="#7F7F7F", linewidth=0.8, linestyle="--")
