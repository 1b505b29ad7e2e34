"""Discs of known number are counted exactly, wherever windows and decode cells end.

Small windows (64 px) and decode cells (128 px) put many seams into a small image; one test at
the end uses the sizes of real runs.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fociquant.run.merging import merge
from fociquant.run.scene import objects_of_cell
from fociquant.segment.windows import FlowField, WindowCache
from fociquant.settings import SegmentSettings
from fociquant.store.labels import paint
from fociquant.testing.segmenters import UphillSegmenter, cones
from fociquant.tiling import Lattice
from fociquant.tiling.lattice import DECODE_HALO_PX

CELL, WINDOW, HALO = 128, 64, 48


def small_lattice(shape):
    return Lattice(shape, WINDOW, 32, decode_core_px=CELL, decode_halo_px=HALO)


def found(image: np.ndarray, lattice: Lattice, *, order: int = 0) -> pd.DataFrame:
    """Objects of an image, decode cells visited in an order drawn from `order`."""
    segmenter = UphillSegmenter(window_core_px=lattice.window_core_px)

    def read(box, /):
        return np.stack([image[box.slices], np.zeros(box.shape)]).astype(np.float32)

    field = FlowField("s", read, lattice, ((100, 2000), None), segmenter, WindowCache(10**8))
    cells = [cell for block in lattice.blocks(1) for cell in block.cells]
    cells = [cells[i] for i in np.random.default_rng(order).permutation(len(cells))]
    one = partial(
        objects_of_cell, field, lattice, settings=SegmentSettings(), smallest=9, look=None
    )
    return merge([one(cell).objects for cell in cells], lattice)


def centres_of(objects: pd.DataFrame) -> np.ndarray:
    return np.stack(
        [
            objects["mask_y0"] + objects["mask_height"] / 2,
            objects["mask_x0"] + objects["mask_width"] / 2,
        ],
        axis=1,
    )


def assert_found(objects: pd.DataFrame, centres: np.ndarray, diameter: float) -> None:
    """Every disc once, at its place, with its area."""
    assert len(objects) == len(centres)
    ours = centres_of(objects)
    for centre in centres:
        nearest = np.hypot(*(ours - centre).T).min()
        assert nearest <= 1.0 + diameter / 20, f"no object at {centre}"


def spread(centres: np.ndarray, diameter: float) -> bool:
    """Whether no two discs touch."""
    gaps = np.hypot(*np.moveaxis(centres[:, None] - centres[None], -1, 0))
    return bool((gaps + 1e9 * np.eye(len(centres)) > diameter + 3).all())


@given(
    diameter=st.floats(8, 40),
    shape=st.tuples(st.integers(60, 300), st.integers(60, 300)),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=25, deadline=None)
def test_discs_anywhere_are_counted_once(diameter, shape, seed):
    rng = np.random.default_rng(seed)
    room = np.array(shape) - diameter - 2
    assume((room > 1).all())
    centres = [rng.uniform(0, room) + diameter / 2 + 1]
    for _ in range(40):
        centre = rng.uniform(0, room) + diameter / 2 + 1
        if spread(np.array([*centres, centre]), diameter):
            centres.append(centre)
    objects = found(cones(shape, centres, diameter), small_lattice(shape))
    assert_found(objects, np.array(centres), diameter)


@given(
    diameter=st.floats(8, 40),
    border=st.sampled_from([64, 128, 192, 256]),
    offset=st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.5, 3.0, 4.0]),
    along=st.floats(30, 280),
    transposed=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_disc_on_a_seam_is_counted_once(diameter, border, offset, along, transposed):
    centre = (border + offset, along)
    image = cones((310, 310), [centre[::-1] if transposed else centre], diameter)
    objects = found(image, small_lattice(image.shape))
    assert_found(objects, np.array([centre[::-1] if transposed else centre]), diameter)


@pytest.mark.parametrize("offset", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_a_disc_on_a_corner_of_four_cells_is_counted_once(offset):
    centre = (128 + offset, 128 - offset)
    objects = found(cones((256, 256), [centre], 24), small_lattice((256, 256)))
    assert_found(objects, np.array([centre]), 24)


def test_touching_discs_on_a_seam_stay_two():
    centres = np.array([(118.0, 128.0), (138.0, 128.0), (128.0, 60.0), (128.0, 80.0)])
    objects = found(cones((256, 256), centres, 20.5), small_lattice((256, 256)))
    assert_found(objects, centres, 20.5)


@given(seed=st.integers(0, 1000), shape=st.tuples(st.integers(1, 290), st.integers(1, 290)))
@settings(max_examples=15, deadline=None)
def test_the_order_of_work_changes_nothing(seed, shape):
    rng = np.random.default_rng(seed)
    image = cones(shape, rng.uniform(0, 1, (30, 2)) * shape, 17)
    one, other = (found(image, small_lattice(shape), order=o) for o in (seed, seed + 1))
    pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (129, 128), (127, 257)])
def test_odd_sizes_without_objects_have_no_rows(shape):
    objects = found(np.full(shape, 100, np.uint16), small_lattice(shape))
    assert len(objects) == 0
    assert {"cell", "decode_cell", "mask_bits"} <= set(objects)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 7)])
def test_a_bright_sliver_is_at_most_a_few_objects(shape):
    objects = found(np.full(shape, 1900, np.uint16), small_lattice(shape))
    assert len(objects) <= max(shape)


@pytest.mark.parametrize(
    ("centre", "diameter"),
    [((128, 128), 130), ((100, 150), 150), ((128, 64), 120), ((256, 200), 160), ((130, 127), 140)],
)
def test_an_object_larger_than_the_halo_is_there_once(centre, diameter):
    image = cones((400, 400), [centre], diameter)
    objects = found(image, small_lattice(image.shape))
    assert len(objects) == 1
    area = np.count_nonzero(paint(objects, small_lattice(image.shape).image))
    assert area > 0.4 * np.pi / 4 * diameter**2


def test_two_objects_larger_than_the_halo_are_there_once_each():
    centres = [(128.0, 400.0), (256.0, 128.0)]
    image = cones((384, 520), centres, 140)
    # The view of one decode cell is cut, so its middle is some 40 px off.
    assert_found(found(image, small_lattice(image.shape)), np.array(centres), 20 * 40)


def test_large_neighbours_stay_apart():
    centres = [(100.0, 100.0), (100.0, 222.0), (222.0, 100.0)]
    image = cones((330, 330), centres, 118)
    objects = found(image, small_lattice(image.shape))
    assert len(objects) == 3


def test_the_lattices_of_real_runs():
    shape = (1300, 1120)
    rng = np.random.default_rng(4)
    on_seams = [(1024.0, 300.0), (1023.5, 500.0), (512.0, 700.0), (1024.0, 1024.0), (700.0, 1024.5)]
    centres = list(map(np.array, on_seams))
    for _ in range(300):
        centre = rng.uniform(20, np.array(shape) - 20)
        if spread(np.array([*centres, centre]), 24):
            centres.append(centre)
    objects = found(cones(shape, centres, 24), Lattice(shape))
    assert_found(objects, np.array(centres), 24)
    assert DECODE_HALO_PX == 96
