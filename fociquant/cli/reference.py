"""``docs/cli.md``, made from the help of the commands.

Write the page again after a command has changed::

    python -m fociquant.cli.reference docs/cli.md
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from fociquant.cli import COMMANDS, group

WIDTH = 96
"""Columns of the help texts on the page."""

_EXAMPLE = re.compile(r"^(?:Examples?:)?\s*(fociquant\s.*?)\s*$")

_HEAD = """\
# Commands

This page is made from the help of the commands (`python -m fociquant.cli.reference docs/cli.md`);
do not edit it. Every command also prints its part with `--help`.

Exit codes of every command: **0** done; **1** some sections or images failed, the others are
complete, or a drive gave out on the way; **2** the input is wrong, nothing was started;
**130** interrupted, the same command again continues. What to do about each is in the
[user guide](user_guide.md#troubleshooting).
"""


def examples(command: click.Command) -> list[str]:
    """Command lines that the help of a command gives as examples.

    Parameters
    ----------
    command : click.Command

    Returns
    -------
    list of str
        Each begins with ``fociquant``; empty if the help has no example.
    """
    text = "\n".join(part for part in (command.help, command.epilog) if part)
    found = (_EXAMPLE.match(line.strip()) for line in text.splitlines())
    return [match.group(1) for match in found if match]


def subcommands() -> dict[str, click.Command]:
    """Every command by name, in alphabetical order; imports them all."""
    context = click.Context(group, info_name="fociquant")
    found = {name: group.get_command(context, name) for name in sorted(COMMANDS)}
    return {name: command for name, command in found.items() if command is not None}


def reference() -> str:
    """The page, Markdown."""
    parent = _context(group, "fociquant", None)
    parts = [_HEAD, _section("fociquant", group, parent)]
    for name, command in subcommands().items():
        parts.append(_section(f"fociquant {name}", command, _context(command, name, parent)))
    return "\n".join(parts)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    # Both widths are given, so that the page does not depend on the terminal.
    return click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )


def _section(title: str, command: click.Command, context: click.Context) -> str:
    return f"## {title}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"


def put_out(page: str, arguments: list[str] | None) -> int:
    """Write a page to the path given (default: on the command line); without one, to stdout."""
    paths = sys.argv[1:] if arguments is None else arguments
    if paths:
        Path(paths[0]).write_text(page, encoding="utf-8", newline="\n")
    else:
        click.echo(page, nl=False)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Write the page to the path given; without one, to standard output."""
    return put_out(reference(), arguments)


if __name__ == "__main__":
    sys.exit(main())
