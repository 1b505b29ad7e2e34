"""How far reviewers agree: with each other, and with themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement of two series of yes/no verdicts beyond chance.

    Parameters
    ----------
    n : int
        Objects that both judged.
    agreement : float
        Share judged alike; NaN without objects.
    kappa : float
        Cohen's kappa; NaN where chance alone agrees fully (both always say the same one
        thing) or without objects.
    low, high : float
        95 % interval of kappa, from its large-sample standard error (Fleiss, Cohen and
        Everitt, Psychological Bulletin 72:323, 1969), within -1 to 1. NaN where one of them always
        says the same: kappa is 0 then whatever the other says, and its formal error 0 as well.
    """

    n: int
    agreement: float
    kappa: float
    low: float
    high: float


def cohen_kappa(one: Sequence[bool] | np.ndarray, other: Sequence[bool] | np.ndarray) -> Kappa:
    """Cohen's kappa of two raters.

    Parameters
    ----------
    one, other : sequence of bool, shape (n,)
        Verdicts on the same objects.

    Returns
    -------
    Kappa

    Raises
    ------
    ValueError
        If they differ in length.
    """
    a, b = np.asarray(one, bool), np.asarray(other, bool)
    if a.shape != b.shape:
        raise ValueError(f"verdicts on {a.size} and on {b.size} objects cannot be compared")
    n = int(a.size)
    if n == 0:
        return Kappa(0, math.nan, math.nan, math.nan, math.nan)
    table = np.array([[np.mean(a & b), np.mean(a & ~b)], [np.mean(~a & b), np.mean(~a & ~b)]])
    seen = float(np.trace(table))
    rows, columns = table.sum(1), table.sum(0)
    chance = float(rows @ columns)
    if math.isclose(chance, 1.0):
        return Kappa(n, seen, math.nan, math.nan, math.nan)
    kappa = (seen - chance) / (1 - chance)
    if not (rows.all() and columns.all()):
        return Kappa(n, seen, kappa, math.nan, math.nan)
    half = 1.96 * math.sqrt(_variance(table, rows, columns, kappa, chance) / n)
    return Kappa(n, seen, kappa, max(-1.0, kappa - half), min(1.0, kappa + half))


def _variance(
    table: np.ndarray, rows: np.ndarray, columns: np.ndarray, kappa: float, chance: float
) -> float:
    """N times the variance of kappa (Fleiss, Cohen and Everitt 1969, equation 13)."""
    sums = columns[:, None] + rows[None, :]
    on = sum(table[i, i] * (1 - sums[i, i] * (1 - kappa)) ** 2 for i in range(2))
    off = sum(
        table[i, j] * (columns[i] + rows[j]) ** 2 for i in range(2) for j in range(2) if i != j
    )
    total = on + (1 - kappa) ** 2 * off - (kappa - chance * (1 - kappa)) ** 2
    return max(0.0, float(total)) / (1 - chance) ** 2


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """Differences of two counts of the same mice.

    Parameters
    ----------
    n : int
        Mice.
    bias : float
        Mean difference (second minus first), cells per mouse; NaN without mice.
    low, high : float
        95 % limits of agreement, bias ± 1.96 SD of the differences; NaN below two mice.
    """

    n: int
    bias: float
    low: float
    high: float


def bland_altman(
    first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray
) -> BlandAltman:
    """Limits of agreement (Bland and Altman, Lancet 327:307, 1986).

    Parameters
    ----------
    first, second : sequence of float, shape (mice,)
        Counts of two reviewers, or of the program and a reviewer.

    Returns
    -------
    BlandAltman

    Raises
    ------
    ValueError
        If they differ in length.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"{a.size} and {b.size} mice cannot be compared")
    if not a.size:
        return BlandAltman(0, math.nan, math.nan, math.nan)
    difference = b - a
    bias = float(difference.mean())
    spread = 1.96 * float(difference.std(ddof=1)) if a.size > 1 else math.nan
    return BlandAltman(int(a.size), bias, bias - spread, bias + spread)
