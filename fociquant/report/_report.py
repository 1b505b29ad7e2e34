"""The report: one HTML file that can be mailed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fociquant.atomic import write_bytes
from fociquant.counts import is_excluded, several
from fociquant.report import _html as html
from fociquant.report._audit import audit_section
from fociquant.report._caveats import caveats
from fociquant.report._checklist import checklists
from fociquant.report._comparison import comparison_section, in_words
from fociquant.report._dots import is_complete
from fociquant.report._extras import Panel, ReportExtras
from fociquant.report._immune import group_bands
from fociquant.report._methods import has_stains, is_compared, methods
from fociquant.report._outcome_figures import phenotype_table
from fociquant.report._panels import CLASS_COLUMNS, Drawn, draw_all, immune_mice
from fociquant.report._quality import seams_in_words
from fociquant.report._review import review_section
from fociquant.report._sides import has_sides, sides_section

MICE_SHOWN = (
    "mouse", "group", "dpi", "sections", "sections_failed", "tissue_mm2", "cells",
    "cells_per_mm2", "cells_per_mm2_upper", "control", "reviewed",
)  # fmt: skip
"""Columns of the page's table of mice, besides classes and phenotypes; all are in mice.csv."""

SECTIONS_SHOWN = (
    "section", "mouse", "group", "dpi", "status", "tissue_mm2", "cells", "foci", "candidates",
    "artefact_mm2", "marker_threshold", "threshold_source", "control", "batch", "warnings",
)  # fmt: skip
"""Columns of the page's table of sections; all are in sections.csv."""

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
    foci: pd.DataFrame | None = None,
    extras: ReportExtras | None = None,
) -> Path:
    """Write ``figures/`` and ``report.html`` of a results folder.

    Names, reasons and settings are escaped; folders of absolute paths are left
    out, so that the file says nothing about the machine. The page loads nothing
    and runs nothing. Where there is nothing to draw it says why.

    Parameters
    ----------
    root : pathlib.Path
        The results folder.
    mice, sections, groups : pandas.DataFrame
        As in ``mice.csv``, ``sections.csv`` and ``groups.csv``.
    run : mapping
        As in ``run.json``; any part may be absent. Printed: see `PRINTED`.
    comparisons : pandas.DataFrame, optional
        As in ``comparisons.csv``.
    power : pandas.DataFrame, optional
        Mice per group that the next experiment needs, from `fociquant.cohort.power_table`.
    foci : pandas.DataFrame, optional
        As in ``foci.csv``.
    extras : ReportExtras, optional
        Pictures and counts by flag.

    Returns
    -------
    pathlib.Path
        ``root/report.html``. The same arguments give the same bytes.
    """
    beside = extras or ReportExtras()
    profile = run.get("profile") or {}
    classes = list(profile.get("classes") or ())
    columns = [str(one["column"]) for one in classes] or list(CLASS_COLUMNS)
    drawn = draw_all(
        root / "figures", mice=mice, sections=sections, foci=foci, comparisons=comparisons,
        classes=classes, class_columns=columns, run=run, extras=beside,
    )  # fmt: skip
    body = _Body()
    _top(body, run, mice, sections, str(profile.get("name", "unknown")), beside)
    _counts(body, drawn, mice, groups, comparisons, power, beside.tables.get("audit"))
    _foci(body, drawn)
    _phenotypes(body, drawn, mice, list(run.get("phenotypes") or ()))
    _immune(body, drawn, beside, sections)
    _quality(body, drawn, beside)
    _cells(body, drawn)
    _sensitivity(body, drawn)
    _overviews(body, drawn, sections)
    _review(body, beside)
    _tables(body, mice, sections, columns, list(run.get("phenotypes") or ()))
    reviewers = beside.tables.get("reviewers")
    _writing(body, run, mice, sections, comparisons, power, reviewers)
    name = str((run.get("study") or {}).get("name", "study"))
    path = root / "report.html"
    write_bytes(path, html.page(name, body.with_contents()).encode("utf-8"))
    return path


class _Body:
    """Pieces of the page, and the headings to list at its top."""

    def __init__(self) -> None:
        self.top: list[str] = []
        self.pieces: list[str] = []
        self.headings: list[tuple[str, str]] = []

    def head(self, title: str, anchor: str) -> None:
        self.headings.append((title, anchor))
        self.pieces.append(html.heading(title, anchor))

    def add(self, *pieces: str) -> None:
        self.pieces += pieces

    def panel(self, one: Panel) -> None:
        self.pieces.append(_panel(one))

    def with_contents(self) -> list[str]:
        return [*self.top, html.contents(self.headings), *self.pieces]


def _panel(one: Panel) -> str:
    """A figure, as SVG where there is one, or the reason why there is none."""
    if one.reason:
        return html.absent(one.reason)
    if one.content:
        return html.embedded(one.content, one.suffix, caption=one.caption, alt=one.alt)
    chosen = sorted(one.paths, key=lambda path: path.suffix != ".svg")[0]
    return html.picture(chosen, caption=one.caption, alt=one.alt)


def _top(
    body: _Body,
    run: Mapping[str, Any],
    mice: pd.DataFrame,
    sections: pd.DataFrame,
    profile: str,
    extras: ReportExtras,
) -> None:
    study = run.get("study") or {}
    # Transmitted light has none, and misses no channel for it.
    has = "autofluorescence" in (study.get("channels") or {}) or has_stains(run)
    remarks = caveats(mice, sections, has_autofluorescence=has, profile_name=profile,
                      thresholds=extras.tables.get("thresholds"))  # fmt: skip
    body.top = [
        f"<h1>{html.text(study.get('name', 'study'))}</h1>",
        f'<p class="lead">{_summary(mice, sections)}</p>',
        f'<div class="note">{html.items(remarks)}</div>',
    ]


def _counts(
    body: _Body,
    drawn: Drawn,
    mice: pd.DataFrame,
    groups: pd.DataFrame,
    comparisons: pd.DataFrame | None,
    power: pd.DataFrame | None,
    audit: pd.DataFrame | None,
) -> None:
    body.head("Cells per mouse", "cells")
    body.panel(drawn.panels["time_course"])
    shown = groups if has_sides(mice) else groups.drop(columns="mean_automatic", errors="ignore")
    body.add("<h3>Groups</h3>", html.table(_told(shown)), "<h3>Per area of tissue</h3>")
    body.panel(drawn.panels["density"])
    body.add("<h3>Automatic, reviewed and corrected counts</h3>")
    before, after = sides_section(mice, groups)
    body.add(*before)
    if after:
        body.panel(drawn.panels["counts_compared"])
    body.add(*after, *audit_section(audit, groups))
    body.head("Comparison of groups", "comparison")
    if comparisons is not None and len(comparisons):
        body.add(html.items(in_words(comparisons)))
    body.panel(drawn.panels["rate_ratios"])
    body.add(*comparison_section(comparisons, power))


def _foci(body: _Body, drawn: Drawn) -> None:
    body.head("Foci", "foci")
    for name in ("foci_classes", "class_composition", "foci_sizes"):
        body.panel(drawn.panels[name])


def _phenotypes(body: _Body, drawn: Drawn, mice: pd.DataFrame, phenotypes: Sequence[str]) -> None:
    body.head("Phenotypes", "phenotypes")
    body.panel(drawn.panels["phenotypes"])
    if phenotypes and len(mice):
        body.add(html.table(phenotype_table(mice, phenotypes)))


def _immune(body: _Body, drawn: Drawn, extras: ReportExtras, sections: pd.DataFrame) -> None:
    """Only of studies that name a marker of immune cells."""
    if "immune_bands" not in extras.tables:
        return
    body.head("Immune cells around foci", "immune")
    body.panel(drawn.panels["immune_bands"])
    mice = immune_mice(extras, sections)
    if len(mice):
        body.add("<p>Mean over mice, cells per mm²; n: mice with a focus.</p>")
        body.add(html.table(group_bands(mice)))
    table = extras.tables["immune_bands"]
    notes = table[table["cells"].isna()].drop_duplicates(["section", "marker"])
    told = [f"{r['section']}, {r['marker']}: {r['bands_note']}" for r in notes.to_dict("records")]
    if told:
        body.add(html.items(told))


def _review(body: _Body, extras: ReportExtras) -> None:
    """Only of studies that somebody has reviewed."""
    pieces = review_section(extras.tables)
    if pieces:
        body.head("Review", "review")
        body.add(*pieces)


def _quality(body: _Body, drawn: Drawn, extras: ReportExtras) -> None:
    quality = drawn.quality
    body.head("Quality of the count", "quality")
    body.panel(drawn.panels["rejections"])
    body.add("<h3>By arm</h3>", html.table(quality.arms))
    body.add("<h3>Negative controls</h3>")
    if len(quality.controls):
        body.add(
            html.table(_controls_used(quality.controls, extras.tables.get("thresholds"))),
            "<p>Every cell counted in a negative control is false, unless the section is none (see "
            "below for those that are not used). The upper limit is what the area looked at "
            "cannot exclude: with none found in a small area the rate may still be high.</p>",
        )
    else:
        body.add(html.absent(
            "No counted section is a negative control, so the rate of false cells is not known."
        ))  # fmt: skip
    if len(extras.tables.get("thresholds", ())):
        body.add("<h3>Thresholds by batch</h3>", html.table(_told(extras.tables["thresholds"])))
    body.add("<h3>Borders at which sections were divided for computing</h3>")
    body.add(f"<p>{html.text(seams_in_words(extras.seams))}</p>")
    warned = _warned(quality.sections)
    body.add("<h3>Warnings</h3>", html.items(warned) if warned else html.absent("None."))


def _warned(sections: pd.DataFrame) -> list[str]:
    """Each warning once, with the sections that it is of."""
    of: dict[str, list[str]] = {}
    for row in sections.to_dict("records"):
        text = row.get("warnings")
        for warning in text.split(" | ") if isinstance(text, str) and text else ():
            of.setdefault(warning, []).append(str(row["section"]))
    return [
        f"{names[0]}: {warning}" if len(names) == 1
        else f"{several(len(names), 'section')}: {warning} ({', '.join(names)})"
        for warning, names in of.items()
    ]  # fmt: skip


def _controls_used(controls: pd.DataFrame, thresholds: pd.DataFrame | None) -> pd.DataFrame:
    """Whether each control section set the thresholds of its batch."""
    if thresholds is None or not len(thresholds):
        return controls
    used = {n for cell in thresholds["control_sections"].fillna("") for n in str(cell).split("|")}
    words = {name: "yes" if name in used else "no" for name in controls["section"].astype(str)}
    return controls.assign(used=controls["section"].astype(str).map(words | {"all": ""}))


def _cells(body: _Body, drawn: Drawn) -> None:
    body.head("Cells, counted and rejected", "contact-sheets")
    if not drawn.sheets:
        body.add(html.absent(
            "There are no pictures of single cells in these results. 'fociquant run' makes them at "
            "its end, from the images."
        ))  # fmt: skip
    for title, one in drawn.sheets:
        body.add(f"<h3>{html.text(title)}</h3>")
        body.panel(one)


def _sensitivity(body: _Body, drawn: Drawn) -> None:
    body.head("Does it depend on a setting?", "sensitivity")
    body.add("<h3>Threshold of the gate</h3>")
    body.panel(drawn.panels["gate_sweep"])
    body.add("<h3>Distance that joins cells to one focus</h3>")
    body.panel(drawn.panels["link_sweep"])


def _overviews(body: _Body, drawn: Drawn, sections: pd.DataFrame) -> None:
    body.head("Sections", "sections")
    if not drawn.thumbnails:
        body.add(html.absent("There are no pictures of the sections."))
        return
    more = f" {drawn.thumbnails_left_out} more are in the folder." * bool(drawn.thumbnails_left_out)
    body.add(
        "<p>Marker green, nuclei blue, autofluorescence orange (where there is such a channel); "
        "white: outline of the lung; pink: left out of the count. Full size: "
        f"sections/&lt;section&gt;/overview.png.{more}</p>"
    )
    figures = [
        html.embedded(drawn.thumbnails[str(row["section"])], ".jpg", caption=_thumb_caption(row),
                      alt=f"Overview of section {row['section']}.")
        for row in sections.to_dict("records") if str(row["section"]) in drawn.thumbnails
    ]  # fmt: skip
    body.add('<div class="gallery">', *figures, "</div>")


def _thumb_caption(row: Mapping[Any, Any]) -> str:
    cells, area = row.get("cells"), row.get("tissue_mm2")
    if cells is None or pd.isna(cells):
        return f"{row['section']}: not counted"
    tissue = "" if area is None or pd.isna(area) else f", {area:.3g} mm²"
    return f"{row['section']}: {several(int(cells), 'cell')}{tissue}"


def _tables(
    body: _Body,
    mice: pd.DataFrame,
    sections: pd.DataFrame,
    classes: Sequence[str],
    phenotypes: Sequence[str],
) -> None:
    wanted = [*MICE_SHOWN[:-2], *classes, *(f"{name}_pct" for name in phenotypes), *MICE_SHOWN[-2:]]
    wanted += ["excluded"] * bool(is_excluded(mice).any())
    body.head("Mice", "mice")
    body.add(html.table(_only(mice, wanted), bad=(~is_complete(mice)).tolist()))
    failed = sections[sections["status"] != "done"]
    if len(failed):
        body.head("Sections that could not be counted", "failed")
        body.add(html.table(_only(failed, ["section", "image", "mouse", "reason"])))
    body.head("Table of sections", "section-table")
    bad = (sections["status"] != "done").tolist()
    body.add(html.table(_only(sections, SECTIONS_SHOWN), bad=bad))


def _only(frame: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
    """The columns wanted that are there and not empty in every row."""
    there = [name for name in wanted if name in frame.columns]
    return frame[[name for name in there if not _is_blank(frame[name]) or name in wanted[:5]]]


def _told(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the columns that are empty in every row."""
    return frame[[name for name in frame if not _is_blank(frame[name])]] if len(frame) else frame


def _is_blank(column: pd.Series) -> bool:
    return bool((column.isna() | (column.astype(str) == "")).all())


def _writing(
    body: _Body,
    run: Mapping[str, Any],
    mice: pd.DataFrame,
    sections: pd.DataFrame,
    comparisons: pd.DataFrame | None,
    power: pd.DataFrame | None,
    reviewers: pd.DataFrame | None,
) -> None:
    """Methods, checklists, and everything that made the numbers."""
    body.head("Methods, to paste", "methods")
    paragraphs = methods(run, mice, sections, comparisons)
    body.add('<div class="paste">', *(f"<p>{html.text(one)}</p>" for one in paragraphs), "</div>")
    body.add(
        "<p>Check each sentence against what was done; add staining, microscope and animals.</p>"
    )
    body.head("Checklists for the paper", "checklists")
    arrive, images = checklists(
        run, mice, sections, has_power=power is not None and len(power) > 0,
        compared=is_compared(comparisons), reviewers=reviewers,
    )  # fmt: skip
    body.add(
        "<h3>ARRIVE 2.0, the Essential 10 (Percie du Sert et al. 2020)</h3>", html.table(arrive)
    )
    body.add("<h3>Images and image analysis (after Schmied et al. 2024)</h3>", html.table(images))
    body.head("How this was made", "settings")
    body.add(html.facts({key: run[key] for key in PRINTED if key in run}))


def _summary(mice: pd.DataFrame, sections: pd.DataFrame) -> str:
    """One line: how much was counted."""
    done = int((sections["status"] == "done").sum())
    cells = int(mice["cells"].fillna(0).sum())
    return html.text(
        f"{several(len(mice), 'mouse', 'mice')}, "
        f"{several(mice['group'].nunique(), 'group')}, "
        f"{several(mice['dpi'].nunique(), 'time point')}; {done} of "
        f"{several(len(sections), 'section')} counted, "
        f"{several(cells, 'positive cell')}."
    )
