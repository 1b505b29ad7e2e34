"""Outlines, discs and quantiles against slow, plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from fociquant.measure.objects import gather
from fociquant.measure.outlines import hull_areas, trace_outlines
from fociquant.measure.rings import Disc, quantile, quantiles, row_distance
from fociquant.units import PixelSize

EIGHT = np.ones((3, 3), bool)
masks = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def polygons(labels):
    """Piece polygons in px, and the object of each."""
    objects = gather(labels, np.unique(labels[labels > 0]))
    outlines = trace_outlines(objects)
    rings = [
        outlines.vertices[a:b] / 2 + objects.boxes[owner, :2]
        for owner, a, b in zip(
            outlines.owner, outlines.starts[:-1], outlines.starts[1:], strict=True
        )
    ]
    return [shapely.Polygon(ring) for ring in rings], outlines


@given(masks)
@settings(max_examples=200, deadline=None)
def test_every_piece_has_a_simple_outline_of_its_area_less_one_half(mask):
    found, _ = polygons(mask.astype(np.int32))
    pieces, count = ndimage.label(mask, EIGHT)
    filled = sorted(ndimage.binary_fill_holes(pieces == i + 1).sum() - 0.5 for i in range(count))
    assert sorted(p.area for p in found) == filled
    assert all(p.is_valid for p in found)


@given(masks)
@settings(max_examples=100, deadline=None)
def test_the_largest_piece_comes_first(mask):
    pieces, count = ndimage.label(mask, EIGHT)
    if count == 0:
        return
    largest = np.bincount(pieces.ravel())[1:].max()
    first = polygons(mask.astype(np.int32))[0][0]
    inside = shapely.contains_xy(first, *(np.argwhere(mask) + 0.5).T)
    assert inside.sum() >= largest


@given(arrays(np.int32, (8, 8), elements=st.integers(0, 3)))
@settings(max_examples=100, deadline=None)
def test_objects_that_share_a_pixel_edge_are_no_distance_apart(labels):
    found, outlines = polygons(labels)
    ids = np.unique(labels[labels > 0])
    for i, a in enumerate(ids):
        for j, b in enumerate(ids[:i]):
            near = ndimage.binary_dilation(labels == a) & (labels == b)
            if near.any():
                of_a, of_b = (
                    shapely.union_all(np.array(found)[outlines.owner == k]) for k in (i, j)
                )
                assert of_a.distance(of_b) == 0


@given(masks)
@settings(max_examples=100, deadline=None)
def test_hull_encloses_all_pieces(mask):
    labels = mask.astype(np.int32)
    found, outlines = polygons(labels)
    if not found:
        return
    expected = shapely.union_all(found).convex_hull.area
    assert hull_areas(outlines, 1)[0] == pytest.approx(expected)


@given(masks, st.floats(0, 6), st.sampled_from([(1.0, 1.0), (0.5, 0.5), (0.4, 0.7)]))
@settings(max_examples=150, deadline=None)
def test_disc_reaches_as_far_as_the_distance_transform_says(mask, radius, size):
    pixel_size = PixelSize(*size)
    disc = Disc(radius, pixel_size)
    margin = max(disc.reach_y, disc.reach_x)
    met = disc.dilate(row_distance(mask[None], margin), margin)[0]
    if not mask.any():
        assert not met.any()
        return
    distance = ndimage.distance_transform_edt(~np.pad(mask, margin), sampling=size)
    limit = max(radius + 0.5 * pixel_size.mean, *size)
    clear = np.abs(distance - limit) > 1e-9  # a tie may fall either way in floating point
    np.testing.assert_array_equal(met[clear], (distance <= limit)[clear])


@given(
    arrays(np.float32, st.integers(1, 60), elements=st.floats(0, 65535, width=32)),
    st.sampled_from([0.0, 5.0, 50.0, 90.0, 100.0]),
)
def test_quantile_is_numpys(values, percent):
    assert quantile(values, percent) == pytest.approx(
        np.percentile(values.astype(np.float64), percent), rel=1e-12
    )


@given(st.data(), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=100, deadline=None)
def test_quantiles_of_many_runs_are_those_of_each_to_the_last_bit(data, dtype):
    wild = st.floats(0, 65535, width=32) | st.sampled_from([np.nan, np.inf, -np.inf])
    runs = data.draw(st.lists(arrays(dtype, st.integers(0, 150), elements=wild), max_size=6))
    percents = np.array([data.draw(st.sampled_from([0.0, 5.0, 50.0, 90.0, 100.0])) for _ in runs])
    lengths = np.array([len(run) for run in runs], np.int64)
    found = quantiles(np.concatenate([*runs, np.empty(0, dtype)]), lengths, percents)
    expected = [quantile(run, percent) for run, percent in zip(runs, percents, strict=True)]
    np.testing.assert_array_equal(found, np.array(expected, np.float64))


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_windows_round_objects_show_each_whole_and_alone_also_at_the_end(seed, height, width):
    labels = np.random.default_rng(seed).integers(0, 4, (height, width)).astype(np.int32)
    objects = gather(labels, np.unique(labels[labels > 0]))
    seen = []
    for indices, windows in objects.groups(1):
        for index, window in zip(indices, windows, strict=True):
            here = np.argwhere(window) + objects.boxes[index, :2]
            np.testing.assert_array_equal(here, np.argwhere(labels == objects.ids[index]))
            seen.append(index)
    assert sorted(seen) == list(range(len(objects)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], 0.0), ([np.nan], 0.0), ([np.nan, 3, 5, np.inf], 4.0), ([-np.inf, 2], 2.0)],
)
def test_quantile_of_values_that_are_not_finite(values, expected):
    assert quantile(np.array(values, np.float32), 50.0) == expected
