"""Small objects that decoding keeps: nuclei, or debris and slivers of the nucleus beside."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from fociquant.segment.shape import ellipses, meeting, pixels_of, sums
from fociquant.segment.touching import FLOW

LARGEST_PX = 250
"""Larger objects are not asked about, px of the analysis grid; a typical nucleus has 450 to 600."""

FEATURES = (
    "area", "axes", "fill", "logit", "logit_max", "meet", "flow", "at_edge", "beside",
)  # fmt: skip
"""Columns of :func:`small_objects`."""


def small_objects(labels: np.ndarray, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Objects of at most :data:`LARGEST_PX`, and what is known of them.

    Parameters
    ----------
    labels : numpy.ndarray of int32, shape (H, W)
        0 is background.
    output : numpy.ndarray of float32, shape (3, H, W)
        Flow along y and x (5 times a unit vector) and cell logit.

    Returns
    -------
    names : numpy.ndarray of int64, shape (n,)
        Labels, increasing.
    features : numpy.ndarray of float64, shape (n, F)
        Columns :data:`FEATURES`, finite.
    """
    area = np.bincount(labels.reshape(-1))
    names = np.flatnonzero((area > 0) & (area <= LARGEST_PX))
    names = names[names > 0]
    if not len(names):
        return names, np.empty((0, len(FEATURES)))
    flat, owner = pixels_of(labels, names)
    rows, columns = np.divmod(flat, labels.shape[1])
    shape = ellipses(sums(rows, columns, owner, len(names)))
    flow_y, flow_x, logit = output.reshape(3, -1)[:, flat].astype(np.float64)
    to_y, to_x = shape.y[owner] - rows, shape.x[owner] - columns
    meet = meeting(flow_y, flow_x, to_y, to_x)
    mean = lambda values: np.bincount(owner, weights=values) / shape.area  # noqa: E731
    most = ndimage.maximum(logit, owner, np.arange(len(names)))
    features = [
        shape.area, shape.short / shape.long, shape.fill, mean(logit), most,
        mean(meet) / FLOW, mean(np.hypot(flow_y, flow_x)) / FLOW,
        _at_edge(labels)[names], _beside(labels)[names] / np.sqrt(shape.area),
    ]  # fmt: skip
    return names, np.stack(features, axis=1)


def _at_edge(labels: np.ndarray) -> np.ndarray:
    """For each label whether it has a pixel at the array's border."""
    found = np.zeros(int(labels.max(initial=0)) + 1)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        found[side] = 1.0
    return found


def _beside(labels: np.ndarray) -> np.ndarray:
    """For each label how many pairs of neighbouring pixels it shares with other objects."""
    count = np.zeros(int(labels.max(initial=0)) + 1)
    for before, after in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
        meet = (before != after) & (before > 0) & (after > 0)
        for side in (before, after):
            count += np.bincount(side[meet], minlength=len(count))
    return count
