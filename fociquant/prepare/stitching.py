"""The grid of camera fields that a section was stitched from, as its light shows it.

A lens lights its field unevenly, so brightness repeats from field to field. Tissue does not
repeat. Where light falls off towards the borders of fields, its slope along an axis is a saw
tooth; a slope also turns the slow changes of tissue into noise of about one strength at all
frequencies, in which the lines of a repeating tooth stand out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

STRIP_PX = 24
"""Slopes are taken in strips of this width and averaged, so that no bright focus rules a row."""

SMALLEST_UM = 160.0
"""Smaller fields are not looked for: cameras see 200 µm and more at 60x, and the pattern of
alveoli comes near to repeating over some 50 µm and small multiples of it."""

SMALLEST_PX = 12.0
"""Nor are those of fewer pixels."""

MIN_FIELDS = 3
"""Along an axis; fewer repeats prove nothing."""

HARMONICS = (1.0, 0.5, 0.25)
"""Weights of the first lines of a saw tooth, which are added up; the first is the strongest."""

PADDING = 8
"""Spectrum points per independent frequency."""

STANDS_OUT = 6.0
"""The lines together, in units of the noise. Of noise alone the strongest of a thousand
frequencies reaches 9 or so; every period is tested on the folded image before it is believed."""

ALIKE = 0.01
"""Periods that differ by less than this share are one."""

OFFSETS = 48
"""Places of the border that are tried, per field."""

STRETCHES = tuple(step / 25.0 for step in range(-6, 7))
"""Corrections of the period that are tried: so many fields' widths over the whole section."""

TEETH = (1.0, 0.5)
"""The first two lines of a saw tooth: enough for its place, and free of what is finer in tissue."""

CUT_SPREADS = 3.0
"""Slopes beyond so many robust standard deviations are cut: borders of foci and vessels."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A repeat along one axis, overview pixels.

    Parameters
    ----------
    period : float
        Width of a field; 0: nothing repeats along this axis.
    origin : float
        Where a field begins, from the image's corner; 0 <= origin < period.
    """

    period: float = 0.0
    origin: float = 0.0

    def place(self, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of the field of each position, and the place in it from -1 to 1 (0: none)."""
        if not self.period:
            return np.zeros(len(centres), np.int64), np.zeros(len(centres))
        turns = (centres - self.origin) / self.period
        number = np.floor(turns)
        return number.astype(np.int64), 2.0 * (turns - number) - 1.0


@dataclass(frozen=True, slots=True)
class Fields:
    """Camera fields along both axes."""

    y: Axis
    x: Axis

    def over(self, n: int) -> Fields:
        """The same on a grid that is `n` times coarser."""
        y, x = (Axis(axis.period / n, axis.origin / n) for axis in (self.y, self.x))
        return Fields(y, x)


def find_fields(
    planes: Sequence[np.ndarray], outline: np.ndarray, *, pixel_um: float
) -> list[Fields]:
    """Repeats that may be those of camera fields.

    Parameters
    ----------
    planes : sequence of numpy.ndarray, shape (h, w)
        Channels of the overview, raw counts, finite.
    outline : numpy.ndarray of bool, shape (h, w)
        The lung's outline.
    pixel_um : float
        Edge of an overview pixel, µm.

    Returns
    -------
    list of Fields
        Empty if nothing repeats; else the hypotheses worth a closer look: square fields, fields
        of two different edges, and strips along either axis.
    """
    if not outline.any():
        return []
    views = [
        list(_slopes(planes, outline)),
        list(_slopes([plane.T for plane in planes], outline.T)),
    ]
    extents = [_extent(np.asarray(outline.any(axis=axis))) for axis in (1, 0)]
    smallest = max(SMALLEST_UM / pixel_um, SMALLEST_PX)
    spectra = [_spectrum(*view, smallest) for view in zip(views, extents, strict=True)]
    y, x = (_best(spectrum) for spectrum in spectra)
    pairs = [(one, one) for one in (_best(_sum(*spectra)), y, x) if one]
    pairs += [(y, x)] if y and x else []
    pairs += [(y, 0.0)] if y else []
    pairs += [(0.0, x)] if x else []
    return [_located(pair, views, extents) for pair in _distinct(pairs)]


def _distinct(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    for pair in pairs:
        if not any(np.allclose(pair, other, rtol=ALIKE, atol=0) for other in kept):
            kept.append(pair)
    return kept


def _extent(shown: np.ndarray) -> int:
    places = np.flatnonzero(shown)
    return int(places[-1] - places[0] + 1)


@dataclass(frozen=True, slots=True)
class _Slope:
    """Mean relative slope of light at each row of one channel, and how many strips say so."""

    values: np.ndarray
    strips: np.ndarray


@dataclass(frozen=True, slots=True)
class _Spectrum:
    """Strength of each period, in units of the noise; `frequencies` per overview pixel."""

    frequencies: np.ndarray
    strength: np.ndarray
    extent: int


def _spectrum(slopes: Sequence[_Slope], extent: int, smallest: float) -> _Spectrum:
    """Mean of the channels, for periods of at least `smallest` pixels."""
    size = 2 ** math.ceil(math.log2(PADDING * max(len(slopes[0].values), 64)))
    parts = [
        # Scaled to the same noise in every row.
        _whitened(np.abs(np.fft.rfft(one.values * np.sqrt(one.strips), size)) ** 2)
        for one in slopes
    ]
    whole = np.mean(parts, axis=0)
    index = np.arange(int(size / smallest) + 1)
    strength = sum(weight * whole[index * k] for k, weight in enumerate(HARMONICS, start=1))
    return _Spectrum(index / size, np.asarray(strength), extent)


def _slopes(planes: Sequence[np.ndarray], outline: np.ndarray) -> Iterator[_Slope]:
    """Of each channel along axis 0: half the change over two pixels, relative to the light."""
    starts = np.arange(0, outline.shape[1], STRIP_PX)
    counts = np.add.reduceat(outline, starts, axis=1, dtype=np.int64)
    usable = counts * 2 >= np.diff([*starts, outline.shape[1]])
    usable = usable[:-2] & usable[1:-1] & usable[2:]
    number = np.zeros(len(outline))
    number[1:-1] = usable.sum(axis=1)
    for plane in planes:
        low = np.percentile(plane[outline], 1)
        light = np.where(outline, np.maximum(plane - low, 0.0), 0.0)
        means = np.add.reduceat(light, starts, axis=1, dtype=np.float64) / np.maximum(counts, 1)
        total = means[2:] + means[:-2]
        slope = np.divide(means[2:] - means[:-2], total, out=np.zeros(total.shape),
                          where=usable & (total > 0))  # fmt: skip
        if usable.any():
            limit = CUT_SPREADS * 1.4826 * float(np.median(np.abs(slope[usable])))
            slope = np.clip(slope, -limit, limit)
        whole = np.zeros(len(outline))
        whole[1:-1] = slope.sum(axis=1)
        yield _Slope(whole / np.maximum(number, 1), number)


def _whitened(power: np.ndarray) -> np.ndarray:
    """Power over what is usual at its frequency; 1 on average for noise.

    The usual is a parabola in the logarithms, fitted to the points that do not stand out.
    """
    stop = max(int(len(power) * 0.6), 8)  # beyond, the slope over two pixels vanishes
    x = np.log(np.arange(1, stop))
    y = np.log(np.maximum(power[1:stop], np.finfo(float).tiny))
    use = np.ones(len(x), bool)
    fit = np.zeros(3)
    for _ in range(4):
        fit = np.polyfit(x[use], y[use], 2, w=np.exp(-0.5 * x[use]))
        above = y - np.polyval(fit, x)
        use = above < 1.5
        if np.count_nonzero(use) < 8:
            break
    white = np.zeros(len(power))
    # The mean of the logarithm of an exponential variable is 0.577 below that of its mean.
    white[1:stop] = np.exp(np.minimum(y - np.polyval(fit, x) - 0.577, 50.0))
    return white


def _sum(one: _Spectrum, other: _Spectrum) -> _Spectrum:
    """Both axes together, on the finer grid of the two; halved, to be judged like one."""
    fine, coarse = (one, other) if len(one.strength) >= len(other.strength) else (other, one)
    onto = np.interp(fine.frequencies, coarse.frequencies, coarse.strength)
    return _Spectrum(fine.frequencies, 0.5 * (fine.strength + onto), min(one.extent, other.extent))


def _best(spectrum: _Spectrum) -> float:
    """The period that stands out most; 0 if none does."""
    f, strength = spectrum.frequencies, spectrum.strength
    allowed = f >= MIN_FIELDS / max(spectrum.extent, 1)
    if np.count_nonzero(allowed) < 3:
        return 0.0
    peak = int(np.argmax(np.where(allowed, strength, -np.inf)))
    if strength[peak] < STANDS_OUT:
        return 0.0
    peak = min(max(peak, 1), len(f) - 2)
    left, middle, right = strength[peak - 1 : peak + 2]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(1.0 / (f[peak] + np.clip(shift, -0.5, 0.5) * f[1]))


def _located(
    periods: tuple[float, float], views: Sequence[Sequence[_Slope]], extents: Sequence[int]
) -> Fields:
    """Where the borders of the fields lie, and the periods made more exact.

    Fields of the same width along both axes stay so.
    """
    fits = [
        [_best_offset(width, slopes) for width in _widths(period, max(extents))]
        for period, slopes in zip(periods, views, strict=True)
    ]
    told = [np.array([fit[0] for fit in axis]) for axis in fits]
    if periods[0] == periods[1]:
        told = [told[0] + told[1]] * 2
    y, x = (axis[int(np.argmax(one))][1] for axis, one in zip(fits, told, strict=True))
    return Fields(y, x)


def _widths(period: float, extent: int) -> list[float]:
    return [period * (1.0 + stretch * period / max(extent, 1)) for stretch in STRETCHES]


def _best_offset(width: float, slopes: Sequence[_Slope]) -> tuple[float, Axis]:
    """How well a saw tooth of this width tells the slopes, and where it begins then.

    Inside a field light is a dome: its slope falls in a straight line, and jumps at the border.
    """
    if not width:
        return 0.0, Axis()
    told = np.zeros(OFFSETS)
    turns = (np.arange(len(slopes[0].values)) + 0.5) / width
    waves = [np.exp(2j * np.pi * k * turns) for k in range(1, len(TEETH) + 1)]
    at = np.exp(-2j * np.pi * np.arange(OFFSETS) / OFFSETS)
    for slope in slopes:
        whole = float(slope.strips @ slope.values**2)
        total = float(slope.strips.sum())
        if not whole > 0:
            continue
        lines = [complex((slope.strips * slope.values) @ wave) for wave in waves]
        steepness = sum(
            height * np.imag(line * at**k)
            for k, (height, line) in enumerate(zip(TEETH, lines, strict=True), start=1)
        )
        told += np.maximum(steepness, 0.0) ** 2 / (whole * total)
    best = int(np.argmax(told))
    return float(told[best]), Axis(width, best * width / OFFSETS)
