"""Crops for the gallery: read on one thread, the newest wish first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from qtpy.QtCore import QObject, Signal

from fociquant.errors import FociquantError

WAITING = 400
"""Wishes that wait; older ones have scrolled out of sight and are dropped."""


class Reader(Protocol):
    """What reads crops."""

    def read(self, *where: Any) -> Any:
        """A crop."""
        ...


class CropLoader(QObject):
    """Reads crops in the background.

    Attributes
    ----------
    loaded : Signal(int, object)
        Number of the wish, and its crop.
    failed : Signal(str)
        Why a crop cannot be read.
    missed : Signal(int)
        Number of the wish that cannot be read.
    """

    loaded = Signal(int, object)
    failed = Signal(str)
    missed = Signal(int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._reader: Reader | None = None
        self._wishes: OrderedDict[int, tuple[Any, ...]] = OrderedDict()
        self._wake = threading.Condition()
        self._reading = threading.Lock()
        self._open = True
        self._thread: threading.Thread | None = None

    def set_reader(self, reader: Reader | None) -> None:
        """Read from another section; what was wished before is forgotten."""
        with self._wake:
            self._reader = reader
            self._wishes.clear()

    def wish(self, row: int, *where: Any) -> None:
        """Ask for a crop; it comes by :attr:`loaded`.

        Parameters
        ----------
        row : int
            Names the wish; a later one of the same number takes its place.
        *where
            What the reader is to read.
        """
        with self._wake:
            self._wishes.pop(row, None)
            self._wishes[row] = where
            while len(self._wishes) > WAITING:
                self._wishes.popitem(last=False)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._wake.notify()

    def pause(self, then: Callable[[], None] | None = None) -> None:
        """Read no more until there is another reader.

        Parameters
        ----------
        then : callable, optional
            Done when what is being read now has been read: to close the files.
        """
        self.set_reader(None)
        if then is not None:
            with self._reading:
                then()

    def stop(self) -> None:
        """End the thread."""
        with self._wake:
            self._open = False
            self._reader = None
            self._wishes.clear()
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None

    def _work(self) -> None:
        while True:
            with self._wake:
                while self._open and not (self._wishes and self._reader):
                    self._wake.wait()
                if not self._open:
                    return
                row, where = self._wishes.popitem()
                reader = self._reader
            with self._reading:
                if reader is not None and reader is self._reader:
                    self._read(reader, row, where)

    def _read(self, reader: Reader, row: int, where: tuple[Any, ...]) -> None:
        try:
            crop = reader.read(*where)
        except FociquantError as error:
            self.failed.emit(" ".join(str(error).split()))
            self.missed.emit(row)
            return
        except ValueError:  # the image was closed while the wish was waiting
            return
        if reader is self._reader:  # else another section was opened meanwhile
            self.loaded.emit(row, crop)
