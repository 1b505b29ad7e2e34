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


@click.command("demo", epilog="Example: fociquant demo --out demo_results")
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo_results"),
              show_default=True, help="Results folder.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:N] or mps.")
def command(out: Path, device: str) -> int:
    """The whole job on the sample images: count, tables, figures, report.

    The sample images are a small simulated time course: PBS and influenza, three days.
    """
    from fociquant.cli.outcome import show_outcome
    from fociquant.run.progress import for_terminal
    from fociquant.run.start import require_runnable
    from fociquant.run.study import run_study
    from fociquant.settings import ComputeSettings

    study = require_runnable(sample_images())
    outcome = run_study(study, out, compute=ComputeSettings(device=device), progress=for_terminal())
    show_outcome(outcome, as_json=False)
    if outcome.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if outcome.failed else 0
