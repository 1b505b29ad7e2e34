"""``fociquant gate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

    from fociquant.run.sweep import Sweep

HEADED = ("batch", "threshold_source", "threshold_note")
"""Columns of ``thresholds.csv`` that are not printed as a line of their own."""


@click.command("gate", epilog="Example: fociquant gate results --sweep")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--sweep", is_flag=True, help="Show how counts and ratios change with the gate.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Folder for what --sweep writes.  [default: RESULTS/gate_sweep]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(results: Path, sweep: bool, out: Path | None, as_json: bool) -> int:
    """Show the thresholds in use; with --sweep, what would follow from others.

    Stored measurements are judged again; no pixels are read and no table of RESULTS is changed.
    """
    if not sweep:
        _show_thresholds(results, as_json=as_json)
        return 0
    from fociquant.run.sweep import sweep_gate

    found = sweep_gate(results)
    paths = _write(found, out or results / "gate_sweep")
    if as_json:
        click.echo(json.dumps(_content(found), indent=2, allow_nan=False))
        return 0
    click.echo(sweep_text(found))
    click.echo("")
    for path in paths:
        click.echo(f"  {path}")
    return 0


def _show_thresholds(results: Path, *, as_json: bool) -> None:
    """What ``run.json`` says of the gate in use."""
    from fociquant.errors import ResultsError
    from fociquant.run.provenance import open_results

    record = open_results(results)[1]
    rows = record.get("gate", {}).get("thresholds")
    if rows is None:
        raise ResultsError(
            f"{results} holds no thresholds. Give the results folder of 'fociquant run'."
        )
    if as_json:
        click.echo(json.dumps(record["gate"], indent=2, allow_nan=False))
        return
    for row in rows:
        click.echo(
            f"batch {row['batch'] or '(none named)'}: thresholds from {row['threshold_source']}"
        )
        for name, value in row.items():
            if name not in HEADED and value not in (None, ""):
                click.echo(f"  {name:26}{value:.6g}" if isinstance(value, float) else
                           f"  {name:26}{value}")  # fmt: skip
        for note in filter(None, row["threshold_note"].split(" | ")):
            click.echo(f"  note: {note}")


def sweep_text(sweep: Sweep) -> str:
    """Counts per group and level as aligned text, then what they mean."""
    parts = []
    for name, own in sweep.groups.groupby("property", sort=False):
        means = own.pivot_table(
            index=["threshold", "state"], columns=["dpi", "group"], values="mean", sort=False
        )
        ratios = own.pivot_table(
            index=["threshold", "state"], columns=["dpi", "group"], values="rate_ratio", sort=False
        )
        parts.append(
            f"{name}: mean cells per mouse, by days post infection and group\n{_text(means)}"
        )
        if ratios.size:
            parts.append(f"{name}: rate ratio to {sweep.reference_group}\n{_text(ratios)}")
    return "\n\n".join([*parts, *sweep.sentences])


def _text(table: pd.DataFrame) -> str:
    return table.to_string(float_format="{:.4g}".format, na_rep="")


def _content(sweep: Sweep) -> dict[str, Any]:
    return {
        "sentences": list(sweep.sentences),
        "groups": json.loads(sweep.groups.to_json(orient="records")),
        "mice": json.loads(sweep.mice.to_json(orient="records")),
    }


def _write(sweep: Sweep, out: Path) -> list[Path]:
    from fociquant.atomic import write_text
    from fociquant.report import write_sweep
    from fociquant.run.verdict import PROPERTIES
    from fociquant.store import write_csv

    tables = {"sweep_mice.csv": sweep.mice, "sweep_groups.csv": sweep.groups}
    for name, table in tables.items():
        write_csv(out / name, table)
    write_text(out / "sweep.txt", sweep_text(sweep) + "\n")
    figures = write_sweep(
        sweep.groups, out_dir=out, reference_group=sweep.reference_group, words=PROPERTIES
    )
    return [*(out / name for name in tables), out / "sweep.txt", *figures]
