"""The exit code and the one line of whatever ends a command."""

from __future__ import annotations

import errno

import pytest

from fociquant import cli
from fociquant.errors import DiskError, ResultsError, UnreadableError

ENDINGS = [
    (UnreadableError("a.json cannot be read: x."), 1, "error: a.json cannot be read: x.\n"),
    (DiskError("a.json cannot be written: x."), 1, "error: a.json cannot be written: x.\n"),
    (ResultsError("no results."), 2, "error: no results.\n"),
    (
        OSError(errno.EIO, "Input/output error", "/r/a.csv"), 1,
        "error: /r/a.csv: Input/output error. Check the drive, then try again.\n",
    ),
    (
        OSError("no answer"), 1, "error: no answer. Check the drive, then try again.\n",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("error", "code", "told"), ENDINGS)
def test_what_ends_a_command_is_one_line_and_a_code(error, code, told, monkeypatch, capsys):
    def main(**_):
        raise error

    monkeypatch.setattr(cli.group, "main", main)
    with pytest.raises(SystemExit) as ended:
        cli.main(["recount", "r"])
    assert ended.value.code == code
    assert capsys.readouterr().err == told
