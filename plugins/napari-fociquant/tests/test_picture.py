"""Outlines painted where one looks: in their place, in their colour, on every level."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from fociquant.units import PixelSize
from napari_fociquant._layers import outline_layer
from napari_fociquant._picture import Outlines, pyramid


def square(y, x, half):
    return np.array([[y - half, x - half], [y - half, x + half], [y + half, x + half],
                     [y + half, x - half]], np.float32)  # fmt: skip


@pytest.fixture
def three():
    """Squares of 12 µm at (50, 50), (50, 200) and (300, 300) µm."""
    return Outlines.of_lists(
        [square(50, 50, 6), square(50, 200, 6), square(300, 300, 6)], [1, 2, 3]
    )


def test_an_outline_lies_at_its_place_in_pixels(three):
    level = pyramid(three, (1000, 1000), (0.5, 0.5))[0]
    painted = level[:, :]
    ys, xs = np.nonzero(painted == 1)
    assert (ys.min(), ys.max()) == (88, 113)  # 44 µm to 56 µm at 0.5 µm, two pixels wide
    assert (xs.min(), xs.max()) == (88, 113)
    assert painted[100, 100] == 0  # the inside stays free


def test_a_part_is_what_the_whole_has_there(three):
    level = pyramid(three, (1000, 1000), (0.5, 0.5))[0]
    whole = level[:, :]
    assert (level[70:130, 350:500] == whole[70:130, 350:500]).all()
    assert (level[0:1000:3, 1:999:7] == whole[0:1000:3, 1:999:7]).all()
    assert level[5, 7] == whole[5, 7]
    assert level[5:5, :].shape == (0, 1000)


def test_objects_that_are_small_on_a_level_are_dots(three):
    coarse = pyramid(three, (40000, 40000), (0.5, 0.5))[-1]
    assert coarse.shape == (313, 313)
    assert set(np.unique(coarse[:, :])) == {0, 1, 2, 3}
    assert (coarse[:, :] > 0).sum() <= 27


def test_another_code_is_another_colour_and_none_is_not_drawn(three):
    level = pyramid(three, (1000, 1000), (0.5, 0.5))[0]
    three.codes[0] = 0
    three.codes[1] = 5
    assert set(np.unique(level[:, :])) == {0, 3, 5}


def test_the_higher_code_lies_above():
    twice = Outlines.of_lists([square(50, 50, 6), square(50, 50, 6)], [4, 2])
    assert set(np.unique(pyramid(twice, (200, 200), (1.0, 1.0))[0][:, :])) == {0, 4}


def test_nothing_is_a_picture_too():
    none = Outlines.of_lists([], [])
    assert not pyramid(none, (100, 100), (1.0, 1.0))[0][:, :].any()
    one = none.extended([square(20, 20, 6)], np.array([1]))
    assert pyramid(one, (100, 100), (1.0, 1.0))[0][:, :].any()


def test_an_object_without_vertices_is_not_drawn():
    odd = Outlines.of_lists([np.zeros((0, 2), np.float32), square(20, 20, 6)], [1, 2])
    assert set(np.unique(pyramid(odd, (100, 100), (1.0, 1.0))[0][:, :])) == {0, 2}


@pytest.mark.parametrize("edge", [40, 512, 513])
def test_a_section_of_one_level_can_be_shown_and_follows_decisions(edge):
    cells = Outlines.of_lists([square(20, 20, 6)], [1])
    data, arguments, _ = outline_layer(
        cells, (edge, edge), PixelSize.square(1.0), name="Cells", colours=["red", "blue"]
    )
    layer = Labels(data, **arguments)
    assert layer.multiscale
    cells.codes[0] = 2
    assert set(np.unique(np.asarray(layer.data[0]))) == {0, 2}
