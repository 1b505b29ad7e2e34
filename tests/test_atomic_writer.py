"""The writer below all rooms: raw errors, files in use, long names, real full disks."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path

import pytest

import fociquant.atomic as atomic
from fociquant.atomic import (
    atomic_path,
    put_in_place,
    remove_folder,
    whole_file,
    write_bytes,
    write_text,
)
from fociquant.errors import DiskError


def in_use(winerror: int = 32) -> OSError:
    """What Windows says where another program has the target open."""
    error = PermissionError(errno.EACCES, "The process cannot access the file")
    error.winerror = winerror
    return error


@pytest.fixture()
def busy(monkeypatch):
    """``busy(n)``: the next n renames find the target open in another program."""
    monkeypatch.setattr(atomic, "WAIT_S", (0.0,) * 5)
    replace, left = Path.replace, [0]

    def busily(path, target):
        if left[0]:
            left[0] -= 1
            raise in_use()
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", busily)
    return lambda times: left.__setitem__(0, times)


@pytest.mark.parametrize("times", [1, 5])
def test_a_file_in_use_for_a_moment_is_written_all_the_same(tmp_path, busy, times):
    busy(times)
    write_text(tmp_path / "mice.csv", "new\n")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new\n"]


def test_a_folder_gets_its_name_when_a_scanner_lets_go(tmp_path, busy):
    made = tmp_path / ".labels.tmp"
    made.mkdir()
    (made / "0").write_bytes(b"x")
    busy(3)
    put_in_place(made, tmp_path / "labels")
    assert [path.name for path in tmp_path.iterdir()] == ["labels"]


def test_a_file_that_stays_in_use_is_an_error_that_says_so(tmp_path, busy):
    (tmp_path / "mice.csv").write_text("old\n")
    busy(6)
    with pytest.raises(DiskError, match=r"mice.csv cannot be written.*Close the program that has"):
        write_text(tmp_path / "mice.csv", "new\n")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old\n"]


def test_other_errors_are_told_at_once(tmp_path, monkeypatch):
    tries = []

    def denied(path, target):
        tries.append(target)
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", denied)
    with pytest.raises(OSError, match="Permission denied"), whole_file(tmp_path / "a") as temporary:
        temporary.write_bytes(b"x")
    assert len(tries) == 1 and list(tmp_path.iterdir()) == []


def test_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("flush"), fsync(handle)))
    monkeypatch.setattr(
        Path, "replace", lambda path, target: (order.append("name"), replace(path, target))
    )
    write_bytes(tmp_path / "a", b"x")
    assert order == ["flush", "name"]


def test_the_longest_names_can_be_written(tmp_path):
    for name in ("a" * 255, "é" * 127, "細" * 85):
        write_text(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"


def test_one_folder_is_made_by_one_and_not_by_the_other(tmp_path):
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "no" / "a") as temporary:
        temporary.write_bytes(b"x")
    with atomic_path(tmp_path / "yes" / "a") as temporary:
        temporary.write_bytes(b"x")
    assert (tmp_path / "yes" / "a").exists() and not (tmp_path / "no").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_really_full_is_said_with_the_given_cure(tmp_path):
    with (
        pytest.raises(DiskError, match=r"No space left on device. Delete something\.$"),
        atomic_path(tmp_path / "a", cure="Delete something.") as temporary,
    ):
        temporary.symlink_to("/dev/full")
        temporary.write_bytes(b"x")
    assert list(tmp_path.iterdir()) == [] and Path("/dev/full").exists()


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with whole_file(tmp_path / "a") as first, whole_file(tmp_path / "a") as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("winerror", [5, 32, 145, 303])
def test_a_folder_in_use_for_a_moment_is_removed_all_the_same(tmp_path, monkeypatch, winerror):
    """145: what a scanner has open is removed from the folder only when it lets go."""
    monkeypatch.setattr(atomic, "WAIT_S", (0.0,) * 5)
    (tmp_path / "labels" / "0").mkdir(parents=True)
    rmtree, refusals = shutil.rmtree, [in_use(winerror)] * 3

    def busily(path):
        if refusals:
            raise refusals.pop()
        rmtree(path)

    monkeypatch.setattr(shutil, "rmtree", busily)
    remove_folder(tmp_path / "labels")
    assert list(tmp_path.iterdir()) == []


def test_what_was_just_written_and_cannot_be_opened_is_tried_again_on_windows(
    tmp_path, monkeypatch
):
    """Of a file that it does not open, Windows gives Python no error of its own."""
    monkeypatch.setattr(atomic, "WAIT_S", (0.0,) * 5)
    opened, refusals = Path.open, [PermissionError(errno.EACCES, "Permission denied")] * 3

    def busily(path, mode="r", *args, **kwargs):
        if mode == "rb+" and refusals:
            raise refusals.pop()
        return opened(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", busily)
    with pytest.raises(DiskError, match="Permission denied"):
        write_bytes(tmp_path / "a", b"x")
    assert len(refusals) == 2 and list(tmp_path.iterdir()) == []
    monkeypatch.setattr(sys, "platform", "win32")
    write_bytes(tmp_path / "a", b"x")
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == b"x" and refusals == []


def test_a_path_that_windows_does_not_find_for_its_length_is_said(tmp_path, monkeypatch):
    def not_found(path, target):
        raise FileNotFoundError(
            errno.ENOENT, "The system cannot find the path specified", str(path), 3, str(target)
        )

    monkeypatch.setattr(Path, "replace", not_found)
    short, deep = tmp_path / "a", tmp_path / ("a" * 250)
    told = "Windows takes 259. Choose a folder with a shorter path"
    for longest, path, cure in ((0, deep, "writable"), (259, short, "writable"), (259, deep, told)):
        monkeypatch.setattr(atomic, "longest_path", lambda longest=longest: longest)
        with pytest.raises(DiskError, match=cure):
            write_text(path, "x")
