"""Keys of a widget, and the line that shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import QLabel, QMessageBox, QShortcut, QWidget

from napari_fociquant._config import config_file
from napari_fociquant._keys import ACTIONS

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk

ROUTED = tuple(action.name for action in ACTIONS if action.name != "jump")
"""Actions whose keys work in the whole window; Enter means too much elsewhere."""


def pressed(event: QKeyEvent, keys: Mapping[str, str]) -> str:
    """The action of a key press; ``""`` if there is none."""
    combination = event.keyCombination() if hasattr(event, "keyCombination") else event.key()
    text = QKeySequence(combination).toString()
    alike = {"Enter": "Return"}
    text = alike.get(text.removeprefix("Num+"), text.removeprefix("Num+"))
    return next((name for name, key in keys.items() if key and _same(key, text)), "")


def _same(key: str, text: str) -> bool:
    return QKeySequence(key).toString().casefold() == text.casefold()


class KeyRouter(QObject):
    """Keys that work wherever the focus is in the window, but where text is written.

    One shortcut per action, for the whole window: two widgets with the same shortcut would
    make Qt choose neither.

    Parameters
    ----------
    widget : QWidget
        Docked; the shortcuts belong to its window.
    keys : mapping of str to str
    act : callable
        Called with the name of the action.
    """

    def __init__(
        self, widget: QWidget, keys: Mapping[str, str], act: Callable[[str], object]
    ) -> None:
        super().__init__(widget)
        self._shortcuts = [self._shortcut(widget, keys[name], name, act) for name in ROUTED
                           if keys.get(name)]  # fmt: skip

    @staticmethod
    def _shortcut(widget: QWidget, key: str, name: str, act: Callable[[str], object]) -> QShortcut:
        shortcut = QShortcut(QKeySequence(key), widget)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.activated.connect(lambda: act(name))
        return shortcut


def help_text(keys: Mapping[str, str]) -> str:
    """All keys, one a line, and where they are set."""
    lines = [f"<tr><td><b>{keys[a.name] or '–'}</b></td><td>&nbsp;&nbsp;{a.text}</td></tr>"
             for a in ACTIONS]  # fmt: skip
    where = config_file().name
    return (
        f"<table>{''.join(lines)}</table><p>Other keys: the file {where} in your folder for "
        'settings, for example {"keys": {"accept": "Y"}}.</p>'
    )


class KeyBar(QLabel):
    """One line with the keys that matter here; a click shows all of them."""

    def __init__(self, desk: Desk, names: Sequence[str]) -> None:
        known = {action.name: action for action in ACTIONS}
        parts = [f"<b>{desk.keys[n] or '–'}</b> {known[n].short}" for n in names]
        super().__init__(
            "&nbsp;&nbsp; ".join([*parts, '<a href="all" style="color:#56B4E9">all keys</a>'])
        )
        self._desk = desk
        self.setWordWrap(True)
        self.linkActivated.connect(lambda _: self.show_all())

    def show_all(self) -> None:
        """A window with every key."""
        box = QMessageBox(self)
        box.setWindowTitle("Keys of the review")
        box.setText(help_text(self._desk.keys))
        box.setModal(False)
        box.show()
