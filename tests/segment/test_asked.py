"""Objects asked for at some places only are those that the whole decode cell shows there."""

from __future__ import annotations

import numpy as np
import pytest

from fociquant.segment.objects import decode_cell
from fociquant.segment.windows import FlowField, WindowCache
from fociquant.settings import SegmentSettings
from fociquant.testing.segmenters import UphillSegmenter, cones
from fociquant.tiling import Lattice
from fociquant.tiling.ownership import integer_centres

SHAPE = (256, 320)
SETTINGS = SegmentSettings()
LATTICE = Lattice(SHAPE, window_core_px=64, decode_core_px=256, decode_halo_px=32)


def found(image, asked=None, **changes):
    """Masks of the reported objects by centre, and how many windows that took."""
    segmenter = UphillSegmenter(window_core_px=64)
    image = image.astype(np.float32)
    planes = np.stack([image, np.zeros_like(image)])
    field = FlowField("s", lambda box: planes[:, *box.slices], LATTICE, [(100.0, 2600.0), None],
                      segmenter, WindowCache(2**26))  # fmt: skip
    cell = decode_cell(field, LATTICE, (0, 0), settings=SETTINGS.model_copy(update=changes),
                       min_area_px=4, asked=asked)  # fmt: skip
    centres = integer_centres(cell.labels)
    masks = {
        tuple(centres[label - 1].tolist()): np.flatnonzero(cell.labels == label).tolist()
        for label in cell.reported
    }
    return masks, segmenter.windows


def near(y, x, reach=6):
    """Places around a pixel."""
    return lambda box: bool(
        box.area and box.y0 - reach <= y < box.y1 + reach and box.x0 - reach <= x < box.x1 + reach
    )


@pytest.mark.parametrize("seed", range(6))
def test_what_is_asked_for_is_what_the_whole_cell_shows(seed):
    rng = np.random.default_rng(seed)
    image = cones(SHAPE, rng.uniform(5, 250, (25, 2)), float(rng.uniform(8, 28)))
    whole, every = found(image)
    for y, x in [*whole, (3, 3), (200, 100)]:
        asked = near(y, x)
        part, windows = found(image, asked)
        expected = {
            centre: mask for centre, mask in whole.items()
            if abs(centre[0] - y) <= 6 and abs(centre[1] - x) <= 6
        }  # fmt: skip
        assert part.keys() >= expected.keys()
        assert {centre: part[centre] for centre in expected} == expected
        assert all(whole[centre] == mask for centre, mask in part.items())
        assert windows <= every


def test_one_place_needs_few_windows():
    image = cones(SHAPE, [(32.5, 32.5), (200.5, 250.5)], 16.0)
    part, windows = found(image, near(32, 32))
    assert list(part) == [(32, 32)] and windows == 4
    assert found(image)[1] == 20


def test_an_object_longer_than_the_halo_is_computed_to_its_end():
    image = cones(SHAPE, [(96.5, 110.5)], 180.0)
    whole, every = found(image)
    part, windows = found(image, near(96, 110))
    assert part == whole and len(whole) == 1
    assert windows == every


def test_with_the_flow_check_every_window_is_computed():
    image = cones(SHAPE, [(32.5, 32.5), (200.5, 200.5)], 16.0)
    part, windows = found(image, near(32, 32), flow_threshold=0.4)
    assert list(part) == [(32, 32)] and windows == 20


def test_where_nothing_is_asked_for_nothing_is_computed():
    assert found(cones(SHAPE, [(32.5, 32.5)], 16.0), lambda box: False) == ({}, 0)
