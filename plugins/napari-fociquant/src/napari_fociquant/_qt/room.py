"""Room for fonts of any size: what does not fit goes to the next line, or is scrolled to."""

from __future__ import annotations

from qtpy.QtCore import QCoreApplication, QEvent, QObject, QRect, QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLayout,
    QLayoutItem,
    QScrollArea,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_fociquant._qt.parts import header_of, side_header_of

LEAST_PX = 80
"""Height of what is scrolled at least."""


class WrappingRow(QHBoxLayout):
    """A row of controls; where they do not fit beside each other, those at the end go below."""

    def hasHeightForWidth(self) -> bool:  # noqa: N802 - Qt's name
        """A narrow row is higher."""
        return True

    def heightForWidth(self, a0: int) -> int:  # noqa: N802 - Qt's name
        """Of all lines."""
        heights = [_height(line) for line in self._lines(a0)]
        return sum(heights) + self._gap() * max(len(heights) - 1, 0)

    def minimumHeightForWidth(self, a0: int) -> int:  # noqa: N802 - Qt's name
        """Controls are not squeezed."""
        return self.heightForWidth(a0)

    def minimumSize(self) -> QSize:  # noqa: N802 - Qt's name
        """One control below the other."""
        least = super().minimumSize()
        widths = [item.minimumSize().width() for item in self._parts()]
        return QSize(max(widths, default=0), least.height())

    def setGeometry(self, a0: QRect) -> None:  # noqa: N802 - Qt's name
        """One line as Qt makes it, or several."""
        if super().minimumSize().width() <= a0.width():
            super().setGeometry(a0)
            return
        QLayout.setGeometry(self, a0)
        top = a0.top()
        for line in self._lines(a0.width()):
            self._place(line, QRect(a0.left(), top, a0.width(), _height(line)))
            top += _height(line) + self._gap()

    def _parts(self) -> list[QLayoutItem]:
        """What is to be seen."""
        items = [self.itemAt(place) for place in range(self.count())]
        return [item for item in items if item is not None and not item.isEmpty()]

    def _gap(self) -> int:
        return max(self.spacing(), 0)

    def _lines(self, width: int) -> list[list[QLayoutItem]]:
        lines: list[list[QLayoutItem]] = []
        left = 0
        for item in self._parts():
            needed = item.minimumSize().width() + self._gap()
            if not lines or needed > left:
                lines.append([])
                left = width + self._gap()
            lines[-1].append(item)
            left -= needed
        return lines

    def _place(self, line: list[QLayoutItem], rect: QRect) -> None:
        """Fill a line; what is left is shared evenly."""
        room = rect.width() - self._gap() * (len(line) - 1)
        widths = [max(item.sizeHint().width(), item.minimumSize().width()) for item in line]
        if sum(widths) > room:
            widths = [item.minimumSize().width() for item in line]
        spare = max(room - sum(widths), 0)
        left = rect.left()
        for number, (item, width) in enumerate(zip(line, widths, strict=True)):
            more = spare * (number + 1) // len(line) - spare * number // len(line)
            item.setGeometry(QRect(left, rect.top(), width + more, rect.height()))
            left += width + more + self._gap()


def _height(line: list[QLayoutItem]) -> int:
    return max(item.sizeHint().height() for item in line)


class Body(QWidget):
    """What is scrolled: as high as it must be, not as high as it would like to be.

    Its parts lie below each other in `column`; the margin is that of the widget round it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)

    def heightForWidth(self, a0: int) -> int:  # noqa: N802 - Qt's name
        """Lists and pictures shrink before anything is scrolled."""
        return self.column.minimumHeightForWidth(a0)


class Scrolled(QScrollArea):
    """Shows its content as it is where there is room, and scrolls it where there is not.

    Parameters
    ----------
    content : QWidget
        With all that is in it. The wheel scrolls over its boxes too; it would change what they
        say, unnoticed.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys go to who had them without it
        self.setWidget(content)
        self._content, self._width = content, 0
        for box in (*content.findChildren(QComboBox), *content.findChildren(QAbstractSpinBox)):
            box.installEventFilter(self)

    def eventFilter(self, a0: QObject | None, a1: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """The wheel passes by boxes."""
        boxes = (QComboBox, QAbstractSpinBox)
        if a1 is not None and a1.type() == QEvent.Type.Wheel and isinstance(a0, boxes):
            a1.ignore()
            return True
        return bool(super().eventFilter(a0, a1))

    def event(self, a0: QEvent | None) -> bool:
        """Another font or other words: the dock may have to be wider."""
        done = bool(super().event(a0))
        if a0 is not None and a0.type() == QEvent.Type.LayoutRequest:
            self._ask_for_width()
        return done

    def resizeEvent(self, a0: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """The bar has come or gone."""
        super().resizeEvent(a0)
        self._ask_for_width()

    def show_part(self, part: QWidget) -> None:
        """Scroll to something that has just come."""
        # Only now is it known where it is.
        QCoreApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
        self.ensureWidgetVisible(part)

    def _ask_for_width(self) -> None:
        width = self.minimumSizeHint().width()
        if width != self._width:
            self._width = width
            self.updateGeometry()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """What the content would like to have."""
        return self._content.sizeHint()

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As wide as the content must be; as low as one likes."""
        bar, view = self.verticalScrollBar(), self.viewport()
        beside = 0
        if bar is not None and view is not None and bar.maximum() > 0:
            # Some styles leave a gap beside it.
            beside = max(bar.sizeHint().width(), self.width() - view.width())
        return QSize(self._content.minimumSizeHint().width() + beside, LEAST_PX)


def rows_px(table: QTableView, rows: int) -> int:
    """Height of a table that shows so many rows, px."""
    bar = table.horizontalScrollBar()
    beside = header_of(table).sizeHint().height() + 2 * table.frameWidth()
    beside += bar.sizeHint().height() if bar is not None else 0
    return beside + rows * side_header_of(table).defaultSectionSize()
