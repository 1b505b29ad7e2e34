"""Somebody's first day: the window says what comes next, and nothing is left without a word."""

from __future__ import annotations

import json

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication, QDockWidget

from fociquant.study.sheet import OPTIONAL, REQUIRED
from napari_fociquant._qt.gallery_widget import GalleryWidget
from napari_fociquant._qt.notices import NoticeLine
from napari_fociquant._qt.tips import COLUMN_TIPS

BUSY, QUIET = "cut-mouse-bravo", "cut-mouse-alpha"


def test_every_column_of_the_sheet_says_what_it_is_for():
    assert set(COLUMN_TIPS) == {*REQUIRED, *OPTIONAL}


def checked(draft, qtbot) -> None:
    with qtbot.waitSignal(draft.checked, timeout=600_000):
        qtbot.mouseClick(draft.check_button, Qt.MouseButton.LeftButton)


def test_the_study_says_what_comes_next(bench, two, qtbot):
    window = bench.viewer.window._qt_window
    window.show()
    window.resize(1366, 768)
    bench.study.open(two)
    draft, state = bench.study.draft, bench.study.run.state
    bench.study.parentWidget().raise_()
    assert state.text().startswith("Write mouse, group and dpi")
    heading = draft.table.horizontalHeaderItem(3)
    assert heading.text() == "dpi" and "Days post infection" in heading.toolTip()
    with qtbot.waitSignal(draft.checked, timeout=600_000):
        qtbot.mouseClick(draft.check_button, Qt.MouseButton.LeftButton)
        assert state.text() == "Looking for mistakes …"
        draft.check()  # an impatient hand
    assert state.text().startswith("6 problems, listed above")
    qtbot.waitUntil(lambda: not draft.problems.visibleRegion().isEmpty(), timeout=10_000)
    for row, cells in enumerate((("m1", "PBS", "9"), ("m2", "IAV", "15"))):
        for column, text in enumerate(cells, start=1):
            draft.table.item(row, column).setText(text)
    checked(draft, qtbot)
    assert state.text().startswith("Nothing is wrong")
    assert "'Count' is next" in state.text()
    told = list(bench.desk.notices)
    checked(draft, qtbot)
    assert bench.desk.notices == told  # notes are not said again and again


def test_the_report_and_the_folder_are_opened_when_names_may_be_seen(
    bench, results, qtbot, monkeypatch
):
    opened, works = [], [True]

    def take(url):
        opened.append(url.toLocalFile())
        return works[0]

    monkeypatch.setattr(QDesktopServices, "openUrl", take)
    buttons = bench.study.sections.buttons
    buttons["report"].click()
    assert bench.desk.notices[-1] == "Open a results folder first."
    assert bench.desk.open_results(results)
    buttons["report"].click()
    buttons["folder"].click()
    assert not opened and "'Unblind …' first" in bench.desk.notices[-1]
    assert bench.desk.unblind("done")
    buttons["report"].click()
    buttons["folder"].click()
    assert opened == [str(results / "report.html"), str(results)]
    works[0] = False
    buttons["folder"].click()
    assert str(results) in bench.desk.notices[-1]
    (results / "report.html").unlink()
    buttons["report"].click()
    assert "'Recount' makes" in bench.desk.notices[-1]


def test_a_name_is_asked_for_and_then_the_widgets_to_decide_in_are_there(
    own_settings, make_napari_viewer, results, qtbot
):
    own_settings.write_text(json.dumps({"reviewer": ""}))
    viewer = make_napari_viewer()
    window = viewer.window._qt_window
    window.show()
    window.activateWindow()
    _, study = viewer.window.add_plugin_dock_widget("napari-fociquant", "Study")
    study.open(results)
    panel, desk = study.sections, study.desk
    assert "Write your name" in panel.summary.text()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is window, timeout=10_000)
    place = [view.section for view in panel.views()].index(QUIET)
    panel.open_row(place)
    assert desk.section is None and "Write your name" in desk.notices[-1]
    qtbot.waitUntil(panel.reviewer.hasFocus, timeout=10_000)
    qtbot.keyClicks(panel.reviewer, "ana")
    qtbot.keyClick(panel.reviewer, Qt.Key.Key_Return)
    panel.open_row(place)
    assert desk.section is not None
    docks = {dock.windowTitle() for dock in window.findChildren(QDockWidget)}
    assert {"Study", "Gallery review", "Queue review", "Audit"} <= docks
    [gallery] = window.findChildren(GalleryWidget)
    qtbot.waitUntil(gallery.grid.hasFocus, timeout=10_000)
    lines = window.findChildren(NoticeLine)
    assert [line.text() for line in lines] == [""] * 3  # the name is given by now
    assert {line.styleSheet() for line in lines} == {""}  # no dark bar without words
    desk.say("look")
    assert all(line.styleSheet() for line in lines)
    desk.close_section()
    assert gallery.title.text() == "No section is open: open one in the widget 'Study'."


def test_a_gallery_without_candidates_says_why(bench, results, qtbot):
    bench.open(results, BUSY)
    gallery = bench.gallery
    assert gallery.why_empty() == ""
    gallery.filter.setCurrentText("not counted")
    counted = bool((~bench.desk.section.session.positive).any())
    assert counted or gallery.why_empty() == "No candidate of this section is 'not counted'."
    bench.desk.section.looks.rows.resize(0, refcheck=False)
    object.__setattr__(bench.desk.section.looks, "again", np.zeros(0, bool))
    gallery.filter.setCurrentText("counted")
    assert gallery.why_empty().startswith("There is no candidate in this section.")
    gallery.grid.grab()
    bench.desk.close_section()
    assert gallery.why_empty() == ""


def test_a_section_without_its_image_says_so_as_long_as_it_is_open(bench, results, qtbot):
    (results.parent / "pixels" / "scan-mouse-bravo.ome.tif").unlink()
    bench.open(results, BUSY)
    assert "'Where are the images? …'" in bench.desk.notices[-1]
    bench.gallery.act("reject")
    assert bench.gallery.title.text().endswith("1 of 190 candidates decided, without its image")


def test_a_recount_says_that_it_is_at_work(bench, results, qtbot, monkeypatch):
    assert bench.desk.open_results(results)
    panel = bench.study.sections
    monkeypatch.setattr(panel.command, "start", lambda _: None)
    panel.buttons["recount"].click()
    assert panel.summary.text() == "Making the tables and the report …"
    panel.command.finished.emit(1 + 1, "", "the disk is full")
    assert "signed off by you" in panel.summary.text()
    assert bench.desk.notices[-1] == "the disk is full"


def test_the_sheet_that_the_study_file_names_is_the_one_that_is_shown_and_written(
    bench, two, qtbot
):
    sheet = "image,mouse,group,dpi\na.ome.tif,007,PBS,9\nb.ome.tif,m2,IAV,9\nb.ome.tif,m3,IAV,9\n"
    (two / "lungs of may.csv").write_text(sheet, encoding="utf-8")
    (two / "study.yaml").write_text(
        "name: may\nsamples: lungs of may.csv\npreset: her2_if\nreference_group: Sham\n"
        "channels: {marker: HER2, nucleus: DAPI}\n",
        encoding="utf-8",
    )
    bench.study.open(two)
    draft = bench.study.draft
    assert [draft.table.item(row, 1).text() for row in range(3)] == ["007", "m2", "m3"]
    draft.table.item(0, 1).setText("008")
    checked(draft, qtbot)
    assert not (two / "samples.csv").exists()
    assert "008" in (two / "lungs of may.csv").read_text(encoding="utf-8")

    # a problem says the row that the table shows, and a click goes to its place in either file
    texts = [draft.problems.item(i).text() for i in range(draft.problems.count())]
    same = next(i for i, text in enumerate(texts) if "the same image is already on" in text)
    assert "already on row 2" in texts[same] and "line" not in texts[same]
    draft.problems.setCurrentRow(same)
    assert (draft.table.currentRow(), draft.table.currentColumn()) == (2, 0)
    draft.problems.setCurrentRow(next(i for i, text in enumerate(texts) if "'Sham'" in text))
    assert draft.text.textCursor().selectedText() == "reference_group: Sham"

    # another sheet that is there is read, not written over
    (two / "june.csv").write_text(sheet.replace("007", "june"), encoding="utf-8")
    draft.text.setPlainText(draft.text.toPlainText().replace("lungs of may.csv", "june.csv"))
    checked(draft, qtbot)
    assert draft.table.item(0, 1).text() == "june"
    for elsewhere in ("../june.csv", "sheets/june.csv"):
        draft.text.setPlainText(f"name: may\nsamples: {elsewhere}\n")
        draft.check()
        assert "is in another folder" in bench.desk.notices[-1]
    assert "june.csv\n" in (two / "study.yaml").read_text(encoding="utf-8")


def test_results_that_are_gone_are_not_told_as_not_reviewed(bench, results, qtbot, sample_of):
    bench.gallery.act("accept")
    assert bench.desk.notices[-1] == "Open a section first."
    bench.queue.act("accept")
    assert bench.desk.notices[-1] == "Open a section first."
    bench.open(results, BUSY)
    bench.desk.sign_off()
    panel = bench.study.sections
    assert panel.summary.text().startswith("1 of 2 sections")
    sample_of(results)
    bench.audit.begin()  # looks once, so that the sample is known
    bench.audit.stop()
    assert bench.desk.open_section(bench.desk.blinding.code_of(BUSY))
    results.rename(results.with_name("away"))
    started = []
    for command in (panel.command, bench.audit.sample.command):
        command.start = started.append
    for button in (panel.buttons["recount"], panel.buttons["export"], bench.audit.sample.correct):
        button.click()
        assert bench.desk.notices[-1].startswith("The results folder is not there any more.")
    panel.refresh()
    assert panel.summary.text().startswith("The results folder is not there any more.")
    bench.audit.begin()
    assert bench.desk.section is not None  # not closed for an audit that cannot begin
    assert not started and not results.exists()
