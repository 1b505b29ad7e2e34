"""Keys for the whole window, handed to the widget that is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication, QShortcut, QWidget

from napari_fociquant._keys import ACTIONS

ROUTED = tuple(action.name for action in ACTIONS if action.name != "jump")
"""Actions whose keys work in the whole window; Enter means too much elsewhere."""


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

    def end(self) -> None:
        """Listen to no key any more."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._shortcuts.clear()
        self.deleteLater()

    @staticmethod
    def _shortcut(widget: QWidget, key: str, name: str, act: Callable[[str], object]) -> QShortcut:
        shortcut = QShortcut(QKeySequence(key), widget)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.activated.connect(lambda: act(name))
        return shortcut


class KeyRouting:
    """Which widget gets a key: one that is seen, that with the focus before others.

    Parameters
    ----------
    keys : mapping of str to str
        Action to key.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys
        self._actors: list[tuple[QWidget, Callable[[str], bool]]] = []
        self._router: KeyRouter | None = None

    def join(self, widget: QWidget, act: Callable[[str], bool]) -> None:
        """Keys go to this widget while it is to be seen, and no other one that is has the
        focus and wants them.
        """
        actor = (widget, act)
        self._actors.append(actor)
        widget.destroyed.connect(lambda *_: self._drop(actor))
        if self._router is None:
            self._router = KeyRouter(widget, self._keys, self.route)

    def renew(self) -> None:
        """Listen to the keys as they are now."""
        if self._router is not None:
            self._router.end()
            self._router = KeyRouter(self._actors[0][0], self._keys, self.route)

    def _drop(self, actor: tuple[QWidget, Callable[[str], bool]]) -> None:
        first = self._actors[0] is actor
        self._actors.remove(actor)
        if first:
            # The shortcuts went with their widget.
            heirs = self._actors[:1]
            self._router = KeyRouter(heirs[0][0], self._keys, self.route) if heirs else None

    def route(self, name: str) -> None:
        """Do what a key says, in the widget that is looked at; nothing in one behind others."""
        # A widget behind another one may still have the focus: Qt moves it out of sight only.
        wanted = [one for one in self._actors if is_seen(one[0])]
        for _, act in sorted(wanted, key=lambda one: not _has_focus(one[0])):
            if act(name):
                return


def _has_focus(widget: QWidget) -> bool:
    focus = QApplication.focusWidget()
    return focus is not None and (focus is widget or widget.isAncestorOf(focus))


def is_seen(widget: QWidget) -> bool:
    """Whether some of a widget is to be seen."""
    return not widget.visibleRegion().isEmpty()
