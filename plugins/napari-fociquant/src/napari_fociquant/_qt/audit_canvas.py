"""One place of an audit, drawn: pixels, outlines, nothing of what the program thinks."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QBrush, QColor, QPainter, QPaintEvent, QPen, QPixmap
from qtpy.QtWidgets import QWidget

from fociquant.review import AuditItem
from napari_fociquant._audit import Picture
from napari_fociquant._qt.pixmaps import placed, to_pixmap

LEAST_PX = 300
"""Smallest edge on the screen, px."""

LINE, FIELD_LINE, LEFT_OUT = "#FFFFFF", "#F0E442", "#7A6FB0"
"""Outlines of candidates, border of a field, what is excluded of it."""


STRIP = 0.26
"""Height of the channels below the picture, as a share of the widget's."""

GAP_PX = 4
"""Between pictures, px."""


class AuditCanvas(QWidget):
    """A square picture in colours, and each channel alone below it: colours that are added up
    turn white where several are bright, as autofluorescence is.
    """

    def __init__(self) -> None:
        super().__init__()
        self._item: AuditItem | None = None
        self._picture: Picture | None = None
        self._pixmap: QPixmap | None = None
        self._alone: list[QPixmap] = []
        self._words = ""
        self._outlines = True
        self.setMinimumSize(LEAST_PX, LEAST_PX)
        self.setAccessibleName("Place to be judged")

    @property
    def ready(self) -> bool:
        """Whether the place is to be seen."""
        return self._pixmap is not None

    def show_words(self, words: str) -> None:
        """Words in place of a picture."""
        self._item = self._picture = self._pixmap = None
        self._words = words
        self.update()

    def show_picture(self, item: AuditItem, picture: Picture, shown: Sequence[bool]) -> None:
        """A place, with the channels that are switched on."""
        self._item, self._picture = item, picture
        self._pixmap = to_pixmap(picture.coloured(shown))
        roles = range(len(picture.colours))
        self._alone = [to_pixmap(picture.coloured([i == one for i in roles])) for one in roles]
        self.update()

    def set_outlines(self, on: bool) -> None:
        """Draw outlines or not."""
        self._outlines = on
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """A comfortable square."""
        return QSize(520, 520)

    def paintEvent(self, a0: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Pixels, then lines."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor("#101010"))
        if self._pixmap is None or self._item is None or self._picture is None:
            painter.setPen(QColor("#D0D0D0"))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect(), int(flags), self._words)
            painter.end()
            return
        square = self._square()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawPixmap(square, self._pixmap, QRectF(self._pixmap.rect()))
        self._draw_strip(painter, self._picture.colours)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipRect(square)
        self._draw_lines(painter, self._item, self._picture.frame_um, square)
        painter.end()

    def _strip_px(self) -> float:
        """Edge of the picture of one channel."""
        number = max(len(self._alone), 1)
        return min(self.width() / number - GAP_PX, STRIP * self.height())

    def _square(self) -> QRectF:
        edge = min(float(self.width()), self.height() - self._strip_px() - GAP_PX)
        return QRectF((self.width() - edge) / 2, 0.0, edge, edge)

    def _draw_strip(self, painter: QPainter, colours: Sequence[str]) -> None:
        """Each channel alone, in white, framed in its colour."""
        edge, top = self._strip_px(), self._square().bottom() + GAP_PX
        left = (self.width() - len(self._alone) * (edge + GAP_PX)) / 2
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for number, (pixmap, colour) in enumerate(zip(self._alone, colours, strict=True)):
            place = QRectF(left + number * (edge + GAP_PX), top, edge, edge)
            painter.drawPixmap(place, pixmap, QRectF(pixmap.rect()))
            painter.setPen(QPen(QColor(colour), 2))
            painter.drawRect(place.adjusted(1, 1, -1, -1))

    def _draw_lines(
        self, painter: QPainter, item: AuditItem, frame: tuple[float, float, float, float],
        square: QRectF,
    ) -> None:  # fmt: skip
        if item.is_field:
            y0, x0, y1, x1 = item.span_um
            painter.setBrush(QBrush(QColor(LEFT_OUT), Qt.BrushStyle.BDiagPattern))
            painter.setPen(QPen(QColor(LEFT_OUT), 1))
            for ring in item.left_out:
                painter.drawPolygon(placed(ring, frame, square))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(FIELD_LINE), 2))
            painter.drawPolygon(placed((y0, x0, y0, x1, y1, x1, y1, x0), frame, square))
        if not self._outlines:
            return
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(LINE), 1.2, Qt.PenStyle.DotLine))
        for ring in outlines_of(item):
            painter.drawPolygon(placed(ring, frame, square))


def outlines_of(item: AuditItem) -> tuple[tuple[float, ...], ...]:
    """What is outlined: the object, or all candidates of a field, in one manner."""
    if item.is_field:
        return item.outlines
    return (item.ref.outline,) if item.ref is not None and item.ref.outline else ()
