"""The gate: every candidate keeps its row, and a rejected one its reasons."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.flags import REJECTING, CellFlag, parse_flags
from fociquant.gate import Gate, gate_objects, marker_needed
from fociquant.gate.likeness import Usual
from fociquant.gate.pattern import glow_allowed
from fociquant.model import ChannelStats, PhenotypeRule, SectionFacts
from fociquant.settings import GateSettings
from fociquant.units import PixelSize

STATS = ChannelStats(low=100, high=1100, background=150, spread=20, noise=10, saturation=65535)
FACTS = SectionFacts(
    stats={"marker": STATS, "nucleus": STATS, "autofluorescence": STATS, "Ki67": STATS},
    tissue_mm2=1.0,
    parenchyma_mm2=0.5,
    outline=np.ones((10, 10), bool),
    artefact=np.zeros((10, 10), bool),
    overview_px=PixelSize.square(8.0),
    autofluorescence_slope=0.5,
)
CELL = {
    "label": 1, "y_um": 40.0, "x_um": 40.0, "area_um2": 110.0, "solidity": 0.95, "score_mean": 5.0,
    "marker_mean": 600.0, "marker_ring": 150.0, "nucleus_mean": 300.0, "nucleus_ring": 120.0,
    "nucleus_p90": 700.0, "autofluorescence_mean": 160.0, "autofluorescence_ring": 150.0,
    "correlation": 0.3,
    "Ki67_mean": 300.0, "Ki67_ring": 120.0, "Ki67_p90": 900.0, "ring_px": 200, "flags": 0,
}  # fmt: skip
"""A labelled cell beyond doubt."""


GLOWING = Gate(usual=Usual(glow=10.0))
"""Of a batch whose cells glow, so that nothing is suspected for doing so."""


def judge(*changes, facts=FACTS, phenotypes=("Ki67",), gate=None, **options):
    table = pd.DataFrame([CELL | change for change in changes])
    settings = GateSettings(**options)
    return gate_objects(table, facts, phenotypes=phenotypes, settings=settings, gate=gate)


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({}, ""),
        ({"score_mean": 1.0}, "uncertain"),
        ({"marker_mean": 163.0}, "dim_marker"),
        ({"nucleus_p90": 150.0}, "no_nucleus"),
        ({"area_um2": 10.0}, "too_small"),
        ({"area_um2": 5000.0}, "too_large"),
        ({"solidity": 0.3}, "elongated"),
        ({"autofluorescence_mean": 1100.0}, "autofluorescent"),
        ({"flags": int(CellFlag.EDGE)}, "edge"),
        ({"flags": int(CellFlag.OVERSIZE)}, "oversize"),
        ({"flags": int(CellFlag.SATURATED)}, "saturated"),
    ],
)
def test_each_reason_alone_sets_its_flag_alone(change, flag):
    gated = judge(change)
    assert gated["flags"].tolist() == [flag]
    assert gated["positive"].tolist() == [not parse_flags(flag) & REJECTING]


@pytest.mark.parametrize(
    ("name", "limit", "beyond", "flag"),
    [
        ("area_um2", 32.0, 31.99, "too_small"),
        ("area_um2", 1200.0, 1200.01, "too_large"),
        ("solidity", 0.7, 0.6999, "elongated"),
    ],
)
def test_the_smallest_and_largest_that_are_cells_are_cells(name, limit, beyond, flag):
    options = {"min_area_um2": 32.0, "max_area_um2": 1200.0, "min_solidity": 0.7}
    found = [judge({name: value}, **options)["flags"][0] for value in (limit, beyond)]
    assert found == ["", flag]


def test_reasons_add_up():
    gated = judge({"marker_mean": 100.0, "area_um2": 5.0, "flags": int(CellFlag.EDGE)})
    names = gated["flags"][0].split(";")
    assert {"edge", "dim_marker", "too_small"} <= set(names) and not gated["positive"][0]


def test_places_outside_the_lung_and_in_artefacts_are_flagged():
    outline, artefact = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    outline[:, :6] = True
    artefact[7:, :] = True
    facts = replace(FACTS, outline=outline, artefact=artefact)
    places = [{}, {"x_um": 76.0}, {"y_um": 57.0}, {"x_um": 1e4, "y_um": 1e4}]
    gated = judge(*places, facts=facts)
    assert gated["flags"].tolist() == ["", "off_tissue", "in_artefact", "off_tissue;in_artefact"]
    # Column 6 lies 8 µm outside the outline, which is no sharper than that.
    reached = [judge({"x_um": 50.0}, facts=facts, tissue_reach_um=um) for um in (7.0, 9.0)]
    assert [gated["flags"][0] for gated in reached] == ["off_tissue", ""]


def test_where_no_lung_was_found_nothing_is_off_it():
    facts = replace(FACTS, outline=np.zeros((10, 10), bool))
    assert judge({}, facts=facts)["positive"].tolist() == [True]
    nothing = replace(FACTS, outline=np.zeros((0, 0), bool), artefact=np.zeros((0, 0), bool))
    assert judge({}, facts=nothing)["positive"].tolist() == [True]


def test_a_dim_cell_that_glows_as_tissue_does_may_bulge_into_air():
    cell = {"marker_mean": 200.0, "marker_ring": 120.0}
    glow = {"autofluorescence_mean": 150.0, "autofluorescence_ring": 60.0}
    assert judge(cell | glow)["flags"].tolist() == [""]
    darker = replace(STATS, background=50)
    facts = replace(FACTS, stats=FACTS.stats | {"autofluorescence": darker})
    assert judge(cell | glow, facts=facts)["flags"].tolist() == ["autofluorescent"]
    # An unlabelled cell that does.
    assert judge(cell | glow | {"marker_mean": 178.0})["flags"].tolist() == ["autofluorescent"]


@pytest.mark.parametrize(
    ("correlation", "score", "flag"),
    [
        (0.75, 5.0, ""),
        (0.85, 5.0, "autofluorescent"),
        (0.35, 3.0, ""),
        (0.75, 3.0, "autofluorescent"),
    ],
)
def test_redder_pigment_is_told_by_its_grain_in_both_channels(correlation, score, flag):
    # The slope predicts 175 counts; pigment may have six times as many.
    macrophage = {
        "autofluorescence_mean": 500.0, "marker_mean": 1190.0, "correlation": correlation,
        "score_mean": score,
    }  # fmt: skip
    assert judge(macrophage, gate=GLOWING)["flags"].tolist() == [flag]
    # Twice as many where the network is not certain.
    for marker, positive in ((1210.0, score > 4.0 or not flag), (2260.0, True)):
        found = judge(macrophage | {"marker_mean": marker}, gate=GLOWING)
        assert found["positive"].tolist() == [positive]


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({}, ""),
        ({"score_mean": 3.9}, "autofluorescent"),
        ({"marker_core_mean": 580.0}, "autofluorescent"),
    ],
)
def test_marker_that_bleeds_into_the_unstained_channel_is_no_pigment(change, flag):
    bleeding = {
        "autofluorescence_mean": 400.0, "marker_mean": 600.0, "correlation": 0.85,
        "marker_edge_mean": 700.0, "marker_core_mean": 400.0,
    }  # fmt: skip
    assert judge(bleeding | change, gate=GLOWING)["flags"].tolist() == [flag]


@pytest.mark.parametrize("change", [{"score_mean": 3.9}, {"marker_mean": 163.0}])
def test_less_marker_will_do_where_the_network_is_certain(change):
    dim = {"marker_mean": 170.0}
    assert judge(dim)["flags"].tolist() == [""]
    assert judge(dim | change)["flags"].tolist() == ["dim_marker"]
    for more in ({"certain_marker_fraction": 1.0}, {"marker_snr": 4.0}, {"certain_score": 6.0}):
        assert judge(dim, **more)["flags"].tolist() == ["dim_marker"]
    unstained = replace(FACTS, autofluorescence_slope=None)
    assert judge(dim | {"marker_mean": 168.0}, facts=unstained)["flags"].tolist() == ["dim_marker"]


def test_a_floor_in_counts_holds_whatever_the_noise_and_the_certainty():
    dim = {"marker_mean": 204.0}  # 49 unexplained
    for score in (3.0, 6.0):
        for least, flag in ((48.0, ""), (50.0, "dim_marker")):
            found = judge(dim | {"score_mean": score}, min_marker_counts=least)
            assert found["flags"].tolist() == [flag]
    assert marker_needed(FACTS, Gate(), GateSettings(min_marker_counts=50.0)) == 50.0


def test_a_nucleus_that_only_reaches_into_a_cell_is_a_neighbours():
    reaching = {"nucleus_rim": 0.85}
    found = judge(reaching, {"nucleus_rim": 0.75, "x_um": 20.0}, reaching | {"area_um2": 50.0})
    assert found["flags"].tolist() == ["no_nucleus", "", ""]
    assert judge(reaching, nucleus_fraction=0)["flags"].tolist() == [""]


def test_negative_controls_raise_the_marker_of_certain_cells_too():
    table = pd.DataFrame([CELL | {"marker_mean": 190.0}])
    for marker, flag in ((30.0, ""), (40.0, "dim_marker")):
        gate = Gate(marker=marker)
        found = gate_objects(table, FACTS, phenotypes=(), settings=GateSettings(), gate=gate)
        assert found["flags"].tolist() == [flag]


@pytest.mark.parametrize(
    ("change", "most", "flag"),
    [
        ({}, 3.0, "autofluorescent"),
        ({}, 5.0, ""),
        ({"score_mean": 5.5}, 3.0, ""),
        ({"score_mean": 5.5, "correlation": 0.75}, 3.0, "autofluorescent"),
        ({"marker_mean": 1200.0}, 3.0, ""),
        ({"autofluorescence_mean": 240.0}, 3.0, ""),
        ({}, math.inf, ""),
        ({"correlation": 0.5}, math.inf, "autofluorescent"),
        ({"correlation": 0.5, "score_mean": 5.5}, math.inf, ""),
    ],
)
def test_what_glows_more_than_the_cells_of_its_batch_is_asked_for_more(change, most, flag):
    # Four times as bright as common tissue; the slope predicts 75 counts, there are 350.
    bright = {"autofluorescence_mean": 300.0, "marker_mean": 500.0, "score_mean": 4.5}
    table = pd.DataFrame([CELL | bright | change])
    gate = Gate(glow=most)
    found = gate_objects(table, FACTS, phenotypes=(), settings=GateSettings(), gate=gate)
    assert found["flags"].tolist() == [flag]


def test_unusual_patterns_are_flagged_unless_saturated():
    rings = {"filled": {"marker_edge_mean": 650.0, "marker_core_mean": 640.0},
             "hollow": {"marker_edge_mean": 650.0, "marker_core_mean": 300.0}}  # fmt: skip
    gates = {"filled": Gate(ring_least=0.3), "hollow": Gate(ring_most=0.3)}
    for name, gate in gates.items():
        for other, ring in rings.items():
            for bits in (0, int(CellFlag.SATURATED)):
                table = pd.DataFrame([CELL | ring | {"flags": bits}])
                found = gate_objects(
                    table, FACTS, phenotypes=(), settings=GateSettings(), gate=gate
                )
                assert (name in found["flags"][0]) == (name == other and not bits)


def test_a_dark_nucleus_among_full_cells_and_light_in_all_channels_are_no_cell():
    full = {"marker_on_nucleus": 570.0, "marker_off_nucleus": 600.0, "marker_edge_mean": 600.0,
            "marker_core_mean": 600.0, "Ki67_edge_mean": 150.0, "score_mean": 4.5}  # fmt: skip
    rules = {"Ki67": PhenotypeRule("nuclear")}
    gate = Gate(on_nucleus=0.7, elsewhere=0.2)

    def flags(change, **how):
        table = pd.DataFrame([CELL | full | change])
        found = gate_objects(
            table, FACTS, phenotypes=(), settings=GateSettings(), gate=gate, rules=rules | how
        )
        return found["flags"][0]

    assert flags({}) == ""
    assert flags({"marker_on_nucleus": 300.0}) == "hollow"
    assert flags({"marker_on_nucleus": np.nan}) == ""
    assert flags({"Ki67_edge_mean": 250.0}) == "autofluorescent"
    assert flags({"Ki67_edge_mean": 250.0, "score_mean": 5.5}) == ""
    assert flags({"Ki67_edge_mean": 600.0, "score_mean": 5.5}) == "autofluorescent"
    assert flags({"Ki67_edge_mean": 250.0}, Ki67=PhenotypeRule("membrane")) == ""
    assert flags({"Ki67_edge_mean": 250.0}, Ki67=PhenotypeRule("nuclear", immune=True)) == ""


@pytest.mark.parametrize(
    ("pigment", "change", "flag"),
    [
        (3.0, {}, "autofluorescent"),
        (2.0, {}, ""),
        (3.0, {"autofluorescence_mean": 160.0}, ""),  # glows as tissue does
        (3.0, {"marker_mean": 530.0}, ""),
        (math.nan, {}, "autofluorescent"),  # the section's own colour of pigment
        (1.1, {}, ""),
    ],
)
def test_what_glows_must_have_more_marker_than_the_pigment_of_its_batch(pigment, change, flag):
    # The slope predicts 75 counts, pigment of three times that colour 225; 1.5 times are 337.
    bright = {"autofluorescence_mean": 300.0, "marker_mean": 480.0, "score_mean": 6.0}
    facts = replace(FACTS, pigment_slope=1.5)
    gate = Gate(pigment=pigment)
    found = gate_objects(
        pd.DataFrame([CELL | bright | change]), facts,
        phenotypes=(), settings=GateSettings(), gate=gate,
    )  # fmt: skip
    assert found["flags"].tolist() == [flag]


def test_certain_cells_of_a_batch_tell_how_much_cells_glow():
    scores, glows = np.full(40, 6.0), np.linspace(0.5, 2.0, 40)
    middle, upper = np.quantile(glows, (0.5, 0.95))
    assert glow_allowed(scores, glows) == pytest.approx(middle + 3 * (upper - middle))
    assert glow_allowed(scores, glows / 4) == 1.1
    # Macrophages, of which the network is not certain, do not move it.
    more = np.concatenate([scores, np.full(500, 4.9)]), np.concatenate([glows, np.full(500, 9.0)])
    assert glow_allowed(*more) == glow_allowed(scores, glows)
    assert glow_allowed(scores[:19], glows[:19]) == math.inf


UNSURE = {"score_mean": 2.1, "nucleus_rim": 0.2}
"""Otherwise a cell beyond doubt."""


@pytest.mark.parametrize(
    "change",
    [
        {"score_mean": 1.9}, {"nucleus_rim": 0.6}, {"correlation": 0.7}, {"area_um2": 50.0},
        {"marker_mean": 180.0}, {"autofluorescence_mean": 750.0},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_less_score_will_do_only_where_all_else_leaves_no_doubt(change):
    assert judge(UNSURE)["flags"].tolist() == [""]
    assert "uncertain" in judge(UNSURE | change)["flags"][0]
    for more in ({"min_score": 3.0}, {"evident_less_score": 0.0}):
        assert judge(UNSURE, **more)["flags"].tolist() == ["uncertain"]
    unstained = replace(FACTS, autofluorescence_slope=None)
    assert judge(UNSURE, facts=unstained)["flags"].tolist() == ["uncertain"]


@pytest.mark.parametrize(("column", "flags"), [(7, "uncertain"), (9, "")])
def test_beside_a_lumen_the_network_has_to_be_sure(column, flags):
    lumen = np.zeros((10, 10), bool)
    lumen[3:7, column:] = True  # from x = 56 or 72 µm; the cell is at 40 µm
    assert judge(UNSURE, facts=replace(FACTS, lumen=lumen))["flags"].tolist() == [flags]
    sure = UNSURE | {"score_mean": 3.0}
    assert judge(sure, facts=replace(FACTS, lumen=lumen))["flags"].tolist() == [""]


def test_channels_that_are_not_there_ask_for_nothing():
    facts = replace(FACTS, stats={"marker": STATS}, autofluorescence_slope=None)
    table = pd.DataFrame([CELL])
    table = table.drop(columns=[c for c in table if c.startswith(("nucleus", "autofl", "Ki67"))])
    gated = gate_objects(table, facts, phenotypes=("Ki67",), settings=GateSettings())
    assert gated["positive"].tolist() == [True] and gated["Ki67_positive"].isna().tolist() == [True]


def test_switched_off_rules_reject_nothing():
    gated = judge({"nucleus_p90": 0.0}, nucleus_fraction=0)
    assert gated["positive"].tolist() == [True]


def test_in_a_crowd_the_tissue_stands_in_for_a_bright_ring():
    crowd, ring = judge({"marker_ring": 590.0, "ring_px": 0}, {"marker_ring": 590.0})["flags"]
    assert crowd == "" and ring == "dim_marker"


def test_phenotypes_are_judged_whether_counted_or_not():
    gated = judge({}, {"Ki67_p90": 130.0}, {"area_um2": 1.0})
    assert gated["Ki67_positive"].tolist() == [True, False, True]


def test_the_excess_is_over_the_surroundings():
    assert judge({"marker_mean": 700.0, "marker_ring": 250.0})["marker_excess"].tolist() == [450.0]


def test_no_objects_are_no_rows_of_the_right_kinds():
    gated = gate_objects(
        pd.DataFrame([CELL]).iloc[:0], FACTS, phenotypes=("Ki67",), settings=GateSettings()
    )
    assert len(gated) == 0 and gated["positive"].dtype == bool
    assert gated["Ki67_positive"].dtype == bool


@given(st.integers(0, 10_000), st.integers(0, 60))
@settings(max_examples=25, deadline=None)
def test_no_row_is_lost_and_rows_are_judged_alone(seed, n):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {key: rng.uniform(0, 2, n) * value for key, value in CELL.items()}
        | {"flags": rng.integers(0, 8, n), "ring_px": rng.integers(0, 2, n)}
    )
    before = rows.copy()
    gated = gate_objects(rows, FACTS, phenotypes=("Ki67",), settings=GateSettings())
    pd.testing.assert_frame_equal(rows, before)
    assert len(gated) == n
    order = rng.permutation(n)
    again = gate_objects(rows.iloc[order], FACTS, phenotypes=("Ki67",), settings=GateSettings())
    pd.testing.assert_frame_equal(again, gated.iloc[order])
    rejected = [bool(parse_flags(flags) & REJECTING) for flags in gated["flags"]]
    assert (gated["positive"].to_numpy() == ~np.array(rejected, bool)).all()


@pytest.mark.parametrize("name", ["marker_snr", "min_score", "min_area_um2", "min_solidity"])
def test_a_stricter_rule_never_counts_more(name):
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({key: rng.uniform(0, 2, 200) * value for key, value in CELL.items()})
    rows["flags"] = 0
    rows["y_um"] = 50.0 * np.arange(200)
    low, high = getattr(GateSettings(), name), getattr(GateSettings(), name) * 1.3
    counted = [
        gate_objects(rows, FACTS, phenotypes=(), settings=GateSettings(**{name: value}))["positive"]
        for value in (low, high)
    ]
    assert not (counted[1] & ~counted[0]).any()


def test_a_ring_of_a_few_pixels_is_crowded():
    bright = {"marker_ring": 590.0, "ring_px": 300}
    table = pd.DataFrame([CELL | bright])
    arguments = {"phenotypes": (), "settings": GateSettings()}
    fine, coarse = (
        gate_objects(table, FACTS, pixel_area_um2=area, **arguments)["flags"][0]
        for area in (0.25, 0.5)
    )
    # 75 µm² of background is too little to trust, 150 µm² is enough.
    assert (fine, coarse) == ("", "dim_marker")


def row_of_lining(score, *, friends=0):
    """One candidate of this score with three uncertain neighbours and some certain ones."""
    neighbours = [{"score_mean": 0.5, "x_um": 40.0 + 8 * i} for i in (-1, 1, 2)]
    certain = [{"score_mean": 5.0, "y_um": 40.0 + 9 * (i + 1)} for i in range(friends)]
    return judge({"score_mean": score}, *neighbours, *certain)["flags"][0]


def test_barely_certain_among_uncertain_is_lining():
    assert row_of_lining(3.2) == "lining"
    assert row_of_lining(3.6) == ""
    assert row_of_lining(3.2, friends=2) == ""


def test_beside_a_lumen_one_uncertain_neighbour_is_enough():
    lumen = np.zeros((10, 10), bool)
    lumen[3:7, 7:] = True  # from x = 56 µm
    facts = replace(FACTS, lumen=lumen)
    candidate, uncertain = {"score_mean": 3.2}, {"score_mean": 0.5, "y_um": 50.0}
    assert judge(candidate, uncertain, facts=facts)["flags"][0] == "lining"
    assert judge(candidate, uncertain)["flags"][0] == ""
    assert judge(candidate, facts=facts)["flags"][0] == ""
    assert judge({"score_mean": 3.6}, uncertain, facts=facts)["flags"][0] == ""
    far = {"x_um": 20.0}
    assert judge(candidate | far, uncertain | far, facts=facts)["flags"][0] == ""
    friends = [{"score_mean": 5.0, "y_um": 40.0 + offset} for offset in (-9.0, -12.0)]
    assert judge(candidate, uncertain, *friends, facts=facts)["flags"][0] == ""


def test_without_an_unstained_channel_more_certainty_is_asked_for():
    unstained = replace(FACTS, autofluorescence_slope=None)
    scores = [{"score_mean": value, "x_um": 30.0 * i} for i, value in enumerate((3.0, 4.0))]
    assert judge(*scores)["flags"].tolist() == ["", ""]
    assert judge(*scores, facts=unstained)["flags"].tolist() == ["uncertain", ""]
