"""Crops for the gallery: read on one thread, the newest wish first."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from qtpy.QtCore import QObject, Signal

from fociquant.errors import FociquantError
from napari_fociquant._crops import CropReader

WAITING = 400
"""Wishes that wait; older ones have scrolled out of sight and are dropped."""


class CropLoader(QObject):
    """Reads crops in the background.

    Attributes
    ----------
    loaded : Signal(int, object)
        Row, and its crop (channels, h, w).
    failed : Signal(str)
        Once, if the image cannot be read.
    """

    loaded = Signal(int, object)
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._reader: CropReader | None = None
        self._wishes: OrderedDict[int, tuple[float, float]] = OrderedDict()
        self._wake = threading.Condition()
        self._open = True
        self._thread: threading.Thread | None = None

    def set_reader(self, reader: CropReader | None) -> None:
        """Read from another section; what was wished before is forgotten."""
        with self._wake:
            self._reader = reader
            self._wishes.clear()

    def wish(self, row: int, y_um: float, x_um: float) -> None:
        """Ask for a crop; it comes by :attr:`loaded`."""
        with self._wake:
            self._wishes.pop(row, None)
            self._wishes[row] = (y_um, x_um)
            while len(self._wishes) > WAITING:
                self._wishes.popitem(last=False)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._wake.notify()

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
                row, place = self._wishes.popitem()
                reader = self._reader
            if reader is not None:
                self._read(reader, row, place)

    def _read(self, reader: CropReader, row: int, place: tuple[float, float]) -> None:
        try:
            crop: np.ndarray = reader.read(*place)
        except FociquantError as error:
            self.failed.emit(" ".join(str(error).split()))
            return
        except ValueError:  # the image was closed while the wish was waiting
            return
        if reader is self._reader:
            self.loaded.emit(row, crop)
