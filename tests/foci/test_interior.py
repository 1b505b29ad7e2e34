"""The short cut through packed foci gives the area that joining every cell gives."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.foci import _area, _interior
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
