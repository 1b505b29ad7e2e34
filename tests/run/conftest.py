"""Runs with the uphill segmenter in place of a network, and without figures."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from pathlib import Path

import numpy as np
import pytest

from fociquant.prepare import prepare_section
from fociquant.run import jobs, plan
from fociquant.run import sections as life
from fociquant.run import study as corridor
from fociquant.run.corridor import Corridor
from fociquant.run.start import require_runnable
from fociquant.settings import ComputeSettings
from fociquant.store import ResultsFolder
from fociquant.testing.segmenters import UphillSegmenter
from fociquant.tiling import Lattice

TABLES = ("cells.parquet", "foci.csv", "groups.csv", "mice.csv", "sections.csv")


class Runner:
    """``run_study`` with the segmenter whose windows are counted."""

    def __init__(self) -> None:
        self.segmenter = UphillSegmenter(window_core_px=64)
        self.decode_core_px = 64
        self.halo_px = 48

    def __call__(self, study: Path, out: Path, **compute):
        checked = require_runnable(study)
        before = self.segmenter.windows
        # Blocks smaller than users may ask for: many of them in a small section.
        how = ComputeSettings.model_construct(**ComputeSettings().model_dump() | compute)
        outcome = corridor.run_study(checked, out, compute=how)
        self.seen = self.segmenter.windows - before
        return outcome

    def load(self, _name, *, device="auto"):
        return self.segmenter

    def lattice_for(self, grid, model):
        return Lattice(
            grid.shape, model.window_core_px, model.window_margin_px, model.fixed_window,
            decode_core_px=self.decode_core_px, decode_halo_px=self.halo_px,
        )  # fmt: skip


def all_tissue(*args, **kwargs):
    """Facts of a section that is tissue everywhere: where lung ends is tested elsewhere."""
    found = prepare_section(*args, **kwargs)
    outline = np.ones_like(found.facts.outline)
    return dataclasses.replace(found, facts=dataclasses.replace(found.facts, outline=outline))


@pytest.fixture(scope="module")
def run():
    """Count a study; ``run.seen`` is the number of windows of the last call."""
    runner = Runner()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corridor, "load_segmenter", runner.load)
        patch.setattr(corridor, "report", lambda *_: None)
        patch.setattr(jobs, "overview_png", lambda *_, **__: b"PNG")
        patch.setattr(jobs, "prepare_section", all_tissue)
        patch.setattr(plan, "lattice_for", runner.lattice_for)
        yield runner


@pytest.fixture(scope="module")
def tables():
    """Bytes of every table of a results folder."""
    return lambda out: {name: (Path(out) / name).read_bytes() for name in TABLES}


@pytest.fixture()
def reads(monkeypatch):
    """Counts reads of pixels."""
    from fociquant.io import SectionImage

    count, lock, original = [0], threading.Lock(), SectionImage.read

    def read(self, *args, **kwargs):
        with lock:
            count[0] += 1
        return original(self, *args, **kwargs)

    monkeypatch.setattr(SectionImage, "read", read)
    return count


@pytest.fixture()
def stop_after():
    """``stop_after(patch, blocks)``: ask the run to stop when so many blocks are stored."""
    return _stop_after


def _stop_after(patch: pytest.MonkeyPatch, blocks: int) -> None:
    stops, done = [], itertools.count(1)
    begin, keep = Corridor.__init__, life.Ledger.keep

    def remember(corridor, *args, stop, **kwargs):
        stops.append(stop)
        begin(corridor, *args, stop=stop, **kwargs)
        if blocks == 0:
            stop.set()

    def keep_and_stop(ledger, part, content):
        keep(ledger, part, content)
        if next(done) == blocks:
            stops[-1].set()

    patch.setattr(Corridor, "__init__", remember)
    patch.setattr(life.Ledger, "keep", keep_and_stop)


@pytest.fixture()
def folder():
    return lambda out: ResultsFolder(Path(out))
