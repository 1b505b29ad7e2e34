"""``fociquant evaluate``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fociquant.run.evaluation import Evaluation

SHOWN_ROWS = 40
"""Longer tables are not printed; --out writes them."""

SHOWN_COLUMNS = (
    "image", "section", "mouse", "objects", "objects_true", "cells", "cells_true",
    "count_error_pct", "precision", "recall", "precision_50", "recall_50", "f1_50", "pq_50",
    "ap_50", "ap_75", "ap_mean_50_95", "false_positives", "solitary_recall", "within_tolerance",
)  # fmt: skip


def _thresholds(_ctx: click.Context, _param: click.Parameter, value: str) -> list[float]:
    try:
        numbers = [float(part) for part in value.split(",") if part.strip()]
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list such as 0.5,0.75") from error
    if not all(0.0 < number <= 1.0 for number in numbers):
        raise click.BadParameter("IoU thresholds lie between 0 (excluded) and 1.")
    return numbers


@click.command("evaluate")
@click.argument("found", metavar="PRED", type=click.Path(path_type=Path, exists=True))
@click.argument("true", metavar="TRUTH", type=click.Path(path_type=Path, exists=True))
@click.option("--iou", "thresholds", default="", callback=_thresholds, metavar="0.3,0.5,…",
              help="More IoU thresholds; those from 0.5 to 0.95 are always told.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Folder for tables and a figure.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(
    found: Path, true: Path, thresholds: list[float], out: Path | None, as_json: bool
) -> int:
    """Compare PRED with TRUTH.

    Two label images or two folders of them, matched by name (a_masks.tif and a.tif
    belong together): AP, F1, panoptic quality and count error. Or the results folder
    of a simulated study and its truth/ folder: cells per mouse, recall, false positives.

    \b
    Examples:
      fociquant evaluate labels/ truth/ --out comparison
      fociquant evaluate results/ study/truth --json
    """  # noqa: D301 - click reads the escaped character
    from fociquant.run.count_evaluation import evaluate_results, is_results
    from fociquant.run.evaluation import evaluate_labels, pair_labels

    counts = is_results(found)
    if counts:
        outcome = evaluate_results(found, true)
    else:
        outcome = evaluate_labels(pair_labels(found, true), thresholds=thresholds)
    if as_json:
        click.echo(json.dumps(outcome.overall, indent=2, allow_nan=False))
    else:
        _show(outcome, counts=counts)
    for path in _write(outcome, out, counts=counts) if out is not None else ():
        click.echo(f"  {path}", err=as_json)
    return 0


def _show(outcome: Evaluation, *, counts: bool) -> None:
    table = outcome.curve if counts else outcome.rows
    if len(table) <= SHOWN_ROWS:
        shown = table[[name for name in SHOWN_COLUMNS if name in table]]
        click.echo(shown.to_string(index=False, na_rep="", float_format="{:.4g}".format))
        click.echo("")
    for line in _lines(outcome.overall):
        click.echo(line)


def _lines(overall: Mapping[str, Any]) -> list[str]:
    """Overall numbers; two columns where there are two kinds of total."""
    if "pooled" not in overall:
        return [f"{name:38}{_text(value)}" for name, value in overall.items()]
    mean, pooled = overall["image_mean"], overall["pooled"]
    lines = [f"{overall['images']} images, {overall['images_without_objects']} without any object",
             f"{'':18}{'mean of images':>16}{'pooled':>10}"]  # fmt: skip
    return lines + [
        f"{name:18}{_text(mean[name]):>16}{_text(value):>10}" for name, value in pooled.items()
    ]


def _text(value: Any) -> str:
    if value is None:
        return "undefined"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _write(outcome: Evaluation, out: Path, *, counts: bool) -> list[Path]:
    from fociquant.report import write_count_evaluation, write_label_evaluation
    from fociquant.store import write_csv, write_json

    names = ("sections.csv", "mice.csv") if counts else ("images.csv", "thresholds.csv")
    tables = [out / name for name in names]
    for path, table in zip(tables, (outcome.rows, outcome.curve), strict=True):
        write_csv(path, table)
    write_json(out / "evaluation.json", dict(outcome.overall))
    if counts:
        figures = write_count_evaluation(
            outcome.rows, outcome.curve, out_dir=out, reference_group="PBS"
        )
    else:
        figures = write_label_evaluation(outcome.rows, outcome.curve, out_dir=out)
    return [*tables, out / "evaluation.json", *figures]
