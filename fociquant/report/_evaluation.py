"""Figures of an evaluation: agreement of labels or counts with truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from fociquant.report._style import GROUP_COLOURS, figure_style, group_styles, save

MAX_CURVES = 200
"""At most so many single images are drawn as thin lines."""


def write_label_evaluation(
    images: pd.DataFrame, curve: pd.DataFrame, *, out_dir: Path
) -> list[Path]:
    """Draw AP against IoU, and counts against true counts.

    Parameters
    ----------
    images : pandas.DataFrame
        One row per image: ``objects``, ``objects_true`` and ``ap_<100 IoU>``.
    curve : pandas.DataFrame
        One row per threshold: ``iou``, ``ap_image_mean``, ``ap_pooled``.
    out_dir : pathlib.Path
        Folder for ``evaluation.png`` and ``.svg``; made if absent.

    Returns
    -------
    list of pathlib.Path
        The files written.
    """
    with figure_style():
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        _ap_panel(left, images, curve)
        _count_panel(right, images["objects_true"], images["objects"], colour=GROUP_COLOURS[1])
        right.set_xlabel("true objects per image")
        right.set_ylabel("found objects per image")
        return save(figure, out_dir / "evaluation")


def write_count_evaluation(
    sections: pd.DataFrame, mice: pd.DataFrame, *, out_dir: Path, reference_group: str | None
) -> list[Path]:
    """Draw counted against true cells per mouse, and false positives per section.

    Parameters
    ----------
    sections : pandas.DataFrame
        One row per section: ``group``, ``dpi``, ``false_positives_per_mm2``.
    mice : pandas.DataFrame
        One row per mouse: ``group``, ``cells``, ``cells_true``.
    out_dir : pathlib.Path
        Folder for ``evaluation.png`` and ``.svg``; made if absent.
    reference_group : str or None
        Drawn in black.

    Returns
    -------
    list of pathlib.Path
        The files written.
    """
    groups = list(dict.fromkeys(mice["group"]))
    styles = group_styles(groups, reference_group)
    with figure_style():
        figure = Figure(figsize=(7.6, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        for group, (colour, marker) in styles.items():
            own = mice[mice["group"] == group]
            _count_panel(left, own["cells_true"], own["cells"], colour=colour, marker=marker,
                         label=group)  # fmt: skip
        left.set_xlabel("true cells per mouse")
        left.set_ylabel("counted cells per mouse")
        if groups:
            left.legend(frameon=False, loc="upper left")
        _false_positive_panel(right, sections, styles)
        return save(figure, out_dir / "evaluation")


def _ap_panel(ax: Axes, images: pd.DataFrame, curve: pd.DataFrame) -> None:
    columns = [f"ap_{100 * iou:g}" for iou in curve["iou"]]
    for values in images[columns].to_numpy(float)[:MAX_CURVES]:
        ax.plot(curve["iou"], values, color="0.8", linewidth=0.6, zorder=1)
    colour = GROUP_COLOURS[1]
    ax.plot(curve["iou"], curve["ap_image_mean"], color=colour, marker="o", markersize=3.5,
            label="mean of images", zorder=3)  # fmt: skip
    ax.plot(curve["iou"], curve["ap_pooled"], color="black", linestyle="--", zorder=2,
            label="all objects pooled")  # fmt: skip
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel("IoU threshold")
    ax.set_ylabel("AP = TP / (TP + FP + FN)")
    ax.set_title(_subject(images, "ap_50"), loc="left", fontsize=9)
    ax.legend(frameon=False, loc="lower left")


def _subject(images: pd.DataFrame, column: str) -> str:
    absent = int(images[column].isna().sum())
    text = f"{len(images) - absent} images, a thin line each"
    return f"{text} ({absent} without any object left out)" if absent else text


def _count_panel(
    ax: Axes, true: pd.Series, found: pd.Series, *, colour: str, marker: str = "o", label: str = ""
) -> None:
    """Counts against true counts on axes that are linear to 10 and logarithmic above."""
    ax.scatter(true, found, s=22, facecolors="none", edgecolors=colour, marker=marker,
               linewidths=1.0, label=label or None, zorder=3, clip_on=False)  # fmt: skip
    top = max([10.0, *ax.get_ylim(), *true.tolist(), *found.tolist()])
    ax.set_xscale("symlog", linthresh=10.0)
    ax.set_yscale("symlog", linthresh=10.0)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlim(0.0, 1.15 * top)
    ax.set_ylim(0.0, 1.15 * top)
    ax.plot([0.0, 1.15 * top], [0.0, 1.15 * top], color="0.6", linewidth=0.8, zorder=1)
    ax.set_aspect("equal")


def _false_positive_panel(
    ax: Axes, sections: pd.DataFrame, styles: dict[str, tuple[str, str]]
) -> None:
    days = sorted(set(sections["dpi"]))
    offsets = np.linspace(-0.2, 0.2, len(styles)) if len(styles) > 1 else np.zeros(1)
    for offset, (group, (colour, marker)) in zip(offsets, styles.items(), strict=False):
        own = sections[sections["group"] == group]
        at = [days.index(day) + offset for day in own["dpi"]]
        ax.scatter(at, own["false_positives_per_mm2"], s=22, facecolors="none", edgecolors=colour,
                   marker=marker, linewidths=1.0, clip_on=False)  # fmt: skip
    ax.set_xticks(range(len(days)), [f"{day:g}" for day in days])
    ax.set_xlim(-0.5, max(len(days), 1) - 0.5)
    ax.set_ylim(0.0, max(0.2, 1.1 * ax.get_ylim()[1]))
    ax.set_xlabel("days post infection (not to scale)")
    ax.set_ylabel("false positives per mm²")
    ax.set_title("Every dot is one section", loc="left", fontsize=9)
