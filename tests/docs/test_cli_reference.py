"""``docs/cli.md`` says what the commands say, and every command has an example that parses."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from fociquant.cli import COMMANDS, group
from fociquant.cli.reference import examples, main, reference, subcommands

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "sample_images" / "README.md", *ROOT.glob("docs/**/*.md")]
NOT_A_COMMAND_LINE = {"docs/cli.md"}
SYNOPSIS = re.compile(r"…|\[--|DIR\|")
"""What only usage lines have, which name kinds of arguments and not arguments."""


def parse(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse a command line as click would, without doing its work; paths need not exist."""
    words = shlex.split(line, comments=True)
    assert words[0] == "fociquant", line
    if len(words) == 1 or words[1].startswith("-"):
        context = click.Context(group)
        with pytest.raises(click.exceptions.Exit) as left:
            group.parse_args(context, words[1:])
        assert left.value.exit_code == 0, line
        return
    command = subcommands().get(words[1])
    assert command is not None, f"{line!r}: no such command"
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter.type, "exists", False)
    command.make_context(f"fociquant {words[1]}", words[2:])


def command_lines(page: Path) -> list[str]:
    """Lines of code blocks that call fociquant, continued lines joined."""
    lines, inside = [], False
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
        found = re.match(r"(?:\$ )?(fociquant\s.*)", line.strip())
        if found and (inside or line.startswith("    ")) and not SYNOPSIS.search(line):
            lines.append(found.group(1))
    return lines


def test_committed_page_is_what_the_commands_say() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m fociquant.cli.reference docs/cli.md"


def test_page_is_written_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "cli.md")]) == 0
    assert main([]) == 0
    assert capsys.readouterr().out == (tmp_path / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_an_example_that_parses(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = examples(subcommands()[name])
    assert found, f"'fociquant {name} --help' has no example"
    for line in found:
        assert line.startswith(f"fociquant {name} "), line
        parse(line, monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_command_lines_of_the_pages_parse(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.relative_to(ROOT).as_posix() in NOT_A_COMMAND_LINE:
        return
    for line in command_lines(page):
        parse(line, monkeypatch)


def test_a_wrong_option_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(click.NoSuchOption):
        parse("fociquant run study.yaml --out results --wokers 3", monkeypatch)
    with pytest.raises(click.BadParameter):
        parse("fociquant export results --to word", monkeypatch)
