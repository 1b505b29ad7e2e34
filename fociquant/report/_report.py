"""The report: one HTML file that can be mailed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fociquant.report import _html as html
from fociquant.report._caveats import caveats
from fociquant.report._comparison import comparison_section
from fociquant.report._dots import is_complete
from fociquant.report._figures import CLASS_COLUMNS, write_figures
from fociquant.report._style import write_atomically

CAPTIONS = {
    "time_course": "Positive cells per mouse, summed over its sections. The axis is logarithmic "
    "from 1, with a place for 0; the bar is the arithmetic mean; n is the number of mice in it.",
    "foci_classes": "Foci per mouse by class, summed over its sections.",
}
"""Figure's file stem to caption."""


PRINTED = ("fociquant", "python", "packages", "model", "study", "channel_names", "phenotypes",
           "settings", "settings_sha256", "profile")  # fmt: skip
"""Entries of ``run.json`` that the report prints: what made the numbers. How the work was
scheduled and how long it took changes none, and would make equal reports differ."""


def write_report(
    root: Path,
    *,
    mice: pd.DataFrame,
    sections: pd.DataFrame,
    groups: pd.DataFrame,
    run: Mapping[str, Any],
    comparisons: pd.DataFrame | None = None,
    power: pd.DataFrame | None = None,
) -> Path:
    """Write ``figures/`` and ``report.html`` of a results folder.

    Parameters
    ----------
    root : pathlib.Path
        The results folder.
    mice, sections, groups : pandas.DataFrame
        As in ``mice.csv``, ``sections.csv`` and ``groups.csv``.
    run : mapping
        As in ``run.json``. Read from it: ``study`` (``name``, ``reference_group``,
        ``channels``), ``profile`` (``name``, ``classes``); printed: see `PRINTED`.
    comparisons : pandas.DataFrame, optional
        As in ``comparisons.csv``.
    power : pandas.DataFrame, optional
        Mice per group that the next experiment needs, from `fociquant.cohort.power_table`.

    Returns
    -------
    pathlib.Path
        ``root/report.html``. The same arguments give the same bytes.
    """
    study, profile = run.get("study", {}), run.get("profile", {})
    columns = [one["column"] for one in profile.get("classes", ())]
    figures = write_figures(
        mice,
        out_dir=root / "figures",
        reference_group=study.get("reference_group"),
        class_columns=columns or CLASS_COLUMNS,
    )
    return write_page(
        root / "report.html",
        study_name=str(study.get("name", "study")),
        mice=mice,
        sections=sections,
        groups=groups,
        run={key: run[key] for key in PRINTED if key in run},
        figures=figures,
        has_autofluorescence="autofluorescence" in study.get("channels", {}),
        profile_name=str(profile.get("name", "unknown")),
        comparisons=comparisons,
        power=power,
    )


def write_page(
    path: Path,
    *,
    study_name: str,
    mice: pd.DataFrame,
    sections: pd.DataFrame,
    groups: pd.DataFrame,
    run: Mapping[str, object],
    figures: Sequence[Path],
    has_autofluorescence: bool,
    profile_name: str,
    comparisons: pd.DataFrame | None = None,
    power: pd.DataFrame | None = None,
) -> Path:
    """Write the HTML page of one study.

    Names, reasons and settings are escaped; folders of absolute paths are left
    out, so that the file says nothing about the machine. The page loads nothing
    and runs nothing. The same arguments give the same bytes.

    Parameters
    ----------
    path : pathlib.Path
        For example ``RESULTS/report.html``.
    study_name : str
        Title.
    mice, sections : pandas.DataFrame
        As in ``mice.csv`` and ``sections.csv``.
    groups : pandas.DataFrame
        From `fociquant.cohort.group_table`.
    run : mapping
        Settings and versions to print, nested.
    figures : sequence of pathlib.Path
        What `write_figures` returned; of a figure in both forms the SVG is used.
    has_autofluorescence : bool
        Whether the study named an autofluorescence channel.
    profile_name : str
        The foci profile.
    comparisons, power : pandas.DataFrame, optional
        As in :func:`write_report`.

    Returns
    -------
    pathlib.Path
        `path`.
    """
    remarks = caveats(
        mice, sections, has_autofluorescence=has_autofluorescence, profile_name=profile_name
    )
    failed = sections[sections["status"] != "done"]
    body = [
        f"<h1>{html.text(study_name)}</h1>",
        f'<p class="lead">{_summary(mice, sections)}</p>',
        f'<div class="note">{html.items(remarks)}</div>',
        *_pictures(figures),
        "<h2>Groups</h2>",
        html.table(groups),
        *comparison_section(comparisons, power),
        "<h2>Mice</h2>",
        html.table(mice, bad=(~is_complete(mice)).tolist()),
    ]
    if len(failed):
        body += ["<h2>Sections that could not be counted</h2>"]
        body += [html.table(failed[["section", "image", "mouse", "reason"]])]
    body += ["<h2>Sections</h2>"]
    body += [html.table(sections, bad=(sections["status"] != "done").tolist())]
    body += ["<h2>How this was made</h2>", html.facts(run)]
    write_atomically(path, html.page(study_name, body).encode("utf-8"))
    return path


def _summary(mice: pd.DataFrame, sections: pd.DataFrame) -> str:
    """One line: how much was counted."""
    done = int((sections["status"] == "done").sum())
    cells = int(mice["cells"].fillna(0).sum())
    return html.text(
        f"{len(mice)} mice, {mice['group'].nunique()} groups, {mice['dpi'].nunique()} time points; "
        f"{done} of {len(sections)} sections counted, {cells} positive cells."
    )


def _pictures(figures: Sequence[Path]) -> list[str]:
    """Each figure once, as SVG where there is one."""
    chosen: dict[str, Path] = {}
    for path in figures:
        if path.stem not in chosen or path.suffix == ".svg":
            chosen[path.stem] = path
    return [
        html.picture(path, caption=CAPTIONS.get(stem, stem.replace("_", " ")))
        for stem, path in chosen.items()
    ]
