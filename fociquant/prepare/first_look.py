"""A section at low resolution and in some tiles: what its first facts are found on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fociquant.model import Box
from fociquant.prepare.grids import FINE_PX, coarser, share_of_blocks, tissue_factor
from fociquant.prepare.overview import Overview, PixelReader, make_overview
from fociquant.prepare.sampling import lattice
from fociquant.prepare.scale import pixel_noise
from fociquant.prepare.soundness import ProbedReader
from fociquant.prepare.textures import Textures, texture, texture_of_noise
from fociquant.prepare.threads import both, each
from fociquant.prepare.tissue import Tissue, find_tissue
from fociquant.prepare.unscanned import without_mixed, without_zeros
from fociquant.settings import PrepareSettings
from fociquant.units import PixelSize

TISSUE_ROLES = ("autofluorescence", "nucleus", "marker")
"""Channels in which unlabelled lung shows; phenotypes stain some cells only."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Full-resolution tiles.

    Parameters
    ----------
    boxes : list of Box
        Where they lie.
    tiles : list of list of numpy.ndarray, shape (h, w)
        Of each role, in order, the pixels of every box; raw counts.
    """

    boxes: list[Box]
    tiles: list[list[np.ndarray]]

    def scanned(self, overview: Overview) -> Samples:
        """The same with NaN where a tile holds pixels that were never scanned."""
        if overview.unscanned is None:
            return self
        stacks = [without_zeros(np.stack(tiles)) for tiles in zip(*self.tiles, strict=True)]
        return Samples(self.boxes, [list(tiles) for tiles in zip(*stacks, strict=True)])


@dataclass(frozen=True, slots=True)
class FirstLook:
    """The section at low resolution.

    Parameters
    ----------
    overview : Overview
    sharper : Overview
        The same on the grid of the tissue where that is small, else again the overview.
    anywhere : Samples
        Tiles placed without regard to tissue.
    noises : list of float
        Pixel noise of each role, raw counts.
    tissue : Tissue
        On a grid `n` times finer than the overview.
    n : int
    fine_pixel, pixel : PixelSize
        Of that grid and of the overview.
    """

    overview: Overview
    sharper: Overview
    anywhere: Samples
    noises: list[float]
    tissue: Tissue
    n: int
    fine_pixel: PixelSize
    pixel: PixelSize

    @property
    def inside(self) -> np.ndarray:
        """Share of each overview pixel inside the outline, float64 (h, w)."""
        return share_of_blocks(self.tissue.outline, self.n)

    @property
    def bright(self) -> np.ndarray:
        """Share of each overview pixel that is tissue, float64 (h, w)."""
        return share_of_blocks(self.tissue.parenchyma, self.n)

    def without_tiles(self) -> FirstLook:
        """The same without the tiles, once others were chosen: they take tens of megabytes."""
        return replace(self, anywhere=Samples([], []))


def first_look(
    reader: ProbedReader,
    roles: Mapping[str, int],
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> FirstLook:
    """Overview, pixel noise and tissue of a section.

    Parameters
    ----------
    reader : ProbedReader
    roles : mapping of str to int
        Role to channel index.
    pixel_size : PixelSize
        At full resolution.
    settings : PrepareSettings

    Returns
    -------
    FirstLook
    """
    channels, shape = list(roles.values()), shape_of(reader)
    factor = overview_factor(pixel_size, settings)
    fine = make_overview(reader, channels, tissue_factor(shape, pixel_size, factor))
    n = max(round(factor / fine.factor), 1)
    anywhere = read_tiles(reader, channels, lattice(shape, settings.scale_sample_tiles))
    reader.forget()
    noises = each(pixel_noise, anywhere.tiles)
    fine_pixel = pixel_size.scaled(fine.factor, fine.factor)
    fine = without_mixed(fine, anywhere.tiles, noises, fine_pixel)
    anywhere = anywhere.scanned(fine)
    overview, tissue = both(
        lambda: coarser(fine, n, shape),
        lambda: _find_tissue(fine, anywhere, noises, roles, pixel_size, settings),
    )
    small = math.prod(fine.image.shape[1:]) <= FINE_PX
    return FirstLook(
        overview, fine if small else overview, anywhere, noises, tissue, n,
        fine_pixel=fine_pixel,
        pixel=pixel_size.scaled(fine.factor * n, fine.factor * n),
    )  # fmt: skip


def read_tiles(reader: PixelReader, channels: Sequence[int], boxes: Sequence[Box]) -> Samples:
    """Full-resolution tiles of some channels; those never scanned are left out among others."""
    stacks = each(lambda box: reader.read(box, channels, 0), boxes)
    scanned = [bool((np.isfinite(stack) & (stack != 0)).any()) for stack in stacks]
    if not any(scanned):
        scanned = [True] * len(scanned)
    chosen = [stack for stack, there in zip(stacks, scanned, strict=True) if there]
    return Samples(
        boxes=[box for box, there in zip(boxes, scanned, strict=True) if there],
        tiles=[[stack[index] for stack in chosen] for index in range(len(channels))],
    )


def overview_factor(pixel_size: PixelSize, settings: PrepareSettings) -> int:
    """Full-resolution pixels per overview pixel that are wanted, >= 1."""
    return max(round(settings.overview_um_per_px / pixel_size.mean), 1)


def shape_of(reader: PixelReader) -> tuple[int, int]:
    """(height, width) at full resolution, px."""
    height, width = reader.levels[0].shape[1:]
    return int(height), int(width)


def tops_of(
    roles: Mapping[str, int], samples: Samples, largest: Mapping[str, float]
) -> dict[str, float]:
    """Largest value that pixels take in each channel, where several take it.

    A camera of 12 bits saturates below the largest value of a 16-bit file.
    """
    return {
        role: _top(tiles, largest[role]) for role, tiles in zip(roles, samples.tiles, strict=True)
    }


def _top(tiles: list[np.ndarray], largest: float) -> float:
    if not math.isfinite(largest):
        return math.inf
    tops = [np.max(tile, initial=0, where=np.isfinite(tile)) for tile in tiles]
    highest = int(max(tops, default=0))
    camera = {2.0**bits - 1 for bits in (8, 10, 12, 14, 16)}
    return float(highest) if float(highest) in camera else largest


def _find_tissue(
    overview: Overview,
    anywhere: Samples,
    noises: list[float],
    roles: Mapping[str, int],
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> Tissue:
    used = [i for i, role in enumerate(roles) if role in TISSUE_ROLES] or list(range(len(roles)))
    textures = Textures(
        boxes=[_on_overview(box, overview) for box in anywhere.boxes],
        values=np.array(
            each(lambda i: [texture(tile, pixel_size) for tile in anywhere.tiles[i]], used)
        ),
        noises=np.array([texture_of_noise(noises[i], pixel_size) for i in used]),
    )
    return find_tissue(
        overview.image[used].astype(np.float32, copy=False),
        [noises[i] / overview.factor for i in used],
        textures,
        pixel_size=pixel_size.scaled(overview.factor, overview.factor),
        settings=settings,
        unscanned=overview.unscanned,
    )


def _on_overview(box: Box, overview: Overview) -> Box:
    """Overview pixels under a full-resolution box; at least one."""
    height, width = overview.image.shape[1:]
    y0 = min(box.y0 // overview.factor, height - 1)
    x0 = min(box.x0 // overview.factor, width - 1)
    y1 = min(max(box.y1 // overview.factor, y0 + 1), height)
    return Box(y0, x0, y1, min(max(box.x1 // overview.factor, x0 + 1), width))
