"""Halves of one cell are counted once."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fociquant.gate.halves import other_halves

HALF = {"y_um": 50.0, "x_um": 50.0, "area_um2": 100.0, "joint": 0.1, "ring": 0.7, "score": 5.0}


def halves(*changes, passing=None):
    table = pd.DataFrame([HALF | change for change in changes])
    ring, score = table["ring"].to_numpy(), table["score"].to_numpy()
    passing = np.ones(len(table), bool) if passing is None else np.array(passing)
    return other_halves(table, ring=ring, score=score, passing=passing).tolist()


BESIDE = {"x_um": 50.0 + 0.6 * math.sqrt(200.0), "score": 4.0}


def test_the_half_with_the_lower_score_is_not_counted():
    assert halves({}, BESIDE) == [False, True]
    assert halves(BESIDE, {}) == [True, False]
    assert halves({}, BESIDE | {"score": 5.0}) == [False, True]  # the later of equal ones


@pytest.mark.parametrize(
    "change",
    [{"joint": 0.4}, {"ring": 0.3}, {"x_um": 50.0 + 0.71 * math.sqrt(200.0)}],
    ids=lambda change: next(iter(change)),
)
def test_cells_that_touch_are_two(change):
    assert halves({}, BESIDE | change) == [False, False]


def test_only_what_passes_is_a_half():
    assert halves({}, BESIDE, passing=[False, True]) == [False, False]


def test_the_nearest_two_of_three_are_one_cell():
    found = halves({}, {"x_um": 59.0, "score": 4.0}, {"x_um": 67.5, "score": 3.0})
    assert found == [False, False, True]  # 8.5 µm apart go before 9


def test_what_is_nearer_than_any_two_cells_is_one_whatever_it_wears():
    closed = {"joint": 1.0, "ring": -0.1}
    for share, cut in ((0.51, True), (0.53, False)):
        near = closed | {"x_um": 50.0 + share * math.sqrt(200.0), "score": 4.0}
        assert halves(closed, near) == [False, cut]


def test_without_the_measurement_only_the_distance_tells():
    ring, passing = np.full(2, 0.7), np.ones(2, bool)
    for beside, cut in ((BESIDE, False), ({"x_um": 56.0}, True)):
        table = pd.DataFrame([HALF, HALF | beside]).drop(columns="joint")
        found = other_halves(table, ring=ring, score=ring, passing=passing)
        assert found.any() == cut


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 60), st.floats(2, 8)), max_size=30))
def test_no_more_than_every_second_object_goes(found):
    changes = [{"y_um": y, "x_um": x, "score": score} for y, x, score in found]
    gone = halves(*changes) if changes else []
    assert sum(gone) <= len(gone) / 2
    # What is left has a half left to stand for it.
    assert not gone or not all(gone)
