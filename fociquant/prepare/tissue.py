"""Where the lung is: parenchyma by its light, the outline by closing the air.

The darkest and the bright pixels of the overview are separated by Otsu's threshold
on a logarithmic scale (N. Otsu, IEEE Trans. Syst. Man Cybern. 9:62, 1979), but only
if the histogram really has two groups. If it has one, the image is all glass or nearly all
tissue, and the texture of the full resolution decides: glass has pixel noise only, and so
have the lumens in dense tissue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from fociquant.prepare.distances import Distances
from fociquant.prepare.grids import STRIP_ROWS
from fociquant.prepare.textures import Textures
from fociquant.prepare.threads import both, each
from fociquant.prepare.unscanned import with_beside
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

ONE_GROUP_SIGMAS = 4.0
"""Brighter than glass by this many of its standard deviations is not glass."""

AIR_APART = 0.7
"""Otsu's criterion from which on the darkest part of dense tissue may be air, if it is flat too."""

FLAT_NOISES, FLAT_SHARE = 2.0, 0.1
"""Air varies by at most so many standard deviations of the noise, or by this share of what tissue
is brighter (lamps do not light evenly, tissue out of focus glows)."""

FLAT_INNER_PX = 2
"""Pixels of the overview at the border of air that do not count: tissue shines into them."""

LOG_OFFSET = 0.05
"""Keeps the logarithm from stretching the noise of glass; share of a channel's range."""


MAX_HOLE_MM2 = 1.0
"""Holes up to this area are lumens of airways and vessels: the widest airway of a mouse lung
is about 1 mm across."""

GLASS_REACH_UM = 75.0
"""Air at the image's border that holds no disc of this radius is an air space that the border
cuts: alveoli and their ducts are narrower."""

WHOLE_SIDE, LONG_STRIP, STRIP_SIDE_UM = 0.93, 0.25, 250.0
"""Air along this share of a side of the image, in stretches of at least the second share (lint may
lie across), is glass, if the side is as long as several alveoli (µm)."""

PLEURA_GAP_UM = 15.0
"""Gaps in the pleura up to about this width let no glass in, µm."""

MIN_PIECE_SHARE = 0.1
"""In a small image, pieces of tissue down to this share of the image are kept."""


HISTOGRAM_VALUES = 1 << 20
"""Values that one thread counts at a time."""


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
    textures: Textures,
    *,
    pixel_size: PixelSize,
    settings: PrepareSettings,
    unscanned: np.ndarray | None = None,
) -> Tissue:
    """Outline and parenchyma.

    Parameters
    ----------
    overview : numpy.ndarray of float32, shape (n, h, w)
        Channels that show tissue, mean raw counts; finite.
    noises : sequence of float
        Noise of each channel on the overview, raw counts, >= 0.
    textures : Textures
        Of the same channels. Decides where brightness does not: one group of brightness
        only, or a darker group that is tissue too (beside bright foci).
    pixel_size : PixelSize
        Of the overview.
    settings : PrepareSettings
    unscanned : numpy.ndarray of bool, shape (h, w), optional
        Where zeros are known to be no light of the slide.

    Returns
    -------
    Tissue
    """
    # Exactly zero in every channel: never scanned, and neither glass nor tissue.
    scanned = (overview != 0).any(axis=0)
    textures = textures.on(scanned)
    signal = _combined(overview, noises, scanned, unscanned)
    if signal is None:
        bright = scanned & textures.mostly_structured()
        return Tissue(bright, bright)
    threshold, criterion = otsu(signal[scanned])
    if criterion < TWO_GROUPS and textures.mostly_structured():
        # All tissue, unless what is dark lies beside it and has no more than noise: thin septa
        # blur the two groups where there is glass as well.
        bright = scanned & (signal > threshold)
        outline = _outline(bright, pixel_size, settings)
        if not textures.outside_is_glass(outline):
            bright = scanned & ~_flat_air(overview, noises, signal, scanned & ~bright)
            outline = _outline(bright, pixel_size, settings)
        return Tissue(outline, bright & outline)
    if criterion < TWO_GROUPS:
        threshold = _above_one_group(signal[scanned])
    bright = scanned & (signal > threshold)
    outline = _outline(bright, pixel_size, settings)
    while textures.outside_is_tissue(outline):
        threshold, criterion = otsu(signal[scanned & ~bright])
        if criterion < TWO_GROUPS:
            return Tissue(scanned, scanned)
        bright = scanned & (signal > threshold)
        outline = _outline(bright, pixel_size, settings)
    return Tissue(outline, bright & outline)


def _flat_air(
    overview: np.ndarray, noises: Sequence[float], signal: np.ndarray, dark: np.ndarray
) -> np.ndarray:
    """Air within dense tissue: the darkest part of what is dark, if it stands apart and is flat.

    Consolidated lung is nearly all tissue; the lumens in it are too small a part of the image to
    make a group of brightness beside tissue that is bright and less bright.
    """
    nowhere = np.zeros(dark.shape, bool)
    if not dark.any():
        return nowhere
    threshold, criterion = otsu(signal[dark])
    air = dark & (signal <= threshold)
    inner = ndimage.binary_erosion(air, iterations=FLAT_INNER_PX)
    if criterion < AIR_APART or not inner.any():
        return nowhere
    for image, noise in zip(overview, noises, strict=True):
        low, middle, high = np.percentile(image[inner], (15.87, 50.0, 84.13))
        contrast = float(np.median(image[~air])) - middle
        if (high - low) / 2 > max(FLAT_NOISES * noise, FLAT_SHARE * contrast):
            return nowhere
    return air


def _combined(
    overview: np.ndarray,
    noises: Sequence[float],
    scanned: np.ndarray,
    unscanned: np.ndarray | None,
) -> np.ndarray | None:
    """Logarithm of the mean over the channels that show anything; None without any."""
    everywhere = bool(scanned.all())
    beside = None if unscanned is None else with_beside(unscanned)

    def ranged(channel: tuple[np.ndarray, float]) -> tuple[np.ndarray, float, float] | None:
        image, noise = channel
        values = image if everywhere else image[scanned]
        low, high = np.percentile(values, RANGE_PERCENTILES) if values.size else (0, 0)
        if high - low <= max(MIN_CONTRAST_NOISES * noise, 1e-6 * abs(high)):
            return None
        smooth = cv2.medianBlur(np.ascontiguousarray(image, np.float32), 3)
        if beside is not None:
            smooth[beside] = image[beside]  # most of what is around these may be zeros
        return smooth, low, high - low

    found = each(ranged, zip(overview, noises, strict=True))
    shown = [channel for channel in found if channel is not None]
    if not shown:
        return None
    signal = np.empty(scanned.shape)

    def combine(top: int) -> None:
        strip = slice(top, top + STRIP_ROWS)
        total = signal[strip]
        total[:] = 0.0
        for smooth, low, range_ in shown:
            light = np.subtract(smooth[strip], low, dtype=np.float64)
            light /= range_
            total += np.clip(light, 0.0, 1.0, out=light)
        total /= len(shown)
        total += LOG_OFFSET
        np.log(total, out=total)

    each(combine, range(0, len(signal), STRIP_ROWS))
    return signal


def _above_one_group(signal: np.ndarray) -> float:
    """Level above which little of a single group of brightness lies: the rest is on glass.

    The width is taken from the darker half, which is glass.
    """
    middle, dark = np.percentile(signal, (50.0, 15.87))
    return float(middle + ONE_GROUP_SIGMAS * max(middle - dark, 0.05))


def otsu(values: np.ndarray) -> tuple[float, float]:
    """Threshold with the largest variance between the groups, and its share of all variance.

    Of float64: the edges of bins are exact then, however many threads count.
    """
    counts, edges = _histogram(values)
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


def _histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts in 256 bins from the least to the largest value, and their edges."""
    if not values.size:
        return np.histogram(values, bins=256)
    ends = float(values.min()), float(values.max())
    parts = [values[i : i + HISTOGRAM_VALUES] for i in range(0, values.size, HISTOGRAM_VALUES)]
    found = each(lambda part: np.histogram(part, bins=256, range=ends), parts)
    return np.sum([counts for counts, _ in found], axis=0), found[0][1]


def _outline(bright: np.ndarray, pixel_size: PixelSize, settings: PrepareSettings) -> np.ndarray:
    """Close the air. The image continues as its mirror image: air at its border closes too."""
    if not bright.any():
        return bright
    margin = math.ceil(settings.airspace_closing_um / min(pixel_size.y, pixel_size.x)) + 1

    def fill() -> np.ndarray:
        padded = np.pad(bright, margin, mode="symmetric")
        closed = _close(padded, settings.airspace_closing_um / 2, pixel_size)
        closed |= _small_pieces(~closed, MAX_HOLE_MM2, pixel_size, at_border=False)
        filled = closed[margin:-margin, margin:-margin]
        return filled | _cut_air(filled, bright, pixel_size)

    glass, filled = both(
        lambda: _strips_of_glass(bright, pixel_size, settings.airspace_closing_um), fill
    )
    filled &= ~glass
    image_mm2 = filled.size * pixel_size.area_um2 / UM2_PER_MM2
    smallest = min(settings.min_tissue_piece_mm2, MIN_PIECE_SHARE * image_mm2)
    return filled & ~_small_pieces(filled, smallest, pixel_size, at_border=True)


def _cut_air(filled: np.ndarray, bright: np.ndarray, pixel_size: PixelSize) -> np.ndarray:
    """What lies outside, at the image's border, but is air of the lung that the border cuts.

    Glass is wide, or runs along a whole side of the image, and reaches a corner; a lumen as wide
    as that is cut by one side only.
    """
    pieces, count = ndimage.label(~filled)
    if not count:
        return np.zeros_like(filled)
    deep = Distances(bright, pixel_size).at_least(GLASS_REACH_UM)
    wide = np.bincount(pieces[deep], minlength=count + 1) > 0
    mm2 = np.bincount(pieces.ravel(), minlength=count + 1) * pixel_size.area_um2 / UM2_PER_MM2
    sides = np.zeros(count + 1, np.int64)
    for edge in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        sides[np.unique(edge)] += 1
    narrow = ~wide & (sides < 3)
    air = (sides > 0) & (narrow | ((sides == 1) & (mm2 < MAX_HOLE_MM2)))
    air[0] = False
    return air[pieces]


def _strips_of_glass(bright: np.ndarray, pixel_size: PixelSize, widest_um: float) -> np.ndarray:
    """Narrow glass along a whole side of the image, which closing would take for air spaces.

    Septa would cross a side that lies in the lung.
    """
    sealed = _close(bright, PLEURA_GAP_UM / 2, pixel_size)
    pieces, count = ndimage.label(~sealed)
    glass = np.zeros_like(bright)
    if not count:
        return glass
    for axis, um in enumerate((pixel_size.y, pixel_size.x)):
        depth = max(round(widest_um / um), 1)
        for along, near in ((0, np.s_[:depth]), (-1, np.s_[-depth:])):
            side = np.take(pieces, along, axis=axis)
            shares = np.bincount(side, minlength=count + 1) / side.size
            shares[0] = 0.0
            long = np.flatnonzero(shares >= LONG_STRIP)
            length_um = side.size * (pixel_size.x, pixel_size.y)[axis]
            if length_um >= STRIP_SIDE_UM and shares[long].sum() >= WHOLE_SIDE:
                band = near if axis == 0 else (slice(None), near)
                glass[band] |= np.isin(pieces[band], long)
    return glass


def _close(mask: np.ndarray, radius_um: float, pixel_size: PixelSize) -> np.ndarray:
    """Morphological closing with a disc; at least one pixel of the mask is True."""
    grown = Distances(mask, pixel_size).within(radius_um)
    if grown.all():
        return grown
    return np.asarray(Distances(~grown, pixel_size).beyond(radius_um) | mask)


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
