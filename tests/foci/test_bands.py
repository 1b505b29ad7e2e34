"""Bands around foci: areas against what geometry says, places against the same grid."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.foci import Tissue, focus_bands
from fociquant.foci import _bands as module
from fociquant.units import PixelSize

OVERVIEW = PixelSize.square(8.0)
NOTHING = shapely.Polygon()


def tissue(height=800.0, width=800.0, *, mask=None, excluded=NOTHING):
    full = np.ones((int(np.ceil(height / 8)), int(np.ceil(width / 8))), bool)
    return Tissue(full if mask is None else mask, OVERVIEW, (height, width), excluded)


def bands(shapes, where=None, *, kinds=None, places=(), band_um=20.0, number=5, of=1):
    return focus_bands(
        np.array(shapes, dtype=object), np.array(kinds or [0] * len(shapes), np.int64),
        where or tissue(), number_of_kinds=of, band_um=band_um, bands=number,
        places=np.array(places, float).reshape(-1, 2),
    )  # fmt: skip


def disc(y, x, radius):
    return shapely.Point(x, y).buffer(radius, quad_segs=32)


def test_bands_of_a_disc_are_rings():
    found = bands([disc(400, 400, 30.0)])
    edges = 30.0 + 20.0 * np.arange(6)
    expected = np.pi * np.diff(edges**2) / 1e6
    np.testing.assert_allclose(found.area_mm2[0], expected, rtol=0.02)
    assert found.foci_mm2 == pytest.approx(np.pi * 30**2 / 1e6, rel=0.02)


def test_bands_end_at_the_tissue_the_image_and_what_was_excluded():
    half = np.ones((100, 100), bool)
    half[:, :50] = False
    whole = bands([disc(400, 400, 30.0)]).area_mm2
    for where in (
        tissue(mask=half),
        tissue(excluded=shapely.box(0, 0, 400, 800)),
        tissue(mask=half, excluded=shapely.box(0, 0, 390, 800)),
    ):
        found = bands([disc(400, 400, 30.0)], where).area_mm2
        np.testing.assert_allclose(found, whole / 2, rtol=0.03)
    corner = bands([disc(0, 0, 30.0)]).area_mm2
    np.testing.assert_allclose(corner, whole / 4, rtol=0.03)


def test_a_place_is_told_by_its_distance_from_the_edge():
    places = [(400, 400), (400, 435), (400, 455), (400, 529), (400, 535), (900, 400)]
    found = bands([disc(400, 400, 30.0)], places=places)
    assert found.band.tolist() == [-1, 0, 1, 4, 5, -1]
    assert found.kind.tolist() == [-1, 0, 0, 0, -1, -1]


def test_what_lies_between_two_foci_belongs_to_the_nearer():
    shapes = [disc(400, 300, 20.0), disc(400, 400, 20.0)]
    found = bands(shapes, kinds=[1, 0], of=2, places=[(400, 340), (400, 360)], number=2)
    assert found.kind.tolist() == [1, 0]
    np.testing.assert_allclose(found.area_mm2[0], found.area_mm2[1], rtol=0.03)
    together = shapely.union_all([shape.buffer(40.0) for shape in shapes]).area
    inside = sum(shape.area for shape in shapes)
    assert found.area_mm2.sum() == pytest.approx((together - inside) / 1e6, rel=0.02)


def test_without_foci_all_tissue_is_beyond():
    found = bands([], places=[(10, 10), (900, 10)])
    assert not found.area_mm2.any() and found.foci_mm2 == 0
    assert found.band.tolist() == [5, -1]


def test_a_focus_smaller_than_a_grid_pixel_has_bands_too():
    found = bands([disc(401.0, 401.0, 0.3)])
    assert found.area_mm2[0, 0] == pytest.approx(np.pi * 20**2 / 1e6, rel=0.15)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 600), st.integers(2, 40)), max_size=4),
    st.sampled_from([37, 64, 200]),
    st.integers(0, 2**16),
)
def test_the_size_of_pieces_changes_nothing(spots, piece, seed):
    shapes = [disc(y, x, r) for y, x, r in spots]
    places = np.random.default_rng(seed).uniform(0, 600, (40, 2))
    where = tissue(600.0, 600.0)
    kinds = [k % 2 for k in range(len(shapes))]
    whole = bands(shapes, where, kinds=kinds, of=2, places=places, number=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE_PX", piece)
        parts = bands(shapes, where, kinds=kinds, of=2, places=places, number=3)
    np.testing.assert_allclose(parts.area_mm2.sum(0), whole.area_mm2.sum(0), rtol=1e-12)
    assert parts.foci_mm2 == pytest.approx(whole.foci_mm2, rel=1e-12)
    np.testing.assert_array_equal(parts.band, whole.band)
