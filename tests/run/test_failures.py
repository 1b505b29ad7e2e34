"""One bad section never takes the others with it, and is never silently a smaller sum."""

from __future__ import annotations

from pathlib import PureWindowsPath

import numpy as np
import pandas as pd
import pytest

from fociquant.errors import ResultsError, StudyError, path_as
from fociquant.run import jobs
from fociquant.run.start import require_runnable
from fociquant.run.study import recount
from fociquant.store import folder as layout
from fociquant.store import read_csv
from fociquant.testing.studies import write_study

COUNTS = {"a": 4, "b": 6, "c": 2}


@pytest.fixture()
def study(tmp_path):
    return write_study(tmp_path / "study", COUNTS)


def break_image(study, number: int, how: str) -> None:
    path = study.parent / "images" / f"s{number}.ome.tif"
    content = path.read_bytes()
    path.write_bytes(
        {
            "text": b"not an image at all, " * 40,
            "empty": b"",
            "header": content[:500],
            "half": content[: len(content) // 2],
            "zeros": bytes(len(content)),
        }[how]
    )


def break_tile(study, number: int) -> None:
    """Damage compressed pixels in the middle of the file; it still opens."""
    import tifffile

    path = study.parent / "images" / f"s{number}.ome.tif"
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[3]
    content = bytearray(path.read_bytes())
    content[offset + 4 : offset + 60] = bytes(56)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("how", ["text", "empty", "header", "half", "zeros"])
def test_a_bad_image_fails_its_section_alone(run, study, tmp_path, how):
    break_image(study, 1, how)
    outcome = run(study, tmp_path / "r")
    assert outcome.failed == ("s1",) and not outcome.interrupted
    sections = read_csv(tmp_path / "r" / "sections.csv", text=("reason",))
    assert sections["status"].tolist() == ["done", "failed", "done"]
    assert "s1.ome.tif" in sections["reason"][1] and "\n" not in sections["reason"][1]
    assert sections["cells"].tolist()[::2] == [4, 2] and pd.isna(sections["cells"][1])


def test_a_mouse_shows_its_failed_section(run, study, tmp_path):
    sheet = study.parent / "samples.csv"
    lines = sheet.read_text().splitlines()
    lines[2] = lines[2].replace(",b,IAV,", ",a,PBS,")
    sheet.write_text("\n".join(lines) + "\n")
    break_tile(study, 1)
    outcome = run(study, tmp_path / "r")
    mice = outcome.tables.mice.set_index("mouse")
    assert mice.loc["a", ["sections", "sections_failed", "cells"]].tolist() == [1, 1, 4]
    assert mice.loc["c", "sections_failed"] == 0


def test_a_damaged_tile_is_named_with_its_place_and_can_be_replaced(run, study, tmp_path, tables):
    run(study, tmp_path / "whole")
    image = study.parent / "images" / "s2.ome.tif"
    good = image.read_bytes()
    break_tile(study, 2)
    outcome = run(study, tmp_path / "r")
    reason = outcome.tables.sections["reason"][2]
    assert outcome.failed == ("s2",)
    assert "tile at (" in reason and "copy or export it again" in reason
    image.write_bytes(good)
    run(study, tmp_path / "r")
    assert tables(tmp_path / "r") == tables(tmp_path / "whole")
    assert not (tmp_path / "r" / "sections" / "s2" / "failure.json").exists()


def test_recount_says_the_same_of_a_failed_section(run, study, tmp_path, tables):
    break_tile(study, 0)
    run(study, tmp_path / "r")
    before = tables(tmp_path / "r")
    assert recount(tmp_path / "r").failed == ("s0",)
    assert tables(tmp_path / "r") == before


def test_no_image_that_opens_starts_nothing(study):
    for number in range(3):
        break_image(study, number, "text")
    with pytest.raises(StudyError) as raised:
        require_runnable(study)
    assert len(raised.value.problems) == 3


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("marker: HER2", "marker: HER3", "HER3"),
        ("name: cones", "name: cones\ntypo: 1", "typo"),
        ("name: cones", "name: cones\nsegment: {model: cyto9}", "unknown model 'cyto9'.*compact"),
        ("name: cones", "name: cones\ngate: {marker_snr: -1}", "marker_snr"),
    ],
)
def test_problems_of_the_study_start_nothing_even_beside_a_bad_image(study, old, new, match):
    break_image(study, 1, "text")
    study.write_text(study.read_text().replace(old, new))
    with pytest.raises(Exception, match=match):
        require_runnable(study)


def test_an_unexpected_error_is_a_row_with_its_class(run, study, tmp_path, monkeypatch):
    original = jobs.count_cell

    def broken(plan, *args, **how):
        if plan.section.name == "s1":
            raise ZeroDivisionError("a bug")
        return original(plan, *args, **how)

    monkeypatch.setattr(jobs, "count_cell", broken)
    outcome = run(study, tmp_path / "r", threads=2)
    assert outcome.tables.sections["reason"].tolist() == [
        "", "unexpected ZeroDivisionError: a bug", ""
    ]  # fmt: skip


def test_every_image_is_closed_at_the_end(run, study, tmp_path, monkeypatch):
    from fociquant.run import opened as door
    from fociquant.run import study as corridor

    images = []

    def remember(path, original=corridor.open_image, **how):
        images.append(original(path, **how))
        return images[-1]

    monkeypatch.setattr(corridor, "open_image", remember)
    monkeypatch.setattr(door, "open_image", remember)
    break_tile(study, 1)
    for _ in range(2):
        run(study, tmp_path / "r")
    # Looked into at the start of each run, and opened again to be counted.
    assert len(images) >= 3 + 3 + 3 + 1 and all(image._closed.is_set() for image in images)


def test_cells_and_foci_agree_with_the_tables_of_mice(run, study, tmp_path):
    run(study, tmp_path / "r")
    cells = pd.read_parquet(tmp_path / "r" / "cells.parquet")
    foci = read_csv(tmp_path / "r" / "foci.csv", text=("mouse",))
    mice = read_csv(tmp_path / "r" / "mice.csv", text=("mouse",)).set_index("mouse")
    positive = cells[cells["positive"]]
    assert positive.groupby("mouse").size().to_dict() == COUNTS
    assert foci.groupby("mouse")["cells"].sum().to_dict() == COUNTS
    assert mice["cells"].to_dict() == COUNTS
    assert (positive["focus"] > 0).all() and (cells[~cells["positive"]]["focus"] == 0).all()
    # Distances are empty where the section shows no edge of the lung and no lumen.
    numbers = cells.select_dtypes("number").drop(columns=["edge_um", "lumen_um"])
    assert np.isfinite(numbers).all().all()


def test_a_pixel_size_at_which_no_cell_can_be_seen_fails_soon(run, study, tmp_path):
    study.write_text(study.read_text() + "pixel_size_um: 32.5\n")
    outcome = run(study, tmp_path / "r")
    assert len(outcome.failed) == 3 and run.seen == 0
    assert "Correct pixel_size_um" in outcome.tables.sections["reason"][0]


def test_paths_that_windows_does_not_take_end_a_run_before_it_begins(
    run, study, tmp_path, monkeypatch
):
    monkeypatch.setattr(layout, "longest_path", lambda: len(str(tmp_path)) + layout.DEEPEST)
    with pytest.raises(ResultsError, match="shorter path"):
        run(study, tmp_path / "out")
    assert run.seen == 0 and not (tmp_path / "out" / "sections").exists()


def test_reasons_do_not_tell_where_files_lie_on_windows_either():
    """Systems put a path between quotes, with every backslash doubled."""
    path = PureWindowsPath("C:/Users/Jörg/slides/a.tif")
    for error in (OSError(22, "Invalid argument", str(path)), ValueError(f"{path}: damaged")):
        assert str(path.parent.name) in str(error)
        assert "Jörg" not in path_as(str(error), path, "slides/a.tif")
        assert "slides/a.tif" in path_as(str(error), path, "slides/a.tif")
