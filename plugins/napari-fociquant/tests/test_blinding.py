"""While blinded, no word in the window tells group, day, mouse or path."""

from __future__ import annotations

from qtpy.QtCore import QAbstractListModel, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QTabWidget,
    QTextEdit,
    QWidget,
)

BUSY = "cut-mouse-bravo"

SECRETS = (
    "mouse-alpha", "mouse-bravo", "arm-salina", "arm-virosa", "97.5", "98.5", "scan-", "pixels/",
    "study-secret", "cut-mouse",
)  # fmt: skip
"""Mice, groups, days, file names, folders, sections."""

ROLES = (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.StatusTipRole,
         Qt.ItemDataRole.AccessibleTextRole)  # fmt: skip


def texts_of(widget: QWidget) -> list[str]:
    """Everything one widget shows or would show on hovering."""
    found = [widget.toolTip(), widget.statusTip(), widget.whatsThis(), widget.windowTitle(),
             widget.accessibleName(), widget.objectName()]  # fmt: skip
    if isinstance(widget, QLabel | QAbstractButton | QLineEdit):
        found.append(widget.text())
    if isinstance(widget, QPlainTextEdit | QTextEdit):
        found.append(widget.toPlainText())
    if isinstance(widget, QComboBox):
        found += [widget.itemText(i) for i in range(widget.count())]
    if isinstance(widget, QTabWidget):
        found += [widget.tabText(i) + widget.tabToolTip(i) for i in range(widget.count())]
    if isinstance(widget, QAbstractItemView) and widget.model() is not None:
        model = widget.model()
        columns = 1 if isinstance(model, QAbstractListModel) else model.columnCount()
        for row in range(min(model.rowCount(), 300)):
            for column in range(columns):
                found += [str(model.data(model.index(row, column), role)) for role in ROLES]
        for column in range(columns):
            found.append(str(model.headerData(column, Qt.Orientation.Horizontal)))
    return found


def visible_texts(viewer) -> list[str]:
    """Every string of every window, and everything that layers carry."""
    found = [viewer.title, viewer.status if isinstance(viewer.status, str) else str(viewer.status)]
    for widget in QApplication.allWidgets():
        found += texts_of(widget)
        found += [action.text() + action.toolTip() for action in widget.actions()]
    for layer in viewer.layers:
        found += [layer.name, str(layer.metadata), str(layer.source), str(layer.get_status((9, 9)))]
        found += [str(layer.features) if hasattr(layer, "features") else ""]
    return found


def leaks(viewer) -> list[str]:
    texts = visible_texts(viewer)
    return [f"{word}: {text[:120]}" for text in texts for word in SECRETS if word in text]


def test_no_word_unblinds_and_unblinding_is_written_down(bench, results, qtbot):
    # a study that was being written must not be read on, either
    bench.study.draft.open(results.parent)
    assert leaks(bench.viewer)
    (results / "sections" / BUSY / "failure.json").write_text('{"reason": "cut-mouse-bravo"}')
    bench.open(results, BUSY)
    bench.gallery.act("reject")
    bench.desk.say(
        f"{results}/sections/{BUSY} of mouse-bravo (arm-virosa), {results.parent}/pixels"
    )
    bench.queue.next_item(1)
    bench.gallery.model.data(bench.gallery.model.index(0), Qt.ItemDataRole.ToolTipRole)
    assert leaks(bench.viewer) == []
    assert not list((results / "review" / "decisions").glob("_study*"))

    assert bench.desk.unblind("all sections are signed off")
    columns = bench.study.sections.table
    headings = [columns.horizontalHeaderItem(i).text() for i in range(columns.columnCount())]
    assert headings[-4:] == ["section", "mouse", "group", "dpi"]
    assert any("arm-virosa" in text for text in visible_texts(bench.viewer))
    [log] = (results / "review" / "decisions").glob("_study*")
    assert "all sections are signed off" in log.read_text()
