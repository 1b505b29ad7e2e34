"""``fociquant audit``."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pandas as pd

if TYPE_CHECKING:
    from fociquant.review import AuditEstimate


@click.command("audit")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--draw", "is_draw", is_flag=True, help="Draw the sample.")
@click.option("--accepted", type=click.IntRange(1, 100_000), help="Counted cells per arm.")
@click.option("--rejected", type=click.IntRange(1, 100_000), help="Rejected candidates per arm.")
@click.option("--fields", type=click.IntRange(0, 100_000), help="Fields of tissue per arm.")
@click.option("--field-um", type=click.FloatRange(20, 5000), help="Edge of a field, µm.")
@click.option("--seed", type=click.IntRange(0), help="Of the draw; recorded in any case.")
@click.option("--again", is_flag=True, help="Draw in place of an earlier sample.")
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the sample as a CSV sheet to fill in by hand.")  # fmt: skip
@click.option("--verdicts", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="Take in a filled-in sheet; needs --reviewer.")  # fmt: skip
@click.option("--reviewer", metavar="NAME", help="Who filled it in.")
@click.option("--json", "as_json", is_flag=True, help="Print the estimate as JSON.")
def command(
    results: Path, is_draw: bool, sheet: Path | None, verdicts: Path | None, reviewer: str | None,
    as_json: bool, **drawing: object,
) -> int:  # fmt: skip
    """Check a random sample of the count, and correct it.

    Draws counted cells, rejected candidates and fields of tissue at random in each arm.
    A person judges them, in the viewer or in a sheet, without knowing what the program
    thinks: 1 a cancer cell, 0 none, a number of missed cells for a field, ? cannot be said.
    The verdicts give corrected counts per mouse and group, with intervals;
    'fociquant recount' writes them into the tables.

    \b
    Examples:
      fociquant audit results --draw --sheet audit.csv
      fociquant audit results --verdicts audit.csv --reviewer ana
      fociquant audit results
    """  # noqa: D301 - click reads the escaped character
    from fociquant.review import Reviewer
    from fociquant.run import audit

    if verdicts is not None and not reviewer:
        raise click.UsageError("--verdicts needs --reviewer NAME.")
    if is_draw:
        _draw(results, drawing, quiet=as_json)
    if sheet is not None:
        number = audit.write_sheet(results, sheet)
        click.echo(f"{number} items: {sheet}", err=as_json)
    if verdicts is not None:
        number = audit.read_sheet(results, verdicts, Reviewer(str(reviewer)))
        click.echo(f"{number} verdicts taken in", err=as_json)
    if verdicts is not None or not (is_draw or sheet):
        show(audit.estimate(results), as_json=as_json)
    return 0


def _draw(results: Path, drawing: dict[str, object], *, quiet: bool) -> None:
    from fociquant.run import audit

    settings = audit.audit_settings(results)
    names = {"accepted": "audit_accepted", "rejected": "audit_rejected", "fields": "audit_fields",
             "field_um": "audit_field_um"}  # fmt: skip
    given = {names[k]: v for k, v in drawing.items() if k in names and v is not None}
    seed = drawing["seed"] if isinstance(drawing["seed"], int) else secrets.randbelow(2**31)
    design = audit.draw(
        results, seed=seed, settings=settings.model_copy(update=given),
        again=bool(drawing["again"]),
    )  # fmt: skip
    arms = len({(one.group, one.dpi) for one in design.strata})
    click.echo(f"{len(design.items)} items drawn from {arms} arms, seed {design.seed}", err=quiet)


def show(estimate: AuditEstimate, *, as_json: bool) -> None:
    """Print an estimate as tables, or as one JSON object."""
    if as_json:
        content = {
            name: json.loads(table.to_json(orient="records"))
            for name, table in (("mice", estimate.mice), ("groups", estimate.groups),
                                ("rates", estimate.rates))
        }  # fmt: skip
        click.echo(json.dumps(content | {"notes": list(estimate.notes)}, indent=2))
        return
    for title, table in (("What was found", estimate.rates.drop(columns="note")),
                         ("Mice", estimate.mice), ("Groups", estimate.groups)):  # fmt: skip
        click.echo(f"{title}\n{_text(table)}\n")
    for note in estimate.notes:
        click.echo(f"  {note}")


def _text(table: pd.DataFrame) -> str:
    return table.to_string(index=False, na_rep="", float_format="{:.4g}".format)
