"""Counting with an unstained channel: the network sees the same however the work is divided."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.io import write_ome_tiff
from fociquant.model import Box, ChannelStats, Unmixing
from fociquant.run.network_input import NetworkInput
from fociquant.run.plan import read_roles
from fociquant.testing.studies import write_study
from fociquant.tiling import AnalysisGrid
from fociquant.units import PixelSize

SHAPE = (90, 110)
ROLES = {"marker": 2, "nucleus": 0, "autofluorescence": 1}
HOW = Unmixing(slope=1.2, ground=40.0, floor=20.0, low=15.0, high=300.0)


class Image:
    """Three channels in memory."""

    def __init__(self, pixels):
        self.pixels, self.shape = pixels, pixels.shape

    def read(self, box, channels):
        return self.pixels[(slice(None), *box.slices)][list(channels)]


def seen_by_the_network(factor, unmixing=HOW, roles=ROLES):
    image = Image(np.random.default_rng(1).integers(0, 400, (3, *SHAPE)).astype(np.uint16))
    grid = AnalysisGrid(SHAPE, factor, factor)
    stats = {role: ChannelStats(10.0, 350.0, 50.0, 9.0, 5.0, 65535.0) for role in roles}
    read = lambda box, wanted: read_roles(image, grid, roles, box, wanted)  # noqa: E731
    return NetworkInput(read, Box.of_shape(grid.shape), stats, unmixing), grid


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([1.0, 1.7, 0.6]))
def test_any_box_is_cut_from_the_whole(data, factor):
    seen, grid = seen_by_the_network(factor)
    height, width = grid.shape
    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    y1, x1 = data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width))
    box = Box(y0, x0, y1, x1)
    whole = seen(Box.of_shape(grid.shape))
    np.testing.assert_array_equal(seen(box), whole[(slice(None), *box.slices)])


def test_the_scales_are_those_of_what_the_network_gets():
    assert seen_by_the_network(1.0)[0].scales == [(15.0, 300.0), (10.0, 350.0)]
    assert seen_by_the_network(1.0, None)[0].scales == [(10.0, 350.0), (10.0, 350.0)]
    alone, grid = seen_by_the_network(1.0, None, {"marker": 1})
    assert alone.scales == [(10.0, 350.0), None]
    assert not alone(Box.of_shape(grid.shape))[1].any()


@pytest.fixture()
def stained_tissue(tmp_path):
    """A study whose tissue is as bright in the marker as its cells, and says so elsewhere."""
    study = write_study(tmp_path / "s", {"a": 16}, shape=(230, 250))
    path = study.parent / "images" / "s0.ome.tif"
    cells = tifffile.imread(path).astype(np.float64)
    y, x = np.mgrid[: cells.shape[1], : cells.shape[2]]
    light = 700.0 * (1.0 + np.sin(x / 13.0) * np.sin(y / 17.0))
    pixels = np.stack([cells[0] + light, cells[1], light + 100.0]).round().astype(np.uint16)
    write_ome_tiff(path, pixels, channel_names=("HER2", "DAPI", "AF"),
                   pixel_size=PixelSize.square(0.5), tile_px=64)  # fmt: skip
    study.write_text(
        study.read_text(encoding="utf-8").replace("DAPI}", "DAPI, autofluorescence: AF}"),
        encoding="utf-8",
    )
    return study


def test_blocks_and_threads_do_not_show_and_the_tissue_is_gone(
    run, tables, stained_tissue, tmp_path
):
    run(stained_tissue, tmp_path / "one", block_px=64, threads=1)
    run(stained_tissue, tmp_path / "many", block_px=256, threads=3)
    assert tables(tmp_path / "one") == tables(tmp_path / "many")
    found = pd.read_parquet(tmp_path / "one" / "cells.parquet")
    assert int(found["positive"].sum()) == 16
    with stained_tissue.open("a", encoding="utf-8") as file:
        file.write("prepare: {subtract_autofluorescence: false}\n")
    run(stained_tissue, tmp_path / "as_it_is")
    left = pd.read_parquet(tmp_path / "as_it_is" / "cells.parquet")
    assert int(left["positive"].sum()) < 16
