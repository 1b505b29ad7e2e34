"""What is different on Windows, as far as another system can show it."""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
from types import ModuleType

import pytest

from fociquant import reading
from fociquant.atomic import LONGEST_PATH
from fociquant.errors import ResultsError, UnreadableError
from fociquant.review import file_lock, make_blinding
from fociquant.review.blinding import _words
from fociquant.review.reviewers import ReviewFolder
from fociquant.review.write_log import cure_for


class Msvcrt(ModuleType):
    """Locks as Windows has them: of bytes, refused with EACCES while another holds them."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.refusals, self.calls = 0, []

    def locking(self, handle, mode, size):
        self.calls.append((mode, size))
        if mode == self.LK_NBLCK and self.refusals:
            self.refusals -= 1
            raise PermissionError(errno.EACCES, "Permission denied")


@pytest.fixture()
def windows(monkeypatch):
    """The module of locks as it is on Windows, and what it calls."""
    msvcrt = Msvcrt()
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    monkeypatch.setattr(sys, "platform", "win32")
    spec = importlib.util.spec_from_file_location("file_lock_on_windows", file_lock.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.undo()
    return module, msvcrt


def test_a_lock_is_waited_for_and_let_go(windows, tmp_path):
    module, msvcrt = windows
    msvcrt.refusals = 2
    path = tmp_path / "log.jsonl"
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    with module.locked(handle, path):
        assert msvcrt.calls == [(2, 1)] * 3
        # Windows keeps readers out of what is locked: that is a byte where no log ever is.
        assert os.lseek(handle, 0, os.SEEK_CUR) == module.FAR
        os.write(handle, b"line")
    os.close(handle)
    assert msvcrt.calls[-1] == (0, 1) and path.read_bytes() == b"line"


def test_a_lock_that_another_program_keeps_is_said(windows, tmp_path, monkeypatch):
    module, msvcrt = windows
    monkeypatch.setattr(module, "PATIENCE_S", 0.02)
    msvcrt.refusals = 1000
    path = tmp_path / "log.jsonl"
    with (
        path.open("wb") as file,
        pytest.raises(ResultsError, match="held by another program"),
        module.locked(file.fileno(), path),
    ):
        raise AssertionError
    assert all(mode == msvcrt.LK_NBLCK for mode, _ in msvcrt.calls)


def test_a_path_that_is_too_long_is_told_from_a_full_disk():
    deep = "C:/" + "x" * LONGEST_PATH
    assert "more than Windows takes" in cure_for(deep, windows=True)
    assert "Free space" in cure_for(deep, windows=False)
    assert "Free space" in cure_for("C:/results", windows=True)


def test_names_of_images_are_hidden_however_folders_are_separated():
    image = "virus\\mouse-7\\scan-7.ome.tif"
    run = {"sections": [{"name": "s1", "image": image, "mouse": "m7", "group": "IAV"}]}
    blinding = make_blinding(["s1"], seed=1, words=_words(run))
    for text in (image, image.replace("\\", "/"), "scan-7.ome.tif", "scan-7"):
        assert "7" not in blinding.redact(f"{text} is torn")


def test_a_log_is_not_absent_because_its_drive_is(tmp_path, monkeypatch):
    """Windows says of a share that went away what it says of a file that was never made."""
    root = tmp_path / "share"
    monkeypatch.setattr(reading, "WAITS_S", (0.0, 0.0))
    monkeypatch.setattr(reading, "root_of", lambda _: root)
    logs = ReviewFolder(root / "results")
    assert logs.all_logs() == []
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UnreadableError, match=r"decisions cannot be read.*Check the drive"):
        logs.all_logs()
    root.mkdir()
    assert logs.all_logs() == []
