"""Every piece that is stored is used as long as what it depends on is the same, and no longer."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from fociquant.errors import ImageError, ResultsError
from fociquant.io import SectionImage
from fociquant.run import jobs, opened, plan, sections
from fociquant.run import study as corridor
from fociquant.run.plan import SCREENED_BY
from fociquant.run.progress import Progress
from fociquant.run.start import require_runnable
from fociquant.settings import ComputeSettings, GateSettings
from fociquant.store import read_csv, read_json, write_json
from fociquant.testing.studies import grid_of_cells, write_section, write_study

COUNTS = {"a": 12, "b": 3}
SHAPE = (190, 230)


@pytest.fixture()
def study(tmp_path):
    return write_study(tmp_path / "study", COUNTS, shape=SHAPE)


@pytest.fixture()
def steps(monkeypatch):
    """Counts what is done: prepared sections, screened sections, counted decode cells."""
    done = {"prepare": 0, "screen": 0, "count": 0}

    def counting(name, original):
        def step(*args, **kwargs):
            done[name] += 1
            return original(*args, **kwargs)

        return step

    for name, function in (
        ("prepare", "prepare_section"), ("screen", "cells_worth_counting"), ("count", "count_cell"),
    ):  # fmt: skip
        monkeypatch.setattr(jobs, function, counting(name, getattr(jobs, function)))
    return done


def screen_with(monkeypatch, mask):
    monkeypatch.setattr(jobs, "cells_worth_counting", lambda *_, **__: np.array(mask, bool))


def change(study, line):
    study.write_text(study.read_text() + line + "\n")


def test_another_segment_setting_looks_for_no_tissue(run, study, tmp_path, steps):
    run(study, tmp_path / "r")
    cells = steps["count"]
    change(study, "segment: {min_area_um2: 30}")
    run(study, tmp_path / "r")
    assert steps["prepare"] == 2 and steps["count"] == 2 * cells


def test_weights_may_be_moved_and_named_with_another_path(run, study, tmp_path, steps, capsys):
    weights = study.parent / "ours.pt"
    weights.write_bytes(b"the segmenter of these tests is loaded in their place")
    plain = study.read_text()
    study.write_text(plain + "segment: {model: ours.pt}\n")
    run(study, tmp_path / "r")
    cells, elsewhere = steps["count"], tmp_path / "elsewhere"
    elsewhere.mkdir()
    weights.rename(elsewhere / "ours.pt")
    study.write_text(plain + f"segment: {{model: '{elsewhere / 'ours.pt'}'}}\n")
    run(study, tmp_path / "r")
    assert steps["count"] == cells
    assert "counted again" not in capsys.readouterr().err


def test_another_prepare_setting_does_all_again(run, study, tmp_path, steps):
    run(study, tmp_path / "r")
    change(study, "prepare: {scale_sample_tiles: 32}")
    run(study, tmp_path / "r")
    assert steps["prepare"] == 4


def test_an_interruption_while_counting_does_not_prepare_again(
    run, study, tmp_path, steps, stop_after, monkeypatch
):
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        run(study, tmp_path / "r", threads=1, block_px=64)
    prepared = steps["prepare"]
    run(study, tmp_path / "r", threads=1, block_px=64)
    assert steps["prepare"] == 2 and prepared >= 1


@pytest.mark.parametrize("name", ["facts.json", "screen.json", "overview.png"])
def test_a_lost_piece_of_the_ledger_is_found_again(
    run, study, tmp_path, tables, name, stop_after, monkeypatch
):
    run(study, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        run(study, tmp_path / "r", threads=1, block_px=64)
    (tmp_path / "r" / "sections" / "s0" / name).write_bytes(b"{")
    run(study, tmp_path / "r")
    assert tables(tmp_path / "r") == tables(tmp_path / "whole")


def test_cells_that_are_screened_out_are_not_counted(run, study, tmp_path, steps, monkeypatch):
    mask = np.zeros((3, 4), bool)
    mask[0, :2] = True
    screen_with(monkeypatch, mask)
    outcome = run(study, tmp_path / "r", block_px=64)
    assert steps["count"] == 2 * 2
    sections = outcome.tables.sections
    assert (sections["status"] == "done").all()
    expected = 1 - 2 * 64 * 64 / (SHAPE[0] * SHAPE[1])
    assert sections["screened"].tolist() == pytest.approx([expected] * 2, abs=1e-4)


@pytest.mark.parametrize("block_px", [64, 128, 8192])
def test_the_same_screen_gives_the_same_bytes_for_any_block(
    run, study, tmp_path, tables, monkeypatch, block_px
):
    mask = np.random.default_rng(3).random((3, 4)) < 0.5
    screen_with(monkeypatch, mask)
    run(study, tmp_path / "one", block_px=64, threads=1)
    run(study, tmp_path / "other", block_px=block_px, threads=3)
    assert tables(tmp_path / "one") == tables(tmp_path / "other")


def test_a_section_without_anything_worth_counting_is_zero(run, study, tmp_path, monkeypatch):
    screen_with(monkeypatch, np.zeros((3, 4), bool))
    outcome = run(study, tmp_path / "r")
    assert outcome.tables.mice["cells"].tolist() == [0, 0]
    assert outcome.tables.sections["screened"].tolist() == [1, 1] and outcome.failed == ()
    assert (tmp_path / "r" / "sections" / "s0" / "labels.ome.zarr").is_dir()


def test_screened_and_exhaustive_objects_are_not_confused(
    run, study, tmp_path, tables, monkeypatch
):
    run(study, tmp_path / "all", exhaustive=True)
    mask = np.ones((3, 4), bool)
    mask[0, 0] = False
    screen_with(monkeypatch, mask)
    run(study, tmp_path / "r")
    assert tables(tmp_path / "r") != tables(tmp_path / "all")
    screened = tables(tmp_path / "r")
    run(study, tmp_path / "r", exhaustive=True)
    assert tables(tmp_path / "r") == tables(tmp_path / "all")
    run(study, tmp_path / "r")
    assert tables(tmp_path / "r") == screened


def test_where_nothing_was_left_out_exhaustive_counts_nothing_again(
    run, study, tmp_path, steps, monkeypatch
):
    screen_with(monkeypatch, np.ones((3, 4), bool))
    run(study, tmp_path / "r")
    cells = steps["count"]
    run(study, tmp_path / "r", exhaustive=True)
    assert steps["count"] == cells and steps["prepare"] == 2


def test_a_rule_that_lets_more_pass_screens_again(run, study, tmp_path, steps):
    run(study, tmp_path / "r")
    cells = steps["count"]
    snr = GateSettings().marker_snr
    change(study, f"gate: {{marker_snr: {snr + 1}}}")
    run(study, tmp_path / "r")
    assert "marker_snr" in SCREENED_BY and steps["screen"] == 2
    study.write_text(study.read_text().replace(f"snr: {snr + 1}", f"snr: {snr - 1}"))
    run(study, tmp_path / "r")
    assert steps["screen"] == 4 and steps["prepare"] == 2
    assert steps["count"] in (cells, 2 * cells)  # again only where the screen has changed


def test_a_tile_that_is_bad_once_is_read_again(run, study, tmp_path, tables, monkeypatch):
    run(study, tmp_path / "whole")
    original, reads = SectionImage.read, itertools.count(1)

    def read(self, *args, **kwargs):
        if next(reads) in (20, 60):
            raise OSError(5, "Input/output error")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(SectionImage, "read", read)
    run(study, tmp_path / "r", threads=1, block_px=64)
    assert tables(tmp_path / "r") == tables(tmp_path / "whole")


def test_an_image_that_changes_while_it_is_counted_fails_its_section(
    run, study, tmp_path, monkeypatch
):
    original = corridor.Corridor.run

    def changed(self, sections):
        image = study.parent / "images" / "s1.ome.tif"
        write_section(image, SHAPE, grid_of_cells(SHAPE, 2), seed=9)
        return original(self, sections)

    monkeypatch.setattr(corridor.Corridor, "run", changed)
    outcome = run(study, tmp_path / "r")
    assert outcome.failed == ("s1",)
    reason = outcome.tables.sections["reason"][1]
    assert "changed while it was being counted" in reason and "run the same command" in reason
    monkeypatch.undo()


@pytest.mark.parametrize("when", ["_prepared", "_counted"])
def test_an_image_that_changes_after_it_was_opened_fails_its_section(
    run, study, tables, tmp_path, monkeypatch, when
):
    """What was read until then may be of both images: nothing of it is kept."""
    image, take_in = study.parent / "images" / "s1.ome.tif", corridor.Corridor._take_in
    first, kind = image.read_bytes(), jobs.Prepared if when == "_prepared" else bytes

    def changing(self, task, result):
        if isinstance(result, kind) and task.section.name == "s1":
            write_section(image, SHAPE, grid_of_cells(SHAPE, 2), seed=9)
        take_in(self, task, result)

    run(study, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(corridor.Corridor, "_take_in", changing)
        outcome = run(study, tmp_path / "r", block_px=64)
    assert outcome.failed == ("s1",)
    assert "changed while it was being counted" in outcome.tables.sections["reason"][1]
    there = {path.name for path in (tmp_path / "r" / "sections" / "s1").iterdir()}
    assert there <= {"failure.json", "overview.png"}
    image.write_bytes(first)
    run(study, tmp_path / "r")
    assert tables(tmp_path / "r") == tables(tmp_path / "whole")


def test_an_image_that_cannot_be_opened_for_a_moment_at_the_end_is_looked_at_again(
    run, study, tables, tmp_path, monkeypatch
):
    run(study, tmp_path / "whole")
    real, looks = opened.open_image, itertools.count()

    def once_bad(path, **options):
        if "s1" in str(path) and next(looks) == 1:  # the first is that of the lanes
            raise ImageError(f"{path}: cannot be read (Input/output error).")
        return real(path, **options)

    monkeypatch.setattr(sections, "LOOKS_AGAIN_S", (0.01, 0.01))
    monkeypatch.setattr(opened, "open_image", once_bad)
    run(study, tmp_path / "r", threads=1)
    assert next(looks) > 2
    assert tables(tmp_path / "r") == tables(tmp_path / "whole")


def test_another_intensity_scale_counts_again(run, study, tables, tmp_path, monkeypatch):
    """Facts of another version may have one: cells were found with the other."""
    run(study, tmp_path / "whole")
    with monkeypatch.context() as before:
        before.setattr(plan, "FACTS", plan.FACTS - 1)
        found = jobs.prepare_section

        def brighter(*args, **kwargs):
            prepared = found(*args, **kwargs)
            stats = dict(prepared.facts.stats)
            stats["marker"] = replace(stats["marker"], high=stats["marker"].high * 1.5)
            return replace(prepared, facts=replace(prepared.facts, stats=stats))

        before.setattr(jobs, "prepare_section", brighter)
        run(study, tmp_path / "r")
    run(study, tmp_path / "r")
    assert run.seen > 0
    assert tables(tmp_path / "r") == tables(tmp_path / "whole")


class Told(Progress):
    """Remembers what the user is told."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)

    def note(self, section, warnings):
        self.lines += [f"{section}: {warning}" for warning in warnings]


def told(study, out, **compute):
    progress = Told()
    corridor.run_study(
        require_runnable(study), out, compute=ComputeSettings(**compute), progress=progress
    )
    return "\n".join(progress.lines)


def test_why_sections_are_counted_again_is_said(run, study, tmp_path):
    run(study, tmp_path / "r")
    assert "counted again" not in told(study, tmp_path / "r")
    change(study, "segment: {min_area_um2: 30}")
    text = told(study, tmp_path / "r")
    assert "segment.min_area_um2 was 12.0, is 30.0" in text and "--out" in text
    write_section(study.parent / "images" / "s1.ome.tif", SHAPE, grid_of_cells(SHAPE, 2), seed=5)
    assert "s1: the image has changed since the last run" in told(study, tmp_path / "r")


def test_other_channels_pixels_and_places_are_said_too(run, study, tmp_path):
    run(study, tmp_path / "r")
    change(study, "pixel_size_um: 0.6")
    text = told(study, tmp_path / "r")
    assert "pixel_size_um was that of the files, is [0.6, 0.6]" in text and "--out" in text
    text = told(study, tmp_path / "r", exhaustive=True)
    assert "--exhaustive is given now" in text and "pixel_size" not in text
    assert "--exhaustive is no longer given" in told(study, tmp_path / "r")
    study.write_text(study.read_text().replace("DAPI}", "DAPI, phenotype: {X: 0}}"))
    text = told(study, tmp_path / "r")
    assert "channels.X was not given, is 0" in text
    assert "counted again" not in told(study, tmp_path / "r")


def test_an_older_version_is_said_and_a_newer_one_refused(run, study, tmp_path):
    run(study, tmp_path / "r")
    record = read_json(tmp_path / "r" / "run.json")
    write_json(tmp_path / "r" / "run.json", record | {"fociquant": "0.0.1"})
    assert "made by version 0.0.1" in told(study, tmp_path / "r")
    write_json(tmp_path / "r" / "run.json", record | {"format": 99, "fociquant": "9.9"})
    before = (tmp_path / "r" / "mice.csv").read_bytes()
    with pytest.raises(ResultsError, match=r"newer version \(9\.9\).*Update"):
        run(study, tmp_path / "r")
    assert (tmp_path / "r" / "mice.csv").read_bytes() == before


def test_the_seams_of_a_section_are_in_its_row(run, study, tmp_path):
    run(study, tmp_path / "r")
    sections = read_csv(tmp_path / "r" / "sections.csv")
    assert sections["seam_repeats"].tolist() == [0, 0]
    assert (sections["seam_control_rate"] >= 0).all() and sections["seam_rate"][0] > 0
    state = json.loads((tmp_path / "r" / "sections" / "s0" / "section.json").read_text())
    assert set(state["seams"]) == {"length_mm", "objects", "control_objects", "repeats"}
