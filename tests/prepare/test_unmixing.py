"""What autofluorescence explains is taken off the marker, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.model import Box, Unmixing
from fociquant.prepare import (
    UNMIXING_REACH_PX,
    channel_scale,
    find_unmixing,
    pixel_noise,
    prepare_section,
    unmixed,
)
from fociquant.settings import PrepareSettings
from fociquant.store import facts_of, facts_to_json
from fociquant.units import PixelSize

HOW = Unmixing(slope=1.5, ground=100.0, floor=50.0, low=0.0, high=1.0)


def test_only_light_above_the_ground_is_taken_off():
    light = np.full((6, 8), 300.0)
    marker = np.full((6, 8), 1000.0)
    np.testing.assert_allclose(unmixed(marker, light, HOW), 1000 - 1.5 * 200)
    np.testing.assert_array_equal(unmixed(marker, np.full((6, 8), 80.0), HOW), marker)


def test_nothing_falls_below_the_floor_or_below_what_was_dark_already():
    light = np.full((4, 4), 1000.0)
    marker = np.array([[40.0, 50.0, 200.0, 2000.0]] * 4)
    np.testing.assert_allclose(unmixed(marker, light, HOW)[0], [40, 50, 50, 2000 - 1350])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.01, 8.0),
    st.sampled_from([np.uint8, np.uint16, np.float32]),
)
def test_counts_only_fall_and_a_piece_is_cut_from_the_whole(seed, slope, dtype):
    rng = np.random.default_rng(seed)
    marker, light = rng.integers(0, 255, (2, 37, 41)).astype(dtype)
    how = Unmixing(slope, ground=30.0, floor=12.0, low=0.0, high=1.0)
    whole = unmixed(marker, light, how)
    assert whole.dtype == np.float32
    assert (whole <= marker).all() and (whole >= np.minimum(marker, 12)).all()
    y0, y1 = sorted(rng.integers(0, 38, 2))
    x0, x1 = sorted(rng.integers(0, 42, 2))
    piece = Box(int(y0), int(x0), int(max(y1, y0 + 1)), int(max(x1, x0 + 1)))
    piece = piece.intersect(Box.of_shape(marker.shape))
    around = piece.expand(UNMIXING_REACH_PX).intersect(Box.of_shape(marker.shape))
    part = unmixed(marker[around.slices], light[around.slices], how)
    inside = piece.shift(-around.y0, -around.x0).slices
    np.testing.assert_array_equal(part[inside], whole[piece.slices])


def test_what_is_not_finite_explains_nothing_and_stays_where_it_is():
    marker, light = np.full((9, 9), 500.0), np.full((9, 9), 100.0)
    light[4, 4], marker[0, 0] = np.nan, np.nan
    left = unmixed(marker, light, HOW)
    assert np.isnan(left[0, 0]) and np.isfinite(left).sum() == 80
    np.testing.assert_allclose(left[np.isfinite(left)], 500.0)


def test_the_scale_is_that_of_what_is_left():
    rng = np.random.default_rng(3)
    light = rng.uniform(100, 900, (2, 64, 64))
    marker = 60 + 1.5 * (light - 100) + rng.normal(0, 5, light.shape)
    marker[0, 20:24, 20:24] += 800.0
    how = find_unmixing(list(marker), list(light), slope=1.5, ground=100.0, floor=50.0)
    left = [unmixed(m, a, how) for m, a in zip(marker, light, strict=True)]
    expected = channel_scale(np.concatenate([one.ravel() for one in left]), noise=pixel_noise(left))
    assert (how.low, how.high) == expected
    assert (how.slope, how.ground, how.floor) == (1.5, 100.0, 50.0)


class Reader:
    """One level in memory."""

    def __init__(self, image):
        self.levels = [image]

    def read(self, box, channels, level=0):
        return self.levels[0][(slice(None), *box.slices)][list(channels)]


@pytest.fixture(scope="module")
def tissue():
    """Marker with 1.4 of the autofluorescence's light, nuclei, autofluorescence."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:300, :300]
    lung = (y - 150) ** 2 + (x - 150) ** 2 < 120**2
    light = lung * (200 + 120 * np.sin(x / 9.0) * np.sin(y / 11.0))
    planes = np.stack([1.4 * light, lung * 30.0, light]) + 100
    return np.round(rng.normal(planes, 3.0)).clip(0).astype(np.uint16)


def facts_with(image, *roles, **changes):
    named = dict(zip(roles, range(3), strict=False))
    return prepare_section(
        Reader(image), named, PixelSize.square(0.5), PrepareSettings(**changes)
    ).facts


def test_a_section_with_autofluorescence_is_unmixed_by_its_slope(tissue):
    facts = facts_with(tissue, "marker", "nucleus", "autofluorescence")
    how = facts.unmixing
    assert how is not None and how.slope == facts.autofluorescence_slope
    assert how.slope == pytest.approx(1.4, rel=0.05)
    left = unmixed(tissue[0], tissue[2], how)
    lung = tissue[2] > 180
    before = np.corrcoef(tissue[0][lung], tissue[2][lung])[0, 1]
    after = np.corrcoef(left[lung], tissue[2][lung])[0, 1]
    assert before > 0.95 and abs(after) < 0.35
    assert facts_of(facts_to_json(facts)).unmixing == how


def test_without_the_channel_or_when_switched_off_the_marker_stays(tissue):
    roles = ("marker", "nucleus", "autofluorescence")
    assert facts_with(tissue, *roles[:2]).unmixing is None
    facts = facts_with(tissue, *roles, subtract_autofluorescence=False)
    assert facts.unmixing is None and facts.autofluorescence_slope is not None
    assert facts_of(facts_to_json(facts)).unmixing is None
