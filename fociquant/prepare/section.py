"""All facts of a section, in the order in which one needs the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from fociquant.model import Box, ChannelStats, SectionFacts, Shading
from fociquant.prepare.artefacts import Scene, artefact_warnings, find_artefacts
from fociquant.prepare.compartments import find_lumens
from fociquant.prepare.detail import Detail, Levels, look_closely
from fociquant.prepare.flatfield import corrected
from fociquant.prepare.focus import FOCUS_REACH_UM
from fociquant.prepare.grids import coarser, pixels_under, share_of_blocks, tissue_factor
from fociquant.prepare.overview import Overview, PixelReader, make_overview
from fociquant.prepare.parenchyma import coarse_pixel_bias, tissue_levels
from fociquant.prepare.regions import pieces_warning, region_mask
from fociquant.prepare.sampling import TILE_PX, grid_shape, lattice, tissue_tiles
from fociquant.prepare.scale import channel_stats, pixel_noise
from fociquant.prepare.screening import map_marker
from fociquant.prepare.shading import find_shading, shading_warnings
from fociquant.prepare.slope import autofluorescence_slope
from fociquant.prepare.soundness import ProbedReader
from fociquant.prepare.tissue import Textures, Tissue, find_tissue, texture, texture_of_noise
from fociquant.settings import PrepareSettings
from fociquant.units import UM2_PER_MM2, PixelSize

TISSUE_ROLES = ("autofluorescence", "nucleus", "marker")
"""Channels in which unlabelled lung shows; phenotypes stain some cells only."""

EVERYWHERE_SHARE = 4
"""One sampled tile in four is placed without regard to tissue, so that air is seen too."""

PARENCHYMA_COVER = 0.35
"""Overview pixels with this share of tissue tell what tissue looks like; a septum fills little
more than half of one."""


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


@dataclass(frozen=True, slots=True)
class _Lung:
    """Tissue on the overview: share of each pixel inside the outline, share that is tissue."""

    inside: np.ndarray
    bright: np.ndarray
    levels: Mapping[str, Levels]
    detail: Detail
    bias: float

    @property
    def outline(self) -> np.ndarray:
        return self.inside >= 0.5

    @property
    def cover(self) -> np.ndarray:
        """Share of tissue; by brightness alone where air and tissue do not differ."""
        if not self.levels:
            return self.bright
        return np.minimum(self.detail.cover * self.bias, 1.0) * self.inside

    @property
    def parenchyma(self) -> np.ndarray:
        """Pixels that tell what tissue looks like."""
        solid = self.outline & (self.cover >= PARENCHYMA_COVER)
        return solid if solid.any() else self.outline & (self.bright >= 0.5)


def prepare_section(
    reader: PixelReader,
    roles: Mapping[str, int],
    pixel_size: PixelSize,
    settings: PrepareSettings,
    *,
    region: str = "",
) -> Prepared:
    """Find tissue, artefacts, intensity scale and background of a section.

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
    region : str
        The part of the slide that is this section, see :func:`fociquant.model.parse_region`;
        ``""``: all of it. What lies elsewhere is in no mask and no area.

    Returns
    -------
    Prepared

    Raises
    ------
    RegionError
        If the slide has no such region.
    """
    channels, shape = list(roles.values()), _shape(reader)
    reader, look, shading = _evenly_lit(ProbedReader(reader), roles, pixel_size, settings)
    overview, anywhere, noises, tissue = look.overview, look.anywhere, look.noises, look.tissue
    overview_px = look.pixel
    inside, bright = (share_of_blocks(mask, look.n) for mask in (tissue.outline, tissue.parenchyma))
    here = region_mask(region, inside >= 0.5, overview_px)
    inside, bright = inside * here, bright * here
    lumen = find_lumens(tissue.outline, tissue.parenchyma, look.fine_pixel)
    samples = _choose_samples(reader, channels, anywhere, inside >= 0.5, overview.factor, settings)
    lung = _look_closely(reader, roles, samples, noises, (inside, bright), overview, pixel_size)
    parenchyma = lung.parenchyma
    masks = [_at_full_resolution(parenchyma, box, overview.factor) for box in samples.boxes]
    stats = _stats(roles, samples, masks, np.dtype(reader.levels[0].dtype))
    planes = dict(zip(roles, overview.image, strict=True))
    scene = Scene(
        planes, lung.detail, stats, lung.levels, _tops(roles, samples, stats), lung.outline,
        overview_px,
    )  # fmt: skip
    artefacts = find_artefacts(scene, settings)
    mm2 = pixels_under(overview, shape) * pixel_size.area_um2 / UM2_PER_MM2
    masked = np.logical_or.reduce([np.zeros_like(lung.outline), *artefacts.values()])
    facts = SectionFacts(
        stats=stats,
        tissue_mm2=float((mm2 * lung.inside)[~masked].sum()),
        parenchyma_mm2=float((mm2 * lung.cover)[~masked].sum()),
        outline=lung.outline,
        artefact=masked,
        overview_px=overview_px,
        autofluorescence_slope=_slope(samples, masks, list(roles)),
        artefact_mm2=float((mm2 * lung.inside)[masked].sum()),
        lumen=(share_of_blocks(lumen, look.n) >= 0.5) & lung.outline,
        region=here if region else None,
        shading=shading,
    )
    if "marker" in roles:
        facts = replace(facts, marker_map=map_marker(reader, roles, facts, pixel_size=pixel_size))
    factor = _overview_factor(pixel_size, settings)
    warnings = _warnings(overview, factor, facts, samples, list(roles))
    if not region:
        warnings += pieces_warning(lung.outline, overview_px)
    warnings += artefact_warnings(artefacts, scene, mm2 * lung.inside)
    warnings += shading_warnings(shading, pixel_size)
    return Prepared(facts, tuple(warnings), planes)


def find_outline(
    reader: PixelReader,
    roles: Mapping[str, int],
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> tuple[np.ndarray, PixelSize]:
    """Only the lung's outline, as :func:`prepare_section` finds it on the whole slide.

    Returns
    -------
    outline : numpy.ndarray of bool, shape (h, w)
    pixel : PixelSize
        Of that grid, the overview.
    """
    look = _first_look(reader, roles, pixel_size, settings)
    return share_of_blocks(look.tissue.outline, look.n) >= 0.5, look.pixel


@dataclass(frozen=True, slots=True)
class _FirstLook:
    """The section at low resolution; tissue on a grid `n` times finer than the overview."""

    overview: Overview
    anywhere: _Samples
    noises: list[float]
    tissue: Tissue
    n: int
    fine_pixel: PixelSize
    pixel: PixelSize


def _first_look(
    reader: PixelReader,
    roles: Mapping[str, int],
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> _FirstLook:
    channels, shape = list(roles.values()), _shape(reader)
    factor = _overview_factor(pixel_size, settings)
    fine = make_overview(reader, channels, tissue_factor(shape, pixel_size, factor))
    n = max(round(factor / fine.factor), 1)
    anywhere = _read_tiles(reader, channels, lattice(shape, settings.scale_sample_tiles))
    noises = [pixel_noise(tiles) for tiles in anywhere.tiles]
    return _FirstLook(
        overview=coarser(fine, n, shape),
        anywhere=anywhere,
        noises=noises,
        tissue=_find_tissue(fine, anywhere, noises, roles, pixel_size, settings),
        n=n,
        fine_pixel=pixel_size.scaled(fine.factor, fine.factor),
        pixel=pixel_size.scaled(fine.factor * n, fine.factor * n),
    )


def _evenly_lit(
    reader: PixelReader,
    roles: Mapping[str, int],
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> tuple[PixelReader, _FirstLook, dict[str, Shading]]:
    """The section as it would be if its camera fields were lit evenly, and how they are lit."""
    look = _first_look(reader, roles, pixel_size, settings)
    # Of a colour image channels are densities, to which shading adds.
    if settings.stains or not settings.correct_shading:
        return reader, look, {}
    dtype = np.dtype(reader.levels[0].dtype)
    largest = float(np.iinfo(dtype).max) if dtype.kind in "iu" else math.inf
    tops = {
        role: _top(tiles, largest) for role, tiles in zip(roles, look.anywhere.tiles, strict=True)
    }
    planes = dict(zip(roles, look.overview.image, strict=True))
    outline = share_of_blocks(look.tissue.outline, look.n) >= 0.5
    shading = find_shading(
        planes, outline, pixel_um=look.pixel.mean, factor=look.overview.factor, tops=tops
    )
    if any(one.corrected for one in shading.values()):
        reader = ProbedReader(corrected(reader, roles, shading))
        look = _first_look(reader, roles, pixel_size, settings)
    return reader, look, shading


def _overview_factor(pixel_size: PixelSize, settings: PrepareSettings) -> int:
    return max(round(settings.overview_um_per_px / pixel_size.mean), 1)


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
    outline: np.ndarray,
    factor: int,
    settings: PrepareSettings,
) -> _Samples:
    """All pixels of a small image; else tiles in tissue, and some everywhere."""
    shape, n = _shape(reader), settings.scale_sample_tiles
    if math.prod(grid_shape(shape, TILE_PX)) <= n:
        return anywhere
    some = lattice(shape, max(n // EVERYWHERE_SHARE, 1))
    inside = tissue_tiles(outline, factor, shape, n - len(some))
    if not inside:
        return anywhere
    return _read_tiles(reader, channels, sorted({*some, *inside}))


def _look_closely(
    reader: PixelReader,
    roles: Mapping[str, int],
    samples: _Samples,
    noises: list[float],
    shares: tuple[np.ndarray, np.ndarray],
    overview: Overview,
    pixel_size: PixelSize,
) -> _Lung:
    """How much of the outline is tissue, and how sharp it is."""
    used = {role: index for role, index in roles.items() if role in TISSUE_ROLES} or dict(roles)
    tiles = {role: samples.tiles[list(roles).index(role)] for role in used}
    levels = tissue_levels(
        tiles, {role: noises[list(roles).index(role)] for role in used}, pixel_size
    )
    detail = look_closely(
        reader, used, levels,
        pixel_size=pixel_size, wanted=_around(shares[0] > 0, pixel_size.mean * overview.factor),
        factor=overview.factor,
    )  # fmt: skip
    bias = 1.0
    if levels:
        bias = coarse_pixel_bias(tiles, levels, factor=detail.factor, pixel_size=pixel_size)
    return _Lung(*shares, levels, detail, bias)


def _around(inside: np.ndarray, pixel_um: float) -> np.ndarray:
    """All that the rules for focus look at for a place inside."""
    reach = math.ceil(FOCUS_REACH_UM / pixel_um) + 1
    return np.asarray(ndimage.maximum_filter(inside, 2 * reach + 1, mode="constant"))


def _stats(
    roles: Mapping[str, int], samples: _Samples, masks: list[np.ndarray], dtype: np.dtype
) -> dict[str, ChannelStats]:
    return {
        role: channel_stats(tiles, masks, dtype)
        for role, tiles in zip(roles, samples.tiles, strict=True)
    }


def _tops(
    roles: Mapping[str, int], samples: _Samples, stats: Mapping[str, ChannelStats]
) -> dict[str, float]:
    """Largest value that pixels take in each channel, where several take it: a camera of 12 bits
    saturates below the largest value of a 16-bit file.
    """
    return {
        role: _top(tiles, stats[role].saturation)
        for role, tiles in zip(roles, samples.tiles, strict=True)
    }


def _top(tiles: list[np.ndarray], largest: float) -> float:
    if not math.isfinite(largest):
        return math.inf
    highest = max((int(tile.max()) for tile in tiles if tile.size), default=0)
    camera = {2.0**bits - 1 for bits in (8, 10, 12, 14, 16)}
    return float(highest) if float(highest) in camera else largest


def _at_full_resolution(mask: np.ndarray, box: Box, factor: int) -> np.ndarray:
    """The part of an overview mask under a box, bool, of the box's shape."""
    rows = np.minimum(np.arange(box.y0, box.y1) // factor, mask.shape[0] - 1)
    columns = np.minimum(np.arange(box.x0, box.x1) // factor, mask.shape[1] - 1)
    return mask[np.ix_(rows, columns)]


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
    elif facts.tissue_mm2 <= 0.0:
        found.append("All tissue lies in artefacts: there is no area to count in.")
    return found


def _is_constant(tiles: list[np.ndarray]) -> bool:
    ends = {value for tile in tiles if tile.size for value in (tile.min(), tile.max())}
    return len(ends) <= 1
