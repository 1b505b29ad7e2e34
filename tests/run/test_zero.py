"""Zero is a result: no cell, no tissue, no light, no number."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from fociquant.cohort import ASSUMED_CV
from fociquant.io import write_ome_tiff
from fociquant.run.study import recount
from fociquant.store import read_csv, read_parquet
from fociquant.testing.studies import write_study
from fociquant.units import PixelSize

KINDS = {
    "zeros": lambda shape: np.zeros(shape, np.uint16),
    "constant": lambda shape: np.full(shape, 700, np.uint16),
    "saturated": lambda shape: np.full(shape, 65535, np.uint16),
    "bytes": lambda shape: np.full(shape, 255, np.uint8),
    "noise": lambda shape: np.random.default_rng(0).integers(90, 110, shape).astype(np.uint16),
    "nan": lambda shape: np.full(shape, np.nan, np.float32),
    "infinite": lambda shape: np.full(shape, np.inf, np.float32),
    "some nan": lambda shape: np.where(np.indices(shape)[2] % 7, 5.0, np.nan).astype(np.float32),
    "wild": lambda shape: np.where(np.indices(shape)[2] % 9, 5.0, -3e38).astype(np.float32),
}


@pytest.fixture(params=[(2, 90, 110), (2, 1, 1), (2, 1, 90), (2, 70, 2)], ids=str)
def shape(request):
    return request.param


def write_image(study, pixels: np.ndarray) -> None:
    write_ome_tiff(
        study.parent / "images" / "s0.ome.tif", pixels, channel_names=("HER2", "DAPI"),
        pixel_size=PixelSize.square(0.5), tile_px=64,
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_without_cells_is_an_honest_zero(run, tmp_path, kind, shape, tables):
    study = write_study(tmp_path / "study", {"m": 0}, shape=(64, 64))
    write_image(study, KINDS[kind](shape))
    outcome = run(study, tmp_path / "r", threads=1)
    assert outcome.failed == ()
    assert outcome.tables.mice["cells"].tolist() == [0]
    folder = outcome.folder
    mice = read_csv(folder.mice, text=("mouse",))
    assert mice["cells"].tolist() == [0] and mice["solitary"].tolist() == [0]
    assert mice["foci_area_mm2"].tolist() == [0]
    for path in (folder.mice, folder.sections, folder.groups):
        assert not re.search(
            r"(^|,)-?(inf|nan)(,|$)", path.read_text(), re.MULTILINE | re.IGNORECASE
        )
    assert len(read_csv(folder.foci)) == 0 and not read_parquet(folder.cells)["positive"].any()
    before = tables(tmp_path / "r")
    recount(tmp_path / "r")
    assert tables(tmp_path / "r") == before


def test_a_study_without_a_cell_plans_the_next_one_with_the_default_spread(run, tmp_path):
    study = write_study(tmp_path / "study", dict.fromkeys("abcd", 0), shape=(64, 64))
    sheet = study.parent / "samples.csv"
    sheet.write_text(sheet.read_text().replace(",9,", ",3,"))
    tables = run(study, tmp_path / "r", threads=1).tables
    assert tables.comparisons["cv_between_mice"].isna().tolist() == [True]
    assert set(tables.power["cv_between_mice"]) == {ASSUMED_CV}


def test_the_zero_row_tables_have_the_columns_of_the_contract(run, tmp_path):
    from fociquant.model import CELL_COLUMNS, FOCUS_COLUMNS, MOUSE_COLUMNS, SECTION_COLUMNS

    study = write_study(tmp_path / "study", {"m": 0}, shape=(64, 64))
    folder = run(study, tmp_path / "r").folder
    cells = pd.read_parquet(folder.cells)
    assert len(cells) == 0
    tables = {
        folder.foci: FOCUS_COLUMNS,
        folder.mice: MOUSE_COLUMNS,
        folder.sections: SECTION_COLUMNS,
    }
    for path, columns in tables.items():
        assert set(columns) <= set(read_csv(path).columns)
    assert {*CELL_COLUMNS, "HER2_mean", "DAPI_mean"} <= set(cells)
    assert cells["cell"].dtype == np.int64 and cells["positive"].dtype == bool


@pytest.mark.parametrize("pixel_um", [0.2, 0.33, 0.5, 0.8, 1.3])
def test_any_pixel_size_counts_the_same_cells(run, tmp_path, pixel_um):
    edge = round(110 / pixel_um)
    study = write_study(tmp_path / "s", {"m": 5}, shape=(edge, edge + 7), pixel_um=pixel_um)
    outcome = run(study, tmp_path / "r", threads=1)
    assert outcome.tables.mice["cells"].tolist() == [5]
    cells = read_parquet(outcome.folder.cells)
    tolerance = 0.12 if pixel_um < 1 else 0.2  # nine pixels across, and a rim that is interpolated
    np.testing.assert_allclose(cells["area_um2"], np.pi * 36, rtol=tolerance)
    places = np.sort(cells["y_um"].to_numpy())
    assert places[0] == pytest.approx(10.0, abs=0.6)


@pytest.mark.parametrize("pixel_um", [0.33, 1.3])
def test_a_resampled_section_is_the_same_for_any_block(run, tmp_path, pixel_um, tables):
    edge = round(120 / pixel_um)
    study = write_study(tmp_path / "s", {"m": 9}, shape=(edge, edge + 5), pixel_um=pixel_um)
    run(study, tmp_path / "a", threads=4, block_px=64)
    run(study, tmp_path / "b", threads=1, block_px=8192)
    assert tables(tmp_path / "a") == tables(tmp_path / "b")


def test_a_cell_at_the_border_of_the_image_is_flagged(run, tmp_path):
    from fociquant.testing.studies import write_section

    study = write_study(tmp_path / "s", {"m": 0}, shape=(150, 150))
    write_section(
        study.parent / "images" / "s0.ome.tif", (150, 150), np.array([[4.0, 75], [75, 75]])
    )
    cells = read_parquet(run(study, tmp_path / "r").folder.cells)
    assert cells["flags"].tolist() == ["edge", ""]


def test_an_object_larger_than_the_halo_is_flagged_and_there(run, tmp_path):
    from fociquant.testing.segmenters import cones

    study = write_study(tmp_path / "s", {"m": 0}, shape=(64, 64))
    plane = cones((300, 300), [(130.0, 120.0)], 140)
    pixels = np.stack([plane, plane])
    write_image(study, pixels)
    cells = read_parquet(run(study, tmp_path / "r").folder.cells)
    assert len(cells) == 1
    assert "oversize" in cells["flags"][0] and not cells["positive"][0]


def test_mice_named_like_formulas_and_numbers_survive(run, tmp_path):
    names = ["007", "=1+1", "1E5", "+1-1", "@x", "-2+3"]
    study = write_study(tmp_path / "s", dict.fromkeys(names, 0), shape=(40, 40))
    folder = run(study, tmp_path / "r").folder
    assert read_csv(folder.mice, text=("mouse",))["mouse"].tolist() == names
    for line in folder.mice.read_text().splitlines():
        assert not line.startswith(("=", "+", "@", "-"))
    recount(tmp_path / "r")
    assert read_csv(folder.sections, text=("mouse",))["mouse"].tolist() == names
