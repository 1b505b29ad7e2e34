"""Whole files or none, and an error that says what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pandas as pd
import pytest

from fociquant.atomic import atomic_path, sweep, write_text
from fociquant.errors import DiskError, ResultsError
from fociquant.model import Box
from fociquant.store import ResultsFolder, write_csv, write_json, write_labels_zarr, write_objects
from fociquant.store import folder as layout
from fociquant.tiling import Lattice
from fociquant.units import PixelSize

TABLE = pd.DataFrame({"cell": [1], "y_um": [2.0]})
NO_LABELS = pd.DataFrame(
    {name: [] for name in ("cell", "decode_cell", "mask_y0", "mask_x0", "mask_height", "mask_width",
                           "mask_bits")}
)  # fmt: skip


def write_labels(target: Path) -> None:
    write_labels_zarr(target, NO_LABELS, Lattice((40, 30)), PixelSize.square(0.5))


WRITERS = {
    "text": lambda path: write_text(path, "new\n"),
    "json": lambda path: write_json(path, {"new": 1}),
    "csv": lambda path: write_csv(path, TABLE),
    "objects": lambda path: write_objects(path, TABLE, key="k"),
    "labels": write_labels,
}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


def full_disk(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, write):
    monkeypatch.setattr(Path, "replace", full_disk)
    monkeypatch.setattr(Path, "rename", full_disk)
    with pytest.raises(DiskError, match=r"No space left.*Free space or choose another folder"):
        write(tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_an_error_with_the_cure(tmp_path, write):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(DiskError, match=r"target cannot be written.*choose another folder"):
        write(tmp_path / "folder" / "target")
    assert (tmp_path / "folder").read_text() == "a file"


def test_a_failed_write_leaves_what_was_there(tmp_path):
    target = tmp_path / "t.txt"
    write_text(target, "old\n")
    with pytest.raises(RuntimeError, match="half way"), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("half way")
    assert target.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interruption_leaves_what_was_there(tmp_path):
    target = tmp_path / "t.txt"
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_folders_are_made_and_files_replaced(tmp_path):
    target = tmp_path / "a" / "b" / "t.txt"
    write_text(target, "one\n")
    write_text(target, "two\n")
    assert target.read_bytes() == b"two\n"
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_that_cannot_be_listed_is_tidied_another_time(tmp_path, monkeypatch):
    (tmp_path / ".a.csv.1a2b3c4d.tmp").write_text("x")

    def bad(folder, pattern):
        raise OSError(5, "Input/output error", str(folder))
        yield

    with monkeypatch.context() as patch:
        patch.setattr(Path, "glob", bad)
        sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_sweep_takes_what_killed_writers_left_and_nothing_else(tmp_path):
    for name in (".t.csv.123.tmp", "t.csv", ".hidden", "x.tmp"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".labels.ome.zarr.tmp").mkdir()
    (tmp_path / ".labels.ome.zarr.tmp" / "0").write_text("x")
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "t.csv", "x.tmp"]


def test_json_without_finite_numbers_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "j.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture()
def results(tmp_path):
    folder = ResultsFolder(tmp_path / "results")
    folder.prepare(fresh=False)
    return folder


def test_a_results_folder_can_be_prepared_again(results):
    write_json(results.state("s"), {"key": "k"})
    results.prepare(fresh=False)
    assert results.state("s").exists()


def test_sections_whose_paths_would_be_too_long_are_refused_on_windows_only(results, monkeypatch):
    names = ["a", "a-slide-of-a-long-name", "b"]
    deepest = len(str(results.section(names[1]))) + layout.DEEPEST
    for longest in (0, deepest):
        monkeypatch.setattr(layout, "longest_path", lambda longest=longest: longest)
        results.require_short(names)
    monkeypatch.setattr(layout, "longest_path", lambda: deepest - 1)
    wanted = rf"'a-slide-of-a-long-name' would have paths of {deepest} .*shorter path"
    with pytest.raises(ResultsError, match=wanted):
        results.require_short(names)


@pytest.mark.parametrize("name", ["run.json", "notes.txt", "sections/s1.tif", "images/a.tif"])
def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path, name):
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("{}")
    for fresh in (False, True):
        with pytest.raises(ResultsError, match=r"holds other files.*empty or new folder"):
            ResultsFolder(tmp_path).prepare(fresh=fresh)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [mine]


def test_fresh_forgets_results_and_keeps_decisions_and_other_files(results):
    write_json(results.state("s"), {"key": "k"})
    for path in (results.mice, results.cells, results.run, results.root / "report.html"):
        path.write_text("x")
    kept = [results.root / "review" / "ann.jsonl", results.root / "notes.txt"]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    results.prepare(fresh=True)
    assert not results.state("s").exists() and not results.mice.exists()
    assert not (results.root / "report.html").exists()
    assert all(path.read_text() == "mine" for path in kept)


def test_a_file_as_results_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(ResultsError, match=r"out cannot be used.*--out"):
        ResultsFolder(tmp_path / "out").prepare(fresh=False)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    def denied(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "write_text", denied)
    with pytest.raises(ResultsError, match=r"cannot be used: Permission denied"):
        ResultsFolder(tmp_path / "out").prepare(fresh=False)


def test_boxes_of_nothing_paint_nothing(tmp_path):
    write_labels(tmp_path / "labels")
    assert Box.of_shape((40, 30)).area and (tmp_path / "labels" / ".zattrs").exists()
