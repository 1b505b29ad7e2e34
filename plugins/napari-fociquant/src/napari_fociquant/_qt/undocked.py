"""A widget whose dock was closed goes at once."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget


class GoesUndocked(QObject):
    """Deletes a widget that is taken out of its dock.

    napari closes a dock by leaving its widget without a parent. It would stay, unseen, at work
    with the others, or be taken apart by Python's garbage collector in any order, which ends the
    program where a part of it is called that is gone already.

    Parameters
    ----------
    widget : QWidget
        Watched from now on, while it lives.
    """

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        widget.installEventFilter(self)

    def eventFilter(self, a0: QObject | None, a1: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """See it lose its parent."""
        moved = a1 is not None and a1.type() == QEvent.Type.ParentChange
        if moved and isinstance(a0, QWidget) and a0.parentWidget() is None:
            a0.deleteLater()
        return False
