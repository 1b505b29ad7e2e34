"""The real network and the real lattices: one answer, however the work is cut."""

from __future__ import annotations

import numpy as np
import pytest

from fociquant.model import Box
from fociquant.run import jobs
from fociquant.run import study as corridor
from fociquant.run.start import require_runnable
from fociquant.segment import load_segmenter
from fociquant.segment.windows import FlowField, WindowCache
from fociquant.settings import ComputeSettings
from fociquant.testing.segmenters import cones
from fociquant.testing.studies import write_study
from fociquant.tiling import Lattice

TABLES = ("cells.parquet", "foci.csv", "groups.csv", "mice.csv", "sections.csv")


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("compact", device="cpu")


def test_no_block_size_and_no_number_of_threads_changes_a_byte(segmenter, tmp_path, monkeypatch):
    """Two decode cells and six windows, so that seams are there."""
    monkeypatch.setattr(corridor, "load_segmenter", lambda *_, **__: segmenter)
    monkeypatch.setattr(corridor, "report", lambda *_: None)
    monkeypatch.setattr(jobs, "overview_png", lambda *_, **__: b"PNG")
    study = require_runnable(write_study(tmp_path / "s", {"a": 150}, shape=(1090, 530)))
    found = []
    for name, block_px, threads in (("one", 8192, 1), ("many", 1024, 3)):
        how = ComputeSettings(block_px=block_px, threads=threads)
        outcome = corridor.run_study(study, tmp_path / name, compute=how)
        assert outcome.failed == () and outcome.tables.sections["candidates"][0] > 100
        found.append({table: (tmp_path / name / table).read_bytes() for table in TABLES})
    assert found[0] == found[1]


def test_windows_agree_with_the_whole_image_where_margins_reach(segmenter):
    """The margin is wide enough: flows at a seam differ little from those without seam."""
    image = cones((300, 400), np.random.default_rng(0).uniform(20, 280, (40, 2)), 24)
    read = lambda box: np.stack([image[box.slices]] * 2).astype(np.float32)  # noqa: E731
    scales = [(100.0, 2600.0), None]
    whole = Box.of_shape(image.shape)
    fields = [
        FlowField("s", read, Lattice(image.shape, core, 32), scales, segmenter, WindowCache(10**8))
        for core in (512, 96)
    ]
    one, tiled = (field.over(whole) for field in fields)
    assert np.mean((one[2] > 0) == (tiled[2] > 0)) > 0.995
