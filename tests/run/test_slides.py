"""Whole runs with the shipped network: two mice on one slide; a slide in brown and blue."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tifffile

from fociquant.io import write_ome_tiff
from fociquant.run import study as corridor
from fociquant.run.preflight import check_study
from fociquant.run.start import require_runnable
from fociquant.settings import ComputeSettings
from fociquant.store import read_csv, read_parquet
from fociquant.study import load_study
from fociquant.testing.lung import CHANNELS, LungRecipe, SectionScene
from fociquant.testing.lung.brightfield import BrightfieldScene
from fociquant.units import PixelSize

PIXEL_UM = 0.65
TEXT = ("section", "mouse", "group", "region")


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(corridor, "report", lambda *_, **__: None)

    def count(study, out):
        outcome = corridor.run_study(load_study(study), out, compute=ComputeSettings(threads=1))
        return outcome.folder

    return count


def scene(seed, sizes, shape=(420, 420)):
    return SectionScene(
        LungRecipe(), shape_px=shape, pixel_size_um=PIXEL_UM, seed=seed, focus_sizes=sizes,
        outline="none",
    )  # fmt: skip


def two_on_a_slide(folder):
    """Two pieces of lung side by side, with glass between and around them."""
    scenes = scene(11, [1, 1, 4]), scene(12, [1, 2])
    dark = np.array([256, 236, 248, 232])[:, None, None]
    rng = np.random.default_rng(0)
    slide = np.rint(dark + 9 * rng.standard_normal((4, 640, 1280))).astype(np.uint16)
    for number, one in enumerate(scenes):
        slide[:, 110:530, 110 + 640 * number : 530 + 640 * number] = one.render(one.box)
    folder.mkdir()
    write_ome_tiff(folder / "slide.ome.tif", slide, channel_names=CHANNELS,
                   pixel_size=PixelSize.square(PIXEL_UM))  # fmt: skip
    (folder / "study.yaml").write_text(
        "name: slide\nsamples: samples.csv\npreset: her2_if\n"
        "channels: {marker: HER2, nucleus: DAPI, autofluorescence: AF}\n"
    )
    return [len(one.truth().cells) for one in scenes]


def sheet(folder, *regions):
    rows = [f'slide.ome.tif,m{n},PBS,3,"{region}"' for n, region in enumerate(regions, start=1)]
    text = "\n".join(["image,mouse,group,dpi,region", *rows, ""])
    (folder / "samples.csv").write_text(text)
    return folder / "study.yaml"


def test_two_mice_on_one_slide_are_counted_apart(tmp_path, counted):
    truth = two_on_a_slide(tmp_path / "s")
    study = sheet(tmp_path / "s", "1", "2")
    assert check_study(study) == []
    folder = counted(study, tmp_path / "r")
    sections = read_csv(folder.sections, text=TEXT)
    assert sections["section"].tolist() == ["slide_region1", "slide_region2"]
    assert sections["region"].tolist() == ["1", "2"]
    assert sections["cells"].tolist() == truth
    area = (420 * PIXEL_UM) ** 2 * 1e-6
    assert sections["tissue_mm2"].to_numpy() == pytest.approx([area, area], rel=0.3)
    cells = read_parquet(folder.cells)
    elsewhere = cells["x_um"] > 640 * PIXEL_UM
    first = cells["section"] == "slide_region1"
    assert (cells["flags"].str.contains("outside_region") == (elsewhere == first)).all()
    positive = cells[cells["positive"]]
    assert positive["compartment"].isin(["parenchyma", "edge", "lumen", "outside"]).all()
    counts = sections[[c for c in sections if c.startswith("cells_") and c != "cells_automatic"]]
    assert counts.sum(axis=1).tolist() == truth


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        (("1", "3"), "there is no region 3: the slide shows 2: 1 \\("),
        (("1", "1"), "region '1' of this image overlaps"),
        (("0,0,400,400", "0,300,400,800"), "overlaps region '0,0,400,400'"),
        (("1", ""), "the same image is already on line 2"),
        (("0,0,400,400", "9000,0,9400,400"), "lies outside the image"),
        (("1", "left"), "'left' is neither a number from 1 nor a box"),
    ],
)
def test_regions_that_cannot_be_are_told_before_the_run(tmp_path, regions, said):
    two_on_a_slide(tmp_path / "s")
    problems = "\n".join(map(str, check_study(sheet(tmp_path / "s", *regions))))
    assert re.search(said, problems), problems


def test_a_damaged_slide_of_two_sections_does_not_stop_the_others(tmp_path):
    two_on_a_slide(tmp_path / "s")
    study = sheet(tmp_path / "s", "1", "2")
    (tmp_path / "s" / "slide.ome.tif").rename(tmp_path / "s" / "whole.ome.tif")
    text = study.with_name("samples.csv").read_text()
    study.with_name("samples.csv").write_text(text + "whole.ome.tif,m3,PBS,3,\n")
    content = bytearray((tmp_path / "s" / "whole.ome.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "s" / "whole.ome.tif") as whole:
        for page in (whole.pages[0], *whole.pages[0].pages):
            begin, length = page.dataoffsets[0], page.databytecounts[0]
            content[begin : begin + length] = bytes(length)
    (tmp_path / "s" / "slide.ome.tif").write_bytes(content)
    problems = check_study(study)
    assert len(problems) == 2
    assert all("slide.ome.tif: level" in str(one) for one in problems)
    assert len(require_runnable(study).sections) == 3  # its own two will fail


def test_brown_cells_of_a_colour_scan_are_counted(tmp_path, counted):
    folder = tmp_path / "s"
    folder.mkdir()
    rows, truth = ["image,mouse,group,dpi"], []
    for number, sizes in enumerate(([1, 1, 1, 20], []), start=1):
        one = scene(20 + number, sizes, shape=(512, 512))
        colours = np.moveaxis(BrightfieldScene(one).render(one.box), 0, -1)
        tifffile.imwrite(
            folder / f"s{number}.tif", colours, photometric="rgb", tile=(256, 256),
            resolution=(1e4 / PIXEL_UM, 1e4 / PIXEL_UM), resolutionunit="CENTIMETER",
        )  # fmt: skip
        rows.append(f"s{number}.tif,m{number},PBS,3")
        truth.append((len(one.truth().cells), len(one.truth().foci)))
    (folder / "samples.csv").write_text("\n".join(rows) + "\n")
    study = folder / "study.yaml"
    study.write_text(
        "name: brown\nsamples: samples.csv\npreset: dab_ihc\n"
        "channels: {marker: DAB, nucleus: haematoxylin}\n"
    )
    assert check_study(study) == []
    sections = read_csv(counted(study, tmp_path / "r").sections, text=TEXT)
    assert sections["cells"].tolist() == pytest.approx([truth[0][0], 0], abs=1)
    assert sections["foci"].tolist() == [truth[0][1], 0]
    assert sections["tissue_mm2"].to_numpy() == pytest.approx(
        (512 * PIXEL_UM) ** 2 * 1e-6, rel=1e-4
    )


def test_a_fluorescence_image_is_no_brown_one(tmp_path):
    two_on_a_slide(tmp_path / "s")
    study = sheet(tmp_path / "s", "")
    study.write_text(study.read_text().replace("her2_if", "dab_ihc"))
    problems = "\n".join(map(str, check_study(study)))
    assert "stains are separated in colour images only" in problems
