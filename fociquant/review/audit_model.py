"""What a sample says about the rest: one arm, one kind, several mice.

Mice of an arm are alike but not the same. Their rates come from one distribution whose
mean and spread are not known; both are integrated over, on a grid. So a mouse borrows from
the others as far as they are alike, and an arm in which not one error was found still has
an upper bound that is not zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, gammaln

DRAWS = 2000
"""Draws from what the rest may hold. Quantiles at 2.5 % are then good to about 5 % of the width."""

RATES = 1 / (1 + np.exp(-np.linspace(-15.0, 15.0, 241)))
"""Grid of the arm's mean error rate, even on the logit scale."""

LIKENESS = np.geomspace(1.0, 1000.0, 25)
"""Grid of how alike mice are: the rate of a mouse is as certain as after so many objects. 1: a
mouse has nearly only errors or nearly none; 1000: all mice are the same."""

DENSITY_SHAPES = np.geomspace(0.3, 100.0, 20)
"""Grid of the shape of the gamma distribution of densities between mice (CV 1.8 to 0.1)."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What a stratum holds, per mouse.

    Parameters
    ----------
    point : numpy.ndarray of float64, shape (mice,)
        Estimate.
    low, high : numpy.ndarray of float64, shape (DRAWS, mice)
        What it may be: draws for the lower and for the upper end of an interval.
    """

    point: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __add__(self, other: Spread) -> Spread:
        """Of two strata together."""
        return Spread(self.point + other.point, self.low + other.low, self.high + other.high)


def true_among(
    units: np.ndarray, judged: np.ndarray, true: np.ndarray, rng: np.random.Generator
) -> Spread:
    """Cancer cells among the objects of one kind in one arm.

    The rate of each mouse is beta distributed round the arm's mean. The standard deviation
    between mice has a flat prior (Gelman et al., Bayesian Data Analysis, 3rd edition,
    section 5.3). The mean has two: the lower end of an interval is drawn as if one more
    object had been judged that is no cancer cell, the upper end as if one more cancer cell
    had, which for a single rate gives the exact interval of Clopper and Pearson (Biometrika
    26:404, 1934). So where no error was found the interval begins at none, and ends where
    none would be a surprise.

    The point estimate is the judged objects as they are, and for the others the rate of
    the mouse, drawn to that of the arm by the estimated likeness; where no error was found
    it adds none.

    Parameters
    ----------
    units, judged, true : numpy.ndarray of int64, shape (mice,)
        Objects in all, of these judged, of these cancer cells.
    rng : numpy.random.Generator

    Returns
    -------
    Spread
    """
    fit = _rate_fit(judged, true)
    rest = units - judged
    neutral = _normalised(fit + 0.5 * np.log(RATES * (1 - RATES))[:, None])
    likeness = np.exp(float(neutral.sum(0) @ np.log(LIKENESS)))
    pooled = true.sum() / max(judged.sum(), 1)
    rate = (true + likeness * pooled) / (judged + likeness)
    ends = []
    for prior in (1 - RATES, RATES):
        weight = _normalised(fit + np.log(prior)[:, None])
        cell = rng.choice(weight.size, DRAWS, p=weight.ravel())
        mean, alike = RATES[cell // len(LIKENESS)][:, None], LIKENESS[cell % len(LIKENESS)][:, None]
        rates = rng.beta(mean * alike + true, (1 - mean) * alike + judged - true)
        ends.append(true + rng.binomial(rest, rates).astype(np.float64))
    return Spread(true + rate * rest, *ends)


def _rate_fit(judged: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Log weight of (mean rate, likeness), without the prior of the mean."""
    mean, alike = RATES[:, None, None], LIKENESS[None, :, None]
    a, b = mean * alike, (1 - mean) * alike
    fit = (betaln(a + true, b + judged - true) - betaln(a, b)).sum(-1)
    if len(judged) < 2:  # one mouse cannot tell how much mice differ, and borrows from none
        fit[:, :-1] = -np.inf
    # Flat in likeness**-0.5, which is the standard deviation between mice up to a factor.
    return np.asarray(fit - 0.5 * np.log(LIKENESS)[None, :])


def missed_in(
    area_mm2: np.ndarray,
    seen_mm2: np.ndarray,
    found: np.ndarray,
    dispersion: float,
    rng: np.random.Generator,
) -> Spread:
    """Cells without an outline in the tissue of one arm.

    Densities of mice are gamma distributed round the arm's mean, with the priors of
    :func:`true_among` for a Poisson mean, which for a single mouse give the exact interval of
    Garwood (Biometrika 28:437, 1936). Missed cells come in clusters: where counts of
    fields vary more than chance explains, the fields count as fewer.

    Parameters
    ----------
    area_mm2, seen_mm2, found : numpy.ndarray, shape (mice,)
        Tissue in all, tissue looked at, cells found there.
    dispersion : float
        Variance over mean of the counts of fields, >= 1.
    rng : numpy.random.Generator

    Returns
    -------
    Spread
    """
    seen, count = seen_mm2 / dispersion, found / dispersion
    total = max(float(seen_mm2.sum()), 1e-12)
    means = np.geomspace(1e-4, max(50.0, 20.0 * (found.sum() + 1)), 240) / total
    fit = _density_fit(seen, count, means)
    rest = np.maximum(area_mm2 - seen_mm2, 0.0)
    ends = []
    for power in (0.0, 1.0):
        weight = _normalised(fit + power * np.log(means)[:, None])
        cell = rng.choice(weight.size, DRAWS, p=weight.ravel())
        shape = DENSITY_SHAPES[cell % len(DENSITY_SHAPES)][:, None]
        own = shape / means[cell // len(DENSITY_SHAPES)][:, None]
        density = rng.gamma(shape + count, 1.0 / (own + seen))
        ends.append(found + rng.poisson(density * rest).astype(np.float64))
    return Spread(found + rest * float(found.sum()) / total, *ends)


def _density_fit(seen: np.ndarray, count: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Log weight of (mean density, shape), without the prior of the mean."""
    mean, shape = means[:, None, None], DENSITY_SHAPES[None, :, None]
    scale = shape / mean
    fit = (
        gammaln(shape + count) - gammaln(shape)
        + shape * np.log(scale / (scale + seen)) - count * np.log(scale + seen)
    ).sum(-1)  # fmt: skip
    if len(count) < 2:  # as in _rate_fit: else the upper end of one mouse would be too low
        fit[:, :-1] = -np.inf
    return np.asarray(fit - 0.5 * np.log(DENSITY_SHAPES)[None, :])


def dispersion_of(counts: np.ndarray, area_mm2: np.ndarray) -> float:
    """Variance over mean of counts of fields, given their areas; at least 1.

    Pearson's statistic per degree of freedom, shrunk to 1 by what two cells could do alone.

    Parameters
    ----------
    counts, area_mm2 : numpy.ndarray, shape (fields,)
    """
    if len(counts) < 2 or counts.sum() < 2:
        return 1.0
    expected = counts.sum() * area_mm2 / area_mm2.sum()
    usable = expected > 0
    return max(1.0, float(((counts - expected)[usable] ** 2 / expected[usable]).sum()
                          / max(int(usable.sum()) - 1, 1)))  # fmt: skip


def _normalised(log_weight: np.ndarray) -> np.ndarray:
    weight = np.exp(log_weight - log_weight.max())
    return np.asarray(weight / weight.sum())
