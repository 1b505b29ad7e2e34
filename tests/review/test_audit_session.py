"""Judging the sample: logged at once, resumed, taken back; the sheet gives the same counts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import shapely

from fociquant.errors import InputError
from fociquant.review import (
    AuditSession,
    Reviewer,
    ReviewFolder,
    audit_agreement,
    audit_verdicts,
    draw_audit,
    estimate_audit,
    read_design,
    read_logs,
    review_marks,
    settle_verdicts,
    with_surroundings,
    write_design,
)
from fociquant.review.audit_design import ACCEPTED, FIELD_COLUMNS, OBJECT_COLUMNS, REJECTED, TISSUE
from fociquant.run import audit as run_audit
from fociquant.run.study import recount
from fociquant.store import read_csv, write_csv

TRIANGLE = np.array([0, 0, 0, 5, 5, 5.0])


def sample(seed=1, created="2026-03-01T00:00:00.000Z"):
    """Six objects and two fields of one mouse."""
    objects = pd.DataFrame(
        [("s1", "a", "IAV", 9.0, n + 1, 30.0 * n, 20.0, TRIANGLE, n < 3) for n in range(6)],
        columns=list(OBJECT_COLUMNS),
    )
    fields = pd.DataFrame(
        [("s1", "a", "IAV", 9.0, 0.0, x, 200.0, x + 200.0, 0.04) for x in (0.0, 200.0)],
        columns=list(FIELD_COLUMNS),
    )
    sizes = {ACCEPTED: 10, REJECTED: 10, TISSUE: 10}
    design = draw_audit(objects, fields, keys={"s1": "k"}, sizes=sizes, seed=seed, created=created)
    return with_surroundings(design, objects, {"s1": shapely.box(150, 0, 400, 50)})


@pytest.fixture()
def sampled(made):
    write_design(made, sample())
    return made


def fields_of(design):
    return [item for item in design.items if item.is_field]


def test_outlines_of_another_section_are_not_those_of_a_field():
    objects = pd.DataFrame({"section": ["s2"], "y_um": [20.0], "x_um": [20.0],
                            "outline": [TRIANGLE]})  # fmt: skip
    alone = with_surroundings(sample(), objects, {})
    assert [item.outlines for item in fields_of(alone)] == [(), ()]
    own = with_surroundings(sample(), objects.assign(section="s1"), {})
    assert any(item.outlines for item in fields_of(own))


def test_a_design_keeps_what_must_be_seen_to_judge_its_fields(sampled):
    design = read_design(sampled)
    left = next(item for item in fields_of(design) if item.box[1] == 0.0)
    right = next(item for item in fields_of(design) if item.box[1] == 200.0)
    assert len(left.outlines) == 6 and right.outlines == ()
    cut = shapely.Polygon(np.array(right.left_out[0]).reshape(-1, 2)[:, ::-1])
    assert cut.equals(shapely.box(200, 0, 400, 50))
    assert all(item.outlines == () for item in design.items if not item.is_field)
    assert design.draw == sample().draw


def test_verdicts_are_logged_at_once_and_there_again(sampled, clock):
    with AuditSession.open(sampled, "ana", clock=clock) as session:
        order = [item.id for item in session.design.items]
        one, two, three = order[:3]
        session.judge(one, 0)
        session.judge(two, None)
        session.judge(one, 0 if session.design.items[0].is_field else 1)
        [log] = ReviewFolder(sampled).all_logs()
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [line["action"] for line in lines] == ["open", "audit", "audit", "audit"]
        assert all("object" in line or "polygons" in line for line in lines[1:])
        assert session.unsure == 1 and len(session.waiting) == len(order) - 2
    with AuditSession.open(sampled, "ana", clock=clock) as again:
        assert set(again.verdicts) == {one, two} and again.verdicts[two] is None
        assert [item.id for item in again.waiting] == order[2:]
        assert not again.finished
        assert again.undo() == one and again.verdicts[one] == 0
        assert again.undo() == two and again.undo() == one and again.undo() == ""
        assert not again.verdicts
        again.judge(three, 0)
    with AuditSession.open(sampled, "bo", clock=clock) as other:
        assert not other.verdicts, "reviewers are independent"
    assert review_marks(sampled) == [], "the sample is no section"


def test_what_cannot_be_is_refused_and_nothing_is_written(sampled):
    with AuditSession.open(sampled, "ana") as session:
        object_ = next(i.id for i in session.design.items if not i.is_field)
        field = fields_of(session.design)[0].id
        for item, value, match in (
            ("A9999", 1, "no item 'A9999'"), (object_, 2, r"cancer cell\) or 0"),
            (object_, -1, "cannot be"), (field, -1, "missed cells"), (field, 10**6, "missed cells"),
            (field, 1.5, "missed cells"), (object_, True, "cannot be"),
        ):  # fmt: skip
            with pytest.raises(InputError, match=match):
                session.judge(item, value)
        with pytest.raises(InputError, match="no item"):
            session.judge_all({field: 3, "A9999": 1})
        assert not session.verdicts
    assert len(ReviewFolder(sampled).all_logs()[0].read_text().splitlines()) == 1


def test_verdicts_on_an_earlier_draw_do_not_count(sampled, clock):
    with AuditSession.open(sampled, "ana", clock=clock) as session:
        session.judge_all(dict.fromkeys((item.id for item in session.design.items), 0))
        assert session.finished
    again = sample(seed=2)
    write_design(sampled, again)
    logs, _ = read_logs(sampled)
    assert audit_verdicts(again, logs)["ana", Reviewer("ana").station] == {}
    with AuditSession.open(sampled, "ana", clock=clock) as session:
        assert not session.verdicts and session.undo() == ""
    old = sample()
    assert len(audit_verdicts(old, logs)["ana", Reviewer("ana").station]) == len(old.items)


def test_two_windows_of_one_person_take_turns(sampled):
    with AuditSession.open(sampled, "ana") as one, AuditSession.open(sampled, "ana") as two:
        first, second = (item.id for item in one.design.items[:2])
        one.judge(first, 0)
        two.judge(second, None)
        assert two.verdicts == {first: 0, second: None}
        assert "another window" in two.notices[-1]


def test_a_broken_log_is_said_and_an_undo_reaches_behind_it(sampled, clock):
    with AuditSession.open(sampled, "ana", clock=clock) as session:
        ids = [item.id for item in session.design.items[:4]]
        for item in ids:
            session.judge(item, 0)
        path = ReviewFolder(sampled).all_logs()[0]
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3] + lines[4:]))
    with AuditSession.open(sampled, "ana", clock=clock) as session:
        assert "chain of entries breaks" in session.notices[0]
        assert session.verdicts == {ids[0]: 0}
        session.judge(ids[1], None)
        assert session.undo() == ids[1] and session.undo() == ids[0]
    logs, _ = read_logs(sampled)
    assert audit_verdicts(sample(), logs)["ana", Reviewer("ana").station] == {}


def test_who_cannot_say_has_no_vote_and_the_note_says_how_many_there_are():
    design = sample()
    objects = [item.id for item in design.items if not item.is_field]
    field = fields_of(design)[0].id
    people = {("ana", ""): {objects[0]: None, objects[1]: None, field: None},
              ("bo", ""): {objects[0]: 1, objects[1]: None, field: 4}}  # fmt: skip
    settled = settle_verdicts(design, people)
    assert settled == {objects[0]: 1, objects[1]: None, field: 4}
    [(_, _, kappa)] = audit_agreement(design, people)
    assert kappa.n == 0
    every = dict.fromkeys(objects, 1) | {objects[1]: None}
    estimate = estimate_audit(design, every | {item.id: 0 for item in fields_of(design)})
    assert estimate.rates["cannot_say"].sum() == 1
    assert any("could not be said" in note for note in estimate.notes)
    assert not any("not judged yet" in note for note in estimate.notes)


def test_the_log_gives_the_counts_that_the_sheet_gives(results, tmp_path):
    recount(results)
    # Several fields in each arm: of one nobody can say, and without any there is no count.
    settings = run_audit.audit_settings(results).model_copy(update={"audit_field_um": 50.0})
    design = run_audit.draw(results, seed=4, settings=settings)
    assert any(item.outlines for item in fields_of(design))
    rng = np.random.default_rng(2)
    verdicts = {i.id: int(rng.integers(0, 4 if i.is_field else 2)) for i in design.items}
    verdicts[next(i.id for i in design.items if i.kind == REJECTED or i.is_field)] = None
    sheet = tmp_path / "audit.csv"
    run_audit.write_sheet(results, sheet)
    table = read_csv(sheet, text=("item", "code", "what", "verdict"))
    table["verdict"] = ["?" if verdicts[i] is None else str(verdicts[i]) for i in table["item"]]
    write_csv(sheet, table)
    assert run_audit.read_sheet(results, sheet, Reviewer("ana")) == len(verdicts)
    assert run_audit.read_sheet(results, sheet, Reviewer("ana")) == 0
    from_sheet = run_audit.estimate(results)
    for log in ReviewFolder(results).all_logs():
        log.unlink()
    with AuditSession.open(results, "rita") as session:
        for item in session.design.items:
            session.judge(item.id, verdicts[item.id])
        assert session.finished
    from_log = run_audit.estimate(results)
    for name in ("mice", "groups", "rates"):
        pd.testing.assert_frame_equal(getattr(from_sheet, name), getattr(from_log, name))
    recount(results)
    mice = read_csv(results / "mice.csv", text=("mouse",)).set_index("mouse")
    for row in from_log.mice.to_dict(orient="records"):
        # The table has four decimals; two empty numbers would not be the same.
        written = mice.loc[row["mouse"], "cells_corrected"]
        assert written == pytest.approx(row["cells_corrected"], abs=5e-5)


CHILD = """
import sys
from pathlib import Path
from fociquant.review import AuditSession
with AuditSession.open(Path(sys.argv[1]), "ana") as session:
    while True:
        for item in session.design.items:
            session.judge(item.id, 0)
            print(item.id, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_nothing_is_lost_when_the_program_is_killed_between_two_verdicts(sampled):
    command = [sys.executable, "-c", CHILD, str(sampled)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    told = [child.stdout.readline() for _ in range(60)]
    os.kill(child.pid, signal.SIGKILL)
    told += child.communicate()[0].splitlines()
    logs, problems = read_logs(sampled)
    written = [entry for entry in logs[0].entries if entry.content.get("item")]
    assert len(told) <= len(written) + 1  # the last line may be half a word
    assert not problems
    assert not [text for log in logs for text in log.problems if "torn" not in text]
    with AuditSession.open(sampled, "ana") as session:
        assert session.finished
