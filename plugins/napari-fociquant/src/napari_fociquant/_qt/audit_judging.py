"""The judging of an audit, without its buttons: which item is shown, its picture, its verdict."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from fociquant.review import AuditItem, AuditSession
from napari_fociquant._audit import AuditPictures, Picture
from napari_fociquant._qt.crop_loader import CropLoader

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk

AHEAD = 3
"""Pictures read before they are asked for."""

KEPT = 24
"""Pictures kept."""


class Judging(QObject):
    """One reviewer's way through the sample.

    Attributes
    ----------
    moved : Signal()
        Another item is to be shown, or none.
    pictured : Signal()
        The picture of the item has come.
    judged : Signal()
        A verdict was written or taken back.
    """

    moved = Signal()
    pictured = Signal()
    judged = Signal()

    def __init__(self, desk: Desk, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self.session: AuditSession | None = None
        self.root = Path()
        self.place = 0
        self.wide = False
        self._pictures: OrderedDict[int, Picture] = OrderedDict()
        self._source: AuditPictures | None = None
        self._unseen: set[int] = set()
        self._told = 0
        self.loader = CropLoader(self)
        self.loader.loaded.connect(self._take)
        self.loader.failed.connect(desk.say)
        self.loader.missed.connect(self._miss)

    # The sample

    def open(self) -> bool:
        """Begin, or go on where this reviewer stopped; a section that is open is closed."""
        results = self._desk.results
        if results is None or not self._desk.named():
            return False
        root = results.root
        session = self._desk.attempt(lambda: AuditSession.open(root, self._desk.reviewer))
        if session is None:
            return False
        # Colours and counts of a section tell what the program thinks.
        self._desk.close_section()
        self.close()
        self.session = session
        self._told, self.root = 0, root
        self.look_again()
        self._tell()
        self.place = -1
        self.go_on()
        return True

    def close(self) -> None:
        """Put the sample away; every verdict is on the disk already."""
        if self.session is not None:
            self.session.close()
        self.session = None
        self._pictures.clear()
        self._let_go()

    def _let_go(self) -> None:
        source, self._source = self._source, None
        self.loader.pause(source.close if source is not None else None)

    def look_again(self) -> None:
        """Look for images anew: their folder may be known by now."""
        results = self._desk.results
        if results is None or self.session is None:
            return
        self._let_go()
        self._unseen.clear()
        self._source = AuditPictures(results, self._desk.image_folders)
        self.loader.set_reader(self._source)
        self._wish()

    def leave(self) -> None:
        """The window goes."""
        self.close()
        self.loader.stop()

    @property
    def items(self) -> tuple[AuditItem, ...]:
        """All of the sample, in the order in which they are shown."""
        return self.session.design.items if self.session is not None else ()

    @property
    def item(self) -> AuditItem | None:
        """The one that is shown; None at the end, or where nothing is open."""
        return self.items[self.place] if 0 <= self.place < len(self.items) else None

    # Moving

    def go_on(self) -> None:
        """To the next item that waits, after this one or from the beginning; else to the end."""
        verdicts = self.session.verdicts if self.session is not None else {}
        waiting = [i for i, item in enumerate(self.items) if item.id not in verdicts]
        after = [i for i in waiting if i > self.place]
        self.show_place((after or waiting or [len(self.items)])[0])

    def step(self, by: int) -> None:
        """To the item before or after, judged or not."""
        self.show_place(min(max(self.place + by, 0), max(len(self.items) - 1, 0)))

    def show_place(self, place: int) -> None:
        """To an item by its place."""
        self.place = place
        self.moved.emit()
        self._wish()

    def set_wide(self, on: bool) -> None:
        """Show more around objects, or less."""
        self.wide = on
        self.moved.emit()
        self._wish()

    # Pictures

    def picture(self) -> Picture | None:
        """The picture of the item; None while it is being read."""
        return self._pictures.get(self._key(self.place))

    @property
    def unseen(self) -> bool:
        """Whether the item cannot be shown at all."""
        return self._key(self.place) in self._unseen

    def _miss(self, key: int) -> None:
        self._unseen.add(key)
        if key == self._key(self.place):
            self.pictured.emit()

    def _key(self, place: int) -> int:
        return 2 * place + self.wide

    def _wish(self) -> None:
        """Ask for the pictures that come; the newest wish is read first."""
        if self._source is None:
            return
        for place in reversed(range(self.place, self.place + AHEAD)):
            if 0 <= place < len(self.items) and self._key(place) not in self._pictures:
                self.loader.wish(self._key(place), self.items[place], self.wide)

    def _take(self, key: int, picture: Picture) -> None:
        self._pictures[key] = picture
        while len(self._pictures) > KEPT:
            self._pictures.popitem(last=False)
        if key == self._key(self.place):
            self.pictured.emit()

    # Verdicts

    def judge(self, value: int | None) -> bool:
        """Write down the verdict on what is shown and go on.

        Returns
        -------
        bool
            False if it was refused, or if there is nothing to be seen that could be judged: of
            a place that cannot be shown, only that it cannot be said.
        """
        item, session = self.item, self.session
        if item is None or session is None:
            return False
        if self.picture() is None and not (self.unseen and value is None):
            self._desk.say("What is not seen cannot be judged: wait until the place is shown.")
            return False
        done = self._desk.attempt(lambda: session.judge(item.id, value)) is not None
        self._tell()
        if done:
            self.judged.emit()
            self.go_on()
        return done

    def undo(self) -> None:
        """Take back the last verdict, and show its item."""
        session = self.session
        if session is None:
            return
        name = self._desk.attempt(session.undo)
        self._tell()
        if name is None:
            return
        if not name:
            self._desk.say("There is nothing more to take back.")
            return
        self.judged.emit()
        self.show_place([item.id for item in self.items].index(name))

    def _tell(self) -> None:
        if self.session is not None:
            for text in self.session.notices[self._told :]:
                self._desk.say(text)
            self._told = len(self.session.notices)
