"""What air and tissue look like, and how much of the outline is tissue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fociquant.prepare.detail import Levels, is_tissue
from fociquant.prepare.tissue import LOG_OFFSET, RANGE_PERCENTILES, TWO_GROUPS, otsu
from fociquant.units import PixelSize

TISSUE_CHANNELS = ("autofluorescence", "marker")
"""The first of these in which air and tissue differ tells them apart: autofluorescence is in all
tissue and in no label; nuclei leave gaps and are not used."""

LEVEL_UM = 2.0
"""Levels are found in means over squares of about this edge, µm."""

FINE_UM = 1.0
"""Pixel on which the width of septa is right to some percent, µm."""

MIN_CONTRAST_NOISES = 6.0
"""Tissue is brighter than air by at least so many standard deviations of the noise."""

MAX_SPLITS = 3
"""Groups of brightness above air: labelled cells, tissue."""

FEW = 0.08
"""A bright group of less than this share of the pixels may be labelled cells."""

COVER_LIMITS = (0.5, 1.5)
"""The correction for coarse pixels is not believed beyond these."""


def tissue_levels(
    tiles: Mapping[str, Sequence[np.ndarray]], noises: Mapping[str, float], pixel_size: PixelSize
) -> dict[str, Levels]:
    """Air and tissue in the first channel that shows both.

    Parameters
    ----------
    tiles : mapping of str to sequence of numpy.ndarray, shape (h, w)
        Role to full-resolution tiles, raw counts.
    noises : mapping of str to float
        Role to the pixel noise, raw counts.
    pixel_size : PixelSize
        At full resolution.

    Returns
    -------
    dict of str to Levels
        One role; empty if no channel has two groups of brightness (all air, or no air).
    """
    n = max(round(LEVEL_UM / pixel_size.mean), 1)
    tiles = {role: [binned(tile, n).ravel() for tile in tiles[role]] for role in tiles}
    flat = {role: np.concatenate(parts or [np.empty(0)]) for role, parts in tiles.items()}
    # Exactly zero in every channel: never scanned.
    scanned = np.any([values != 0 for values in flat.values()], axis=0) if flat else False
    for role in TISSUE_CHANNELS:
        if role in flat:
            level = _two_levels(flat[role][scanned], noises[role] / n, labelled=role == "marker")
            if level is not None:
                return {role: level}
    return {}


def _two_levels(values: np.ndarray, noise: float, *, labelled: bool) -> Levels | None:
    """Medians of the dark and of the bright group.

    Where cells are labelled a small bright group may be they, and the dark one is split again.
    """
    values = values[np.isfinite(values)]
    for _ in range(MAX_SPLITS):
        parts = _split(values, noise)
        if parts is None:
            break
        air, tissue = (float(np.median(part)) for part in parts)
        if tissue - air <= MIN_CONTRAST_NOISES * noise:
            break
        level = Levels(air, tissue)
        if not labelled or len(parts[1]) > FEW * len(values):
            return level
        values = parts[0]
    return None


def _split(values: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray] | None:
    if values.size < 2:
        return None
    low, high = np.percentile(values, RANGE_PERCENTILES)
    if high - low <= max(MIN_CONTRAST_NOISES * noise, 1e-6 * abs(high)):
        return None
    signal = np.log(np.clip((values - low) / (high - low), 0.0, 1.0) + LOG_OFFSET)
    threshold, criterion = otsu(signal)
    bright = signal > threshold
    if criterion < TWO_GROUPS or bright.all():
        return None
    return values[~bright], values[bright]


def coarse_pixel_bias(
    tiles: Mapping[str, Sequence[np.ndarray]],
    levels: Mapping[str, Levels],
    *,
    factor: int,
    pixel_size: PixelSize,
) -> float:
    """Area of tissue on fine pixels over that on coarse ones, in the same tiles.

    Parameters
    ----------
    tiles : mapping of str to sequence of numpy.ndarray, shape (h, w)
        Role to full-resolution tiles, raw counts.
    levels : mapping of str to Levels
        Of :func:`tissue_levels`, not empty.
    factor : int
        Full-resolution pixels along a coarse pixel.
    pixel_size : PixelSize
        At full resolution.

    Returns
    -------
    float
        0.5-1.5; 1 where there is nothing to compare.
    """
    fine = max(round(FINE_UM / pixel_size.mean), 1)
    if fine >= factor:
        return 1.0
    areas = np.zeros(2)
    for together in zip(*(tiles[role] for role in levels), strict=True):
        for index, n in enumerate((fine, factor)):
            planes = [np.nan_to_num(binned(tile, n), posinf=0.0, neginf=0.0) for tile in together]
            if min(planes[0].shape) == 0:
                return 1.0
            found = is_tissue(planes, list(levels.values()), pixel_size.mean * n)
            areas[index] += found.mean()
    if areas.min() <= 0:
        return 1.0
    return float(np.clip(areas[0] / areas[1], *COVER_LIMITS))


def binned(tile: np.ndarray, n: int) -> np.ndarray:
    """Means over n x n pixels, float64; what is left over at the far edges is cut."""
    h, w = (size // n for size in tile.shape)
    blocks = tile[: h * n, : w * n].reshape(h, n, w, n)
    return blocks.mean(axis=(1, 3), dtype=np.float64)
