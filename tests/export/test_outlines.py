"""Outlines for QuPath and ImageJ: in the right pixels, or refused."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import roifile
import shapely

from fociquant.errors import InputError, ResultsError
from fociquant.export import write_geojson, write_imagej
from fociquant.units import PixelSize

PIXEL = PixelSize(0.5, 0.25)


def cells(shift_um: float = 0.0) -> pd.DataFrame:
    corners = np.array([[1, 2], [1, 5], [4, 5], [4, 2]], dtype=np.float32)
    outlines = [np.add(corners, (shift_um, 3 * i)).astype(np.float32).ravel() for i in range(3)]
    return pd.DataFrame(
        {
            "section": "s",
            "cell": [12, 5, 40],
            "focus": [1, 1, 0],
            "positive": [True, True, False],
            "area_um2": 9.0,
            "outline": pd.Series(outlines, dtype=object),
        }
    )


def foci() -> pd.DataFrame:
    return pd.DataFrame({"focus": [1], "class": ["cluster"], "cells": [2], "area_um2": [18.0]})


def test_geojson_holds_foci_and_counted_cells_in_pixels(tmp_path):
    path = write_geojson(tmp_path / "s.geojson", cells(), foci(), pixel_size=PIXEL)
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    assert [f["properties"]["name"] for f in features] == ["focus 1", "cell 5", "cell 12"]
    assert [f["properties"]["objectType"] for f in features] == [
        "annotation", "detection", "detection",
    ]  # fmt: skip
    focus, five, twelve = (shapely.geometry.shape(f["geometry"]) for f in features)
    assert twelve.bounds == (8.0, 2.0, 20.0, 8.0)  # x from 2 µm / 0.25, y from 1 µm / 0.5
    assert focus.equals(shapely.union(five, twelve))
    assert focus.geom_type == "Polygon"
    assert features[0]["properties"]["classification"]["name"] == "cluster"
    assert features[0]["properties"]["measurements"] == {"cells": 2, "area µm²": 18.0}
    assert features[1]["properties"]["measurements"]["focus"] == 1


def test_geojson_of_a_section_without_cells(tmp_path):
    path = write_geojson(
        tmp_path / "s.geojson", cells().iloc[:0], foci().iloc[:0], pixel_size=PIXEL
    )
    assert json.loads(path.read_text()) == {"type": "FeatureCollection", "features": []}


def test_imagej_reads_back_the_same_outlines(tmp_path):
    path = write_imagej(tmp_path / "s.zip", cells(0.3), pixel_size=PIXEL)
    again = write_imagej(tmp_path / "t.zip", cells(0.3), pixel_size=PIXEL)
    assert path.read_bytes() == again.read_bytes()
    rois = roifile.roiread(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["focus00001_cell0000005.roi", "focus00001_cell0000012.roi"]
    for roi, row in zip(rois, (1, 0), strict=True):
        assert roi.roitype == roifile.ROI_TYPE.POLYGON
        expected = PIXEL.to_px(cells(0.3)["outline"][row].reshape(-1, 2))[:, ::-1]
        np.testing.assert_allclose(roi.coordinates(), expected, atol=1e-4)
        assert np.all(roi.integer_coordinates >= 0)
        assert roi.left <= expected[:, 0].min() and roi.right >= expected[:, 0].max()
        assert roi.top <= expected[:, 1].min() and roi.bottom >= expected[:, 1].max()


def test_imagej_refuses_what_it_would_wrap(tmp_path):
    fits = cells((32_767 - 8) * 0.5)
    assert roifile.roiread(write_imagej(tmp_path / "a.zip", fits, pixel_size=PIXEL))[0].bottom == (
        32_767
    )
    with pytest.raises(InputError, match=r"big: cells reach 32768 px.*'geojson'"):
        write_imagej(tmp_path / "big.zip", cells((32_768 - 8) * 0.5), pixel_size=PIXEL)
    assert not (tmp_path / "big.zip").exists()


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResultsError, match=r"cannot be written.*--out"):
        write_imagej(tmp_path / "file" / "s.zip", cells(), pixel_size=PIXEL)
