"""Where camera fields meet, as steps of light show it.

A lamp that flickers or an exposure that is set anew makes one field brighter than the next.
Such a step runs along a straight line through the whole section, and its like come back after
every field; the borders of tissue do neither. Steps are looked for in the quiet pixels of the
section (air and the smooth ground of the tissue), in which little else changes from place to
place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from fociquant.prepare.stitching import MIN_FIELDS, SMALLEST_PX, SMALLEST_UM, Axis, Fields
from fociquant.prepare.strips import GAP_PX

BLOCK_PX = 24
"""Quiet pixels are sought in columns of so many pixels: less than the edge of most fields."""

QUIET = 0.25
"""Share of the pixels of a column that are darker than its quiet light."""

STRIP_PX = 4
"""Compared on both sides of a line, beyond the gap."""

CUT = 4.0
"""A step counts no more than so many usual ones: vessels and foci have borders as well."""

HIGHEST = 8.0
"""No line stands out more than this, in standard deviations: one edge is no grid."""

SAME_WIDTH = 0.02
"""Widths along both axes that differ by less than this share are those of square fields."""

DRIFT_PX = 3.0
"""Periods that are tried differ by so much over the length of the section."""

TENT = np.array([0.5, 1.0, 1.5, 1.0, 0.5])
"""Weights of the places around a line."""

STANDS_OUT = 8.0
"""Of the lines of a grid together, standard deviations; of both axes the root of the squares. Of
simulated tissue without steps the best of all grids along an axis reaches 3 to 6: its alveoli lie
on a lattice themselves."""

ALSO_STANDS_OUT = 4.0
"""The same at least along each axis that has borders, and where fields are known already."""

KNOWN_TO, KNOWN_PLACE = 0.015, 0.12
"""How well the light within fields tells their width (share) and their borders (fields)."""


@dataclass(frozen=True, slots=True)
class _Lines:
    """How much light steps at each line along one axis, standard deviations; where it is known."""

    strength: np.ndarray
    known: np.ndarray

    @property
    def ends(self) -> tuple[int, int]:
        """The first and the last that is known; there has to be one."""
        places = np.flatnonzero(self.known)
        return int(places[0]), int(places[-1])

    @property
    def extent(self) -> float:
        """From one to the other, pixels."""
        return float(np.subtract(*self.ends[::-1])) if self.known.any() else 0.0


@dataclass(frozen=True, slots=True)
class _Comb:
    score: float
    axis: Axis


NOTHING = _Comb(0.0, Axis())


@dataclass(frozen=True, slots=True)
class Views:
    """Lines across the y axis and lines across the x axis of one picture."""

    y: _Lines
    x: _Lines

    @classmethod
    def of(cls, plane: np.ndarray, inside: np.ndarray) -> Views:
        """Look at one channel.

        Parameters
        ----------
        plane : numpy.ndarray of float32, shape (h, w)
            Of the overview, raw counts, finite.
        inside : numpy.ndarray of bool, shape (h, w)
            Tissue that counts.
        """
        return cls(_lines(plane.T, inside.T), _lines(plane, inside))

    def shown(self, pixel_um: float) -> Fields | None:
        """Fields whose steps of light show by themselves, along both axes or one.

        Parameters
        ----------
        pixel_um : float
            Edge of a pixel, µm.
        """
        smallest = max(SMALLEST_UM / pixel_um, SMALLEST_PX)
        views = (self.y, self.x)
        combs = [_best(lines, _periods(lines, smallest)) for lines in views]
        sure = max(combs, key=lambda comb: comb.score)
        alike = [_best(lines, _around(lines, sure.axis.period)) for lines in views]
        # Cameras are square more often than not.
        combs = [comb if comb.score >= STANDS_OUT else same
                 for comb, same in zip(combs, alike, strict=True)]  # fmt: skip
        combs = [comb if comb.score >= ALSO_STANDS_OUT else NOTHING for comb in combs]
        if math.hypot(*(comb.score for comb in combs)) < STANDS_OUT:
            return None
        return Fields(*(
            _refined(lines, comb.axis, stretch=DRIFT_PX / lines.extent, reach=DRIFT_PX).axis
            if comb.score else comb.axis
            for lines, comb in zip(views, combs, strict=True)
        ))  # fmt: skip

    def near(self, fields: Fields) -> Fields:
        """Fields that are known already, moved to where their borders show best.

        Parameters
        ----------
        fields : Fields
            As the light within them tells.
        """
        return Fields(_nearby(self.y, fields.y), _nearby(self.x, fields.x))


def _lines(plane: np.ndarray, inside: np.ndarray) -> _Lines:
    """Of the lines between the columns of a picture."""
    height, width = plane.shape
    rows = height // BLOCK_PX
    nothing = np.zeros(width + 1)
    if not rows or width < 2 * (GAP_PX + STRIP_PX):
        return _Lines(nothing, nothing > 0)
    shape = (rows, BLOCK_PX, width)
    rank = int(QUIET * BLOCK_PX)
    quiet = np.partition(plane[: rows * BLOCK_PX].reshape(shape), rank, axis=1)[:, rank]
    whole = np.asarray(inside[: rows * BLOCK_PX].reshape(shape).all(axis=1))
    step, known = _steps(quiet.astype(np.float64), whole)
    long = known.sum(axis=1) >= 2 * BLOCK_PX
    if not long.any():
        return _Lines(nothing, nothing > 0)
    return _standing_out(np.abs(step[long]), known[long])


def _standing_out(size: np.ndarray, known: np.ndarray) -> _Lines:
    """Mean of all rows, each in units of its usual step; (rows, columns + 1)."""
    usual = np.nanmedian(np.where(known, size, np.nan), axis=1, keepdims=True)
    size = np.minimum(np.where(known, size, 0.0), CUT * usual) / np.where(usual > 0, usual, 1.0)
    number = known.sum(axis=0)
    seen = number > 0
    mean = size.sum(axis=0) / np.maximum(number, 1)
    above = (mean - np.median(mean[seen])) * np.sqrt(number)
    spread = 1.4826 * float(np.median(np.abs(above[seen])))
    return _Lines(np.clip(above / (spread or np.inf), -HIGHEST, HIGHEST), seen)


def _steps(quiet: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right less left of every line, (rows, columns + 1), and where both sides are known."""
    strip = GAP_PX + STRIP_PX
    total, there = (
        np.pad(np.cumsum(part, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
        for part in (np.where(inside, quiet, 0.0), inside)
    )
    step = np.zeros((len(quiet), quiet.shape[1] + 1))
    known = np.zeros(step.shape, bool)
    middle = slice(strip, step.shape[1] - strip)
    at = np.arange(step.shape[1])[middle]
    sums, counts = (
        (part[:, at + strip] - part[:, at + GAP_PX], part[:, at - GAP_PX] - part[:, at - strip])
        for part in (total, there)
    )
    step[:, middle] = (sums[0] - sums[1]) / STRIP_PX
    known[:, middle] = (counts[0] == STRIP_PX) & (counts[1] == STRIP_PX)
    return step, known


def _periods(lines: _Lines, smallest: float) -> Iterator[float]:
    """All that are worth trying, each a little longer than the last."""
    period, extent = smallest, lines.extent
    while period * MIN_FIELDS <= extent:
        yield period
        period *= 1.0 + DRIFT_PX / extent


def _around(lines: _Lines, period: float) -> Iterator[float]:
    """Those that are about as long as another."""
    if MIN_FIELDS * period <= lines.extent:
        reach = max(math.ceil(SAME_WIDTH * lines.extent / DRIFT_PX), 1)
        yield from (period * (1 + SAME_WIDTH * step / reach) for step in range(-reach, reach + 1))


def _best(lines: _Lines, periods: Iterable[float]) -> _Comb:
    """The comb of lines that stands out most."""
    places = np.flatnonzero(lines.known)
    strength = lines.strength[places]
    combs = (_comb(places, strength, period) for period in periods if period)
    return max(combs, key=lambda comb: comb.score, default=NOTHING)


def _comb(places: np.ndarray, strength: np.ndarray, period: float) -> _Comb:
    """Lines of one width apart, where they stand out most."""
    bins = (places % period).astype(np.int64)
    number = np.bincount(bins)
    score = np.bincount(bins, strength) / np.sqrt(np.maximum(number, 1))
    score[number < MIN_FIELDS - 1] = 0.0
    best = int(np.argmax(score))
    return _Comb(float(score[best]), Axis(period, best + 0.5))


def _refined(lines: _Lines, axis: Axis, *, stretch: float, reach: float) -> _Comb:
    """The best of what is nearly the same: width to a share, place in the middle to some pixels."""
    first, last = lines.ends
    # A line shows as far as strips reach over it, and most in its middle.
    smooth = np.convolve(lines.strength, TENT, mode="same")
    centre = (first + last) / 2
    middle = axis.origin + round((centre - axis.origin) / axis.period) * axis.period
    tries = 2 * max(math.ceil(stretch * (last - first)), 2) + 1
    best, told, score = axis, -math.inf, 0.0
    for width in axis.period * (1.0 + np.linspace(-stretch, stretch, tries)):
        for place in middle + np.linspace(-reach, reach, 2 * math.ceil(2 * reach) + 1):
            at = np.rint(np.arange((place - first) % width + first, last + 0.5, width))
            at = at.astype(np.int64)
            at = at[lines.known[at]]
            if at.size >= MIN_FIELDS - 1 and (value := float(smooth[at].mean())) > told:
                best, told = Axis(float(width), float(place % width)), value
                score = float(lines.strength[at].sum()) / math.sqrt(at.size)
    return _Comb(score, best)


def _nearby(lines: _Lines, axis: Axis) -> Axis:
    """The same fields where their borders show best, if they show."""
    if not axis.period or not lines.known.any():
        return axis
    found = _refined(lines, axis, stretch=KNOWN_TO, reach=KNOWN_PLACE * axis.period)
    return found.axis if found.score >= ALSO_STANDS_OUT else axis
