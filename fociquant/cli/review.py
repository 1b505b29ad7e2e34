"""``fociquant review``."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click

from fociquant.cli import EXIT_INPUT

GROUP = "fociquant.review"
"""Entry points of programs that can open results; each takes the folder."""

INSTALL = 'pip install "./plugins/napari-fociquant[all]", in the folder of fociquant\'s source'


@click.command("review", epilog="Example: fociquant review results")
@click.argument("results", type=click.Path(path_type=Path))
def command(results: Path) -> int:
    """Open the results in napari and decide.

    Every decision is saved as it is made; 'fociquant recount' applies them to the tables.
    """
    from fociquant.review import section_names

    section_names(results)  # nothing is opened that holds no results
    viewer = find_viewer()
    if viewer is None:
        click.echo(f"error: the viewer is not installed. Install it: {INSTALL}", err=True)
        return EXIT_INPUT
    try:
        launch = viewer.load()
    except ImportError as error:
        click.echo(
            f"error: the viewer cannot be started ({error}). Install it: {INSTALL}", err=True
        )
        return EXIT_INPUT
    launch(results)
    return 0


def find_viewer() -> EntryPoint | None:
    """The program that opens results; None if none is installed."""
    found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return found[0] if found else None
