"""Immune cells in bands around foci: mice as lines, never sections or foci."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fociquant.report._dots import Styles, zero_log_axis
from fociquant.report._figures import MAX_WIDTH_IN
from fociquant.report._style import legend_beside

ALL = "all"
"""``class`` of the rows about all foci."""

APART = 1.7
"""Where the place for all that lies beyond is drawn, bands after the last."""

MOUSE = ["marker", "group", "dpi", "mouse"]


def mouse_bands(table: pd.DataFrame, *, left_out: frozenset[str] = frozenset()) -> pd.DataFrame:
    """Bands of each mouse, over all its sections: cells and areas summed, then divided.

    Parameters
    ----------
    table : pandas.DataFrame
        As in ``immune_bands.csv``.
    left_out : frozenset of str
        Sections that are negative controls, and those of excluded mice.

    Returns
    -------
    pandas.DataFrame
        ``marker, group, dpi, mouse, inner_um, outer_um`` (NaN: beyond), ``area_mm2, cells,
        cells_per_mm2`` of foci of any class; bands without tissue are absent.
    """
    keys = [*MOUSE, "inner_um", "outer_um"]
    used = table[(table["class"] == ALL) & table["cells"].notna()]
    used = used[~used["section"].astype(str).isin(left_out)]
    sums = used.groupby(keys, dropna=False, sort=False)[["area_mm2", "cells"]].sum().reset_index()
    sums = sums[sums["area_mm2"] > 0].reset_index(drop=True)
    cells = sums["cells"].astype("float64")
    return sums.assign(cells=cells, cells_per_mm2=cells / sums["area_mm2"])


def group_bands(mice: pd.DataFrame) -> pd.DataFrame:
    """Mean over mice of each group, day, marker and band; bands as columns.

    ``marker, group, dpi, mice`` (with at least one focus) and one column per band.
    """
    rows = []
    for (marker, dpi, group), own in mice.groupby(["marker", "dpi", "group"], sort=False):
        near = own[own["outer_um"].notna()]
        row = {"marker": marker, "group": group, "dpi": dpi, "mice": near["mouse"].nunique()}
        bands = own.assign(band=_names(own)).groupby("band", sort=False)["cells_per_mm2"].mean()
        rows.append(row | bands.to_dict())
    return pd.DataFrame(rows)


def _names(rows: pd.DataFrame) -> list[str]:
    return [
        f"beyond {inner:g} µm" if math.isnan(outer) else f"{inner:g} to {outer:g} µm"
        for inner, outer in zip(rows["inner_um"], rows["outer_um"], strict=True)
    ]


def immune_figure(mice: pd.DataFrame, styles: Styles) -> Figure | str:
    """Density over the distance from foci: a row per marker, a panel per day, a line per mouse."""
    near = mice[mice["outer_um"].notna()] if len(mice) else mice
    if not len(near):
        return "No mouse has both a focus and sections in which immune cells were looked for."
    markers, days = list(dict.fromkeys(near["marker"])), sorted(set(near["dpi"]))
    size = (min(MAX_WIDTH_IN, 2.1 * len(days) + 2.4), 2.2 * len(markers) + 0.5)
    figure = Figure(figsize=(max(size[0], 4.4), size[1]), layout="constrained")
    panels = figure.subplots(len(markers), len(days), squeeze=False, sharex=True, sharey="row")
    for marker, row in zip(markers, panels, strict=True):
        own = mice[(mice["marker"] == marker) & mice["mouse"].isin(near["mouse"])]
        for day, ax in zip(days, row, strict=True):
            _panel(ax, own[own["dpi"] == day], styles)
            ax.set_title(f"{marker}, {day:g} dpi", loc="left", fontsize=9)
        for ax in row:
            zero_log_axis(ax, float(own["cells_per_mm2"].max()))
    figure.supxlabel("distance from the edge of the nearest focus, µm", fontsize=9)
    figure.supylabel("immune cells per mm² of tissue", fontsize=9)
    handles = [Line2D([], [], color=c, marker=m, ms=4) for c, m in styles.values()]
    legend_beside(figure, handles, styles)
    return figure


def _panel(ax: Axes, mice: pd.DataFrame, styles: Styles) -> None:
    """Mice of one day and marker; the place beyond the bands stands apart."""
    last = mice["inner_um"].max() if len(mice) else 100.0
    width = (mice["outer_um"] - mice["inner_um"]).max() if len(mice) else 20.0
    for (group, _), own in mice.groupby(["group", "mouse"], sort=False):
        colour, marker = styles.get(str(group), ("#000000", "o"))
        bands = own[own["outer_um"].notna()].sort_values("inner_um")
        middle = (bands["inner_um"] + bands["outer_um"]) / 2
        ax.plot(middle, bands["cells_per_mm2"], color=colour, marker=marker, ms=3, lw=1.0)
        beyond = own.loc[own["outer_um"].isna(), "cells_per_mm2"]
        ax.plot([last + APART * width] * len(beyond), beyond, color=colour, marker=marker, ms=4,
                ls="", markerfacecolor="white")  # fmt: skip
    ax.axvline(last + width / 2, color="#C8C8C8", lw=0.8, ls=":")
    ticks = [0.0, last / 2, last, last + APART * width]
    ax.set_xticks(ticks, [*(f"{tick:g}" for tick in ticks[:-1]), "beyond"], fontsize=7)
