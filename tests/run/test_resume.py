"""The same command again: what is known is kept, what changed is done again, nothing else."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from fociquant.errors import ResultsError, StudyError
from fociquant.run import study as corridor
from fociquant.run.study import recount
from fociquant.store import read_csv, write_json
from fociquant.testing.studies import grid_of_cells, write_section, write_study

COUNTS = {"007": 4, "m2": 9, "m3": 0}


@pytest.fixture()
def study(tmp_path):
    return write_study(tmp_path / "study", COUNTS)


def cells_of(outcome):
    return dict(zip(outcome.tables.mice["mouse"], outcome.tables.mice["cells"], strict=True))


def test_every_mouse_has_its_number_of_cells(run, study, tmp_path):
    outcome = run(study, tmp_path / "r", threads=1)
    assert cells_of(outcome) == COUNTS
    assert outcome.failed == () and not outcome.interrupted
    mice = read_csv(tmp_path / "r" / "mice.csv", text=("mouse",))
    assert mice["mouse"].tolist() == list(COUNTS)
    assert mice["sections_failed"].tolist() == [0, 0, 0]


def test_the_same_command_again_looks_at_no_pixel(run, study, tmp_path, tables, reads):
    run(study, tmp_path / "r")
    before, reads[0] = tables(tmp_path / "r"), 0
    run(study, tmp_path / "r")
    assert run.seen == 0 and reads[0] == 0
    assert tables(tmp_path / "r") == before


def test_a_changed_gate_or_foci_rule_looks_at_no_pixel(run, study, tmp_path, reads):
    run(study, tmp_path / "r")
    reads[0] = 0
    study.write_text(study.read_text() + "gate: {min_area_um2: 150}\n")
    assert cells_of(run(study, tmp_path / "r")) == dict.fromkeys(COUNTS, 0)
    study.write_text(study.read_text().replace("min_area_um2: 150", "min_area_um2: 30"))
    study.write_text(study.read_text() + "foci: {link_um: 0}\n")
    outcome = run(study, tmp_path / "r")
    assert outcome.tables.mice["solitary"].tolist() == [4, 9, 0]
    assert run.seen == 0 and reads[0] == 0


def test_a_changed_segment_setting_counts_all_again(run, study, tmp_path):
    run(study, tmp_path / "r")
    study.write_text(study.read_text() + "segment: {min_area_um2: 150}\n")
    outcome = run(study, tmp_path / "r")
    assert run.seen > 0
    assert outcome.tables.sections["candidates"].tolist() == [0, 0, 0]


def test_a_changed_image_counts_its_section_only(run, study, tmp_path):
    run(study, tmp_path / "r")
    whole = run.seen
    image = study.parent / "images" / "s1.ome.tif"
    write_section(image, (160, 200), grid_of_cells((160, 200), 2), seed=5)
    assert cells_of(run(study, tmp_path / "r")) == COUNTS | {"m2": 2}
    assert run.seen == whole // 3


def test_a_changed_sheet_changes_the_tables_only(run, study, tmp_path):
    run(study, tmp_path / "r")
    sheet = study.parent / "samples.csv"
    sheet.write_text(sheet.read_text().replace("m2,IAV", "mouse 2,IAV"))
    outcome = run(study, tmp_path / "r")
    assert run.seen == 0 and outcome.tables.mice["mouse"].tolist() == ["007", "mouse 2", "m3"]
    cells = pd.read_parquet(tmp_path / "r" / "cells.parquet")
    assert set(cells["mouse"]) == {"007", "mouse 2"}


def test_fresh_counts_all_again(run, study, tmp_path, tables):
    run(study, tmp_path / "r")
    whole, before = run.seen, tables(tmp_path / "r")
    run(study, tmp_path / "r", fresh=True)
    assert run.seen == whole and tables(tmp_path / "r") == before


@pytest.mark.parametrize("damage", ["objects.parquet", "section.json", "labels.ome.zarr"])
def test_a_lost_piece_of_one_section_is_made_again(run, study, tmp_path, tables, damage):
    run(study, tmp_path / "r")
    whole, before = run.seen, tables(tmp_path / "r")
    piece = tmp_path / "r" / "sections" / "s1" / damage
    if piece.is_dir():
        shutil.rmtree(piece)
    else:
        piece.write_bytes(piece.read_bytes()[:-30])
    run(study, tmp_path / "r")
    assert run.seen == whole // 3 and tables(tmp_path / "r") == before
    assert piece.exists()


def test_recount_makes_the_same_tables_from_what_is_stored(run, study, tmp_path, tables, reads):
    run(study, tmp_path / "r")
    before, reads[0] = tables(tmp_path / "r"), 0
    for name in before:
        (tmp_path / "r" / name).unlink()
    outcome = recount(tmp_path / "r")
    assert tables(tmp_path / "r") == before and reads[0] == 0
    assert cells_of(outcome) == COUNTS


def test_recount_does_not_need_the_images(run, study, tmp_path, tables):
    run(study, tmp_path / "r")
    before = tables(tmp_path / "r")
    shutil.rmtree(study.parent)
    recount(tmp_path / "r")
    assert tables(tmp_path / "r") == before


def test_results_may_be_moved(run, study, tmp_path, tables):
    run(study, tmp_path / "r")
    before = tables(tmp_path / "r")
    moved = shutil.move(tmp_path / "r", tmp_path / "elsewhere")
    recount(moved)
    assert tables(moved) == before


def test_recount_of_something_else_says_what_to_give(tmp_path):
    with pytest.raises(ResultsError, match=r"holds no run\.json.*results folder"):
        recount(tmp_path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"format": 0}, "of format 0.*Run the study again"),
        ({"format": 1}, "damaged.*Run the study again"),
        ({"format": 1, "sections": [3], "images": {}}, "damaged"),
        ({"format": 1, "sections": [], "settings": {"gate": {"x": 1}}, "images": {}}, "damaged"),
    ],
)
def test_recount_of_an_older_or_damaged_record_is_refused(tmp_path, content, match):
    write_json(tmp_path / "run.json", content)
    with pytest.raises(ResultsError, match=match):
        recount(tmp_path)


def test_recount_of_half_a_record_says_that_it_is_damaged(tmp_path):
    (tmp_path / "run.json").write_text('{"format": 1,')
    with pytest.raises(ResultsError, match=r"run\.json is damaged\. Run the study again"):
        recount(tmp_path)


def test_recount_of_damaged_objects_names_the_file(run, study, tmp_path):
    run(study, tmp_path / "r")
    path = tmp_path / "r" / "sections" / "s0" / "objects.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ResultsError, match=r"s0.objects\.parquet is damaged.*Run the study again"):
        recount(tmp_path / "r")
    assert not list((tmp_path / "r").glob(".*.tmp"))


def test_objects_of_other_settings_never_get_into_the_tables(
    run, study, tmp_path, stop_after, monkeypatch
):
    run(study, tmp_path / "r")
    study.write_text(study.read_text() + "segment: {min_area_um2: 100}\n")
    stop_after(monkeypatch, 0)
    outcome = run(study, tmp_path / "r")
    assert outcome.interrupted and len(outcome.failed) == 3
    assert outcome.tables.sections["reason"].str.contains("not counted yet").all()
    assert outcome.tables.mice["sections_failed"].tolist() == [1, 1, 1]
    monkeypatch.undo()


def test_an_image_that_is_away_for_one_run_costs_nothing(run, study, tmp_path, tables, monkeypatch):
    run(study, tmp_path / "r")
    before = tables(tmp_path / "r")
    from fociquant.errors import CorruptImageError

    original = corridor.open_image

    def away(path, **how):
        if path.name == "s1.ome.tif":
            raise CorruptImageError(f"{path}: the drive does not answer.")
        return original(path, **how)

    monkeypatch.setattr(corridor, "open_image", away)
    outcome = run(study, tmp_path / "r")
    assert outcome.failed == ("s1",)
    assert "drive does not answer" in outcome.tables.sections["reason"][1]
    assert pd.isna(outcome.tables.sections["cells"][1])
    failed = tables(tmp_path / "r")
    recount(tmp_path / "r")
    assert tables(tmp_path / "r") == failed
    monkeypatch.setattr(corridor, "open_image", original)
    run(study, tmp_path / "r")
    assert run.seen == 0 and tables(tmp_path / "r") == before


def test_a_study_with_any_other_problem_starts_nothing(run, study, tmp_path):
    sheet = study.parent / "samples.csv"
    sheet.write_text(sheet.read_text() + "images/absent.tif,m9,PBS,3,s9\n")
    with pytest.raises(StudyError, match=r"absent\.tif"):
        run(study, tmp_path / "r")
    assert not (tmp_path / "r").exists()
