"""Short cuts to areas: packed foci are not joined cell by cell, bounds hold the exact area."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.foci import _area, _interior, _raster
from fociquant.foci._link import link
from fociquant.foci._outlines import read_outlines


def blobs(centres, radius, seed):
    """Uneven outlines of 14 points round these centres."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    reach = radius * (1 + 0.08 * rng.standard_normal((len(centres), 14)))
    points = centres[:, None] + np.stack([np.sin(angle), np.cos(angle)], 1) * reach[..., None]
    return read_outlines(list(points.reshape(len(points), -1)), cells=np.arange(len(points)))


def scene(seed, n, spacing, radius):
    """Cells of a jittered lattice with some torn out, so that there are holes and bays."""
    rng = np.random.default_rng(seed)
    side = int(np.sqrt(n)) + 1
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * spacing
    centres = grid[:n] + rng.normal(0, 0.12 * spacing, (n, 2))
    hole = np.hypot(*(centres - centres.mean(axis=0)).T) < rng.uniform(0, 0.35) * side * spacing
    return blobs(centres[~hole & (rng.random(n) > 0.08)], radius, seed)


def both(outlines, link_um, monkeypatch):
    focus = link(outlines, link_um=link_um)
    quick = _area.focus_areas(outlines, focus, link_um=link_um)
    monkeypatch.setattr(_interior, "LEAST_CELLS", 10**9)
    return quick, _area.focus_areas(outlines, focus, link_um=link_um), focus


@given(
    st.integers(0, 10_000), st.integers(30, 250), st.floats(9, 24), st.floats(3, 8),
    st.sampled_from([5.0, 20.0, 40.0]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_the_area_is_that_of_all_cells_joined(seed, n, spacing, radius, link_um):
    outlines = scene(seed, n, spacing, radius)
    with pytest.MonkeyPatch.context() as patch:
        quick, slow, _ = both(outlines, link_um, patch)
    np.testing.assert_allclose(quick, slow, rtol=2e-4, atol=0.02)


def test_the_inside_of_a_packed_focus_is_not_looked_at():
    outlines = scene(3, 900, 12.0, 6.0)
    rows, focus = np.arange(len(outlines)), np.zeros(len(outlines), np.int64)
    inside, fills, owner = _interior.inside_of(outlines, rows, focus, 10.0)
    assert inside.mean() > 0.3 and owner.tolist() == [0]
    assert shapely.contains(fills[0], outlines.polygons(rows[inside])).all()


def test_cells_on_a_line_or_of_no_area_have_no_inside():
    line = blobs(np.column_stack([np.arange(40) * 11.0, np.zeros(40)]), 5.0, 0)
    points = blobs(np.column_stack([np.arange(40), np.zeros(40)]), 0.0, 0)
    for outlines in (line, points):
        rows, focus = np.arange(40), np.zeros(40, np.int64)
        inside, fills, _ = _interior.inside_of(outlines, rows, focus, 10.0)
        assert not inside.any() or len(fills)


CORNERS = 0.005
"""Circles with corners change an area by less than this part of it."""


@given(
    st.integers(0, 10_000), st.integers(20, 150), st.floats(6, 24), st.floats(0.5, 8),
    st.sampled_from([0.0, 5.0, 20.0, 40.0]), st.sampled_from([0.5, 1.0, 3.0]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_the_area_is_between_its_bounds(seed, n, spacing, radius, link_um, pixel_um):
    outlines = scene(seed, n, spacing, radius)
    focus = link(outlines, link_um=link_um)
    exact = _area.focus_areas(outlines, focus, link_um=link_um)
    every = np.ones(len(exact), bool)
    least, most = _raster.area_bounds(
        outlines, focus, link_um=link_um, chosen=every, pixel_um=pixel_um
    )
    assert (least * (1 - CORNERS) <= exact + 0.01).all()
    assert (exact <= most * (1 + CORNERS) + 0.01).all()


def test_the_bounds_of_a_packed_focus_are_a_few_pixels_times_its_circumference_apart():
    outlines = scene(3, 400, 12.0, 6.0)
    focus = np.zeros(len(outlines), np.int64)
    (shape,) = _area.focus_shapes(outlines, focus, link_um=20.0)
    for pixel_um in (1.0, 0.5):
        least, most = _raster.area_bounds(
            outlines, focus, link_um=20.0, chosen=np.array([True]), pixel_um=pixel_um
        )
        assert 0.75 * shape.area < least[0] < shape.area < most[0] < 1.25 * shape.area
        assert most[0] - least[0] < 7 * pixel_um * shape.length


def test_a_large_focus_is_drawn_with_larger_pixels(monkeypatch):
    outlines = scene(3, 400, 12.0, 6.0)
    focus = np.zeros(len(outlines), np.int64)
    exact = _area.focus_areas(outlines, focus, link_um=20.0)
    chosen = np.array([True])
    fine = _raster.area_bounds(outlines, focus, link_um=20.0, chosen=chosen, pixel_um=0.5)
    monkeypatch.setattr(_raster, "MOST_PIXELS", 5_000)
    least, most = _raster.area_bounds(outlines, focus, link_um=20.0, chosen=chosen, pixel_um=0.5)
    assert least < fine[0] < exact < fine[1] < most


def test_what_was_not_asked_for_or_had_to_be_repaired_has_no_bounds():
    bow_tie = np.array([0, 0, 10, 10, 0, 10, 10, 0], np.float32)
    square = np.array([0, 50, 10, 50, 10, 60, 0, 60], np.float32)
    outlines = read_outlines([bow_tie, square, square + 100], cells=np.arange(3))
    least, most = _raster.area_bounds(
        outlines, np.arange(3), link_um=5.0, chosen=np.array([True, True, False]), pixel_um=0.5
    )
    assert least[[0, 2]].tolist() == [0, 0] and np.isinf(most[[0, 2]]).all()
    assert 40 < least[1] < 100 < most[1] < 170
