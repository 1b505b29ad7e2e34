"""What is told from points alone is what shapely tells from polygons."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.foci import _area, _link
from fociquant.foci._outlines import Outlines, read_outlines


def outline(rng: np.random.Generator) -> np.ndarray:
    """From round to self-crossing, some with repeated points, spikes or no area."""
    points = int(rng.integers(3, 20))
    angle = np.sort(rng.uniform(0, 2 * np.pi, points))
    if rng.random() < 0.2:
        rng.shuffle(angle)
    radius = rng.choice([0.0, 5.0, 30.0], p=[0.1, 0.7, 0.2]) * rng.uniform(0.3, 1, points)
    yx = rng.uniform(0, 200, 2) + radius[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])
    if rng.random() < 0.3:
        yx = yx[::-1]
    if rng.random() < 0.1:
        yx = np.repeat(yx, 2, axis=0)
    return (np.round(yx * 4) / 4).astype(np.float32).ravel()


def random_outlines(seed: int, n: int) -> tuple[list[np.ndarray], Outlines]:
    rng = np.random.default_rng(seed)
    flat = [outline(rng) for _ in range(n)]
    return flat, read_outlines(flat, cells=np.arange(n))


@given(st.integers(0, 2**32 - 1), st.integers(0, 30))
@settings(deadline=None, max_examples=60)
def test_bounds_areas_and_shapes_are_those_of_repaired_polygons(seed, n):
    flat, outlines = random_outlines(seed, n)
    raw = [shapely.Polygon(one.reshape(-1, 2)[:, ::-1].astype(np.float64)) for one in flat]
    expected = np.array([one if one.is_valid else shapely.make_valid(one) for one in raw], object)
    shapes = outlines.polygons(np.arange(n))
    assert [shape.wkb for shape in shapes] == [shape.wkb for shape in expected]
    np.testing.assert_array_equal(outlines.bounds, shapely.bounds(expected).reshape(-1, 4))
    np.testing.assert_array_equal(outlines.area, shapely.area(expected))
    assert len(outlines) == n


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
@settings(deadline=None, max_examples=60)
def test_circles_lie_inside_and_around(seed, n):
    _, outlines = random_outlines(seed, n)
    shapes, centres = outlines.polygons(np.arange(n)), shapely.points(outlines.centre)
    sure = outlines.inner > 0
    edge = shapely.distance(centres[sure], shapely.boundary(shapes[sure]))
    assert shapely.contains(shapes[sure], centres[sure]).all()
    assert (outlines.inner[sure] <= edge + 1e-9).all()
    assert (outlines.inner[~sure] <= 0).all()
    assert (shapely.hausdorff_distance(centres, shapes) <= outlines.outer + 1e-9).all()
    places = shapely.points(outlines.some_points())
    assert (shapely.distance(places, shapes) == 0).all()


def test_round_cells_need_no_polygon():
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = 6 * np.column_stack([np.sin(angle), np.cos(angle)])
    outlines = read_outlines([(ring + 100).astype(np.float32).ravel()], cells=np.array([1]))
    assert outlines.inner[0] == pytest.approx(6 * np.cos(np.pi / 24), abs=1e-4)
    assert outlines.outer[0] == pytest.approx(6, abs=1e-4)
    assert not outlines.repaired and outlines.points.dtype == np.float32


@pytest.mark.parametrize("seed", range(3))
def test_the_size_of_batches_changes_nothing(seed, monkeypatch):
    _, outlines = random_outlines(seed, 150)

    def found() -> tuple[list[int], np.ndarray]:
        group = _link.link(outlines, link_um=4.0)
        _, first, number = np.unique(group, return_index=True, return_inverse=True)
        return first[number].tolist(), _area.focus_areas(outlines, number, link_um=4.0)

    whole, areas = found()
    monkeypatch.setattr(_link, "AT_ONCE", 7)
    monkeypatch.setattr(_area, "BATCH_CELLS", 1)
    pieces, again = found()
    assert whole == pieces and len(set(whole)) > 3
    assert sorted(areas.tolist()) == sorted(again.tolist())
