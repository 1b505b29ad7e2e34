"""Kappa and Bland-Altman against worked examples; hidden repeats; queues."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from fociquant.review import (
    Reviewer,
    ReviewSession,
    bland_altman,
    cohen_kappa,
    doubt,
    make_queue,
    repeat_pairs,
)
from fociquant.run.study import recount
from fociquant.store import read_csv


def test_kappa_of_a_worked_example():
    # 20 both yes, 5 first only, 10 second only, 15 both no: kappa 0.4 (Cohen 1960 style table).
    one = [True] * 25 + [False] * 25
    other = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    found = cohen_kappa(one, other)
    assert (found.n, found.agreement) == (50, 0.7)
    assert found.kappa == pytest.approx(0.4)
    # Standard error of Fleiss, Cohen and Everitt for this table: 0.1266.
    assert (found.high - found.low) / 3.92 == pytest.approx(0.1266, abs=0.002)


def test_kappa_agrees_with_statsmodels():
    reference = pytest.importorskip("statsmodels.stats.inter_rater")
    rng = np.random.default_rng(1)
    for _ in range(10):
        one = rng.random(60) < 0.3
        other = np.where(rng.random(60) < 0.7, one, rng.random(60) < 0.5)
        table = [[(a & b).sum() for b in (other, ~other)] for a in (one, ~one)]
        expected = reference.cohens_kappa(np.array(table, float))
        found = cohen_kappa(one, other)
        assert found.kappa == pytest.approx(expected.kappa)
        assert found.low == pytest.approx(expected.kappa_low, abs=1e-3)


def test_the_interval_of_kappa_ends_at_one():
    found = cohen_kappa([True] * 5 + [False] * 5, [True] * 5 + [False] * 4 + [True])
    assert found.kappa == pytest.approx(0.8) and found.low < 0.5 and found.high == 1.0


def test_kappa_of_nothing_and_of_one_answer_only():
    assert math.isnan(cohen_kappa([], []).kappa) and cohen_kappa([], []).n == 0
    always = cohen_kappa([True] * 5, [True] * 5)
    assert always.agreement == 1.0 and math.isnan(always.kappa)
    assert cohen_kappa([True, False], [True, False]).kappa == 1.0
    for one, other in (([True] * 4, [True, False] * 2), ([True, False] * 2, [False] * 4)):
        found = cohen_kappa(one, other)
        assert found.kappa == 0.0 and math.isnan(found.low) and math.isnan(found.high)
    with pytest.raises(ValueError, match="cannot be compared"):
        cohen_kappa([True], [])


def test_bland_altman():
    found = bland_altman([10, 20, 30], [12, 20, 34])
    assert (found.n, found.bias) == (3, 2.0)
    assert found.high - found.bias == pytest.approx(1.96 * 2.0)
    # Two mice 1 and 3 apart: their standard deviation is the square root of 2.
    assert bland_altman([5, 5], [6, 8]).low == pytest.approx(2 - 1.96 * math.sqrt(2))
    assert math.isnan(bland_altman([1], [2]).low) and math.isnan(bland_altman([], []).bias)


def candidates(number=200):
    rng = np.random.default_rng(0)
    flags = ["" if i % 3 else "no_nucleus;too_small" for i in range(number)]
    score = rng.normal(3, 2, number)
    return pd.DataFrame({"cell": np.arange(1, number + 1), "score": score, "flags": flags})


def test_the_most_doubtful_come_first():
    table = pd.DataFrame({"cell": [1, 2, 3, 4], "score": [9.0, 2.1, 2.0, np.nan],
                          "flags": ["", "", "autofluorescent;elongated", "uncertain"]})  # fmt: skip
    assert np.argsort(doubt(table, threshold=2.0)).tolist() == [3, 1, 2, 0]
    queue = make_queue(table, threshold=2.0, repeat_share=0.0, seed=1)
    assert [item.cell for item in queue] == [4, 2, 3, 1]


def test_hidden_repeats_come_once_and_not_soon():
    queue = make_queue(candidates(), threshold=2.0, repeat_share=0.1, seed=1)
    assert len(queue) == 220 and queue == make_queue(
        candidates(), threshold=2.0, repeat_share=0.1, seed=1
    )
    first = {item.cell: i for i, item in enumerate(queue) if not item.repeat}
    again = {item.cell: i for i, item in enumerate(queue) if item.repeat}
    assert len(first) == 200 and len(again) == 20
    # At the end of the queue there is no room for the whole gap.
    gaps = [i - first[cell] for cell, i in again.items() if first[cell] < 170]
    assert min(gaps) >= 20
    assert make_queue(candidates(0), threshold=2.0, repeat_share=0.5, seed=1) == []


def test_repeats_are_compared_with_what_was_decided_first(opened):
    opened.accept([1, 2])
    opened.reject(1, repeat=True)
    opened.accept(2, repeat=True)
    opened.accept(3, repeat=True)
    assert repeat_pairs(opened.history) == [(True, False), (True, True)]


def test_candidates_of_other_sections_of_a_slide_are_not_agreed_on(slide):
    """Nobody looks at them: all would say no."""
    for name in ("left", "right"):
        with ReviewSession.open(slide, name, Reviewer("ana", "x")) as session:
            session.reject(int(session.cell[session.positive][0]))
            session.sign_off()
    recount(slide)
    row = read_csv(slide / "review" / "agreement.csv").iloc[0]
    assert (row["comparison"], row["objects"]) == ("program", 20)
    assert row["agreement"] == 18 / 20
