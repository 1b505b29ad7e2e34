"""Keys of a widget: read from a press, shown in a line and on buttons, set in a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QKeySequenceEdit,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_fociquant._keys import ACTIONS, shared_keys
from napari_fociquant._qt.parts import NOTICE_STYLE, together

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk

WIDE_KEY = "Ctrl+Shift+Z_____"
"""There is room for this, whatever the font."""


def pressed(event: QKeyEvent, keys: Mapping[str, str]) -> str:
    """The action of a key press; ``""`` if there is none."""
    combination = event.keyCombination() if hasattr(event, "keyCombination") else event.key()
    text = QKeySequence(combination).toString()
    alike = {"Enter": "Return"}
    text = alike.get(text.removeprefix("Num+"), text.removeprefix("Num+"))
    return next((name for name, key in keys.items() if key and _same(key, text)), "")


class KeyOwner(Protocol):
    """A widget that does what keys say."""

    desk: Desk

    def act(self, name: str) -> bool:
        """Do what a key or a button says; False if it is none of the widget's."""
        ...


def real_keys(overrides: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Keys of the settings file that a keyboard has, and what is said about the others."""
    good = {n: k for n, k in overrides.items() if not k.strip() or QKeySequence(k).toString()}
    problems = [
        f"{key!r} is no key: the usual one is used for {name!r}. Set another one under 'all keys'."
        for name, key in overrides.items() if name not in good
    ]  # fmt: skip
    return good, problems


def took_key(owner: KeyOwner, event: QKeyEvent | None) -> bool:
    """Whether a key press was one of the review's; then it has been done."""
    return event is not None and owner.act(pressed(event, owner.desk.keys))


def _same(key: str, text: str) -> bool:
    return QKeySequence(key).toString().casefold() == text.casefold()


def shown_key(key: str) -> str:
    """A key as the keyboard at hand names it (on a Mac ⌘Z for Ctrl+Z); a dash for none."""
    return QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText) or "–"


class KeyButton(QPushButton):
    """A button that says which key does the same.

    Parameters
    ----------
    desk : Desk
    name : str
        Of the action.
    text : str
    act : callable
        Called with the name.
    """

    def __init__(self, desk: Desk, name: str, text: str, act: Callable[[str], object]) -> None:
        super().__init__(text)
        self._desk, self._name = desk, name
        self.clicked.connect(lambda: act(name))
        desk.keys_changed.connect(self._say_key)
        self._say_key()

    def _say_key(self) -> None:
        self.setToolTip(f"key {shown_key(self._desk.keys[self._name])}")


class KeyBar(QLabel):
    """One line with the keys that matter here; a click shows all of them, to be changed."""

    def __init__(self, desk: Desk, names: Sequence[str]) -> None:
        super().__init__()
        self._desk, self._names = desk, tuple(names)
        self.dialog: KeysDialog | None = None
        self.setWordWrap(True)
        self.linkActivated.connect(lambda _: self.show_all())
        desk.keys_changed.connect(self._say_keys)
        self._say_keys()

    def _say_keys(self) -> None:
        known = {action.name: action for action in ACTIONS}
        parts = [
            together(f"<b>{shown_key(self._desk.keys[n])}</b> {known[n].short}")
            for n in self._names
        ]
        link = '<a href="all" style="color:#2E86DE">all&nbsp;keys,&nbsp;other&nbsp;keys</a>'
        self.setText("&nbsp; ".join([*parts, link]))

    def show_all(self) -> None:
        """A window with every key."""
        self.dialog = KeysDialog(self._desk, self)
        self.dialog.show()


class KeysDialog(QDialog):
    """Every key of the review; each can be set to another one.

    Parameters
    ----------
    desk : Desk
    parent : QWidget
    """

    def __init__(self, desk: Desk, parent: QWidget) -> None:
        super().__init__(parent)
        self._desk = desk
        self.setWindowTitle("Keys of the review")
        self.edits = {action.name: QKeySequenceEdit() for action in ACTIONS}
        self.problem = QLabel()
        self.problem.setStyleSheet(NOTICE_STYLE)
        self.problem.setWordWrap(True)
        buttons = QDialogButtonBox.StandardButton
        self.box = QDialogButtonBox(buttons.Save | buttons.Cancel | buttons.RestoreDefaults)
        form = QFormLayout()
        for action in ACTIONS:
            edit = self.edits[action.name]
            edit.setMinimumWidth(edit.fontMetrics().horizontalAdvance(WIDE_KEY))
            edit.setKeySequence(QKeySequence(desk.keys[action.name]))
            edit.keySequenceChanged.connect(lambda _: self._look())
            form.addRow(action.text, edit)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.problem)
        layout.addWidget(self.box)
        self.box.accepted.connect(self.accept)
        self.box.rejected.connect(self.reject)
        self.button("RestoreDefaults").clicked.connect(lambda: self.restore())

    def button(self, name: str) -> QPushButton:
        """One of the buttons below: ``Save``, ``Cancel``, ``RestoreDefaults``."""
        found = self.box.button(getattr(QDialogButtonBox.StandardButton, name))
        return found if found is not None else QPushButton()

    def chosen(self) -> dict[str, str]:
        """Action to key, as it stands in the window."""
        texts = {name: edit.keySequence().toString() for name, edit in self.edits.items()}
        # Only the first of several keys pressed one after the other.
        return {name: text.split(", ")[0] for name, text in texts.items()}

    def restore(self) -> None:
        """The keys that everybody begins with."""
        for action in ACTIONS:
            self.edits[action.name].setKeySequence(QKeySequence(action.key))

    def _look(self) -> None:
        """A key may do one thing only."""
        problems = shared_keys(self.chosen())
        self.problem.setText("\n".join(problems))
        self.button("Save").setEnabled(not problems)

    def accept(self) -> None:
        """Use these keys from now on, in every window that is opened later too."""
        if not shared_keys(self.chosen()):
            self._desk.set_keys(self.chosen())
            super().accept()
