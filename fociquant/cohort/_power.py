"""How many mice the next experiment needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import nctdtr, polygamma, stdtrit

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
    log of a group's mean has variance ``trigamma(n / (cv**2 + 1/mean))``, and the spread between
    mice has to be estimated from the two groups alone (noncentral t, 2n - 2 degrees of freedom).
    Several days in one study estimate it together, so the table errs on the safe side.

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
    reached = 0.0
    for mice in range(2, MOST_MICE + 1):
        reached = _power(mice, mean, fold, cv=cv, level=level)
        if reached >= power:
            return mice, reached
    return None, reached


def _power(mice: int, mean: float, fold: float, *, cv: float, level: float) -> float:
    shapes = [mice / (cv**2 + 1 / one) for one in (mean, mean * fold)]
    error = float(np.sqrt(sum(polygamma(1, shape) for shape in shapes)))
    freedom = 2 * mice - 2
    limit = stdtrit(freedom, 1 - level / 2)
    return 1.0 - float(nctdtr(freedom, abs(np.log(fold)) / error, limit))
