"""``fociquant demo``."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from fociquant.cli import EXIT_INTERRUPTED, EXIT_SOME_FAILED


def sample_images() -> Path:
    """The folder of sample images: shipped inside the package, or of a checkout."""
    package = Path(str(files("fociquant")))
    packaged = package / "_data" / "sample_images"
    return packaged if packaged.is_dir() else package.parent / "sample_images"


@click.command("demo")
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo_results"),
              show_default=True, help="Results folder.")  # fmt: skip
@click.option(
    "--design", "design_name", default=None,
    type=click.Choice(["small", "dormant-awakened", "paper", "paper-small"]),
    help="Simulate this study first, into OUT/study; results go to OUT/results.",
)  # fmt: skip
@click.option("--size", "size_px", type=click.IntRange(128),
              help="Edge of the simulated sections, px.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True,
              help="Of the simulation.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:N] or mps.")
def command(out: Path, design_name: str | None, size_px: int | None, seed: int, device: str) -> int:
    """The whole job on the sample images: count, tables, figures, report.

    The sample images are a small simulated time course: PBS and influenza, three days.
    With --design a whole study is simulated, counted and reported; paper-small has the
    mice, days and sections of a published time course (6 days, 2 arms, 4 mice, 3 sections
    each). The same command continues where it ended.

    \b
    Examples:
      fociquant demo --out demo_results
      fociquant demo --design paper-small --out paper_demo
    """  # noqa: D301 - click reads the escaped character
    from fociquant.cli.outcome import show_outcome
    from fociquant.run.endings import as_ctrl_c
    from fociquant.run.progress import for_terminal
    from fociquant.run.start import require_runnable
    from fociquant.run.study import run_study
    from fociquant.settings import ComputeSettings

    if design_name is None and size_px is not None:
        raise click.UsageError("--size belongs to --design: the sample images have their size.")
    source, results = sample_images(), out
    if design_name is not None:
        source, results = out / "study", out / "results"
        _simulate(source, design_name, size_px, seed)
    study = require_runnable(source)
    compute = ComputeSettings(device=device)
    with as_ctrl_c():
        outcome = run_study(study, results, compute=compute, progress=for_terminal())
    show_outcome(outcome, as_json=False)
    if design_name is not None:
        click.echo(f"\nagainst the truth: fociquant evaluate {results} {source / 'truth'}")
    if outcome.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if outcome.failed else 0


def _simulate(folder: Path, design_name: str, size_px: int | None, seed: int) -> None:
    """The simulated study in its folder, unless an earlier call has made it."""
    from dataclasses import replace

    from fociquant.atomic import cannot_write
    from fociquant.testing.lung.design import DESIGNS
    from fociquant.testing.lung.study import ensure_study

    design = DESIGNS[design_name]
    if size_px is not None:
        design = replace(design, size_px=size_px)
    try:
        ensure_study(
            folder, design, seed=seed,
            on_section=lambda name, done, total: click.echo(f"simulated {done}/{total}  {name}",
                                                            err=True),
        )  # fmt: skip
    except OSError as error:
        raise cannot_write(folder, error) from error
