"""A sample judged in the window: drawn, seen, logged at once, resumed, and what came of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from fociquant.review import AuditSession, read_design
from napari_fociquant._qt.audit_canvas import outlines_of

BUSY = "cut-mouse-bravo"


@pytest.fixture(scope="session")
def drawn(counted, tmp_path_factory) -> Path:
    """Counted sections with a small sample, drawn once by the command line.

    Cells smaller than most are rejected, so that there are some to judge.
    """
    folder = tmp_path_factory.mktemp("drawn") / "study-secret"
    shutil.copytree(counted, folder)
    study = folder / "study.yaml"
    study.write_text(study.read_text(encoding="utf-8") + "gate: {min_area_um2: 90}\n")
    subprocess.run(
        [sys.executable, "-m", "fociquant", "run", str(study), "--out", str(folder / "results"),
         "--quiet"],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "fociquant", "audit", str(folder / "results"), "--draw", "--seed=3",
         "--accepted=4", "--rejected=4", "--fields=2"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def sampled(drawn, tmp_path) -> Path:
    """A copy of the results with the sample."""
    target = tmp_path / "study-secret"
    shutil.copytree(drawn, target)
    return target / "results"


def begin(bench, results, qtbot):
    """Open the results and begin to judge."""
    if bench.desk.results is None:
        assert bench.desk.open_results(results), bench.desk.notices
    bench.audit.sample.begin.click()
    assert bench.audit.judging.session is not None, bench.desk.notices
    return seen(bench, qtbot)


def seen(bench, qtbot):
    """Wait until the item is to be seen."""
    audit = bench.audit
    qtbot.waitUntil(lambda: audit.judging.picture() is not None, timeout=20_000)
    assert audit.canvas.ready
    return audit.judging.item


def lines_of(results):
    logs = (results / "review" / "decisions").glob("_audit*.jsonl")
    lines = [json.loads(line) for log in logs for line in log.read_text("utf-8").splitlines()]
    return [line for line in lines if line["action"] != "open"]


def test_from_the_draw_to_the_corrected_counts(bench, results, qtbot):
    audit, desk = bench.audit, bench.desk
    assert desk.open_results(results)
    for option, size in (("accepted", 3), ("rejected", 3), ("fields", 1)):
        audit.sample.sizes[option].setValue(size)
    with qtbot.waitSignal(desk.results_changed, timeout=600_000):
        audit.sample.draw_button.click()
    design = read_design(results)
    assert design is not None, desk.notices
    item = begin(bench, results, qtbot)
    judged = 0
    while item is not None:
        judged += 1
        if item.is_field:
            audit.act("reject")
        else:
            audit.act("accept" if item.kind == "accepted" else "reject")
        # on the disk before the next one shows
        assert len(lines_of(results)) == judged
        item = seen(bench, qtbot) if audit.judging.item is not None else None
    assert judged == len(design.items)
    assert audit.judging.session.finished and not audit.page.isVisibleTo(audit)
    assert f"All {judged} items are judged" in audit.sample.state.text()

    # counts of mice are shown to those who may know them, after the tables are made again
    assert not audit.sample.counts.isVisibleTo(audit)
    with qtbot.waitSignal(desk.results_changed, timeout=600_000):
        audit.sample.correct.click()
    assert audit.sample.counts.table.rowCount() == 0
    assert desk.unblind("the audit is done")
    assert audit.sample.counts.isVisibleTo(audit)
    mice = pd.read_csv(results / "mice.csv").set_index("mouse")
    table = audit.sample.counts.table
    rows = {table.item(y, 0).text(): [table.item(y, x).text() for x in range(3, 7)] for y in (0, 1)}
    for mouse, (automatic, reviewed, corrected, interval) in rows.items():
        row = mice.loc[mouse]
        assert automatic == str(int(row["cells_automatic"])) and reviewed == ""
        assert corrected == f"{row['cells_corrected']:.0f}" and " to " in interval
    # every counted cell was said to be one, nothing was missed
    assert (mice["cells_corrected"] == mice["cells_automatic"]).all()
    assert bench.study.sections.counts.table.rowCount() == 2


def test_judging_is_put_away_and_goes_on_and_is_taken_back(bench, sampled, qtbot):
    audit = bench.audit
    first = begin(bench, sampled, qtbot)
    audit.act("unsure")
    second = seen(bench, qtbot)
    assert second.id != first.id and audit.bar.value() == 1
    assert "1 of them cannot be said" in audit.progress_text.text()
    audit.stop_button.click()
    assert audit.judging.session is None and audit.sample.begin.isVisibleTo(audit)

    assert begin(bench, sampled, qtbot).id == second.id
    audit.act("reject")
    seen(bench, qtbot)
    audit.act("undo")
    assert seen(bench, qtbot).id == second.id
    audit.act("previous")
    assert seen(bench, qtbot).id == first.id
    assert "this one: cannot be said" in audit.progress_text.text()
    audit.act("reject")  # another verdict takes its place
    audit.act("undo")
    audit.act("undo")
    assert not audit.judging.session.verdicts
    audit.act("undo")
    assert "nothing more to take back" in bench.desk.notices[-1]
    assert [line["action"] for line in lines_of(sampled)].count("undo") == 3
    audit.stop()
    with AuditSession.open(sampled, "rita") as session:
        assert session.verdicts == {}


def test_missed_cells_of_a_field_are_typed(bench, sampled, qtbot):
    audit = bench.audit
    begin(bench, sampled, qtbot)
    fields = [i for i, item in enumerate(audit.judging.items) if item.is_field]
    audit.judging.show_place(fields[0])
    item = seen(bench, qtbot)
    assert audit.count.isVisibleTo(audit) and not audit.wide.isEnabled()
    QTest.keyClicks(audit.count, "12")
    QTest.keyClick(audit.count, Qt.Key.Key_Return)
    assert audit.judging.session.verdicts == {item.id: 12}
    audit.judging.show_place(fields[1])
    item = seen(bench, qtbot)
    QTest.keyClicks(audit.count, "3r")  # the key for 'none' goes before the number
    assert audit.judging.session.verdicts[item.id] == 0


def test_what_is_not_seen_is_not_judged(bench, sampled, qtbot, tmp_path):
    audit, desk = bench.audit, bench.desk
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(sampled.parent / "pixels", elsewhere / "pixels")
    assert desk.open_results(sampled)
    audit.sample.begin.click()
    qtbot.waitUntil(
        lambda: any("not where it was" in text for text in desk.notices), timeout=20_000
    )
    audit.act("accept")
    assert "not seen cannot be judged" in desk.notices[-1]
    assert not lines_of(sampled)
    qtbot.waitUntil(lambda: audit.judging.unseen, timeout=20_000)
    first = audit.judging.item.id
    audit.act("unsure")  # of what cannot be shown, only this
    assert audit.judging.session.verdicts == {first: None}
    audit.act("undo")
    desk.set_image_folder(elsewhere)  # the images are found while the audit is open
    seen(bench, qtbot)
    # keys pressed elsewhere do not reach a widget that nobody sees
    audit.hide()
    desk.routing.route("accept")
    assert not audit.judging.session.verdicts


def test_an_open_section_and_the_audit_exclude_each_other(bench, sampled, qtbot):
    bench.open(sampled, BUSY)
    begin(bench, sampled, qtbot)
    assert bench.desk.section is None and "Cells" not in bench.viewer.layers
    assert bench.desk.open_section(bench.desk.blinding.code_of(BUSY))
    assert bench.audit.judging.session is None
    assert "put away" in "\n".join(bench.desk.notices)
    bench.desk.close_section()
    begin(bench, sampled, qtbot)
    bench.desk.set_reviewer("bo")
    assert bench.audit.judging.session is None, "another person begins their own"


def test_counted_and_rejected_objects_look_alike(bench, sampled, qtbot):
    """Words, outline and size of the picture depend on nothing that the program thinks."""
    audit = bench.audit
    begin(bench, sampled, qtbot)
    shown = {"accepted": set(), "rejected": set()}
    for place, item in enumerate(audit.judging.items):
        if item.is_field:
            continue
        audit.judging.show_place(place)
        seen(bench, qtbot)
        words = (audit.question.text(), *(button.text() for button in audit.buttons.values()))
        shown[item.kind].add((words, len(outlines_of(item)), audit.wide.isEnabled()))
        assert item.kind not in audit.progress_text.text()
    assert shown["accepted"] == shown["rejected"]
    picture = audit.judging.picture()
    for plane, (low, high) in zip(picture.pixels, picture.limits, strict=True):
        assert low < high and (plane > high).mean() < 0.01, "bright objects keep their texture"
    narrow = picture.frame_um
    audit.wide.setChecked(True)
    seen(bench, qtbot)
    wide = audit.judging.picture().frame_um
    assert wide[2] - wide[0] > 2.5 * (narrow[2] - narrow[0])


def test_an_audit_without_a_sample_or_a_name_says_what_to_do(bench, results, qtbot):
    assert "Open results" in bench.audit.sample.state.text()
    assert bench.desk.open_results(results)
    assert not bench.audit.sample.begin.isVisibleTo(bench.audit)
    bench.audit.begin()
    assert "no audit was drawn" in bench.desk.notices[-1]
    bench.desk.set_reviewer("")
    bench.audit.begin()
    assert "Write your name" in bench.desk.notices[-1]
