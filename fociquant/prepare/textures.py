"""What tiles at full resolution look like: glass has pixel noise only, tissue has structure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fociquant.model import Box
from fociquant.units import PixelSize

MOSTLY_OUTSIDE = 0.1
"""A tile with less of the outline than this tells of what lies outside."""

LIKE_TISSUE = 0.25
"""Texture outside, relative to that inside, from which on outside is tissue, too."""

TEXTURE_UM = 2.0
"""Structure is looked for in means over squares of about this edge, µm: less than a nucleus."""

TEXTURE_LAG = 4
"""They are compared over this many squares: about the distance of nuclei and septa."""

TEXTURE_NOISES = 2.0
"""A tile in which they differ by this many times what noise explains is structured."""


@dataclass(frozen=True, slots=True)
class Textures:
    """What full-resolution tiles on a lattice look like.

    Parameters
    ----------
    boxes : sequence of Box
        Where they lie on the overview.
    values : numpy.ndarray of float64, shape (n, number of tiles)
        :func:`texture` of each channel and tile, raw counts.
    noises : numpy.ndarray of float64, shape (n,)
        What pixel noise alone would give.
    """

    boxes: Sequence[Box]
    values: np.ndarray
    noises: np.ndarray

    @property
    def structured(self) -> np.ndarray:
        """Which tiles have more than noise in a channel, bool (n, number of tiles)."""
        return (self.values > TEXTURE_NOISES * self.noises[:, None]) & (self.values > 0)

    def on(self, mask: np.ndarray) -> Textures:
        """The tiles that lie on a mask (h, w) by at least half."""
        here = np.array([mask[box.slices].mean() >= 0.5 for box in self.boxes], dtype=bool)
        boxes = [box for box, chosen in zip(self.boxes, here, strict=True) if chosen]
        return Textures(boxes, self.values[:, here], self.noises)

    def mostly_structured(self) -> bool:
        """Whether at least half of the tiles have more than noise in some channel."""
        return bool(self.boxes) and float(self.structured.any(axis=0).mean()) >= 0.5

    def outside_is_glass(self, outline: np.ndarray) -> bool:
        """Whether there are tiles outside an outline, and most have no more than noise."""
        covered = np.array([outline[box.slices].mean() for box in self.boxes])
        outside = covered < MOSTLY_OUTSIDE
        if not outside.any():
            return False
        return float(self.structured[:, outside].any(axis=0).mean()) < 0.5

    def outside_is_tissue(self, outline: np.ndarray) -> bool:
        """Whether the tiles outside an outline have texture like those inside.

        At least half of them must be structured, and their median must not be far below that
        of the tiles inside: noise that a camera or a compression has smeared is weak.
        """
        covered = np.array([outline[box.slices].mean() for box in self.boxes])
        outside, inside = covered < MOSTLY_OUTSIDE, covered >= 0.5
        if not outside.any():
            return False
        for values, structured in zip(self.values, self.structured, strict=True):
            reference = np.median(values[inside]) if inside.any() else 0.0
            alike = np.median(values[outside]) >= LIKE_TISSUE * reference
            if structured[outside].mean() >= 0.5 and alike:
                return True
        return False


def texture(tile: np.ndarray, pixel_size: PixelSize) -> float:
    """How much a full-resolution tile varies on the scale of nuclei and septa.

    Parameters
    ----------
    tile : numpy.ndarray, shape (h, w)
        Raw counts.
    pixel_size : PixelSize
        At full resolution.

    Returns
    -------
    float
        Robust standard deviation, raw counts, of second differences of means over small
        squares (so that shading, which is smooth, does not count); 0 if the tile is too small.
    """
    n = _texture_px(pixel_size)
    h, w = (size // n for size in tile.shape)
    if h < 4 * TEXTURE_LAG or w == 0:
        return 0.0
    blocks = tile[: h * n, : w * n].astype(np.float64).reshape(h, n, w, n)
    means = np.where(np.isfinite(blocks), blocks, np.nan).mean(axis=(1, 3))
    bends = means[: -2 * TEXTURE_LAG] - 2 * means[TEXTURE_LAG:-TEXTURE_LAG]
    bends = (bends + means[2 * TEXTURE_LAG :]).ravel()
    bends = bends[np.isfinite(bends)]
    if bends.size == 0:
        return 0.0
    low, high = np.percentile(bends, (15.87, 84.13))
    return float(high - low) / 2


def texture_of_noise(noise: float, pixel_size: PixelSize) -> float:
    """What :func:`texture` gives for pixel noise alone, raw counts."""
    return math.sqrt(6.0) * noise / _texture_px(pixel_size)


def _texture_px(pixel_size: PixelSize) -> int:
    return max(round(TEXTURE_UM / pixel_size.mean), 1)
