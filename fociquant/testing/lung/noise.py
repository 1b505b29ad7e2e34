"""Randomness as a function of position: hashes, smooth fields, periodic textures.

A hash of integer coordinates gives the same number wherever it is asked for, so
whatever is built on it looks the same in every tile it falls into.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np

TEXTURE_PX = 768
"""Period of the texture bank, px."""

SLICE_PX = 256
"""Windows up to this size are cut without a copy: each texture is stored this much longer."""

TEXTURE_SCALES_PX = (0.7, 1.2, 2.0, 3.5, 6.0, 11.0, 20.0)
"""Correlation lengths (Gaussian sigma) in the bank, px."""

_BORDERS_PX = tuple((a * b) ** 0.5 for a, b in itertools.pairwise(TEXTURE_SCALES_PX))
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(z: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014), elementwise."""
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    return z ^ (z >> np.uint64(31))


def hash01(seed: int, *coords: np.ndarray | int) -> np.ndarray:
    """Uniform numbers that depend on nothing but `seed` and integer coordinates.

    Parameters
    ----------
    seed : int
        Names the field.
    *coords : array_like of int
        Broadcast against each other; negative values are fine.

    Returns
    -------
    numpy.ndarray of float64
        In [0, 1), of the broadcast shape, at least 1-D.
    """
    return _to_unit(_hash(seed, *coords))


def hash_columns(seed: int, columns: int, *coords: np.ndarray | int) -> np.ndarray:
    """Several independent numbers per point: float64 in [0, 1), shape (n, columns)."""
    steps = np.arange(1, columns + 1, dtype=np.uint64) * _GOLDEN
    return _to_unit(_mix(_hash(seed, *coords)[:, None] + steps))


def _hash(seed: int, *coords: np.ndarray | int) -> np.ndarray:
    total = np.asarray([seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
    for coord in coords:
        step = np.atleast_1d(np.asarray(coord, dtype=np.int64)).view(np.uint64)
        total = _mix((total ^ step) * _GOLDEN + _MIX1)
    return total


def _to_unit(bits: np.ndarray) -> np.ndarray:
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def sub_seed(seed: int, *parts: int) -> int:
    """A 63-bit seed derived from another and from integers that name its use."""
    return int(hash01(seed, *parts)[0] * 2**53) ^ (seed << 7 & 0x7FFFFFFF)


def noise_grid(ys: np.ndarray, xs: np.ndarray, scale: float, seed: int) -> np.ndarray:
    """Smooth value noise at the crossings of `ys` and `xs`.

    Parameters
    ----------
    ys, xs : numpy.ndarray of float, shapes (h,) and (w,)
        Positions, in the unit of `scale`.
    scale : float
        Distance between the random values that are interpolated.
    seed : int
        Names the field.

    Returns
    -------
    numpy.ndarray of float32, shape (h, w)
        In [0, 1], mean 0.5, standard deviation about 0.2.
    """
    (iy, wy), (ix, wx) = _taps(ys, scale), _taps(xs, scale)
    y0, x0 = int(iy.min()), int(ix.min())
    rows, cols = np.arange(y0, iy.max() + 4), np.arange(x0, ix.max() + 4)
    values = hash01(seed, rows[:, None], cols[None, :]).astype(np.float32)
    jy, jx = iy - y0, ix - x0
    along_y = sum(values[jy + k] * wy[k][:, None] for k in range(4))
    return _spread(sum(along_y[:, jx + k] * wx[k][None, :] for k in range(4)))


def noise_at(y: np.ndarray, x: np.ndarray, scale: float, seed: int) -> np.ndarray:
    """As :func:`noise_grid`, at single points; float32, shape of `y`."""
    (iy, wy), (ix, wx) = _taps(y, scale), _taps(x, scale)
    total = np.zeros(len(iy), dtype=np.float32)
    for j, i in itertools.product(range(4), range(4)):
        total += hash01(seed, iy + j, ix + i).astype(np.float32) * wy[j] * wx[i]
    return _spread(total)


def _taps(position: np.ndarray, scale: float) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """First lattice point of each position, and the four weights of a cubic B-spline.

    Splines are rounder than linear interpolation: no blocks along the axes.
    """
    scaled = np.asarray(position, dtype=np.float64) / scale
    index = np.floor(scaled)
    t = (scaled - index).astype(np.float32)
    u = 1 - t
    weights = (u**3, 3 * t**3 - 6 * t**2 + 4, 3 * u**3 - 6 * u**2 + 4, t**3)
    return index.astype(np.int64), tuple(w / 6 for w in weights)


def _spread(value: np.ndarray) -> np.ndarray:
    """Widen what the spline narrowed, to a standard deviation of about 0.2."""
    return np.clip(0.5 + np.float32(1.5) * (value - np.float32(0.5)), 0, 1)


@lru_cache(maxsize=16)
def _texture(level: int, granular: bool) -> np.ndarray:
    """One periodic texture of the bank, zero mean and unit variance, read-only."""
    rng = np.random.Generator(np.random.Philox(key=[level, int(granular)]))
    white = rng.standard_normal((TEXTURE_PX, TEXTURE_PX), dtype=np.float32)
    sigma = TEXTURE_SCALES_PX[level]
    if granular:
        white = (white > 2.0 - 0.25 * level).astype(np.float32) * rng.random(
            (TEXTURE_PX, TEXTURE_PX), dtype=np.float32
        )
    fy, fx = np.fft.fftfreq(TEXTURE_PX)[:, None], np.fft.rfftfreq(TEXTURE_PX)[None, :]
    response = np.exp(-2 * (np.pi * sigma) ** 2 * (fy**2 + fx**2))
    smooth = np.fft.irfft2(np.fft.rfft2(white) * response, s=white.shape)
    period = ((smooth - smooth.mean()) / smooth.std()).astype(np.float32)
    texture = np.pad(period, (0, SLICE_PX), mode="wrap")
    texture.setflags(write=False)
    return texture


def texture_window(
    y0: int, x0: int, shape: tuple[int, int], *, scale_px: float, granular: bool = False
) -> np.ndarray:
    """A window of a periodic texture (period 768 px).

    Parameters
    ----------
    y0, x0 : int
        Global pixel of the window's corner, plus any offset that tells two uses apart.
    shape : tuple of int
        (height, width), px.
    scale_px : float
        Wanted correlation length, px; the nearest one of the bank is taken.
    granular : bool
        Sparse bright grains instead of a Gaussian field.

    Returns
    -------
    numpy.ndarray of float32
        Zero mean and unit variance over one period; may be a read-only view.
    """
    level = sum(scale_px > border for border in _BORDERS_PX)
    texture = _texture(level, granular)
    if max(shape) <= SLICE_PX:
        y0, x0 = int(y0) % TEXTURE_PX, int(x0) % TEXTURE_PX
        return texture[y0 : y0 + shape[0], x0 : x0 + shape[1]]
    rows = np.arange(y0, y0 + shape[0]) % TEXTURE_PX
    cols = np.arange(x0, x0 + shape[1]) % TEXTURE_PX
    return texture[rows[:, None], cols]
