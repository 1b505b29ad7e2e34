"""Where the lung is: parenchyma by its light, the outline by closing the air.

The darkest and the bright pixels of the overview are separated by Otsu's threshold
on a logarithmic scale (N. Otsu, IEEE Trans. Syst. Man Cybern. 9:62, 1979), but only
if the histogram really has two groups. If it has one, the image is all glass or all
tissue, and the texture of the full resolution decides: glass has pixel noise only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from fociquant.settings import PrepareSettings
from fociquant.units import UM2_PER_MM2, PixelSize

MIN_CONTRAST_NOISES = 10.0
"""A channel whose overview spans fewer noise standard deviations shows nothing; noise alone
spans about 5 between the percentiles used."""

RANGE_PERCENTILES = (0.5, 99.0)
"""Dark and bright end of a channel; foci and debris brighter than the second are cut."""

TWO_GROUPS = 0.8
"""Otsu's criterion (variance between the groups over all variance) is 0.64 for one normal
distribution, 0.75 for a uniform one (shading), more for two groups."""

MAX_HOLE_MM2 = 1.0
"""Holes up to this area are lumens of airways and vessels: the widest airway of a mouse lung
is about 1 mm across."""

MIN_PIECE_SHARE = 0.1
"""In a small image, pieces of tissue down to this share of the image are kept."""

TEXTURE_UM = 2.0
"""Structure is looked for in means over squares of about this edge, µm: less than a nucleus."""

TEXTURE_LAG = 4
"""They are compared over this many squares: about the distance of nuclei and septa."""

TEXTURE_NOISES = 2.0
"""A tile in which they differ by this many times what noise explains is structured."""


@dataclass(frozen=True, slots=True)
class Tissue:
    """Masks on the overview.

    Parameters
    ----------
    outline : numpy.ndarray of bool, shape (h, w)
        Inside the lung, air included.
    parenchyma : numpy.ndarray of bool, shape (h, w)
        The same without the air.
    """

    outline: np.ndarray
    parenchyma: np.ndarray


def find_tissue(
    overview: np.ndarray,
    noises: Sequence[float],
    *,
    structured: bool,
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> Tissue:
    """Outline and parenchyma.

    Parameters
    ----------
    overview : numpy.ndarray of float32, shape (n, h, w)
        Channels that show tissue, mean raw counts; finite.
    noises : sequence of float
        Noise of each channel on the overview, raw counts, >= 0.
    structured : bool
        Whether most of the image has texture at full resolution; decides where the
        overview shows no two groups of brightness.
    pixel_size : PixelSize
        Of the overview.
    settings : PrepareSettings

    Returns
    -------
    Tissue
    """
    bright = _bright(overview, noises)
    if bright is None:
        bright = np.full(overview.shape[1:], structured)
    outline = _outline(bright, pixel_size, settings)
    return Tissue(outline, bright & outline)


def is_structured(tile: np.ndarray, noise: float, pixel_size: PixelSize) -> bool:
    """Whether a full-resolution tile varies by more than its pixel noise explains.

    Parameters
    ----------
    tile : numpy.ndarray, shape (h, w)
        Raw counts.
    noise : float
        Of the tile's channel, raw counts.
    pixel_size : PixelSize
        At full resolution.
    """
    n = max(round(TEXTURE_UM / pixel_size.mean), 1)
    h, w = (size // n for size in tile.shape)
    if h < 4 * TEXTURE_LAG or w == 0:
        return False
    blocks = tile[: h * n, : w * n].astype(np.float64).reshape(h, n, w, n)
    means = np.where(np.isfinite(blocks), blocks, np.nan).mean(axis=(1, 3))
    # Second differences, so that shading, which is smooth, is not taken for structure.
    bends = means[: -2 * TEXTURE_LAG] - 2 * means[TEXTURE_LAG:-TEXTURE_LAG]
    bends = (bends + means[2 * TEXTURE_LAG :]).ravel()
    bends = bends[np.isfinite(bends)]
    if bends.size == 0:
        return False
    low, high = np.percentile(bends, (15.87, 84.13))
    expected = math.sqrt(6.0) * noise / n
    return bool((high - low) / 2 > TEXTURE_NOISES * expected and high > low)


def _bright(overview: np.ndarray, noises: Sequence[float]) -> np.ndarray | None:
    """Pixels of the brighter group; None if there are no two groups."""
    signal = _combined(overview, noises)
    if signal is None:
        return None
    scaled = np.log(signal + 0.05)
    threshold, criterion = _otsu(scaled)
    return scaled > threshold if criterion >= TWO_GROUPS else None


def _combined(overview: np.ndarray, noises: Sequence[float]) -> np.ndarray | None:
    """Mean over the channels that show anything, each stretched to 0…1; None without any."""
    stretched = []
    for image, noise in zip(overview, noises, strict=True):
        low, high = np.percentile(image, RANGE_PERCENTILES) if image.size else (0.0, 0.0)
        if high - low > max(MIN_CONTRAST_NOISES * noise, 1e-6 * abs(high)):
            smooth = ndimage.median_filter(image, size=3, mode="nearest")
            stretched.append(np.clip((smooth - low) / (high - low), 0.0, 1.0))
    return np.mean(stretched, axis=0) if stretched else None


def _otsu(values: np.ndarray) -> tuple[float, float]:
    """Threshold with the largest variance between the groups, and its share of all variance."""
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    weight = np.cumsum(counts)[:-1].astype(np.float64)
    total = np.cumsum(counts * centres)
    n, all_sum = float(counts.sum()), total[-1]
    balance = weight * (n - weight)
    between = (all_sum * weight / n - total[:-1]) ** 2
    between = np.divide(between, balance, out=np.zeros_like(between), where=balance > 0)
    variance = float((counts * (centres - all_sum / n) ** 2).sum()) / n
    best = int(np.argmax(between))
    return float(edges[best + 1]), float(between[best]) / variance if variance > 0 else 0.0


def _outline(bright: np.ndarray, pixel_size: PixelSize, settings: PrepareSettings) -> np.ndarray:
    """Close the air. The image continues as its mirror image: air at its border closes too."""
    if not bright.any():
        return bright
    margin = math.ceil(settings.airspace_closing_um / min(pixel_size.y, pixel_size.x)) + 1
    padded = np.pad(bright, margin, mode="symmetric")
    closed = _close(padded, settings.airspace_closing_um / 2, pixel_size)
    closed |= _small_pieces(~closed, MAX_HOLE_MM2, pixel_size, at_border=False)
    filled = closed[margin:-margin, margin:-margin]
    image_mm2 = filled.size * pixel_size.area_um2 / UM2_PER_MM2
    smallest = min(settings.min_tissue_piece_mm2, MIN_PIECE_SHARE * image_mm2)
    return filled & ~_small_pieces(filled, smallest, pixel_size, at_border=True)


def _close(mask: np.ndarray, radius_um: float, pixel_size: PixelSize) -> np.ndarray:
    """Morphological closing with a disc."""
    sampling = (pixel_size.y, pixel_size.x)
    grown = ndimage.distance_transform_edt(~mask, sampling=sampling) <= radius_um
    if grown.all():
        return grown
    return (ndimage.distance_transform_edt(grown, sampling=sampling) > radius_um) | mask


def _small_pieces(
    mask: np.ndarray, area_mm2: float, pixel_size: PixelSize, *, at_border: bool
) -> np.ndarray:
    """Connected pieces smaller than an area; those at the image's border only if asked."""
    pieces, count = ndimage.label(mask)
    small = (
        np.bincount(pieces.ravel(), minlength=count + 1) * pixel_size.area_um2
        < area_mm2 * UM2_PER_MM2
    )
    small[0] = False
    if not at_border and mask.size:
        for edge in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
            small[edge] = False
    return small[pieces]
