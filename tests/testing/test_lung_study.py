"""Whole simulated studies, the command, and the sample images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from fociquant.cli import main
from fociquant.errors import InputError, SettingsError
from fociquant.io import open_image
from fociquant.testing.lung.design import DESIGNS, IAV, partition, section_counts, stage_of
from fociquant.testing.lung.study import simulate_study, study_truth, write_truth

TINY = replace(
    DESIGNS["small"], dpi=(3.0, 15.0), mice=1, size_px=256, pixel_size_um=1.0, enrichment=200.0
)
SAMPLE = Path(__file__).parents[2] / "sample_images"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "sim"
    simulate_study(out, TINY, seed=4, labels=True)
    return out


def test_sheet_and_settings_name_what_is_there(study: Path) -> None:
    sheet = pd.read_csv(study / "samples.csv", dtype=str, keep_default_na=False)
    assert list(sheet["dpi"]) == ["3", "3", "15", "15", "15"]
    assert list(sheet["group"]) == ["PBS", "IAV", "PBS", "IAV", "IAV"]
    assert list(sheet["control"]) == ["", "", "", "", "negative"]
    assert all((study / image).is_file() for image in sheet["image"])
    settings = yaml.safe_load((study / "study.yaml").read_text(encoding="utf-8"))
    assert settings["channels"]["marker"] == "HER2" and settings["reference_group"] == "PBS"


def test_images_open_with_names_and_pixel_size(study: Path) -> None:
    path = next(iter(sorted((study / "images").iterdir())))
    with open_image(path) as image:
        assert list(image.channel_names) == ["HER2", "DAPI", "AF", "Ki67"]
    with tifffile.TiffFile(path) as file:
        assert file.series[0].shape == (4, 256, 256) and file.series[0].dtype == np.uint16
        assert 'PhysicalSizeX="1.0"' in (file.ome_metadata or "")


def test_truth_adds_up(study: Path) -> None:
    cells, foci, sections, mice = (
        pd.read_csv(study / "truth" / f"{name}.csv", keep_default_na=False)
        for name in ("cells", "foci", "sections", "mice")
    )
    assert len(cells) == foci["cells"].sum() == sections["cells"].sum() == mice["cells"].sum() > 20
    kinds = ["solitary", "clusters", "micrometastases", "macrometastases"]
    assert mice[kinds].to_numpy().sum() == len(foci)
    areas = foci.groupby("mouse")["area_um2"].sum().reindex(mice["mouse"], fill_value=0) * 1e-6
    assert mice["foci_area_mm2"].to_numpy() == pytest.approx(areas.to_numpy(), rel=1e-4)
    assert sections.loc[sections["control"] == "negative", "cells"].sum() == 0
    for section, count in zip(sections["section"], sections["cells"], strict=True):
        labels = tifffile.imread(study / "truth" / "labels" / f"{section}.tif")
        assert len(np.unique(labels)) - 1 == count


def test_truth_needs_no_pixels(study: Path, tmp_path: Path) -> None:
    write_truth(tmp_path, study_truth(TINY, seed=4))
    for name in ("cells", "foci", "sections", "mice"):
        assert (tmp_path / f"{name}.csv").read_bytes() == (
            study / "truth" / f"{name}.csv"
        ).read_bytes()


def test_a_study_with_more_mice_begins_with_the_same_ones() -> None:
    one = study_truth(replace(TINY, dpi=(9.0,), controls=0), seed=4)
    two = study_truth(replace(TINY, dpi=(9.0,), controls=0, mice=2), seed=4)
    shared = two.cells[two.cells["section"].isin(one.cells["section"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(shared, one.cells)


def test_the_command_writes_the_same_study(study: Path, tmp_path: Path) -> None:
    options = "--design small --dpi 3,15 --mice 1 --size 256 --pixel-size-um 1 --enrichment 200"
    with pytest.raises(SystemExit) as done:
        main(["simulate", str(tmp_path / "again"), *options.split(), "--seed", "4"])
    assert done.value.code == 0
    for path in sorted((study / "images").iterdir()):
        assert (tmp_path / "again" / "images" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dpi", "4"], "no course for dpi 4"),
        (["--dpi", "x"], "not a list of days"),
        (["--mice", "0"], "mice must be 1 or more"),
        (["--size", "5"], "at least 128 px"),
        (["--pixel-size-um", "0"], "pixel size"),
    ],
)
def test_wrong_designs_are_refused(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main(["simulate", str(tmp_path / "out"), *options])
    assert done.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_not_touched(study: Path) -> None:
    with pytest.raises(InputError, match="not empty"):
        simulate_study(study, TINY, seed=1)


def test_without_the_unstained_channel(tmp_path: Path) -> None:
    design = replace(TINY, dpi=(3.0,), groups=("PBS",), controls=0, autofluorescence=False)
    simulate_study(tmp_path / "s", design, seed=1)
    path = next((tmp_path / "s" / "images").iterdir())
    with open_image(path) as image:
        assert list(image.channel_names) == ["HER2", "DAPI", "Ki67"]
    assert "autofluorescence" not in (tmp_path / "s" / "study.yaml").read_text(encoding="utf-8")


def test_counts_follow_the_course() -> None:
    rng = np.random.default_rng(1)
    stage = IAV[15.0]
    totals = [
        sum(section_counts(rng, stage, areas_mm2=[75.0] * 3, enrichment=1)) for _ in range(3000)
    ]
    assert np.mean(totals) == pytest.approx(1500, rel=0.06)
    assert np.std(totals) / np.mean(totals) == pytest.approx(0.9, abs=0.08)


@pytest.mark.parametrize("cells", [0, 1, 7, 900])
def test_foci_add_up_to_the_cells(cells: int) -> None:
    sizes = partition(np.random.default_rng(cells), IAV[28.0], cells)
    assert sum(sizes) == cells and all(1 <= size <= 500 for size in sizes)


def test_there_is_no_course_for_other_groups() -> None:
    with pytest.raises(SettingsError, match="MA10"):
        stage_of("MA10", 3.0)


def test_the_sample_images_follow_from_their_seed(tmp_path: Path) -> None:
    write_truth(tmp_path, study_truth(DESIGNS["small"], seed=460))
    for name in ("cells", "foci", "sections", "mice"):
        stored, made = (pd.read_csv(p / f"{name}.csv") for p in (SAMPLE / "truth", tmp_path))
        pd.testing.assert_frame_equal(made, stored, rtol=1e-3)


def test_the_sample_images_are_few_megabytes() -> None:
    assert sum(p.stat().st_size for p in SAMPLE.rglob("*") if p.is_file()) < 25e6


def test_the_command_offers_every_design() -> None:
    from fociquant.cli.simulate import command

    option = next(p for p in command.params if p.name == "design_name")
    assert list(option.type.choices) == list(DESIGNS)  # type: ignore[attr-defined]
