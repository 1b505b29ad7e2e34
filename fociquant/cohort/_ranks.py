"""The exact rank test beside the model: no assumption about how mice differ."""

from __future__ import annotations

from math import comb

import numpy as np

MOST_EXACT = 100
"""Mice of both groups together up to which the test is exact; beyond, the normal approximation
with correction for ties and continuity differs in no digit that matters."""


def rank_test(ours: np.ndarray, reference: np.ndarray) -> float:
    """Two-sided exact P of the Mann-Whitney test, ties included.

    The rank sum is compared with that of every way to deal the same mice into two groups of
    these sizes (a permutation test, nothing is drawn): twice the share of deals as extreme on
    the nearer side. Above `MOST_EXACT` mice it is approximated.

    Parameters
    ----------
    ours, reference : numpy.ndarray of float64, shape (n,) and (m,)
        One number per mouse; at least one mouse each.

    Returns
    -------
    float
        In (0, 1]; 1 where all numbers are equal.
    """
    if len(ours) + len(reference) > MOST_EXACT:
        from scipy.stats import mannwhitneyu  # half a second to import

        return float(mannwhitneyu(ours, reference, method="asymptotic").pvalue)
    ranks = _doubled_ranks(np.concatenate([ours, reference]))
    ways = _rank_sums(ranks, len(ours))
    observed = int(ranks[: len(ours)].sum())
    nearer = min(ways[: observed + 1].sum(), ways[observed:].sum())
    return min(1.0, float(2 * nearer / ways.sum()))


def _doubled_ranks(values: np.ndarray) -> np.ndarray:
    """Twice the rank of each value, from 1; equal values share the mean of theirs, so whole."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((2 * np.cumsum(count) - count + 1)[place])


def _rank_sums(ranks: np.ndarray, size: int) -> np.ndarray:
    """Number of subsets of `size` with each sum; float64, shape (sum of ranks + 1,)."""
    ways = np.zeros((size + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank].copy()
    return ways[size]


def smallest_p(ours: int, reference: int) -> float:
    """The smallest two-sided P that :func:`rank_test` can give, whatever the difference.

    Parameters
    ----------
    ours, reference : int
        Mice of each group, >= 1.

    Returns
    -------
    float
        2 over the number of ways to choose a group: 0.057 for 4 and 3 mice.
    """
    return min(1.0, 2 / comb(ours + reference, ours))
