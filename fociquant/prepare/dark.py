"""Counts without light, as the gains of camera fields tell them.

A gain changes quiet and bright pixels in the ratio of their light. So the rises of both from one
field to the next, and how bright they are, say where light begins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from fociquant.prepare.slope import weighted_median
from fociquant.prepare.stitching import Axis, Fields
from fociquant.prepare.strips import classes_of, runs_of

QUIET_AND_BRIGHT = (0.25, 0.95)
"""Shares of the pixels of a field that are darker than its quiet and its bright light. Brighter
still, few pixels tell; less bright, there is too little contrast."""

LEAST_PAIRS = 10
"""Neighbouring fields; fewer tell nothing."""

AGREE = 5.0
"""Channels whose dark levels differ by fewer standard errors are held to be of one camera, which
most slides are taken with."""


def dark_levels(
    planes: Mapping[str, np.ndarray], inside: np.ndarray, fields: Fields
) -> dict[str, float]:
    """Counts without light, of the channels in which the gain of fields differs.

    What channels agree upon is more exact than what each of them says.

    Parameters
    ----------
    planes : mapping of str to numpy.ndarray of float32, shape (h, w)
        Role to mean raw counts on the overview, finite; light has to step between fields.
    inside : numpy.ndarray of bool, shape (h, w)
        Tissue that counts.
    fields : Fields
        In overview pixels.

    Returns
    -------
    dict of str to float
        Role to counts, from 0 (less if pixels are below 0) to :func:`darkest`; only those that
        tell.
    """
    own = {role: _own_level(plane, inside, fields) for role, plane in planes.items()}
    known = np.array([pair for pair in own.values() if pair is not None])
    levels = {}
    for role, pair in own.items():
        if pair is None:
            continue
        alike = np.abs(known[:, 0] - pair[0]) <= AGREE * np.hypot(known[:, 1], pair[1])
        level = np.average(known[alike, 0], weights=known[alike, 1] ** -2)
        lowest = min(float(planes[role].min()), 0.0)
        levels[role] = float(np.clip(level, lowest, darkest(planes[role], inside)))
    return levels


def darkest(plane: np.ndarray, inside: np.ndarray) -> float:
    """Counts of the darkest hundredth of what counts: light begins there or below.

    What was never scanned is 0 in many files, and lies outside.
    """
    return float(np.percentile(plane[inside], 1))


def _own_level(plane: np.ndarray, inside: np.ndarray, fields: Fields) -> tuple[float, float] | None:
    """Of one channel, with its standard error; None where too few fields tell."""
    edge = max(fields.y.period, fields.x.period)
    rows, columns = (
        runs_of(axis if axis.period else Axis(edge), size)
        for axis, size in zip((fields.y, fields.x), plane.shape, strict=True)
    )
    levels = classes_of(plane, inside, rows, columns, QUIET_AND_BRIGHT)
    across = [number for number, axis in enumerate((fields.y, fields.x)) if axis.period]
    rises = np.concatenate([np.diff(levels, axis=axis).reshape(-1, 2) for axis in across])
    rises = rises[np.isfinite(rises).all(axis=1) & (rises[:, 0] != 0)]
    if len(rises) < LEAST_PAIRS:
        return None
    quiet, bright = rises.T
    ratio = weighted_median(bright / quiet, np.abs(quiet))
    low, high = np.nanmean(levels, axis=(0, 1))
    if not ratio > 1.0 or not high > low:
        return None
    spread = 1.4826 * float(np.median(np.abs(bright - ratio * quiet)))
    # A median is a quarter less exact than a mean.
    error = 1.25 * spread / math.sqrt(float(quiet @ quiet))
    by_ratio = float(high - low) / (ratio - 1.0) ** 2
    return float((ratio * low - high) / (ratio - 1.0)), max(by_ratio * error, 1e-6)
