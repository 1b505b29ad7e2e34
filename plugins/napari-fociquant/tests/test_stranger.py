"""What a stranger, a sceptic and a clumsy hand do to the window."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication

import napari_fociquant._qt.draft_panel as draft_panel
from fociquant import atomic
from fociquant.errors import DiskError
from fociquant.review import ReviewSession
from napari_fociquant._qt.comment_box import CommentDialog
from napari_fociquant._reader import get_reader
from napari_fociquant._sample import sample_images

BUSY, QUIET = "cut-mouse-bravo", "cut-mouse-alpha"


def said(bench) -> str:
    return "\n".join(bench.desk.notices)


def test_a_name_that_cannot_be_one_is_refused(bench, results, qtbot):
    bench.open(results, BUSY)
    panel = bench.study.sections
    for name in ("x" * 61, "a\u200bb", "line\nbreak"):
        bench.desk.set_reviewer(name)
        assert "cannot be a reviewer's name" in said(bench), name
        assert bench.desk.reviewer == "rita"
        assert bench.desk.section is not None
    panel.reviewer.setText("y" * 61)
    panel.reviewer.editingFinished.emit()
    assert panel.reviewer.text() == "rita"


def test_without_a_name_nothing_is_unblinded(bench, results, qtbot):
    bench.open(results, BUSY)
    assert bench.desk.unblind("done")
    assert not bench.desk.blinded
    bench.desk.set_reviewer("")
    assert bench.desk.blinded


def test_a_section_that_left_the_study_does_not_break_the_list(bench, results, qtbot):
    bench.open(results, BUSY)
    bench.gallery.act("reject")
    record = json.loads((results / "run.json").read_text())
    record["sections"] = [one for one in record["sections"] if one["name"] != BUSY]
    (results / "run.json").write_text(json.dumps(record))
    table = pd.read_csv(results / "sections.csv", dtype=str)
    table[table["section"] != BUSY].to_csv(results / "sections.csv", index=False)
    assert bench.desk.open_results(results)
    codes = [view.section for view in bench.study.sections.views()]
    assert codes == [QUIET]
    assert bench.study.sections.table.rowCount() == 1


def test_a_damaged_run_json_is_no_results(tmp_path):
    (tmp_path / "run.json").write_text("[1, 2")
    assert get_reader(str(tmp_path)) is None
    (tmp_path / "run.json").write_text("[1, 2]")
    assert get_reader(str(tmp_path)) is None


@pytest.mark.parametrize("gone", ["sections.csv", "cells.parquet", "foci.csv", "mice.csv"])
def test_tables_that_are_missing_or_damaged_are_said(bench, results, qtbot, gone):
    (results / gone).unlink()
    opened = bench.desk.open_results(results)
    if opened:
        bench.desk.open_section(bench.desk.blinding.code_of(BUSY))
        bench.desk.unblind("look")
    assert gone in said(bench), said(bench)


@pytest.mark.parametrize("broken", ["sections.csv", "cells.parquet", "foci.csv", "mice.csv"])
def test_tables_that_are_cut_are_said(bench, results, qtbot, broken):
    raw = (results / broken).read_bytes()
    (results / broken).write_bytes(b"\x00\xff" + raw[: len(raw) // 3])
    opened = bench.desk.open_results(results)
    if opened:
        bench.desk.open_section(bench.desk.blinding.code_of(BUSY))
        bench.desk.unblind("look")
    assert broken in said(bench), said(bench)


def test_a_drive_that_is_taken_off_is_said_and_nothing_is_written_elsewhere(bench, results, qtbot):
    bench.open(results, BUSY)
    desk = bench.desk
    bench.gallery.act("reject")
    counted = desk.section.session.reviewed_cells
    away = results.with_name("unplugged")
    results.rename(away)
    for act in (bench.gallery.act, bench.queue.act):
        act("reject")
    desk.sign_off()
    desk.undo()
    assert not desk.unblind("look")
    assert desk.section.session.reviewed_cells == counted
    assert not results.exists()
    assert "not there any more" in said(bench) and "unplugged" not in said(bench)
    desk.reread()
    assert not desk.open_section(desk.blinding.code_of(QUIET))
    assert "holds no results" in said(bench)
    assert desk.section is not None  # what was open stays open
    away.rename(results)
    bench.gallery.act("reject")
    assert desk.section.session.reviewed_cells == counted - 1
    [log] = (results / "review" / "decisions").glob("cut*.jsonl")
    actions = [json.loads(line)["action"] for line in log.read_text().splitlines()]
    assert actions == ["open", "reject", "reject"]


def test_a_folder_that_cannot_be_written_is_said_and_the_open_one_stays(
    bench, results, qtbot, monkeypatch, tmp_path
):
    bench.open(results, BUSY)
    other = tmp_path / "other"
    shutil.copytree(results, other, ignore=shutil.ignore_patterns("review"))

    def never(*_):
        raise PermissionError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_flush", never)
        assert not bench.desk.open_results(other)
    assert "cannot be written" in said(bench)
    assert bench.desk.results.root == results
    assert bench.desk.section is not None


def test_two_windows_see_each_other(bench, results, qtbot):
    bench.open(results, BUSY)
    with ReviewSession.open(results, BUSY, "rita") as other:
        other.reject([int(other.cell[0]), int(other.cell[1])])
        entry = other.exclude([[0, 0], [0, 100], [100, 100], [100, 0]], reason="fold")
        bench.desk.accept([5])
        assert "another window" in said(bench)
        assert bench.desk.section.session.counts.rejected == 2
        assert "Excluded regions" in bench.viewer.layers
        other.undo(entry)
        other.exclude([[0, 0], [0, 300], [300, 300], [300, 0]], reason="fold")
        bench.desk.accept([6])
        ring = np.asarray(bench.viewer.layers["Excluded regions"].data[0])
        assert ring.max() == 300


def test_undo_goes_back_across_a_sign_off(bench, results, qtbot):
    bench.open(results, BUSY)
    session = bench.desk.section.session
    bench.gallery.act("reject")
    bench.desk.sign_off()
    assert session.signed_off
    bench.desk.undo()
    assert not session.signed_off
    bench.desk.undo()
    assert session.counts.rejected == 0
    bench.desk.undo()
    assert "nothing more to take back" in said(bench)
    bench.desk.redo()
    bench.desk.redo()
    assert session.counts.rejected == 1
    assert session.signed_off


def test_taking_back_a_hidden_repeat_shows(bench, results, qtbot):
    bench.open(results, BUSY)
    model = bench.gallery.model
    place = next(i for i, tile in enumerate(model.tiles) if tile.repeat)
    tile = model.tiles[place]
    before = model.state(tile)
    bench.gallery.grid.setCurrentIndex(model.index(place))
    bench.gallery.act("reject")
    assert model.state(tile).name == "REJECTED"
    bench.desk.undo()
    assert model.state(tile) == before
    bench.gallery.grid.setCurrentIndex(model.index(place))
    bench.gallery.act("reject")
    bench.desk.close_section()
    assert bench.desk.open_section(bench.desk.blinding.code_of(BUSY))
    tile = next(one for one in model.tiles if one.repeat)
    assert model.state(tile).name == "REJECTED"


def test_add_ends_with_the_section(bench, results, qtbot):
    bench.open(results, BUSY)
    bench.queue.act("add")
    assert bench.queue.buttons["add"].isChecked()
    assert bench.desk.open_section(bench.desk.blinding.code_of(QUIET))
    assert not bench.desk.adding
    assert not bench.queue.buttons["add"].isChecked()


def test_notices_from_before_blinding_are_redacted(bench, results, qtbot):
    bench.study.run.told.emit(
        f"{BUSY}: only 3 cells in {results.parent}/pixels/scan-mouse-bravo.ome.tif"
    )
    assert bench.desk.open_results(results)
    from_list = [
        w.toPlainText() for w in QApplication.allWidgets() if type(w).__name__ == "NoticeList"
    ]
    print(from_list, said(bench))
    assert "mouse-bravo" not in said(bench)
    assert all("mouse-bravo" not in text for text in from_list)


def test_keys_that_are_none_are_said(own_settings, make_napari_viewer):
    keys = {"accept": "banana", "undo": "R"}
    own_settings.write_text(json.dumps({"reviewer": "rita", "keys": keys}))
    viewer = make_napari_viewer()
    _, study = viewer.window.add_plugin_dock_widget("napari-fociquant", "Study")
    notices = "\n".join(study.desk.notices)
    assert "'banana' is no key" in notices
    assert "'reject' has no key now" in notices
    assert (study.desk.keys["accept"], study.desk.keys["undo"]) == ("A", "R")


def test_a_name_in_the_settings_that_cannot_be_one_is_asked_for_again(
    own_settings, make_napari_viewer
):
    own_settings.write_text(json.dumps({"reviewer": "x" * 99}))
    viewer = make_napari_viewer()
    _, study = viewer.window.add_plugin_dock_widget("napari-fociquant", "Study")
    assert study.desk.reviewer == ""
    assert "cannot be a reviewer's name" in study.desk.notices[0]


def test_count_refused_then_save_and_check_does_not_count(bench, tmp_path, monkeypatch, qtbot):
    folder = tmp_path / "möuse lungs 2026"
    folder.mkdir()
    shutil.copy(
        sample_images() / "images" / "PBS-09d-1-s1.ome.tif", folder / "PBS_9dpi_m1_s1.ome.tif"
    )
    bench.study.open(folder)
    started = []
    monkeypatch.setattr(bench.study.run, "start", lambda study: started.append(study))

    def full(*_, **__):
        raise DiskError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(draft_panel, "save_draft", full)
        bench.study.count()
        bench.study.count()
    with qtbot.waitSignal(bench.study.draft.checked, timeout=60_000):
        bench.study.draft.check()
    assert not started
    with qtbot.waitSignal(bench.study.draft.checked, timeout=60_000):
        bench.study.count()
    assert len(started) == 1, said(bench)


def test_nothing_of_a_section_is_left_when_it_is_closed(bench, results, qtbot):
    bench.open(results, BUSY)
    assert bench.desk.section.code in bench.viewer.title
    bench.desk.close_section()
    assert bench.viewer.title == "fociquant" and not bench.viewer.layers


def test_a_click_with_a_shaky_hand_is_a_click(bench, results, qtbot):
    bench.open(results, BUSY)
    places = []
    bench.desk.view.clicked.connect(lambda *place: places.append(place))
    canvas = bench.viewer.window._qt_viewer.canvas.native

    def press(*points):
        qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=QPoint(*points[0]))
        for point in points[1:]:
            qtbot.mouseMove(canvas, QPoint(*point))
        qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=QPoint(*points[-1]))

    press((200, 200))
    press((200, 200), (201, 201))
    assert len(places) == 2
    press((200, 200), (230, 201))
    assert len(places) == 2


def test_the_study_under_review_is_not_shown_while_blinded(bench, results, qtbot):
    study = results.parent
    bench.study.open(study)
    assert bench.study.draft.table.rowCount() == 2
    started = []
    bench.study.run.start = started.append
    assert bench.desk.open_results(results)
    assert bench.study.draft.table.rowCount() == 0
    for path in (study, study / "study.yaml", study / "samples.csv"):
        bench.study.open(path)
        assert bench.study.draft.table.rowCount() == 0
    assert "would show groups and days" in said(bench)
    bench.study.count()  # goes on all the same
    assert started == [study / "study.yaml"]
    assert bench.desk.unblind("done")
    bench.study.open(study)
    assert bench.study.draft.table.rowCount() == 2


def test_capitals_of_a_name_are_told(bench, results, qtbot):
    bench.open(results, BUSY)
    bench.gallery.act("reject")
    bench.desk.set_reviewer("Rita")
    assert "To go on with those decisions, write 'rita'" in said(bench)


def test_comments_on_a_section_and_on_a_cell(bench, results, qtbot):
    bench.open(results, BUSY)
    session = bench.desk.section.session
    before = session.reviewed_cells
    bench.gallery.grid.setCurrentIndex(bench.gallery.model.index(2))
    row = bench.gallery.selected()[0].row
    assert bench.gallery.act("comment")
    [dialog] = bench.gallery.findChildren(CommentDialog)
    dialog.accept()
    assert "needs words" in dialog.problem.text() and dialog.isVisible()
    dialog.words.setPlainText("looks like a macrophage")
    dialog.accept()
    bench.queue.table.clearSelection()
    assert bench.queue.act("comment")
    [dialog] = bench.queue.findChildren(CommentDialog)
    assert "looks like a macrophage" in dialog.earlier.text()
    dialog.words.setPlainText("section torn at the hilum")
    dialog.accept()
    found = [(one.reason, rows.tolist()) for one, rows in session.comments]
    assert found == [("looks like a macrophage", [row]), ("section torn at the hilum", [])]
    tip = bench.gallery.model.data(bench.gallery.model.index(2), Qt.ItemDataRole.ToolTipRole)
    assert "looks like a macrophage" in tip
    assert session.reviewed_cells == before


def test_a_merge_names_all_cells_and_nothing_selected_is_said(bench, results, qtbot):
    bench.open(results, BUSY)
    queue, session = bench.queue, bench.desk.section.session
    queue.select(0)
    queue.select(1)
    cells = {int(session.cell[row]) for one in queue.selected() for row in one.rows}
    queue.act("merge")
    assert {ref.cell for ref in session.history[-1].cells} == cells
    bench.gallery.grid.clearSelection()
    bench.gallery.reason.setCurrentText("debris")
    bench.gallery.act("reject")
    assert "Select a candidate first" in said(bench)
    assert len(session.history) == 1 and bench.gallery.reason.currentText() == "debris"
    table = bench.study.sections.table
    assert table.isColumnHidden(2)  # counts would tell


@pytest.mark.parametrize("name", ["study", "queue", "gallery", "audit"])
def test_a_dock_that_is_closed_takes_its_widget_along(bench, results, qtbot, name):
    bench.open(results, BUSY)
    widget, users = getattr(bench, name), bench.desk.users
    with qtbot.waitSignal(widget.destroyed, timeout=10_000):
        bench.viewer.window.remove_dock_widget(widget.parent())
    assert bench.desk.users == users - 1
    titles = {"queue": "Queue review", "gallery": "Gallery review"}
    title = titles.get(name, name.capitalize())
    _, again = bench.viewer.window.add_plugin_dock_widget("napari-fociquant", title)
    setattr(bench, name, again)
    assert again.desk is bench.desk and bench.desk.users == users
    bench.gallery.act("reject")
    assert len(bench.desk.section.session.history) == 1


def test_layers_that_were_removed_by_hand_are_done_without(bench, results, qtbot):
    bench.open(results, BUSY)
    desk, layers = bench.desk, bench.viewer.layers
    layers.remove("HER2")
    bench.gallery.act("jump")
    desk.view.start_drawing("add_polygon")
    layers.remove("Draw here")
    assert not desk.view.drawing
    desk.view.start_drawing("add_polygon")
    assert desk.view.drawing
    square = np.array([[0, 0], [0, 50], [50, 50], [50, 0]], float)
    desk.decide(lambda session: session.exclude(square, reason="fold"))
    layers.clear()
    desk.decide(lambda session: session.exclude(square + 100, reason="fold"))
    assert layers["Excluded regions"].nshapes == 2
    assert desk.open_section(desk.blinding.code_of(QUIET))
    assert "HER2" in layers


def test_a_section_that_left_the_study_meanwhile_is_said(bench, results, qtbot):
    assert bench.desk.open_results(results)
    panel = bench.study.sections
    place = [view.section for view in panel.views()].index(BUSY)
    record = json.loads((results / "run.json").read_text())
    record["sections"] = [one for one in record["sections"] if one["name"] != BUSY]
    (results / "run.json").write_text(json.dumps(record))
    cells = (results / "cells.parquet").read_bytes()
    (results / "cells.parquet").unlink()
    (results / "cells.parquet").write_bytes(cells)
    panel.open_row(place)
    assert "not in the study any more" in said(bench)
    assert bench.desk.section is None
    assert panel.table.rowCount() == 1
    panel.open_row(0)
    assert bench.desk.section.name == QUIET


def test_what_cannot_be_taken_back_is_not_said_to_be_nothing(bench, results, qtbot):
    bench.open(results, BUSY)
    bench.gallery.act("reject")
    results.rename(results.with_name("unplugged"))
    bench.desk.undo()
    assert "not there any more" in bench.desk.notices[-1]
    assert bench.desk.section.session.counts.rejected == 1


def test_an_export_is_of_the_results_it_was_asked_for(bench, results, tmp_path, qtbot):
    other = tmp_path / "other"
    shutil.copytree(results, other)
    assert bench.desk.open_results(results)
    panel = bench.study.sections
    asked = []
    panel.command.start = asked.append
    panel.export()
    assert bench.desk.open_results(other)
    panel.command.finished.emit(0, "", "")
    assert [words[3] for words in asked] == [str(results), str(results)]


def test_comments_that_were_written_leave_no_window_behind(bench, results, qtbot):
    bench.open(results, BUSY)
    for words in ("one", "two"):
        bench.gallery.act("comment")
        dialog = bench.gallery.findChildren(CommentDialog)[-1]
        dialog.words.setPlainText(words)
        with qtbot.waitSignal(dialog.destroyed, timeout=10_000):
            dialog.accept()
    assert not bench.gallery.findChildren(CommentDialog)


def test_layers_of_a_section_are_cleared_away_at_once(bench, results, qtbot, monkeypatch):
    bench.open(results, BUSY)
    collected = []
    with monkeypatch.context() as patch:
        patch.setattr("napari._vispy.canvas.gc.collect", lambda: collected.append(1))
        bench.desk.close_section()
    assert not bench.viewer.layers and len(collected) == 1


def test_a_study_opened_before_the_check_of_another_has_ended_is_not_counted(
    bench, tmp_path, monkeypatch, qtbot
):
    source = sample_images() / "images" / "PBS-09d-1-s1.ome.tif"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        shutil.copy(source, tmp_path / name / "PBS_9dpi_m1_s1.ome.tif")
    started = []
    monkeypatch.setattr(bench.study.run, "start", started.append)
    monkeypatch.setattr(bench.study.draft.command, "start", lambda _: None)
    bench.study.open(tmp_path / "first")
    bench.study.count()
    bench.study.open(tmp_path / "second")
    bench.study.draft.command.finished.emit(0, '{"problems": [], "notes": []}', "")
    assert not started
    assert "check this one" in said(bench)
    bench.study.count()
    bench.study.draft.command.finished.emit(0, '{"problems": [], "notes": []}', "")
    assert started == [tmp_path / "second" / "study.yaml"]
