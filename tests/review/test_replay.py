"""Replay: the session's result, whatever the order among objects; several reviewers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fociquant.review import Reviewer, ReviewSession, SectionObjects, read_logs, replay_section
from fociquant.settings import ReviewSettings

ANA, BO, CY = (Reviewer(name, "x") for name in ("ana", "bo", "cy"))
SLOW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


def objects_of(session) -> SectionObjects:
    frame = session.cells
    return SectionObjects(
        frame["cell"].to_numpy(np.int64), frame["y_um"].to_numpy(float),
        frame["x_um"].to_numpy(float), frame["positive_automatic"].to_numpy(bool),
        list(frame["outline"]), session.results_key,
    )  # fmt: skip


def replay(results, section="s1", **options):
    with ReviewSession.open(results, section, "looker") as session:
        objects = objects_of(session)
    logs = [log for log in read_logs(results)[0] if log.reviewer != "looker"]
    return replay_section(objects, logs, settings=ReviewSettings(**options))


def square(y, x):
    return np.array([(y, x), (y, x + 9.0), (y + 9.0, x + 9.0), (y + 9.0, x)])


STEP = st.one_of(
    st.tuples(st.sampled_from(["accept", "reject"]), st.integers(1, 12)),
    st.tuples(st.just("add"), st.integers(0, 3)),
    st.tuples(st.just("exclude"), st.integers(0, 5)),
    st.tuples(st.sampled_from(["undo", "redo"]), st.integers(0, 30)),
    st.tuples(st.just("merge"), st.integers(1, 11)),
    st.tuples(st.just("repeat"), st.integers(1, 12)),
)


def take(session, step):
    what, number = step
    if what in ("accept", "reject"):
        getattr(session, what)(number)
    elif what == "add":
        session.add(square(300.0 + 20 * number, 300.0))
    elif what == "exclude":
        session.exclude(square(0.0, 0.0) * (5 + 3 * number), reason="fold")
    elif what == "merge":
        session.merge([number, number + 1])
    elif what == "repeat":
        session.reject(number, repeat=True)
    elif what == "redo":
        session.redo()
    elif session.history:
        session.undo(session.history[number % len(session.history)])


@SLOW
@given(st.lists(STEP, max_size=14))
def test_replay_is_what_the_session_showed(remake, steps):
    with tempfile.TemporaryDirectory() as folder:
        made = remake(Path(folder), [(30.0 * (i // 4 + 1), 30.0 * (i % 4 + 1)) for i in range(12)],
                      np.arange(12) % 3 == 0)  # fmt: skip
        with ReviewSession.open(made, "s1", ANA) as session:
            for step in steps:
                take(session, step)
            positive, exists = session.positive.copy(), session.exists.copy()
            places = {(y, x) for y, x in zip(session.y_um[12:], session.x_um[12:], strict=True)}
            counts, excluded = session.counts, session.excluded.copy()
            edits = session.focus_edits
        review = replay(made)
        assert int(review.positive.sum()) == counts.reviewed
        assert review.positive[:12].tolist() == positive[:12].tolist()
        assert (review.decision[:12] == "excluded").tolist() == excluded[:12].tolist()
        assert len(review.added) == int(exists[12:].sum())
        assert {(one.ref.y_um, one.ref.x_um) for one in review.added} <= places
        assert review.edits == edits
        with ReviewSession.open(made, "s1", ANA) as session:
            assert session.positive.tolist() == positive.tolist()
            while session.undo() is not None:
                pass
            assert session.positive[:12].tolist() == session.positive_automatic[:12].tolist()
            assert session.reviewed_cells == 4
        undone = replay(made)
        assert undone.positive.tolist() == [True, False, False] * 4
        assert undone.added == [] and undone.edits == [] and set(undone.decision) == {""}


@SLOW
@given(st.permutations([("reject", 1), ("accept", 2), ("reject", 4), ("add", 0), ("add", 1),
                        ("exclude", 2), ("reject", 12)]))  # fmt: skip
def test_the_order_among_different_objects_does_not_matter(remake, steps):
    with tempfile.TemporaryDirectory() as folder:
        made = remake(Path(folder), [(30.0 * (i // 4 + 1), 30.0 * (i % 4 + 1)) for i in range(12)],
                      np.arange(12) % 3 == 0)  # fmt: skip
        with ReviewSession.open(made, "s1", ANA) as session:
            for step in steps:
                take(session, step)
        review = replay(made)
    assert review.positive.tolist() == [False] * 12 + [True, True]
    assert review.decision.tolist()[2:4] == ["excluded", "rejected"]
    assert [round(one.ref.y_um, 1) for one in review.added] == [304.5, 324.5]


def decide(made, clock, who, *steps, sign=False):
    with ReviewSession.open(made, "s1", who, clock=clock) as session:
        for what, cell in steps:
            getattr(session, what)(cell)
        if sign:
            session.sign_off()


def test_the_latest_decision_holds(made, clock):
    decide(made, clock, ANA, ("reject", 1), ("accept", 2))
    decide(made, clock, BO, ("accept", 1))
    review = replay(made)
    assert review.positive[:2].tolist() == [True, True]
    assert [row["verdicts"] for row in review.conflicts] == ["ana rejected, bo accepted"]
    outcomes = {(r["reviewer"], r["cell"]): r["outcome"] for r in review.decisions}
    assert outcomes == {("ana", 1): "overruled", ("ana", 2): "applied", ("bo", 1): "applied"}


def test_who_signed_off_goes_before_who_did_not(made, clock):
    decide(made, clock, ANA, ("reject", 1), sign=True)
    decide(made, clock, BO, ("accept", 1))
    review = replay(made)
    assert not review.positive[0] and review.status == "signed off"


def test_who_signs_on_one_computer_has_signed_on_the_other(made, clock):
    decide(made, clock, Reviewer("ana", "desk"), ("reject", 1), ("reject", 4))
    decide(made, clock, Reviewer("Ana", "lab"), ("reject", 7), sign=True)
    review = replay(made)
    assert review.status == "signed off" and review.problems == []
    assert not review.positive[[0, 3, 6]].any()


def test_who_decides_on_one_computer_and_signs_on_another_has_one_vote(made, clock):
    decide(made, clock, Reviewer("ana", "desk"), ("reject", 1))
    decide(made, clock, Reviewer("Ana", "lab"), sign=True)
    assert replay(made).conflicts == []
    decide(made, clock, BO, sign=True)
    review = replay(made, combine_rule="majority")
    assert not review.positive[0]  # one against one: the latest
    assert [row["verdicts"] for row in review.conflicts] == ["ana rejected, bo accepted"]


@pytest.mark.parametrize("rule", ["latest", "majority"])
def test_a_section_that_was_signed_off_is_as_its_signer_saw_it(made, clock, rule):
    """Whatever others decide who have not signed it, before or after."""
    decide(made, clock, BO, ("reject", 1), sign=True)
    signed = replay(made, combine_rule=rule)
    with ReviewSession.open(made, "s1", ANA, clock=clock) as session:
        session.reject(4)
        session.accept(2)
        session.add(square(300.0, 300.0))
        session.exclude(square(30.0, 30.0), reason="fold")
        session.merge([4, 7])
    review = replay(made, combine_rule=rule)
    assert review.status == "signed off"
    assert review.positive[:12].tolist() == signed.positive.tolist()
    assert not review.positive[12] and review.region.area == 0 and review.edits == []
    said = {row["action"]: row["outcome"] for row in review.decisions if row["reviewer"] == "ana"}
    assert set(said.values()) == {"overruled"} and len(said) == 5
    assert review.problems == [
        "decisions of ana do not count before the section is signed off by them too, as it is by bo"
    ]
    differ = {row["cell"]: (row["verdicts"], row["result"]) for row in review.conflicts}
    assert differ[4] == ("ana rejected, bo accepted", "accepted")
    assert differ[2] == ("ana accepted, bo rejected", "rejected")
    decide(made, clock, ANA, sign=True)
    both = replay(made, combine_rule=rule)
    assert both.region.area > 0 and len(both.edits) == 1 and both.problems == []


def test_the_majority_holds_if_it_is_asked_for(made, clock):
    decide(made, clock, ANA, ("reject", 1), sign=True)
    decide(made, clock, BO, ("reject", 1), sign=True)
    decide(made, clock, CY, ("accept", 1), ("accept", 2), sign=True)
    assert replay(made).positive[:2].tolist() == [True, True]
    review = replay(made, combine_rule="majority")
    # Two against one; about cell 2 ana and bo said nothing and so stand for the program.
    assert review.positive[:2].tolist() == [False, False]


def test_a_changed_mind_is_no_conflict(made, clock):
    decide(made, clock, ANA, ("reject", 1), ("accept", 1))
    review = replay(made)
    assert review.conflicts == [] and review.positive[0]
    assert [row["outcome"] for row in review.decisions] == ["superseded", "applied"]


def test_the_same_cell_added_by_two_counts_once(made, clock):
    decide(made, clock, ANA, ("add", square(300.0, 300.0)))
    decide(made, clock, BO, ("add", square(300.5, 300.0)))
    review = replay(made)
    assert len(review.added) == 1 and int(review.positive.sum()) == 5


def test_every_region_counts_whoever_drew_it(made, clock):
    for who, y in ((ANA, 0.0), (BO, 300.0)):
        with ReviewSession.open(made, "s1", who, clock=clock) as session:
            session.exclude(square(y, 0.0), reason="fold")
    assert replay(made).region.area == pytest.approx(2 * 81.0)


def test_a_clock_that_was_set_back_does_not_turn_decisions_round(made, clock):
    clock.seconds = 1000
    decide(made, clock, ANA, ("reject", 1))
    clock.seconds = 0
    decide(made, clock, ANA, ("accept", 1))
    assert replay(made).positive[0]


def test_a_sign_off_is_outdated_when_the_automatic_result_changes(made, clock, remake):
    decide(made, clock, ANA, ("reject", 1), sign=True)
    assert replay(made).status == "signed off"
    remake(made, [(30.0 * (i // 4 + 1), 30.0 * (i % 4 + 1)) for i in range(12)],
           np.arange(12) % 2 == 0)  # fmt: skip
    assert replay(made).status == "outdated"
    decide(made, clock, ANA, sign=True)
    assert replay(made).status == "signed off"


def test_a_second_look_counts_nothing(made, clock):
    decide(made, clock, ANA, ("reject", 1), sign=True)
    with ReviewSession.open(made, "s1", ANA, repeat=True, clock=clock) as session:
        assert session.verdict[0] == 0, "the second look starts afresh"
        session.accept(2)
        session.sign_off()
    review = replay(made)
    assert int(review.positive.sum()) == 3
    assert [int(one.verdict.sum()) for one in review.second_looks] == [5]


def test_two_stations_of_one_name_are_two_reviewers(made, clock):
    decide(made, clock, Reviewer("ana", "one"), ("reject", 1))
    decide(made, clock, Reviewer("ana", "two"), ("accept", 1))
    review = replay(made)
    assert review.conflicts[0]["verdicts"] == "ana (one) rejected, ana (two) accepted"
    assert len(review.readers) == 2
