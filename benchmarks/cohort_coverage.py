"""How often the intervals of ``compare_groups`` are right, in cohorts whose truth is known.

Run ``python benchmarks/cohort_coverage.py`` (``--cohorts 1000 --seed 1``; all parts but the first
use a fraction of the cohorts); it prints the tables of ``docs/statistics.md``. A mouse's own rate
is drawn from a gamma distribution (or a log-normal one) around its group's, its count from a
Poisson distribution; areas of tissue differ between mice. Every cohort is one table of mice given
to :func:`fociquant.cohort.compare_groups`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm
from statsmodels.genmod.families import NegativeBinomial
from statsmodels.genmod.generalized_linear_model import GLM

from fociquant.cohort import compare_groups, power_table

RATES = (2.0, 1500.0)
MICE = (3, 7)
PARTS = ("mixed", "strata", "truths", "textbook", "power")
AREA_MM2 = (60.0, 140.0)
PLANS = ((0.9, 2.0), (0.9, 20.0), (0.9, 200.0), (0.2, 200.0), (0.4, 20.0), (2.0, 20.0))
"""CV between mice, and cells per reference mouse, of the experiments that are planned."""


@dataclass(frozen=True)
class Scenario:
    """One kind of cohort; `rates` and `mice` None: drawn anew for each group and day."""

    name: str
    days: int = 1
    rates: tuple[float, float] | None = None
    mice: tuple[int, int] | None = None
    cv: tuple[float, float] = (0.9, 0.9)
    null: bool = False
    lognormal: bool = False


MIXED = (
    Scenario("6 days, rates 2-1500, n 3-7", days=6),
    Scenario("6 days, no difference", days=6, null=True),
    Scenario("1 day, rates 2-1500, n 3-7"),
    Scenario("1 day, no difference", null=True),
)
STRATA = (
    *(
        Scenario(f"1 day, n {n[0]} and {n[1]}, both rates {rate:g}", rates=(rate, rate), mice=n)
        for n in ((3, 3), (4, 3))
        for rate in (2.0, 20.0, 1500.0)
    ),
    Scenario("1 day, n 7 and 7, both rates 20", rates=(20.0, 20.0), mice=(7, 7)),
    Scenario("1 day, n 4 and 4, rates 2 and 200", rates=(2.0, 200.0), mice=(4, 4)),
)
OTHER_TRUTHS = (
    Scenario("6 days, CV 0.4", days=6, cv=(0.4, 0.4)),
    Scenario("6 days, CV 1.5", days=6, cv=(1.5, 1.5)),
    Scenario("6 days, log-normal mice", days=6, lognormal=True),
    Scenario("6 days, CV 0.6 in the reference, 1.2 in the other", days=6, cv=(0.6, 1.2)),
    Scenario("1 day, CV 0.4", cv=(0.4, 0.4)),
    Scenario("1 day, CV 1.5", cv=(1.5, 1.5)),
)


def cohort(rng: np.random.Generator, scenario: Scenario) -> tuple[pd.DataFrame, list[float]]:
    """A table of mice, and the true rate ratio of each day."""
    rows, truth = [], []
    for day in range(scenario.days):
        rates = np.exp(rng.uniform(*np.log(RATES), 2))
        rates = np.array(scenario.rates) if scenario.rates else rates
        if scenario.null:
            rates[1] = rates[0]
        sizes = scenario.mice or rng.integers(MICE[0], MICE[1] + 1, 2)
        truth.append(rates[1] / rates[0])
        for group, rate, n, cv in zip(("PBS", "IAV"), rates, sizes, scenario.cv, strict=True):
            area = rng.uniform(*AREA_MM2, n)
            counts = rng.poisson(area / 100 * rate * _between(rng, cv, n, scenario.lognormal))
            rows += [
                (f"{group}{day}.{i}", group, float(day), 3, 0, a, int(c))
                for i, (a, c) in enumerate(zip(area, counts, strict=True))
            ]
    names = ["mouse", "group", "dpi", "sections", "sections_failed", "tissue_mm2", "cells"]
    return pd.DataFrame(rows, columns=names), truth


def _between(rng: np.random.Generator, cv: float, n: int, lognormal: bool) -> np.ndarray:
    """Factors of mean 1 by which mice differ from their group."""
    if lognormal:
        sigma2 = np.log(1 + cv**2)
        return np.exp(rng.normal(-sigma2 / 2, np.sqrt(sigma2), n))
    return rng.gamma(1 / cv**2, cv**2, n)


def outcomes(scenario: Scenario, *, cohorts: int, seed: int) -> pd.DataFrame:
    """One row per comparison: which side the interval missed, and the P values."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(cohorts):
        mice, truth = cohort(rng, scenario)
        table = compare_groups(mice, reference_group="PBS")
        for (_, row), true in zip(table.iterrows(), truth, strict=True):
            found.append(
                {
                    "above": row["ratio_low"] > true,  # an empty limit excludes nothing
                    "below": row["ratio_high"] < true,
                    "one_sided": np.isnan(row["rate_ratio"]),
                    "width": row["ratio_high"] / row["ratio_low"],
                    "different": true != 1,
                    "p_model": row["p_model"],
                    "p_rank": row["p_rank"],
                }
            )
    return pd.DataFrame(found)


def textbook(*, cohorts: int, seed: int) -> list[dict[str, object]]:
    """Usual intervals on the cohorts of the one-day scenario, where no group is all zero."""
    rng = np.random.default_rng(seed)
    held: dict[str, list[bool]] = {}
    for _ in range(cohorts):
        mice, (true,) = cohort(rng, MIXED[2])
        totals = mice.groupby("group")[["cells", "tissue_mm2"]].sum().loc[["IAV", "PBS"]]
        if (totals["cells"] == 0).any():
            continue
        rate = totals["cells"] / totals["tissue_mm2"]
        pooled = (
            float(np.log(rate.iloc[0] / rate.iloc[1])),
            float((1 / totals["cells"]).sum()) ** 0.5,
        )
        for name, (log_ratio, error) in (
            ("cells as n (Poisson)", pooled),
            ("negative binomial, Wald", _negative_binomial(mice)),
        ):
            inside = abs(log_ratio - np.log(true)) <= norm.ppf(0.975) * error
            held.setdefault(name, []).append(bool(inside))
    return [{"interval": k, "covered": f"{100 * np.mean(v):.1f}"} for k, v in held.items()]


def _negative_binomial(mice: pd.DataFrame) -> tuple[float, float]:
    """Log ratio and its standard error by maximum likelihood, this day alone."""
    design = np.column_stack([np.ones(len(mice)), mice["group"] == "IAV"]).astype(float)
    fits = []
    for cv in np.geomspace(0.1, 3.0, 12):
        model = GLM(mice["cells"].to_numpy(float), design, family=NegativeBinomial(alpha=cv**2),
                    offset=np.log(mice["tissue_mm2"].to_numpy()))  # fmt: skip
        fit = model.fit()
        fits.append((float(fit.llf), float(fit.params[1]), float(fit.bse[1])))
    return max(fits)[1:]


def summary(scenario: Scenario, found: pd.DataFrame) -> dict[str, object]:
    """One row of a table, in percent."""
    rejected = (found["p_model"] < 0.05).mean()
    null = not found["different"].any()
    return {
        "cohorts": scenario.name,
        "comparisons": len(found),
        "covered": f"{100 * (1 - (found['above'] | found['below']).mean()):.1f}",
        "truth below / above": f"{100 * found['above'].mean():.1f} / "
        f"{100 * found['below'].mean():.1f}",
        "P < 0.05, model": f"{100 * rejected:.1f}" if null else "",
        "P < 0.05, ranks": f"{100 * (found['p_rank'] < 0.05).mean():.1f}" if null else "",
        "one-sided": f"{100 * found['one_sided'].mean():.1f}",
        "high/low": f"{found['width'].median():.1f}",
    }


def show(title: str, rows: Sequence[dict[str, object]]) -> None:
    """A table in Markdown."""
    print(f"\n{title}\n")
    names = list(rows[0])
    print("| " + " | ".join(names) + " |")
    print("|" + "---|" * len(names))
    for row in rows:
        print("| " + " | ".join(str(row[name]) for name in names) + " |", flush=True)


def power_check(*, cohorts: int, seed: int) -> list[dict[str, object]]:
    """The share of simulated experiments of the planned size that find the difference."""
    rows = []
    for cv, mean in PLANS:
        for _, plan in power_table(reference_mean=mean, cv=cv).iterrows():
            n, rates = int(plan["mice_per_group"]), (mean, mean * plan["fold_change"])
            scenario = Scenario("", rates=rates, mice=(n, n), cv=(cv, cv))
            rng = np.random.default_rng(seed)
            p = [
                compare_groups(cohort(rng, scenario)[0], reference_group="PBS")["p_model"].iloc[0]
                for _ in range(cohorts)
            ]
            rows.append(
                {
                    "CV": f"{cv:g}",
                    "cells per reference mouse": f"{mean:g}",
                    "fold change": f"{plan['fold_change']:g}",
                    "mice per group": n,
                    "planned power": f"{100 * plan['power']:.0f}",
                    "simulated power": f"{100 * np.mean(np.array(p) < 0.05):.0f}",
                }
            )
    return rows


def main() -> None:
    """Print every table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=PARTS, action="append")
    options = parser.parse_args()
    began = time.perf_counter()
    parts = options.part or PARTS
    for part, scenarios in (("mixed", MIXED), ("strata", STRATA), ("truths", OTHER_TRUTHS)):
        if part in parts:
            rows = []
            for i, scenario in enumerate(scenarios):
                share = 1 if part == "mixed" else 2 if scenario.days == 1 else 5
                many = max(1, options.cohorts // share)
                found = outcomes(scenario, cohorts=many, seed=options.seed + i)
                rows.append(summary(scenario, found))
            show(f"{part}, seed {options.seed}", rows)
    if "textbook" in parts:
        show("textbook intervals", textbook(cohorts=options.cohorts, seed=options.seed))
    if "power" in parts:
        show("power", power_check(cohorts=max(1, options.cohorts // 5), seed=options.seed))
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
