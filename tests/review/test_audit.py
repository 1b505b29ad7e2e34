"""Audits: a sample with known probabilities, corrected counts whose intervals hold."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fociquant.errors import InputError, ResultsError
from fociquant.review import draw_audit, estimate_audit, read_design, settle_verdicts, write_design
from fociquant.review.audit_design import (
    ACCEPTED,
    REJECTED,
    TISSUE,
    AuditDesign,
    AuditItem,
    Stratum,
)
from fociquant.review.audit_groups import VARIATIONS, _fit, group_ends
from fociquant.review.audit_model import (
    DENSITY_SHAPES,
    LIKENESS,
    RATES,
    _density_fit,
    _rate_fit,
    dispersion_of,
    missed_in,
    true_among,
)

SIZES = {ACCEPTED: 20, REJECTED: 30, TISSUE: 10}
COVERAGE = Path(__file__).resolve().parents[2] / "benchmarks" / "audit_coverage.py"


def frames(accepted=(50, 150), rejected=(300, 300), fields=40):
    rows, places = [], []
    for mouse, yes, no in zip("ab", accepted, rejected, strict=True):
        triangle = np.array([0, 0, 0, 5, 5, 5.0])
        rows += [
            (f"s{mouse}", mouse, "IAV", 9.0, n + 1, float(n), 0.0, triangle, n < yes)
            for n in range(yes + no)
        ]
        places += [
            (f"s{mouse}", mouse, "IAV", 9.0, 200.0 * i, 0.0, 200.0 * i + 200, 200.0, 0.04)
            for i in range(fields)
        ]
    objects = pd.DataFrame(rows, columns=["section", "mouse", "group", "dpi", "cell", "y_um",
                                          "x_um", "outline", "accepted"])  # fmt: skip
    columns = ["section", "mouse", "group", "dpi", "y0_um", "x0_um", "y1_um", "x1_um", "area_mm2"]
    return objects, pd.DataFrame(places, columns=columns)


def drawn(seed=1, sizes=SIZES, **options):
    return draw_audit(*frames(**options), keys={"sa": "k", "sb": "k"}, sizes=sizes, seed=seed,
                      created="2026-03-01T00:00:00.000Z")  # fmt: skip


def test_a_draw_has_the_sizes_and_probabilities_it_says():
    design = drawn()
    for kind, units in ((ACCEPTED, 200), (REJECTED, 600), (TISSUE, 80)):
        own = [item for item in design.items if item.kind == kind]
        assert len(own) == SIZES[kind]
        assert {item.probability for item in own} == {SIZES[kind] / units}
        assert len({(item.section, item.ref or item.box) for item in own}) == len(own)
    per_mouse = [i.mouse for i in design.items if i.kind == ACCEPTED]
    assert (per_mouse.count("a"), per_mouse.count("b")) == (5, 15), "each has its share"


def test_every_unit_has_the_same_chance():
    hits = np.zeros(200)
    for seed in range(300):
        for item in drawn(seed).items:
            if item.kind == ACCEPTED:
                hits[(item.ref.cell - 1) + 50 * (item.mouse == "b")] += 1
    assert abs(hits / 300 - 0.1).max() < 0.08 and hits.sum() == 300 * 20


def test_the_same_seed_draws_the_same_sample_in_an_order_that_says_nothing():
    assert drawn(3) == drawn(3) and drawn(3).items != drawn(4).items
    kinds = [item.kind for item in drawn().items[:20]]
    assert len(set(kinds)) == 3 and [i.id for i in drawn().items][:2] == ["A0001", "A0002"]


def test_a_stratum_smaller_than_the_sample_is_taken_whole():
    design = drawn(sizes={ACCEPTED: 1000, REJECTED: 1, TISSUE: 0})
    assert sum(item.kind == ACCEPTED for item in design.items) == 200
    assert not any(item.kind == TISSUE for item in design.items)


def test_nothing_to_draw_from_is_an_error():
    objects, fields = frames()
    with pytest.raises(InputError, match="neither a candidate nor tissue"):
        draw_audit(objects.iloc[:0], fields.iloc[:0], keys={}, sizes=SIZES, seed=1)


def test_a_design_comes_back_from_disk(tmp_path):
    assert read_design(tmp_path) is None
    owners = {"sa": ("a", "IAV", 9.0), "sb": ("b", "IAV", 9.0)}
    design = dataclasses.replace(drawn(), images={"sa": "1f", "sb": "2e"}, owners=owners)
    path = write_design(tmp_path, design)
    assert read_design(tmp_path) == design
    path.write_text(path.read_text().replace('"format": 1', '"format": 7'))
    with pytest.raises(ResultsError, match="another version"):
        read_design(tmp_path)
    path.write_text("{")
    with pytest.raises(ResultsError, match="cannot be read"):
        read_design(tmp_path)


def judge(design, *, true_accepted=1, true_rejected=0, missed=0):
    value = {ACCEPTED: true_accepted, REJECTED: true_rejected, TISSUE: missed}
    return {item.id: value[item.kind] for item in design.items}


def test_no_error_found_leaves_the_count_and_an_interval_that_is_not_empty():
    design = drawn()
    mice = estimate_audit(design, judge(design)).mice.set_index("mouse")
    assert mice["cells_corrected"].tolist() == [50, 150]
    assert (mice["cells_corrected_low"] < mice["cells_corrected"]).all()
    assert (mice["cells_corrected_high"] > mice["cells_corrected"] + 5).all()


def test_judging_everything_leaves_no_doubt_about_a_mouse():
    design = drawn(sizes={ACCEPTED: 1000, REJECTED: 1000, TISSUE: 1000})
    verdicts = judge(design)
    wrong = [i for i in design.items if i.kind == ACCEPTED and i.mouse == "a"][:7]
    missed = [i for i in design.items if i.kind == TISSUE and i.mouse == "b"][:2]
    verdicts |= {i.id: 0 for i in wrong} | {i.id: 3 for i in missed}
    row = estimate_audit(design, verdicts).mice.set_index("mouse")
    for mouse, true in (("a", 43), ("b", 156)):
        assert row.loc[mouse, ["cells_corrected", "cells_corrected_low",
                               "cells_corrected_high"]].tolist() == [true] * 3  # fmt: skip


def test_what_was_not_judged_is_said():
    design = drawn()
    verdicts = {i.id: 1 for i in design.items if i.kind == ACCEPTED}
    estimate = estimate_audit(design, verdicts)
    assert estimate.mice["cells_corrected"].isna().all()
    assert estimate.groups["mean_corrected_low"].isna().all()
    assert any("no rejected candidate has been judged" in text for text in estimate.notes)
    verdicts |= {i.id: 0 for i in design.items if i.kind == REJECTED}
    estimate = estimate_audit(design, verdicts)
    assert estimate.mice["cells_corrected"].isna().all(), "tissue was drawn: cells may be missed"
    assert estimate.notes == (
        "IAV, 9 dpi: no field of tissue has been judged; there is no corrected count",
    )


def test_what_was_found_is_told_per_kind():
    design = drawn()
    verdicts = judge(design, missed=2)
    accepted = [item.id for item in design.items if item.kind == ACCEPTED]
    verdicts |= {accepted[0]: 0, accepted[1]: None}
    rejected = [item.id for item in design.items if item.kind == REJECTED]
    del verdicts[rejected[0]]
    found = estimate_audit(design, verdicts)
    columns = ["kind", "units", "sampled", "judged", "cannot_say", "cancer_cells"]
    assert found.rates[columns].to_numpy().tolist() == [
        [ACCEPTED, 200, 20, 19, 1, 18], [REJECTED, 600, 30, 29, 0, 0], [TISSUE, 80, 10, 10, 0, 20],
    ]  # fmt: skip
    assert found.rates["area_mm2"].isna().tolist() == [True, True, False]
    assert found.rates["area_mm2"].iloc[2] == pytest.approx(80 * 0.04)
    assert found.notes == (
        "IAV, 9 dpi: of 1 of 20 accepted items it could not be said what they are; they are "
        "treated as not drawn",
        "IAV, 9 dpi: 1 of 30 rejected items are not judged yet",
    )
    # Of each mouse 5 fields of 40 were looked at: 10 cells in 0.2 of 1.6 mm².
    rest = found.mice["cells_corrected"].sum() - 2 * 80
    assert rest == pytest.approx(18 / 19 * 200, rel=0.02)
    unsure = estimate_audit(design, judge(design) | dict.fromkeys(rejected))
    assert unsure.notes == (
        "IAV, 9 dpi: of none of 30 rejected items could it be said what they are; there is no "
        "corrected count. Draw more (--draw --again)",
    )


def by_hand(mice, *, tissue_mm2=None):
    """A design of mice as {name: {kind: [(verdict, area), ...]}}, all drawn, and its verdicts."""
    strata, items, verdicts = [], [], {}
    for mouse, kinds in mice.items():
        for kind, drawn_of in kinds.items():
            area = tissue_mm2 or sum(area for _, area in drawn_of)
            strata.append(Stratum(mouse, "IAV", 9.0, kind, len(drawn_of), area))
            for value, area in drawn_of:
                verdicts[name := f"A{len(items):04d}"] = value
                items.append(AuditItem(name, kind, "s", mouse, "IAV", 9.0, 1.0, area_mm2=area))
    return AuditDesign(1, "", {}, tuple(strata), tuple(items)), verdicts


def test_a_corrected_count_is_the_sum_of_the_three_kinds_and_a_group_the_mean_of_its_mice():
    wrong_right_missed = {"a": (0, 1, 0), "b": (1, 0, 2), "c": (2, 14, 0)}
    mice = {
        mouse: {
            ACCEPTED: [(int(i >= wrong), 0.0) for i in range(4)],
            REJECTED: [(int(i < right), 0.0) for i in range(20)],
            TISSUE: [(missed, 0.04)],
        }
        for mouse, (wrong, right, missed) in wrong_right_missed.items()
    }
    found = estimate_audit(*by_hand(mice))
    assert found.mice["cells_corrected"].tolist() == [4 + 1, 3 + 2, 2 + 14]
    assert found.groups["mean_corrected"].tolist() == [pytest.approx(26 / 3)]


def test_fields_count_by_their_area_and_ends_hold_out_2_5_percent_each():
    from scipy.stats import chi2

    # 20 cells per mm² in both fields: no clusters, and Garwood's limits of 20.
    mice = {"a": {TISSUE: [(2, 0.1), (18, 0.9)]}}
    (row,) = estimate_audit(*by_hand(mice, tissue_mm2=1e4)).mice.to_dict("records")
    assert row["cells_corrected"] == pytest.approx(20 * 1e4)
    assert row["cells_corrected_low"] == pytest.approx(chi2.ppf(0.025, 40) / 2 * 1e4, rel=0.04)
    assert row["cells_corrected_high"] == pytest.approx(chi2.ppf(0.975, 42) / 2 * 1e4, rel=0.04)


def test_without_fields_in_the_draw_counts_are_of_objects_and_it_is_said():
    design = drawn(sizes=SIZES | {TISSUE: 0})
    estimate = estimate_audit(design, judge(design))
    assert estimate.mice["cells_corrected"].tolist() == [50, 150]
    assert estimate.notes == (
        "IAV, 9 dpi: no field of tissue has been drawn; cells without an outline are not in the "
        "corrected counts",
    )
    assert estimate_audit(design, {}).mice["cells_corrected"].isna().all()


@pytest.mark.parametrize("fields", [0, 10])
def test_an_arm_without_a_candidate_has_no_corrected_count_before_a_verdict(fields):
    design = drawn(accepted=(0, 0), rejected=(0, 0), sizes=SIZES | {TISSUE: fields})
    estimate = estimate_audit(design, {})
    assert estimate.mice["cells_corrected"].isna().all()
    assert estimate.groups["mean_corrected"].isna().all()
    assert "there is no corrected count" in estimate.notes[0]
    unsure = estimate_audit(design, dict.fromkeys(item.id for item in design.items))
    assert unsure.mice["cells_corrected"].isna().all(), "nobody could say"


def test_fields_alone_give_the_counts_of_an_arm_without_a_candidate():
    design = drawn(accepted=(0, 0), rejected=(0, 0))
    mice = estimate_audit(design, judge(design)).mice
    assert mice["cells_corrected"].tolist() == [0, 0]
    assert (mice["cells_corrected_low"] == 0).all() and (mice["cells_corrected_high"] > 0).all()


def test_the_estimate_is_reproducible_and_a_mouse_with_a_failed_section_is_in_no_mean():
    design = drawn()
    one, two = (estimate_audit(design, judge(design)) for _ in range(2))
    pd.testing.assert_frame_equal(one.mice, two.mice)
    pd.testing.assert_frame_equal(one.groups, two.groups)
    without = estimate_audit(design, judge(design), incomplete=[("a", "IAV", 9.0)])
    assert without.groups["mice"].tolist() == [1]
    assert without.groups["mean_corrected"].tolist() == [150]
    assert len(without.mice) == 2


def test_a_mouse_that_changed_since_the_draw_has_no_corrected_count_and_it_is_said():
    design = drawn()
    why = {("a", "IAV", 9.0): "sa shows another image since"}
    estimate = estimate_audit(design, judge(design), changed=why)
    corrected = estimate.mice.set_index("mouse")["cells_corrected"]
    assert math.isnan(corrected["a"]) and corrected["b"] == 150
    assert estimate.groups["mean_corrected"].tolist() == [150]
    assert estimate.notes[-1].startswith("a (IAV, 9 dpi) has no corrected count: sa shows another")


def test_verdicts_of_several_reviewers_are_settled():
    design = drawn()
    item = next(i.id for i in design.items if i.kind == ACCEPTED)
    field = next(i.id for i in design.items if i.kind == TISSUE)
    people = {("ana", ""): {item: 1, field: 4, "A9999": 1}, ("bo", ""): {item: 0, field: 0},
              ("cy", ""): {item: 0, field: 3}}  # fmt: skip
    assert settle_verdicts(design, people) == {item: 0, field: 3}
    del people[("cy", "")]
    assert settle_verdicts(design, people) == {item: 1, field: 0}, "a tie goes to the first"
    assert settle_verdicts(design, {("ana", ""): {item: 7}}) == {}


def test_a_single_rate_gives_the_exact_interval():
    """One mouse whose objects are nearly all unjudged: Clopper and Pearson."""
    from scipy.stats import beta

    rng = np.random.default_rng(0)
    spread = true_among(np.array([10**6]), np.array([100]), np.array([3]), rng)
    low, high = np.quantile(spread.low, 0.025), np.quantile(spread.high, 0.975)
    assert low == pytest.approx(10**6 * beta.ppf(0.025, 3, 98), rel=0.15)
    assert high == pytest.approx(10**6 * beta.ppf(0.975, 4, 97), rel=0.15)
    assert spread.point[0] == pytest.approx(30_000, rel=0.01)


def test_mice_that_differ_keep_their_own_rate():
    rng = np.random.default_rng(0)
    units, judged = np.array([1000] * 4), np.array([100] * 4)
    spread = true_among(units, judged, np.array([95, 96, 94, 20]), rng)
    assert spread.point[3] < 350 and spread.point[0] > 850


def test_mice_that_are_alike_lend_their_rate_to_one_of_which_little_was_judged():
    judged, true = np.array([200] * 5 + [5]), np.array([20, 19, 21, 20, 20, 0])
    spread = true_among(np.array([1000] * 6), judged, true, np.random.default_rng(0))
    assert 0.09 * 995 < spread.point[5] < 0.1 * 995
    assert spread.point[1] == pytest.approx(19 + 0.1 * 800, rel=0.02)


def test_cells_without_an_outline_are_found_per_area_and_multiplied():
    # 6 cells in 3 mm² are 2 per mm²; 58 and 29 mm² were not looked at.
    area, seen, found = np.array([60.0, 30.0]), np.array([2.0, 1.0]), np.array([6, 0])
    spread = missed_in(area, seen, found, 1.0, np.random.default_rng(0))
    assert spread.point.tolist() == [6 + 2 * 58, 0 + 2 * 29]
    assert (spread.low >= found).all() and (spread.high >= found).all()


@pytest.mark.parametrize("found", [0, 1, 6])
def test_a_single_density_gives_the_exact_interval(found):
    """One mouse of which nearly nothing was looked at: Garwood."""
    from scipy.stats import chi2

    spread = missed_in(np.array([1e6]), np.array([2.0]), np.array([found]), 1.0,
                       np.random.default_rng(0))  # fmt: skip
    low, high = np.quantile(spread.low, 0.025), np.quantile(spread.high, 0.975)
    exact = chi2.ppf(0.025, 2 * found) / 4 if found else 0.0
    assert low / 1e6 == pytest.approx(exact, rel=0.2, abs=0.02)
    assert high / 1e6 == pytest.approx(chi2.ppf(0.975, 2 * found + 2) / 4, rel=0.15)


def test_likelihoods_are_those_of_scipy():
    from scipy.stats import betabinom, nbinom

    judged, true = np.array([20, 7, 40]), np.array([3, 0, 11])
    mean, alike = RATES[:, None, None], LIKENESS[None, :, None]
    exact = betabinom.logpmf(true, judged, mean * alike, (1 - mean) * alike).sum(-1)
    # Priors: flat in a standard deviation, which goes with the square root of 1 / likeness.
    assert np.ptp(_rate_fit(judged, true) + 0.5 * np.log(LIKENESS) - exact) < 1e-6

    seen, found, means = np.array([0.4, 1.6, 0.8]), np.array([5, 0, 2]), np.geomspace(0.1, 30, 20)
    shape, mean = DENSITY_SHAPES[None, :, None], means[:, None, None]
    exact = nbinom.logpmf(found, shape, shape / (shape + mean * seen)).sum(-1)
    assert np.ptp(_density_fit(seen, found, means) + 0.5 * np.log(DENSITY_SHAPES) - exact) < 1e-6

    shape = VARIATIONS[None, :, None] ** -2.0
    prior = np.sqrt(means[:, None] / (1 + means[:, None] * VARIATIONS**2))
    exact = nbinom.logpmf(found, shape, shape / (shape + mean)).sum(-1)
    exact = exact + np.log(prior / prior.sum(axis=0))
    np.testing.assert_allclose(_fit(found.astype(float), means), exact, atol=1e-9)


def test_clusters_are_pearsons_statistic_per_degree_of_freedom():
    # 6 cells: 2.4, 2.4 and 1.2 are expected; 1.6²/2.4 + 2.4²/2.4 + 0.8²/1.2 = 4 of 2 degrees.
    counts, areas = np.array([4.0, 0.0, 2.0]), np.array([0.04, 0.04, 0.02])
    assert dispersion_of(counts, areas) == pytest.approx(2.0)
    assert dispersion_of(np.array([2.0, 0.0]), np.array([0.04, 0.04])) == pytest.approx(2.0)
    assert dispersion_of(np.array([1.0, 0.0]), areas[:2]) == 1.0
    assert dispersion_of(counts[:1], areas[:1]) == 1.0


def test_fields_with_clusters_count_as_fewer():
    areas = np.full(40, 0.04)
    even, lumped = np.ones(40), np.zeros(40)
    lumped[:4] = 10
    assert dispersion_of(even, areas) == 1.0 and dispersion_of(lumped, areas) > 5
    widths = []
    for counts in (even, lumped):
        rng = np.random.default_rng(0)
        spread = missed_in(np.array([60.0]), np.array([1.6]), np.array([40.0]),
                           dispersion_of(counts, areas), rng)  # fmt: skip
        widths.append(np.quantile(spread.high, 0.975) - np.quantile(spread.low, 0.025))
    assert widths[1] > 1.3 * widths[0]


def ends_of(*draws):
    return [[group_ends(draws, share=share)[0] for share in (0.025, 0.975)], draws[0].mean()]


def test_the_interval_of_a_large_group_is_that_of_the_textbook():
    counts = np.random.default_rng(3).gamma(4.0, 250.0, 60).round()
    (low, high), mean = ends_of(np.tile(counts, (200, 1)))
    half = 1.96 * counts.std(ddof=1) / math.sqrt(60)
    assert [low, high] == pytest.approx([mean - half, mean + half], rel=0.03)


def test_a_group_learns_from_the_others_how_mice_differ():
    few = np.tile([90.0, 110.0], (200, 1))
    alone, together = ends_of(few)[0], ends_of(*[few] * 6)[0]
    assert alone[0] < 0.8 * together[0] and alone[1] > 1.2 * together[1]


def test_what_the_mice_may_hold_widens_the_interval_of_their_mean():
    sure = np.full((200, 8), 100.0)
    unsure = np.repeat(np.geomspace(30, 300, 100), 2)[:, None] * np.ones(8)
    unsure = np.random.default_rng(0).permutation(unsure)
    (low, high), (wide_low, wide_high) = ends_of(sure)[0], ends_of(unsure)[0]
    assert wide_low < 40 < 0.6 * low and wide_high > 250 > 1.6 * high


def test_an_arm_without_mice_has_no_mean():
    draws = [np.full((200, 3), 10.0), np.empty((200, 0))]
    low, high = group_ends(draws, share=0.025), group_ends(draws, share=0.975)
    assert low[0] < 10 < high[0] and math.isnan(low[1]) and math.isnan(high[1])


def test_all_mice_at_zero_have_an_upper_bound():
    high = group_ends([np.zeros((200, 4))], share=0.975)[0]
    assert 0.5 < high < 5


@pytest.mark.slow
def test_intervals_contain_the_truth():
    """The benchmark's table at a size for tests: rough counter, 25 experiments, 200 mice."""
    spec = importlib.util.spec_from_file_location("audit_coverage", COVERAGE)
    assert spec is not None and spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["audit_coverage"] = bench
    spec.loader.exec_module(bench)
    scene = next(one for one in bench.SCENES if one.name == "rough counter")
    got = bench.coverage(scene, 25, seed=7)
    # 0.95 less three standard errors of 200 mice that share their experiments.
    assert got["mouse"] > 0.90
    assert min(got["arm_PBS"], got["arm_IAV"]) > 0.83
    assert abs(got["bias_IAV"]) < 0.15
