"""Two processes never write into one results folder; a lock left over is replaced."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from fociquant.errors import ResultsError
from fociquant.store import lock
from fociquant.store.lock import LOCK, locked
from fociquant.testing.studies import write_study


def held_by(folder, **changes):
    """A lock as another process would have written it."""
    owner = {"pid": 1, "began": lock._began(1), "host": lock.socket.gethostname(), "token": "x"}
    (folder / LOCK).write_text(json.dumps(owner | changes))


def test_a_lock_is_there_only_while_it_is_held(tmp_path):
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_second_holder_is_refused_with_the_cure(tmp_path):
    held_by(tmp_path)
    wanted = r"process 1 on .*Wait until .*--out.*delete"
    with pytest.raises(ResultsError, match=wanted), locked(tmp_path):
        raise AssertionError
    assert (tmp_path / LOCK).exists()


def test_the_same_process_cannot_hold_it_twice(tmp_path):
    with locked(tmp_path), pytest.raises(ResultsError, match="is being written"), locked(tmp_path):
        raise AssertionError


def test_the_lock_of_a_process_that_was_killed_is_replaced(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    held_by(tmp_path, pid=dead.pid, began=1.0)
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_another_process_has_now_is_no_owner(tmp_path):
    held_by(tmp_path, pid=os.getppid(), began=12345.0)
    before = lock._began(os.getppid()) - 60
    os.utime(tmp_path / LOCK, (before, before))
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_a_lock_that_went_away_with_its_drive_does_not_keep_its_own_process_out(tmp_path):
    folder, away = tmp_path / "r", tmp_path / "away"
    folder.mkdir()
    with locked(folder):
        with pytest.raises(ResultsError, match="is being written"), locked(folder):
            raise AssertionError
        folder.rename(away)
    away.rename(folder)
    assert (folder / LOCK).exists()
    with locked(folder):
        assert json.loads((folder / LOCK).read_text())["pid"] == os.getpid()
    assert not list(folder.iterdir())


@pytest.mark.parametrize("step", [-3600.0, -1.0, 1.0, 3600.0])
def test_setting_the_clock_takes_no_lock_from_its_owner(tmp_path, step, monkeypatch):
    """Every process then seems to have begun at another time; the owner beats by the new clock."""
    held_by(tmp_path)
    beat = (tmp_path / LOCK).stat().st_mtime + step
    os.utime(tmp_path / LOCK, (beat, beat))
    began = lock._began
    monkeypatch.setattr(lock, "_began", lambda pid: began(pid) + step)
    with pytest.raises(ResultsError, match="process 1 on"), locked(tmp_path):
        raise AssertionError
    assert (tmp_path / LOCK).exists()


def test_a_lock_of_another_computer_counts_while_it_shows_life(tmp_path):
    held_by(tmp_path, host="elsewhere")
    with pytest.raises(ResultsError, match="process 1 on elsewhere"), locked(tmp_path):
        raise AssertionError
    old = (tmp_path / LOCK).stat().st_mtime - lock.SILENT_S - 60
    os.utime(tmp_path / LOCK, (old, old))
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_a_damaged_lock_counts_while_it_is_young(tmp_path, content):
    (tmp_path / LOCK).write_text(content)
    with pytest.raises(ResultsError, match="is being written"), locked(tmp_path):
        raise AssertionError
    os.utime(tmp_path / LOCK, (1.0, 1.0))
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    with (
        pytest.raises(ResultsError, match=r"absent cannot be written.*Make it writable"),
        locked(tmp_path / "absent"),
    ):
        raise AssertionError


def test_a_run_beside_another_is_refused_and_changes_nothing(run, tmp_path, tables):
    study = write_study(tmp_path / "s", {"a": 2})
    run(study, tmp_path / "r")
    before = tables(tmp_path / "r")
    held_by(tmp_path / "r")
    with pytest.raises(ResultsError, match="is being written by process 1"):
        run(study, tmp_path / "r", fresh=True)
    assert tables(tmp_path / "r") == before
