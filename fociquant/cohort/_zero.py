"""What a count still allows: zero cells are not zero cancer."""

from __future__ import annotations

import math

import pandas as pd
from scipy.special import gammaincinv

CONFIDENCE = 0.95
"""One-sided."""


def poisson_upper(count: int, exposure: float) -> float:
    """Exact one-sided 95 % upper limit of a Poisson rate.

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


def nothing_seen(mice: pd.DataFrame, value: str = "cells") -> pd.Series:
    """Mice without a count because there was no tissue to count in; bool, aligned to `mice`.

    Their 0 is no observation. A count above 0 is one, also where no tissue was found.
    """
    if "tissue_mm2" not in mice.columns:
        return pd.Series(False, index=mice.index)
    area, count = mice["tissue_mm2"].astype("float64"), mice[value].astype("float64")
    return (area == 0) & (count == 0)


def zero_note(sections: int, mice: int, per_mm2: float) -> str:
    """What no cell in so many sections still allows, in words."""
    where = f"no cell in {sections} {'section' if sections == 1 else 'sections'}"
    where += f" of {mice} mice" if mice > 1 else ""
    if not sections:
        return ""
    allowed = f"up to {poisson_upper(0, sections):.2g} per section"
    if math.isfinite(per_mm2):
        allowed += f" ({per_mm2:.2g} per mm²)"
    return f"{where}: {allowed} cannot be excluded (one-sided 95 %)"
