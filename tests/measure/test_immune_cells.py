"""Nuclei with an immune marker: found, split, and told from their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from fociquant.measure.immune import find_immune_cells, reach_px, reduced, work_factor
from fociquant.model import ChannelStats
from fociquant.settings import ImmuneSettings

SETTINGS = ImmuneSettings()
STATS = ChannelStats(low=50, high=1050, background=100, spread=20, noise=10, saturation=65535)


def drawn(nuclei, carriers, *, shape=(160, 160), seed=0, haze=0.0):
    """Nuclei of 6.5 µm and rims of 8.5 µm on noise, 1 µm per pixel."""
    y, x = np.indices(shape) + 0.5
    rng = np.random.default_rng(seed)
    planes = [100.0 + rng.normal(0, 10, shape) for _ in range(2)]
    for cy, cx in nuclei:
        planes[0] += 600.0 * (np.hypot(y - cy, x - cx) < 3.25)
    rim = np.zeros(shape)
    for cy, cx in carriers:
        away = np.hypot(y - cy, x - cx)
        rim = np.maximum(rim, 500.0 * ((away > 3.0) & (away < 5.0)))
    return planes[0].astype(np.float32), (planes[1] + rim + haze).astype(np.float32)


def found(nucleus, marker, stats=STATS):
    table = find_immune_cells(
        nucleus, {"CD8": marker}, pixel_um=1.0, stats={"nucleus": stats, "CD8": stats},
        settings=SETTINGS,
    )  # fmt: skip
    return table[["y_px", "x_px"]].to_numpy()


def test_each_nucleus_with_a_rim_is_found_once_at_its_place():
    places = [(20.5, 30.5), (60.5, 80.5), (120.5, 40.5), (130.5, 140.5)]
    bare = [(40.5, 120.5), (90.5, 20.5)]
    cells = found(*drawn(places + bare, places))
    assert len(cells) == 4
    assert np.abs(cells - np.array(places)).max() < 1.0


def test_a_rim_without_a_nucleus_is_no_cell():
    assert len(found(*drawn([], [(50.0, 50.0)]))) == 0


def test_the_neighbour_of_a_positive_cell_is_not_positive():
    around = [(80 + 8.5 * np.sin(a), 80 + 8.5 * np.cos(a)) for a in np.arange(6) * np.pi / 3]
    cells = found(*drawn([(80, 80), *around], [(80, 80)]))
    assert len(cells) == 1
    assert np.hypot(*(cells[0] - 80)) < 1.5


def test_a_crowd_of_immune_cells_is_counted_cell_by_cell():
    places = [(40.0 + 9 * i, 40.0 + 9 * j) for i in range(8) for j in range(8)]
    assert len(found(*drawn(places, places))) == 64


def test_a_bright_haze_over_many_nuclei_is_no_marker():
    rng = np.random.default_rng(3)
    places = rng.uniform(10, 150, (60, 2))
    assert len(found(*drawn(places, [], haze=400.0))) == 0


def test_an_empty_image_has_none():
    flat = np.full((50, 50), 100.0, np.float32)
    assert len(found(flat, flat)) == 0
    assert len(found(np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32))) == 0


def test_a_window_with_enough_around_it_finds_what_the_whole_finds():
    rng = np.random.default_rng(5)
    places = rng.uniform(0, 200, (150, 2))
    nucleus, marker = drawn(places, places[::2], shape=(200, 200))
    whole = found(nucleus, marker)
    halo = reach_px(SETTINGS, 1.0)
    y0, x0, y1, x1 = 60, 50, 130, 140
    cut = (slice(y0 - halo, y1 + halo), slice(x0 - halo, x1 + halo))
    window = found(nucleus[cut], marker[cut]) + np.array([y0 - halo, x0 - halo])

    def inside(cells):
        own = (cells >= (y0, x0)).all(1) & (cells < (y1, x1)).all(1)
        return cells[own]

    assert len(inside(whole)) > 5
    np.testing.assert_array_equal(inside(window), inside(whole))


@pytest.mark.parametrize(("pixel", "factor"), [(0.325, 3), (0.5, 2), (0.65, 1), (1.0, 1), (2.0, 1)])
def test_pixels_are_averaged_to_one_micrometre_at_most(pixel, factor):
    assert work_factor(pixel) == factor


def test_means_leave_out_pixels_without_a_value():
    plane = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    plane[0, 0, 0] = np.nan
    assert reduced(plane, 2)[0, 0, 0] == pytest.approx((1 + 4 + 5) / 3)
    assert reduced(np.full((1, 2, 2), np.nan, np.float32), 2).tolist() == [[[0.0]]]
