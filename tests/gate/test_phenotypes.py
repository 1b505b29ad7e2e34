"""Phenotype markers: the compartment asked for, spill-over of the cell marker, controls."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fociquant.gate import control_threshold, gate_objects, spill_over
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
        {"marker_mean": 150 + m, "Ki67_p90": 150 + p}
        for m, p in zip(marker, phenotype, strict=True)
    ]
    gated = judge(rows)
    true = phenotype - 0.3 * marker > 400
    assert (gated["Ki67_positive"].to_numpy() == true).mean() > 0.99
    naive = phenotype > 200
    spilled = gated["flags"].str.contains("spill_over").to_numpy()
    assert (spilled == (naive & ~true)).mean() > 0.98 and spilled.sum() > 50
    assert gated["positive"].all()


def test_a_threshold_of_controls_raises_and_never_lowers():
    rows = [{"Ki67_p90": 150.0 + 200 * step} for step in (0.9, 1.1, 2.0)]
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
