"""``fociquant report``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report", epilog="Example: fociquant report results")
@click.argument("results", type=click.Path(path_type=Path))
def command(results: Path) -> int:
    """Draw the figures and write report.html of RESULTS again, from its tables."""
    from fociquant.run.study import redraw

    click.echo(f"  {redraw(results)}")
    return 0
