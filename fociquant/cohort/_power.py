"""How many mice the next experiment needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import gammaincinv, ndtr, ndtri, polygamma

from fociquant.cohort._likelihood import CV_GRID, log_prior
from fociquant.errors import InputError

POWER_COLUMNS: tuple[str, ...] = (
    "fold_change", "reference_mean", "cv_between_mice", "mice_per_group", "power",
)  # fmt: skip
"""Columns of :func:`power_table`."""

ASSUMED_CV = 0.9
"""Between-mouse CV of lung metastasis burden (Nielsen et al. 2001, PMC2216461), for a study
that has none of its own yet."""

MOST_MICE = 1000
"""Beyond this the table says that no number of mice will do."""

_CHANCES = (np.arange(16) + 0.5) / 16
"""Of the spread that the mice of one arm happen to show, 256 pairs: with 1600 pairs the power
differs by less than 0.003."""

_STEPS = 8
"""Of Newton's method to the limit of a test: power is then known to 1e-9."""


def power_table(
    *,
    reference_mean: float,
    cv: float = ASSUMED_CV,
    fold_changes: Sequence[float] = (2.0, 5.0, 10.0, 100.0),
    power: float = 0.8,
    level: float = 0.05,
) -> pd.DataFrame:
    """Mice per group that show a fold change with a given power.

    For two groups of equal size on one day, from the variance of a negative binomial: the
    log of a group's mean has variance ``trigamma(n / (cv**2 + 1/mean))``. What the test of
    :func:`compare_groups` takes for the spread between mice is what the two groups happen to show
    of it, together with its weight around `ASSUMED_CV`: mice that differ less than that need a few
    more than a t test would say. Several days in one study estimate it together, so the
    table errs on the safe side. What simulated experiments find: ``docs/statistics.md``.

    Parameters
    ----------
    reference_mean : float
        Cells per mouse expected in the reference group, > 0.
    cv : float
        Coefficient of variation between mice, > 0.
    fold_changes : sequence of float
        Means of the other group over `reference_mean`, > 0 and not 1.
    power, level : float
        Probability to find it; two-sided P below which it is found.

    Returns
    -------
    pandas.DataFrame
        `POWER_COLUMNS`, a row per fold change. ``power`` is that of ``mice_per_group`` (Int64;
        empty if more than `MOST_MICE` would be needed).

    Raises
    ------
    InputError
        If a number is out of its range.
    """
    _check(reference_mean, cv, fold_changes, power, level)
    rows = []
    for fold in fold_changes:
        mice, reached = _enough(reference_mean, fold, cv=cv, power=power, level=level)
        rows.append((fold, reference_mean, cv, mice, round(reached, 4)))
    return pd.DataFrame(rows, columns=list(POWER_COLUMNS)).astype({"mice_per_group": "Int64"})


def _check(
    reference_mean: float, cv: float, folds: Sequence[float], power: float, level: float
) -> None:
    if not (0 < reference_mean < np.inf and 0 < cv < np.inf):
        raise InputError(
            f"reference_mean {reference_mean} and cv {cv} must be above 0: give the cells per "
            "mouse that you expect in the reference group, and how much mice differ (0.9)."
        )
    if any(not 0 < fold < np.inf or fold == 1 for fold in folds):
        raise InputError(f"fold_changes {list(folds)} must be above 0 and not 1.")
    if not (0 < level < power < 1):
        raise InputError(f"power {power} must be below 1 and above level {level}, which is > 0.")


def _enough(
    mean: float, fold: float, *, cv: float, power: float, level: float
) -> tuple[int | None, float]:
    """The smallest number of mice per group with the power, and the power it has."""

    def reached(mice: int) -> float:
        return _power(mice, np.array([mean, mean * fold]), cv=cv, level=level)

    few, many = 1, 2
    while reached(many) < power:
        if many == MOST_MICE:
            return None, reached(many)
        few, many = many, min(2 * many, MOST_MICE)
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if reached(middle) >= power else (middle, many)
    return many, reached(many)


def _power(mice: int, means: np.ndarray, *, cv: float, level: float) -> float:
    """Share of experiments whose log ratio is beyond the limit of the test."""
    error = _errors(mice, means, np.array([cv]))[0]
    shift = abs(float(np.log(means[1] / means[0])))
    limits = _limits(mice, means, cv=cv, level=level)
    return float(np.mean(ndtr((shift - limits) / error) + ndtr((-shift - limits) / error)))


def _variances(means: np.ndarray, cvs: np.ndarray) -> np.ndarray:
    """Squared coefficients of variation of a mouse's count; shape (2, len(cvs))."""
    return np.asarray(cvs**2 + 1 / means[:, None])


def _errors(mice: int, means: np.ndarray, cvs: np.ndarray) -> np.ndarray:
    """Standard errors of the log ratio of two means of so many mice, one per `cvs`."""
    return np.sqrt(polygamma(1, mice / _variances(means, cvs)).sum(axis=0))


def _limits(mice: int, means: np.ndarray, *, cv: float, level: float) -> np.ndarray:
    """Log ratios from which on P is below `level`, one for each spread that mice may show.

    As in :class:`~fociquant.cohort._likelihood.SharedSpread`, the distribution of the log ratio is
    a mixture over `CV_GRID`; here its parts are normal, and what an arm shows of the spread has
    a chi-squared distribution around the truth.
    """
    errors = _errors(mice, means, CV_GRID)
    weight = _weights(mice, means, cv)
    limit = -ndtri(level / 2) * np.sqrt(weight @ errors**2)
    for _ in range(_STEPS):  # the tail is convex: a step goes too far at most once, to the left
        scaled = limit[:, None] / errors
        tail = (weight * ndtr(-scaled)).sum(axis=1)
        slope = (weight * np.exp(-(scaled**2) / 2) / errors).sum(axis=1) / math.sqrt(2 * math.pi)
        limit = np.maximum(limit + (tail - level / 2) / slope, 0.0)
    return np.asarray(limit)


def _weights(mice: int, means: np.ndarray, cv: float) -> np.ndarray:
    """How much each of `CV_GRID` counts, for each pair of spreads that the arms may show."""
    shown = 2 * gammaincinv((mice - 1) / 2, _CHANCES)
    pairs = np.stack(np.meshgrid(shown, shown), axis=-1).reshape(-1, 2)
    true, tried = _variances(means, np.array([cv]))[:, 0], _variances(means, CV_GRID)
    found = log_prior() - 0.5 * (mice - 1) * np.log(tried).sum(axis=0)
    found = found - 0.5 * (pairs * true) @ (1 / tried)
    weight = np.exp(found - found.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))
