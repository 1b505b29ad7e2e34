"""Thresholds of a batch: raised by controls, never lowered, and never by a false control."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.gate import Gate, Passing, batch_thresholds, upper_bound
from fociquant.gate.likeness import Usual
from fociquant.gate.looks import LOOKS
from fociquant.gate.pattern import PATTERN_SCORE, usual_ring
from fociquant.settings import GateSettings

FLOOR = Gate()


def section(
    name, strengths, *, control=False, batch="", mm2=10.0, scores=4.0, rings=0.5, step=200,
    unstained=True,
):  # fmt: skip
    """A section whose passing objects stand `step` µm apart."""
    n = len(strengths)
    values = np.column_stack(
        [np.asarray(strengths, float), np.broadcast_to(scores, n), np.broadcast_to(rings, n)]
    )
    places = np.column_stack([np.arange(n) * step, np.zeros(n)]).astype(float)
    return Passing(name, batch, control, mm2, values.reshape(n, 3), places, unstained)


def threshold(*sections, **options):
    (one,) = batch_thresholds(sections, settings=GateSettings(**options)).values()
    return one


def test_without_controls_the_floor_holds_and_the_reason_is_told():
    one = threshold(section("a", [5, 9]))
    assert one.gate == FLOOR and one.source == "section"
    assert math.isnan(one.false_per_mm2) and "control: negative" in one.warnings[0]


def test_false_cells_of_a_control_raise_the_marker():
    cells = np.linspace(20, 60, 100)
    one = threshold(section("a", cells), section("wt", [3.0, 7.25], control=True))
    assert one.source == "controls" and one.controls == ("wt",)
    assert one.gate.marker == 7.25 and one.gate.score == one.gate.ring == -math.inf
    assert (one.false_at_floor, one.false_left, one.false_per_mm2) == (2, 0, 0.0)
    assert one.false_per_mm2_upper == pytest.approx(-math.log(0.05) / 10)


def test_thresholds_are_rounded_up_to_what_the_table_shows():
    cells = np.linspace(20, 60, 100)
    for strength, marker in ((7.25003, 7.2501), (7.2501, 7.2501)):
        one = threshold(section("a", cells), section("wt", [3.0, strength], control=True))
        assert one.gate.marker == pytest.approx(marker, abs=1e-9) and one.gate.marker >= strength


def test_a_clean_control_changes_nothing_and_says_what_it_shows():
    one = threshold(section("a", [5.0] * 30), section("wt", [], control=True, mm2=2.0))
    assert one.gate == FLOOR and one.source == "controls"
    assert "fewer than 1.5 per mm²" in one.warnings[-1] and "150 mm²" in one.warnings[-1]
    large = threshold(section("a", [5.0] * 30), section("wt", [], control=True, mm2=200.0))
    assert large.warnings == ()


def test_large_controls_may_keep_the_false_cells_that_are_wanted():
    controls = section("wt", [3.0, 4.0, 30.0], control=True, mm2=1000.0)
    assert threshold(section("a", [9.0] * 50), controls).gate == FLOOR
    few = threshold(section("a", [9.0] * 50), controls, control_false_positives_per_mm2=0.005)
    # One false cell in 1000 mm² still is below 0.005 with 95 % confidence, two are not.
    assert few.false_left == 1 and few.gate.marker == 4.0


def test_one_bright_speck_does_not_cost_the_dim_cells():
    cells = section("a", np.linspace(3, 40, 100), scores=5.0)
    one = threshold(cells, section("wt", [35.0], control=True, scores=2.5))
    assert one.gate == Gate(score=2.5) and one.false_left == 0


def test_filled_cells_are_told_from_rings():
    cells = section("a", np.linspace(10, 90, 100), rings=np.linspace(0.7, 0.9, 100))
    wrong = section("wt", np.linspace(10, 95, 40), rings=np.linspace(0.1, 0.6, 40), control=True)
    assert threshold(cells, wrong).gate == Gate(ring=0.6)


def test_a_section_full_of_cells_is_no_control():
    cells = section("a", np.linspace(10, 90, 300))
    full = section("wt", np.linspace(10, 90, 60), control=True, mm2=0.4)
    one = threshold(cells, full)
    assert one.gate == FLOOR and one.source == "section" and "wt" in one.refused
    assert "would reject everything" in one.warnings[0] and "no control section" in one.warnings[1]


def test_a_section_with_a_focus_is_no_control():
    cells = section("a", np.linspace(10, 90, 300))
    focus = section("wt", np.linspace(10, 90, 12), control=True, step=12)
    assert "one group like a focus" in threshold(cells, focus).refused["wt"]


def test_false_cells_in_two_small_groups_are_no_focus():
    cells = section("a", np.linspace(10, 90, 300))
    two = section("wt", [3.0] * 12, control=True, step=12)
    two.places_um[6:] += 5000
    one = threshold(cells, two)
    assert one.controls == ("wt",) and one.false_at_floor == 12 and one.gate.marker == 3.0


def test_controls_that_look_like_the_cells_are_refused_and_the_others_kept():
    rng = np.random.default_rng(4)
    cells = section("a", rng.uniform(10, 90, 400))
    alike = section("bad", rng.uniform(10, 90, 30), control=True)
    good = section("wt", [4.0], control=True)
    one = threshold(cells, alike, good)
    assert set(one.refused) == {"bad"} and one.controls == ("wt",) and one.gate.marker == 4.0
    assert "cannot be told from true ones" in one.refused["bad"]


def test_sections_that_show_no_more_than_the_controls_lose_all():
    rng = np.random.default_rng(5)
    false = [section(f"s{i}", rng.uniform(3, 20, 30)) for i in range(3)]
    one = threshold(*false, section("wt", rng.uniform(3, 20, 31), control=True))
    assert one.source == "controls" and one.false_left == 0


def test_a_control_without_tissue_is_refused():
    one = threshold(section("a", [9.0]), section("wt", [], control=True, mm2=0.0))
    assert one.refused == {"wt": "no tissue was found in it."}


def test_batches_stand_alone_in_the_order_of_the_sheet():
    found = batch_thresholds(
        [
            section("a", [9.0] * 30, batch="two"),
            section("b", [9.0] * 30, batch="one"),
            section("wt", [5.0], batch="one", control=True),
            section("c", [9.0]),
        ],
        settings=GateSettings(),
    )
    assert list(found) == ["two", "one", ""]
    assert [one.gate for one in found.values()] == [FLOOR, Gate(5.0), FLOOR]
    assert "another batch has" in found["two"].warnings[0]
    assert "sections without a batch" in found[""].warnings[0]


@given(
    st.lists(st.floats(2.01, 100), max_size=40),
    st.lists(st.floats(2.01, 100), max_size=60),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_controls_only_raise_and_are_clean_afterwards(false, cells, seed):
    rng = np.random.default_rng(seed)
    options = {"scores": rng.uniform(2, 8, len(false)), "rings": rng.uniform(-1, 1, len(false))}
    wt = section("wt", false, control=True, **options)
    one = threshold(section("a", cells), wt, control_max_loss_fraction=1.0)
    if one.source == "controls":
        passing = (wt.values > (one.gate.marker, one.gate.score, one.gate.ring)).all(axis=1)
        assert passing.sum() == one.false_left == 0


def test_the_bound_is_the_rule_of_three():
    assert upper_bound(0, 1.0) == pytest.approx(2.9957, abs=1e-4)
    assert upper_bound(3, 2.0) == pytest.approx(7.7537 / 2, abs=1e-4)
    assert upper_bound(0, 0.0) == math.inf


RIMS = {"ring_least": 0.6 - 0.3, "rim_score": 6.0}
"""What cells with rims ask of others."""


def batch_of_cells(number=40, *, usual=0.6, odd=0.05, odd_cells=3, **how):
    """Certain cells, and less certain candidates that wear the marker otherwise."""
    rings = [usual] * number + [odd] * odd_cells
    scores = [7.0] * number + [4.0] * odd_cells
    return section("a", [9.0] * (number + odd_cells), scores=scores, rings=rings, **how)


@pytest.mark.parametrize(
    ("usual", "odd", "gate", "told"),
    [
        (0.6, 0.05, RIMS, "3 candidates evenly filled"),
        (-0.3, 0.2, {"ring_most": -0.3 + 0.3}, "3 candidates with a dark middle"),
    ],
)
def test_without_an_unstained_channel_candidates_wear_the_marker_as_certain_cells_do(
    usual, odd, gate, told
):
    one = threshold(batch_of_cells(usual=usual, odd=odd, unstained=False))
    assert one.gate == Gate(**gate) and one.source == "section"
    assert told in one.warnings[0] and "are not counted" in one.warnings[0]


@pytest.mark.parametrize(
    "cells",
    [
        batch_of_cells(unstained=True),
        batch_of_cells(29, unstained=False),
        batch_of_cells(usual=0.15, unstained=False),
        batch_of_cells(40, odd_cells=0, unstained=False).left_by(Gate(rim_score=99.0)),
        section("a", [9.0] * 40, scores=7.0, rings=[0.6] * 35 + [0.0] * 5, unstained=False),
        section("a", [9.0] * 40, scores=5.9, rings=0.6, unstained=False),
    ],
    ids=["unstained channel", "few", "no pattern", "nothing", "two kinds", "not certain"],
)
def test_elsewhere_the_pattern_asks_for_nothing(cells):
    one = threshold(cells)
    assert replace(one.gate, elsewhere=math.inf) == FLOOR
    assert not any("rim" in warning for warning in one.warnings)


def test_a_batch_in_which_nothing_passes_is_not_said_to_lack_a_channel():
    settings = GateSettings(expected_pattern="membrane")
    empty = section("a", [], unstained=True)
    assert empty.tissue_mm2 > 0
    one = batch_thresholds([empty], settings=settings)[""]
    assert one.gate == FLOOR and not any("unstained" in text for text in one.warnings)


def test_macrophages_among_certain_cells_hide_no_pattern():
    # The network is rather sure of many of them, but of few as sure as of cells.
    rng = np.random.default_rng(1)
    scores = np.r_[rng.uniform(4.0, 8.0, 400), rng.uniform(2.8, 6.1, 400)]
    rings = np.r_[rng.normal(0.7, 0.09, 400), rng.normal(0.1, 0.15, 400)]
    least, most = usual_ring(scores, rings)
    assert most == math.inf and (rings[400:] > least).mean() < 0.1
    assert (rings[:400] <= least).mean() < 0.01


def test_controls_are_judged_after_the_pattern():
    control = {"control": True, "unstained": False}
    filled = section("wt", [9.0, 12.0], rings=[0.0, 0.1], **control)
    one = threshold(batch_of_cells(unstained=False), filled)
    assert one.gate == Gate(**RIMS) and one.source == "controls"
    assert (one.false_at_floor, one.false_left) == (0, 0)
    # A rim among them still raises the gate, if the network is sure enough.
    for score, raised in ((4.5, {"marker": 3.0}), (3.9, {})):
        rim = section("wt", [3.0, 9.0], scores=score, rings=[0.4, 0.0], **control)
        one = threshold(batch_of_cells(unstained=False), rim)
        assert one.gate == Gate(**RIMS | raised)


@pytest.mark.parametrize(
    ("expected", "gate"),
    [
        ("membrane", {"ring_least": 0.2, "rim_score": 6.0}),
        ("full", {"on_nucleus": 0.7}),
        ("unknown", {}),
    ],
)
def test_few_certain_cells_leave_the_pattern_to_what_the_preset_expects(expected, gate):
    settings = GateSettings(expected_pattern=expected)
    few = batch_of_cells(29, usual=0.6, unstained=False)
    one = batch_thresholds([few], settings=settings)[""]
    assert one.gate == Gate(elsewhere=1.0, **gate)
    assert any(f"({expected})" in text for text in one.warnings) == bool(gate)
    many = batch_thresholds([batch_of_cells(unstained=False)], settings=settings)[""]
    assert many.gate == Gate(**RIMS)
    mixed = section("a", [9.0] * 40, scores=7.0, rings=[0.6] * 35 + [0.0] * 5, unstained=False)
    one = batch_thresholds([mixed], settings=settings)[""]
    assert one.gate == Gate(rim_score=6.0 if expected == "membrane" else -math.inf)
    channel = batch_thresholds([batch_of_cells(29, unstained=True)], settings=settings)[""]
    assert channel.gate == FLOOR


def test_the_colour_of_pigment_is_that_of_most_sections_of_the_batch():
    found = [replace(section(name, []), pigment=value)
             for name, value in (("a", 2.0), ("b", 3.0), ("c", 9.0), ("d", math.nan))]  # fmt: skip
    assert threshold(*found).gate.pigment == 3.0
    assert math.isnan(threshold(found[-1]).gate.pigment)


def looked_at(cells, **looks):
    table = dict.fromkeys(LOOKS, np.nan) | looks
    return replace(cells, looks=pd.DataFrame(table, index=range(len(cells))))


def test_cells_full_of_marker_have_it_on_their_nuclei():
    on_nucleus = np.r_[np.full(40, 1.0), np.full(3, 0.5)]
    full = looked_at(batch_of_cells(usual=-0.1, odd=0.1, unstained=False), on_nucleus=on_nucleus)
    assert threshold(full).gate == Gate(ring_most=-0.1 + 0.3, on_nucleus=0.8)
    rims = looked_at(batch_of_cells(unstained=False), on_nucleus=on_nucleus)
    assert threshold(rims).gate == Gate(**RIMS)
    of_two_kinds = looked_at(full, on_nucleus=np.r_[np.full(6, 0.3), np.full(37, 1.0)])
    assert threshold(of_two_kinds).gate == Gate(ring_most=-0.1 + 0.3)


def test_certain_cells_tell_how_much_shines_outside_the_nucleus():
    elsewhere = np.r_[np.linspace(0.0, 0.1, 40), np.full(3, 0.9)]
    one = threshold(looked_at(batch_of_cells(unstained=False), elsewhere=elsewhere))
    middle, upper = np.quantile(elsewhere[:40], (0.5, 0.95))
    assert one.gate.elsewhere == pytest.approx(middle + 4 * (upper - middle))
    assert one.gate.ring_least == 0.3 and one.gate.glow == math.inf
    with_channel = looked_at(batch_of_cells(), elsewhere=elsewhere, glow=np.full(43, 1.0))
    assert replace(threshold(with_channel).gate, usual=Usual()) == Gate(glow=1.1, usual=Usual())


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(-1, 2)), max_size=80))
def test_a_pattern_costs_certain_cells_no_more_than_the_share_left_over(found):
    scores, rings = np.array(found).reshape(-1, 2).T
    least, most = usual_ring(scores, rings)
    certain = rings[scores >= PATTERN_SCORE]
    assert least == -math.inf or most == math.inf
    assert ((certain <= least) | (certain >= most)).sum() <= 0.1 * len(certain)
