"""Keys: those of the widget that is looked at, shown, and set to others in the window."""

from __future__ import annotations

import json

from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest

BUSY = "cut-mouse-bravo"


def show_only(bench, widget, qtbot):
    """A window in which one of the widgets is to be seen."""
    bench.viewer.window._qt_window.show()
    for other in (bench.study, bench.gallery, bench.queue, bench.audit):
        dock = other
        while type(dock).__name__ != "QtViewerDockWidget":
            dock = dock.parent()
        dock.setVisible(other is widget)
    qtbot.waitUntil(lambda: not widget.visibleRegion().isEmpty(), timeout=10_000)


def test_a_key_goes_to_the_widget_that_is_seen_and_to_none_behind_it(bench, results, qtbot):
    bench.open(results, BUSY)
    session = bench.desk.section.session
    show_only(bench, bench.study, qtbot)
    bench.desk.routing.route("reject")
    assert session.history == (), "nobody has seen what this key would have rejected"
    show_only(bench, bench.gallery, qtbot)
    bench.desk.routing.route("reject")
    assert len(session.history) == 1
    show_only(bench, bench.queue, qtbot)
    bench.queue.next_item(1)
    bench.desk.routing.route("accept")
    assert session.history[-1].action == "accept"


def test_a_key_is_set_in_the_window_and_works_at_once(bench, results, qtbot, own_settings):
    bench.open(results, BUSY)
    bar = next(one for one in bench.gallery.children() if type(one).__name__ == "KeyBar")
    bar.show_all()
    dialog = bar.dialog
    dialog.edits["reject"].setKeySequence(QKeySequence("A"))
    assert "would do two things: accept and reject" in dialog.problem.text()
    assert not dialog.button("Save").isEnabled()
    dialog.edits["reject"].setKeySequence(QKeySequence("J"))
    assert dialog.problem.text() == "" and dialog.button("Save").isEnabled()
    dialog.button("Save").click()
    assert "<b>J</b>&nbsp;reject" in bar.text()
    assert json.loads(own_settings.read_text())["keys"] == {"reject": "J"}
    assert [b.toolTip() for b in bench.gallery.findChildren(type(bench.queue.buttons["reject"]))
            if b.text() == "Reject"] == ["key J"]  # fmt: skip
    session = bench.desk.section.session
    QTest.keyClicks(bench.gallery.grid, "r")
    assert session.history == ()
    QTest.keyClicks(bench.gallery.grid, "j")
    assert session.history[-1].action == "reject"
    bar.show_all()
    bar.dialog.restore()
    bar.dialog.accept()
    assert json.loads(own_settings.read_text())["keys"] == {}
