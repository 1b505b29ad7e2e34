"""Whether a place is near a mask: as by distances of the whole mask."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from fociquant.gate.places import is_near
from fociquant.units import PixelSize


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    share=st.sampled_from([0.002, 0.05, 0.5]),
    um=st.one_of(st.sampled_from([0.0, 8.0, 16.0, 24.0, 25.0, 40.0]), st.floats(0.0, 300.0)),
    pixel=st.sampled_from([(8.0, 8.0), (7.8, 8.2), (2.6, 2.6)]),
)
def test_near_is_what_distances_say(seed, shape, share, um, pixel):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < share
    mask[rng.integers(shape[0]), rng.integers(shape[1])] = True
    places = rng.integers(0, shape, (50, 2))
    away = distance_transform_edt(~mask, sampling=pixel)[places[:, 0], places[:, 1]]
    assert (is_near(mask, places, um, PixelSize(*pixel)) == (away <= um)).all()
