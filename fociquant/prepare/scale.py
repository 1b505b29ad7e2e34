"""Intensity rules: pixel noise, the network's input scale, statistics of a channel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fociquant.model import ChannelStats

LOW_PERCENTILE = 2.0
"""Becomes 0: air, glass or the darkest tissue; low enough that cells never move it."""

HIGH_PERCENTILE = 99.8
"""Becomes 1: five cells in a section never reach it, a section full of foci saturates a little."""

MIN_RANGE_NOISES = 20.0
"""The range is at least this many times the pixel noise: an empty field stays grey."""

QUANTISATION = 1.0 / math.sqrt(12.0)
"""Standard deviation of rounding to whole counts."""

NOISE_BLOCK_PX = 32
"""Noise is estimated in blocks of this edge, and the median block counts."""

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation of a normal distribution."""


def channel_scale(samples: np.ndarray, *, noise: float) -> tuple[float, float]:
    """What becomes 0 and 1 at the network's input.

    Parameters
    ----------
    samples : numpy.ndarray
        Pixels of one channel, any shape, raw counts, air included. Values that are
        not finite are ignored. With an integer dtype the range is at least one count.
    noise : float
        Standard deviation of the pixel noise, see :func:`pixel_noise`.

    Returns
    -------
    low, high : float
        Finite, ``high > low``; (0, 1) if no sample is finite.
    """
    values = _finite(samples)
    if values.size == 0:
        return 0.0, 1.0
    low, bright = (
        float(v)
        for v in np.percentile(values, (LOW_PERCENTILE, HIGH_PERCENTILE), overwrite_input=True)
    )
    least = 1.0 if samples.dtype.kind in "iub" else max(abs(low), 1.0) * 1e-6
    return low, max(bright, low + MIN_RANGE_NOISES * noise, low + least)


def pixel_noise(tiles: np.ndarray | Sequence[np.ndarray]) -> float:
    """Standard deviation of the pixel noise, robust against structure.

    The image is filtered with the difference of two Laplacians, which structure
    hardly passes (J. Immerkær, Fast noise variance estimation, Comput. Vis. Image
    Underst. 64:300, 1996); the mean absolute response of each 32-pixel block is a
    noise estimate, and the median over the blocks that are not constant is returned.

    Parameters
    ----------
    tiles : numpy.ndarray, shape (h, w), or a sequence of such
        Raw counts at full resolution. Blocks with a value that is not finite are left out.

    Returns
    -------
    float
        Raw counts, >= 0; 0 if no block is usable.
    """
    parts = [tiles] if isinstance(tiles, np.ndarray) else tiles
    estimates = np.concatenate([_block_noises(tile) for tile in parts] or [np.empty(0)])
    estimates = estimates[np.isfinite(estimates) & (estimates > 0)]
    return float(np.median(estimates)) if estimates.size else 0.0


def _block_noises(tile: np.ndarray) -> np.ndarray:
    if min(tile.shape) < 3:
        return np.empty(0)
    if tile.dtype.kind in "iub" and tile.dtype.itemsize <= 2:
        image = tile.astype(np.int32)  # as exact, in half the memory
    else:
        image = np.where(np.isfinite(tile), tile, np.nan).astype(np.float64)
    rows = image[:-2] - 2 * image[1:-1] + image[2:]
    response = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])
    h, w = (max(size // NOISE_BLOCK_PX, 1) for size in response.shape)
    bh, bw = (min(size, NOISE_BLOCK_PX) for size in response.shape)
    blocks = response[: h * bh, : w * bw].reshape(h, bh, w, bw)
    return (blocks.mean(axis=(1, 3)) * math.sqrt(math.pi / 2) / 6).ravel()


def channel_stats(
    tiles: Sequence[np.ndarray], tissue: Sequence[np.ndarray], dtype: np.dtype
) -> ChannelStats:
    """Statistics of one channel.

    Parameters
    ----------
    tiles : sequence of numpy.ndarray, shape (h, w)
        Sampled pixels, raw counts.
    tissue : sequence of numpy.ndarray of bool, shape (h, w)
        Which of them are tissue; if none is, all stand in.
    dtype : numpy.dtype
        Of the file.

    Returns
    -------
    ChannelStats
        Finite (except ``saturation`` of floats) whatever the pixels are.
    """
    noise = pixel_noise(tiles)
    samples = np.concatenate([tile.ravel() for tile in tiles] or [np.empty(0, dtype)])
    low, high = channel_scale(samples, noise=noise)
    if tiles:
        inside = samples[np.concatenate([mask.ravel() for mask in tissue])]
        # Without the others: 64 tiles in double precision are 34 MB.
        samples = inside if np.isfinite(inside).any() else samples
    background, spread = _middle(samples)
    floor = QUANTISATION if dtype.kind in "iub" else (high - low) * 1e-6
    saturation = float(np.iinfo(dtype).max) if dtype.kind in "iu" else math.inf
    return ChannelStats(low, high, background, max(spread, noise, floor), noise, saturation)


def _middle(samples: np.ndarray) -> tuple[float, float]:
    """Median, and the standard deviation that the median distance from it tells; 0 without any."""
    values = _finite(samples)
    if not values.size:
        return 0.0, 0.0
    middle = float(np.median(values, overwrite_input=True))
    apart = values.astype(np.float64, copy=False)
    apart -= middle
    np.abs(apart, out=apart)
    return middle, MAD_TO_SIGMA * float(np.median(apart, overwrite_input=True))


def _finite(values: np.ndarray) -> np.ndarray:
    """Flat copy without NaN and infinities; float64, or whole numbers as a camera gives them."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 4:
        return values.flatten()
    flat = values.astype(np.float64).ravel()
    finite = np.isfinite(flat)
    return flat if finite.all() else flat[finite]


def is_constant(tiles: Sequence[np.ndarray]) -> bool:
    """Whether sampled tiles, of which there are some, all hold one and the same finite value."""
    ends: set[np.generic] = set()
    for tile in tiles:
        seen = tile[np.isfinite(tile)]
        ends |= {seen.min(), seen.max()} if seen.size else set()
        if len(ends) > 1:
            return False
    return bool(tiles)
