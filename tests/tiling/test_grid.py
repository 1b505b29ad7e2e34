"""The analysis grid: area averages and linear interpolation that no box can change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.model import Box
from fociquant.tiling import AnalysisGrid
from fociquant.units import PixelSize

STEPS = st.floats(0.2, 6.0).filter(lambda s: s != 1.0)
SHAPES = st.tuples(st.integers(1, 60), st.integers(1, 60))


def whole(grid: AnalysisGrid, planes: np.ndarray) -> np.ndarray:
    box = Box.of_shape(grid.shape)
    source = grid.source_box(box)
    return grid.resample(planes[(slice(None), *source.slices)], source, box)


def dense(size: int, count: int, step: float) -> np.ndarray:
    """Overlaps written down as they are defined, for one axis."""
    matrix = np.zeros((count, size))
    for row in range(count):
        half, centre = max(step, 1.0) / 2.0, (row + 0.5) * step
        for column in range(size):
            matrix[row, column] = min(column + 1, centre + half) - max(column, centre - half)
    matrix = np.clip(matrix, 0.0, None)
    return matrix / matrix.sum(axis=1, keepdims=True)


@given(shape=SHAPES, step_y=STEPS, step_x=STEPS, seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_resample_is_the_overlap_written_down(shape, step_y, step_x, seed):
    planes = np.random.default_rng(seed).integers(0, 65535, (1, *shape)).astype(np.uint16)
    grid = AnalysisGrid(shape, step_y, step_x)
    rows = dense(shape[0], grid.shape[0], step_y)
    columns = dense(shape[1], grid.shape[1], step_x)
    np.testing.assert_allclose(whole(grid, planes)[0], rows @ planes[0] @ columns.T, rtol=1e-6)


@given(shape=SHAPES, step_y=STEPS, step_x=STEPS, data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_pixel_is_the_same_from_any_box(shape, step_y, step_x, data):
    grid = AnalysisGrid(shape, step_y, step_x)
    planes = np.random.default_rng(1).normal(500, 100, (2, *shape))
    full = whole(grid, planes)
    y0 = data.draw(st.integers(0, grid.shape[0] - 1))
    x0 = data.draw(st.integers(0, grid.shape[1] - 1))
    y1 = data.draw(st.integers(y0 + 1, grid.shape[0]))
    x1 = data.draw(st.integers(x0 + 1, grid.shape[1]))
    box = Box(y0, x0, y1, x1)
    source = grid.source_box(box)
    part = grid.resample(planes[(slice(None), *source.slices)], source, box)
    np.testing.assert_array_equal(part, full[(slice(None), *box.slices)])


@given(shape=SHAPES, step_y=STEPS, step_x=STEPS, value=st.floats(-1e4, 1e5))
@settings(max_examples=40, deadline=None)
def test_a_constant_stays_constant(shape, step_y, step_x, value):
    grid = AnalysisGrid(shape, step_y, step_x)
    out = whole(grid, np.full((1, *shape), value))
    np.testing.assert_allclose(out, np.float32(value), rtol=3e-7)


@pytest.mark.parametrize("step", [0.25, 0.5, 2.0, 4.0])
def test_the_mean_of_a_divisible_image_is_kept(step):
    planes = np.random.default_rng(2).random((1, 48, 64))
    out = whole(AnalysisGrid((48, 64), step, step), planes)
    tolerance = 1e-6 if step > 1 else 0.02  # interpolation repeats the border
    assert out.mean() == pytest.approx(planes.mean(), rel=tolerance)


@given(step_y=STEPS, step_x=STEPS)
@settings(max_examples=40, deadline=None)
def test_a_ramp_is_exact_away_from_the_border(step_y, step_x):
    shape = (50, 40)
    y, x = (np.arange(size) + 0.5 for size in shape)
    ramp = 3.0 * y[:, None] - 2.0 * x[None, :]
    grid = AnalysisGrid(shape, step_y, step_x)
    out = whole(grid, ramp[None])[0]
    at_y, at_x = (np.arange(out.shape[0]) + 0.5) * step_y, (np.arange(out.shape[1]) + 0.5) * step_x
    expected = 3.0 * at_y[:, None] - 2.0 * at_x[None, :]
    half_y, half_x = max(step_y, 1.0) / 2, max(step_x, 1.0) / 2
    inside = np.ix_(
        (at_y >= half_y) & (at_y <= 50 - half_y), (at_x >= half_x) & (at_x <= 40 - half_x)
    )
    # A pixel that is partly under an average counts with its own centre's value: 1/8 px at most.
    tolerance = 1e-4 + 0.125 * (3.0 * (step_y > 1) + 2.0 * (step_x > 1))
    np.testing.assert_allclose(out[inside], expected[inside], atol=tolerance)


def test_whole_steps_average_blocks_exactly():
    planes = np.arange(6 * 8, dtype=np.uint16).reshape(1, 6, 8)
    out = whole(AnalysisGrid((6, 8), 2.0, 4.0), planes)
    expected = planes[0].reshape(3, 2, 2, 4).mean(axis=(1, 3))
    np.testing.assert_array_equal(out[0], expected)


def test_native_pixels_are_taken_as_they_are():
    planes = np.random.default_rng(3).integers(0, 65535, (2, 9, 7)).astype(np.uint16)
    grid = AnalysisGrid((9, 7), 1.0, 1.0)
    np.testing.assert_array_equal(whole(grid, planes), planes.astype(np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("step", [1.0, 1.7, 0.6])
def test_values_that_are_not_finite_stay_where_they_are(value, step):
    planes = np.full((1, 20, 20), 7.0)
    planes[0, 10, 10] = value
    out = whole(AnalysisGrid((20, 20), step, step), planes)
    assert np.isfinite(out).sum() >= out.size - 9
    assert (out[np.isfinite(out)] == 7.0).all()


@given(shape=SHAPES, step=st.floats(0.05, 200.0))
@settings(max_examples=80, deadline=None)
def test_every_analysis_pixel_has_pixels_under_it(shape, step):
    grid = AnalysisGrid(shape, step, step)
    if grid.shape[0] * grid.shape[1] > 4_000_000:
        return
    assert min(grid.shape) >= 1
    last = Box(grid.shape[0] - 1, grid.shape[1] - 1, *grid.shape)
    source = grid.source_box(last)
    assert source.area
    out = grid.resample(np.full((1, *source.shape), 5.0), source, last)
    assert out == pytest.approx(5.0)


def test_the_native_band_takes_pixels_as_they_are():
    make = AnalysisGrid.for_diameter
    known = {24.0: True, 29.9: True, 30.1: False, 19.3: True, 19.1: False}
    for diameter, native in known.items():
        assert make((9, 9), diameter_px=(diameter, diameter), wanted_px=24.0).native is native
    assert not make((9, 9), diameter_px=(24.0, 60.0), wanted_px=24.0).native


def test_analysis_pixels_are_larger_by_their_step():
    grid = AnalysisGrid((100, 50), 2.0, 0.5)
    assert grid.shape == (50, 100)
    assert grid.pixel_size(PixelSize(0.3, 0.4)) == PixelSize(0.6, 0.2)


def test_an_image_without_pixels_has_a_grid_without_pixels():
    assert AnalysisGrid((0, 7), 2.0, 2.0).shape == (0, 0)
