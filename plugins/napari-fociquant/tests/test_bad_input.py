"""Bad input is said in plain words in the window; no decision is lost or moved."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from qtpy.QtWidgets import QMessageBox

from fociquant.review import Reviewer, ReviewSession

BUSY = "cut-mouse-bravo"


def said(bench) -> str:
    return "\n".join(bench.desk.notices)


def decide_two(bench, results):
    """Two decisions and the path of their log."""
    bench.open(results, BUSY)
    bench.gallery.filter.setCurrentText("counted")
    bench.gallery.act("reject")
    bench.gallery.act("reject")
    bench.desk.close_section()
    [log] = (results / "review" / "decisions").glob("*.jsonl")
    return log


def test_logs_that_were_cut_off_or_changed(bench, results, qtbot):
    log = decide_two(bench, results)
    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)

    log.write_bytes(whole[:-20])  # the disk was full in the middle of the last line
    bench.open(results, BUSY)
    assert "torn" in said(bench)
    assert bench.desk.section.session.counts.rejected == 1
    bench.desk.close_section()

    edited = lines[1].replace(b'"reject"', b'"accept"')
    log.write_bytes(lines[0] + edited + lines[2])
    bench.open(results, BUSY)
    assert "edited after it was written" in said(bench)
    assert bench.desk.section.session.counts.rejected == 1
    bench.desk.close_section()

    log.write_bytes(lines[0] + lines[2])  # a line was taken out
    bench.open(results, BUSY)
    assert "the chain of entries breaks" in said(bench)
    assert bench.desk.section.session.counts.rejected == 0
    assert log.read_bytes() == lines[0] + lines[2]  # kept as it is


def test_decisions_that_are_not_trusted_are_looked_through_and_adopted(
    bench, results, qtbot, monkeypatch
):
    log = decide_two(bench, results)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0] + lines[2])  # a line was taken out
    bench.open(results, BUSY)
    button = bench.study.sections.buttons["adopt"]
    assert button.isVisibleTo(bench.study.sections)
    seen = []

    def agree(box):
        seen.append(box.detailedText())
        next(one for one in box.buttons() if "again" in one.text()).click()

    monkeypatch.setattr(QMessageBox, "exec", agree)
    button.click()
    assert "reject at y" in seen[0]
    session = bench.desk.section.session
    assert session.counts.rejected == 1 and not session.adoptable
    assert not button.isVisibleTo(bench.study.sections)
    assert log.read_bytes() == lines[0] + lines[2]  # kept as it is; the new one goes on from it
    assert bench.desk.open_section(bench.desk.blinding.code_of(BUSY))
    assert bench.desk.section.session.counts.rejected == 1


def test_two_people_of_one_name_are_told(bench, results, qtbot):
    with ReviewSession.open(results, BUSY, Reviewer("Rita", "another desk")) as session:
        session.reject(int(session.cell[0]))
    assert bench.desk.open_results(results)
    assert "on another computer or account" in said(bench)
    assert bench.desk.open_section(bench.desk.blinding.code_of(BUSY))
    assert bench.desk.section.session.counts.rejected == 0  # hers are not mine
    table = bench.study.sections.table
    others = [table.item(row, 4).text() for row in range(table.rowCount())]
    assert sorted(others) == ["", "1"]
    bench.desk.set_reviewer("zoe")
    assert said(bench).count("on another computer") == 1


def test_images_that_moved_or_changed(bench, results, qtbot, tmp_path):
    pixels = results.parent / "pixels"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(pixels, elsewhere / "pixels")
    bench.open(results, BUSY)
    assert "not where it was" in said(bench)
    assert "Cells" in bench.viewer.layers  # objects can be reviewed all the same
    assert "HER2" not in bench.viewer.layers
    bench.gallery.act("reject")
    assert bench.desk.section.session.counts.rejected == 1

    bench.desk.set_image_folder(elsewhere)
    assert "HER2" in bench.viewer.layers
    assert bench.desk.section.session.counts.rejected == 1
    bench.desk.close_section()

    other = elsewhere / "pixels" / "scan-mouse-alpha.ome.tif"
    shutil.copy(other, elsewhere / "pixels" / "scan-mouse-bravo.ome.tif")
    bench.open(results, BUSY)
    assert "has changed since it was counted" in said(bench)
    assert "HER2" not in bench.viewer.layers


def test_results_that_another_version_made_or_that_are_none(bench, results, qtbot, tmp_path):
    record = json.loads((results / "run.json").read_text())
    (results / "run.json").write_text(json.dumps(record | {"format": 0, "fociquant": "0.0.1"}))
    assert not bench.desk.open_results(results)
    assert "another version of fociquant (0.0.1)" in said(bench)
    assert not bench.desk.open_results(tmp_path)
    assert "holds no results" in said(bench)


def test_a_run_that_counts_again_while_the_window_is_open(bench, results, qtbot):
    bench.open(results, BUSY)
    bench.gallery.act("reject")
    state = results / "sections" / BUSY / "section.json"
    content = json.loads(state.read_text())
    state.write_text(json.dumps(content | {"key": "0" * 64}))
    os.utime(state, (1, 1))
    bench.gallery.act("reject")
    assert "was counted again" in said(bench)
    assert len(bench.desk.section.session.history) == 2  # both are kept


def test_nobody_decides_without_a_name(bench, results, qtbot):
    bench.desk.set_reviewer("")
    assert bench.desk.open_results(results)
    assert not bench.desk.open_section(bench.desk.blinding.code_of(BUSY))
    assert "Write your name" in said(bench)


def test_a_disk_that_takes_no_more_loses_nothing_silently(bench, results, qtbot, monkeypatch):
    bench.open(results, BUSY)
    session = bench.desk.section.session
    before = session.reviewed_cells
    bench.gallery.filter.setCurrentText("counted")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        bench.gallery.act("reject")
        assert bench.gallery.grid.currentIndex().row() == 0  # does not go on
        bench.gallery.reason.setCurrentText("debris")
        bench.queue.next_item(1)
        bench.queue.act("reject")
        assert bench.queue.table.currentIndex().row() == 0
    assert session.reviewed_cells == before
    assert "No space left" in said(bench)
    assert bench.gallery.reason.currentText() == "debris"  # to be used when there is space


@pytest.mark.parametrize("section", ["cut-mouse-alpha"])
def test_a_section_with_few_cells_opens(bench, results, section):
    bench.open(results, section)
    assert bench.desk.section.session.section == section
    bench.queue.act("split")
    assert "Select one focus" in said(bench)
    bench.queue.act("merge")
    assert "at least two foci" in said(bench)
