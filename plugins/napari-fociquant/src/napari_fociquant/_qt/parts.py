"""Parts of Qt's widgets that are always there, though its types say they may not be."""

from __future__ import annotations

from typing import TypeVar

from qtpy.QtCore import QItemSelectionModel, QModelIndex
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QTableView, QWidget

T = TypeVar("T")


NOTICE_STYLE = "color: #F0E442; background-color: #22262B;"
"""Of what the user must read: yellow on dark, also where napari's theme is light."""


LEGEND_STYLE = "color: #E6E6E6; background-color: #22262B;"
"""Of words in colours that are made for a dark slide: on dark, whatever the theme."""


class MissingPartError(RuntimeError):
    """A widget without one of its parts: it was deleted by Qt."""


def title_label() -> QLabel:
    """A line that a long name of a section does not widen; hovering shows all of it."""
    label = _Shortened()
    label.setMinimumWidth(80)
    return label


class _Shortened(QLabel):
    def setText(self, a0: str | None) -> None:  # noqa: N802 - Qt's name
        super().setText(a0)
        self.setToolTip(a0 or "")


def together(html: str) -> str:
    """Words that stay on one line; no tags with attributes may be in it."""
    return html.replace(" ", "&nbsp;")


def header_of(table: QTableView) -> QHeaderView:
    """The horizontal header of a table."""
    return _there(table.horizontalHeader())


def side_header_of(table: QTableView) -> QHeaderView:
    """The vertical header of a table."""
    return _there(table.verticalHeader())


def selection_of(view: QAbstractItemView) -> QItemSelectionModel:
    """The selection of a view that has a model."""
    return _there(view.selectionModel())


def go_to(view: QAbstractItemView, index: QModelIndex) -> None:
    """Make one line the current one and the only one selected, whichever keys are held."""
    flags = QItemSelectionModel.SelectionFlag
    selection_of(view).setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)


def viewport_of(view: QAbstractItemView) -> QWidget:
    """What of a view is painted."""
    return _there(view.viewport())


def _there(part: T | None) -> T:
    if part is None:
        raise MissingPartError("a part of the window is gone")
    return part
