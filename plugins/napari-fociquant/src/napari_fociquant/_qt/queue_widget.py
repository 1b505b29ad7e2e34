"""Foci one after the other: accept, reject, merge, split, add, exclude, name the class."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QItemSelectionModel, QModelIndex, QSize
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from fociquant.review import Entry, ReviewSession
from napari_fociquant._foci import Focus
from napari_fociquant._qt.comment_box import CommentDialog
from napari_fociquant._qt.desk import desk_of
from napari_fociquant._qt.draw_panel import ExcludePanel
from napari_fociquant._qt.finding import find_cell
from napari_fociquant._qt.focus_list import FocusListModel
from napari_fociquant._qt.keys import KeyBar, KeyButton, took_key
from napari_fociquant._qt.legend import Legend
from napari_fociquant._qt.notices import NoticeLine
from napari_fociquant._qt.parts import (
    go_to,
    header_of,
    selection_of,
    side_header_of,
    title_label,
)
from napari_fociquant._qt.reason_box import ReasonBox
from napari_fociquant._qt.room import Body, Scrolled, WrappingRow, rows_px
from napari_fociquant._queue import count_open, places_of, renew, sides, state_of

if TYPE_CHECKING:
    from napari.viewer import Viewer

BUTTONS = (
    ("previous", "◀ Previous"), ("next", "Next ▶"), ("accept", "Accept"), ("reject", "Reject"),
    ("merge", "Merge"), ("split", "Split"), ("add", "Add cell"), ("exclude", "Exclude region"),
    ("undo", "Undo"), ("redo", "Redo"),
)  # fmt: skip
"""Action and text, two in a row."""

ROWS = 4
"""Foci that are listed at once, at least."""


class FocusTable(QTableView):
    """The list; keys decide."""

    def __init__(self, owner: QueueWidget) -> None:
        super().__init__()
        self._owner = owner
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        header_of(self).setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        side_header_of(self).setDefaultSectionSize(max(22, self.fontMetrics().height() + 6))
        self.setMinimumHeight(rows_px(self, ROWS))
        self.setAccessibleName("Foci")

    def keyPressEvent(self, e: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Keys of the review before those of a list."""
        if not took_key(self._owner, e):
            super().keyPressEvent(e)


class QueueWidget(QWidget):
    """Dock widget: review of foci in a queue.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.desk = desk_of(napari_viewer, self)
        self.model = FocusListModel(self._state, self)
        self.table = FocusTable(self)
        self.table.setModel(self.model)
        self.title = title_label()
        self.classes = QComboBox()
        self.reason = ReasonBox()
        self.exclude = ExcludePanel(self.desk)
        self.buttons = {
            name: KeyButton(self.desk, name, text, self.act) for name, text in BUTTONS
        }  # fmt: skip
        self.sign_off = QPushButton("Sign off this section")
        self._cut: Focus | None = None
        self._places = np.zeros(0, np.int64)
        self._build()
        self._connect()
        self._show_section()

    def _build(self) -> None:
        grid = QGridLayout()
        for place, button in enumerate(self.buttons.values()):
            grid.addWidget(button, place // 2, place % 2)
        self.buttons["add"].setCheckable(True)
        override = QHBoxLayout()
        override.addWidget(QLabel("This is a"))
        override.addWidget(self.classes, 1)
        body = Body()
        inner = body.column
        inner.addWidget(self.title)
        inner.addWidget(self.table, 1)
        inner.addLayout(grid)
        inner.addLayout(override)
        inner.addWidget(self.reason)
        inner.addWidget(self.exclude)
        last = WrappingRow()
        last.addWidget(KeyButton(self.desk, "comment", "Comment …", self.act))
        last.addWidget(self.sign_off, 1)
        inner.addLayout(last)
        inner.addWidget(Legend(self.desk))
        self.area = Scrolled(body)
        layout = QVBoxLayout(self)
        layout.addWidget(self.area, 1)
        layout.addWidget(NoticeLine(self.desk))
        names = ("accept", "reject", "next", "previous", "merge", "split", "add", "exclude",
                 "comment", "undo", "unstained", "find", "sign_off", "next_section")  # fmt: skip
        layout.addWidget(KeyBar(self.desk, names))

    def _connect(self) -> None:
        desk = self.desk
        desk.section_changed.connect(self._show_section)
        desk.foci_changed.connect(self._renew)
        desk.decided.connect(self._restate)
        desk.view.drawn.connect(self._drawn)
        desk.view.clicked.connect(self._clicked)
        selection_of(self.table).currentRowChanged.connect(lambda new, _: self._jump(new))
        self.classes.textActivated.connect(self._set_class)
        self.sign_off.clicked.connect(lambda: desk.sign_off())
        desk.routing.join(self, self.act)

    # The list

    def _show_section(self) -> None:
        section = self.desk.section
        self._cut = None
        self.model.show([])
        self.classes.clear()
        self.buttons["add"].setChecked(self.desk.adding)
        if section is None:
            self.title.setText("Open a section in the widget 'Study'.")
            return
        self.classes.addItems(["…", *section.results.classes])
        self._renew()
        if self.model.items:
            # The whole section is shown first; the first 'next' goes to the first focus.
            self.table.clearSelection()
            self.table.setCurrentIndex(QModelIndex())

    def _renew(self) -> None:
        section = self.desk.section
        if section is None:
            return
        marked = self._selected_rows()
        session = section.session
        self.model.show(renew(self.model.items, section.foci, session.positive, session.exists))
        self._places = places_of(self.model.items, len(section.session.cell))
        self._reselect(marked)
        self._restate()

    def _reselect(self, rows: np.ndarray) -> None:
        """Select what now holds the cells that were selected, without moving the slide."""
        wanted = [int(place) for place in np.unique(self._places[rows]) if place >= 0]
        selection = selection_of(self.table)
        selection.blockSignals(True)
        for place in wanted[:1]:
            go_to(self.table, self.model.index(place, 0))
        for place in wanted:
            self.select(place)
        selection.blockSignals(False)

    def select(self, place: int) -> None:
        """Add a focus to the selection."""
        flags = QItemSelectionModel.SelectionFlag
        index = self.model.index(place, 0)
        selection_of(self.table).select(index, flags.Select | flags.Rows)

    def _state(self, focus: Focus) -> str:
        section = self.desk.section
        if section is None:
            return ""
        return state_of(focus, section.session.positive, section.session.verdict)

    def _restate(self) -> None:
        section = self.desk.section
        if section is None:
            return
        session = section.session
        self.model.restate()
        left = count_open(self.model.items, session.positive, session.verdict)
        signed = ", signed off" if session.signed_off else ""
        number = len(self.model.items)
        words = f"{left} of {number} foci to look at"
        if not number and self.desk.searching:
            words = "looking for foci …"
        self.title.setText(f"Section {section.code}: {words}{signed}")

    def selected(self) -> list[Focus]:
        """Foci that are selected."""
        places = sorted({index.row() for index in selection_of(self.table).selectedRows()})
        return [self.model.items[place] for place in places if place < len(self.model.items)]

    def _selected_rows(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.int64), *(one.rows for one in self.selected())])

    def next_item(self, step: int) -> None:
        """Go on, or back, by so many foci."""
        place = self.table.currentIndex().row() + step
        if 0 <= place < len(self.model.items):
            go_to(self.table, self.model.index(place, 0))

    def _jump(self, index: QModelIndex) -> None:
        if index.isValid() and self.desk.section is not None:
            focus = self.model.items[index.row()]
            self.desk.view.jump(focus.y_um, focus.x_um)

    # Decisions

    def act(self, name: str) -> bool:
        """Do what a key or a button says; False if it is none of the queue's."""
        actions = {
            "next": lambda: self.next_item(1),
            "previous": lambda: self.next_item(-1),
            "accept": lambda: self._decide(accept=True),
            "reject": lambda: self._decide(accept=False),
            "merge": self._merge,
            "split": self._start_split,
            "add": self._toggle_add,
            "exclude": self._start_region,
            "comment": self._comment,
            "undo": self._undo,
            "unstained": self._toggle_unstained,
            "find": self._find,
            "jump": lambda: self._jump(self.table.currentIndex()),
        }
        if name not in actions:
            return self.desk.act(name)
        actions[name]()
        return True

    def _decide(self, *, accept: bool) -> None:
        rows = self._selected_rows()
        if not len(rows):
            self.desk.say(f"{'Select a focus' if self.desk.section else 'Open a section'} first.")
            return
        decide = self.desk.accept if accept else self.desk.reject
        if decide(rows, reason=self.reason.currentText().strip()):
            self.reason.take()
            self.next_item(1)

    def _undo(self) -> None:
        """Take back, and go back to what it was about."""
        rows, _ = self.desk.undo_rows()
        if len(rows):
            self._select_holding(int(rows[0]))

    def _find(self) -> None:
        row = find_cell(self.desk, self)
        if row >= 0:
            self._select_holding(row)

    def _toggle_unstained(self) -> None:
        layer = self.desk.view.channel("autofluorescence")
        if layer is None:
            self.desk.say("There is no unstained channel.")
        else:
            layer.visible = not layer.visible

    def _comment(self) -> None:
        if self.desk.section is None:
            self.desk.say("Open a section first.")
            return
        items = self.selected()
        rows = self._selected_rows()
        what = "the selected focus" if len(items) == 1 else f"the {len(items)} selected foci"
        CommentDialog(self.desk, rows, what, self).open()

    def _merge(self) -> None:
        rows = self._selected_rows()
        if len(self.selected()) < 2:
            self.desk.say("A merge needs at least two foci. Select them in the list first.")
            return
        # All cells, not one of each: one of them may be rejected later.
        self.desk.decide(lambda session: session.merge(session.cell[rows].tolist()))

    def _start_split(self) -> None:
        items = self.selected()
        if len(items) != 1 or len(items[0].rows) < 2:
            self.desk.say("Select one focus of at least two cells to split it.")
            return
        self._cut = items[0]
        self.desk.view.start_drawing("add_line")
        if not self.desk.view.drawing:
            self._cut = None
            return
        self.desk.say("Drag a line across the focus: its cells on either side become two foci.")

    def _start_region(self) -> None:
        self._cut = None
        if self.desk.section is None:
            return
        self.desk.view.start_drawing("add_polygon")
        if self.desk.view.drawing:
            self.desk.say("Click the corners of the region; double-click the last one.")

    def _drawn(self, points: np.ndarray) -> None:
        cut, self._cut = self._cut, None
        if cut is None:
            self.exclude.offer(points)
            self.area.show_part(self.exclude)
        else:
            self._split(cut, points)

    def _split(self, item: Focus, line: np.ndarray) -> None:
        rows = item.rows

        def split(session: ReviewSession) -> Entry:
            parts = sides(session.y_um[rows], session.x_um[rows], line)
            return session.split([session.cell[rows[part]].tolist() for part in parts])

        self.desk.decide(split)

    def _set_class(self, name: str) -> None:
        items, section = self.selected(), self.desk.section
        self.classes.setCurrentIndex(0)
        if section is None or name not in section.results.classes:
            return
        foci = [section.session.cell[item.rows].tolist() for item in items]
        self.desk.decide(partial(ReviewSession.set_classes, foci=foci, name=name))

    def _toggle_add(self) -> None:
        on = not self.desk.adding if self.desk.section else False
        self.desk.adding = on
        self.buttons["add"].setChecked(on)
        if on:
            self.desk.say("Click on each missed cell; the same key again ends it.")
        elif self.desk.section is not None:
            self.desk.say("A click adds no cell any more.")

    def _clicked(self, y_um: float, x_um: float) -> None:
        if self.desk.adding:
            self.desk.add_cell(y_um, x_um)
            return
        row = self.desk.section.row_at(y_um, x_um) if self.desk.section else None
        if row is not None:
            self._select_holding(row)

    def _select_holding(self, row: int) -> None:
        place = int(self._places[row]) if row < len(self._places) else -1
        if place >= 0:
            go_to(self.table, self.model.index(place, 0))

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Narrow docks would cut the buttons."""
        return QSize(max(340, super().minimumSizeHint().width()), 400)
