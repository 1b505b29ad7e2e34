"""Recounting gives every column its place again, also where the order is nobody's alphabet."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from fociquant.io import open_image, write_ome_tiff
from fociquant.model import Box
from fociquant.run import study as corridor
from fociquant.run.study import recount, redraw
from fociquant.testing.studies import write_study


@pytest.fixture()
def study(tmp_path):
    """A third channel, and columns of the sheet that are not sorted."""
    path = write_study(tmp_path / "study", {"m1": 4, "m2": 9})
    for image in sorted((path.parent / "images").iterdir()):
        with open_image(image) as opened:
            pixels, size = opened.read(Box(0, 0, *opened.shape[1:]), [0, 1]), opened.pixel_size
        image.unlink()
        ground = np.full_like(pixels[:1], 50)
        write_ome_tiff(
            image, np.concatenate([pixels, ground]), channel_names=("HER2", "DAPI", "AF"),
            pixel_size=size, tile_px=64,
        )  # fmt: skip
    sheet = path.parent / "samples.csv"
    head, *rows = sheet.read_text().splitlines()
    own = [f"{row},{k}-w,{k}-a" for k, row in enumerate(rows)]
    sheet.write_text("\n".join([f"{head},weight,age", *own]) + "\n")
    path.write_text(path.read_text().replace("DAPI}", "DAPI, autofluorescence: AF}"))
    return path


def test_recount_keeps_the_order_of_channels_and_of_the_sheet(run, study, tmp_path, tables):
    run(study, tmp_path / "r", threads=1)
    before, record = tables(tmp_path / "r"), json.loads((tmp_path / "r" / "run.json").read_text())
    assert before["mice.csv"].splitlines()[0].endswith(b",weight,age")
    assert list(record["channel_names"]) == ["marker", "nucleus", "autofluorescence"]
    recount(tmp_path / "r")
    assert tables(tmp_path / "r") == before
    again = json.loads((tmp_path / "r" / "run.json").read_text())
    assert json.dumps(again) == json.dumps(record)


def test_the_report_is_given_the_same_by_run_recount_and_report(run, study, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(corridor, "report", lambda _, tables, record: seen.append((tables, record)))
    run(study, tmp_path / "r", threads=1)
    recount(tmp_path / "r")
    redraw(tmp_path / "r")
    assert len(seen) == 3
    for tables, record in seen[1:]:
        assert tables.mice.equals(seen[0][0].mice) and tables.foci.equals(seen[0][0].foci)
        assert json.dumps(record) == json.dumps(seen[0][1])


def test_phenotypes_on_a_channel_that_is_used_already_cost_no_column(run, study, tmp_path):
    """The channel has its columns once, and every phenotype is judged."""
    before = "autofluorescence: AF}"
    after = "autofluorescence: AF, phenotype: {inside: DAPI, glow: AF, again: 1}}"
    study.write_text(study.read_text().replace(before, after))
    run(study, tmp_path / "r", threads=1)
    cells = pd.read_parquet(tmp_path / "r" / "cells.parquet")
    assert cells.columns.is_unique and len(cells) == 13
    assert (cells["inside_positive"] == cells["again_positive"]).all()
    assert cells["inside_positive"].any() and not cells["glow_positive"].any()
    assert cells["DAPI_mean"].gt(cells["DAPI_background"]).all()
    assert cells["AF_mean"].eq(50).all()
