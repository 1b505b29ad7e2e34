"""``fociquant recount``."""

from __future__ import annotations

from pathlib import Path

import click

from fociquant.cli import EXIT_SOME_FAILED


@click.command("recount", epilog="Example: fociquant recount results")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(results: Path, as_json: bool) -> int:
    """Make the tables and the report again from stored cells; no pixels are read."""
    from fociquant.cli.outcome import show_outcome
    from fociquant.run.study import recount

    outcome = recount(results)
    show_outcome(outcome, as_json=as_json)
    return EXIT_SOME_FAILED if outcome.failed else 0
