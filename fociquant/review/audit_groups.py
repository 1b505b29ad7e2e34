"""From the corrected counts of mice to the mean of a group, both uncertainties in one interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln

VARIATIONS = np.geomspace(0.1, 3.0, 14)
"""Grid of the CV between mice, shared by all groups: a few mice cannot tell it by themselves."""

MEANS = 160
"""Points of the grid of a group's mean, even on the log scale."""

USED_DRAWS = 120
"""Draws of the mice's counts over which is averaged."""


def group_ends(draws: Sequence[np.ndarray], *, share: float) -> list[float]:
    """One end of an interval of the mean of each group's population of mice.

    Counts of mice are negative binomial with a CV that all groups share. For each draw of
    what the mice may hold (the error of the counter), the means and the CV are integrated
    over (the variation of mice); the end is cut from the average over draws.

    Parameters
    ----------
    draws : sequence of numpy.ndarray of float64, shape (draws, mice of the group)
        One per group; a group without mice has no columns.
    share : float
        0.025 for the lower end, 0.975 for the upper.

    Returns
    -------
    list of float
        Cells per mouse; NaN for a group without mice.
    """
    grids = [_grid(one) for one in draws]
    weights = [np.zeros(MEANS) for _ in draws]
    number = min([USED_DRAWS, *(len(one) for one in draws)], default=0)
    for index in range(number):
        fits = [_fit(one[index], grid) for one, grid in zip(draws, grids, strict=True)]
        shared = _normalised(np.sum([np.logaddexp.reduce(fit, axis=0) for fit in fits], axis=0))
        for weight, fit in zip(weights, fits, strict=True):
            weight += (_columns(fit) * shared).sum(axis=1)
    return [
        _cut(grid, weight, share) if one.shape[1] else np.nan
        for one, grid, weight in zip(draws, grids, weights, strict=True)
    ]


def _grid(draws: np.ndarray) -> np.ndarray:
    """Means that can be, cells per mouse."""
    if not draws.size:
        return np.geomspace(0.01, 1.0, MEANS)
    means = draws.mean(axis=1)
    low, high = float(means.min()), float(means.max())
    return np.geomspace(max(0.01, low / 20), max(20.0, high * 20), MEANS)


def _fit(counts: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Log weight of (mean, CV) given the counts of one group's mice."""
    shape = 1.0 / VARIATIONS[None, :, None] ** 2
    mean, count = means[:, None, None], counts[None, None, :]
    fit = (
        gammaln(shape + count) - gammaln(shape) - gammaln(count + 1)
        + shape * np.log(shape / (shape + mean)) + count * np.log(mean / (shape + mean))
    ).sum(-1)  # fmt: skip
    # Jeffreys' prior of a negative binomial mean: 1 / sqrt(m + m²/shape), on the log scale.
    prior = 0.5 * np.log(means[:, None] / (1 + means[:, None] * VARIATIONS[None, :] ** 2))
    return np.asarray(fit + prior - np.logaddexp.reduce(prior, axis=0))


def _columns(fit: np.ndarray) -> np.ndarray:
    weight = np.exp(fit - fit.max(axis=0))
    return np.asarray(weight / weight.sum(axis=0))


def _normalised(log_weight: np.ndarray) -> np.ndarray:
    weight = np.exp(log_weight - np.max(log_weight))
    return np.asarray(weight / weight.sum())


def _cut(grid: np.ndarray, weight: np.ndarray, share: float) -> float:
    below = np.cumsum(weight) / weight.sum()
    return float(np.exp(np.interp(share, below, np.log(grid))))
