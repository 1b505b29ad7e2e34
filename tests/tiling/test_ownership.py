"""Who owns an object is decided on whole numbers, once."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.model import Box
from fociquant.tiling import duplicate_rows, integer_centres, reported_labels
from fociquant.tiling.ownership import BAND_PX, SAME_OBJECT_PX


def test_centres_are_mean_pixel_indices_rounded_down():
    labels = np.zeros((6, 9), np.int32)
    labels[1:3, 2:5] = 1
    labels[5, 8] = 2
    np.testing.assert_array_equal(integer_centres(labels), [[1, 3], [5, 8]])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_centres_move_with_the_array(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros((40, 50), np.int32)
    for number in range(1, 5):
        y, x = rng.integers(0, 30), rng.integers(0, 40)
        labels[y : y + rng.integers(1, 10), x : x + rng.integers(1, 10)] = number
    present = np.unique(labels[labels > 0])
    labels = np.searchsorted(present, labels).astype(np.int32) + (labels > 0)
    labels = np.where(labels > 0, labels, 0)
    moved = np.zeros((70, 90), np.int32)
    moved[13:53, 21:71] = labels
    np.testing.assert_array_equal(
        integer_centres(moved), integer_centres(labels) + np.array([13, 21])
    )


def test_objects_are_reported_from_the_core_and_the_band_around_it():
    region, core = Box(100, 100, 200, 200), Box(120, 120, 180, 180)
    labels = np.zeros(region.shape, np.int32)
    places = [119 - BAND_PX, 120 - BAND_PX, 120, 179, 180 + BAND_PX - 1, 180 + BAND_PX]
    for number, y in enumerate(places, start=1):
        labels[y - 100, 50] = number
    np.testing.assert_array_equal(reported_labels(labels, region, core), [2, 3, 4, 5])


def test_nothing_is_reported_from_an_empty_array():
    nothing = reported_labels(np.zeros((9, 9), np.int32), Box(0, 0, 9, 9), Box(0, 0, 9, 9))
    assert nothing.dtype == np.int64 and len(nothing) == 0


@given(seed=st.integers(0, 10_000), n=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_repeats_do_not_depend_on_the_order_of_rows(seed, n):
    rng = np.random.default_rng(seed)
    centres, cells = rng.uniform(0, 25, (n, 2)), rng.integers(0, 4, n)
    identity = rng.permutation(n).astype(np.int64)
    repeated = duplicate_rows(centres, cells, identity)
    order = rng.permutation(n)
    again = duplicate_rows(centres[order], cells[order], identity[order])
    np.testing.assert_array_equal(again, repeated[order])


@given(seed=st.integers(0, 10_000), n=st.integers(2, 40))
@settings(max_examples=60, deadline=None)
def test_every_repeat_has_a_kept_original_near_by(seed, n):
    rng = np.random.default_rng(seed)
    centres, cells = rng.uniform(0, 40, (n, 2)), rng.integers(0, 3, n)
    identity = np.arange(n, dtype=np.int64)
    repeated = duplicate_rows(centres, cells, identity)
    for row in range(n):
        near = np.hypot(*(centres - centres[row]).T) <= SAME_OBJECT_PX
        originals = near & (cells != cells[row]) & ~repeated & (identity < row)
        assert originals.any() == repeated[row]


def test_two_objects_of_one_decode_cell_are_never_one():
    centres = np.array([[5.0, 5.0], [5.5, 5.0]])
    assert not duplicate_rows(centres, np.array([3, 3]), np.array([0, 1])).any()
    np.testing.assert_array_equal(
        duplicate_rows(centres, np.array([3, 4]), np.array([0, 1])), [False, True]
    )
