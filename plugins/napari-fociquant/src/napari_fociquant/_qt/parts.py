"""Parts of Qt's widgets that are always there, though its types say they may not be."""

from __future__ import annotations

from typing import TypeVar

from qtpy.QtCore import QItemSelectionModel
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

T = TypeVar("T")


class MissingPartError(RuntimeError):
    """A widget without one of its parts: it was deleted by Qt."""


def header_of(table: QTableView) -> QHeaderView:
    """The horizontal header of a table."""
    return _there(table.horizontalHeader())


def side_header_of(table: QTableView) -> QHeaderView:
    """The vertical header of a table."""
    return _there(table.verticalHeader())


def selection_of(view: QAbstractItemView) -> QItemSelectionModel:
    """The selection of a view that has a model."""
    return _there(view.selectionModel())


def viewport_of(view: QAbstractItemView) -> QWidget:
    """What of a view is painted."""
    return _there(view.viewport())


def _there(part: T | None) -> T:
    if part is None:
        raise MissingPartError("a part of the window is gone")
    return part
