"""What the report is given besides the tables: pictures of cells, counts by flag, other foci."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from fociquant.report import read_crops
from fociquant.review import ReviewSession
from fociquant.run.progress import Progress
from fociquant.run.provenance import inputs_of
from fociquant.run.reporting import crops_path, gather_extras, picture_cells
from fociquant.run.start import require_runnable
from fociquant.store import read_json, read_parquet
from fociquant.testing.studies import write_study


class Notes(Progress):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []

    def note(self, section, warnings) -> None:
        self.notes += [(section, warning) for warning in warnings]


@pytest.fixture(scope="module")
def counted(run, tmp_path_factory):
    """A study with cells in two sections and none in the third, and its outcome."""
    folder = tmp_path_factory.mktemp("pictured")
    study = write_study(folder / "study", {"m0": 9, "m1": 4, "m2": 0}, shape=(160, 200))
    return study, run(study, folder / "r", threads=1)


def test_every_counted_section_has_pictures_of_its_cells(counted):
    _, outcome = counted
    cells = read_parquet(outcome.folder.cells)
    for name in ("s0", "s1"):
        crops = read_crops(crops_path(outcome.folder, name))
        own = cells[cells["section"] == name]
        assert crops is not None and set(crops.cells) <= set(own["cell"])
        chosen = own[own["cell"].isin(crops.cells)]
        assert chosen["positive"].sum() == min(own["positive"].sum(), 6)
        assert crops.names == ("HER2", "DAPI")
    assert not crops_path(outcome.folder, "s2").exists()
    bright = read_crops(crops_path(outcome.folder, "s0")).tiles[:, 0, 28:36, 28:36]
    assert bright.mean() > 60


def test_pictures_are_the_same_again_and_those_missing_are_made(counted, run):
    study, outcome = counted
    path = crops_path(outcome.folder, "s0")
    before, time = path.read_bytes(), path.stat().st_mtime_ns
    run(study, outcome.folder.root, threads=1)
    assert path.stat().st_mtime_ns == time
    path.unlink()
    run(study, outcome.folder.root, threads=1)
    assert path.read_bytes() == before


def test_cells_that_a_reviewer_adds_have_no_pictures(counted, run, tmp_path):
    """The number of one that was taken back is that of the next."""
    study, outcome = counted
    out = tmp_path / "r"
    shutil.copytree(outcome.folder.root, out)
    before = crops_path(outcome.folder, "s1").read_bytes()
    square = np.array([(60.0, 80.0), (60.0, 92.0), (72.0, 92.0), (72.0, 80.0)])
    for shift in (0.0, -40.0):
        with ReviewSession.open(out, "s1", "ana") as session:
            if session.history:
                session.undo()
            session.add(square + np.array([0.0, shift]))
        run(study, out, threads=1)
        cells = read_parquet(out / "cells.parquet").query("section == 's1'")
        assert (cells["decision"] == "added").sum() == 1
        assert (out / "sections" / "s1" / "cells.png").read_bytes() == before


def test_an_image_that_is_gone_is_told_and_the_others_are_pictured(counted):
    study, outcome = counted
    checked = require_runnable(study)
    inputs = inputs_of(read_json(outcome.folder.run), outcome.folder)
    image = checked.sections[0].image
    paths = [crops_path(outcome.folder, name) for name in ("s0", "s1")]
    for path in paths:
        path.unlink()
    aside = image.rename(image.with_name("aside"))
    notes = Notes()
    picture_cells(outcome.folder, checked, inputs, notes)
    aside.rename(image)
    assert [section for section, _ in notes.notes] == ["s0"]
    assert "no pictures of its cells" in notes.notes[0][1]
    assert [path.is_file() for path in paths] == [False, True]
    picture_cells(outcome.folder, checked, inputs, notes)
    assert all(path.is_file() for path in paths)


def test_the_report_is_given_every_candidate_once(counted):
    _, outcome = counted
    extras = gather_extras(outcome.folder, ["s0", "s1", "s2"])
    cells = read_parquet(outcome.folder.cells)
    assert extras.candidates["candidates"].sum() == len(cells)
    positive = extras.candidates[extras.candidates["positive"].astype(bool)]
    assert positive["candidates"].sum() == cells["positive"].sum()
    assert len(extras.shown) == sum(len(one.cells) for one in extras.crops.values())
    assert {"thresholds", "link_sweep"} <= set(extras.tables)
    assert set(extras.overviews) == {"s0", "s1", "s2"}


def test_what_is_left_of_another_image_is_not_shown_for_a_section_that_failed(counted):
    _, outcome = counted
    failure = outcome.folder.failure("s1")
    failure.write_text('{"reason": "the image is damaged"}')
    extras = gather_extras(outcome.folder, ["s0", "s1", "s2"])
    failure.unlink()
    assert set(extras.overviews) == {"s0", "s2"} and set(extras.crops) == {"s0"}
