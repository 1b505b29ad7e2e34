"""The marker as the network gets it: less what autofluorescence explains.

A dim cell on bright tissue has half of its light from the tissue. The gate takes that off before
it judges (see :mod:`fociquant.gate`); the network, which sees no autofluorescence, could not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from fociquant.model import Unmixing
from fociquant.prepare.scale import channel_scale, pixel_noise

SMOOTHED_PX = 3
"""Autofluorescence is averaged over squares of this edge, or its noise would be added to the
marker's; no wider, or the light of thin fibres would be taken off beside them."""

UNMIXING_REACH_PX = SMOOTHED_PX // 2
"""What is taken off a pixel depends on others up to this far."""


def find_unmixing(
    marker: Sequence[np.ndarray],
    autofluorescence: Sequence[np.ndarray],
    *,
    slope: float,
    ground: float,
    floor: float,
) -> Unmixing:
    """How autofluorescence is taken off the marker, and the scale of what is left.

    Parameters
    ----------
    marker, autofluorescence : sequence of numpy.ndarray, shape (h, w)
        Sampled tiles, raw counts; at least one.
    slope : float
        Marker counts per autofluorescence count, > 0.
    ground, floor : float
        Counts without tissue, of autofluorescence and of the marker.

    Returns
    -------
    Unmixing
    """
    how = Unmixing(slope, ground, floor, low=0.0, high=1.0)
    left = [unmixed(*pair, how) for pair in zip(marker, autofluorescence, strict=True)]
    samples = np.concatenate([tile.ravel() for tile in left])
    low, high = channel_scale(samples, noise=pixel_noise(left))
    return replace(how, low=low, high=high)


def unmixed(marker: np.ndarray, autofluorescence: np.ndarray, how: Unmixing) -> np.ndarray:
    """Marker counts that autofluorescence does not explain.

    Parameters
    ----------
    marker, autofluorescence : numpy.ndarray, shape (h, w)
        Raw counts. Where the marker is not finite the result is not; autofluorescence that is
        not finite explains nothing.
    how : Unmixing

    Returns
    -------
    numpy.ndarray of float32, shape (h, w)
        Never above `marker`, and not below ``floor`` unless `marker` is.
    """
    light = np.where(np.isfinite(autofluorescence), autofluorescence, how.ground)
    square = (SMOOTHED_PX, SMOOTHED_PX)
    smooth = cv2.blur(light.astype(np.float32), square, borderType=cv2.BORDER_REPLICATE)
    explained = np.float32(how.slope) * np.maximum(smooth - np.float32(how.ground), 0.0)
    counts = marker.astype(np.float32)
    left = np.maximum(counts - explained, np.minimum(counts, np.float32(how.floor)))
    return np.asarray(left, np.float32)
