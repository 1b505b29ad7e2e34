"""What could be wrong with the count, by arm: rejections, controls, masks, warnings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fociquant.counts import is_control, poisson_upper
from fociquant.flags import REJECTING, CellFlag
from fociquant.report._dots import Styles, zero_log_axis
from fociquant.report._style import CONTROL_COLOUR, legend_beside

MEASURED = ("artefact", "masked", "seam", "shading", "field_step_pct")
"""Beginnings of columns of sections that tell of the images: areas are added, others averaged."""

SEAM_CLUMPS, SEAM_CLUMPS_WEIGHT = 2.5, 4.0
"""Variance of the difference at borders over that of single candidates, because cells lie in foci
and linings in rows, and as how many sections this counts beside those of the study. Measured: 2.6
to 2.9 in three simulated studies in which no cell at a border was missed."""

SEAM_SMALL_MM = 3.0
"""Below this length of borders in a section, mm, on average, there is about one line each way: it
may pass by the edge of the lung and the control line through its middle. Measured in 27 simulated
sections of 0.6 mm: 54 true cells at borders, 128 at control lines; one of 1057 was not found."""

CONTROL_ARM = "{group}, negative control"
"""Name of the arm of control sections."""


@dataclass(frozen=True)
class Quality:
    """The count's quality by arm; an arm is a group, or the controls of a group.

    Parameters
    ----------
    arms : pandas.DataFrame
        One row per arm: sections, tissue, and candidates per mm², counted, rejected, by flag.
    sections : pandas.DataFrame
        One row per counted section: ``section, mouse, group, dpi, arm, tissue_mm2``, numbers of
        ``counted`` and ``rejected`` candidates, and one column for each flag that occurs.
    controls : pandas.DataFrame
        One row per control section and one for the sum of each group.
    flags : tuple of str
        Rejecting flags that occur, in the order of the registry.
    """

    arms: pd.DataFrame
    sections: pd.DataFrame
    controls: pd.DataFrame
    flags: tuple[str, ...]


def assess(sections: pd.DataFrame, candidates: pd.DataFrame) -> Quality:
    """Numbers of candidates by flag, section and arm.

    Parameters
    ----------
    sections : pandas.DataFrame
        As in ``sections.csv``.
    candidates : pandas.DataFrame
        See :class:`~fociquant.report._extras.ReportExtras`.
    """
    done = sections[(sections["status"] == "done")].reset_index(drop=True)
    control = is_control(done)
    arms = [
        CONTROL_ARM.format(group=group) if bad else str(group)
        for group, bad in zip(done["group"], control, strict=True)
    ]
    names = [name for name in ("section", "mouse", "group", "dpi", "tissue_mm2", "cells",
                               "warnings") if name in done]  # fmt: skip
    names += [str(n) for n in done if str(n).startswith(MEASURED) and done[n].notna().any()]
    table = done[names].assign(arm=arms, control=control)
    counts = _by_flag(candidates)
    flags = tuple(flag for flag in _rejecting() if flag in counts)
    table = table.merge(counts.reset_index(), on="section", how="left") if len(table) else table
    for name in ("counted", "rejected", "edge", "oversize", *flags):
        table[name] = table[name].fillna(0).astype(int) if name in table else 0
    return Quality(_arm_table(table, flags), table, _control_table(table), flags)


def _rejecting() -> list[str]:
    return [str(flag.name).lower() for flag in CellFlag if flag & REJECTING]


def _by_flag(candidates: pd.DataFrame) -> pd.DataFrame:
    """Indexed by section: counted, rejected, edge, oversize, and each flag that occurs."""
    rows: dict[str, dict[str, int]] = {}
    for row in candidates.to_dict("records"):
        own = rows.setdefault(str(row["section"]), {})
        number = int(row["candidates"])
        positive = bool(row["positive"])
        names = ["counted" if positive else "rejected"]
        # The cells of a plugin may carry flags that this version does not know.
        bits = [name for name in str(row["flags"]).split(";") if name]
        names += [n for n in bits if n in ("edge", "oversize") or not positive]
        for name in names:
            own[name] = own.get(name, 0) + number
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("section")


def _arm_table(table: pd.DataFrame, flags: Sequence[str]) -> pd.DataFrame:
    """One row per arm, controls below the others."""
    rows: list[dict[str, Any]] = []
    for arm, own in table.groupby("arm", sort=False):
        area = float(own["tissue_mm2"].sum())
        row: dict[str, Any] = {
            "arm": arm,
            "sections": len(own),
            "tissue mm²": round(area, 3),
            "with warnings": int((own["warnings"].fillna("") != "").sum())
            if "warnings" in own
            else 0,
        }
        for name in ("counted", "rejected", *flags):
            row[f"{name} per mm²"] = own[name].sum() / area if area > 0 else np.nan
        for column in (n for n in own if str(n).startswith(MEASURED)):
            if pd.api.types.is_numeric_dtype(own[column]):
                values = own[column].astype(float)
                row[str(column)] = values.sum() if str(column).endswith("_mm2") else values.mean()
        row["at the image's border"] = int(own["edge"].sum())
        row["outline may be cut"] = int(own["oversize"].sum())
        rows.append(row)
    found = pd.DataFrame(rows)
    return found.sort_values("arm", key=_controls_last, kind="stable") if len(found) else found


def _controls_last(arms: pd.Series) -> pd.Series:
    return arms.str.endswith(CONTROL_ARM.format(group=""))


def _control_table(table: pd.DataFrame) -> pd.DataFrame:
    """Control sections with their false cells, then the sum of each group."""
    own = table[table["control"]] if len(table) else table
    rows = [_control_row(row["section"], row["group"], [row]) for row in own.to_dict("records")]
    for group, part in own.groupby("group", sort=False) if len(own) else ():
        rows.append(_control_row("all", str(group), part.to_dict("records")))
    return pd.DataFrame(rows)


def _control_row(
    section: object, group: str, rows: Sequence[Mapping[Any, Any]]
) -> dict[str, object]:
    cells = sum(int(row["cells"]) for row in rows if not pd.isna(row["cells"]))
    area = sum(float(row["tissue_mm2"]) for row in rows if not pd.isna(row["tissue_mm2"]))
    return {
        "section": section,
        "group": group,
        "tissue mm²": round(area, 3),
        "false cells": cells,
        "per mm²": cells / area if area > 0 else np.nan,
        "at most, per mm² (95 %)": poisson_upper(cells, area),
    }


def rejections(quality: Quality, styles: Styles) -> Figure | str:
    """Rejected candidates per mm² by flag: a dot per section, a bar per arm."""
    usable = quality.sections
    if not len(usable) or not (usable["tissue_mm2"] > 0).any():
        return "No counted section has tissue, so nothing can be told per mm²."
    if not quality.flags:
        return "No candidate was rejected."
    usable = usable[usable["tissue_mm2"] > 0]
    names = ["counted", *quality.flags]
    arms = [str(arm) for arm in quality.arms["arm"]]
    figure = Figure(figsize=(7.4, 0.9 + 0.42 * len(names)), layout="constrained")
    ax = figure.add_subplot()
    rates = usable[names].div(usable["tissue_mm2"].astype(float), axis=0)
    for place, name in enumerate(names):
        for index, arm in enumerate(arms):
            y = -place - 0.72 * ((index + 0.5) / len(arms) - 0.5)
            inside = (usable["arm"] == arm).to_numpy()
            _arm_row(ax, rates.loc[inside, name].to_numpy(), y, _look(arm, usable, styles))
        ax.axhline(-place - 0.5, color="#E6E6E6", lw=0.8, zorder=0)
    above = rates.to_numpy()[rates.to_numpy() > 0]
    lowest = int(np.floor(np.log10(above.min()))) if len(above) else 0
    zero_log_axis(ax, float(rates.to_numpy().max()), lowest=min(lowest, 0), which="x")
    ax.set_yticks([-place for place in range(len(names))], names)
    ax.set_ylim(-len(names) + 0.5, 0.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("candidates per mm² of tissue; a dot is a section, a bar the mean of an arm")
    looks = [_look(arm, usable, styles) for arm in arms]
    handles = [Line2D([], [], ls="", color=c, marker=m, ms=5) for c, m in looks]
    legend_beside(figure, handles, arms)
    return figure


def _look(arm: str, sections: pd.DataFrame, styles: Styles) -> tuple[str, str]:
    """Colour and marker of an arm; controls are grey crosses."""
    own = sections[sections["arm"] == arm]
    if len(own) and bool(own["control"].iloc[0]):
        return CONTROL_COLOUR, "x"
    return styles.get(arm, ("#000000", "o"))


def _arm_row(ax: Axes, values: np.ndarray, y: float, look: tuple[str, str]) -> None:
    colour, marker = look
    ax.scatter(values, np.full(len(values), y), s=9, c=colour, marker=marker, alpha=0.55, lw=0.8,
               clip_on=False, zorder=3)  # fmt: skip
    if len(values):
        mean = float(values.mean())
        ax.plot((mean, mean), (y - 0.13, y + 0.13), color=colour, lw=2.2, zorder=4)


def seams_in_words(seams: pd.DataFrame) -> str:
    """What was found along the borders at which sections were divided, against control lines."""
    wanted = {"length_mm", "objects", "control_objects", "repeats"}
    if not len(seams) or not wanted <= set(seams.columns):
        return "Not recorded in these results."
    length = float(seams["length_mm"].sum())
    if length == 0:
        return "No section is so large that it was divided."
    at, control = int(seams["objects"].sum()), int(seams["control_objects"].sum())
    chance = 2.0 * math.sqrt((at + control) * _seam_clumps(seams))
    small = length / len(seams) < SEAM_SMALL_MM
    verdict = (
        "a difference that chance explains" if abs(at - control) <= chance
        else "sections are so small that borders and control lines pass through different tissue, "
        "which may be all of the difference" if small
        else "MORE THAN CHANCE EXPLAINS: look at the cells along the borders"
    )  # fmt: skip
    return (
        f"Along {length:.3g} mm of borders {at} candidates were found, along as much of control "
        f"lines "
        f"away from borders {control}: {verdict}. Candidates found twice: "
        f"{int(seams['repeats'].sum())}."
    )


def _seam_clumps(seams: pd.DataFrame) -> float:
    """How much more than single candidates the sections' differences at borders vary; 1 or more."""
    at, control = (seams[name].to_numpy(np.float64) for name in ("objects", "control_objects"))
    both, difference = at + control, at - control
    if not both.any():
        return 1.0
    some = both > 0
    shared = difference.sum() / both.sum() * both
    spread = float(((difference - shared)[some] ** 2 / both[some]).sum())
    weight = int(some.sum()) - 1 + SEAM_CLUMPS_WEIGHT
    return max(1.0, (spread + SEAM_CLUMPS * SEAM_CLUMPS_WEIGHT) / weight)
