"""A block that kills whoever counts it, and workers that are not what a run needs."""

from __future__ import annotations

import pytest

from fociquant.store import read_csv

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STRANGER = """
import sys

class Nothing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] == "fociquant":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing)
"""
"""Makes a worker one whose environment has no fociquant."""


def test_a_block_that_kills_every_worker_fails_its_section_alone(
    processes, study, tmp_path, tables, undisturbed
):
    out = tmp_path / "r"
    run = processes.run(study, out, "--workers", "2", POISON="s1:1,1")
    code, _, err = processes.finished(run)
    assert code == 1, err
    assert err.count("is gone; its blocks are done again") >= 2 and "Traceback" not in err
    sections = read_csv(out / "sections.csv", text=("reason",)).set_index("section")
    assert sections["status"].to_dict() == {"s0": "done", "s1": "failed", "s2": "done"}
    assert sections.loc[["s0", "s2"], "cells"].tolist() == [30, 12]
    assert "3 worker processes in a row died over the block at" in sections.loc["s1", "reason"]
    again = processes.run(study, out, "--threads", "2")
    assert processes.finished(again)[0] == 0
    assert tables(out) == undisturbed


def test_a_worker_without_the_package_is_named_and_nothing_started(processes, study, tmp_path):
    preload = tmp_path / "stranger.py"
    preload.write_text(STRANGER)
    address, _ = processes.scheduler()
    processes.worker(address, preload)
    run = processes.run(study, tmp_path / "r", "--scheduler", address)
    code, _, err = processes.finished(run)
    assert code == 2, err
    assert "fociquant is not installed there" in err and "Traceback" not in err
    assert not (tmp_path / "r").exists()
