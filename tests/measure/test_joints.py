"""Marker along the border of two objects that touch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.measure import measure_cells
from fociquant.settings import MeasureSettings
from fociquant.units import PixelSize

SHAPE = (120, 140)


def disc(y, x, radius):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot(rows - y, columns - x) <= radius


def membrane(inside, *, px=2, bright=900.0, dark=200.0):
    """The outer pixels of a mask are bright."""
    core = inside.copy()
    for _ in range(px):
        core &= np.roll(core, 1, 0) & np.roll(core, -1, 0)
        core &= np.roll(core, 1, 1) & np.roll(core, -1, 1)
    return np.where(inside & ~core, bright, np.where(core, dark, 100.0))


def joint(labels, marker, owned=None, *, um=0.5, origin=(0, 0)):
    found = measure_cells(
        labels.astype(np.int32), np.unique(labels[labels > 0]) if owned is None else owned,
        {"marker": marker.astype(np.float32)}, origin_px=origin, pixel_size=PixelSize.square(um),
        image_shape=(5000, 5000), saturation={}, settings=MeasureSettings(),
    )  # fmt: skip
    return dict(zip(found["label"], found["joint"], strict=True))


def cut_in_two():
    cell = disc(60, 70, 16)
    return np.where(cell, np.where(np.arange(SHAPE[1]) < 70, 1, 2), 0), membrane(cell)


def two_cells():
    left, right = disc(60, 56, 15), disc(60, 85, 15)
    labels = np.where(left, 1, 0) + np.where(right & ~left, 2, 0)
    return labels, np.maximum(membrane(left), membrane(right & ~left))


def test_a_membrane_runs_between_cells_and_not_between_halves():
    halves, cells = joint(*cut_in_two()), joint(*two_cells())
    assert all(abs(value) < 0.1 for value in halves.values())
    assert all(value > 0.9 for value in cells.values())


def test_what_touches_nothing_or_is_full_of_marker_has_a_closed_border():
    labels = np.where(disc(60, 40, 15), 1, 0) + np.where(disc(60, 100, 15), 2, 0)
    assert set(joint(labels, membrane(labels > 0)).values()) == {1.0}
    labels, _ = cut_in_two()
    full = np.where(labels > 0, 900.0, 100.0)
    assert set(joint(labels, full).values()) == {1.0}


def test_the_longest_border_counts():
    labels, marker = cut_in_two()
    bump = disc(60, 90, 6) & (labels == 0)
    marker = np.where(bump, membrane(bump), marker)
    alone = joint(labels, marker)
    assert joint(np.where(bump, 3, labels), marker)[1] == alone[1]
    assert joint(np.where(bump, 3, labels), marker)[2] == pytest.approx(alone[2], abs=0.3)


def test_pixels_that_are_not_finite_are_left_out():
    labels, marker = cut_in_two()
    marker[60, 69:71] = np.nan
    assert all(abs(value) < 0.1 for value in joint(labels, marker).values())


@settings(max_examples=25, deadline=None)
@given(
    dy=st.integers(0, 7), dx=st.integers(0, 7), swap=st.booleans(), um=st.floats(0.2, 1.0),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_a_row_is_the_same_in_any_array_and_with_any_labels(dy, dx, swap, um, seed):
    labels, marker = cut_in_two()
    third = disc(80, 70, 9) & (labels == 0)  # touches both
    labels = np.where(third, 3, labels)
    marker = marker + 50.0 * np.random.default_rng(seed).random(SHAPE)
    whole = joint(labels, marker, um=um)
    other = {1: 7, 2: 5, 3: 6} if swap else {1: 1, 2: 2, 3: 3}
    renamed = np.vectorize(lambda label: other.get(label, 0))(labels)
    cut = slice(dy, SHAPE[0] - dx), slice(dx, SHAPE[1] - dy)
    part = joint(renamed[cut], marker[cut], um=um, origin=(dy, dx))
    assert {label: part[other[label]] for label in whole} == whole
