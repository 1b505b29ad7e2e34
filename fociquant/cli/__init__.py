"""The command line: arguments → settings → run → exit code, and nothing else.

Each command lives in a module of its own name and is imported when it is called,
so that ``fociquant --help`` needs neither torch nor pandas.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import logging
import sys
from typing import Any

import click

from fociquant import __version__
from fociquant.cli.streams import patient_streams
from fociquant.errors import ClusterLostError, DiskError, FociquantError, UnreadableError, said

COMMANDS: dict[str, str] = {
    "audit": "Check a random sample of the count, and correct it.",
    "check": "Everything that can be wrong with a study, before hours are spent.",
    "demo": "The whole job on the sample images.",
    "evaluate": "Compare label images with truth.",
    "export": "Files for Prism, Excel, QuPath and ImageJ.",
    "gate": "Thresholds in use, and how counts change with them.",
    "init": "Write study files from a folder of images.",
    "recount": "Tables again from stored cells; no pixels read.",
    "report": "Figures and the HTML report again.",
    "review": "Open the results in napari and decide.",
    "run": "Count a study; the same command again resumes.",
    "segment": "Images to label images.",
    "simulate": "Synthetic lung sections with truth.",
    "train": "Train or fine-tune a model.",
}
"""Command name to its one line in the help; the module has the same name."""

COLLECT_EVERY = 50_000
"""New objects after which Python looks for cycles that nobody holds. Its own 700 make it look a
hundred times while libraries are loaded and figures drawn, an eighth of that time."""

EXIT_SOME_FAILED, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130


class _LazyGroup(click.Group):
    """Imports a command's module only when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"fociquant.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fociquant")
def group() -> None:
    """Count disseminated cancer cells and metastatic foci, per mouse, over time."""


def main(args: list[str] | None = None) -> Any:
    """Run the command line and exit with the contract's codes.

    Exit codes: 0 done; 1 some sections failed, or a drive gave out on the way; 2 the input is
    wrong, nothing was started; 130 interrupted, resumable. Whoever stops reading what is printed
    (``| head``) changes neither what is done nor the code.
    """
    gc.set_threshold(COLLECT_EVERY, *gc.get_threshold()[1:])
    atexit.register(_leave_as_it_is)
    # Readers say what is wrong with a file in one line of their own.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with patient_streams():
        sys.exit(_code(args))


def _leave_as_it_is() -> None:
    """What is left at the end goes with the process: looking through it takes half a second.

    But triton, which torch loads for training, lists on the screen what nobody looked through.
    """
    if "triton" not in sys.modules:
        gc.freeze()


def _code(args: list[str] | None) -> int:
    """The exit code of a command; what ended it is told."""
    try:
        code = group.main(args=args, prog_name="fociquant", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return EXIT_INPUT
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; the same command again continues", err=True)
        return EXIT_INTERRUPTED
    except FociquantError as error:
        click.echo(f"error: {error}", err=True)
        # Everything but what gave out on the way is found before anything is started.
        on_the_way = isinstance(error, DiskError | UnreadableError | ClusterLostError)
        return EXIT_SOME_FAILED if on_the_way else EXIT_INPUT
    except OSError as error:
        # A drive may give out at any place: what was stored before is whole and kept.
        click.echo(f"error: {_told(error)}. Check the drive, then try again.", err=True)
        return EXIT_SOME_FAILED
    return code if isinstance(code, int) else 0


def _told(error: OSError) -> str:
    named = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return ": ".join([*named[:1], said(error)])
