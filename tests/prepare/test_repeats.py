"""Whether a picture is found again in itself, as it is or mirrored."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter

from fociquant.prepare.repeats import TURNS, repeats_itself


def scene(rng, shape):
    return 300 + 50 * gaussian_filter(rng.normal(size=shape), 1.0)


def turned(picture, turn):
    return picture[:: -1 if turn.rows else 1, :: -1 if turn.columns else 1]


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: f"{turn.rows}-{turn.columns}")
@pytest.mark.parametrize("copied", [True, False])
def test_a_copy_is_found_however_it_lies(turn, copied):
    rng = np.random.default_rng(4)
    one = scene(rng, (170, 150))
    other = one if copied else scene(rng, one.shape)
    picture = np.vstack([one, scene(rng, (30, 150)), turned(other, turn)])
    picture += rng.normal(0, 2, picture.shape)
    assert repeats_itself(picture, np.ones(picture.shape, bool)) is copied


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: f"{turn.rows}-{turn.columns}")
def test_no_picture_is_transformed_twice(turn):
    """The same as from the spectrum of the turned picture, but for a shift."""
    rng = np.random.default_rng(5)
    (height, width), shape = (61, 50), (128, 100)
    parts = [rng.normal(size=(height, width)) for _ in range(2)]
    spectra = [rfft2(part, shape) for part in parts]
    moved = [rfft2(turned(part, turn), shape) for part in parts]
    shift = (-(height - 1) * turn.rows, -(width - 1) * turn.columns)
    there = irfft2(turn.product(spectra[0], spectra[1]), shape)
    back = turn.seen_from_the_copy(there)
    for found, pair in ((there, (0, 1)), (back, (1, 0))):
        expected = irfft2(spectra[pair[0]] * np.conj(moved[pair[1]]), shape)
        np.testing.assert_allclose(np.roll(found, shift, (0, 1)), expected, atol=1e-9)
