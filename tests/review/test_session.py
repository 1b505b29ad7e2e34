"""A reviewer at work: what is shown, what is written, what is refused, what is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fociquant.errors import DiskError, InputError, ResultsError
from fociquant.review import (
    Action,
    Reviewer,
    ReviewFolder,
    ReviewSession,
    namesakes,
    read_log,
    review_marks,
)

SQUARE = np.array([(200.0, 200.0), (200.0, 212.0), (212.0, 212.0), (212.0, 200.0)])
EVERYTHING = np.array([(-10.0, -10.0), (-10.0, 900.0), (900.0, 900.0), (900.0, -10.0)])
BOW_TIE = np.array([(0.0, 0.0), (100.0, 100.0), (0.0, 100.0), (100.0, 0.0)])


def arrays(session):
    return (session.verdict.copy(), session.positive.copy(), session.excluded.copy(),
            session.exists.copy(), session.counts, session.focus_edits,
            sorted(session.regions))  # fmt: skip


def same(one, other):
    return all(
        np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
        for a, b in zip(one, other, strict=True)
    )


def test_a_fresh_session_shows_the_automatic_result(opened):
    counts = opened.counts
    assert (counts.automatic, counts.reviewed, counts.undecided) == (4, 4, 12)
    assert opened.positive.tolist() == [True, False, False] * 4
    assert opened.notices == [] and opened.history == () and not opened.signed_off


def test_verdicts_change_what_counts_and_can_be_changed(opened):
    opened.reject([1, 4], reason="macrophage")
    opened.accept(2)
    assert opened.reviewed_cells == 3 and opened.verdict[:4].tolist() == [2, 1, 0, 2]
    opened.accept(1)
    assert opened.reviewed_cells == 4 and opened.verdict[0] == 1
    assert [e.action for e in opened.history] == [
        Action.REJECT, Action.REJECT, Action.ACCEPT, Action.ACCEPT,
    ]  # fmt: skip
    assert opened.history[0].reason == "macrophage"


def test_an_entry_names_the_object_by_place_and_outline(opened, made):
    entry = opened.reject(1)[0]
    ref = entry.cells[0]
    assert (ref.y_um, ref.x_um, ref.cell, ref.results) == (30.0, 30.0, 1, "a" * 16)
    assert len(ref.outline) == 48 and entry.time.endswith("Z")
    assert read_log(ReviewFolder(made).all_logs()[0]).entries[1] == entry


def test_added_cells_count_and_can_be_rejected_and_taken_back(opened):
    number = opened.add(SQUARE, reason="missed")
    assert number == 13 and opened.reviewed_cells == 5 and opened.counts.added == 1
    assert opened.outline(number).shape == (4, 2)
    assert (opened.y_um[-1], opened.x_um[-1]) == (206.0, 206.0)
    opened.reject(number)
    assert opened.reviewed_cells == 4
    opened.undo()
    assert opened.reviewed_cells == 5
    opened.undo()
    assert opened.reviewed_cells == 4 and not opened.exists[-1]
    assert opened.outline_of_added() == {}


def test_adding_a_candidate_accepts_it_instead_of_counting_twice(opened):
    number = opened.add(opened.outline(2) + 0.5)
    assert number == 2 and opened.verdict[1] == 1 and len(opened.cell) == 12
    assert "already a candidate" in opened.notices[-1]


def test_adding_the_same_cell_twice_counts_once(opened):
    assert opened.add(SQUARE) == opened.add(SQUARE + 0.5)
    assert opened.reviewed_cells == 5


def test_an_excluded_region_takes_its_cells_out_and_gives_them_back(opened):
    opened.accept(2)
    entry = opened.exclude([(20, 20), (20, 100), (40, 100), (40, 20)], reason="fold")
    assert opened.reviewed_cells == 3 and opened.excluded[:4].tolist() == [True] * 3 + [False]
    assert list(opened.regions) == [entry.hash] and opened.counts.excluded == 2
    opened.exclude(EVERYTHING, reason="all")
    assert opened.reviewed_cells == 0
    opened.undo(entry)
    assert opened.reviewed_cells == 0
    opened.undo()
    assert opened.reviewed_cells == 5 and not opened.excluded.any()


def test_a_cell_added_in_an_excluded_region_does_not_count(opened):
    opened.exclude(EVERYTHING, reason="all")
    opened.add(SQUARE)
    assert opened.reviewed_cells == 0
    opened.undo(opened.history[0])
    assert opened.reviewed_cells == 5


def test_undo_and_redo_without_limit(opened):
    start = arrays(opened)
    opened.reject(1)
    opened.exclude(EVERYTHING, reason="x")
    opened.add(SQUARE)
    opened.merge([1, 2])
    end = arrays(opened)
    for _ in range(4):
        assert opened.undo() is not None
    assert opened.undo() is None
    assert np.array_equal(opened.positive[:12], start[1])
    for _ in range(4):
        assert opened.redo() is not None
    assert opened.redo() is None
    assert same(arrays(opened), end)
    opened.undo()
    opened.accept(3)
    assert opened.redo() is None, "a new decision ends what can be brought back"


def test_what_was_decided_together_is_taken_back_together(made, opened):
    opened.reject([1, 4, 7])
    opened.accept([2, 3])
    assert opened.undo().target == opened.history[3].hash
    assert np.flatnonzero(opened.verdict).tolist() == [0, 3, 6]
    assert opened.redo() is not None
    assert opened.verdict[:7].tolist() == [2, 1, 1, 2, 0, 0, 2]
    assert opened.redo() is None
    opened.undo()
    opened.undo()
    assert not opened.verdict.any() and opened.undo() is None
    assert opened.redo() is not None and opened.redo() is not None and opened.redo() is None
    assert opened.verdict[:7].tolist() == [2, 1, 1, 2, 0, 0, 2]
    opened.undo(opened.history[1])  # one of three, named
    assert np.flatnonzero(opened.verdict).tolist() == [0, 1, 2, 6]
    opened.undo()
    opened.undo()  # the rest of the three
    assert not opened.verdict.any()
    opened.close()
    with ReviewSession.open(made, "s1", opened.reviewer) as again:
        assert not again.verdict.any()
        assert again.redo() is not None and np.flatnonzero(again.verdict).tolist() == [0, 6]


ACT = st.tuples(
    st.sampled_from(["accept", "reject"]),
    st.lists(st.integers(1, 12), min_size=1, max_size=6, unique=True),
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(ACT, max_size=8))
def test_undo_and_redo_go_through_the_states_that_there_were(opened, acts):
    opened.comment("a step that stays")
    known = len(opened.history)
    seen = [opened.verdict.tolist()]
    for name, cells in acts:
        getattr(opened, name)(cells)
        seen.append(opened.verdict.tolist())
    for state in reversed(seen[:-1]):
        assert opened.undo() is not None and opened.verdict.tolist() == state
    for state in seen[1:]:
        assert opened.redo() is not None and opened.verdict.tolist() == state
    assert opened.redo() is None
    for _ in acts:
        opened.undo()
    assert opened.verdict.tolist() == seen[0] and len(opened.history) >= known


def test_opening_again_shows_the_same(made, clock):
    with ReviewSession.open(made, "s1", "ana", clock=clock) as session:
        session.reject([1, 4])
        session.add(SQUARE)
        session.exclude([(20, 20), (20, 100), (40, 100), (40, 20)], reason="fold")
        session.undo(session.history[0])
        session.split([[1], [2, 3]])
        session.set_class([5, 6], "cluster")
        session.comment("odd", cells=3)
        before = arrays(session)
    with ReviewSession.open(made, "s1", "ana") as session:
        assert same(arrays(session), before) and session.notices == []


def test_edits_of_foci_name_cells(opened):
    opened.merge([1, 2])
    opened.split([[1], [2, 3]])
    opened.set_class([1], "cluster")
    assert [(e.kind, e.parts, e.value) for e in opened.focus_edits] == [
        ("merge", ((1, 2),), ""), ("split", ((1,), (2, 3)), ""), ("class", ((1,),), "cluster"),
    ]  # fmt: skip


def test_the_class_of_several_foci_is_taken_back_at_once(opened):
    opened.set_classes([[1], [2, 3]], "cluster")
    assert [(e.kind, e.parts) for e in opened.focus_edits] == [
        ("class", ((1,),)), ("class", ((2, 3),)),
    ]  # fmt: skip
    opened.undo()
    assert not opened.focus_edits
    with pytest.raises(InputError, match="Select a focus"):
        opened.set_classes([[1], []], "cluster")


def test_a_hidden_repeat_changes_nothing(opened):
    opened.accept(2)
    before = arrays(opened)
    opened.reject(2, repeat=True)
    assert same(arrays(opened), before) and opened.history[-1].is_repeat


def test_a_sign_off_holds_until_something_changes(opened):
    opened.reject(1)
    opened.sign_off()
    assert opened.signed_off
    opened.comment("done")
    assert opened.signed_off
    opened.reject(4)
    assert not opened.signed_off
    opened.undo()
    assert opened.signed_off, "the section is again as it was signed"
    opened.undo(opened.history[0])
    assert not opened.signed_off
    opened.redo()
    opened.merge([1, 2])
    assert not opened.signed_off


@pytest.mark.parametrize(
    ("act", "match"),
    [
        (lambda s: s.reject(99), "no cell 99"),
        (lambda s: s.reject([1, 99]), "no cell 99"),
        (lambda s: s.merge([1]), "at least two"),
        (lambda s: s.split([[1, 2]]), "at least two parts"),
        (lambda s: s.split([[1], [1, 2]]), "cells of its own"),
        (lambda s: s.split([[1], []]), "at least two parts"),
        (lambda s: s.set_class([], "cluster"), "Select a focus"),
        (lambda s: s.comment("  "), "needs words"),
        (lambda s: s.exclude(EVERYTHING, reason=" "), "needs a reason"),
        (lambda s: s.exclude(BOW_TIE, reason="x"), "crosses itself near y 50 µm, x 50 µm"),
        (lambda s: s.exclude(EVERYTHING[:2], reason="x"), "at least three corners"),
        (lambda s: s.add(BOW_TIE), "crosses itself"),
        (lambda s: s.add([(0, 0), (np.nan, 1), (1, 1)]), "not a finite number"),
        (lambda s: s.undo("nonsense"), "not in this reviewer's log"),
    ],
)
def test_what_cannot_be_is_refused_in_words_and_nothing_is_written(opened, made, act, match):
    before = arrays(opened)
    with pytest.raises(InputError, match=match):
        act(opened)
    assert opened.history == () and same(arrays(opened), before)
    assert len(read_log(ReviewFolder(made).all_logs()[0]).entries) == 1


def test_a_crossing_polygon_can_be_repaired_and_it_is_said(opened):
    entry = opened.exclude(BOW_TIE, reason="fold", repair=True)
    assert len(entry.polygons) == 2 and "2 pieces" in opened.notices[-1]


def test_reviewers_do_not_see_each_other(made):
    with ReviewSession.open(made, "s1", "ana") as ana, ReviewSession.open(made, "s1", "bo") as bo:
        ana.reject(1)
        bo.accept(2)
        assert bo.verdict[0] == 0 and ana.verdict[1] == 0
    assert len(ReviewFolder(made).all_logs()) == 2


def test_two_windows_of_one_reviewer_come_together(made):
    with ReviewSession.open(made, "s1", "ana") as one, ReviewSession.open(made, "s1", "ana") as two:
        one.reject(1)
        two.reject(4)
        assert two.verdict[[0, 3]].tolist() == [2, 2] and "another window" in two.notices[-1]
        one.comment("look again")
        assert same(arrays(one), arrays(two))


def test_a_re_run_while_it_is_open_is_said_and_the_decision_is_found_again(made, remake):
    with ReviewSession.open(made, "s1", "ana") as session:
        session.reject(1)
        places = np.column_stack([session.y_um, session.x_um])
        remake(made, places + 0.4, np.arange(12) % 3 == 0, key="b" * 64, radius=5.5,
               order=np.arange(12)[::-1])  # fmt: skip
        session.reject(4)
        assert "counted again" in session.notices[-1]
        session.reject(7)
        assert len(session.notices) == 1, "said once"
    with ReviewSession.open(made, "s1", "ana") as session:
        found = np.column_stack([session.y_um, session.x_um])[session.verdict == 2]
        expected = places[[6, 3, 0]] + 0.4
        assert np.allclose(found, expected), "in the new order, from the bottom"
        assert session.notices == []


def test_decisions_about_cells_that_are_gone_are_kept_and_said(made, remake):
    with ReviewSession.open(made, "s1", "ana") as session:
        session.reject([1, 4])
        session.merge([1, 7])
    remake(made, [(30.0, 120.0), (500.0, 500.0)], [True, True], key="b" * 64)
    with ReviewSession.open(made, "s1", "ana") as session:
        assert session.verdict.tolist() == [2, 0], "cell 4 was at (30, 120)"
        assert "no longer there: 2." in session.notices[0] and len(session.unmatched) == 2
        assert len(session.history) == 3


def test_one_cell_where_there_were_two_gets_no_verdict_of_either(made, remake):
    remake(made, [(30.0, 30.0), (30.0, 41.0)], [True, True])
    with ReviewSession.open(made, "s1", "ana") as session:
        session.reject(1)
        session.accept(2)
    remake(made, [(30.0, 35.5)], [True], key="b" * 64, radius=11.5)
    with ReviewSession.open(made, "s1", "ana") as session:
        assert session.verdict.tolist() == [0] and len(session.unmatched) == 2


def test_an_added_cell_that_is_found_now_does_not_count_twice(made, remake):
    with ReviewSession.open(made, "s1", "ana") as session:
        session.add(SQUARE)
    remake(made, [*[(30.0 * (i + 1), 600.0) for i in range(3)], (206.0, 206.0)],
           [True, True, True, False], key="b" * 64)  # fmt: skip
    with ReviewSession.open(made, "s1", "ana") as session:
        assert len(session.cell) == 4 and session.verdict[3] == 1 and session.reviewed_cells == 4


def test_results_that_cannot_be_reviewed_say_why(made, tmp_path):
    with pytest.raises(ResultsError, match="was not counted"):
        ReviewSession.open(made, "s2", "ana")
    with pytest.raises(ResultsError, match="was not counted"):
        ReviewSession.open(tmp_path / "nowhere", "s1", "ana")
    frame = pd.read_parquet(made / "cells.parquet")
    frame.drop(columns=["outline", "score"]).to_parquet(made / "cells.parquet")
    with pytest.raises(ResultsError, match=r"no column score, outline.*older version"):
        ReviewSession.open(made, "s1", "ana")
    (made / "cells.parquet").write_bytes(b"damaged")
    with pytest.raises(ResultsError, match="cannot be read"):
        ReviewSession.open(made, "s1", "ana")


def test_a_section_without_candidates_can_be_reviewed(made, remake):
    remake(made, np.zeros((0, 2)), np.zeros(0, bool))
    with ReviewSession.open(made, "s1", "ana") as session:
        assert session.add(SQUARE) == 1 and session.reviewed_cells == 1
    with ReviewSession.open(made, "s1", "ana") as session:
        assert session.reviewed_cells == 1


def test_what_stands_behind_a_break_can_be_adopted(made):
    with ReviewSession.open(made, "s1", "ana") as session:
        for cell in (1, 4, 7, 10):
            session.reject(cell)
    path = ReviewFolder(made).all_logs()[0]
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2] + lines[3:]))
    with ReviewSession.open(made, "s1", "ana") as session:
        assert session.reviewed_cells == 4 and any("breaks" in text for text in session.notices)
        session.adopt_untrusted()
        assert np.flatnonzero(session.verdict == 2).tolist() == [0, 6, 9]
        assert session.adopt_untrusted() == []
    with ReviewSession.open(made, "s1", "ana") as session:
        assert session.reviewed_cells == 1


def test_marks_of_a_section(made):
    with ReviewSession.open(made, "s1", Reviewer("ana", "x")) as session:
        session.reject([1, 2])
        session.undo(session.history[1])
        session.comment("hm")
        session.sign_off()
    with ReviewSession.open(made, "s1", Reviewer("bo", "y")) as session:
        session.reject(1)
    marks = review_marks(made)
    assert [(m.section, m.reviewer, m.decisions, m.signed_off) for m in marks] == [
        ("s1", "ana", 1, True), ("s1", "bo", 1, False),
    ]  # fmt: skip


CHILD = """
import sys
from pathlib import Path
from fociquant.review import ReviewSession, Reviewer
with ReviewSession.open(Path(sys.argv[1]), "s1", Reviewer("ana", "desk")) as session:
    for cell in range(1, 13):
        session.reject(cell)
        print(cell, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_nothing_is_lost_when_the_program_is_killed_between_two_decisions(made):
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(made)], stdout=subprocess.PIPE,
                             stdin=subprocess.PIPE, text=True)  # fmt: skip
    seen = [int(child.stdout.readline()) for _ in range(7)]
    os.kill(child.pid, signal.SIGKILL)
    seen += [int(text) for text in child.stdout.read().split()]
    child.wait()
    child.stdout.close()
    child.stdin.close()
    with ReviewSession.open(made, "s1", Reviewer("ana", "desk")) as session:
        assert (session.verdict[np.array(seen) - 1] == 2).all()
        session.accept(1)
        assert session.verdict[0] == 1


def test_the_log_is_plain_json(opened, made):
    opened.reject(1, reason="Ähnlich wie Zelle 4")
    line = ReviewFolder(made).all_logs()[0].read_text(encoding="utf-8").splitlines()[1]
    assert json.loads(line)["reason"] == "Ähnlich wie Zelle 4"


def test_people_of_one_name_are_told_apart_by_their_computers(made):
    for name, station in (("Ana", "x"), ("ana", "y"), ("bo", "z")):
        with ReviewSession.open(made, "s1", Reviewer(name, station)) as session:
            session.reject(1)
    assert {at for _, at in namesakes(made, "ANA")} == {"x", "y"}
    assert namesakes(made, "cy") == set()


def test_comments_are_listed_with_what_they_are_about(opened):
    cells = [int(cell) for cell in opened.cell[:2]]
    opened.comment("  torn edge ")
    opened.comment("pair", cells=cells)
    assert [(e.reason, rows.tolist()) for e, rows in opened.comments] == [
        ("torn edge", []), ("pair", [0, 1])
    ]  # fmt: skip
    opened.undo()
    assert len(opened.comments) == 1
    with pytest.raises(InputError, match="at most 4000"):
        opened.comment("x" * 4001)


def test_hidden_repeats_are_remembered_and_taken_back(opened):
    cell = int(opened.cell[3])
    opened.accept(cell)
    opened.reject(cell, repeat=True)
    assert opened.second_looks == {3: 2} and opened.verdict[3] == 1
    opened.accept(cell, repeat=True)
    assert opened.second_looks == {3: 1}
    opened.undo()
    assert opened.second_looks == {3: 2}
    opened.undo()
    assert opened.second_looks == {} and opened.verdict[3] == 1


def test_a_results_folder_that_is_gone_is_not_made_again(made, opened):
    opened.reject(1)
    away = made.with_name("unplugged")
    made.rename(away)
    with pytest.raises(DiskError, match="not there any more"):
        opened.reject(2)
    assert not made.exists() and opened.counts.rejected == 1
    away.rename(made)
    opened.reject(2)
    assert opened.counts.rejected == 2
    [log] = ReviewFolder(made).all_logs()
    assert not read_log(log).problems and len(read_log(log).entries) == 3


def test_marks_follow_a_log_that_grows(made, opened):
    opened.reject(1)
    assert [mark.decisions for mark in review_marks(made)] == [1]
    opened.reject(2)
    opened.sign_off()
    assert [(mark.decisions, mark.signed_off) for mark in review_marks(made)] == [(2, True)]


def test_each_of_many_decisions_has_its_outline(opened, monkeypatch):
    monkeypatch.setattr("fociquant.review.shown.LONG_LIST", 1)
    assert all(entry.cells[0].outline for entry in opened.reject([1, 2, 3]))


def test_cells_and_hidden_repeats_are_decided_and_taken_back_at_once(opened):
    entries = opened.reject([1, 2, 2], repeat=[False, False, True])
    assert [entry.is_repeat for entry in entries] == [False, False, True]
    assert opened.counts.rejected == 2 and len(opened.second_looks) == 1
    opened.undo()
    assert opened.counts.rejected == 0 and not opened.second_looks
    with pytest.raises(ValueError, match="shorter"):
        opened.accept([1, 2], repeat=[True])
    assert opened.counts.accepted == 0
