"""How the numbers of foci depend on the distance that joins their cells."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from fociquant.report._dots import Styles, zero_log_axis
from fociquant.report._figures import MAX_WIDTH_IN
from fociquant.report._style import legend_beside


def link_sweep(
    table: pd.DataFrame | None,
    styles: Styles,
    classes: Sequence[str],
    *,
    chosen: float | None = None,
) -> Figure | str:
    """Foci of each class over the linkage distance: a panel per class, a line per group.

    Parameters
    ----------
    table : pandas.DataFrame or None
        ``link_um`` and the columns of the classes; optionally ``group`` and others, over
        which the numbers are summed.
    styles : mapping of str to (str, str)
    classes : sequence of str
        Columns of classes.
    chosen : float, optional
        The distance of this study, µm; a vertical line.
    """
    if table is None or not len(table) or "link_um" not in table:
        return "The results hold no foci for other linkage distances."
    shown = [name for name in classes if name in table]
    if not shown:
        return "The table of linkage distances has none of the profile's classes."
    figure, panels = _grid(len(shown))
    known = table.dropna(subset=shown)
    if len(known) < len(table):
        figure.suptitle("days with a section of too many cells are left out", fontsize=8)
    table, largest = known, 0.0
    for ax, name in zip(panels, shown, strict=True):
        for group, (colour, marker) in styles.items():
            own = table[table["group"] == group] if "group" in table else table
            line = own.groupby("link_um")[name].sum().astype(float)
            ax.plot(line.index, line.to_numpy(), color=colour, marker=marker, ms=3, lw=1.2)
            largest = max(largest, float(line.max()) if len(line) else 0.0)
        ax.set_title(name, loc="left", fontsize=9)
    for ax in panels:
        zero_log_axis(ax, largest)
        _mark(ax, chosen)
    figure.supxlabel("largest gap between cells of one focus, µm", fontsize=9)
    figure.supylabel("foci, all mice of the group", fontsize=9)
    _legend(figure, styles)
    return figure


def _grid(number: int) -> tuple[Figure, list[Axes]]:
    columns = min(number, 4)
    rows = -(-number // columns)
    size = (min(MAX_WIDTH_IN, 2.3 * columns + 1.8), 2.3 * rows + 0.4)
    figure = Figure(figsize=(max(size[0], 4.4), size[1]), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for ax in panels[number:]:
        ax.set_visible(False)
    return figure, list(panels[:number])


def _mark(ax: Axes, chosen: float | None) -> None:
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    if chosen is not None:
        ax.axvline(chosen, color="#9A9A9A", lw=1.0, ls=":", zorder=0)


def _legend(figure: Figure, styles: Styles) -> None:
    handles = [Line2D([], [], color=c, marker=m, ms=4) for c, m in styles.values()]
    legend_beside(figure, handles, styles)
