"""Every figure of a study, drawn or excused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fociquant.atomic import write_bytes
from fociquant.counts import is_control, is_excluded, several
from fociquant.report import _contact as contact
from fociquant.report._dots import is_complete
from fociquant.report._extras import Panel, ReportExtras, panel
from fociquant.report._figures import CLASS_COLUMNS, density, foci_classes, time_course
from fociquant.report._foci_figures import class_composition, foci_sizes
from fociquant.report._immune import immune_figure, mouse_bands
from fociquant.report._outcome_figures import phenotype_fractions, rate_ratios
from fociquant.report._quality import Quality, assess, rejections
from fociquant.report._sensitivity import link_sweep
from fociquant.report._sides import sides
from fociquant.report._style import figure_style, group_styles
from fociquant.report._sweep import write_sweep

__all__ = ["CLASS_COLUMNS", "Drawn", "draw_all"]

CAPTIONS = {
    "time_course": "Positive cells per mouse, summed over its sections. The axis is logarithmic "
    "from 1, with a place for 0; the bar is the arithmetic mean; n is the number of mice in it.",
    "rate_ratios": "Rate of each group over that of the reference group of the same day, with its "
    "95 % interval; an arrow is a one-sided bound, where one of the two has counted no cell.",
    "counts_compared": "Count of a mouse after review, and as an audit corrects it, over the "
    "automatic count; on the grey line nothing changed. A dot is a mouse.",
    "immune_bands": "Immune cells per mm² of tissue in bands around foci, and (open) in all tissue "
    "beyond. A line is a mouse, over all its sections; mice without foci have no bands.",
    "density": "The same per mm² of tissue, and the tissue itself. Infected lungs inflate "
    "differently: if the tissue differs between groups, so does the meaning of cells per mm².",
    "foci_classes": "Foci per mouse by class, summed over its sections.",
    "class_composition": "Which share of a mouse's foci is in each class. A bar is a mouse, the "
    "number on it is that of its foci; mice without foci have no bar.",
    "foci_sizes": "How many foci of a mouse have at least so many cells (above), and at least the "
    "diameter of a disc of their area (below). A line is a mouse; dotted: limits of the classes.",
    "phenotypes": "Share of a mouse's positive cells that carry the marker. Numerators and "
    "denominators are in the table below; mice with too few cells have no dot.",
    "rejections": "Candidates per mm² of tissue that were counted, or rejected for each reason; "
    "one may have several. Arms that differ in rejections differ in tissue, stain or infection: "
    "look at their cells below before you compare their counts.",
    "gate_sweep": "Mean cells per mouse, and rate ratios, if the gate's thresholds were others; "
    "dashed: those used. As of the last 'fociquant gate --sweep'. A conclusion that needs one "
    "threshold is none.",
    "link_sweep": "Foci of each class if cells were joined over another distance; dotted: the "
    "distance used.",
}
"""File stem to caption."""

SWEPT = {"marker": "marker strength (noise SD)", "score": "network score (logit)"}
"""Properties of a sweep of the gate to the label of their axis."""

SWEEP_COLUMNS = {"property", "threshold", "state", "group", "dpi", "mean", "rate_ratio",
                 "ratio_low", "ratio_high"}  # fmt: skip
"""Columns that the figure of a sweep needs."""

NO_SWEEP = (
    "Not computed. 'fociquant gate RESULTS --sweep' and then 'fociquant report RESULTS' show how "
    "the counts and the comparison change with the gate."
)

SHEET_FILES = re.compile(r"cells_\d+_(counted|rejected)\.png")
"""Contact sheets of an earlier report in the folder of figures."""


@dataclass(frozen=True)
class Drawn:
    """All that the page shows in pictures.

    Parameters
    ----------
    panels : mapping of str to Panel
        By file stem.
    sheets : sequence of (str, Panel)
        Contact sheets with their titles.
    thumbnails : mapping of str to bytes
        Section to small overview, JPEG.
    thumbnails_left_out : int
        Sections for whose pictures there is no room.
    quality : Quality
    """

    panels: Mapping[str, Panel]
    sheets: Sequence[tuple[str, Panel]]
    thumbnails: Mapping[str, bytes]
    thumbnails_left_out: int
    quality: Quality


def draw_all(
    folder: Path,
    *,
    mice: pd.DataFrame,
    sections: pd.DataFrame,
    foci: pd.DataFrame | None,
    comparisons: pd.DataFrame | None,
    classes: Sequence[Mapping[str, Any]],
    class_columns: Sequence[str],
    run: Mapping[str, Any],
    extras: ReportExtras,
) -> Drawn:
    """Draw every figure into a folder; files of an earlier report that no longer fit are removed.

    Parameters
    ----------
    folder : pathlib.Path
        Made if absent.
    mice, sections, foci, comparisons : pandas.DataFrame
        The tables of the results.
    classes : sequence of mapping
        Of the foci profile, as in ``run.json``.
    class_columns : sequence of str
        Their columns in `mice`.
    run : mapping
        As in ``run.json``.
    extras : ReportExtras

    Returns
    -------
    Drawn
    """
    reference = (run.get("study") or {}).get("reference_group")
    groups = sorted(dict.fromkeys(map(str, mice["group"])), key=lambda group: group != reference)
    styles = group_styles(groups, reference)
    quality = assess(sections, extras.candidates)
    settings = run.get("settings") or {}
    link = settings.get("foci") or {}
    figures: dict[str, Callable[[], Figure | str]] = {
        "time_course": lambda: time_course(mice, styles),
        "rate_ratios": lambda: rate_ratios(comparisons, styles),
        "counts_compared": lambda: sides(mice, styles),
        "density": lambda: density(mice, styles),
        "foci_classes": lambda: foci_classes(mice, styles, class_columns),
        "class_composition": lambda: class_composition(mice, styles, class_columns),
        "foci_sizes": lambda: foci_sizes(foci, mice, sections, styles, classes),
        "phenotypes": lambda: phenotype_fractions(mice, styles, run.get("phenotypes") or ()),
        "immune_bands": lambda: immune_figure(immune_mice(extras, sections), styles),
        "rejections": lambda: rejections(quality, styles),
        "link_sweep": lambda: link_sweep(
            extras.tables.get("link_sweep"), styles, class_columns, chosen=link.get("link_um")
        ),
    }
    panels: dict[str, Panel] = {}
    with figure_style():
        for name, draw in figures.items():
            panels[name] = panel(draw(), folder / name, caption=CAPTIONS[name],
                                 alt=_alt(name, mice))  # fmt: skip
    panels["gate_sweep"] = _gate_sweep(folder, extras.tables.get("gate_sweep"), reference)
    sheets = list(_sheets(folder, quality, extras))
    small, left_out = contact.thumbnails(extras.overviews, sections["section"].tolist())
    _tidy(folder, [*panels.values(), *(one for _, one in sheets)])
    return Drawn(panels, sheets, small, left_out, quality)


def immune_mice(extras: ReportExtras, sections: pd.DataFrame) -> pd.DataFrame:
    """Bands of each mouse, see :func:`~fociquant.report._immune.mouse_bands`; none without."""
    table = extras.tables.get("immune_bands")
    if table is None:
        return pd.DataFrame()
    left_out = is_control(sections) | is_excluded(sections)
    return mouse_bands(table, left_out=frozenset(sections.loc[left_out, "section"].astype(str)))


def _gate_sweep(folder: Path, table: pd.DataFrame | None, reference: str | None) -> Panel:
    """Counts and ratios over the gate's thresholds, if they were computed."""
    caption, alt = CAPTIONS["gate_sweep"], "Counts and rate ratios over the gate's thresholds."
    if table is None or not len(table):
        return Panel(caption, alt, reason=NO_SWEEP)
    if missing := sorted(SWEEP_COLUMNS - set(table.columns)):
        reason = f"The table of the sweep lacks {', '.join(missing)}; run the sweep again."
        return Panel(caption, alt, reason=reason)
    paths = write_sweep(table, out_dir=folder, reference_group=reference, words=SWEPT)
    return Panel(caption, alt, paths=tuple(paths))


def _alt(name: str, mice: pd.DataFrame) -> str:
    """What a figure shows, for who cannot see it; numbers where they fit into a sentence."""
    if name != "time_course":
        return f"Figure: {CAPTIONS[name]} The numbers are in the tables of this page."
    counted = mice[is_complete(mice) & ~is_control(mice)]
    parts = [
        f"{group} at {day:g} dpi: mean {own['cells'].astype(float).mean():.3g}, n = {len(own)}"
        for (day, group), own in counted.groupby(["dpi", "group"], sort=True)
    ]
    return f"Dot plot of positive cells per mouse over time. {'; '.join(parts)}."


def _sheets(folder: Path, quality: Quality, extras: ReportExtras) -> list[tuple[str, Panel]]:
    """Contact sheets of every arm, counted cells first."""
    made: list[tuple[str, Panel]] = []
    arms = list(quality.arms["arm"]) if len(quality.arms) else []
    for number, arm in enumerate(arms[: contact.MOST_SHEETS // 2], start=1):
        names = quality.sections.loc[quality.sections["arm"] == arm, "section"].tolist()
        if not any(name in extras.crops for name in names):
            continue
        for positive, kind in ((True, "counted"), (False, "rejected")):
            chosen = contact.choose_shown(extras.shown, extras.crops, names, positive=positive)
            path = folder / f"cells_{number}_{kind}.png"
            made.append((f"{arm}: {kind}", _sheet(path, chosen, kind)))
    return made


def _sheet(path: Path, chosen: Sequence[contact.Pictured], kind: str) -> Panel:
    if not chosen:
        return Panel("", "", reason=f"No cell of this arm was {kind}.")
    picture = contact.sheet(chosen)
    write_bytes(path, contact.png_bytes(picture))
    crops = chosen[0].crops
    caption = (
        f"{several(len(chosen), f'{kind} cell')}, drawn by lot from its sections in turn: all "
        "channels merged "
        "(marker green, nuclei blue, autofluorescence orange where there is such a channel) with "
        f"the outline, then each channel. Each picture is {crops.window_um:g} µm wide. Black and "
        f"white are those of the section, the same for all cells of it; brightness is compressed. "
        f"{path.name}"
    )
    alt = f"Contact sheet of {len(chosen)} {kind} cells: " + "; ".join(
        f"{one.section} cell {one.cell} {one.flags}".strip() for one in chosen
    )
    return Panel(caption, alt, paths=(path,), content=contact.jpeg_bytes(picture), suffix=".jpg")


def _tidy(folder: Path, panels: Sequence[Panel]) -> None:
    """Remove figures of an earlier report that this one does not have."""
    kept = {path.name for one in panels for path in one.paths}
    ours = {f"{name}{suffix}" for name in CAPTIONS for suffix in (".png", ".svg")}
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.name not in kept and (path.name in ours or SHEET_FILES.fullmatch(path.name)):
            path.unlink(missing_ok=True)
