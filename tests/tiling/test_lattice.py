"""Windows, decode cells and blocks cover a section, each pixel once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.model import Box
from fociquant.tiling import Lattice

SHAPES = st.tuples(st.integers(1, 700), st.integers(1, 700))


def small(shape, **changes):
    return Lattice(
        shape, **{"window_core_px": 96, "decode_core_px": 128, "decode_halo_px": 32, **changes}
    )


def covered(shape, boxes):
    count = np.zeros(shape, int)
    for box in boxes:
        assert Box.of_shape(shape).contains(box)
        count[box.slices] += 1
    return count


@given(shape=SHAPES, block_px=st.integers(1, 900))
@settings(max_examples=50, deadline=None)
def test_blocks_hold_every_decode_cell_once(shape, block_px):
    lattice = small(shape)
    blocks = lattice.blocks(block_px)
    cells = [cell for block in blocks for cell in block.cells]
    assert len(set(cells)) == len(cells) == lattice.cells[0] * lattice.cells[1]
    assert len({block.name for block in blocks}) == len(blocks)
    assert (covered(shape, map(lattice.cell_core, cells)) == 1).all()


@given(shape=SHAPES)
@settings(max_examples=30, deadline=None)
def test_window_cores_cover_every_pixel_once(shape):
    lattice = small(shape)
    windows = lattice.windows_over(lattice.image)
    assert (covered(shape, map(lattice.window_core, windows)) == 1).all()


@given(shape=SHAPES, data=st.data())
@settings(max_examples=50, deadline=None)
def test_windows_over_a_box_are_those_whose_cores_meet_it(shape, data):
    lattice = small(shape)
    y0, x0 = data.draw(st.integers(-50, 750)), data.draw(st.integers(-50, 750))
    box = Box(y0, x0, y0 + data.draw(st.integers(0, 300)), x0 + data.draw(st.integers(0, 300)))
    everything = lattice.windows_over(lattice.image)
    meeting = [w for w in everything if lattice.window_core(w).intersect(box).area]
    assert lattice.windows_over(box) == meeting


@given(shape=SHAPES, fixed=st.booleans())
@settings(max_examples=40, deadline=None)
def test_window_inputs_hold_core_and_margin_in_a_size_the_network_takes(shape, fixed):
    lattice = small(shape, fixed_window=fixed)
    for window in lattice.windows_over(lattice.image):
        seen = lattice.window_input(window)
        core = lattice.window_core(window)
        assert seen.contains(core.expand(32))
        assert seen.y0 == core.y0 - 32 and seen.x0 == core.x0 - 32
        if fixed:
            assert seen.shape == (160, 160)
        else:
            assert all(edge % 16 == 0 and edge <= 160 for edge in seen.shape)


@given(shape=SHAPES)
@settings(max_examples=30, deadline=None)
def test_regions_are_cores_with_a_halo_inside_the_section(shape):
    lattice = small(shape)
    for block in lattice.blocks(1):
        (cell,) = block.cells
        core, region = lattice.cell_core(cell), lattice.cell_region(cell)
        assert region == core.expand(32).intersect(lattice.image)
        assert lattice.cell_number(cell) == cell[0] * lattice.cells[1] + cell[1]


@pytest.mark.parametrize(
    ("block_px", "edge"), [(256, 1), (1024, 1), (1025, 2), (2048, 2), (8192, 8)]
)
def test_block_sizes_are_rounded_up_to_whole_decode_cells(block_px, edge):
    first = Lattice((20_000, 20_000)).blocks(block_px)[0]
    assert len(first.cells) == edge**2


def test_a_block_is_a_record_of_plain_numbers():
    block = Lattice((3000, 3000)).blocks(2048)[-1]
    assert (block.index, block.cells, block.name) == ((1, 1), ((2, 2),), "r0001c0001")
