"""Objects smaller than those that decoding keeps: micronuclei and fragments.

A micronucleus has a dozen pixels. The network outlines it, but says little more than nothing of
it: its logit stays low and its flows are short. What is kept by area alone is mostly noise at
that size; what stands apart, is round and has flows that meet in it is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from fociquant.segment.shape import Ellipses, ellipses, meeting, pixels_of, sums
from fociquant.segment.touching import FLOW

LOGIT = -1.0
"""Pixels above this may be part of one."""

AREA_PX = (6, 120)
"""Fewest and most pixels, on the analysis grid."""

REACH_PX = 30
"""A kept object is looked for within this distance, px of the analysis grid; farther ones do not
count."""

RING_PX = (1, 3)
"""The logit around it is taken farther than the first and up to the second from it."""

FEATURES = (
    "area", "axes", "fill", "logit", "logit_max", "logit_around", "meet", "flow", "distance",
)  # fmt: skip
"""Columns of :func:`specks`."""


@dataclass(frozen=True, slots=True)
class Specks:
    """Candidates.

    Parameters
    ----------
    places : list of (numpy.ndarray, numpy.ndarray)
        Rows and columns of the pixels of each.
    features : numpy.ndarray of float64, shape (n, F)
        Columns :data:`FEATURES`, finite.
    """

    places: list[tuple[np.ndarray, np.ndarray]]
    features: np.ndarray


def specks(labels: np.ndarray, output: np.ndarray) -> Specks:
    """Connected pixels that no kept object has a part in.

    Parameters
    ----------
    labels : numpy.ndarray of int32, shape (H, W)
        Kept objects; 0 is background.
    output : numpy.ndarray of float32, shape (3, H, W)
        Flow along y and x (5 times a unit vector) and cell logit.

    Returns
    -------
    Specks
        In the order of their first pixels.
    """
    parts, count = ndimage.label(output[2] > LOGIT)
    area = np.bincount(parts.reshape(-1), minlength=count + 1)
    free = (area >= AREA_PX[0]) & (area <= AREA_PX[1])
    free[0], free[parts[labels > 0]] = False, False
    chosen = np.flatnonzero(free)
    if not len(chosen):
        return Specks([], np.empty((0, len(FEATURES))))
    flat, owner = pixels_of(parts, chosen)
    rows, columns = np.divmod(flat, labels.shape[1])
    shape = ellipses(sums(rows, columns, owner, len(chosen)))
    order = np.argsort(owner, kind="stable")
    cuts = np.cumsum(np.bincount(owner))[:-1]
    places = list(zip(np.split(rows[order], cuts), np.split(columns[order], cuts), strict=True))
    features = [_features(place, n, shape, labels, output) for n, place in enumerate(places)]
    return Specks(places, np.array(features))


def _features(
    place: tuple[np.ndarray, np.ndarray],
    number: int,
    shape: Ellipses,
    labels: np.ndarray,
    output: np.ndarray,
) -> tuple[float, ...]:
    rows, columns = place
    y, x = shape.y[number], shape.x[number]
    there = output[:, rows, columns].astype(np.float64)
    meet = meeting(there[0], there[1], y - rows, x - columns)
    return (
        shape.area[number],
        shape.short[number] / shape.long[number],
        shape.fill[number],
        there[2].mean(),
        there[2].max(),
        _around(place, labels, output[2]),
        meet.mean() / FLOW,
        np.hypot(there[0], there[1]).mean() / FLOW,
        _distance(y, x, labels),
    )


def _window(low: tuple[int, int], high: tuple[int, int], shape: tuple[int, ...]) -> list[slice]:
    """Rows and columns from `low` to `high`, inclusive, as far as there are any."""
    return [
        slice(max(0, int(first)), min(size, int(last) + 1))
        for first, last, size in zip(low, high, shape, strict=True)
    ]


def _around(place: tuple[np.ndarray, np.ndarray], labels: np.ndarray, logit: np.ndarray) -> float:
    """Mean logit of the background around it; :data:`LOGIT` where there is none."""
    inner, outer = RING_PX
    low, high = (
        [int(axis.min()) - outer for axis in place],
        [int(axis.max()) + outer for axis in place],
    )
    rows, columns = _window((low[0], low[1]), (high[0], high[1]), labels.shape)
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    mask[place[0] - rows.start, place[1] - columns.start] = 1
    near = ndimage.maximum_filter(mask, 2 * inner + 1, mode="constant")
    far = ndimage.maximum_filter(mask, 2 * outer + 1, mode="constant")
    ring = (far > near) & (labels[rows, columns] == 0)
    return float(logit[rows, columns][ring].mean(dtype=np.float64)) if ring.any() else LOGIT


def _distance(y: float, x: float, labels: np.ndarray) -> float:
    """To the nearest kept object, px, at most :data:`REACH_PX`."""
    low, high = (int(y) - REACH_PX, int(x) - REACH_PX), (int(y) + REACH_PX, int(x) + REACH_PX)
    rows, columns = _window(low, high, labels.shape)
    near_y, near_x = np.nonzero(labels[rows, columns])
    apart = np.hypot(near_y + rows.start - y, near_x + columns.start - x)
    return float(min(apart.min(initial=REACH_PX), REACH_PX))
