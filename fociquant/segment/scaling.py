"""Raw counts to the network's input: one section-wide scale, then compression.

The scale is found once per section (never per tile), so that an empty tile is not
stretched until its noise looks like cells. Brightness of labelled cells spans two
decades between sections; the inverse hyperbolic sine keeps dim cells visible and
bright ones in range.
"""

from __future__ import annotations

import numpy as np

COMPRESSION = 8.0
"""Steepness: linear below about 1/8 of the scale, logarithmic above."""


LIMIT = np.float32(1e6)
"""Beyond any camera's range; keeps a wild value of a float image from becoming infinite."""


def compress(scaled: np.ndarray) -> np.ndarray:
    """Compress intensities whose scale is 0 … 1 (values outside are kept, finite).

    Parameters
    ----------
    scaled : numpy.ndarray of float32
        ``(raw - low) / (high - low)``, any shape.

    Returns
    -------
    numpy.ndarray of float32
        0 at 0, 1 at 1, odd and increasing.
    """
    out = np.arcsinh(np.float32(COMPRESSION) * scaled) / np.float32(np.arcsinh(COMPRESSION))
    return np.asarray(out, dtype=np.float32)


def to_unit(raw: np.ndarray, low: float, high: float) -> np.ndarray:
    """Raw counts to the linear scale; NaN becomes 0, and nothing is beyond :data:`LIMIT`.

    Parameters
    ----------
    raw : numpy.ndarray
        Raw counts, any shape and numeric dtype.
    low, high : float
        What becomes 0 and 1; ``high > low``.

    Returns
    -------
    numpy.ndarray of float32
    """
    with np.errstate(over="ignore", invalid="ignore"):  # infinities are cut off below
        scaled = (raw.astype(np.float32) - np.float32(low)) * np.float32(1.0 / (high - low))
    return np.clip(np.nan_to_num(scaled, copy=False, nan=0.0), -LIMIT, LIMIT)
