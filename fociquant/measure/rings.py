"""Local background around an object, and the shell along its edge.

Distances are from the object's edge: a neighbouring pixel's centre is half a pixel
away from it. Everything is decided on integers (how many pixels a row of a disc
reaches to the side), so it cannot depend on the array an object came in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from fociquant.measure.objects import Objects
from fociquant.settings import MeasureSettings
from fociquant.units import PixelSize

SHELL_UM = 2.0
"""Thickness of an object's outer shell, µm: a membrane blurred by the objective's
resolution (about 0.5 µm) and tilted through a section some µm thick."""

MIN_RING_PX = 16
"""Fewer background pixels do not make a median: its standard error would exceed a
third of the pixel noise (1.25 / sqrt(16))."""

SHORT_RUN, TABLE_VALUES = 64, 1 << 16
"""Runs of values up to the first length are sorted in one table of at most the second size."""

CROWDED_PERCENTILE = 5.0
"""Inside a packed focus no pixel is background; the darkest near by come nearest to it."""


class Disc:
    """A disc of pixels around a pixel, as half-widths of its rows.

    Parameters
    ----------
    radius_um : float
        Distance from the edge of the central pixel, µm; at least one pixel is reached.
    pixel_size : PixelSize
        Of the grid.
    """

    def __init__(self, radius_um: float, pixel_size: PixelSize) -> None:
        radius = max(radius_um + 0.5 * pixel_size.mean, pixel_size.y, pixel_size.x)
        self.reach_y = math.floor(radius / pixel_size.y)
        self.half_widths = [
            math.floor(math.sqrt(max(radius**2 - (dy * pixel_size.y) ** 2, 0.0)) / pixel_size.x)
            for dy in range(self.reach_y + 1)
        ]
        self.reach_x = self.half_widths[0]

    def dilate(self, side: np.ndarray, margin: int) -> np.ndarray:
        """Where the disc around a pixel meets the mask.

        Parameters
        ----------
        side : numpy.ndarray of int, shape (k, h, w)
            Distance to the mask within each row, see :func:`row_distance`.
        margin : int
            Rows added above and below, at least :attr:`reach_y`.

        Returns
        -------
        numpy.ndarray of bool, shape (k, h + 2 * margin, w)
        """
        k, h, w = side.shape
        met = np.zeros((k, h + 2 * margin, w), bool)
        for dy, half_width in enumerate(self.half_widths):
            near = side <= half_width
            for top in (margin - dy, margin + dy)[: 1 + (dy > 0)]:
                met[:, top : top + h] |= near
        return met


def reach_px(settings: MeasureSettings, pixel_size: PixelSize) -> int:
    """How far beyond an object its measures look, px.

    An object whose bounding box, grown by this much, lies inside the array (or is
    cut only by the border of the image) is measured exactly as in the whole image.
    """
    disc = Disc(settings.ring_outer_um, pixel_size)
    return max(disc.reach_y, disc.reach_x)


def row_distance(masks: np.ndarray, margin: int) -> np.ndarray:
    """Distance along each row to the nearest pixel of the mask, px.

    Parameters
    ----------
    masks : numpy.ndarray of bool, shape (k, h, w)
    margin : int
        Columns without mask added on each side.

    Returns
    -------
    numpy.ndarray of int16 (int32 for very wide masks), shape (k, h, w + 2 * margin)
        Larger than the array is wide in rows without mask.
    """
    k, h, w = masks.shape
    width = w + 2 * margin
    dtype = np.int16 if width < 1 << 13 else np.int32
    columns = np.arange(width, dtype=dtype)
    inner = slice(margin, margin + w)
    left = np.full((k, h, width), -2 * width, dtype)
    np.copyto(left[..., inner], columns[inner], where=masks)
    right = np.where(left < 0, dtype(3 * width), left)
    left = np.maximum.accumulate(left, axis=-1)
    right = np.minimum.accumulate(right[..., ::-1], axis=-1)[..., ::-1]
    return np.minimum(columns - left, right - columns)


def backgrounds(
    objects: Objects, planes: Sequence[np.ndarray], inner: Disc, outer: Disc
) -> tuple[np.ndarray, np.ndarray]:
    """Local background of every object in every plane.

    Parameters
    ----------
    objects : Objects
        Of a label array (h, w); its other labels are left out of the background.
    planes : sequence of numpy.ndarray of float32, shape (h, w)
        Raw counts.
    inner, outer : Disc
        Gap, and outer limit, of the ring.

    Returns
    -------
    values : numpy.ndarray of float64, shape (n, number of planes)
        Raw counts, finite.
    ring_px : numpy.ndarray of int64, shape (n,)
        Pixels of the ring that are background; 0 if there were fewer than
        :data:`MIN_RING_PX` and the value is a fallback.
    """
    values = np.zeros((len(objects), len(planes)))
    ring_px = np.zeros(len(objects), np.int64)
    flat_planes = [plane.ravel() for plane in planes]
    for indices, masks in objects.groups(max(outer.reach_y, outer.reach_x)):
        percents, pixels = np.empty(len(indices)), []
        at, inside = _windows(objects, indices, masks.shape[1:], outer)
        side = row_distance(masks, outer.reach_x)
        near = inner.dilate(side, outer.reach_y)
        within = outer.dilate(side, outer.reach_y) & inside
        gap = within & (objects.labels.reshape(-1).take(at) == 0)
        ring = gap & ~near
        for k, index in enumerate(indices.tolist()):
            chosen, percents[k], ring_px[index] = _best(ring[k], gap[k], within[k])
            pixels.append(at[k][chosen])
        lengths, where = np.array([len(one) for one in pixels]), np.concatenate(pixels)
        for number, plane in enumerate(flat_planes):
            values[indices, number] = quantiles(plane.take(where), lengths, percents)
    return values, ring_px


def _windows(
    objects: Objects, indices: np.ndarray, box: tuple[int, ...], disc: Disc
) -> tuple[np.ndarray, np.ndarray]:
    """Flat pixel indices of the objects' boxes grown by the disc, and which are in the array.

    Both are (k, box height + 2 reach, box width + 2 reach); pixels outside point at the edge.
    """
    height, width = objects.labels.shape
    y = objects.boxes[indices, 0, None] + np.arange(-disc.reach_y, box[0] + disc.reach_y)
    x = objects.boxes[indices, 1, None] + np.arange(-disc.reach_x, box[1] + disc.reach_x)
    at_y, at_x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    inside = (y == at_y)[:, :, None] & (x == at_x)[:, None, :]
    return at_y[:, :, None] * width + at_x[:, None, :], inside


def _best(ring: np.ndarray, gap: np.ndarray, within: np.ndarray) -> tuple[np.ndarray, float, int]:
    """Which pixels stand for the background, which percentile of them, and the size of the ring."""
    count = int(np.count_nonzero(ring))
    if count >= MIN_RING_PX:
        return ring, 50.0, count
    if np.count_nonzero(gap) >= MIN_RING_PX:
        return gap, 50.0, 0
    return within, CROWDED_PERCENTILE, 0


def quantile(values: np.ndarray, percent: float) -> float:
    """Percentile of the finite `values` (n,), linear between ranks; 0 if there is none.

    The same as :func:`numpy.percentile`, a few times faster on small arrays.
    """
    ordered = np.sort(values)
    if len(ordered) and not math.isfinite(float(ordered[-1]) - float(ordered[0])):
        ordered = ordered[np.isfinite(ordered)]
    if len(ordered) == 0:
        return 0.0
    rank = percent / 100.0 * (len(ordered) - 1)
    below = int(rank)
    low = float(ordered[below])
    high = float(ordered[min(below + 1, len(ordered) - 1)])
    return low + (high - low) * (rank - below)


def quantiles(values: np.ndarray, lengths: np.ndarray, percents: np.ndarray) -> np.ndarray:
    """:func:`quantile` of many runs of values at once, to the last bit.

    Parameters
    ----------
    values : numpy.ndarray of float32 or float64, shape (p,)
        Run after run.
    lengths : numpy.ndarray of int64, shape (n,)
        Values of each run; they sum to p.
    percents : numpy.ndarray of float64, shape (n,)
        0 to 100.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
    """
    out = np.zeros(len(lengths))
    starts = np.cumsum(lengths) - lengths
    order = np.argsort(lengths, kind="stable")
    for part in _alike(lengths[order]):
        runs = order[part]
        runs = runs[lengths[runs] > 0]
        if len(runs):
            out[runs] = _quantiles(values, starts[runs], lengths[runs], percents[runs])
    return out


def _alike(lengths: np.ndarray) -> Iterator[slice]:
    """Slices of increasing lengths of which one fills most of the table that holds them all."""
    start = 0
    while start < len(lengths):
        longest = max(2 * int(lengths[start]), SHORT_RUN)
        stop = int(np.searchsorted(lengths, longest, side="right"))
        step = max(1, TABLE_VALUES // longest)
        yield from (slice(at, min(at + step, stop)) for at in range(start, stop, step))
        start = stop


def _quantiles(
    values: np.ndarray, starts: np.ndarray, lengths: np.ndarray, percents: np.ndarray
) -> np.ndarray:
    """Of runs of similar lengths, none of them empty."""
    table = np.full((len(starts), int(lengths.max())), np.inf, values.dtype)
    for row, start, length in zip(table, starts.tolist(), lengths.tolist(), strict=True):
        row[:length] = values[start : start + length]
    table.sort(axis=1)
    rows, last = np.arange(len(starts)), lengths - 1
    ranks = percents / 100.0 * last
    below = ranks.astype(np.int64)
    low, high, most = (
        table[rows, at].astype(np.float64) for at in (below, np.minimum(below + 1, last), last)
    )
    wild = ~(np.isfinite(table[:, 0]) & np.isfinite(most))
    with np.errstate(invalid="ignore"):
        out = low + (high - low) * (ranks - below)
    for row in np.flatnonzero(wild).tolist():
        run = values[starts[row] : starts[row] + lengths[row]]
        out[row] = quantile(run, float(percents[row]))
    return np.asarray(out)


def core_pixels(objects: Objects, shell: Disc) -> np.ndarray:
    """Which pixels lie deeper in their object than its shell, bool, one per pixel of `objects`.

    Parameters
    ----------
    objects : Objects
    shell : Disc
        Of the shell's thickness.
    """
    core = np.empty(len(objects.owner), bool)
    for indices, masks in objects.groups(1):
        outside = np.pad(~masks, ((0, 0), (1, 1), (1, 1)), constant_values=True)
        shallow = shell.dilate(row_distance(outside, 0), shell.reach_y)
        skip = 1 + shell.reach_y
        deep = ~shallow[:, skip:-skip, 1:-1]
        for index, mask, part in zip(indices.tolist(), masks, deep, strict=True):
            core[objects.starts[index] : objects.starts[index + 1]] = part[mask]
    return core
