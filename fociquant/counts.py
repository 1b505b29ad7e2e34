"""What a count of cells is worth: which mice have one, what it still allows, and how it is said."""

from __future__ import annotations

import math

import pandas as pd
from scipy.special import gammaincinv

CONFIDENCE = 0.95
"""One-sided."""


def poisson_upper(count: int, exposure: float) -> float:
    """Exact one-sided 95 % upper limit of a Poisson rate (Garwood 1936).

    Parameters
    ----------
    count : int
        >= 0.
    exposure : float
        mm² of tissue, or sections.

    Returns
    -------
    float
        Per unit of `exposure`; for a count of 0 it is 3.0 / `exposure` ("rule of three").
        NaN without exposure.
    """
    if not exposure > 0:
        return math.nan
    # Half of the chi-squared quantile with 2 (count + 1) degrees of freedom.
    return float(gammaincinv(count + 1, CONFIDENCE)) / exposure


def is_control(mice: pd.DataFrame) -> pd.Series:
    """Mice (or sections) that are negative controls; bool, aligned to `mice`."""
    return _has_text(mice, "control")


def is_excluded(mice: pd.DataFrame) -> pd.Series:
    """Mice (or their sections) that the sample sheet leaves out; bool, aligned to `mice`."""
    return _has_text(mice, "excluded")


def _has_text(table: pd.DataFrame, column: str) -> pd.Series:
    """Rows in which a column, if it is there, is not empty."""
    if column not in table.columns:
        return pd.Series(False, index=table.index)
    return table[column].notna() & (table[column] != "")


def is_observed(mice: pd.DataFrame, value: str = "cells") -> pd.Series:
    """Mice that are in means and comparisons, negative controls apart; bool, aligned to `mice`.

    Nobody excluded them, every section was counted, and there was tissue to count in: a 0
    without any is no observation. A count above 0 is one, also where no tissue was found.

    Parameters
    ----------
    mice : pandas.DataFrame
        ``sections_failed``, the column `value`, and optionally ``tissue_mm2`` and ``excluded``.
    value : str
        The count.
    """
    complete = (mice["sections_failed"] == 0) & mice[value].notna() & ~is_excluded(mice)
    if "tissue_mm2" not in mice.columns:
        return complete
    area, count = mice["tissue_mm2"].astype("float64"), mice[value].astype("float64")
    return complete & ~((area == 0) & (count == 0))


def ratio_decimals(value: float, *, digits: int = 4) -> int:
    """Decimals that leave a ratio so many significant digits where it is below 1, else `digits`.

    A ratio is as far from 1 at 0.00002 as at 50 000: with fixed decimals it would be 0.
    """
    if not 0 < value < 1:
        return digits
    return digits - 1 - math.floor(math.log10(value))


def several(number: int, one: str, more: str = "") -> str:
    """``1 cell``, ``2 cells``; `more` where an s does not make the plural."""
    return f"{number} {one if number == 1 else more or one + 's'}"
