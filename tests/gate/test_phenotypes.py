"""Phenotype markers: the compartment asked for, spill-over of the cell marker, controls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fociquant.gate import (
    ChannelRange,
    control_threshold,
    gate_objects,
    section_spill_over,
    spill_over,
)
from fociquant.model import ChannelStats, PhenotypeRule, SectionFacts
from fociquant.settings import GateSettings
from fociquant.units import PixelSize

STATS = ChannelStats(low=100, high=1100, background=150, spread=20, noise=10, saturation=65535)
FACTS = SectionFacts(
    stats={"marker": STATS, "Ki67": STATS},
    tissue_mm2=1.0,
    parenchyma_mm2=0.5,
    outline=np.ones((1, 1), bool),
    artefact=np.zeros((1, 1), bool),
    overview_px=PixelSize.square(100.0),
    autofluorescence_slope=0.0,
)
CELL = {
    "y_um": 5.0, "x_um": 5.0, "area_um2": 110.0, "solidity": 0.95, "score_mean": 5.0,
    "marker_mean": 600.0, "marker_ring": 150.0, "ring_px": 200, "flags": 0,
    "Ki67_mean": 200.0, "Ki67_ring": 150.0, "Ki67_p90": 200.0, "Ki67_nuclear_mean": 200.0,
    "Ki67_edge_mean": 200.0,
}  # fmt: skip
"""A labelled cell without the phenotype."""


def judge(rows, compartment="peak", **options):
    return gate_objects(
        pd.DataFrame([CELL | row for row in rows]), FACTS, phenotypes=("Ki67",),
        settings=GateSettings(), rules={"Ki67": PhenotypeRule(compartment)}, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("compartment", "column"),
    [
        ("peak", "Ki67_p90"),
        ("nuclear", "Ki67_nuclear_mean"),
        ("membrane", "Ki67_edge_mean"),
        ("whole", "Ki67_mean"),
    ],
)
def test_only_the_compartment_asked_for_decides(compartment, column):
    measured = [name for name in CELL if name.startswith("Ki67") and name != "Ki67_ring"]
    rows = [{name: 900.0} for name in measured]
    found = judge(rows, compartment)["Ki67_positive"].tolist()
    assert found == [name == column for name in measured]


def scanned(high, noise=5.0):
    return ChannelStats(low=100, high=high, background=150, spread=9, noise=noise, saturation=65535)


def test_the_range_of_a_batch_is_that_of_its_brighter_sections_scanned_alike():
    naive, infected, fibre = scanned(180), scanned(420), scanned(9000)
    batch = ChannelRange.of_batch([naive, naive, infected, infected, fibre])
    assert batch.counts == 320 and batch.holds_for(naive) and batch.holds_for(scanned(180, 9.0))
    deep = scanned(30_000, 400.0)
    assert ChannelRange.of_batch([naive, infected, infected, deep]).counts == 320
    assert not batch.holds_for(deep) and not batch.holds_for(scanned(110, 0.6))
    assert ChannelRange.of_batch([fibre]).counts == 8900
    assert ChannelRange.of_batch([infected, fibre]).counts == 320


def test_a_phenotype_is_judged_by_the_range_of_the_batch():
    cell = {"Ki67_p90": 190.0}  # 40 above its surroundings; asked for are 40 of noise
    fibre = replace(FACTS.stats["Ki67"], high=FACTS.stats["Ki67"].low + 8000.0)
    found = [
        gate_objects(
            pd.DataFrame([CELL | cell | {"Ki67_p90": p90}]),
            replace(FACTS, stats=dict(FACTS.stats) | {"Ki67": fibre}),
            phenotypes=("Ki67",), settings=GateSettings(), ranges=ranges,
        )["Ki67_positive"][0]
        for p90, ranges in ((900.0, None), (300.0, {"Ki67": 1000.0}), (230.0, {"Ki67": 1000.0}))
    ]  # fmt: skip
    assert found == [False, True, False]


def test_without_a_nuclear_stain_the_brightest_part_stands_for_the_nucleus():
    rows = pd.DataFrame([CELL | {"Ki67_p90": 900.0}]).drop(columns="Ki67_nuclear_mean")
    gated = gate_objects(
        rows, FACTS, phenotypes=("Ki67",), settings=GateSettings(),
        rules={"Ki67": PhenotypeRule("nuclear")},
    )  # fmt: skip
    assert gated["Ki67_positive"].tolist() == [True]


def cells(n, seed, *, slope=0.0, share=0.0):
    """Labelled cells; a share has the phenotype, and some of the marker's light spills over."""
    rng = np.random.default_rng(seed)
    marker = rng.uniform(200, 3000, n)
    phenotype = slope * marker + rng.normal(0, 10, n) + np.where(rng.random(n) < share, 800, 0)
    return marker, phenotype


@pytest.mark.parametrize("slope", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_spill_over_is_found_beside_true_phenotypes(slope, share):
    marker, phenotype = cells(400, 1, slope=slope, share=share)
    assert spill_over(phenotype, marker) == pytest.approx(slope, abs=0.02)


def test_spill_over_of_a_few_cells_is_not_known():
    assert np.isnan(spill_over(np.ones(39), np.arange(39.0)))
    assert np.isnan(spill_over(np.ones(60), np.ones(60)))


def test_what_spills_over_is_taken_off_and_told():
    marker, phenotype = cells(300, 2, slope=0.3, share=0.3)
    rows = [
        {"marker_mean": 150 + m, "Ki67_p90": 150 + p, "y_um": 50.0 * i}
        for i, (m, p) in enumerate(zip(marker, phenotype, strict=True))
    ]
    gated = judge(rows)
    true = phenotype - 0.3 * marker > 400
    assert (gated["Ki67_positive"].to_numpy() == true).mean() > 0.99
    naive = phenotype > 120
    spilled = gated["flags"].str.contains("spill_over").to_numpy()
    assert (spilled == (naive & ~true)).mean() > 0.98 and spilled.sum() > 50
    assert gated["positive"].all()


def test_strengths_are_what_is_left_in_units_of_what_is_asked_for():
    # 0.3 of the marker spills over; asked for are 0.12 of a range of 1000 counts.
    marker = np.linspace(300, 1300, 50)
    rows = [
        {"marker_mean": 150 + m, "Ki67_p90": 150 + 0.3 * m + 90, "y_um": 50.0 * i}
        for i, m in enumerate(marker)
    ]
    gated = judge([*rows, {"marker_mean": 50.0, "Ki67_p90": 210.0, "y_um": 9e3}])
    assert gated["positive"].tolist() == [True] * 50 + [False]
    # Less marker than the surroundings spills nothing over, and takes nothing back.
    np.testing.assert_allclose(gated["Ki67_strength"], [90 / 120] * 50 + [60 / 120])


def test_without_the_channel_nothing_is_known_of_its_phenotype():
    rows = pd.DataFrame([CELL])
    unmeasured = rows.drop(columns=[name for name in rows if name.startswith("Ki67")])
    no_stats = replace(FACTS, stats={"marker": STATS})
    for objects, facts in ((rows, no_stats), (unmeasured, FACTS), (unmeasured, no_stats)):
        gated = gate_objects(objects, facts, phenotypes=("Ki67",), settings=GateSettings())
        assert gated["Ki67_positive"].isna().all() and gated["Ki67_strength"].isna().all()
        assert gated["positive"].all() and not gated["flags"].str.contains("spill_over").any()


@pytest.mark.parametrize(("within", "slope"), [(0.1, 0.1), (0.5, 0.3), (np.nan, 0.3)])
def test_of_two_estimates_of_spill_over_the_less_holds_where_both_are_known(within, slope):
    marker = np.linspace(300, 1300, 80)
    rows = pd.DataFrame([CELL] * 80).assign(
        positive=True, marker_excess=marker, marker_edge_mean=marker, marker_on_nucleus=0.0,
        Ki67_nuclear_mean=150 + 0.3 * marker,
        Ki67_edge_mean=150 + 0.3 * marker + within * marker,
    )  # fmt: skip
    found = section_spill_over(rows, "Ki67", PhenotypeRule("nuclear"))
    assert found == pytest.approx(slope)


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_dark_surroundings_are_no_spill_over_into_a_nuclear_phenotype(slope):
    # Both channels have more above a dark place than above a bright one.
    rng = np.random.default_rng(4)
    n = 2000
    place, edge = rng.uniform(0, 80, n), rng.normal(300, 20, n)
    core = 0.4 * edge
    has = rng.random(n) < 0.3
    rows = pd.DataFrame([CELL] * n).assign(
        marker_mean=350 + 0.5 * (edge + core), marker_ring=350 - place,
        marker_edge_mean=350 + edge, marker_core_mean=350 + core, marker_on_nucleus=350 + core,
        Ki67_ring=250 - place,
        Ki67_edge_mean=250 + slope * edge + rng.normal(0, 3, n),
        Ki67_nuclear_mean=250 + slope * core + 400 * has + rng.normal(0, 3, n),
    )  # fmt: skip
    nuclear = {"Ki67": PhenotypeRule("nuclear")}
    gated = gate_objects(rows, FACTS, phenotypes=("Ki67",), settings=GateSettings(), rules=nuclear)
    assert section_spill_over(gated, "Ki67", nuclear["Ki67"]) == pytest.approx(slope, abs=0.03)
    assert spill_over((rows["Ki67_nuclear_mean"] - rows["Ki67_ring"]).to_numpy(),
                      gated["marker_excess"].to_numpy()) > slope + 0.2  # fmt: skip
    assert (gated["Ki67_positive"].to_numpy(bool) == has).mean() > 0.99


def test_a_threshold_of_controls_raises_and_never_lowers():
    rows = [{"Ki67_p90": 150.0 + 120 * step} for step in (0.9, 1.1, 2.0)]
    assert judge(rows)["Ki67_positive"].tolist() == [False, True, True]
    for strength, expected in ((1.5, [False, False, True]), (0.5, [False, True, True])):
        found = judge(rows, phenotype_thresholds={"Ki67": strength})
        assert found["Ki67_positive"].tolist() == expected


def test_controls_of_few_candidates_set_no_threshold():
    settings = GateSettings(control_phenotype_fraction=0.1)
    strengths = np.arange(1.0, 31.0)
    assert control_threshold(strengths, settings) == 28.0
    assert control_threshold(strengths[:19], settings) is None
    assert control_threshold(np.r_[strengths, np.nan], settings) == 28.0
