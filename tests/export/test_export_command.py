"""``fociquant export`` on a small results folder."""

from __future__ import annotations

import json

import numpy as np
import openpyxl
import pandas as pd
import pytest
from click.testing import CliRunner

from fociquant.cli import group, main
from fociquant.errors import ResultsError
from fociquant.run.table_reading import REQUIRED_COLUMNS
from fociquant.settings import Settings, load_profile
from fociquant.store import ResultsFolder, write_csv, write_json

MOUSE = "007"


def write_whole(path, *rows):
    """A table with every column that it must have; what is not given is empty."""
    table = pd.DataFrame(list(rows))
    missing = [name for name in REQUIRED_COLUMNS[path.name] if name not in table]
    write_csv(path, table.assign(**dict.fromkeys(missing, np.nan)))


@pytest.fixture()
def results(tmp_path):
    folder = ResultsFolder(tmp_path / "results")
    section = {"name": "s1", "image": "a/s1.tif", "mouse": MOUSE, "group": "IAV", "dpi": 3,
               "control": "", "batch": "", "extra": {"cage": "1E5"}}  # fmt: skip
    record = {
        "format": 1, "study": {"reference_group": "PBS"}, "sections": [section],
        "settings": Settings().model_dump(mode="json"),
        "profile": load_profile("chia2025").model_dump(mode="json"),
        "channel_names": {"marker": "HER2"}, "phenotypes": ["Ki67"],
        "images": {"s1": {"pixel_size_um": [0.5, 0.5]}},
    }  # fmt: skip
    write_json(folder.run, record)
    base = {"mouse": MOUSE, "group": "IAV", "dpi": 3, "cage": "1E5", "control": ""}
    classes = {"solitary": 1, "clusters": 0, "micrometastases": 0, "macrometastases": 0}
    counts = {"sections": 1, "sections_failed": 0, "cells": 1, "cells_per_mm2": 0.5,
              "foci_area_mm2": 9e-6, "Ki67_pct": 100.0}  # fmt: skip
    write_whole(folder.mice, base | classes | counts)
    write_whole(folder.groups, {"group": "IAV", "dpi": 3, "mice": 1})
    write_whole(folder.comparisons, {"group": "IAV", "comparison_note": "=1+1"})
    rows = [
        base | {"section": "s1", "status": "done"},
        base | {"section": "s2", "status": "failed"},
    ]
    write_whole(folder.sections, *rows)
    focus = {"section": "s1", "mouse": MOUSE, "focus": 1, "class": "solitary", "cells": 1,
             "area_um2": 9.0}  # fmt: skip
    write_whole(folder.foci, focus)
    outline = np.array([1, 2, 1, 5, 4, 5, 4, 2], dtype=np.float32)
    cell = {"section": "s1", "cell": 1, "focus": 1, "positive": True, "area_um2": 9.0}
    pd.DataFrame([cell | {"outline": outline}]).to_parquet(folder.cells)
    return folder.root


def invoke(*arguments):
    return CliRunner().invoke(
        group, ["export", *(str(one) for one in arguments)], catch_exceptions=False
    )


def invoke_code(*arguments):
    """The exit code that the shell sees."""
    with pytest.raises(SystemExit) as left:
        main(["export", *(str(one) for one in arguments)])
    return left.value.code


def test_every_format_is_written_and_listed(results):
    answer = invoke(results, "--to", "prism,xlsx, geojson,imagej", "--json")
    assert answer.exit_code == 0
    out = results / "exports"
    names = ["mice.pzfx", "foci.pzfx", "tables.xlsx", "geojson/s1.geojson", "imagej/s1.zip"]
    assert json.loads(answer.output)["files"] == [str(out / name) for name in names]
    assert all((out / name).stat().st_size > 100 for name in names)


def test_text_survives_the_way_from_csv_to_excel(results, tmp_path):
    answer = invoke(results, "--to", "xlsx", "--out", tmp_path / "x")
    assert answer.output.strip() == str(tmp_path / "x" / "tables.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "x" / "tables.xlsx")["mice"]
    row = dict(zip(*(tuple(cell.value for cell in row) for row in sheet.iter_rows()), strict=True))
    assert (row["mouse"], row["cage"], row["cells"], row["control"]) == ("007", "1E5", 1, None)


def test_comparisons_are_a_sheet_and_an_old_folder_without_them_is_exported(results, tmp_path):
    invoke(results, "--to", "excel", "--out", tmp_path / "a")
    book = openpyxl.load_workbook(tmp_path / "a" / "tables.xlsx")
    assert book.sheetnames == ["mice", "groups", "comparisons", "foci", "sections"]
    note = book["comparisons"]["B2"]
    assert (note.value, note.data_type) == ("=1+1", "s")
    (results / "comparisons.csv").unlink()
    assert invoke(results, "--to", "xlsx", "--out", tmp_path / "b").exit_code == 0
    book = openpyxl.load_workbook(tmp_path / "b" / "tables.xlsx")
    assert book.sheetnames == ["mice", "groups", "foci", "sections"]


def test_names_of_programs_stand_for_their_formats(results):
    answer = invoke(results, "--to", "QuPath,geojson", "--json")
    assert json.loads(answer.output)["files"] == [
        str(results / "exports" / "geojson" / "s1.geojson")
    ]


@pytest.mark.parametrize("formats", ["pzfx", "prism,nope", ""])
def test_an_unknown_format_is_refused_with_the_known_ones(results, formats):
    answer = invoke(results, "--to", formats)
    assert answer.exit_code == 2
    assert "Known: geojson, imagej, prism, xlsx, excel, fiji, qupath." in answer.output
    assert not (results / "exports").exists()


def test_a_section_too_large_for_imagej_keeps_no_other_file_from_being_written(results):
    table = pd.read_parquet(results / "cells.parquet")
    far = table.assign(outline=[table["outline"][0] + np.float32(20_000)])
    far.to_parquet(results / "cells.parquet")
    answer = invoke(results, "--to", "imagej,geojson,xlsx")
    assert "s1: cells reach 40010 px, ImageJ's ROIs end at 32767 px." in answer.stderr
    names = [line.replace("\\", "/").rsplit("exports/", 1)[1] for line in answer.stdout.split()]
    assert names == ["geojson/s1.geojson", "tables.xlsx"]
    assert invoke_code(results, "--to", "imagej,geojson,xlsx") == 1


def test_files_that_are_of_no_section_now_are_told_and_kept(results):
    answer = invoke(results, "--to", "imagej,geojson")
    assert answer.stderr == ""
    old = results / "exports" / "imagej" / "old name.zip"
    old.write_bytes(b"")
    answer = invoke(results, "--to", "imagej,geojson")
    assert f"{old.parent}: also holds 'old name.zip', not of this export" in answer.stderr
    assert old.exists() and answer.exit_code == 0


def test_a_folder_without_results_says_so(tmp_path):
    with pytest.raises(ResultsError, match="holds no run"):
        invoke(tmp_path, "--to", "xlsx")


def test_the_help_has_an_example():
    assert "fociquant export results --to prism,xlsx" in invoke("--help").output
