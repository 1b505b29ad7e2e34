"""Groups against the reference: numbers, invariances, refusals, zeros."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, f, mannwhitneyu
from statsmodels.genmod.families import NegativeBinomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.stats.multitest import multipletests

from fociquant.cohort import (
    COMPARISON_COLUMNS,
    compare_groups,
    group_table,
    power_table,
    rank_test,
    smallest_p,
)
from fociquant.cohort._compare import _benjamini_hochberg, _holm
from fociquant.cohort._likelihood import Arm, SharedSpread
from fociquant.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def study(arms: dict[tuple[str, float], list[int]], *, area: float = 10.0, **columns):
    """A table of mice from counts by group and day."""
    rows = [
        {"mouse": f"{group}{dpi}{i}", "group": group, "dpi": dpi, "sections": 3,
         "sections_failed": 0, "tissue_mm2": area, "cells": count, "control": ""}
        for (group, dpi), counts in arms.items()
        for i, count in enumerate(counts)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"cells": "Int64"}).assign(**columns)


PAIR = {("PBS", 3.0): [4, 6, 1], ("IAV", 3.0): [50, 10, 33, 80]}
DAYS = PAIR | {
    ("PBS", 6.0): [3, 9, 2, 2], ("IAV", 6.0): [100, 300, 40],
    ("PBS", 15.0): [5, 2, 11], ("IAV", 15.0): [4, 9, 3],
}  # fmt: skip


def one(arms, **columns) -> pd.Series:
    return compare_groups(study(arms, **columns), reference_group="PBS").iloc[0]


def test_the_rate_ratio_is_that_of_the_totals_where_areas_are_equal():
    row = one(PAIR)
    assert row["rate_ratio"] == pytest.approx((173 / 4) / (11 / 3), rel=1e-9)
    assert row["ratio_low"] < row["rate_ratio"] < row["ratio_high"]
    assert row[["mice", "mice_reference", "total", "total_reference"]].tolist() == [4, 3, 173, 11]
    assert row["offset"] == "tissue_mm2"
    assert row["comparison_note"] == ""
    assert 0.3 < row["cv_between_mice"] < 1.5


def test_a_large_sample_gives_what_statsmodels_gives():
    rng = np.random.default_rng(5)
    area = rng.uniform(60, 140, 400)
    infected = np.repeat([0.0, 1.0], 200)
    counts = rng.poisson(rng.gamma(1 / 0.81, 0.81, 400) * 0.2 * area * np.exp(0.7 * infected))
    mice = study({("PBS", 3.0): list(counts[:200]), ("IAV", 3.0): list(counts[200:])})
    row = compare_groups(mice.assign(tissue_mm2=area), reference_group="PBS").iloc[0]
    fit = GLM(
        counts, np.column_stack([np.ones(400), infected]),
        family=NegativeBinomial(alpha=row["cv_between_mice"] ** 2), offset=np.log(area),
    ).fit()  # fmt: skip
    low, high = np.exp(fit.conf_int()[1])
    assert row["rate_ratio"] == pytest.approx(np.exp(fit.params[1]), rel=1e-6)
    assert row["ratio_low"] == pytest.approx(low, rel=0.01)
    assert row["ratio_high"] == pytest.approx(high, rel=0.01)
    assert row["cv_between_mice"] == pytest.approx(0.9, abs=0.08)


def test_with_large_counts_and_a_known_spread_the_interval_is_the_exact_one():
    # Totals of gamma distributed mice: their ratio has an F distribution.
    ours, theirs = Arm(np.array([9e5, 4e5, 2e6]), np.ones(3)), Arm(np.array([3e5, 8e5]), np.ones(2))
    spread = SharedSpread({"a": ours, "b": theirs})
    cv = 0.8
    weight = np.zeros_like(spread.weight)
    weight[i := int(np.argmin(np.abs(np.log(np.geomspace(0.05, 4, 45) / cv))))] = 1
    spread.weight = weight
    shape = 1 / np.geomspace(0.05, 4, 45)[i] ** 2
    ratio = (ours.total / 3) / (theirs.total / 2)
    exact = [ratio / f.ppf(p, 6 * shape, 4 * shape) for p in (0.975, 0.5, 0.025)]
    found = np.exp(spread.quantiles([0.025, 0.5, 0.975], "a", "b"))
    assert found == pytest.approx(exact, rel=2e-3)


def test_swapping_the_groups_inverts_the_ratio():
    there = one(PAIR)
    back = compare_groups(study(PAIR), reference_group="IAV").iloc[0]
    assert back["rate_ratio"] == pytest.approx(1 / there["rate_ratio"])
    assert back["ratio_low"] == pytest.approx(1 / there["ratio_high"], rel=1e-6)
    assert back["ratio_high"] == pytest.approx(1 / there["ratio_low"], rel=1e-6)
    assert back["p_model"] == pytest.approx(there["p_model"], rel=1e-6)
    assert back["p_rank"] == there["p_rank"]


@settings(max_examples=15, deadline=None)
@given(
    factor=st.floats(1e-3, 1e3),
    counts=st.lists(st.integers(0, 2000), min_size=4, max_size=8),
)
def test_the_unit_of_area_does_not_matter_and_nothing_is_infinite(factor, counts):
    arms = {("PBS", 3.0): counts[:2], ("IAV", 3.0): counts[2:]}
    table = compare_groups(study(arms), reference_group="PBS")
    scaled = compare_groups(study(arms, area=10 * factor), reference_group="PBS")
    pd.testing.assert_frame_equal(table, scaled, rtol=1e-4)
    assert not np.isinf(table.select_dtypes("number").to_numpy()).any()
    row = table.iloc[0]
    assert not row["ratio_low"] > row["rate_ratio"]
    assert not row["ratio_high"] < row["rate_ratio"]


def test_half_the_tissue_in_one_group_doubles_its_rate():
    mice = study(PAIR)
    mice.loc[mice["group"] == "IAV", "tissue_mm2"] /= 2
    halved = compare_groups(mice, reference_group="PBS").iloc[0]
    for name in ("rate_ratio", "ratio_low", "ratio_high"):
        assert halved[name] == pytest.approx(2 * one(PAIR)[name], rel=1e-6)


def test_without_every_area_there_is_no_offset_and_the_note_says_so():
    mice = study(PAIR)
    mice.loc[0, "tissue_mm2"] = 0.0
    row = compare_groups(mice, reference_group="PBS").iloc[0]
    assert row["offset"] == "none"
    assert row["comparison_note"] == "no area offset: tissue_mm2 of PBS3.00 is not known or 0"
    assert row["rate_ratio"] == pytest.approx((173 / 4) / (11 / 3))
    mice.loc[[1, 4], "tissue_mm2"] = np.nan
    row = compare_groups(mice, reference_group="PBS").iloc[0]
    assert "tissue_mm2 of PBS3.00 and 2 more is not known or 0" in row["comparison_note"]
    bare = compare_groups(mice.drop(columns="tissue_mm2"), reference_group="PBS").iloc[0]
    assert bare["comparison_note"] == "no area offset: there is no column tissue_mm2"
    assert bare["ratio_low"] == row["ratio_low"]


def test_the_order_of_rows_and_the_run_do_not_matter():
    mice = study(DAYS)
    first = compare_groups(mice, reference_group="PBS")
    again = compare_groups(mice.sample(frac=1, random_state=3), reference_group="PBS")
    pd.testing.assert_frame_equal(first, again, rtol=1e-9)
    pd.testing.assert_frame_equal(first, compare_groups(mice, reference_group="PBS"), rtol=0)


def test_days_share_the_spread_between_mice_and_so_narrow_each_other():
    alone = one(PAIR)
    table = compare_groups(study(DAYS), reference_group="PBS")
    assert table["dpi"].tolist() == [3.0, 6.0, 15.0]
    assert table["cv_between_mice"].nunique() == 1
    together = table.iloc[0]
    assert together["rate_ratio"] == pytest.approx(alone["rate_ratio"])
    width = [row["ratio_high"] / row["ratio_low"] for row in (alone, together)]
    assert width[1] < width[0]
    assert table["p_model"].iloc[2] > 0.5


def test_p_values_are_adjusted_across_days():
    table = compare_groups(study(DAYS), reference_group="PBS")
    p = table["p_model"].to_numpy()
    order = np.argsort(p)
    holm = np.minimum(1, np.maximum.accumulate(p[order] * [3, 2, 1]))
    bh = np.minimum.accumulate((p[order] * 3 / np.array([1, 2, 3]))[::-1])[::-1]
    assert table["p_holm"].to_numpy()[order] == pytest.approx(holm)
    assert table["p_bh"].to_numpy()[order] == pytest.approx(bh)
    assert table["p_holm"].to_numpy() == pytest.approx(multipletests(p, method="holm")[1])
    assert table["p_bh"].to_numpy() == pytest.approx(multipletests(p, method="fdr_bh")[1])


@pytest.mark.parametrize("seed", range(6))
def test_rows_without_a_p_value_are_not_counted_as_tested(seed):
    # Values so near each other that a step has to hold the next one up, and two equal ones.
    p = pd.Series(np.random.default_rng(seed).uniform(0.01, 0.03, 8), index=list("hgfedcba"))
    p.iloc[[2, 5]], p.iloc[0] = np.nan, p.iloc[1]
    known = p.notna()
    for ours, method in ((_holm, "holm"), (_benjamini_hochberg, "fdr_bh")):
        found = ours(p)
        assert found.index.equals(p.index) and found[~known].isna().all()
        exact = multipletests(p[known], method=method)[1]
        assert found[known].to_numpy() == pytest.approx(exact)


def test_a_group_of_zeros_gives_a_one_sided_bound():
    up = one({("PBS", 3.0): [0, 0, 0], ("IAV", 3.0): [40, 90, 20]})
    assert np.isnan([up["rate_ratio"], up["ratio_high"]]).all()
    assert 10 < up["ratio_low"] < 1000
    assert up["p_model"] < 0.01
    assert up["comparison_note"] == (
        "PBS has no cells in 3 mice (9 sections): up to 0.33 per section cannot be excluded "
        "(one-sided 95 %)"
    )
    down = one({("PBS", 3.0): [40, 90, 20], ("IAV", 3.0): [0, 0, 0]})
    assert down["ratio_high"] == pytest.approx(1 / up["ratio_low"], rel=1e-6)
    assert np.isnan([down["rate_ratio"], down["ratio_low"]]).all()
    few = one({("PBS", 3.0): [0, 0, 0], ("IAV", 3.0): [1, 0, 0]})
    assert few["ratio_low"] < 1
    assert few["p_model"] > 0.1


def test_one_of_a_kind_is_told_in_the_singular():
    note = one({("PBS", 3.0): [4, 5], ("IAV", 3.0): [0]}, sections=1)["comparison_note"]
    assert note.startswith("IAV has no cells in 1 mouse (1 section): up to 3 per section")
    mice = study({("PBS", 3.0): [4, 5], ("IAV", 3.0): [0, 0]}).drop(columns="sections")
    unknown = compare_groups(mice, reference_group="PBS").iloc[0]["comparison_note"]
    assert unknown == "IAV has no cells in 2 mice"


def test_zeros_everywhere_say_what_they_still_allow():
    row = one({("PBS", 3.0): [0, 0], ("IAV", 3.0): [0, 0, 0]})
    assert row[["p_model", "p_holm", "p_bh", "p_rank"]].tolist() == [1, 1, 1, 1]
    assert np.isnan(row[["rate_ratio", "ratio_low", "ratio_high"]].astype(float)).all()
    assert row["comparison_note"].count("cannot be excluded") == 2
    assert "(6 sections): up to 0.5 per section" in row["comparison_note"]


def test_mice_without_cells_do_not_show_how_mice_differ():
    zeros = {(group, day): [0] * 4 for group in ("PBS", "IAV") for day in (3.0, 6.0, 9.0)}
    none = compare_groups(study(zeros), reference_group="PBS")
    assert none["cv_between_mice"].isna().all() and (none["p_model"] == 1).all()
    # The only cells are in an arm of one mouse, which does not show it either.
    alone = compare_groups(study(zeros | {("X", 3.0): [40]}), reference_group="PBS")
    assert alone["cv_between_mice"].isna().all()
    some = compare_groups(study(zeros | {("IAV", 9.0): [3, 8, 0, 5]}), reference_group="PBS")
    assert some["cv_between_mice"].notna().all()


def test_one_mouse_gives_an_estimate_without_an_interval():
    row = one({("PBS", 3.0): [4, 6], ("IAV", 3.0): [50], ("X", 3.0): [1, 2]})
    assert row["rate_ratio"] == pytest.approx(10)
    assert np.isnan(row[["ratio_low", "ratio_high", "p_model", "p_holm"]].astype(float)).all()
    assert row["p_rank"] == row["p_rank_smallest"] == pytest.approx(2 / 3)
    assert row["comparison_note"].startswith("no interval: IAV has one mouse")
    single = one({("PBS", 3.0): [4], ("IAV", 3.0): [8]})
    assert single["rate_ratio"] == pytest.approx(2)
    assert np.isnan(single["cv_between_mice"])


@pytest.mark.parametrize("reference", ["PBS", "nobody", None])
def test_how_mice_differ_is_told_in_every_row(reference):
    table = compare_groups(study(PAIR | {("IAV", 9.0): [5, 8]}), reference_group=reference)
    assert table["cv_between_mice"].notna().all() and table["cv_between_mice"].nunique() == 1


def test_a_day_without_reference_is_a_row_with_its_reason():
    arms = PAIR | {("IAV", 6.0): [7, 9], ("X", 6.0): [7, 9]}
    table = compare_groups(study(arms), reference_group="PBS")
    assert table["comparison_note"].tolist() == [
        "", "no complete mouse of PBS at this dpi", "no complete mouse of PBS at this dpi",
    ]  # fmt: skip
    assert table.loc[1, "total"] == 16
    nobody = compare_groups(study(PAIR), reference_group=None)
    assert set(nobody["comparison_note"]) == {"no reference group was named"}
    assert nobody["group"].tolist() == ["IAV", "PBS"]


def test_controls_and_incomplete_mice_are_left_out_and_counted():
    mice = study(PAIR | {("PBS", 6.0): [5], ("IAV", 6.0): [5, 8], ("WT", 3.0): [0, 0]})
    mice["sections_failed"] = [1 if name == "IAV3.00" else 0 for name in mice["mouse"]]
    wild = mice["mouse"].isin(["PBS3.00"]) | (mice["group"] == "WT")
    mice["control"] = ["negative" if w else "" for w in wild]
    mice.loc[mice["mouse"] == "PBS6.00", "cells"] = pd.NA
    table = compare_groups(mice, reference_group="PBS")
    assert table["group"].tolist() == ["IAV", "IAV"]
    assert table["mice_excluded"].tolist() == [2, 1]
    assert table[["mice", "mice_reference", "total", "total_reference"]].iloc[0].tolist() == [
        3, 2, 123, 7,
    ]  # fmt: skip
    kept = mice[~wild & (mice["mouse"] != "IAV3.00")]
    same = compare_groups(kept, reference_group="PBS")
    assert same["ratio_low"].iloc[0] == table["ratio_low"].iloc[0]
    assert table["comparison_note"].iloc[1] == "no complete mouse of PBS at this dpi"


def test_cells_foci_and_sections_are_refused_as_n():
    mice = study(PAIR)
    with pytest.raises(InputError, match=r"rows are not mice.*cannot be n"):
        compare_groups(mice.assign(section=range(len(mice))), reference_group="PBS")
    with pytest.raises(InputError, match=r"'PBS3\.00'.*more than one row.*The mouse is the unit"):
        compare_groups(pd.concat([mice, mice.iloc[:1]]), reference_group="PBS")
    with pytest.raises(InputError, match="no column 'spots'"):
        compare_groups(mice, reference_group="PBS", value="spots")
    for wrong in (2.5, -1.0):
        with pytest.raises(InputError, match="is not a count"):
            compare_groups(mice.astype({"cells": float}).assign(cells=wrong), reference_group="PBS")


def test_no_mice_and_one_group_give_no_rows():
    for arms in (PAIR, {("PBS", 3.0): [1, 2]}):
        mice = study(arms)
        table = compare_groups(mice[mice["group"] == "PBS"], reference_group="PBS")
        assert tuple(table.columns) == COMPARISON_COLUMNS
        assert len(table) == 0
    assert len(compare_groups(study(PAIR).iloc[:0], reference_group="PBS")) == 0


def test_other_counts_can_be_compared():
    mice = study(PAIR).assign(clusters=[0, 1, 0, 4, 2, 2, 9])
    row = compare_groups(mice, reference_group="PBS", value="clusters").iloc[0]
    assert row["rate_ratio"] == pytest.approx((17 / 4) / (1 / 3))


def test_exact_rank_p_values():
    apart = rank_test(np.array([10.0, 11, 12, 13]), np.array([1.0, 2, 3]))
    assert apart == smallest_p(4, 3) == pytest.approx(2 / 35)
    assert smallest_p(3, 3) == pytest.approx(0.1)
    assert smallest_p(4, 4) == pytest.approx(2 / 70)
    assert smallest_p(1, 1) == 1
    assert rank_test(np.array([5.0, 5]), np.array([5.0, 5, 5])) == 1
    # 1 2 | 2 3: of 6 ways, rank sums 3.5 3.5 5 5 6.5 6.5 around 5; two below and two above count.
    assert rank_test(np.array([1.0, 2]), np.array([2.0, 3])) == pytest.approx(4 / 6)


@settings(max_examples=40, deadline=None)
@given(
    ours=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    reference=st.lists(st.integers(0, 9), min_size=1, max_size=5),
)
def test_the_rank_test_counts_every_deal(ours, reference):
    both = np.array(ours + reference, float)
    ranks = (both[:, None] > both).sum(1) + (both[:, None] == both).sum(1) / 2
    deals = [sum(deal) for deal in itertools.combinations(ranks, len(ours))]
    observed = sum(ranks[: len(ours)])
    tails = np.mean(np.array(deals) <= observed), np.mean(np.array(deals) >= observed)
    found = rank_test(np.array(ours, float), np.array(reference, float))
    assert found == pytest.approx(min(1, 2 * min(tails)))
    assert found >= smallest_p(len(ours), len(reference)) - 1e-12
    if len(set(both)) == len(both):
        exact = mannwhitneyu(ours, reference, method="exact").pvalue
        assert found == pytest.approx(exact)


def test_power_grows_with_the_difference_and_the_mice():
    table = power_table(reference_mean=20.0)
    assert table["fold_change"].tolist() == [2, 5, 10, 100]
    assert table["mice_per_group"].is_monotonic_decreasing
    assert (table["power"] >= 0.8).all()
    assert table["mice_per_group"].tolist() == [30, 7, 4, 3]
    assert (power_table(reference_mean=1.0)["mice_per_group"] > table["mice_per_group"]).any()
    assert power_table(reference_mean=20, fold_changes=[1.001])["mice_per_group"].isna().all()
    for wrong in ({"cv": -1}, {"fold_changes": [1]}, {"power": 1}, {"reference_mean": 0}):
        with pytest.raises(InputError, match="must be"):
            power_table(**{"reference_mean": 1, **wrong})


@pytest.mark.parametrize(("cv", "mean"), [(0.2, 500.0), (0.3, 30.0), (0.9, 500.0), (2.2, 500.0)])
def test_experiments_of_the_planned_size_reach_the_planned_power(cv, mean):
    fold = 10.0 if cv > 0.5 else 2.0
    plan = power_table(reference_mean=mean, cv=cv, fold_changes=[fold]).iloc[0]
    rng, runs = np.random.default_rng(5), 150
    n, shape = int(plan["mice_per_group"]), 1 / cv**2
    area, found = np.ones(n), 0
    for _ in range(runs):
        arms = {
            name: Arm(rng.poisson(one * rng.gamma(shape, 1 / shape, n)).astype(float), area)
            for name, one in (("PBS", mean), ("IAV", mean * fold))
        }
        below = SharedSpread(arms).probability_below(0.0, "IAV", "PBS")
        found += 2 * min(below, 1 - below) < 0.05
    chance = 3 * np.sqrt(plan["power"] * (1 - plan["power"]) / runs)
    assert found / runs == pytest.approx(plan["power"], abs=chance)


def test_a_small_simulation_covers_and_does_not_cry_wolf():
    rng = np.random.default_rng(11)
    held = wolf = total = 0
    for _ in range(15):
        arms = {}
        for dpi in range(5):
            rate = np.exp(rng.uniform(np.log(2), np.log(1500)))
            for group in ("PBS", "IAV"):
                means = rate * rng.gamma(1 / 0.81, 0.81, rng.integers(3, 8))
                arms[group, float(dpi)] = rng.poisson(means).tolist()
        table = compare_groups(study(arms), reference_group="PBS")
        held += int((~(table["ratio_low"] > 1) & ~(table["ratio_high"] < 1)).sum())
        wolf += int((table["p_model"] < 0.05).sum())
        total += len(table)
    assert held >= binom.ppf(0.001, total, 0.95)
    assert wolf <= binom.ppf(0.999, total, 0.05)


def test_the_pages_list_the_columns():
    text = (ROOT / "docs" / "results_folder.md").read_text(encoding="utf-8")
    part = text.split("\n## `comparisons.csv`\n")[1].split("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", part, flags=re.MULTILINE)) == COMPARISON_COLUMNS


def test_a_mouse_without_tissue_is_in_no_comparison_and_no_mean():
    mice = study({("PBS", 3): [4, 6, 0], ("IAV", 3): [40, 60, 50]})
    mice.loc[2, "tissue_mm2"] = 0.0
    row = compare_groups(mice, reference_group="PBS").iloc[0]
    assert (row["mice_reference"], row["mice_excluded"], row["offset"]) == (2, 1, "tissue_mm2")
    groups = group_table(mice, reference_group="PBS").set_index("group")
    assert groups.loc["PBS", ["mice", "mice_incomplete", "mean"]].tolist() == [2, 1, 5]
    mice.loc[2, "cells"] = 3  # counted where no tissue was seen: an observation without an area
    row = compare_groups(mice, reference_group="PBS").iloc[0]
    assert (row["mice_reference"], row["offset"]) == (3, "none")
