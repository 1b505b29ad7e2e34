"""Who reviewed what and whether blind, comments, logs of which nothing is applied."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from fociquant import reading
from fociquant.cli import main
from fociquant.errors import ResultsError, UnreadableError
from fociquant.review import (
    Action,
    LogWriter,
    Reviewer,
    ReviewFolder,
    ReviewSession,
    read_log,
    unblind,
)
from fociquant.review.decisions import Draft
from fociquant.review.reviewers import AUDIT, STUDY
from fociquant.run import study as corridor
from fociquant.run.audit import audit_settings, draw, estimate
from fociquant.run.reporting import report
from fociquant.run.study import recount
from fociquant.store import read_csv

ANA, BO = Reviewer("ana", "desk-1"), Reviewer("bo", "desk-2")


def mice(folder):
    return read_csv(folder / "mice.csv", text=("mouse", "group", "reviewed")).set_index("mouse")


@pytest.fixture
def reported(results, monkeypatch):
    """Results whose report is drawn."""
    monkeypatch.setattr(corridor, "report", report)
    return results


def test_reviewers_and_whether_they_were_blind(results):
    recount(results)
    times = iter(f"2026-03-01T10:00:{n:02d}.000Z" for n in range(60))
    for who, section in ((ANA, "s0"), (BO, "s0"), (ANA, "s1")):
        if section == "s1":
            unblind(results, Reviewer("Ana", "desk-9"), reason="finished")
        with ReviewSession.open(results, section, who, clock=lambda: next(times)) as session:
            session.reject(int(session.cell[0]))
            if who is BO:
                session.sign_off()
    recount(results)
    table = pd.read_csv(results / "review" / "reviewers.csv")
    table = table.set_index(["section", "reviewer"])
    assert table.loc[("s0", "bo"), ["status", "blinded"]].tolist() == ["signed off", "yes"]
    assert table.loc[("s0", "ana"), ["status", "decisions"]].tolist() == ["begun", 1]
    # Unblinded at another desk, before: she may have known.
    assert table["unblinded"].notna().tolist() == [True, False, True]
    said = pd.read_csv(results / "review" / "decisions.csv")
    assert said[said["section"].isna()][["action", "reason"]].values.tolist() == [
        ["unblind", "finished"]
    ]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [("09:00", "no"), ("10:02", "partly"), ("10:05", "no"), ("23:00", "yes")],
)
def test_blind_means_before_names_were_seen(results, seen, expected):
    recount(results)
    start = "10:05" if seen == "10:05" else "10:00"
    times = iter([f"2026-03-01T{start}:00.000Z"] * 2 + [f"2026-03-01T{start}:30.000Z"]
                 + ["2026-03-01T10:10:00.000Z"])  # fmt: skip
    with ReviewSession.open(results, "s0", ANA, clock=lambda: next(times)) as session:
        session.reject(int(session.cell[0]))
        session.accept(int(session.cell[0]))
        session.accept(int(session.cell[1]))
    with LogWriter(
        ReviewFolder(results), STUDY, ANA, clock=lambda: f"2026-03-01T{seen}:00.000Z"
    ) as log:
        log.append([Draft(Action.UNBLIND, {}, "look")])
    recount(results)
    assert pd.read_csv(results / "review" / "reviewers.csv")["blinded"].tolist() == [expected]


def test_comments_are_a_table_in_the_report_and_in_excel(reported):
    recount(reported)
    with ReviewSession.open(reported, "s0", ANA) as session:
        cells = [int(cell) for cell in session.cell[:2]]
        session.comment("a fold <b>runs</b> through,\nlook again")
        session.comment("=odd shape", cells=cells[0])
        session.comment("two of a kind", cells=cells)
        session.comment("no, forget it")
        session.undo()
        assert [rows.tolist() for _, rows in session.comments] == [[], [0], [0, 1]]
        before = session.reviewed_cells
    recount(reported)
    table = read_csv(reported / "review" / "comments.csv", text=("comment",))
    assert table["cell"].fillna(0).tolist() == [0, cells[0], cells[0]]
    assert len(table) == 3 and table["comment"].str.contains("forget").sum() == 0
    page = (reported / "report.html").read_text()
    assert "Comments of reviewers" in page and "a fold &lt;b&gt;runs" in page
    assert mice(reported).loc["a", "cells"] == before
    with pytest.raises(SystemExit) as ended:
        main(["export", str(reported), "--to", "xlsx"])
    assert ended.value.code == 0
    [book] = reported.rglob("*.xlsx")
    sheets = pd.read_excel(book, sheet_name=None)
    assert len(sheets["comments"]) == 3 and sheets["reviewers"]["comments"].tolist() == [3]
    with ReviewSession.open(reported, "s0", ANA) as session:
        for _ in range(3):
            session.undo()
    recount(reported)
    assert not (reported / "review" / "comments.csv").exists()


def test_a_log_that_cannot_be_used_at_all_is_said(results):
    recount(results)
    with ReviewSession.open(results, "s0", ANA) as session:
        session.reject(int(session.cell[0]))
    [log] = (results / "review" / "decisions").glob("*.jsonl")
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0].replace(b'"ana"', b'"eve"') + lines[1])
    newer = log.with_name(log.name.replace("s0--", "s1--"))
    newer.write_bytes(lines[0].replace(b'"format":1', b'"format":99'))
    recount(results)
    assert mice(results).loc["a", "cells"] == 4
    warned = pd.read_csv(results / "sections.csv").set_index("section")["warnings"]
    assert "decisions that are not applied" in warned["s0"]
    assert f": review/decisions/{newer.name} was written by a newer version" in warned["s1"]
    assert str(results) not in (results / "sections.csv").read_text()
    table = pd.read_csv(results / "review" / "reviewers.csv")
    assert table["status"].tolist() == ["not read", "not read"]
    assert table["section"].tolist() == ["s0", "s1"]


def test_a_review_that_is_not_finished_is_told_as_such(reported):
    recount(reported)
    assert "Nobody has reviewed them" in (reported / "report.html").read_text()
    with ReviewSession.open(reported, "s0", ANA) as session:
        session.reject(int(session.cell[session.positive][0]))
    recount(reported)
    page = (reported / "report.html").read_text()
    assert "Nobody has reviewed" not in page and "not corrected by hand" not in page
    assert "the decisions made so far are in the counts" in page


def rejected(results):
    """Results of which ana rejected one cell, and her log."""
    with ReviewSession.open(results, "s0", ANA) as session:
        session.reject(int(session.cell[session.positive][0]))
    recount(results)
    assert mice(results).loc["a", "cells"] == 3
    [log] = (results / "review" / "decisions").glob("*.jsonl")
    return log


class BadDrive:
    """Stands for a function of the system that fails so many times at one place."""

    def __init__(self, real, place, times):
        self.real, self.place, self.left = real, place, times

    def __call__(self, path, *args, **kwargs):
        if Path(path) == self.place and self.left:
            self.left -= 1
            raise OSError(5, "Input/output error", str(path))
        return self.real(path, *args, **kwargs)


@pytest.mark.parametrize("of", ["the log", "its folder"])
def test_a_bad_moment_of_the_drive_drops_nobodys_decisions(of, results, monkeypatch):
    log = rejected(results)
    before = (results / "cells.parquet").read_bytes()
    monkeypatch.setattr(reading, "WAITS_S", (0.0, 0.0))
    owner, name, place = {
        "the log": (Path, "read_bytes", log), "its folder": (os, "listdir", log.parent),
    }[of]  # fmt: skip
    for times in (1, 2):
        bad = BadDrive(getattr(owner, name), place, times)
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, lambda path, bad=bad: bad(path))
            recount(results)
        assert bad.left == 0
        assert (results / "cells.parquet").read_bytes() == before
    bad = BadDrive(getattr(owner, name), place, 100)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, lambda path: bad(path))
        with pytest.raises(UnreadableError, match=r"cannot be read: Input/output error\. Check"):
            recount(results)
    assert (results / "cells.parquet").read_bytes() == before


def test_a_folder_that_is_called_like_a_log_is_none(results):
    log = rejected(results)
    odd = log.with_name("s1--odd.jsonl")
    odd.mkdir()
    with pytest.raises(ResultsError, match="is a folder and no log"):
        read_log(odd)
    recount(results)
    assert mice(results).loc["a", "cells"] == 3
    assert "no log of decisions" in read_csv(results / "sections.csv")["warnings"][1]


@pytest.mark.parametrize("name", [AUDIT, STUDY])
def test_an_unusable_log_of_no_section_is_said_in_the_outcome(name, results):
    log = rejected(results)
    assert recount(results).tables.not_read == ()
    first = log.read_bytes().splitlines(keepends=True)[0]
    newer = log.with_name(f"{name}--eve-00000000.jsonl")
    newer.write_bytes(first.replace(b'"format":1', b'"format":99'))
    [told] = recount(results).tables.not_read
    assert told.startswith(f"review/decisions/{newer.name} was written by a newer version")
    draw(results, seed=1, settings=audit_settings(results))
    notes = " ".join(estimate(results).notes)
    assert (f"verdicts that are not applied: {told}" in notes) == (name == AUDIT)


def test_a_damaged_log_of_the_audit_is_said_in_the_outcome(results):
    recount(results)
    path = ReviewFolder(results).log(AUDIT, ANA)
    with LogWriter(ReviewFolder(results), AUDIT, ANA) as writer:
        writer.append([Draft(Action.COMMENT, reason="the first")])
    with path.open("ab") as file:
        file.write(b"torn")
    [told] = recount(results).tables.not_read
    assert told.startswith(path.name) and "is torn" in told
