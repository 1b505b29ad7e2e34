"""Scale, noise, lattices, block means and slope, each alone."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fociquant.model import Box
from fociquant.prepare import channel_scale, pixel_noise, prepare_section, tissue
from fociquant.prepare.grids import coarser
from fociquant.prepare.overview import level_reduction, make_overview
from fociquant.prepare.sampling import lattice, tissue_tiles
from fociquant.prepare.slope import TissueSquares, autofluorescence_slope, pigment_slope
from fociquant.prepare.unscanned import without_mixed
from fociquant.settings import PrepareSettings
from fociquant.units import PixelSize


class Array:
    """A level that says how it is chunked, as lazy arrays do."""

    def __init__(self, data, chunk=None):
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        if chunk:
            self.chunksize = (1, *chunk)


class Reader:
    def __init__(self, *levels):
        self.levels = levels

    def read(self, box, channels, level=0):
        return self.levels[level].data[(slice(None), *box.slices)][list(channels)]


@given(
    arrays(
        np.float32,
        st.integers(0, 50),
        elements=st.floats(width=32, min_value=-1e6, max_value=1e6) | st.just(np.nan),
    ),
    st.floats(0, 1000),
)
def test_scale_is_always_usable(samples, noise):
    low, high = channel_scale(samples, noise=noise)
    assert np.isfinite([low, high]).all()
    assert high > low
    if np.isfinite(samples).any():
        assert high >= low + 20 * noise


def test_scale_of_whole_counts_spans_at_least_one():
    assert channel_scale(np.full(9, 7, np.uint16), noise=0.0) == (7.0, 8.0)


def test_scale_of_an_empty_field_does_not_stretch_its_noise():
    field = np.random.default_rng(0).normal(100, 5, (256, 256))
    low, high = channel_scale(field, noise=pixel_noise(field))
    assert high - low == pytest.approx(100, rel=0.05)


def test_five_cells_do_not_move_the_scale():
    field = np.random.default_rng(0).normal(100, 5, (2048, 2048))
    empty = channel_scale(field, noise=5.0)
    for k in range(5):
        field[400 * k : 400 * k + 20, 100:120] = 3000
    assert channel_scale(field, noise=5.0) == pytest.approx(empty, rel=1e-3)


@pytest.mark.parametrize("sigma", [0.8, 5.0, 40.0])
def test_noise_is_found_under_structure(sigma):
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:256, :256]
    scene = 300 + y + 200 * ((y // 64 + x // 64) % 2) + rng.normal(0, sigma, y.shape)
    assert pixel_noise(np.round(scene).astype(np.uint16)) == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize("tile", [np.zeros((2, 5)), np.zeros((0, 0)), np.full((9, 9), np.nan)])
def test_noise_where_there_is_nothing_to_measure(tile):
    assert pixel_noise(tile) == 0.0
    assert pixel_noise([]) == 0.0


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 70))
def test_lattice_lies_in_the_image_without_overlap(height, width, n):
    boxes = lattice((height, width), n)
    whole = Box(0, 0, height, width)
    assert 1 <= len(set(boxes)) == len(boxes) <= n
    assert all(whole.contains(box) and box.area for box in boxes)
    assert sum(box.area for box in boxes) <= whole.area
    if -(-height // 256) * -(-width // 256) <= n:
        assert sum(box.area for box in boxes) == whole.area


def test_tissue_tiles_lie_in_tissue_and_all_over_it():
    mask = np.zeros((400, 400), bool)
    mask[:, 200:] = True
    boxes = tissue_tiles(mask, 16, (6400, 6400), 40)
    assert len(boxes) == 40
    assert all(box.x0 >= 3200 - 128 for box in boxes)
    assert np.ptp([box.y0 for box in boxes]) > 5000
    assert tissue_tiles(np.zeros((400, 400), bool), 16, (6400, 6400), 40) == []
    assert tissue_tiles(mask, 16, (6400, 6400), 0) == []


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 17),
    st.integers(1, 17),
)
@settings(max_examples=60, deadline=None)
def test_block_means_do_not_depend_on_the_chunks(height, width, factor, chunk_y, chunk_x):
    data = np.random.default_rng(height * 41 + width).integers(0, 65535, (2, height, width))
    data = data.astype(np.uint16)
    found = make_overview(Reader(Array(data, (chunk_y, chunk_x))), [1, 0], factor)
    rows, columns = -(-height // factor), -(-width // factor)
    expected = [
        [
            [
                data[c, r * factor : (r + 1) * factor, k * factor : (k + 1) * factor].mean()
                for k in range(columns)
            ]
            for r in range(rows)
        ]
        for c in (1, 0)
    ]
    np.testing.assert_array_equal(found.image, np.array(expected, np.float32))
    assert (found.factor, found.level, found.not_finite) == (factor, 0, 0)


def test_block_means_leave_out_what_is_not_finite():
    data = np.ones((2, 8, 8), np.float32)
    data[0, :4, :4] = np.nan  # one channel only: what the rest of it has
    data[:, 4:, :4] = np.nan  # both: never scanned
    data[0, 0, 5] = -np.inf
    found = make_overview(Reader(Array(data)), [0, 1], 4)
    np.testing.assert_array_equal(found.image, [[[1, 1], [0, 1]]] * 2)
    assert found.not_finite == 16 + 32 + 1


def zeros_beside_light(*, glass, noise=2.0):
    """An overview of squares of 4 px of two channels: a quarter is 0, the border cuts squares."""
    rng = np.random.default_rng(4)
    image = glass + rng.normal(0, noise, (2, 400, 400))
    image[:, 250:, 100:] += 40
    image = image.round().clip(0).astype(np.uint16)
    image[:, :202] = 0
    tiles = [[plane[150:300, 100:300]] for plane in image]
    return make_overview(Reader(Array(image)), [0, 1], 4), tiles


def test_no_pixel_of_the_overview_mixes_scanned_and_unscanned():
    overview, tiles = zeros_beside_light(glass=100.0)
    assert overview.image[:, 50].max() < 60  # half of them is zeros
    found = without_mixed(overview, tiles, [2.0, 2.0], PixelSize.square(2.0))
    assert found.unscanned[:50].all() and not found.unscanned[50:].any()
    assert not found.image[:, :50].any()
    np.testing.assert_allclose(found.image[:, 50], 100, atol=1)
    np.testing.assert_array_equal(found.image[:, 51:], overview.image[:, 51:])
    halved = coarser(found, 3, (400, 400))
    assert halved.unscanned[:16].all() and not halved.unscanned[16:].any()
    np.testing.assert_allclose(halved.image[:, 16:20], 100, atol=1)


@pytest.mark.parametrize(
    ("glass", "noise", "pixel_um"),
    [
        (0.0, 2.0, 2.0),  # glass is 0 itself
        (5.0, 2.0, 2.0),  # and where it is not quite
        (100.0, 2.0, 0.1),  # a part smaller than any camera field
    ],
)
def test_zeros_that_may_be_dark_pixels_stay(glass, noise, pixel_um):
    overview, tiles = zeros_beside_light(glass=glass, noise=noise)
    found = without_mixed(overview, tiles, [noise, noise], PixelSize.square(pixel_um))
    assert found is overview


@pytest.mark.parametrize(
    ("reduced", "expected"),
    [((500, 400), 2), ((501, 400), 2), ((63, 50), 16), ((700, 560), None), ((500, 200), None)],
)
def test_reduction_of_a_level(reduced, expected):
    levels = Array(np.zeros((1, 1001, 800))), Array(np.zeros((1, *reduced)))
    assert level_reduction(Reader(*levels), 1) == expected


def slope_of(marker, autofluorescence, tissue):
    return autofluorescence_slope(TissueSquares.of(marker, autofluorescence, tissue))


def test_slope_of_a_line_under_noise_and_labelled_cells():
    rng = np.random.default_rng(2)
    af = np.kron(rng.gamma(2.0, 100.0, (64, 64)), np.ones((4, 4)))
    marker = 30 + 0.7 * af + rng.normal(0, 20, af.shape)
    marker[:60, :60] += 4000
    everywhere = [np.ones(af.shape, bool)]
    assert slope_of([marker], [af], everywhere) == pytest.approx(0.7, rel=0.03)
    assert slope_of([500 - marker], [af], everywhere) == 0.0
    assert slope_of([marker], [np.ones_like(af)], everywhere) == 0.0
    assert slope_of([marker], [af], [~everywhere[0]]) == 0.0
    assert slope_of([], [], []) == 0.0


def test_slope_is_that_of_tissue_whatever_the_colour_of_pigment_and_red_cells():
    rng = np.random.default_rng(3)
    af = np.kron(rng.gamma(9.0, 20.0, (64, 64)), np.ones((4, 4)))
    marker = 30 + 1.2 * af + rng.normal(0, 20, af.shape)
    everywhere = [np.ones(af.shape, bool)]
    for slope, rows in itertools.product((0.2, 1.2, 4.0), (40, 88)):
        pigment = np.zeros(af.shape, bool)
        pigment[:rows, :64] = True  # 4 and 9 %
        glowing = np.where(pigment, 5 * af + 300, af)
        found = slope_of([np.where(pigment, slope * glowing, marker)], [glowing], everywhere)
        assert found == pytest.approx(1.2, rel=0.05)


def test_the_colour_of_pigment_is_that_of_what_glows_most():
    rng = np.random.default_rng(5)
    af = 100 + np.kron(rng.gamma(9.0, 20.0, (64, 64)), np.ones((4, 4)))
    marker = 50 + 0.2 * (af - 100)
    everywhere = [np.ones(af.shape, bool)]
    pigment = np.zeros(af.shape, bool)
    pigment[:20, :20] = True  # 0.6 %
    glowing = np.where(pigment, 3000.0, af)
    stained = np.where(pigment, 50 + 0.6 * 2900.0, marker)
    found = pigment_slope(TissueSquares.of([stained], [glowing], everywhere), ground=(50.0, 100.0))
    assert found == pytest.approx(0.6)
    plain = pigment_slope(TissueSquares.of([marker], [af], everywhere), ground=(50.0, 100.0))
    assert plain == pytest.approx(0.2)
    for nothing in (([marker], [af], [~everywhere[0]]), ([], [], [])):
        assert pigment_slope(TissueSquares.of(*nothing), ground=(0.0, 0.0)) == 0.0


class Endless:
    """A section too large for memory, made while it is read: a disc of striped tissue."""

    class Level:
        dtype = np.dtype(np.uint16)
        chunksize = (1, 2048, 2048)

        def __init__(self, side):
            self.shape = (2, side, side)

    def __init__(self, side):
        self.side, self.levels = side, (self.Level(side),)

    def read(self, box, channels, level=0):
        y = np.arange(box.y0, box.y1, dtype=np.float32)[:, None] - self.side / 2
        x = np.arange(box.x0, box.x1, dtype=np.float32)[None] - self.side / 2
        inside = y * y + x * x < (self.side / 3) ** 2
        stripes = ((y % 40 < 20) * np.uint16(150) + np.uint16(100)).astype(np.uint16)
        plane = inside * stripes + np.uint16(100) + ((y * 7 + x * 13) % 11).astype(np.uint16)
        return np.broadcast_to(plane, (len(channels), *plane.shape))


def test_memory_does_not_grow_with_the_section():
    side = 8192
    tracemalloc.start()
    found = prepare_section(
        Endless(side),
        {"marker": 0, "autofluorescence": 1},
        PixelSize.square(0.325),
        PrepareSettings(scale_sample_tiles=16),
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6  # the section is 268 MB
    truth = np.pi * (side / 3 * 0.325) ** 2 * 1e-6
    assert found.facts.tissue_mm2 == pytest.approx(truth, rel=0.02)


@pytest.mark.parametrize("size", [1, 7, 30_000])
@pytest.mark.parametrize("kind", ["spread", "steps", "constant"])
def test_counts_of_many_values_are_those_of_one_histogram(monkeypatch, size, kind):
    rng = np.random.default_rng(size)
    values = {
        "spread": rng.normal(size=size),
        "steps": np.round(rng.normal(size=size), 1),
        "constant": np.full(size, 3.7),
    }[kind]
    monkeypatch.setattr(tissue, "HISTOGRAM_VALUES", 1000)
    for found, expected in zip(
        tissue._histogram(values), np.histogram(values, bins=256), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
