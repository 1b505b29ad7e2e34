"""Keys of a widget, and the line that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import QLabel, QMessageBox

from napari_fociquant._config import config_file
from napari_fociquant._keys import ACTIONS

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk


def pressed(event: QKeyEvent, keys: Mapping[str, str]) -> str:
    """The action of a key press; ``""`` if there is none."""
    combination = event.keyCombination() if hasattr(event, "keyCombination") else event.key()
    text = QKeySequence(combination).toString()
    alike = {"Enter": "Return"}
    text = alike.get(text.removeprefix("Num+"), text.removeprefix("Num+"))
    return next((name for name, key in keys.items() if key and _same(key, text)), "")


def _same(key: str, text: str) -> bool:
    return QKeySequence(key).toString().casefold() == text.casefold()


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
