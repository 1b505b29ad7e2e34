"""Sums over the pixels under each overview pixel, piece by piece and band by band."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fociquant.model import Box
from fociquant.prepare.grids import block_sums


@dataclass(frozen=True, slots=True)
class Band:
    """Some rows of a place, and the rows of overview pixels that they lie under."""

    rows: slice
    under: slice


@dataclass(frozen=True, slots=True)
class Groups:
    """The pixels of a place by the overview pixel that their centre lies under.

    Parameters
    ----------
    y, x : numpy.ndarray of int, shape (n,) and (m,)
        Rows and columns of the overview.
    first_y, first_x : numpy.ndarray of int, shape (n,) and (m,)
        Where the pixels of each begin, from the place's corner.
    shape : (int, int)
        Of the place.
    """

    y: np.ndarray
    x: np.ndarray
    first_y: np.ndarray
    first_x: np.ndarray
    shape: tuple[int, int]

    @property
    def sides(self) -> tuple[np.ndarray, np.ndarray]:
        """Height of each row and width of each column of groups, in pixels."""
        height, width = self.shape
        return np.diff([*self.first_y, height]), np.diff([*self.first_x, width])

    def bands(self, rows: int) -> Iterator[Band]:
        """The place in bands of whole groups, of about so many rows (at least one group)."""
        ends = np.append(self.first_y, self.shape[0])
        first = 0
        while first < len(self.y):
            last = max(int(np.searchsorted(ends, ends[first] + rows, side="right")) - 1, first + 1)
            yield Band(slice(int(ends[first]), int(ends[last])), slice(first, last))
            first = last

    def sums(self, plane: np.ndarray, band: Band) -> np.ndarray:
        """Sums over the groups of a band, float64.

        Parameters
        ----------
        plane : numpy.ndarray, shape (rows of the band, width of the place)
        band : Band
        """
        n = self._edge()
        if n:
            return block_sums(plane, n)
        starts = self.first_y[band.under] - band.rows.start
        rows = np.add.reduceat(plane, starts, axis=0, dtype=np.float64)
        return np.asarray(np.add.reduceat(rows, self.first_x, axis=1))

    def _edge(self) -> int:
        """Edge of the groups if all are squares of one size; else 0."""
        n = self.shape[0] // len(self.first_y)
        even = all(
            n * len(first) == size and bool(np.all(first == n * np.arange(len(first))))
            for first, size in zip((self.first_y, self.first_x), self.shape, strict=True)
        )
        return n if even else 0


class Sums:
    """Sums of several planes over the pixels whose centre lies under each overview pixel.

    Parameters
    ----------
    wanted : numpy.ndarray of bool, shape (h, w)
        Pixels of the overview for which anything is asked.
    names : sequence of str
        Of the planes.
    pixel, factor : int
        Full-resolution pixels along a pixel of the planes and of the overview.
    """

    def __init__(self, wanted: np.ndarray, names: Sequence[str], pixel: int, factor: int) -> None:
        # Of some hundred pixels at most: float32 holds them, and half of the memory does.
        self._totals = {name: np.zeros(wanted.shape, np.float32) for name in names}
        self._wanted, self._pixel, self._factor = wanted, pixel, factor
        self._added: list[Groups] = []

    def wanted_of(self, place: Box) -> Box:
        """The smallest part of a place with every pixel of it for which anything is asked."""
        y, x = self._under(place.y0, place.y1, 0), self._under(place.x0, place.x1, 1)
        wanted = self._wanted[y[0] : y[-1] + 1, x[0] : x[-1] + 1]
        if not wanted.any():
            return Box(place.y0, place.x0, place.y0, place.x0)
        rows = np.flatnonzero(np.asarray(wanted.any(axis=1))[y - y[0]])
        columns = np.flatnonzero(np.asarray(wanted.any(axis=0))[x - x[0]])
        part = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        return part.shift(place.y0, place.x0)

    def groups(self, place: Box) -> Groups:
        """The pixels of a place (in pixels of the planes) by overview pixel."""
        y, first_y = np.unique(self._under(place.y0, place.y1, 0), return_index=True)
        x, first_x = np.unique(self._under(place.x0, place.x1, 1), return_index=True)
        return Groups(y, x, first_y, first_x, place.shape)

    def add(self, parts: Mapping[str, np.ndarray], groups: Groups) -> None:
        """Add the sums of a place, (n, m) each."""
        for name, part in parts.items():
            self._totals[name][np.ix_(groups.y, groups.x)] += part
        self._added.append(groups)

    def means(self) -> dict[str, np.ndarray]:
        """Sums over counts, float32; 0 where no pixel was added. The sums are gone afterwards."""
        counts = np.zeros(self._wanted.shape, np.float32)
        for groups in self._added:
            counts[np.ix_(groups.y, groups.x)] += np.outer(*groups.sides)
        np.maximum(counts, 1, out=counts)
        means, self._totals = self._totals, {}
        for total in means.values():
            total /= counts
        return means

    def _under(self, start: int, stop: int, axis: int) -> np.ndarray:
        """Overview index of each pixel from `start` to `stop`, by its centre."""
        centres = (np.arange(start, stop) * self._pixel + self._pixel // 2) // self._factor
        return np.minimum(centres, self._wanted.shape[axis] - 1)
