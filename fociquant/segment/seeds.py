"""From where pixels end to labels: the peaks of Cellpose's histogram, only where there are pixels.

Cellpose counts how many pixels end on each pixel, takes the local maxima as seeds, grows
them into what surrounds them, and gives every pixel the seed it ended in; then holes are filled
and small objects dropped (:func:`cellpose.dynamics.get_masks_torch`,
:func:`cellpose.utils.fill_holes_and_remove_small_masks`). Here the same is done on the
list of foreground pixels and on those objects that can have a hole, instead of on whole
images and all objects. The labels are the same, numbers included.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

SEED_COUNT = 10
"""More pixels than this must end on a seed (Cellpose)."""

GROW_COUNT = 2
"""A seed grows over neighbours on which more pixels than this end (Cellpose)."""

PEAK_REACH = 2
"""A seed has no higher count within this many pixels along either axis (Cellpose)."""

GROW_STEPS = 5
"""How often a seed grows by one pixel (Cellpose); as far as it may reach, px."""


def labels_from_ends(ends: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Give every foreground pixel the number of the seed it ended in.

    Parameters
    ----------
    ends : numpy.ndarray of int, shape (2, n)
        Row and column where each foreground pixel ended, inside the image, in raster order.
    foreground : numpy.ndarray of bool, shape (H, W)
        With n pixels.

    Returns
    -------
    numpy.ndarray of int32, shape (H, W)
        0 is background; objects are numbered from 1 in the order of their first pixels.
    """
    height, width = (edge + 2 * GROW_STEPS for edge in foreground.shape)
    flat = (ends[0].astype(np.int64) + GROW_STEPS) * width + ends[1] + GROW_STEPS
    counts = np.bincount(flat, minlength=height * width)
    territory = _territory(counts, _seeds(counts, width), width)
    labels = np.zeros(foreground.shape, np.int32)
    labels[foreground] = _renumbered(territory[flat])
    return labels


def _seeds(counts: np.ndarray, width: int) -> np.ndarray:
    """Flat indices of the seeds, those with the highest counts last.

    Cellpose leaves the order of equal counts to a sort that differs between processors; here
    the later in raster order comes last.
    """
    peaks = np.flatnonzero(counts > SEED_COUNT)
    around = counts[peaks[:, None] + _square(PEAK_REACH, width)]
    peaks = peaks[counts[peaks] == around.max(axis=1, initial=0)]
    return peaks[np.argsort(counts[peaks], kind="stable")]


def _territory(counts: np.ndarray, seeds: np.ndarray, width: int) -> np.ndarray:
    """Number of the seed, from 1, that owns each pixel; where several grew, the last."""
    edge = 2 * GROW_STEPS + 1
    places = seeds[:, None] + _square(GROW_STEPS, width)
    allowed = (counts[places] > GROW_COUNT).reshape(len(seeds), edge, edge)
    grown = np.zeros_like(allowed)
    grown[:, GROW_STEPS, GROW_STEPS] = True
    for _ in range(GROW_STEPS):
        grown[:, 1:] |= grown[:, :-1].copy()
        grown[:, :-1] |= grown[:, 1:].copy()
        grown[:, :, 1:] |= grown[:, :, :-1].copy()
        grown[:, :, :-1] |= grown[:, :, 1:].copy()
        grown &= allowed
    owner, inside = np.nonzero(grown.reshape(len(seeds), edge * edge))
    territory = np.zeros(len(counts), np.int32)
    territory[places[owner, inside]] = owner + 1
    return territory


def _square(reach: int, width: int) -> np.ndarray:
    """Flat offsets of a square of pixels around one."""
    along = np.arange(-reach, reach + 1)
    return (along[:, None] * width + along).ravel()


def _renumbered(values: np.ndarray) -> np.ndarray:
    """Positive numbers replaced by 1 … n in the order in which they appear; 0 stays 0."""
    first = np.full(int(values.max(initial=0)) + 1, len(values))
    first[values[::-1]] = np.arange(len(values) - 1, -1, -1)
    first[0] = -1
    appeared = np.argsort(first, kind="stable")
    numbers = np.empty(len(first), np.int32)
    numbers[appeared] = np.arange(len(first))
    return numbers[values]


def tidy(labels: np.ndarray, min_area_px: int) -> np.ndarray:
    """Fill holes and drop small objects.

    Parameters
    ----------
    labels : numpy.ndarray of int32, shape (H, W)
        Numbered 1 … n in the order of first pixels; 0 is background. Changed in place.
    min_area_px : int
        Objects with fewer pixels are dropped, before holes are filled and after.

    Returns
    -------
    numpy.ndarray of int32, shape (H, W)
        Numbered without gaps in the order of first pixels. What lies in a hole becomes
        part of the object around it.
    """
    flat = labels.reshape(-1)
    where = np.flatnonzero(flat)
    flat[where] = values = _without_small(flat[where], min_area_px)
    where, values = where[values > 0], values[values > 0]
    for number, pixels in _maybe_holed(where, values, labels.shape[1]):
        _fill(labels, number, pixels)
    where = np.flatnonzero(flat)
    flat[where] = _renumbered(_without_small(flat[where], min_area_px))
    return labels


def _without_small(values: np.ndarray, min_area_px: int) -> np.ndarray:
    """0 instead of values that occur less often."""
    if min_area_px <= 1:
        return values
    small = np.bincount(values) < min_area_px
    return np.where(small[values], np.int32(0), values)


def _maybe_holed(
    where: np.ndarray, values: np.ndarray, width: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Objects that have two runs of pixels in one row, and their pixels: a hole makes two.

    `where` are the flat indices of all pixels of objects, increasing.
    """
    rows = where // width
    starts = np.ones(len(where), bool)
    starts[1:] = (np.diff(where) != 1) | (np.diff(values) != 0) | (np.diff(rows) != 0)
    runs = np.sort(rows[starts] * (values.max(initial=0) + 1) + values[starts])
    suspect = np.zeros(values.max(initial=0) + 1, bool)
    suspect[runs[1:][np.diff(runs) == 0] % len(suspect)] = True
    chosen = np.flatnonzero(suspect[values])
    chosen = chosen[np.argsort(values[chosen], kind="stable")]
    numbers, first = np.unique(values[chosen], return_index=True)
    parts = np.split(where[chosen], first[1:])
    yield from zip(numbers.tolist(), parts, strict=False)


def _fill(labels: np.ndarray, number: int, pixels: np.ndarray) -> None:
    """Give what one object surrounds to it; `pixels` are the flat indices it had before others."""
    rows, columns = np.divmod(pixels[labels.reshape(-1)[pixels] == number], labels.shape[1])
    if not len(rows):
        return
    y0, x0 = rows.min() - 1, columns.min() - 1
    free = np.ones((rows.max() - y0 + 2, columns.max() - x0 + 2), bool)
    free[rows - y0, columns - x0] = False
    parts, count = ndimage.label(free)
    if count > 1:  # part 1 holds the corner: it is the outside
        y, x = np.nonzero(parts > 1)
        labels[y + y0, x + x0] = number
