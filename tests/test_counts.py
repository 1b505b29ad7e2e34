"""What a count still allows, and how finely ratios are told."""

from __future__ import annotations

import math

import pytest
from scipy.stats import chi2

from fociquant.counts import poisson_upper, ratio_decimals


@pytest.mark.parametrize("count", [0, 1, 7, 1000])
@pytest.mark.parametrize("exposure", [0.004, 0.5, 1.0, 37.5])
def test_the_upper_limit_is_half_a_chi_squared_quantile_also_of_little_tissue(count, exposure):
    exact = chi2.ppf(0.95, 2 * (count + 1)) / 2
    assert poisson_upper(count, exposure) == pytest.approx(exact / exposure)


def test_without_exposure_there_is_no_limit():
    assert math.isnan(poisson_upper(0, 0.0)) and math.isnan(poisson_upper(3, math.nan))


@pytest.mark.parametrize(
    ("ratio", "told"),
    [(0.0, 0.0), (0.000023456, 0.00002346), (0.09999, 0.09999), (0.123456, 0.1235),
     (1.0, 1.0), (1.23456, 1.2346), (54321.98765, 54321.9877)],
)  # fmt: skip
def test_ratios_below_one_keep_four_digits(ratio, told):
    assert round(ratio, ratio_decimals(ratio)) == told
