"""Decoded tiles, kept for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np


class TileCache:
    """The most recently used tiles, within a budget of bytes; safe between threads."""

    def __init__(self, budget: int) -> None:
        self._budget, self._used = budget, 0
        self._tiles: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, ...]) -> np.ndarray | None:
        """The tile, now the most recent one; None if it is not kept."""
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
            return tile

    def put(self, key: tuple[int, ...], tile: np.ndarray) -> None:
        """Keep a tile, dropping the least recently used ones."""
        with self._lock:
            if key not in self._tiles:
                self._tiles[key] = tile
                self._used += tile.nbytes
            while self._used > self._budget and len(self._tiles) > 1:
                self._used -= self._tiles.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._tiles.clear()
            self._used = 0
