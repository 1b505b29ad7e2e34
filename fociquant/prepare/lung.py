"""How much of a section's outline is tissue, and how sharp it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from fociquant.prepare.detail import Detail, Levels, look_closely
from fociquant.prepare.first_look import TISSUE_ROLES, FirstLook, Samples
from fociquant.prepare.focus import FOCUS_REACH_UM
from fociquant.prepare.overview import PixelReader
from fociquant.prepare.parenchyma import coarse_pixel_bias, tissue_levels
from fociquant.units import PixelSize

PARENCHYMA_COVER = 0.35
"""Overview pixels with this share of tissue tell what tissue looks like; a septum fills little
more than half of one."""


@dataclass(frozen=True, slots=True)
class Lung:
    """Tissue on the overview; shares are made when asked for, being larger than masks."""

    look: FirstLook
    here: np.ndarray
    levels: Mapping[str, Levels]
    tissue: np.ndarray
    bias: float

    @property
    def inside(self) -> np.ndarray:
        """Share of each pixel inside the outline."""
        return self.look.inside * self.here

    @property
    def cover(self) -> np.ndarray:
        """Share of tissue; by brightness alone where air and tissue do not differ."""
        if not self.levels:
            return self.look.bright * self.here
        return np.minimum(self.tissue * self.bias, 1.0) * self.inside

    @property
    def outline(self) -> np.ndarray:
        """Pixels inside the lung."""
        return (self.look.inside >= 0.5) & self.here

    @property
    def parenchyma(self) -> np.ndarray:
        """Pixels that tell what tissue looks like."""
        outline = self.outline
        solid = outline & (self.cover >= PARENCHYMA_COVER)
        return solid if solid.any() else outline & (self.look.bright >= 0.5)


def close_look(
    reader: PixelReader,
    roles: Mapping[str, int],
    samples: Samples,
    here: np.ndarray,
    look: FirstLook,
    pixel_size: PixelSize,
) -> tuple[Lung, Detail]:
    """How much of the outline is tissue, and how sharp it is."""
    used = {role: index for role, index in roles.items() if role in TISSUE_ROLES} or dict(roles)
    tiles = {role: samples.tiles[list(roles).index(role)] for role in used}
    noises = {role: look.noises[list(roles).index(role)] for role in used}
    levels = tissue_levels(tiles, noises, pixel_size)
    factor = look.overview.factor
    detail = look_closely(
        reader, used, levels,
        pixel_size=pixel_size, factor=factor,
        wanted=_around((look.inside > 0) & here, pixel_size.mean * factor),
    )  # fmt: skip
    bias = 1.0
    if levels:
        bias = coarse_pixel_bias(tiles, levels, factor=detail.factor, pixel_size=pixel_size)
    return Lung(look, here, levels, detail.cover, bias), detail


def _around(inside: np.ndarray, pixel_um: float) -> np.ndarray:
    """All that the rules for focus look at for a place inside."""
    reach = math.ceil(FOCUS_REACH_UM / pixel_um) + 1
    return np.asarray(ndimage.maximum_filter(inside, 2 * reach + 1, mode="constant"))
