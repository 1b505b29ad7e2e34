"""The gate that keeps negative controls clean, and costs as few other candidates as can be."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fociquant.counts import poisson_upper
from fociquant.gate.batch import Gate, Passing, area_of, values_of
from fociquant.settings import GateSettings

THRESHOLD_DECIMALS = 4
"""Thresholds are rounded up to what ``sections.csv`` shows, so that they can be checked."""

LEVELS = 16
"""Values that a threshold may take, per property: quantiles of what the controls show."""


def upper_bound(count: int, area: float) -> float:
    """Exact one-sided 95 % upper bound of a Poisson rate: 3.0 / area for a count of zero.

    Parameters
    ----------
    count : int
        >= 0.
    area : float
        Exposure.

    Returns
    -------
    float
        Per unit of `area`; infinite for an area of 0.
    """
    return poisson_upper(count, area) if area > 0 else math.inf


def allowed_false(area: float, settings: GateSettings) -> int:
    """How many false cells may pass in controls of this area.

    As many as keep the upper bound of their rate at the wanted one; none where the controls
    are too small to show that rate at all.
    """
    allowed = 0
    while upper_bound(allowed + 1, area) <= settings.control_false_positives_per_mm2:
        allowed += 1
    return allowed


def raised_gate(
    controls: Sequence[Passing], others: Sequence[Passing], settings: GateSettings
) -> Gate:
    """The gate that lets few enough of the controls pass and keeps most of the others.

    All combinations of `LEVELS` thresholds per property are looked at. Of equal ones the
    lowest ring wins, then the lowest score: what is left to choose is raised in the marker.
    """
    false = values_of(controls)
    allowed = allowed_false(area_of(controls), settings)
    if len(false) <= allowed:
        return Gate()
    levels = [_levels(false[:, k]) for k in range(false.shape[1])]
    clean = _kept(false, levels) <= allowed
    kept = np.where(clean, _kept(values_of(others), levels), -1)
    ring, score, marker = np.unravel_index(int(np.argmax(kept.T)), kept.T.shape)
    return Gate(float(levels[0][marker]), float(levels[1][score]), float(levels[2][ring]))


def _levels(values: np.ndarray) -> np.ndarray:
    """Not raised, then quantiles of `values` up to their largest, rounded up; increasing."""
    scale = 10.0**THRESHOLD_DECIMALS
    steps = np.quantile(values, np.linspace(0, 1, LEVELS), method="higher")
    return np.concatenate([[-math.inf], np.unique(np.ceil(steps * scale) / scale)])


def _kept(values: np.ndarray, levels: Sequence[np.ndarray]) -> np.ndarray:
    """How many rows (n, 3) exceed each combination of levels; int64, one axis per property."""
    # A row exceeds as many levels as lie strictly below it.
    below = [np.searchsorted(one, values[:, k], side="left") for k, one in enumerate(levels)]
    counts = np.zeros([len(one) + 1 for one in levels], np.int64)
    np.add.at(counts, tuple(below), 1)
    for axis in range(counts.ndim):
        counts = np.flip(np.cumsum(np.flip(counts, axis), axis=axis), axis)
    return counts[1:, 1:, 1:]
