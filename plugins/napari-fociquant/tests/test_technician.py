"""What a technician at the window meets: typing, pasting, keys, what is marked and seen."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_fociquant._colours import CLASS_COLOURS, COLOURS
from napari_fociquant._qt.legend import Legend
from napari_fociquant._qt.notices import NoticeLine
from napari_fociquant._qt.process import Command, interpreter

BUSY = "cut-mouse-bravo"


def in_front(bench, qtbot, *widgets):
    """The real window, active, with the last of these widgets in front of the others."""
    window = bench.viewer.window._qt_window
    window.show()
    window.activateWindow()
    for widget in widgets:
        dock = widget
        while type(dock).__name__ != "QtViewerDockWidget":
            dock = dock.parent()
        dock.show()
        dock.raise_()
    qtbot.waitUntil(lambda: not widgets[-1].visibleRegion().isEmpty(), timeout=10_000)
    qtbot.waitUntil(lambda: QApplication.activeWindow() is window, timeout=10_000)


def focus_on(widget, qtbot):
    widget.setFocus()
    qtbot.waitUntil(widget.hasFocus, timeout=10_000)


def press(key: Qt.Key, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    QTest.keyClick(QApplication.focusWidget(), key, held)


def rows_of(table):
    return [[table.item(y, x).text() for x in range(1, 4)] for y in range(table.rowCount())]


def at_the_sheet(bench, folder, qtbot):
    """The table of a new study, with the focus on the first row's mouse."""
    bench.study.open(folder)
    table = bench.study.draft.table
    in_front(bench, qtbot, bench.study)
    focus_on(table, qtbot)
    table.setCurrentCell(0, 1)
    return table


def test_letters_are_written_into_the_sheet_while_the_review_is_docked(bench, two, qtbot):
    table = at_the_sheet(bench, two, qtbot)
    for letter in "MAC-1":
        QTest.keyClick(QApplication.focusWidget(), letter)
    press(Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: table.item(0, 1).text() == "MAC-1", timeout=5_000)


def test_a_block_from_a_spreadsheet_is_pasted_filled_copied_and_cleared(bench, two, qtbot):
    table = at_the_sheet(bench, two, qtbot)
    control = Qt.KeyboardModifier.ControlModifier
    QApplication.clipboard().setText("007\tPBS\t9\r\n1E5\tIAV\t15\r\nm3\tPBS\t9\r\n")
    press(Qt.Key.Key_V, control)
    assert rows_of(table) == [["007", "PBS", "9"], ["1E5", "IAV", "15"]]
    assert bench.desk.notices[-1].endswith("no more rows: 1.")
    press(Qt.Key.Key_A, control)
    press(Qt.Key.Key_C, control)
    assert QApplication.clipboard().text().startswith("a.ome.tif\t007\tPBS\t9")
    table.clearSelection()
    for row in (0, 1):
        table.item(row, 2).setSelected(True)
    table.paste("PBS\n")
    assert rows_of(table) == [["007", "PBS", "9"], ["1E5", "PBS", "15"]]
    table.clearSelection()
    for column in range(4):
        table.item(1, column).setSelected(True)
    press(Qt.Key.Key_Delete)
    assert rows_of(table) == [["007", "PBS", "9"], ["", "", ""]]
    assert table.item(1, 0).text() == "b.ome.tif"  # an image is not written over


def test_the_channels_can_still_be_set_after_a_check(bench, two, qtbot):
    bench.study.open(two)
    draft = bench.study.draft
    with qtbot.waitSignal(draft.checked, timeout=600_000) as checked:
        draft.check()
    assert checked.args == [False]
    assert "reference_group: null" in (two / "study.yaml").read_text(encoding="utf-8")
    for row, cells in enumerate((("m1", "PBS", "9"), ("m2", "IAV", "15"))):
        for column, text in enumerate(cells, start=1):
            draft.table.item(row, column).setText(text)
    assert draft.form.isVisibleTo(draft)
    draft.roles["autofluorescence"].setCurrentText("none")
    with qtbot.waitSignal(draft.checked, timeout=600_000) as checked:
        draft.check()
    text = (two / "study.yaml").read_text(encoding="utf-8")
    assert checked.args == [True]
    assert "reference_group: PBS" in text and "autofluorescence: null" in text

    # what another program wrote in the meantime is not written over
    (two / "study.yaml").write_text(text.replace("name: lungs", "name: mine"), encoding="utf-8")
    with qtbot.waitSignal(draft.checked, timeout=600_000):
        draft.check()
    assert "name: mine" in (two / "study.yaml").read_text(encoding="utf-8")
    assert "its text is used" in "\n".join(bench.desk.notices)
    assert "name: mine" in draft.text.toPlainText() and not draft.form.isVisibleTo(draft)


def test_a_widget_out_of_sight_decides_nothing_though_it_has_the_focus(bench, results, qtbot):
    bench.open(results, BUSY)
    session = bench.desk.section.session
    in_front(bench, qtbot, bench.queue, bench.gallery)
    focus_on(bench.gallery.grid, qtbot)
    place = bench.gallery.grid.visualRect(bench.gallery.model.index(0)).center()
    qtbot.mouseClick(bench.gallery.grid.viewport(), Qt.MouseButton.LeftButton, pos=place)
    in_front(bench, qtbot, bench.queue)
    bench.viewer.window._qt_window.tabifyDockWidget(
        *(one.parent() if type(one.parent()).__name__ == "QtViewerDockWidget"
          else one.parent().parent() for one in (bench.gallery, bench.queue))
    )  # fmt: skip
    in_front(bench, qtbot, bench.queue)
    qtbot.waitUntil(lambda: bench.gallery.visibleRegion().isEmpty(), timeout=10_000)
    press(Qt.Key.Key_N)
    focus = bench.queue.selected()[0]
    press(Qt.Key.Key_R)
    assert np.flatnonzero(session.verdict == 2).tolist() == sorted(focus.rows.tolist())


def test_a_key_with_ctrl_goes_on_to_one_item_only(bench, results, qtbot):
    bench.open(results, BUSY)
    bench.desk.set_keys(bench.desk.keys | {"reject": "Ctrl+R", "next": "Ctrl+N"})
    control = Qt.KeyboardModifier.ControlModifier
    for _ in range(2):
        QTest.keyClick(bench.gallery.grid, Qt.Key.Key_R, control)
    assert len(bench.gallery.selected()) == 1
    assert len(bench.desk.section.session.history) == 2
    for _ in range(2):
        QTest.keyClick(bench.queue.table, Qt.Key.Key_N, control)
    assert [focus.rows.tolist() for focus in bench.queue.selected()] == [
        bench.queue.model.items[1].rows.tolist()
    ]


def test_a_second_reviewer_does_not_see_foci_that_the_first_one_decided(bench, results, qtbot):
    bench.open(results, BUSY)
    largest = bench.queue.model.items[0].rows.tolist()
    bench.queue.next_item(1)
    bench.queue.act("reject")
    with qtbot.waitSignal(bench.desk.results_changed, timeout=600_000):
        bench.study.sections.recount()
    bench.desk.set_reviewer("bo")
    assert bench.desk.open_section(bench.desk.blinding.code_of(BUSY))
    assert "looking for foci" in bench.queue.title.text()
    with qtbot.waitSignal(bench.desk.foci_changed, timeout=20_000):
        pass
    assert bench.queue.model.items[0].rows.tolist() == largest
    assert bench.queue.model.state(0) == ""


def test_a_region_is_seen_until_its_reason_is_written(bench, results, qtbot):
    bench.open(results, BUSY)
    queue, layers = bench.queue, bench.viewer.layers
    assert layers.selection.active.name == "HER2"  # its contrast is what one wants to set
    square = np.array([[0.0, 0.0], [0.0, 200.0], [200.0, 200.0], [200.0, 0.0]])
    queue.exclude.offer(square)
    assert np.asarray(layers["Region that was drawn"].data[0]).max() == 200
    queue.exclude.discard()
    assert "Region that was drawn" not in layers
    queue.exclude.offer(square * 5)
    queue.exclude.reason.setCurrentText("fold")
    queue.exclude.commit()
    assert "Region that was drawn" not in layers
    assert layers["Excluded regions"].locked and layers.selection.active.name == "HER2"
    with qtbot.waitSignal(bench.desk.foci_changed, timeout=20_000):
        pass
    assert {queue.model.state(i) for i in range(len(queue.model.items))} == {"excluded"}


def test_the_candidate_is_marked_in_its_crop_and_in_the_slide(bench, results, qtbot):
    bench.open(results, BUSY)
    gallery = bench.gallery
    tile, session = gallery.model.tiles[3], bench.desk.section.session
    gallery.grid.setCurrentIndex(gallery.model.index(3))
    gallery.act("jump")
    [place] = np.asarray(bench.viewer.layers["Candidate"].data)
    assert place.tolist() == [session.y_um[tile.row], session.x_um[tile.row]]
    assert tuple(bench.viewer.scene.camera.center[-2:]) == tuple(place)
    rect = gallery.grid.visualRect(gallery.model.index(3)).toRectF()
    ring = gallery.model.ring(tile, rect)
    assert not ring.isEmpty() and rect.contains(ring.boundingRect())
    assert (ring.boundingRect().center() - rect.center()).manhattanLength() < 12
    gallery.outlines.setChecked(False)
    assert gallery.model.ring(tile, rect).isEmpty()


def test_what_is_drawn_when_the_window_has_settled_covers_what_is_in_view(bench, results, qtbot):
    bench.viewer.window._qt_window.show()
    bench.open(results, BUSY)
    layer = bench.viewer.layers["Cells"]
    # As after a change of the docks that came too late for napari.
    layer.corner_pixels = np.array([[100, 100], [200, 200]])
    layer.refresh()
    qtbot.waitUntil(lambda: (layer.corner_pixels[0] == 0).all(), timeout=10_000)
    zoom = bench.viewer.scene.camera.zoom
    bench.desk.view.jump(100.0, 100.0)
    bench.desk.view._settle()
    assert bench.viewer.scene.camera.zoom > zoom  # whoever has moved on stays there


def test_a_notice_goes_with_the_next_decision(bench, results, qtbot):
    bench.open(results, BUSY)
    [line] = bench.queue.findChildren(NoticeLine)
    bench.desk.undo()
    assert line.text() == "There is nothing more to take back."
    bench.gallery.act("reject")
    assert line.text() == ""


def test_classes_of_foci_are_in_the_legend_in_colours_of_their_own(bench, results, qtbot):
    assert not set(CLASS_COLOURS[1:]) & set(COLOURS.values())
    bench.open(results, BUSY)
    [legend] = bench.queue.findChildren(Legend)
    foci = bench.desk.section.foci
    number = sum(focus.kind == "micrometastasis" for focus in foci)
    assert number and f"micrometastasis&nbsp;<b>{number}</b>" in legend.text()


def test_a_command_is_asked_to_end_when_its_window_goes(qtbot, tmp_path):
    window, said = QWidget(), []
    command = Command(window)
    command.said.connect(said.append)
    asked = tmp_path / "asked"
    script = (
        "import sys; print('{}', flush=True); text = sys.stdin.read(); "
        "open(sys.argv[1], 'w').write(text)"
    )
    command.start(["-c", script, str(asked)])
    qtbot.waitUntil(lambda: said == [{}], timeout=30_000)
    window.deleteLater()
    qtbot.waitUntil(asked.exists, timeout=10_000)
    assert asked.read_text() == "stop\n"


def test_a_run_that_ends_leaves_the_section_open(bench, results, qtbot, tmp_path):
    bench.open(results, BUSY)
    bench.study.run.counted.emit(tmp_path / "other" / "results")
    assert bench.desk.section is not None and bench.desk.results.root == results
    assert "stays open" in bench.desk.notices[-1]
    bench.desk.close_section()
    bench.study.run.counted.emit(results)
    assert bench.study.tabs.currentIndex() == 1


def test_commands_run_in_a_python_with_streams(tmp_path):
    windowed, console = tmp_path / "pythonw.exe", tmp_path / "python.exe"
    assert interpreter(windowed) == str(windowed)
    console.touch()
    assert interpreter(windowed) == str(console)
    assert interpreter(tmp_path / "python3.11") == str(tmp_path / "python3.11")


def test_a_click_beside_the_candidates_does_not_move_what_is_selected(bench, results, qtbot):
    bench.open(results, BUSY)
    bench.queue.next_item(1)
    held = bench.queue.selected()
    bench.desk.view.clicked.emit(-500.0, -500.0)
    assert bench.queue.selected() == held
