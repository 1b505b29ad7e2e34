"""``fociquant run``."""

from __future__ import annotations

from pathlib import Path

import click

from fociquant.cli import EXIT_INTERRUPTED, EXIT_SOME_FAILED


@click.command(
    "run",
    epilog="Example: fociquant run study.yaml --out results",
)
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Results folder.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda[:N] or mps.")
@click.option("--model", default=None, help="compact, a Cellpose model, or a weights file.")
@click.option("--threads", default=0, type=click.IntRange(0, 4096),
              help="Threads, of all workers together; 0: one per core.")  # fmt: skip
@click.option("--workers", default=0, type=click.IntRange(0, 4096),
              help="Worker processes on this computer; 0: threads of one process.")  # fmt: skip
@click.option("--scheduler", default=None, metavar="ADDRESS",
              help="Workers of this Dask scheduler (tcp://HOST:PORT) or cluster file.")  # fmt: skip
@click.option("--memory", default=None, metavar="SIZE",
              help="Memory to use, such as 2.5GB; default: half of what there is.")  # fmt: skip
@click.option("--block", "block_px", default=2048, show_default=True, type=click.IntRange(256),
              help="Edge of a block of work, px.")  # fmt: skip
@click.option("--exhaustive", is_flag=True,
              help="Look at every block, also where no cell can be.")  # fmt: skip
@click.option("--fresh", is_flag=True, help="Forget earlier results in the folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    study: Path,
    out: Path,
    device: str,
    model: str | None,
    threads: int,
    workers: int,
    scheduler: str | None,
    memory: str | None,
    block_px: int,
    exhaustive: bool,
    fresh: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Count a study. The same command again continues where it ended.

    STUDY is a study.yaml, or the folder that holds one. Everything in it is checked
    before the first pixel is read.
    """
    if workers and scheduler is not None:
        raise click.UsageError(
            "--workers starts processes here, --scheduler uses those of others. Give one of them."
        )
    from fociquant.cli.outcome import show_outcome
    from fociquant.run.endings import as_ctrl_c
    from fociquant.run.memory import parse_bytes
    from fociquant.run.progress import Silent, for_terminal
    from fociquant.run.start import require_runnable
    from fociquant.run.study import run_study
    from fociquant.settings import ComputeSettings

    compute = ComputeSettings(
        device=device, threads=threads, workers=workers, scheduler=scheduler, block_px=block_px,
        memory_bytes=parse_bytes(memory) if memory else 0, exhaustive=exhaustive, fresh=fresh,
    )  # fmt: skip
    checked = require_runnable(study, model=model)
    progress = Silent() if quiet else for_terminal()
    with as_ctrl_c():
        outcome = run_study(checked, out, compute=compute, progress=progress)
    show_outcome(outcome, as_json=as_json)
    if outcome.interrupted:
        click.echo("interrupted; the same command again continues", err=True)
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if outcome.failed else 0
