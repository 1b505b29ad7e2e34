"""Stopped anywhere, the same command continues, and the tables are those of an undisturbed run."""

from __future__ import annotations

import errno
import itertools
import random
import threading

import dask
import pytest

from fociquant.errors import DiskError
from fociquant.run import jobs
from fociquant.run import sections as life
from fociquant.run import study as corridor
from fociquant.run.memory import Shares
from fociquant.testing.studies import write_study

COUNTS = {"a": 20, "b": 3}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"), COUNTS, shape=(190, 230))


@pytest.fixture(scope="module")
def undisturbed(run, study, tmp_path_factory, tables):
    out = tmp_path_factory.mktemp("whole") / "r"
    run(study, out, threads=1)
    return tables(out)


@pytest.mark.parametrize("blocks", [1, 5, 12, 13, 24])
def test_a_stop_after_any_block_changes_nothing(
    run, study, tmp_path, tables, undisturbed, stop_after, monkeypatch, blocks
):
    with monkeypatch.context() as patch:
        stop_after(patch, blocks)
        first = run(study, tmp_path / "r", threads=1, block_px=64)
    assert first.interrupted == (len(first.failed) > 0) == (blocks < 24)
    run(study, tmp_path / "r", threads=1, block_px=64)
    assert tables(tmp_path / "r") == undisturbed
    assert not list((tmp_path / "r").rglob("*.tmp")) + list((tmp_path / "r").rglob("blocks"))


def test_blocks_done_are_not_done_again(run, study, tmp_path, stop_after, monkeypatch):
    counted, original = [], jobs.count_cell

    def count_cell(plan, stats, flows, cell, settings, **how):
        counted.append((plan.section.name, cell))
        return original(plan, stats, flows, cell, settings, **how)

    monkeypatch.setattr(jobs, "count_cell", count_cell)
    with monkeypatch.context() as patch:
        stop_after(patch, 10)
        run(study, tmp_path / "r", threads=1, block_px=64)
    stored = len(list((tmp_path / "r").rglob("blocks/*.parquet")))
    begun = len(counted)
    assert 10 <= stored <= begun <= 12
    run(study, tmp_path / "r", threads=1, block_px=64)
    assert len(counted) == begun + 24 - stored and len(set(counted)) == 24


@pytest.mark.parametrize("seed", range(3))
def test_lost_and_truncated_blocks_are_counted_again(
    run, study, tmp_path, tables, undisturbed, stop_after, monkeypatch, seed
):
    with monkeypatch.context() as patch:
        stop_after(patch, 8)
        run(study, tmp_path / "r", threads=1, block_px=64)
    chance = random.Random(seed)
    blocks = sorted((tmp_path / "r" / "sections").rglob("blocks/*.parquet"))
    assert blocks
    for path in blocks:
        fate = chance.choice(["keep", "delete", "truncate", "empty", "flip"])
        content = bytearray(path.read_bytes())
        if fate == "delete":
            path.unlink()
        elif fate == "truncate":
            path.write_bytes(content[: chance.randrange(len(content))])
        elif fate == "empty":
            path.write_bytes(b"")
        elif fate == "flip":
            content[len(content) // 3] ^= 0x40
            path.write_bytes(content)
    run(study, tmp_path / "r", threads=1, block_px=64)
    assert tables(tmp_path / "r") == undisturbed


def test_another_block_size_after_an_interruption_changes_nothing(
    run, study, tmp_path, tables, undisturbed, stop_after, monkeypatch
):
    for number, block_px in enumerate((64, 128, 8192)):
        with monkeypatch.context() as patch:
            stop_after(patch, number + 1)
            run(study, tmp_path / "r", threads=2, block_px=block_px)
    run(study, tmp_path / "r", threads=1, block_px=100)
    assert tables(tmp_path / "r") == undisturbed


@pytest.mark.parametrize(
    ("block_px", "threads"), [(64, 1), (64, 4), (100, 2), (128, 4), (8192, 1), (8192, 2)]
)
def test_no_block_size_and_no_number_of_threads_changes_a_byte(
    run, study, tmp_path, tables, undisturbed, block_px, threads
):
    run(study, tmp_path / "r", threads=threads, block_px=block_px)
    assert tables(tmp_path / "r") == undisturbed


@pytest.mark.parametrize("cache_bytes", [0, 20_000])
def test_forgetting_windows_changes_nothing(
    run, study, tmp_path, tables, undisturbed, monkeypatch, cache_bytes
):
    monkeypatch.setattr(corridor, "shares", lambda how: Shares(how.threads, cache_bytes))
    run.segmenter.info = type(run.segmenter.info)(
        **{name: getattr(run.segmenter.info, name) for name in run.segmenter.info.__slots__}
        | {"batch": 3}
    )
    run(study, tmp_path / "r", threads=2, block_px=64)
    assert tables(tmp_path / "r") == undisturbed


def test_a_full_disk_ends_the_run_soon_and_keeps_what_there_is(
    run, study, tmp_path, tables, undisturbed, monkeypatch
):
    calls, original = itertools.count(1), life.write_bytes

    def full(target, content):
        if next(calls) >= 5:
            raise DiskError(f"{target} cannot be written: {errno.errorcode[errno.ENOSPC]}.")
        original(target, content)

    with monkeypatch.context() as patch:
        patch.setattr(life, "write_bytes", full)
        with pytest.raises(DiskError, match="cannot be written"):
            run(study, tmp_path / "r", threads=1, block_px=64)
    assert next(calls) <= 9  # the blocks that were left were not even tried
    run(study, tmp_path / "r", threads=1, block_px=64)
    assert tables(tmp_path / "r") == undisturbed


def test_the_configuration_of_dask_is_left_as_it_is(run, study, tmp_path, undisturbed, tables):
    from copy import deepcopy

    mine = {"scheduler": "synchronous", "num_workers": 3, "optimization.fuse.active": True}
    with dask.config.set(mine):
        before = deepcopy(dask.config.config)
        run(study, tmp_path / "r", threads=2)
        assert dask.config.config == before
    assert tables(tmp_path / "r") == undisturbed


def test_a_run_in_a_thread_of_another_program_works(run, study, tmp_path, tables, undisturbed):
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(run(study, tmp_path / "r")))
    thread.start()
    thread.join(60)
    assert outcome and tables(tmp_path / "r") == undisturbed
