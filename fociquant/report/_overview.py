"""A picture of a whole section: channels, the lung's outline, what was left out."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from fociquant.units import PixelSize

LONGEST_PX = 1600
"""Longer edge of the picture."""

COLOURS: dict[str, tuple[float, float, float]] = {
    "marker": (0.0, 0.9, 0.45),
    "nucleus": (0.25, 0.35, 1.0),
    "autofluorescence": (0.85, 0.35, 0.0),
}
"""Colour of each role at full brightness; they stay apart for red-green colour blindness."""

OUTLINE_COLOUR = (1.0, 1.0, 1.0)
ARTEFACT_COLOUR = (1.0, 0.3, 0.8)

STRIP_ROWS = 256
"""Rows that are coloured at once: as light they take four times their picture."""

COMPRESSION = 4
"""Of 9: the file is up to 6 % larger than with zlib's own 6, and made in half the time."""

PERCENTILES = (1.0, 99.7)
"""Of each channel, that become black and full colour."""

ASKED_PX = 1 << 20
"""From about so many pixels of a channel these are found."""


def overview_png(
    planes: Mapping[str, np.ndarray],
    *,
    outline: np.ndarray,
    artefact: np.ndarray,
    pixel_size: PixelSize,
) -> bytes:
    """The picture of one section.

    Parameters
    ----------
    planes : mapping of str to numpy.ndarray, shape (h, w)
        Roles ``marker``, ``nucleus``, ``autofluorescence``; others are not drawn.
    outline, artefact : numpy.ndarray of bool, any shape
        Masks of the whole section: inside the lung's outline, not to be counted.
    pixel_size : PixelSize
        Of the planes; only how its two edges compare counts.

    Returns
    -------
    bytes
        A PNG file.
    """
    shape = next(iter(planes.values())).shape
    drawn = {role: planes[role] for role in COLOURS if role in planes}
    image = Image.fromarray(_coloured(drawn, shape))
    extent = (shape[0] * (pixel_size.y / pixel_size.x), shape[1])
    scale = LONGEST_PX / max(extent)
    size = tuple(max(1, round(edge * scale)) for edge in reversed(extent))
    out = np.asarray(image.resize(size, Image.Resampling.BILINEAR)).astype(np.uint8).copy()
    for mask, colour in ((outline, OUTLINE_COLOUR), (artefact, ARTEFACT_COLOUR)):
        out[_edge(mask, out.shape[:2])] = np.array(colour) * 255.0
    memory = io.BytesIO()
    Image.fromarray(out).save(memory, format="PNG", compress_level=COMPRESSION)
    return memory.getvalue()


def _coloured(planes: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """All roles in their colours, uint8 (h, w, 3)."""
    ends = {role: found for role, plane in planes.items() if (found := _ends(plane))}
    picture = np.empty((*shape, 3), np.uint8)
    for top in range(0, shape[0], STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        light = np.zeros((3, *picture[rows].shape[:2]), np.float32)
        for role, (low, high) in ends.items():
            stretched = _stretched(planes[role][rows], low, high)
            for colour, share in zip(light, COLOURS[role], strict=True):
                if share:
                    colour += stretched * np.float32(share)
        np.minimum(light, 1.0, out=light)
        light *= 255.0
        picture[rows] = np.moveaxis(light, 0, -1)
    return picture


def _ends(plane: np.ndarray) -> tuple[Any, Any] | None:
    """What becomes black and full colour; None where no pixel is finite."""
    step = max(math.isqrt(plane.size // ASKED_PX), 1)
    asked = plane[::step, ::step]
    finite = asked[np.isfinite(asked)]
    if not finite.size:
        return None
    low, high = np.percentile(finite, PERCENTILES)
    return low, high


def _stretched(plane: np.ndarray, low: Any, high: Any) -> np.ndarray:
    stretched = plane.astype(np.float32)
    stretched -= np.float32(low)
    stretched /= np.float32(max(float(high - low), 1e-9))
    return np.clip(np.nan_to_num(stretched, copy=False), 0.0, 1.0, out=stretched)


def _edge(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The mask's border, drawn at the picture's resolution."""
    rows = (np.arange(shape[0]) + 0.5) * mask.shape[0] / shape[0]
    columns = (np.arange(shape[1]) + 0.5) * mask.shape[1] / shape[1]
    large = mask[np.ix_(rows.astype(int), columns.astype(int))]
    return large & ~binary_erosion(large, iterations=2, border_value=1)
