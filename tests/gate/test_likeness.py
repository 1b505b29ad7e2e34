"""Candidates that look like pigment beside the certain cells of their batch."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fociquant.flags import CellFlag
from fociquant.gate import Gate, Passing, batch_thresholds, gate_objects
from fociquant.gate.likeness import Usual, score_of_pigment
from fociquant.gate.looks import LOOKS, looks_of
from fociquant.gate.pattern import score_with_rim
from fociquant.model import ChannelStats, SectionFacts
from fociquant.settings import GateSettings
from fociquant.units import PixelSize

USUAL = Usual(glow=1.0, strength=40.0, ring=0.7)


PLAIN = dict.fromkeys(LOOKS, 1.0) | {"grain": 0.0, "explained": 0.0, "strength": 40.0}


def asked(usual=USUAL, *, ring=0.7, **looks):
    table = pd.DataFrame([PLAIN | looks])
    return float(score_of_pigment(table, np.array([ring]), usual)[0])


def test_what_looks_like_the_certain_cells_is_asked_for_nothing():
    assert asked() == 0.0
    assert asked(strength=400.0, ring=1.5) == 0.0  # more than usual is no sign


@pytest.mark.parametrize(
    ("signs", "score"),
    [
        ({"grain": 0.5}, 1.75),
        ({"explained": 0.5}, 2.5),
        ({"glow": 1.5, "glow_here": 2.0}, 1.0),
        ({"glow": 2.5, "glow_here": 2.5}, 1.6),  # at most 1.8 times as bright
        ({"strength": 40.0 / math.e}, 0.5),
        ({"strength": -5.0}, 0.5 * math.log(20.0)),
        ({"ring": 0.35}, 0.25),
        ({"ring": -9.0}, 0.75),
        (
            {"grain": 0.5, "explained": 0.5, "glow": 1.5, "glow_here": 2.0}
            | {"strength": 40.0 / math.e, "ring": 0.35},
            6.0,
        ),
    ],
)  # fmt: skip
def test_signs_of_pigment_add_up(signs, score):
    assert asked(**signs) == pytest.approx(score)


def test_a_cell_in_bright_tissue_may_glow_as_that_does():
    glowing = {"glow": 1.6, "glow_here": 1.0}
    assert asked(grain=0.5, **glowing) == pytest.approx(1.75)
    # What has the grain of autofluorescence may not.
    assert asked(grain=0.85, **glowing) == pytest.approx(3.5 * 0.85 + 2 * 0.6)
    # Nor what lies in a crowd that leaves no surroundings to compare with.
    assert asked(grain=0.5, glow=1.6, glow_here=math.nan) == pytest.approx(1.75 + 2 * 0.6)


def test_a_batch_that_does_not_tell_has_cells_as_they_are_elsewhere():
    assert asked(Usual(), strength=12.0, ring=-1.0) == 0.0
    assert asked(Usual(), grain=0.5, strength=12.0 / math.e) == pytest.approx(1.75 + 0.5)
    assert asked(grain=0.9, glow=math.nan, glow_here=math.nan) == -math.inf  # no such channel


@given(
    st.floats(-1, 1), st.floats(0, 4), st.floats(-10, 400), st.floats(-1, 2),
    st.floats(0, 1), st.sampled_from(["grain", "glow", "strength", "ring", "explained"]),
)  # fmt: skip
def test_no_sign_of_pigment_ever_helps(grain, glow, strength, ring, more, sign):
    signs = {"grain": grain, "glow": glow, "glow_here": glow, "strength": strength, "ring": ring}
    signs["explained"] = 0.3
    worse = dict(signs)
    worse[sign] += more * (-50.0 if sign == "strength" else -1.0 if sign == "ring" else 1.0)
    worse["glow_here"] = worse["glow"]
    assert asked(**worse) >= asked(**signs) - 1e-9


def batch_of(*cells):
    """Scores, rings and looks of groups of (number, score, ring, glow, strength)."""
    rows = [row for number, *row in cells for _ in range(number)]
    score, ring, glow, strength = np.array(rows).T
    looks = pd.DataFrame([PLAIN] * len(rows)).assign(glow=glow, strength=strength)
    return score, ring, looks


def test_the_certain_cells_of_a_batch_say_what_is_usual():
    unsure = (500, 5.9, 0.1, 3.0, 5.0)
    found = Usual.of_batch(*batch_of((20, 6.0, 0.7, 1.2, 40.0), unsure))
    assert found == Usual(1.2, 40.0, 0.7)
    # Cells darker than tissue do not make tissue's own glow suspicious.
    assert Usual.of_batch(*batch_of((20, 6.0, 0.7, 0.3, 40.0))).glow == 0.9
    few = Usual.of_batch(*batch_of((19, 6.0, 0.7, 1.2, 40.0), unsure))
    assert few.glow == 1.0 and few.strength == 12.0 and math.isnan(few.ring)


@pytest.mark.parametrize(
    "cells",
    [[(40, 7.0, 0.35, 1.0, 40.0)], [(35, 7.0, 0.7, 1.0, 40.0), (5, 7.0, 0.1, 1.0, 40.0)]],
    ids=["full", "two kinds"],
)
def test_rims_are_asked_for_only_where_cells_wear_them_alike(cells):
    found = Usual.of_batch(*batch_of(*cells))
    assert math.isnan(found.ring) and found.strength == 40.0


STATS = ChannelStats(low=100, high=1100, background=150, spread=20, noise=10, saturation=65535)
FACTS = SectionFacts(
    stats={"marker": STATS, "autofluorescence": STATS},
    tissue_mm2=1.0,
    parenchyma_mm2=0.5,
    outline=np.ones((10, 10), bool),
    artefact=np.zeros((10, 10), bool),
    overview_px=PixelSize.square(8.0),
    autofluorescence_slope=4.0,
)
MACROPHAGE = {
    "label": 1, "y_um": 40.0, "x_um": 40.0, "area_um2": 110.0, "solidity": 0.95, "score_mean": 4.5,
    "marker_mean": 300.0, "marker_ring": 150.0, "marker_edge_mean": 300.0,
    "marker_core_mean": 260.0, "autofluorescence_mean": 165.0, "autofluorescence_ring": 150.0,
    "correlation": 0.45, "ring_px": 200, "flags": 0,
}  # fmt: skip
"""Dim, a little brighter than tissue, which explains two fifths of its marker, and of somewhat
alike grain."""


def flags(usual, **change):
    table = pd.DataFrame([MACROPHAGE | change])
    gate = Gate(usual=usual)
    found = gate_objects(table, FACTS, phenotypes=(), settings=GateSettings(), gate=gate)
    return found["flags"].tolist()


def test_signs_that_each_alone_would_do_for_a_cell_together_do_not():
    assert flags(USUAL) == ["autofluorescent"]
    assert flags(Usual()) == [""]
    for change in (
        {"correlation": 0.1}, {"autofluorescence_mean": 140.0}, {"score_mean": 5.5},
        {"marker_mean": 550.0, "marker_edge_mean": 700.0, "marker_core_mean": 270.0},
    ):  # fmt: skip
        assert flags(USUAL, **change) == [""], change
    # Of what the network does not take for a cell it says nothing.
    assert flags(USUAL, score_mean=1.0) == ["uncertain"]


def section(name, control, number, *row, **signs):
    score, ring, looks = batch_of((number, *row))
    values = np.column_stack([10 * looks["strength"], score, ring])
    places = np.column_stack([np.arange(number) * 200.0, np.zeros(number)])
    looks = looks.assign(**signs)
    return Passing(name, "", control, 10.0, values, places, looks=looks)


def test_such_candidates_of_a_control_do_not_raise_the_gate():
    stained = section("a", False, 40, 7.0, 0.7, 1.0, 40.0)
    dim = (4, 4.5, 0.2, 1.0, 4.0)
    pigment = section("wt", True, *dim, grain=0.6, explained=0.4)
    found = batch_thresholds([stained, pigment], settings=GateSettings())[""]
    assert found.gate.usual == USUAL and not found.gate.raised
    assert (found.false_at_floor, found.false_left) == (0, 0)
    plain = section("wt", True, *dim, grain=-1.0)
    assert batch_thresholds([stained, plain], settings=GateSettings())[""].gate.raised


@given(
    st.floats(0.0, 400.0), st.integers(-20, 200), st.sampled_from([None, 4.0, 16.0]),
    st.floats(-1.0, 1.0),
)  # fmt: skip
def test_what_autofluorescence_explains_is_a_part_of_the_marker(excess, glow, pigment, grain):
    facts = replace(FACTS, pigment_slope=pigment)
    table = pd.DataFrame(
        [
            MACROPHAGE
            | {"correlation": grain, "autofluorescence_mean": 150.0 + glow}
            | {"marker_mean": 150.0 + excess}
        ]
    )
    strength = np.array([(excess - 4.0 * glow) / facts.marker_unit])
    found = looks_of(table, strength, facts, {})["explained"].item()
    assert 0.0 <= found <= 1.0
    if glow <= 0:
        assert found == 0.0
    elif excess > 4.0 * glow:
        steeper = 4.0 if pigment == 16.0 and grain > 0.5 else 1.0
        assert found == pytest.approx(min(steeper * 4.0 * glow / excess, 1.0))
    else:
        assert found == 1.0


@given(st.floats(-5, 10), st.floats(-1, 2), st.floats(0, 5))
def test_more_score_or_more_of_a_rim_is_never_worse(score, ring, more):
    rim = lambda *one: score_with_rim(*map(np.array, one)).item()  # noqa: E731
    assert rim(score + more, ring) >= rim(score, ring)
    assert rim(score, ring + more) >= rim(score, ring)


@pytest.mark.parametrize(("score", "core", "expected"), [
    (4.5, 210.0, [""]),  # a ring of 0.6
    (4.5, 270.0, ["filled"]),  # of 0.2: 4.5 and five times that are less than 6
    (5.5, 270.0, [""]), (4.5, 350.0, ["filled"]),
])  # fmt: skip
def test_without_an_unstained_channel_a_rim_and_certainty_make_up_for_each_other(
    score, core, expected
):
    one = MACROPHAGE | {"score_mean": score, "marker_core_mean": core}
    table = pd.DataFrame([one]).drop(columns=["autofluorescence_mean", "autofluorescence_ring"])
    facts = replace(FACTS, stats={"marker": STATS}, autofluorescence_slope=None)
    judge = partial(gate_objects, facts=facts, phenotypes=(), settings=GateSettings())
    asked = Gate(rim_score=6.0)
    assert judge(table, gate=asked)["flags"].tolist() == expected
    assert judge(table)["flags"].tolist() == [""]
    # What is as bright as the camera can tell is as bright in the middle, whatever it wears.
    saturated = table.assign(flags=int(CellFlag.SATURATED))
    assert judge(saturated, gate=asked)["flags"].tolist() == ["saturated"]


@pytest.mark.parametrize(
    ("score", "ring", "lacks"),
    [(7.0, 0.05, True), (7.0, 0.2, False), (5.0, 0.35, False), (4.0, 0.35, True)],
)
def test_a_cell_beyond_doubt_may_be_filled_where_others_wear_rims(score, ring, lacks):
    gate = Gate(ring_least=0.3, rim_score=6.0)
    assert gate.lacks_rim(np.array([score]), np.array([ring])).tolist() == [lacks]


FULL = {
    "marker_mean": 350.0, "marker_edge_mean": 300.0, "marker_core_mean": 420.0,
    "marker_on_nucleus": 420.0, "marker_off_nucleus": 330.0,
}  # fmt: skip
"""Brightest in its middle, and on its nucleus: 1.5 times as bright as on the rest."""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, [""]),
        ({"marker_on_nucleus": 330.0}, ["autofluorescent"]),  # as bright there as elsewhere
        ({"marker_core_mean": 310.0}, ["autofluorescent"]),  # hardly brighter in its middle
        ({"correlation": 0.95}, ["autofluorescent"]),  # one substance with autofluorescence
    ],
)
def test_what_fills_its_nucleus_with_marker_is_no_pigment(change, expected):
    signs = {"correlation": 0.75, "score_mean": 3.9}
    assert flags(Usual(), **FULL | signs | change) == expected
