"""The negative binomial model of counts per mouse, with the spread between mice integrated out.

A mouse of arm *g* has a count that is negative binomial with mean ``exposure * exp(eta_g)`` and
variance ``mean + cv**2 * mean**2``: sampling noise of the sections, and mice that differ by a
coefficient of variation ``cv``, which all arms share. The textbook interval (maximum likelihood,
normal quantiles) takes the estimated ``cv`` for the true one and is far too narrow with 3 to 7
mice. Here every ``cv`` counts by how well it explains all arms together:

- given ``cv``, the likelihood of ``eta`` times ``sqrt(m / (1 + 0.81 m))``, m the mean per mouse
  (Jeffreys' weight at a cv of 0.9: flat for large counts, and it lets a total of zero be small
  without end), is taken as its distribution. For large counts this is exact: total over mean
  is then gamma distributed, which is the frequentist pivot;
- ``cv`` has the likelihood that is left when ``eta`` is integrated out, times `CV_PRIOR`.

The difference of two arms is the mixture over ``cv``. Everything is done on fixed grids, so the
same counts give the same digits. ``docs/statistics.md`` shows the coverage that was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

CV_GRID = np.geomspace(0.05, 4.0, 45)
"""Coefficients of variation between mice that are considered."""

CV_PRIOR = (0.9, 0.75)
"""Median and log-scale standard deviation of the weight given to a coefficient of variation
before the counts are seen: between-mouse CV of lung metastasis burden 0.9 (Nielsen et al. 2001,
PMC2216461), and a factor of 2 either way within one standard deviation. It keeps a few counts
that happen to agree from being read as "all mice are equal"; more mice overrule it."""

_STRETCH = np.linspace(-5.0, 5.0, 201)
"""Grid of eta, in units of its standard error through sinh: dense in the middle, far tails."""

TOLERANCE = 1e-7
"""Of the log of a limit of a ratio."""

_NEGLIGIBLE = 1e-6
"""Weight of a coefficient of variation, relative to the largest, below which it is skipped."""


@dataclass(frozen=True, slots=True)
class Arm:
    """The usable mice of one group on one day.

    Parameters
    ----------
    counts : numpy.ndarray of float64, shape (n,)
        One number per mouse, >= 0.
    exposures : numpy.ndarray of float64, shape (n,)
        Area of tissue in mm², or ones; > 0.
    """

    counts: np.ndarray
    exposures: np.ndarray

    @property
    def total(self) -> float:
        """Sum over the mice."""
        return float(self.counts.sum())

    @property
    def n(self) -> int:
        """Number of mice."""
        return len(self.counts)

    def log_rate(self, cv: float) -> float:
        """Log of the maximum likelihood rate per unit of exposure; ``-inf`` if all are zero."""
        if self.total == 0:
            return -np.inf
        alpha, eta = cv**2, float(np.log(self.total / self.exposures.sum()))
        for _ in range(200):
            mean = self.exposures * np.exp(eta)
            score = ((self.counts - mean) / (1 + alpha * mean)).sum()
            step = score / (mean / (1 + alpha * mean)).sum()  # Fisher scoring
            eta += float(np.clip(step, -2.0, 2.0))
            if abs(step) < 1e-12:
                break
        return eta


@dataclass(frozen=True, slots=True)
class _Curves:
    """Distributions of one arm's eta, one row per coefficient of variation of `CV_GRID`.

    `centre` is a rough estimate of eta. `eta`, `mass` and `cumulative` have shape
    (len(CV_GRID), len(_STRETCH)); `log_evidence` is the log likelihood with eta integrated
    out, shape (len(CV_GRID),).
    """

    centre: float
    eta: np.ndarray
    mass: np.ndarray
    cumulative: np.ndarray
    log_evidence: np.ndarray


def _curves(arm: Arm) -> _Curves:
    alpha = CV_GRID[:, None] ** 2
    spread = np.sqrt(1 / (arm.total + 0.5) + alpha / arm.n)
    centre = float(np.log((arm.total + 0.5) / arm.exposures.sum()))
    eta = centre + spread * np.sinh(_STRETCH)
    log_density = np.zeros_like(eta)
    for count, exposure in zip(arm.counts, arm.exposures, strict=True):
        log_mean = eta + np.log(exposure)
        log_odds = np.logaddexp(0.0, np.log(alpha) + log_mean)  # log(1 + alpha * mean)
        log_density += count * log_mean - (count + 1 / alpha) * log_odds
        log_density += gammaln(count + 1 / alpha) - gammaln(1 / alpha) + count * np.log(alpha)
    log_mean = eta + np.log(arm.exposures.mean())
    log_density += 0.5 * (log_mean - np.logaddexp(0.0, 2 * np.log(CV_PRIOR[0]) + log_mean))
    log_density += np.log(spread * np.cosh(_STRETCH))  # from eta to the stretched coordinate
    top = log_density.max(axis=1, keepdims=True)
    weight = np.exp(log_density - top)
    total = weight.sum(axis=1, keepdims=True)
    mass = weight / total
    cumulative = np.cumsum(mass, axis=1) - mass / 2
    return _Curves(centre, eta, mass, cumulative, (top + np.log(total))[:, 0])


def log_prior() -> np.ndarray:
    """Log weight of each of `CV_GRID` before the counts are seen, see `CV_PRIOR`."""
    return np.asarray(-0.5 * (np.log(CV_GRID / CV_PRIOR[0]) / CV_PRIOR[1]) ** 2)


class SharedSpread:
    """Arms of one study with one coefficient of variation between mice.

    Parameters
    ----------
    arms : mapping
        Any key to :class:`Arm`. Those of one mouse say nothing about the spread and are
        left out of it.

    Attributes
    ----------
    informed : bool
        Whether any arm shows how mice differ: two mice or more, and a cell.
    """

    def __init__(self, arms: Mapping[object, Arm]) -> None:
        self._curves = {key: _curves(arm) for key, arm in arms.items() if arm.n > 1}
        log_weight = log_prior()
        for curves in self._curves.values():
            log_weight = log_weight + curves.log_evidence
        # Mice without any cell do not show how mice differ: what their likelihood says of the
        # spread comes from the weight of eta, and grows with every such arm.
        self.informed = any(arms[key].total > 0 for key in self._curves)
        weight = np.exp(log_weight - log_weight.max())
        weight[weight < _NEGLIGIBLE] = 0.0
        self.weight = weight / weight.sum()

    def cv(self, probability: float = 0.5) -> float:
        """Quantile of the coefficient of variation between mice."""
        cumulative = np.cumsum(self.weight) - self.weight / 2
        return float(np.exp(np.interp(probability, cumulative, np.log(CV_GRID))))

    def probability_below(self, log_ratio: float, arm: object, reference: object) -> float:
        """Probability that the log rate ratio of two arms is below `log_ratio`."""
        ours, theirs = self._curves[arm], self._curves[reference]
        found = 0.0
        for i in np.flatnonzero(self.weight):
            below = np.interp(theirs.eta[i] + log_ratio, ours.eta[i], ours.cumulative[i], 0.0, 1.0)
            above = np.interp(
                ours.eta[i] - log_ratio, theirs.eta[i], theirs.cumulative[i], 0.0, 1.0
            )
            # Both say the same but for the grids; their mean is alike with the arms swapped.
            one = theirs.mass[i] @ below + 1 - ours.mass[i] @ above
            found += float(self.weight[i] * one / 2)
        return found

    def quantiles(
        self, probabilities: Sequence[float], arm: object, reference: object
    ) -> tuple[float, ...]:
        """Quantiles of the log rate ratio of two arms."""
        centre = self._curves[arm].centre - self._curves[reference].centre
        return tuple(self._quantile(p, centre, arm, reference) for p in probabilities)

    def _quantile(self, p: float, centre: float, arm: object, reference: object) -> float:
        from scipy.optimize import brentq  # slow to import, and needed with several arms only

        def error(log_ratio: float) -> float:
            return self.probability_below(log_ratio, arm, reference) - p

        low, high, width = centre, centre, 1.0
        while error(low) > 0:
            low, width = low - width, 2 * width
        width = 1.0
        while error(high) < 0:
            high, width = high + width, 2 * width
        return float(brentq(error, low, high, xtol=TOLERANCE))
