"""A grid of candidates, most doubtful first; many are decided at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, QSize, Qt
from qtpy.QtGui import QKeyEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListView,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_fociquant._looks import COUNTING
from napari_fociquant._qt.comment_box import CommentDialog
from napari_fociquant._qt.desk import desk_of
from napari_fociquant._qt.finding import find_cell
from napari_fociquant._qt.gallery_model import (
    NO_TILES,
    TILE_PX,
    GalleryModel,
    Tile,
    TileDelegate,
    Tiles,
)
from napari_fociquant._qt.keys import KeyBar, KeyButton, took_key
from napari_fociquant._qt.legend import Legend
from napari_fociquant._qt.notices import NoticeLine
from napari_fociquant._qt.parts import (
    LEGEND_STYLE,
    go_to,
    selection_of,
    title_label,
    viewport_of,
)
from napari_fociquant._qt.reason_box import ReasonBox
from napari_fociquant._qt.room import Body, Scrolled, WrappingRow
from napari_fociquant._section import OpenSection

if TYPE_CHECKING:
    from napari.viewer import Viewer

EVERYTHING, UNDECIDED, COUNTED, NOT_COUNTED = (
    "all candidates", "not decided yet", "counted", "not counted",
)  # fmt: skip
"""What the gallery can show."""

COLUMNS = 4
"""Tiles beside each other at least."""

KEYS = ("accept", "reject", "next", "previous", "undo", "redo", "jump", "unstained", "find",
        "comment", "sign_off", "next_section")  # fmt: skip
"""Those that are shown below the grid."""

ROWS = 2
"""Rows of them at least."""

UNSTAINED = "autofluorescence"
"""Role of the unstained channel."""

CHANNELS = 4
"""Channels beside each other; more begin another line."""


class TileView(QListView):
    """The grid; a double click or Enter jumps to the place, keys decide."""

    def __init__(self, owner: GalleryWidget) -> None:
        super().__init__()
        self._owner = owner
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setLayoutMode(QListView.LayoutMode.Batched)
        self.setBatchSize(500)
        self.setUniformItemSizes(True)
        self.setGridSize(QSize(TILE_PX, TILE_PX))
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setSelectionRectVisible(True)
        self.setItemDelegate(TileDelegate(self))
        self.setAccessibleName("Candidates")
        self.setMinimumSize(COLUMNS * TILE_PX + 22, ROWS * TILE_PX)

    def paintEvent(self, e: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Where there is no tile, words."""
        super().paintEvent(e)
        words = self._owner.why_empty()
        if words:
            port = viewport_of(self)
            around = port.rect().adjusted(20, 10, -20, -10)
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            QPainter(port).drawText(around, int(flags), words)

    def keyPressEvent(self, e: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Keys of the review before those of a list."""
        if not took_key(self._owner, e):
            super().keyPressEvent(e)


class GalleryWidget(QWidget):
    """Dock widget: review of candidates in a grid.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.desk = desk_of(napari_viewer, self)
        self.model = GalleryModel(self)
        self.grid = TileView(self)
        self.grid.setModel(self.model)
        self.filter = QComboBox()
        self.filter.addItems([EVERYTHING, UNDECIDED, COUNTED, NOT_COUNTED])
        self.channels = QGridLayout()
        self.boxes: list[QCheckBox] = []
        self.title = title_label()
        self.outlines = QCheckBox("outlines")
        self.outlines.setChecked(True)
        self.outlines.setToolTip("Round the candidate in the middle of its crop")
        self.reason = ReasonBox()
        self.sign_off = QPushButton("Sign off this section")
        self._build()
        self._connect()
        self._show_section()
        self.setFocusProxy(self.grid)

    def _build(self) -> None:
        top = WrappingRow()
        top.addWidget(self.outlines)
        show = QHBoxLayout()
        show.addWidget(QLabel("show"))
        show.addWidget(self.filter)
        top.addLayout(show)
        buttons = WrappingRow()
        for name, text in (("accept", "Accept"), ("reject", "Reject"), ("undo", "Undo"),
                           ("jump", "Show in slide")):  # fmt: skip
            buttons.addWidget(KeyButton(self.desk, name, text, self.act))
        body = Body()
        inner = body.column
        inner.addWidget(self.title)
        inner.addLayout(top)
        inner.addLayout(self.channels)
        inner.addWidget(self.grid, 1)
        inner.addLayout(buttons)
        last = WrappingRow()
        last.addWidget(self.reason, 1)
        last.addWidget(KeyButton(self.desk, "comment", "Comment …", self.act))
        last.addWidget(self.sign_off)
        inner.addLayout(last)
        inner.addWidget(Legend(self.desk, foci=False))
        layout = QVBoxLayout(self)
        layout.addWidget(Scrolled(body), 1)
        layout.addWidget(NoticeLine(self.desk))
        layout.addWidget(KeyBar(self.desk, KEYS))

    def _connect(self) -> None:
        self.desk.section_changed.connect(self._show_section)
        self.desk.decided.connect(self.model.refresh)
        self.desk.decided.connect(self._say_progress)
        self.outlines.toggled.connect(self.model.set_outlines)
        self.filter.currentTextChanged.connect(lambda _: self._fill())
        self.grid.doubleClicked.connect(self._jump_to)
        self.sign_off.clicked.connect(lambda: self.desk.sign_off())
        self.model.restated.connect(viewport_of(self.grid).update)
        self.model.loader.failed.connect(self.desk.say)
        self.destroyed.connect(self.model.loader.stop)
        self.desk.routing.join(self, self.act)

    def _show_section(self) -> None:
        self._say_progress()
        self._fill()
        self._show_channels()

    def _say_progress(self) -> None:
        section = self.desk.section
        if section is None:
            self.title.setText("No section is open: open one in the widget 'Study'.")
            return
        session, number = section.session, len(section.looks.rows)
        # With second looks: they would be known by a number that stays.
        done = int(section.looks.decided(session).sum())
        signed = ", signed off" if session.signed_off else ""
        unseen = ", without its image" if section.image is None else ""
        words = f"{done} of {number} candidates decided{signed}{unseen}"
        self.title.setText(f"Section {section.code}: {words}")

    def _show_channels(self) -> None:
        while self.boxes:
            self.boxes.pop().deleteLater()
        section = self.desk.section
        if section is None:
            return
        for number, role in enumerate(section.roles):
            box = QCheckBox(section.results.channel_names[role])
            box.setChecked(self.model.shown[number])
            box.setStyleSheet(LEGEND_STYLE + f"color: {section.colours[number]};")
            box.toggled.connect(lambda on, n=number: self.model.set_shown(n, on))
            self.channels.addWidget(box, number // CHANNELS, number % CHANNELS)
            self.boxes.append(box)

    def _fill(self) -> None:
        section = self.desk.section
        self.model.show(section, self._tiles(section) if section else NO_TILES)
        if self.model.tiles:
            go_to(self.grid, self.model.index(0))

    def why_empty(self) -> str:
        """What is said where no candidate is shown; ``""`` where some are."""
        section = self.desk.section
        if section is None or len(self.model.tiles):
            return ""
        if len(section.looks.rows):
            return f"No candidate of this section is '{self.filter.currentText()}'."
        return (
            "There is no candidate in this section. Look through the slide, add in the widget "
            "'Queue review' what was missed, then sign off."
        )

    def _tiles(self, section: OpenSection) -> Tiles:
        """Those that are to be seen: a second look by its own state, as any other."""
        wanted = self._wanted(section)
        return Tiles(section.looks.rows[wanted], section.looks.again[wanted])

    def _wanted(self, section: OpenSection) -> np.ndarray:
        looks, session = section.looks, section.session
        counted = np.isin(looks.codes(session, section.codes()), COUNTING)
        masks = {
            UNDECIDED: ~looks.decided(session), COUNTED: counted, NOT_COUNTED: ~counted,
        }  # fmt: skip
        return masks.get(self.filter.currentText(), np.ones(len(counted), bool))

    def selected(self) -> list[Tile]:
        """Tiles that are selected."""
        rows = sorted(index.row() for index in self.grid.selectedIndexes())
        return [self.model.tiles[row] for row in rows]

    def act(self, name: str) -> bool:
        """Do what a key or a button says; False if it is none of the gallery's."""
        actions = {
            "accept": lambda: self._decide(accept=True),
            "reject": lambda: self._decide(accept=False),
            "comment": self._comment,
            "undo": self._undo,
            "next": lambda: self._step(1),
            "previous": lambda: self._step(-1),
            "unstained": self._toggle_unstained,
            "find": self._find,
            "jump": lambda: self._jump_to(self.grid.currentIndex()),
        }
        if name not in actions:
            return self.desk.act(name)
        actions[name]()
        return True

    def _decide(self, *, accept: bool) -> None:
        tiles, reason = self.selected(), self.reason.currentText().strip()
        if not tiles:
            self.desk.say(
                f"{'Select a candidate' if self.desk.section else 'Open a section'} first."
            )
            return
        decide = self.desk.accept if accept else self.desk.reject
        # At once, so that they are taken back at once.
        rows, repeats = [tile.row for tile in tiles], [tile.repeat for tile in tiles]
        if decide(rows, repeat=repeats, reason=reason):
            self.reason.take()
            self._advance(tiles)

    def _comment(self) -> None:
        if self.desk.section is None:
            self.desk.say("Open a section first.")
            return
        rows = np.unique([tile.row for tile in self.selected()])
        what = "the selected candidate" if len(rows) == 1 else f"the {len(rows)} selected ones"
        CommentDialog(self.desk, rows, what, self).open()

    def _advance(self, tiles: list[Tile]) -> None:
        """The tile after the last one decided is the next."""
        rows = [index.row() for index in self.grid.selectedIndexes()]
        if tiles and rows and max(rows) + 1 < len(self.model.tiles):
            go_to(self.grid, self.model.index(max(rows) + 1))

    def _step(self, step: int) -> None:
        """Go on, or back, by so many tiles."""
        place = self.grid.currentIndex().row() + step
        if 0 <= place < len(self.model.tiles):
            go_to(self.grid, self.model.index(place))

    def _undo(self) -> None:
        """Take back, and go back to what it was about."""
        self._select_rows(*self.desk.undo_rows())

    def _select_rows(self, rows: np.ndarray, again: np.ndarray) -> None:
        """Select candidates, and second looks; neither leads to the other."""
        tiles = self.model.tiles
        wanted = np.where(tiles.repeats, np.isin(tiles.rows, again), np.isin(tiles.rows, rows))
        places = np.flatnonzero(wanted)
        if not len(places):
            return
        go_to(self.grid, self.model.index(int(places[0])))
        chosen = QItemSelection()
        for place in places.tolist():
            chosen.select(self.model.index(place), self.model.index(place))
        selection_of(self.grid).select(chosen, QItemSelectionModel.SelectionFlag.Select)

    def _find(self) -> None:
        row = find_cell(self.desk, self)
        if row < 0:
            return
        if row not in self.model.tiles.rows:
            self.filter.setCurrentText(EVERYTHING)
        self._select_rows(np.array([row]), np.zeros(0, np.int64))

    def _toggle_unstained(self) -> None:
        """In crops as in the slide."""
        roles = list(self.desk.section.roles) if self.desk.section else []
        if UNSTAINED not in roles:
            self.desk.say("There is no unstained channel.")
            return
        box = self.boxes[roles.index(UNSTAINED)]
        box.toggle()
        self.desk.view.set_visible(UNSTAINED, on=box.isChecked())

    def _jump_to(self, index: QModelIndex) -> None:
        section = self.desk.section
        if section is not None and index.isValid():
            row = self.model.tiles[index.row()].row
            place = float(section.session.y_um[row]), float(section.session.x_um[row])
            self.desk.view.jump(*place)
            self.desk.view.mark(*place)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Narrow docks would cut the grid."""
        return QSize(super().minimumSizeHint().width(), 400)
