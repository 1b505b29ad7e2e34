"""Readers of what is printed that go away, disks that take no print, terminals that are not there.

Real processes: what Python does with its streams at its end cannot be seen from inside.
"""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fociquant.cli.streams import patient_streams
from fociquant.errors import DiskError
from fociquant.testing.studies import write_study

COMMAND = [sys.executable, "-m", "fociquant"]

TALK = """
import sys
from fociquant.cli.streams import patient_streams
with patient_streams():
    import click
    for number in range(3):
        click.echo("told \\u2192 somebody")
        click.echo("talk \\u2192 on the way", err=True)
    open(sys.argv[1], "w").close()
"""
"""Prints like a command and leaves a file when it comes to its end."""


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    return write_study(tmp_path_factory.mktemp("study"), {"a": 1}, shape=(120, 130))


def closed_pipe() -> int:
    """The end of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close otherwise")
@pytest.mark.parametrize("quiet", ["stdout", "stderr", "both"])
def test_who_stops_reading_does_not_end_the_work(tmp_path, quiet):
    ends = {
        name: closed_pipe() if quiet in (name, "both") else subprocess.PIPE
        for name in ("stdout", "stderr")
    }
    ran = subprocess.run(
        [sys.executable, "-c", TALK, tmp_path / "end"], check=False, timeout=60, **ends
    )
    assert ran.returncode == 0 and (tmp_path / "end").exists()
    assert not ran.stderr or (b"Traceback" not in ran.stderr and b"talk" in ran.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close otherwise")
@pytest.mark.parametrize("fault", ["", "nobody"])
def test_the_exit_code_is_the_commands_own_without_a_reader(study, tmp_path, fault):
    path = tmp_path / "none.yaml" if fault else study
    ran = subprocess.run(
        [*COMMAND, "check", path], stdout=closed_pipe(), stderr=subprocess.PIPE, check=False
    )
    assert ran.returncode == (2 if fault else 0) and ran.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_under_the_answer_is_told_and_under_the_talk_is_not(study, tmp_path):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ran = subprocess.run(
            [*COMMAND, "check", study], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
        assert ran.returncode == 1
        assert ran.stderr.startswith("error: standard output cannot be written: No space left")
        assert len(ran.stderr.splitlines()) == 1
        talk = subprocess.run([sys.executable, "-c", TALK, tmp_path / "end"], stderr=full,
                              stdout=subprocess.DEVNULL, check=False)  # fmt: skip
    assert talk.returncode == 0 and (tmp_path / "end").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="closes streams with a shell")
def test_without_any_streams_the_work_is_done(tmp_path):
    command = f"exec '{sys.executable}' -c '{TALK}' '{tmp_path / 'end'}' >&- 2>&-"
    ran = subprocess.run(["sh", "-c", command], check=False, timeout=60)
    assert ran.returncode == 0 and (tmp_path / "end").exists()


def test_a_narrow_encoding_spells_letters_out(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", TALK, tmp_path / "end"], capture_output=True, check=False,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
    )  # fmt: skip
    assert ran.returncode == 0
    assert b"told \\u2192 somebody" in ran.stdout and b"talk \\u2192" in ran.stderr


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF, errno.ENOSPC])
def test_on_windows_only_a_full_disk_is_told_from_a_reader_that_left(monkeypatch, number):
    class Bad(io.StringIO):
        def write(self, text):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(sys, "stdout", Bad())
    monkeypatch.setattr(sys, "platform", "win32")
    with patient_streams():
        if number == errno.ENOSPC:
            with pytest.raises(DiskError, match="No space left"):
                sys.stdout.write("a result")
        else:
            assert sys.stdout.write("a result") == 8
    monkeypatch.undo()
