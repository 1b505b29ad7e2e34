"""Where a reduced level has no piece though the full resolution has one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fociquant.io.metadata import reduction
from fociquant.model import Box

if TYPE_CHECKING:
    from fociquant.io.level import Level

MOST_PIECES = 1 << 17
"""Of more pieces of a channel it is not looked whether all are there, which takes seconds per
section; formats that look one by one then say that all are stored."""

MOST_LOOKS = 16
"""Of more lacking pieces so many are looked at."""

LOOKS_UNDER = 4
"""Under each of them, of more stored pieces so many: one may be the empty edge of what was
scanned."""

LEAST_OVERLAP_PX = 0.25
"""Pieces that lie over each other by less, in pixels of the reduced level, only touch: sides are
rounded when a level is made."""


def lacking_pieces(reduced: Level, full: Level, channel: int) -> list[Box]:
    """Where the full resolution has pieces of a channel and a reduced level has none.

    An interrupted copy leaves such levels, and so does a writer that was stopped. Names of files
    and tables of offsets are looked at, no pixels: what is 0 throughout need not be stored, so
    that the pixels of the full resolution have to tell whether anything is missing.

    Parameters
    ----------
    reduced, full : Level
    channel : int

    Returns
    -------
    list of Box
        Stored pieces of the full resolution, px, under each piece that the level lacks, evenly
        chosen where there are many; empty where it is not known which pieces there are.
    """
    own = reduced.stored(reduced.place(channel)[0])
    if own.all():
        return []
    there = full.stored(full.place(channel)[0])
    if there.size > MOST_PIECES and there.all():
        return []
    rows, columns = (_under(reduced, full, axis, own.shape, there.shape) for axis in (0, 1))
    # Stored pieces under each piece of the level, by a summed-area table.
    table = np.zeros((there.shape[0] + 1, there.shape[1] + 1), np.int64)
    table[1:, 1:] = there.cumsum(0).cumsum(1)
    (y0, y1), (x0, x1) = rows, columns
    under = table[np.ix_(y1, x1)] - table[np.ix_(y0, x1)] - table[np.ix_(y1, x0)]
    under += table[np.ix_(y0, x0)]
    places = np.argwhere(~own & (under > 0))
    return [
        box
        for row, column in _evenly(places, MOST_LOOKS)
        for box in _stored_in(full, there, (y0[row], y1[row]), (x0[column], x1[column]))
    ]


def _evenly(places: np.ndarray, most: int) -> list[tuple[int, int]]:
    """So many of some (row, column), the first and the last among them; all if there are fewer."""
    some = np.linspace(0, len(places) - 1, min(most, len(places))).astype(int)
    return [(row, column) for row, column in places[some].tolist()]


def _stored_in(
    full: Level, there: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]
) -> Iterator[Box]:
    """Stored pieces among some, px."""
    (top, bottom), (left, right) = (_spans(full, axis, there.shape[axis]) for axis in (0, 1))
    found = np.argwhere(there[slice(*rows), slice(*columns)])
    for row, column in _evenly(found + np.array([rows[0], columns[0]]), LOOKS_UNDER):
        yield Box(int(top[row]), int(left[column]), int(bottom[row]), int(right[column]))


def _under(
    reduced: Level, full: Level, axis: int, own: tuple[int, ...], there: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Along one axis: the first and the last (exclusive) full piece under each of the level's."""
    scale = reduction(full.shape[1 + axis], reduced.shape[1 + axis])
    starts, ends = (scale * side for side in _spans(reduced, axis, own[axis]))
    full_starts, full_ends = _spans(full, axis, there[axis])
    margin = LEAST_OVERLAP_PX * scale
    first = np.searchsorted(full_ends, starts + margin, side="right")
    last = np.searchsorted(full_starts, ends - margin, side="left")
    return first, np.maximum(first, last)


def _spans(level: Level, axis: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each piece surely begins and ends along an axis, px; the same where that is nowhere."""
    size, tile = level.shape[1 + axis], level.tile_shape[axis]
    shape = getattr(level, "piece_shape", None)
    edges = [shape[axis]] if shape else _edges(size, tile, count)
    number = np.arange(count)
    starts = np.minimum(number * max(edges), size)
    return starts, np.maximum(starts, np.minimum((number + 1) * min(edges), size))


def _edges(size: int, tile: int, count: int) -> Sequence[int]:
    """Edges that pieces can have of which so many cover a side; one where the tiles tell it."""
    if count <= 1:
        return [size]
    possible = range(-(-size // count), -(-size // (count - 1)))
    if tile >= size:  # it ends with the image, which tells nothing of the pieces
        return possible
    return [edge for edge in possible if tile % edge == 0 or edge % tile == 0] or possible
