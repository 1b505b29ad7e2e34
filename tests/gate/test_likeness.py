"""Candidates that look like pigment beside the certain cells of their batch."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fociquant.gate import Gate, Passing, batch_thresholds, gate_objects
from fociquant.gate.likeness import Usual, score_of_pigment
from fociquant.gate.looks import LOOKS
from fociquant.model import ChannelStats, SectionFacts
from fociquant.settings import GateSettings
from fociquant.units import PixelSize

USUAL = Usual(glow=1.0, marker=400.0, ring=0.7)


def asked(usual=USUAL, *, marker=400.0, ring=0.7, **looks):
    table = pd.DataFrame([dict.fromkeys(LOOKS, 1.0) | {"grain": 0.0} | looks])
    values = {"marker": np.array([marker]), "ring": np.array([ring])}
    return float(score_of_pigment(table, usual=usual, **values)[0])


def test_what_looks_like_the_certain_cells_is_asked_for_nothing():
    assert asked() == 0.0
    assert asked(marker=4000.0, ring=1.5) == 0.0  # more than usual is no sign


@pytest.mark.parametrize(
    ("signs", "score"),
    [
        ({"grain": 0.5}, 2.0),
        ({"glow": 1.5, "glow_here": 2.0}, 2.0),
        ({"glow": 2.5, "glow_here": 2.5}, 3.2),  # at most 1.8 times as bright
        ({"marker": 400.0 / math.e}, 1.25),
        ({"marker": -50.0}, 1.25 * math.log(20.0)),
        ({"ring": 0.35}, 0.5),
        ({"ring": -9.0}, 1.5),
        (
            {"grain": 0.5, "glow": 1.5, "glow_here": 2.0, "marker": 400.0 / math.e, "ring": 0.35},
            5.75,
        ),
    ],
)  # fmt: skip
def test_signs_of_pigment_add_up(signs, score):
    assert asked(**signs) == pytest.approx(score)


def test_a_cell_in_bright_tissue_may_glow_as_that_does():
    glowing = {"glow": 1.6, "glow_here": 1.0}
    assert asked(grain=0.5, **glowing) == pytest.approx(2.0)
    # What has the grain of autofluorescence may not.
    assert asked(grain=0.85, **glowing) == pytest.approx(4 * 0.85 + 4 * 0.6)
    # Nor what lies in a crowd that leaves no surroundings to compare with.
    assert asked(grain=0.5, glow=1.6, glow_here=math.nan) == pytest.approx(2.0 + 4 * 0.6)


def test_what_a_batch_does_not_tell_is_not_asked():
    assert asked(Usual(), marker=1.0, ring=-1.0) == 0.0
    assert asked(Usual(), grain=0.5, marker=1.0) == pytest.approx(2.0)
    assert asked(grain=0.9, glow=math.nan, glow_here=math.nan) == -math.inf  # no such channel


@given(
    st.floats(-1, 1), st.floats(0, 4), st.floats(-100, 4000), st.floats(-1, 2),
    st.floats(0, 1), st.sampled_from(["grain", "glow", "marker", "ring"]),
)  # fmt: skip
def test_no_sign_of_pigment_ever_helps(grain, glow, marker, ring, more, sign):
    signs = {"grain": grain, "glow": glow, "glow_here": glow, "marker": marker, "ring": ring}
    worse = dict(signs)
    worse[sign] += more * (-500.0 if sign == "marker" else -1.0 if sign == "ring" else 1.0)
    worse["glow_here"] = worse["glow"]
    assert asked(**worse) >= asked(**signs) - 1e-9


def values(n, *, score=7.0, marker=400.0, ring=0.7):
    return np.column_stack([np.full(n, marker), np.full(n, score), np.full(n, ring)])


def test_the_certain_cells_of_a_batch_say_what_is_usual():
    unsure = values(500, score=5.9, marker=50.0, ring=0.1)
    found = Usual.of_batch(np.r_[values(20), unsure], np.r_[np.full(20, 1.2), np.full(500, 3.0)])
    assert found == Usual(1.2, 400.0, 0.7)
    few = Usual.of_batch(values(19), np.full(19, 1.2))
    assert few.glow == 1.0 and math.isnan(few.marker) and math.isnan(few.ring)


@pytest.mark.parametrize(
    "rings",
    [np.full(40, 0.35), np.r_[np.full(35, 0.7), np.full(5, 0.1)]],
    ids=["full", "two kinds"],
)
def test_rims_are_asked_for_only_where_cells_wear_them_alike(rings):
    table = values(40)
    table[:, 2] = rings
    found = Usual.of_batch(table, np.full(40, 1.0))
    assert math.isnan(found.ring) and found.marker == 400.0


STATS = ChannelStats(low=100, high=1100, background=150, spread=20, noise=10, saturation=65535)
FACTS = SectionFacts(
    stats={"marker": STATS, "autofluorescence": STATS},
    tissue_mm2=1.0,
    parenchyma_mm2=0.5,
    outline=np.ones((10, 10), bool),
    artefact=np.zeros((10, 10), bool),
    overview_px=PixelSize.square(8.0),
    autofluorescence_slope=0.1,
)
MACROPHAGE = {
    "label": 1, "y_um": 40.0, "x_um": 40.0, "area_um2": 110.0, "solidity": 0.95, "score_mean": 3.5,
    "marker_mean": 300.0, "marker_ring": 150.0, "marker_edge_mean": 300.0,
    "marker_core_mean": 260.0, "autofluorescence_mean": 165.0, "autofluorescence_ring": 150.0,
    "correlation": 0.45, "ring_px": 200, "flags": 0,
}  # fmt: skip
"""Dim, a little brighter than tissue, and of somewhat alike grain."""


def flags(usual, **change):
    table = pd.DataFrame([MACROPHAGE | change])
    gate = Gate(usual=usual)
    found = gate_objects(table, FACTS, phenotypes=(), settings=GateSettings(), gate=gate)
    return found["flags"].tolist()


def test_signs_that_each_alone_would_do_for_a_cell_together_do_not():
    assert flags(USUAL) == ["autofluorescent"]
    assert flags(Usual()) == [""]
    for change in (
        {"correlation": 0.1}, {"autofluorescence_mean": 140.0}, {"score_mean": 5.0},
        {"marker_mean": 550.0, "marker_edge_mean": 700.0, "marker_core_mean": 270.0},
    ):  # fmt: skip
        assert flags(USUAL, **change) == [""], change
    # Of what the network does not take for a cell it says nothing.
    assert flags(USUAL, score_mean=1.0) == ["uncertain"]


def test_such_candidates_of_a_control_do_not_raise_the_gate():
    looks = pd.DataFrame([dict.fromkeys(LOOKS, 1.0) | {"grain": 0.0}] * 40)
    places = np.column_stack([np.arange(40) * 200.0, np.zeros(40)])
    stained = Passing("a", "", False, 10.0, values(40), places, looks=looks)
    dim = values(4, score=4.5, marker=40.0, ring=0.2)
    pigment = looks[:4].assign(grain=0.6)
    control = Passing("wt", "", True, 10.0, dim, places[:4], looks=pigment)
    found = batch_thresholds([stained, control], settings=GateSettings())[""]
    assert found.gate.usual == USUAL and not found.gate.raised
    assert (found.false_at_floor, found.false_left) == (0, 0)
    plain = replace(control, looks=looks[:4].assign(grain=-1.0))
    assert batch_thresholds([stained, plain], settings=GateSettings())[""].gate.raised
