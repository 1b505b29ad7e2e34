"""While blinded, no word in the window tells group, day, mouse or path."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np
import pandas as pd
from napari.settings import get_settings
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

from napari_fociquant._qt.legend import Legend
from napari_fociquant._qt.results_desk import spellings

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


def remembered() -> str:
    """What the dialogs of napari begin with."""
    known = get_settings().application
    return " ".join([*known.open_history, *known.save_history])


def test_files_that_were_opened_are_forgotten_while_blinded(bench, results, qtbot):
    get_settings().application.open_history = [str(results), "/somewhere/else"]
    bench.open(results, BUSY)
    assert "study-secret" not in remembered()
    assert "somewhere" in remembered()


def test_a_failed_section_says_why_without_names(bench, results, qtbot):
    table = pd.read_csv(results / "sections.csv", dtype=str)
    table.loc[table["section"] == BUSY, ["status", "reason"]] = [
        "failed",
        f"{results.parent}/pixels/scan-mouse-bravo.ome.tif of mouse-bravo is torn",
    ]
    table.to_csv(results / "sections.csv", index=False)
    assert bench.desk.open_results(results)
    panel = bench.study.sections
    place = [view.section for view in panel.views()].index(BUSY)
    why = panel.table.item(place, 1).toolTip()
    assert "is torn" in why and "…" in why
    assert leaks(bench.viewer) == []


def test_messages_are_cleaned_of_paths_however_they_are_written():
    found = spellings([PureWindowsPath(r"C:\Users\rita\study-secret")])
    assert found == {r"C:\Users\rita\study-secret", "C:/Users/rita/study-secret",
                     r"C:\\Users\\rita\\study-secret"}  # fmt: skip
    assert spellings([PurePosixPath("/data/x")]) == {"/data/x"}


def test_no_word_unblinds_and_unblinding_is_written_down(bench, results, qtbot, sample_of):
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

    # an audit, too
    assert bench.audit.sample.isVisibleTo(bench.audit)
    sample_of(results)
    bench.audit.begin()
    judging = bench.audit.judging
    assert judging.session is not None, bench.desk.notices
    for place, item in enumerate(judging.items):
        judging.show_place(place)
        qtbot.waitUntil(lambda: judging.picture() is not None, timeout=20_000)
        assert leaks(bench.viewer) == []
        judging.judge(None if item.is_field else 1)
    assert judging.session.finished
    bench.audit.sample.show_state(judging.session)
    assert leaks(bench.viewer) == []
    bench.audit.stop()
    assert not list((results / "review" / "decisions").glob("_study*"))

    assert bench.desk.unblind("all sections are signed off")
    columns = bench.study.sections.table
    headings = [columns.horizontalHeaderItem(i).text() for i in range(columns.columnCount())]
    assert headings[-4:] == ["section", "mouse", "group", "dpi"]
    assert any("arm-virosa" in text for text in visible_texts(bench.viewer))
    [log] = (results / "review" / "decisions").glob("_study*")
    assert "all sections are signed off" in log.read_text()


def test_a_run_that_ends_unexpectedly_tells_no_name(bench, results, qtbot):
    assert bench.desk.open_results(results)
    error = f"PermissionError: '{results}/sections/{BUSY}'"
    bench.study.run.command.finished.emit(-1, "", error)
    assert "PermissionError: '…" in bench.desk.notices[-1]
    assert leaks(bench.viewer) == []


def legends(bench) -> list[str]:
    """What the three legends say."""
    return [one.text() for one in bench.viewer.window._qt_window.findChildren(Legend)]


def test_no_number_tells_a_second_look_from_a_first(bench, results, qtbot):
    bench.open(results, BUSY)
    gallery, session = bench.gallery, bench.desk.section.session
    [place] = np.flatnonzero(gallery.model.tiles.repeats)[:1]
    counted = session.reviewed_cells
    assert f"<b>{len(gallery.model.tiles)}</b> counted" in legends(bench)[0]
    seen = []
    for one in (int(place), next(p for p in range(9) if not gallery.model.tiles[p].repeat)):
        before = legends(bench)
        gallery.grid.setCurrentIndex(gallery.model.index(one))
        gallery.act("reject")
        seen.append(
            [numbers_changed(old, new) for old, new in zip(before, legends(bench), strict=True)]
        )
    assert seen[0] == seen[1] and all(seen[0])
    assert session.reviewed_cells == counted - 1  # the second look changes no count
    [own] = gallery.findChildren(Legend)
    assert "foci" not in own.text() and "micrometastasis" not in own.text()
    assert bench.desk.unblind("done")
    assert f"<b>{counted - 1}</b> cells with your decisions ({counted} automatic)" in own.text()


def numbers_changed(before: str, after: str) -> list[tuple[int, int]]:
    """Places of the numbers in two texts that are not the same, and by how much."""
    pairs = zip(
        re.findall(r"<b>(\d+)</b>", before), re.findall(r"<b>(\d+)</b>", after), strict=True
    )
    return [(i, int(b) - int(a)) for i, (a, b) in enumerate(pairs) if a != b]


def test_a_filter_and_a_region_treat_second_looks_as_first_ones(bench, results, qtbot):
    bench.open(results, BUSY)
    gallery, session = bench.gallery, bench.desk.section.session
    tiles = gallery.model.tiles
    place = int(np.flatnonzero(tiles.repeats)[0])
    row = tiles[place].row
    first = next(i for i, tile in enumerate(tiles) if tile.row == row and not tile.repeat)
    gallery.grid.setCurrentIndex(gallery.model.index(first))
    gallery.act("reject")
    bench.desk.comment("a macrophage", [row])
    tip = Qt.ItemDataRole.ToolTipRole
    assert "macrophage" in gallery.model.data(gallery.model.index(first), tip)
    assert "macrophage" not in gallery.model.data(gallery.model.index(place), tip)
    gallery.filter.setCurrentText("not decided yet")
    assert len(gallery.model.tiles) == len(tiles) - 1  # the second look still waits
    assert [one.repeat for one in gallery.model.tiles if one.row == row] == [True]
    gallery.filter.setCurrentText("counted")
    assert [one.repeat for one in gallery.model.tiles if one.row == row] == [True]
    gallery.filter.setCurrentText("all candidates")
    assert list(gallery.model.tiles.rows) == list(tiles.rows)
    y, x = session.y_um[row], session.x_um[row]
    corners = [[y - 9, x - 9], [y - 9, x + 9], [y + 9, x + 9], [y + 9, x - 9]]
    bench.desk.decide(lambda one: one.exclude(corners, reason="fold"))
    states = {gallery.model.state(one).name for one in gallery.model.tiles if one.row == row}
    assert states == {"EXCLUDED"}
