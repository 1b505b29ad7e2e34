"""What ``run``, ``demo`` and ``recount`` print at the end."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
import pandas as pd

from fociquant.counts import several
from fociquant.run.study import Outcome

SHOWN = (
    "mouse", "group", "dpi", "sections", "sections_failed", "tissue_mm2", "cells", "cells_per_mm2",
)  # fmt: skip
"""Columns of ``mice.csv`` that fit on a screen, beside those of the classes and percentages."""


def show_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """Print the table per mouse and where everything is.

    Parameters
    ----------
    outcome : Outcome
    as_json : bool
        One JSON object instead.
    """
    if as_json:
        click.echo(json.dumps(_summary(outcome), indent=2, allow_nan=False))
        return
    click.echo(mice_text(outcome.tables.mice, outcome.tables.classes))
    click.echo("")
    folder = outcome.folder
    for path in (folder.mice, folder.sections, folder.foci, folder.cells):
        click.echo(f"  {path}")
    for path in (folder.root / "figures" / "time_course.png", folder.root / "report.html"):
        if path.exists():
            click.echo(f"  {path}")
    _show_refused_controls(outcome)
    for text in outcome.tables.not_read:
        click.echo(f"decisions that are not applied: {text}", err=True)
    if outcome.failed:
        click.echo(
            f"{several(len(outcome.failed), 'section')} not counted, see sections.csv:", err=True
        )
        for row in outcome.tables.sections.itertuples():
            if row.section in outcome.failed:
                click.echo(f"  {row.section!s}: {row.reason!s}", err=True)


def _show_refused_controls(outcome: Outcome) -> None:
    gating = outcome.tables.gating
    for batch in gating.batches.values() if gating is not None else ():
        # Those that were not counted are listed below, with the reason.
        shown = {name: why for name, why in batch.refused.items() if name not in outcome.failed}
        for name, reason in shown.items():
            click.echo(f"{name}: marked as negative control, not used as one: {reason}", err=True)


def mice_text(mice: pd.DataFrame, classes: Sequence[str]) -> str:
    """The per-mouse table as aligned text, with the columns of `classes`; unknown is blank."""
    shown = [name for name in (*SHOWN, *classes) if name in mice]
    shown += [str(name) for name in mice if str(name).endswith("_pct")]
    text = mice[shown].copy()
    for name in text:
        text[name] = [_short(value) for value in text[name]]
    return text.to_string(index=False)


def _short(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _summary(outcome: Outcome) -> dict[str, object]:
    records = json.loads(outcome.tables.mice.to_json(orient="records"))
    return {
        "results": str(outcome.folder.root),
        "mice": records,
        "failed": list(outcome.failed),
        "interrupted": outcome.interrupted,
        "not_applied": list(outcome.tables.not_read),
    }
