"""Units, flags, boxes and errors."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fociquant.errors as errors
from fociquant.errors import FociquantError, Problem, StudyError
from fociquant.flags import REJECTING, CellFlag, flag_names, parse_flags
from fociquant.model import Box, Channels
from fociquant.units import PixelSize, equivalent_diameter

SIZES = st.floats(0.01, 100.0)
BOXES = st.tuples(*[st.integers(-50, 50)] * 2, *[st.integers(0, 60)] * 2).map(
    lambda t: Box(t[0], t[1], t[0] + t[2], t[1] + t[3])
)


@given(SIZES, SIZES, st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_pixels_to_um_and_back(y, x, row, column):
    size = PixelSize(y, x)
    again = size.to_px(size.to_um(np.array([row, column])))
    np.testing.assert_allclose(again, [row, column], rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("value", [0.0, -0.5, 0.0099, 100.1, math.nan, math.inf])
def test_an_implausible_pixel_size_is_refused_with_the_cure(value):
    with pytest.raises(errors.PixelSizeError, match=r"not plausible.*pixel_size_um: 0\.325"):
        PixelSize(0.5, value)


def test_pixel_sizes_scale_and_have_an_area():
    assert PixelSize(0.5, 0.25).area_um2 == 0.125
    assert PixelSize(0.5, 0.25).scaled(2, 4) == PixelSize.square(1.0)
    assert PixelSize(4.0, 1.0).mean == 2.0
    assert equivalent_diameter(0.03e6) == pytest.approx(195.4, abs=0.1)


@given(st.sets(st.sampled_from(list(CellFlag))))
def test_flags_survive_as_names(flags):
    value = sum(flag for flag in flags)
    names = flag_names(value)
    assert parse_flags(names) == value
    assert names.count(";") == max(0, len([flag for flag in flags if flag]) - 1)


def test_flags_are_single_bits_each_explained():
    bits = [flag.value for flag in CellFlag if flag]
    assert all(bit & (bit - 1) == 0 for bit in bits) and len(set(bits)) == len(bits)
    assert all(str(flag.name) in (CellFlag.__doc__ or "") for flag in CellFlag if flag)
    assert not REJECTING & (CellFlag.EDGE | CellFlag.OVERSIZE | CellFlag.SATURATED)


def test_unknown_flags_are_refused():
    with pytest.raises(ValueError, match="unknown flag bits"):
        flag_names(1 << 40)
    with pytest.raises(ValueError, match="unknown flag 'dull'"):
        parse_flags("edge;dull")


@given(BOXES, BOXES)
def test_boxes_meet_where_their_pixels_do(one, other):
    common = one.intersect(other)
    assert common == other.intersect(one) or common.area == 0
    pixels = {(y, x) for y in range(one.y0, one.y1) for x in range(one.x0, one.x1)}
    both = {p for p in pixels if other.y0 <= p[0] < other.y1 and other.x0 <= p[1] < other.x1}
    assert common.area == len(both)
    assert one.contains(common) or common.area == 0


@given(BOXES, st.integers(0, 9), st.integers(-9, 9))
def test_boxes_grow_and_move(box, by, dx):
    assert box.expand(by).contains(box)
    assert box.shift(by, dx).shape == box.shape
    assert np.zeros((200, 200))[box.shift(60, 60).slices].shape == box.shape


def test_a_box_cannot_end_before_it_begins():
    with pytest.raises(ValueError, match="end before it begins"):
        Box(0, 0, -1, 5)


def test_roles_keep_their_order():
    channels = Channels("HER2", None, "AF", {"Ki67": 3, "EpCAM": "E"})
    assert list(channels.roles()) == ["marker", "autofluorescence", "Ki67", "EpCAM"]


def test_the_error_tree_is_drawn_as_it_is():
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        if "──" in line:
            name = line.split("── ")[1].split()[0]
            drawn[name] = line.index("──")
    classes = {
        name: cls for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, FociquantError) and cls is not FociquantError
    }  # fmt: skip
    assert set(drawn) == set(classes)
    depths = sorted({len(cls.__mro__) for cls in classes.values()})
    columns = sorted(set(drawn.values()))
    for name, cls in classes.items():
        assert depths.index(len(cls.__mro__)) == columns.index(drawn[name]), name
        assert cls.__doc__


def test_a_study_error_tells_place_fault_and_cure():
    study = StudyError([Problem("a.csv, line 3", "bad.", "Do this.")])
    assert str(study) == "a.csv, line 3: bad. Do this."
