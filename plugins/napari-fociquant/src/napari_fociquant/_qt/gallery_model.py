"""Candidates as a list that Qt asks for what it shows, and how one is drawn."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from qtpy.QtCore import QAbstractListModel, QModelIndex, QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QPainter, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from napari_fociquant._colours import COLOURS, MEANINGS, SIGNS, Shown
from napari_fociquant._crops import colour_crop
from napari_fociquant._looks import second_codes
from napari_fociquant._qt.crop_loader import CropLoader
from napari_fociquant._qt.pixmaps import placed, to_pixmap
from napari_fociquant._section import OpenSection

TILE_PX = 104
"""Edge of a tile on the screen, px."""

FRAME_PX = 4
"""Width of its frame, whose colour is its state, px."""

PIXMAPS = 1500
"""Coloured crops kept."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile.

    Parameters
    ----------
    row : int
        Of the session.
    repeat : bool
        Shown a second time, unannounced.
    """

    row: int
    repeat: bool = False


class Tiles(Sequence[Tile]):
    """Tiles made when they are asked for: 100 000 of them would take a second to make.

    Parameters
    ----------
    rows : numpy.ndarray of int64, shape (n,)
    repeats : numpy.ndarray of bool, shape (n,)
    """

    def __init__(self, rows: np.ndarray, repeats: np.ndarray) -> None:
        self.rows, self.repeats = rows, repeats

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> Tile: ...

    @overload
    def __getitem__(self, place: slice) -> Tiles: ...

    def __getitem__(self, place: int | slice) -> Tile | Tiles:
        if isinstance(place, slice):
            return Tiles(self.rows[place], self.repeats[place])
        return Tile(int(self.rows[place]), bool(self.repeats[place]))


NO_TILES = Tiles(np.zeros(0, np.int64), np.zeros(0, bool))
"""Where no section is open."""


class GalleryModel(QAbstractListModel):
    """Tiles of one section, in the order of review.

    Attributes
    ----------
    restated : Signal()
        Tiles look otherwise. Not ``dataChanged``: for that Qt would ask the size of every tile.
    """

    restated = Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.section: OpenSection | None = None
        self.tiles: Tiles = NO_TILES
        self.shown: list[bool] = []
        self._roles: list[str] = []
        self._off: set[str] = set()
        self.outlined = True
        self._codes = np.zeros(0, np.uint8)
        self._again = np.zeros(0, np.uint8)
        self._pixmaps: OrderedDict[int, QPixmap] = OrderedDict()
        self._crops: OrderedDict[int, np.ndarray] = OrderedDict()
        self.loader = CropLoader(self)
        self.loader.loaded.connect(self._take)

    def show(self, section: OpenSection | None, tiles: Tiles) -> None:
        """Other tiles, or those of another section."""
        self.beginResetModel()
        if section is not self.section:
            self._crops.clear()
            self._pixmaps.clear()
            self._show_roles(section)
            self.loader.set_reader(section.crops if section else None)
        self.section, self.tiles = section, tiles
        self._take_states()
        self.endResetModel()

    def _show_roles(self, section: OpenSection | None) -> None:
        """Channels that were switched off stay so in the next section."""
        if section is not None:
            self._roles = list(section.roles)
            self.shown = [role not in self._off for role in self._roles]

    def set_shown(self, channel: int, on: bool) -> None:
        """Switch a channel of all crops."""
        self.shown[channel] = on
        role = self._roles[channel]
        self._off = self._off - {role} if on else self._off | {role}
        self._pixmaps.clear()
        self.restated.emit()

    def set_outlines(self, on: bool) -> None:
        """Draw the outline of each candidate or not."""
        self.outlined = on
        self.restated.emit()

    def ring(self, tile: Tile, square: QRectF) -> QPolygonF:
        """The outline of a candidate where its crop fills `square`; empty where none is drawn."""
        section = self.section
        if not self.outlined or section is None or section.crops is None:
            return QPolygonF()
        session = section.session
        frame = section.crops.frame_um(session.y_um[tile.row], session.x_um[tile.row])
        return placed(section.outlines.of(tile.row), frame, square)

    def refresh(self) -> None:
        """Draw states anew."""
        self._take_states()
        self.restated.emit()

    def _take_states(self) -> None:
        section = self.section
        self._codes = section.codes() if section else np.zeros(0, np.uint8)
        self._again = second_codes(section.session) if section else np.zeros(0, np.uint8)

    def state(self, tile: Tile) -> Shown:
        """How a tile is framed."""
        return Shown(int((self._again if tile.repeat else self._codes)[tile.row]))

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Number of tiles."""
        return 0 if parent is not None and parent.isValid() else len(self.tiles)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The tooltip; everything else is drawn by :class:`TileDelegate`."""
        if role != Qt.ItemDataRole.ToolTipRole or self.section is None:
            return None
        tile = self.tiles[index.row()]
        cells = self.section.session.cells
        if tile.row >= len(cells):
            return MEANINGS[self.state(tile)]
        flags = str(cells["flags"].iat[tile.row]).replace(";", ", ") or "no flag"
        score = float(cells["score"].to_numpy(np.float64)[tile.row])
        # A comment on the first look would tell a second one.
        said = [] if tile.repeat else self.section.session.comments
        words = [one.reason for one, rows in said if tile.row in rows]
        return "\n".join([MEANINGS.get(self.state(tile), ""), f"certainty {score:.1f}, {flags}",
                          *(f"“{text}”" for text in words)])  # fmt: skip

    def pixmap(self, tile: Tile) -> QPixmap | None:
        """The coloured crop; None while it is being read."""
        kept = self._pixmaps.get(tile.row)
        if kept is not None or self.section is None:
            return kept
        crop = self._crops.get(tile.row)
        if crop is None:
            session = self.section.session
            self.loader.wish(tile.row, session.y_um[tile.row], session.x_um[tile.row])
            return None
        made = self._colour(crop)
        self._pixmaps[tile.row] = made
        while len(self._pixmaps) > PIXMAPS:
            self._pixmaps.popitem(last=False)
        return made

    def _colour(self, crop: np.ndarray) -> QPixmap:
        section = self.section
        if section is None:
            return QPixmap()
        return to_pixmap(colour_crop(crop, section.limits, section.colours, self.shown))

    def _take(self, row: int, crop: np.ndarray) -> None:
        self._crops[row] = crop
        while len(self._crops) > PIXMAPS:
            self._crops.popitem(last=False)
        self.restated.emit()


class TileDelegate(QStyledItemDelegate):
    """Draws a crop, framed in the colour of its state, with a sign for it."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:  # noqa: N802
        """All tiles are of one size."""
        return QSize(TILE_PX, TILE_PX)

    def paint(
        self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """Crop, frame, sign; a second frame where it is selected."""
        model = index.model()
        if painter is None or not isinstance(model, GalleryModel):
            return
        tile = model.tiles[index.row()]
        state = model.state(tile)
        rect = option.rect.adjusted(3, 3, -3, -3)
        painter.fillRect(rect, QColor("#101010"))
        pixmap = model.pixmap(tile)
        if pixmap is not None:
            painter.drawPixmap(rect, pixmap)
            painter.setPen(QPen(QColor(255, 255, 255, 200), 1))
            painter.drawPolygon(model.ring(tile, QRectF(rect)))
        self._frame(painter, rect, COLOURS.get(state, "#9A9A9A"))
        self._sign(painter, rect, state)
        if option.state & QStyle.StateFlag.State_Selected:
            painter.setPen(QPen(QColor("#FFFFFF"), 2, Qt.PenStyle.DotLine))
            painter.drawRect(option.rect.adjusted(1, 1, -2, -2))

    @staticmethod
    def _frame(painter: QPainter, rect: QRect, colour: str) -> None:
        pen = QPen(QColor(colour), FRAME_PX)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        painter.setPen(pen)
        half = FRAME_PX // 2
        painter.drawRect(rect.adjusted(half, half, -half, -half))

    @staticmethod
    def _sign(painter: QPainter, rect: QRect, state: Shown) -> None:
        sign = SIGNS.get(state, "")
        if not sign:
            return
        box = QRect(rect.right() - 24, rect.top() + 2, 22, 22)
        painter.fillRect(box, QColor(0, 0, 0, 170))
        font = QFont(painter.font())
        font.setPixelSize(17)
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(QColor(COLOURS[state]))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, sign)
