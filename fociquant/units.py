"""Micrometres and pixels, kept apart.

Pixel coordinates are (y, x) with pixel *centres* at +0.5: pixel ``[0, 0]`` covers
the square from (0, 0) to (1, 1). World coordinates are (y, x) in µm from the
top-left corner of the full-resolution image. One crosses from one to the other
only through :class:`PixelSize`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NewType

import numpy as np

from fociquant.errors import PixelSizeError

Um = NewType("Um", float)
"""A length in micrometres."""

UM2_PER_MM2 = 1e6
"""Square micrometres in one square millimetre."""

COUNTS_PER_DENSITY = 10_000
"""Counts of a stain channel, separated from a colour image, per unit of optical density."""

MIN_PIXEL_UM, MAX_PIXEL_UM = 0.01, 100.0
"""Sizes outside this range are metadata errors, not microscopes, µm per pixel."""


@dataclass(frozen=True, slots=True)
class PixelSize:
    """The size of one pixel, µm.

    Parameters
    ----------
    y, x : float
        µm per pixel along each axis, between 0.01 and 100.

    Raises
    ------
    PixelSizeError
        If a size is not finite or outside that range.
    """

    y: float
    x: float

    def __post_init__(self) -> None:
        for value in (self.y, self.x):
            if not math.isfinite(value) or not MIN_PIXEL_UM <= value <= MAX_PIXEL_UM:
                raise PixelSizeError(
                    f"a pixel size of {value!r} µm is not plausible. "
                    "Write the true one in study.yaml, for example 'pixel_size_um: 0.325'."
                )

    @classmethod
    def square(cls, um: float) -> PixelSize:
        """The same size along both axes, µm."""
        return cls(um, um)

    @property
    def area_um2(self) -> float:
        """Area of one pixel, µm²."""
        return self.y * self.x

    @property
    def mean(self) -> float:
        """Geometric mean of the two sizes, µm."""
        return math.sqrt(self.y * self.x)

    def scaled(self, factor_y: float, factor_x: float) -> PixelSize:
        """The size of a pixel on a grid whose pixels are `factor` times larger."""
        return PixelSize(self.y * factor_y, self.x * factor_x)

    def to_um(self, yx_px: np.ndarray) -> np.ndarray:
        """Pixel coordinates (..., 2) to µm (..., 2), float64."""
        return np.asarray(yx_px, dtype=np.float64) * (self.y, self.x)

    def to_px(self, yx_um: np.ndarray) -> np.ndarray:
        """World coordinates (..., 2), µm, to pixels (..., 2), float64."""
        return np.asarray(yx_um, dtype=np.float64) / (self.y, self.x)


def equivalent_diameter(area: float) -> float:
    """Diameter of the disc with this area (same unit, not squared)."""
    return 2.0 * math.sqrt(area / math.pi)
