"""All facts of a section, in the order in which one needs the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fociquant.model import Box, SectionFacts
from fociquant.prepare.overview import Overview, PixelReader, make_overview
from fociquant.prepare.sampling import TILE_PX, grid_shape, lattice, tissue_tiles
from fociquant.prepare.scale import channel_stats, pixel_noise
from fociquant.prepare.slope import autofluorescence_slope
from fociquant.prepare.tissue import Textures, Tissue, find_tissue, texture, texture_of_noise
from fociquant.settings import PrepareSettings
from fociquant.units import UM2_PER_MM2, PixelSize

TISSUE_ROLES = ("autofluorescence", "nucleus", "marker")
"""Channels in which unlabelled lung shows; phenotypes stain some cells only."""

EVERYWHERE_SHARE = 4
"""One sampled tile in four is placed without regard to tissue, so that air is seen too."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Facts of a section, and what the user should know about them.

    Parameters
    ----------
    facts : SectionFacts
    warnings : tuple of str
        Plain sentences; empty if all is well.
    overview : mapping of str to numpy.ndarray of float32, shape (h, w)
        Role to mean raw counts on the grid of ``facts.overview_px``.
    """

    facts: SectionFacts
    warnings: tuple[str, ...]
    overview: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class _Samples:
    """Full-resolution tiles: of each role (in order), where they lie."""

    boxes: list[Box]
    tiles: list[list[np.ndarray]]


def prepare_section(
    reader: PixelReader,
    roles: Mapping[str, int],
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> Prepared:
    """Find tissue, intensity scale and background of a section.

    Depends on the file and the settings only; memory stays bounded whatever the
    size of the section.

    Parameters
    ----------
    reader : PixelReader
        An opened section image.
    roles : mapping of str to int
        Role (``marker``, ``nucleus``, ``autofluorescence``, a phenotype's name) to channel index.
    pixel_size : PixelSize
        At full resolution.
    settings : PrepareSettings

    Returns
    -------
    Prepared
    """
    channels = list(roles.values())
    factor = max(round(settings.overview_um_per_px / pixel_size.mean), 1)
    overview = make_overview(reader, channels, factor)
    anywhere = _read_tiles(reader, channels, lattice(_shape(reader), settings.scale_sample_tiles))
    noises = [pixel_noise(tiles) for tiles in anywhere.tiles]
    tissue = _find_tissue(overview, anywhere, noises, roles, pixel_size, settings)
    samples = _choose_samples(reader, channels, anywhere, tissue, overview.factor, settings)
    masks = [_at_full_resolution(tissue.parenchyma, box, overview.factor) for box in samples.boxes]
    dtype = np.dtype(reader.levels[0].dtype)
    stats = {
        role: channel_stats(tiles, masks, dtype)
        for role, tiles in zip(roles, samples.tiles, strict=True)
    }
    overview_px = pixel_size.scaled(overview.factor, overview.factor)
    mm2 = _share_of_image(overview, _shape(reader)) * pixel_size.area_um2 / UM2_PER_MM2
    facts = SectionFacts(
        stats=stats,
        tissue_mm2=float(mm2[tissue.outline].sum()),
        parenchyma_mm2=float(mm2[tissue.parenchyma].sum()),
        outline=tissue.outline,
        artefact=np.zeros_like(tissue.outline),
        overview_px=overview_px,
        autofluorescence_slope=_slope(samples, masks, list(roles)),
    )
    warnings = tuple(_warnings(overview, factor, facts, samples, list(roles)))
    return Prepared(facts, warnings, dict(zip(roles, overview.image, strict=True)))


def _shape(reader: PixelReader) -> tuple[int, int]:
    height, width = reader.levels[0].shape[1:]
    return int(height), int(width)


def _read_tiles(reader: PixelReader, channels: Sequence[int], boxes: list[Box]) -> _Samples:
    stacks = [reader.read(box, channels, 0) for box in boxes]
    if any(stack.any() for stack in stacks):  # tiles of zeros only were never scanned
        boxes = [box for box, stack in zip(boxes, stacks, strict=True) if stack.any()]
        stacks = [stack for stack in stacks if stack.any()]
    return _Samples(boxes, [[stack[i] for stack in stacks] for i in range(len(channels))])


def _find_tissue(
    overview: Overview,
    anywhere: _Samples,
    noises: list[float],
    roles: Mapping[str, int],
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> Tissue:
    used = [i for i, role in enumerate(roles) if role in TISSUE_ROLES] or list(range(len(roles)))
    textures = Textures(
        boxes=[_on_overview(box, overview) for box in anywhere.boxes],
        values=np.array([[texture(t, pixel_size) for t in anywhere.tiles[i]] for i in used]),
        noises=np.array([texture_of_noise(noises[i], pixel_size) for i in used]),
    )
    return find_tissue(
        overview.image[used],
        [noises[i] / overview.factor for i in used],
        textures,
        pixel_size=pixel_size.scaled(overview.factor, overview.factor),
        settings=settings,
    )


def _on_overview(box: Box, overview: Overview) -> Box:
    """Overview pixels under a full-resolution box; at least one."""
    height, width = overview.image.shape[1:]
    y0 = min(box.y0 // overview.factor, height - 1)
    x0 = min(box.x0 // overview.factor, width - 1)
    y1 = min(max(box.y1 // overview.factor, y0 + 1), height)
    return Box(y0, x0, y1, min(max(box.x1 // overview.factor, x0 + 1), width))


def _choose_samples(
    reader: PixelReader,
    channels: Sequence[int],
    anywhere: _Samples,
    tissue: Tissue,
    factor: int,
    settings: PrepareSettings,
) -> _Samples:
    """All pixels of a small image; else tiles in tissue, and some everywhere."""
    shape, n = _shape(reader), settings.scale_sample_tiles
    if math.prod(grid_shape(shape, TILE_PX)) <= n:
        return anywhere
    some = lattice(shape, max(n // EVERYWHERE_SHARE, 1))
    inside = tissue_tiles(tissue.outline, factor, shape, n - len(some))
    if not inside:
        return anywhere
    return _read_tiles(reader, channels, sorted({*some, *inside}))


def _at_full_resolution(mask: np.ndarray, box: Box, factor: int) -> np.ndarray:
    """The part of an overview mask under a box, bool, of the box's shape."""
    rows = np.minimum(np.arange(box.y0, box.y1) // factor, mask.shape[0] - 1)
    columns = np.minimum(np.arange(box.x0, box.x1) // factor, mask.shape[1] - 1)
    return mask[np.ix_(rows, columns)]


def _share_of_image(overview: Overview, shape: tuple[int, int]) -> np.ndarray:
    """Full-resolution pixels under each overview pixel: fewer at the far edges."""
    counts = [
        np.clip(size - np.arange(blocks) * overview.factor, 0, overview.factor)
        for size, blocks in zip(shape, overview.image.shape[1:], strict=True)
    ]
    return np.outer(*counts).astype(np.float64)


def _slope(samples: _Samples, masks: list[np.ndarray], roles: list[str]) -> float | None:
    if "autofluorescence" not in roles or "marker" not in roles:
        return None
    marker = samples.tiles[roles.index("marker")]
    return autofluorescence_slope(marker, samples.tiles[roles.index("autofluorescence")], masks)


def _warnings(
    overview: Overview, factor: int, facts: SectionFacts, samples: _Samples, roles: list[str]
) -> list[str]:
    found = []
    if overview.refused:
        levels = ", ".join(str(level) for level in overview.refused)
        found.append(
            f"Reduced level {levels} of the file does not hold averages of the full resolution; "
            f"level {overview.level} was read instead."
        )
    if overview.factor > 2 * factor:
        found.append(f"The overview was made coarser: {facts.overview_px.mean:.3g} µm per pixel.")
    if overview.not_finite:
        found.append(f"{overview.not_finite} pixels are NaN or infinite and were left out.")
    for role, tiles in zip(roles, samples.tiles, strict=True):
        if tiles and _is_constant(tiles):
            found.append(f"The {role} channel is constant where it was sampled.")
    if not facts.outline.any():
        found.append("No tissue was found.")
    return found


def _is_constant(tiles: list[np.ndarray]) -> bool:
    ends = {value for tile in tiles if tile.size for value in (tile.min(), tile.max())}
    return len(ends) <= 1
