"""What saves memory changes no bit: bands of rows, planes as stored, whole counts, tiles let go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.io import open_image, write_ome_tiff
from fociquant.io import section as image_section
from fociquant.model import Box
from fociquant.prepare import detail, prepare_section
from fociquant.prepare.detail import Levels, look_closely
from fociquant.prepare.overview import make_overview
from fociquant.prepare.scale import channel_scale, channel_stats
from fociquant.prepare.sums import Sums
from fociquant.settings import PrepareSettings
from fociquant.units import PixelSize


class Reader:
    def __init__(self, *levels):
        self.levels = levels

    def read(self, box, channels, level=0):
        return self.levels[level][(slice(None), *box.slices)][list(channels)]


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    st.sampled_from([(1, 1), (2, 8), (3, 8), (2, 5)]),
    st.integers(1, 40),
    st.integers(0, 99),
)
def test_sums_of_bands_are_those_of_the_place(shape, corner, pixels, rows, seed):
    (pixel, factor), (y, x) = pixels, corner
    plane = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    sums = Sums(np.ones((80, 80), bool), ["a"], pixel, factor)
    groups = sums.groups(Box(y, x, y + shape[0], x + shape[1]))
    bands = list(groups.bands(rows))
    (whole,) = groups.bands(shape[0])
    assert [row for band in bands for row in range(*band.rows.indices(shape[0]))] == list(
        range(shape[0])
    )
    parts = [groups.sums(plane[band.rows], band) for band in bands]
    np.testing.assert_array_equal(np.concatenate(parts), groups.sums(plane, whole))
    expected = np.zeros((80, 80))
    at = [
        (np.arange(size) + start) * pixel + pixel // 2
        for size, start in zip(shape, corner, strict=True)
    ]
    np.add.at(expected, np.ix_(at[0] // factor, at[1] // factor), plane)
    np.testing.assert_allclose(groups.sums(plane, whole), expected[np.ix_(groups.y, groups.x)])


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_detail_does_not_depend_on_the_rows_looked_at_at_once(monkeypatch, dtype):
    rng = np.random.default_rng(5)
    image = rng.gamma(2.0, 120.0, (2, 331, 270)).astype(dtype)
    wanted = np.zeros((84, 68), bool)
    wanted[3:80, 5:] = True

    def found():
        return look_closely(
            Reader(image), {"marker": 0, "nucleus": 1}, {"marker": Levels(150.0, 400.0)},
            pixel_size=PixelSize.square(2.0), wanted=wanted, factor=4,
        )  # fmt: skip

    one = found()
    for rows in (1, 50, 10_000):
        monkeypatch.setattr(detail, "BAND_ROWS", rows)
        other = found()
        np.testing.assert_array_equal(other.cover, one.cover)
        for role in ("marker", "nucleus"):
            np.testing.assert_array_equal(other.fine[role], one.fine[role])
            np.testing.assert_array_equal(other.coarse[role], one.coarse[role])
    assert 0 < one.cover.mean() < 1


def test_an_overview_that_is_a_level_stays_as_small_as_that():
    image = np.random.default_rng(0).integers(0, 65535, (2, 30, 40), np.uint16)
    overview = make_overview(Reader(image), [0, 1], 1)
    planes = overview.planes(["marker", "nucleus"])
    assert overview.image.dtype == np.uint16
    assert list(planes) == ["marker", "nucleus"]
    assert planes["nucleus"].dtype == np.float32
    np.testing.assert_array_equal(planes["nucleus"], image[1])
    assert make_overview(Reader(image), [0], 4).image.dtype == np.float32


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.sampled_from(["uint8", "uint16", "uint32", "int16"]))
def test_statistics_of_counts_are_those_in_double_precision(seed, dtype):
    rng = np.random.default_rng(seed)
    tiles = [rng.gamma(2.0, 40.0, (33, 20)).clip(0, 120).astype(dtype) for _ in range(2)]
    masks = [rng.random((33, 20)) < share for share in (0.3, 0.0)]
    counts = channel_stats(tiles, masks, np.dtype(dtype))
    doubles = channel_stats([tile.astype(np.float64) for tile in tiles], masks, np.dtype(dtype))
    assert counts == doubles
    assert channel_scale(tiles[0], noise=1.0) == channel_scale(tiles[0].astype(float), noise=1.0)


def test_tiles_of_a_pass_are_let_go_where_few_of_them_are_kept_anyway(tmp_path, monkeypatch):
    pixels = np.random.default_rng(1).integers(0, 900, (1, 64, 64), np.uint16)
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(
        path, pixels, channel_names=["HER2"], pixel_size=PixelSize.square(0.5), tile_px=32
    )
    with open_image(path) as image:
        image.read(Box(0, 0, 8, 8), [0])
        image.forget_tiles()
        assert image._cache.get((0, 0, 0, 0)) is not None
        monkeypatch.setattr(image_section, "CACHE_BYTES", 5000)
        image.forget_tiles()
        assert image._cache.get((0, 0, 0, 0)) is None
        np.testing.assert_array_equal(image.read(Box(0, 0, 8, 8), [0])[0], pixels[0, :8, :8])


def test_preparing_says_when_a_pass_has_ended():
    image = np.random.default_rng(2).poisson(200, (2, 256, 256)).astype(np.uint16)
    passes = []
    roles, pixel = {"marker": 0, "nucleus": 1}, PixelSize.square(0.5)
    told = prepare_section(
        Reader(image), roles, pixel, PrepareSettings(), forget=lambda: passes.append(1)
    )
    assert len(passes) >= 2
    silent = prepare_section(Reader(image), roles, pixel, PrepareSettings())
    assert told.facts.stats == silent.facts.stats
