"""``fociquant run`` on a disk that takes no more, with a real limit of the system.

The limit on the size of a file stands for a full disk: the error comes from the same calls and
is of the same class, wherever the run is at the time. One process does all, because what it
takes to start is most of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from fociquant.testing.studies import write_study

pytest.importorskip("resource", reason="limits of Unix")

TABLES = ("cells.parquet", "foci.csv", "groups.csv", "mice.csv", "sections.csv")

CHILD = """
import contextlib, io, json, resource, sys
import fociquant.run.plan as plan
import fociquant.run.study as corridor
import fociquant.run.jobs as jobs
from fociquant.cli import main
from fociquant.testing.segmenters import UphillSegmenter
from fociquant.tiling import Lattice

corridor.load_segmenter = lambda *_, **__: UphillSegmenter(window_core_px=64)
corridor.report = lambda *_: None
jobs.overview_png = lambda *_, **__: b"PNG"
plan.lattice_for = lambda grid, model: Lattice(
    grid.shape, 64, 32, decode_core_px=128, decode_halo_px=48
)

def run(out, limit=resource.RLIM_INFINITY):
    arguments = ["run", sys.argv[1], "--out", out, "--threads", "1", "--quiet"]
    with contextlib.redirect_stderr(io.StringIO()) as told, contextlib.redirect_stdout(None):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            main(arguments)
        except SystemExit as left:
            code = left.code
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    return [code, told.getvalue().splitlines()]

whole, out = sys.argv[2:]
outcomes = [run(whole), run(out, 0)]
largest = len(open(whole + "/cells.parquet", "rb").read())
outcomes += [run(out, limit) for limit in (1000, 6000, largest - 1)]
outcomes += [run(out)]
print(json.dumps(outcomes))
"""


def test_a_full_disk_is_one_line_and_the_same_command_continues(tmp_path):
    study = write_study(tmp_path / "study", {"a": 12, "b": 5}, shape=(260, 270))
    out = tmp_path / "r"
    out.mkdir()
    (out / ".fociquant").touch()
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, study, tmp_path / "whole", out],
        capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    whole, at_once, *on_the_way, last = json.loads(ran.stdout)
    assert whole == last == [0, []]
    assert at_once[0] == 2 and len(at_once[1]) == 1 and "by process" not in at_once[1][0]
    assert all(code == 1 and len(said) == 1 for code, said in on_the_way)
    told = [said[0] for _, said in on_the_way]  # a lock left behind would be told by the next
    places = [line.split(" cannot be written: File too large. Free space or ")[0] for line in told]
    assert [place.rsplit("/", 1)[1] for place in places][::2] == ["facts.json", "cells.parquet"]
    assert all(line.endswith("the same command again continues.") for line in told)
    assert not list(out.rglob("*.tmp*"))
    for name in TABLES:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
