"""The same simulated section as an immunohistochemist stains it: brown marker, blue nuclei."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fociquant.model import Box
from fociquant.testing.lung.noise import sub_seed
from fociquant.testing.lung.scene import SectionScene

HAEMATOXYLIN = (0.650, 0.704, 0.286)
"""Optical density in red, green, blue (A. C. Ruifrok, D. A. Johnston 2001)."""

DAB = (0.268, 0.570, 0.776)
"""The same of diaminobenzidine."""

TILE_PX = 512


@dataclass(frozen=True)
class BrightfieldLook:
    """Densities and camera of a transmitted-light scan.

    Parameters
    ----------
    glass : tuple of float
        Counts of red, green, blue where there is nothing, 0-255.
    nuclei, marker, tissue : float
        Optical density of a host nucleus (haematoxylin), of a labelled membrane (DAB) and of
        septa (haematoxylin that does not wash out).
    noise : float
        Standard deviation, counts.
    """

    glass: tuple[float, float, float] = (240.0, 238.0, 242.0)
    nuclei: float = 0.55
    marker: float = 0.9
    tissue: float = 0.08
    noise: float = 2.0


class BrightfieldScene:
    """A colour image of a :class:`SectionScene`; cells, foci and truth are those of the scene.

    Parameters
    ----------
    scene : SectionScene
        Its fluorescence becomes density, dye by dye.
    look : BrightfieldLook, optional
        Stain and camera.
    """

    def __init__(self, scene: SectionScene, look: BrightfieldLook | None = None) -> None:
        self.scene, self.look = scene, look or BrightfieldLook()

    def render(self, box: Box) -> np.ndarray:
        """Colours of a box, uint8 (3, h, w): red, green, blue; the same whatever the box."""
        image = np.empty((3, *box.shape), np.uint8)
        for y in range(box.y0 // TILE_PX * TILE_PX, box.y1, TILE_PX):
            for x in range(box.x0 // TILE_PX * TILE_PX, box.x1, TILE_PX):
                tile = Box(y, x, y + TILE_PX, x + TILE_PX).intersect(self.scene.box)
                part = tile.intersect(box)
                source = self._tile(tile)[(slice(None), *part.shift(-y, -x).slices)]
                image[(slice(None), *part.shift(-box.y0, -box.x0).slices)] = source
        return image

    def _tile(self, tile: Box) -> np.ndarray:
        light, look = self.scene.recipe.light, self.look
        electrons = self.scene.expected(tile)
        glass = np.array(light.glass_e, np.float32)[:, None, None]
        marker, nuclei, tissue, _ = np.maximum(electrons - glass, 0.0)
        unspecific = light.tissue_spectrum[0] * tissue
        brown = look.marker * np.maximum(marker - unspecific, 0.0) / light.marker_e
        blue = look.nuclei * nuclei / light.nucleus_e
        blue += look.tissue * np.minimum(tissue / light.tissue_af_e, 2.0)
        density = np.multiply.outer(HAEMATOXYLIN, blue) + np.multiply.outer(DAB, brown)
        rgb = np.array(look.glass)[:, None, None] * 10.0**-density
        key = [sub_seed(self.scene.seed, 40), (tile.y0 << 32) + tile.x0]
        rng = np.random.Generator(np.random.Philox(key=key))
        rgb += look.noise * rng.standard_normal(rgb.shape)
        return np.clip(np.rint(rgb), 1, 255).astype(np.uint8)
