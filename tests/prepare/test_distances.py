"""Distances to a mask are those of SciPy, exactly; convex hulls those of scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from skimage.measure import regionprops

from fociquant.prepare.compartments import _pixels_in_hull
from fociquant.prepare.distances import Distances, distances_at
from fociquant.units import PixelSize

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)).filter(np.any)


@settings(max_examples=40, deadline=None)
@given(
    mask=masks,
    um=st.sampled_from([0.5, 1.0, 2.0, 4.0]),
    steps=st.integers(0, 60),
    square=st.booleans(),
)
def test_distances_are_compared_exactly(mask, um, steps, square):
    pixel = PixelSize(um, um if square else 1.5 * um)
    expected = ndimage.distance_transform_edt(~mask, sampling=(pixel.y, pixel.x))
    found = Distances(mask, pixel)
    for limit in (steps * um / 2, steps * um / 2 + 0.01):
        assert np.array_equal(found.within(limit), expected <= limit)
        assert np.array_equal(found.beyond(limit), expected > limit)
        assert np.array_equal(found.at_least(limit), expected >= limit)


@settings(max_examples=60, deadline=None)
@given(mask=masks, um=st.sampled_from([0.5, 3.0, 8.0]), other=st.sampled_from([1.0, 1.37]))
def test_distances_of_some_pixels_are_those_of_all(mask, um, other):
    pixel = PixelSize(um, other * um)
    places = np.argwhere(np.ones_like(mask))[::-1]
    expected = ndimage.distance_transform_edt(~mask, sampling=(pixel.y, pixel.x))
    found = distances_at(np.concatenate([places, places[:3]]), mask, pixel)
    assert np.allclose(found[: len(places)], expected.ravel()[::-1], rtol=1e-12, atol=0)
    assert np.array_equal(found[len(places) :], found[: len(places[:3])])


def test_far_distances_on_a_large_grid():
    mask = np.zeros((700, 900), bool)
    mask[3, 5] = True
    expected = ndimage.distance_transform_edt(~mask)
    found = Distances(mask, PixelSize.square(1.0))
    for limit in (500.0, 777.7, 1100.0):
        assert np.array_equal(found.within(limit), expected <= limit)


@settings(max_examples=40, deadline=None)
@given(mask=masks)
def test_the_convex_hull_has_the_pixels_that_scikit_image_finds(mask):
    assert _pixels_in_hull(mask) == regionprops(mask.astype(np.uint8))[0].area_convex


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_a_line_is_its_own_hull(shape):
    assert _pixels_in_hull(np.ones(shape, bool)) == np.prod(shape)
