"""Parts of a slide that were never scanned, where the file holds zeros.

Scanners that take only the fields on tissue fill the rest with 0, and so do exports that were
turned or registered. The border of such a part need not fall between pixels of the overview: a
pixel across it mixes zeros with glass, and is darker than any glass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from scipy import ndimage

from fociquant.prepare.grids import large_pieces
from fociquant.prepare.overview import Overview
from fociquant.prepare.scale import QUANTISATION
from fociquant.units import PixelSize

LEAST_UM2 = 10_000.0
"""Smaller parts that are 0 are air, in images whose darkest level was set to 0: camera fields are
larger."""

DARKEST_PERCENT = 1.0
"""Tells the darkest that was scanned; below it may be what an export has mixed with zeros."""

OFFSET_NOISES = 4.0
"""Where that is so many standard deviations of the noise above 0 in a channel, no scanned pixel
is 0 in all of them."""

BESIDE = np.ones((3, 3), bool)
"""Pixels that touch, corners included."""

FILLED_FROM_PX = 2
"""Mixed pixels get the mean of what is scanned this far around."""


def without_mixed(
    overview: Overview,
    tiles: Sequence[Sequence[np.ndarray]],
    noises: Sequence[float],
    pixel_size: PixelSize,
) -> Overview:
    """An overview that says what was never scanned, and holds no mixture with it.

    Parameters
    ----------
    overview : Overview
    tiles : sequence of sequence of numpy.ndarray, shape (h, w)
        Of each channel of the overview, sampled pixels at full resolution.
    noises : sequence of float
        Pixel noise of each channel.
    pixel_size : PixelSize
        Of the overview.

    Returns
    -------
    Overview
        The same one where all was scanned, and where zeros may be glass (their darkest level is
        that of what was scanned).
    """
    empty = np.asarray(~overview.image.any(axis=0))
    if not empty.any() or not _is_offset(tiles, noises):
        return overview
    unscanned = large_pieces(empty, LEAST_UM2, pixel_size)
    if not unscanned.any():
        return overview
    mixed = with_beside(unscanned) & ~unscanned
    image = overview.image.copy()
    image[:, mixed] = _means_around(image, np.argwhere(mixed), ~(unscanned | mixed))
    # Slivers with nothing but mixed pixels are left out as well.
    return replace(overview, image=image, unscanned=unscanned | (mixed & ~image.any(axis=0)))


def with_beside(unscanned: np.ndarray) -> np.ndarray:
    """What was never scanned and the pixels that touch it, bool (h, w)."""
    return np.asarray(ndimage.binary_dilation(unscanned, BESIDE))


def without_zeros(stack: np.ndarray) -> np.ndarray:
    """Pixels (n, h, w), NaN where all channels are 0; the same array where there are none."""
    empty = ~stack.any(axis=0)
    if not empty.any():
        return stack
    # Whole numbers up to 24 bits are exact in single precision.
    small = stack.dtype.itemsize <= 2 or stack.dtype == np.float32
    stack = stack.astype(np.float32 if small else np.float64)
    stack[:, empty] = np.nan
    return stack


def _is_offset(tiles: Sequence[Sequence[np.ndarray]], noises: Sequence[float]) -> bool:
    """Whether what was scanned is well above 0 in a channel, the darkest of it as well."""
    scanned = [np.any([tile != 0 for tile in stack], axis=0) for stack in zip(*tiles, strict=True)]
    for channel, noise in zip(tiles, noises, strict=True):
        values = [tile[there] for tile, there in zip(channel, scanned, strict=True)]
        seen = np.concatenate(values or [np.empty(0)])
        seen = seen.astype(np.uint8) if seen.dtype == bool else seen  # percentiles subtract
        seen = seen[np.isfinite(seen)]
        least = max(noise, QUANTISATION) if seen.dtype.kind in "iub" else noise
        if seen.size and np.percentile(seen, DARKEST_PERCENT) > OFFSET_NOISES * least:
            return True
    return False


def _means_around(image: np.ndarray, places: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Means (n, places) over the clean pixels around each place; 0 where there is none."""
    total = np.zeros((len(image), len(places)))
    count = np.zeros(len(places))
    last = np.array(clean.shape) - 1
    reach = range(-FILLED_FROM_PX, FILLED_FROM_PX + 1)
    for step in product(reach, reach):
        y, x = np.clip(places + step, 0, last).T
        there = clean[y, x]
        total[:, there] += image[:, y[there], x[there]]
        count += there
    means = total / np.maximum(count, 1)
    return np.rint(means) if image.dtype.kind in "iu" else means
