"""Geometry of a review: areas of regions, fields, and finding an object again."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.errors import InputError
from fociquant.review import CellRef, area_within, check_region, tissue_fields
from fociquant.review.match import Candidates
from fociquant.review.regions import from_mask
from fociquant.settings import ReviewSettings
from fociquant.units import PixelSize

PIXEL = PixelSize(8.0, 10.0)


def disc(y, x, radius=6.0):
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.column_stack([y + radius * np.sin(turn), x + radius * np.cos(turn)]).ravel()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_area_is_that_of_the_union_of_pixels_cut_by_the_region(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((12, 9)) < 0.6
    angle = np.sort(rng.uniform(0, 2 * np.pi, 7))
    radius = rng.uniform(10, 60, 7)
    ring = np.column_stack([50 + radius * np.sin(angle), 45 + radius * np.cos(angle)])
    shape = check_region(ring, repair=True).geometry
    extent = (90.0, 85.5)
    pixels = shapely.union_all([
        shapely.box(x * 10.0, y * 8.0, min(x * 10.0 + 10, extent[1]), min(y * 8.0 + 8, extent[0]))
        for y, x in np.argwhere(mask)
    ])  # fmt: skip
    expected = shapely.area(shapely.intersection(pixels, shape)) / 1e6
    found = area_within(shape, mask, PIXEL, extent_um=extent)
    assert found == pytest.approx(expected, abs=1e-12)


def test_area_of_nothing_and_of_everything():
    mask = np.ones((5, 5), bool)
    assert area_within(shapely.Polygon(), mask, PIXEL) == 0
    assert area_within(shapely.box(900, 900, 990, 990), mask, PIXEL) == 0
    assert area_within(shapely.box(-9, -9, 990, 990), mask, PIXEL) == pytest.approx(25 * 80 / 1e6)


def test_a_loop_that_laps_itself_takes_all_inside_the_line():
    ring = np.array([(0, 0), (0, 10), (10, 10), (10, 2), (4, 2), (4, 12), (12, 12), (12, 0)])
    with pytest.raises(InputError, match="crosses itself"):
        check_region(ring * 10.0)
    region = check_region(ring * 10.0, repair=True)
    assert region.note and all(shapely.is_valid(shapely.Polygon(r)) for r in region.rings)
    assert region.area_um2 > 0 and shapely.get_num_geometries(region.geometry) == len(region.rings)


def test_a_closed_ring_and_doubled_points_are_taken_as_meant():
    ring = np.array([(0, 0), (0, 0), (0, 10), (10, 10), (0, 0)])
    assert check_region(ring).area_um2 == 50 and len(check_region(ring).rings[0]) == 3


@pytest.mark.parametrize("points", [[], [(1, 1)], [(0, 0), (5, 5), (10, 10)], [[1, 2, 3]], "abc"])
def test_what_encloses_nothing_is_refused(points):
    with pytest.raises((InputError, ValueError)):
        check_region(points)


def test_fields_hold_all_tissue():
    outline = np.zeros((100, 80), bool)
    outline[10:90, 5:70] = True
    fields = tissue_fields(outline, PIXEL, field_um=200.0, excluded=shapely.Polygon(),
                           extent_um=(800.0, 800.0))  # fmt: skip
    assert fields["area_mm2"].sum() == pytest.approx(outline.sum() * 80 / 1e6)
    assert (fields["y1_um"] <= 800).all() and len(fields) == 16
    hole = shapely.box(0, 0, 400, 400)
    fewer = tissue_fields(outline, PIXEL, field_um=200.0, excluded=hole, extent_um=(800.0, 800.0))
    lost = area_within(hole, outline, PIXEL)
    assert fewer["area_mm2"].sum() == pytest.approx(fields["area_mm2"].sum() - lost)
    none = tissue_fields(outline & False, PIXEL, field_um=200.0, excluded=hole,
                         extent_um=(800.0, 800.0))  # fmt: skip
    assert len(none) == 0


def candidates(places, radius=6.0, results="new"):
    places = np.asarray(places, float).reshape(-1, 2)
    return Candidates(
        np.arange(1, len(places) + 1), places[:, 0], places[:, 1],
        [disc(y, x, radius) for y, x in places], results=results, settings=ReviewSettings(),
    )  # fmt: skip


def ref(y, x, radius=6.0, cell=1, results="old"):
    return CellRef(y, x, tuple(disc(y, x, radius)), cell, results)


def test_a_number_is_believed_only_with_its_results_and_place():
    here = candidates([(50, 50), (100, 100)])
    assert here.find([ref(50, 50, results="new")]).how[0] == "same"
    moved = here.find([ref(100, 100, cell=1, results="new")])
    assert (moved.row[0], moved.how[0]) == (1, "outline")
    assert here.find([ref(50, 50)]).how[0] == "outline"


def test_outlines_find_their_object_again():
    here = candidates([(50, 50), (70, 50)])
    assert here.find([ref(51, 50.5)]).row.tolist() == [0]
    assert here.find([ref(50, 50, radius=4.0)]).how.tolist() == ["place"], "much smaller, in place"
    assert here.find([ref(50, 50, radius=2.0)]).row.tolist() == [-1], "a speck in it is not it"
    assert here.find([ref(59, 50)]).row.tolist() == [-1]
    assert here.find([ref(500, 500)]).row.tolist() == [-1]


def test_two_objects_in_one_place_now_give_it_to_the_better_or_to_none():
    here = candidates([(50, 50)], radius=8.0)
    found = here.find([ref(50, 50, radius=7.0, cell=1), ref(53, 50, radius=6.0, cell=2)])
    assert found.row.tolist() == [0, 0], "these two are one object, seen twice"
    found = here.find([ref(50, 50, radius=7.5, cell=1), ref(50, 58, radius=6.0, cell=2)])
    assert found.row.tolist() == [0, -1]


def test_a_place_without_outline_needs_exactly_one_outline_round_it():
    here = candidates([(50, 50), (50, 58)])
    bare = [CellRef(50, 46), CellRef(50, 54), CellRef(90, 90)]
    assert here.find(bare).row.tolist() == [0, -1, -1]


def test_no_candidates_and_no_references():
    assert candidates([]).find([ref(1, 1)]).row.tolist() == [-1]
    assert candidates([(1, 1)]).find([]).row.tolist() == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 120))
def test_after_a_shift_every_cell_is_itself_again(seed, number):
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(number)))
    places = np.array([(20.0 * (i // side), 20.0 * (i % side)) for i in range(number)])
    order = rng.permutation(number)
    here = candidates(places[order] + rng.uniform(-1, 1, (number, 2)))
    found = here.find([ref(y, x, cell=i + 1) for i, (y, x) in enumerate(places)])
    assert (order[found.row] == np.arange(number)).all()


def test_a_mask_as_a_region_covers_its_pixels_and_no_others():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:4] = True
    mask[2, 2] = False
    mask[3, 4] = True
    found = from_mask(mask, PixelSize(2.0, 3.0))
    assert found.area == pytest.approx(mask.sum() * 6.0)
    assert shapely.bounds(found).tolist() == [3.0, 2.0, 15.0, 8.0]
    rows, columns = np.indices(mask.shape)
    inside_um = shapely.contains_xy(found, (columns + 0.5) * 3.0, (rows + 0.5) * 2.0)
    assert np.array_equal(inside_um, mask)
    assert shapely.is_empty(from_mask(np.zeros((2, 2), bool), PixelSize(2.0, 3.0)))
