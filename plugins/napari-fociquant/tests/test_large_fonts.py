"""A large font in a small window: buttons are whole, and nothing lies on anything."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations

import pytest
from napari.settings import get_settings
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QLabel, QScrollArea, QWidget

BUSY = "cut-mouse-bravo"
SMALL = 1366, 768


def show_only(bench, widget, qtbot):
    """A small window in which one of the widgets is to be seen."""
    for other in (bench.study, bench.gallery, bench.queue, bench.audit):
        dock = other
        while type(dock).__name__ != "QtViewerDockWidget":
            dock = dock.parent()
        dock.setVisible(other is widget)
    bench.viewer.window._qt_window.show()
    bench.viewer.window._qt_window.resize(*SMALL)
    qtbot.waitUntil(lambda: not widget.visibleRegion().isEmpty(), timeout=10_000)
    qtbot.wait(300)


def faults(widget):
    """What is cut, squeezed or covered in a widget."""
    found = []
    for part in (one for one in widget.findChildren(QWidget) if one.isVisible()):
        name = part.text() if isinstance(part, QAbstractButton | QLabel) else ""
        if isinstance(part, QAbstractButton) and name:
            least = part.sizeHint()
            if part.width() < least.width() or part.height() < least.height():
                found.append(f"{name} is squeezed: {part.size()}, not {least}")
        wraps = isinstance(part, QLabel) and part.wordWrap()
        if wraps and part.height() < part.heightForWidth(part.width()):
            found.append(f"lines of {name} are cut")
        if isinstance(part, QScrollArea) and part.widget() is not None:
            body, view = part.widget(), part.viewport()
            hidden = body.height() - view.height()
            if body.width() > view.width() or hidden > part.verticalScrollBar().maximum():
                found.append(f"{body.size()} cannot be scrolled to its end in {view.size()}")
        if type(part).__module__.startswith("napari_fociquant") or type(part) is QWidget:
            found += laid_over(part)
    return found + laid_over(widget)


def laid_over(parent):
    """Parts of a widget that lie on each other, or beyond its edge."""
    if parent.layout() is None or parent.objectName().startswith("qt_"):
        return []
    inside = [one for one in parent.children() if isinstance(one, QWidget)]
    inside = [one for one in inside if one.isVisible() and not one.isWindow()]
    outside = [one for one in inside if not parent.rect().contains(one.geometry())]
    over = [(a, b) for a, b in combinations(inside, 2) if a.geometry().intersects(b.geometry())]
    return [f"{one} goes beyond its edge" for one in outside] + [f"{a} on {b}" for a, b in over]


@pytest.mark.parametrize("size", [16, 20])
def test_nothing_is_cut_or_covered_in_a_small_window(bench, results, qtbot, size):
    get_settings().appearance.font_size = size
    bench.open(results, BUSY)
    for widget in (bench.study, bench.gallery, bench.queue, bench.audit):
        show_only(bench, widget, qtbot)
        assert faults(widget) == []
    show_only(bench, bench.queue, qtbot)
    bench.desk.say("A message of several words that goes on for more than a line of the window.")
    bench.queue._drawn([[0, 0], [90, 90], [0, 90], [90, 0]])
    qtbot.wait(200)
    assert faults(bench.queue) == []
    assert not bench.queue.exclude.keep.visibleRegion().isEmpty(), "one sees what is asked"
    bench.desk.unblind("the end")
    show_only(bench, bench.study, qtbot)
    assert faults(bench.study) == []


def test_a_sample_is_judged_with_a_large_font(bench, results, qtbot):
    get_settings().appearance.font_size = 16
    subprocess.run(
        [sys.executable, "-m", "fociquant", "audit", str(results), "--draw", "--seed=3",
         "--accepted=2", "--rejected=2", "--fields=1"],
        check=True, capture_output=True,
    )  # fmt: skip
    assert bench.desk.open_results(results), bench.desk.notices
    show_only(bench, bench.audit, qtbot)
    assert faults(bench.audit) == []
    bench.audit.begin()
    judging = bench.audit.judging
    for place, _ in enumerate(judging.items):
        judging.show_place(place)
        qtbot.wait(100)
        assert faults(bench.audit) == []


def test_another_font_is_taken_while_the_window_is_open(bench, results, qtbot):
    bench.open(results, BUSY)
    show_only(bench, bench.queue, qtbot)
    assert faults(bench.queue) == []
    get_settings().appearance.font_size = 16
    qtbot.wait(500)
    assert faults(bench.queue) == []
    get_settings().appearance.font_size = 9
    qtbot.wait(500)
    assert faults(bench.queue) == []
    bar = bench.queue.area.verticalScrollBar()
    assert bar.maximum() == 0, "with the usual font there is nothing to scroll"


def test_the_list_of_sections_has_room_beside_the_counts(bench, results, qtbot):
    bench.open(results, BUSY)
    bench.desk.unblind("the end")
    show_only(bench, bench.study, qtbot)
    panel = bench.study.sections
    assert panel.counts.isVisible()
    rows = panel.table.viewport().height() // panel.table.rowHeight(0)
    assert rows >= 4
    assert faults(bench.study) == []


def test_keys_go_where_they_went_and_the_wheel_changes_nothing(bench, results, qtbot):
    get_settings().appearance.font_size = 16
    bench.open(results, BUSY)
    session = bench.desk.section.session
    show_only(bench, bench.queue, qtbot)
    bench.queue.next_item(1)
    bench.desk.routing.route("reject")
    assert session.history[-1].action == "reject"
    QTest.keyClick(bench.queue.table, "a")
    assert session.history[-1].action == "accept"
    number = len(session.history)
    assert bench.queue.area.verticalScrollBar().maximum() > 0
    assert not turn(bench.queue.classes).isAccepted(), "it is for what is scrolled"
    assert len(session.history) == number, "nobody gave a class"
    assert bench.queue.classes.currentIndex() == 0


def turn(widget):
    """The wheel, downwards, over a widget."""
    place = QPointF(widget.rect().center())
    event = QWheelEvent(
        place, QPointF(widget.mapToGlobal(widget.rect().center())), QPoint(0, 0), QPoint(0, -120),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase,
        False,
    )  # fmt: skip
    QApplication.sendEvent(widget, event)
    return event
