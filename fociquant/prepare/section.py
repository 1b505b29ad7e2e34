"""All facts of a section, in the order in which one needs the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from fociquant.model import Box, ChannelStats, FieldSteps, SectionFacts, Shading, Unmixing
from fociquant.prepare.artefacts import Artefacts, Scene, artefact_warnings, find_artefacts
from fociquant.prepare.compartments import find_lumens
from fociquant.prepare.detail import Detail, Levels, look_closely
from fociquant.prepare.first_look import (
    TISSUE_ROLES,
    FirstLook,
    Samples,
    first_look,
    overview_factor,
    read_tiles,
    shape_of,
    tops_of,
)
from fociquant.prepare.flatfield import corrected
from fociquant.prepare.focus import FOCUS_REACH_UM
from fociquant.prepare.grids import pixels_under, share_of_blocks
from fociquant.prepare.overview import Overview, PixelReader
from fociquant.prepare.parenchyma import coarse_pixel_bias, tissue_levels
from fociquant.prepare.regions import pieces_warning, region_mask
from fociquant.prepare.sampling import TILE_PX, grid_shape, lattice, tissue_tiles
from fociquant.prepare.scale import channel_stats
from fociquant.prepare.screening import map_marker
from fociquant.prepare.shading import find_shading, shading_warnings
from fociquant.prepare.slope import autofluorescence_slope, pigment_slope
from fociquant.prepare.soundness import ProbedReader
from fociquant.prepare.steps import find_steps, step_warnings
from fociquant.prepare.threads import both, each
from fociquant.prepare.unmixing import find_unmixing
from fociquant.settings import PrepareSettings
from fociquant.units import UM2_PER_MM2, PixelSize

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
class _Lung:
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


def prepare_section(
    reader: PixelReader,
    roles: Mapping[str, int],
    pixel_size: PixelSize,
    settings: PrepareSettings,
    *,
    region: str = "",
    forget: Callable[[], None] = lambda: None,
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
    forget : callable
        Called when a pass over the section has ended and what comes next needs memory: what the
        reader keeps of it may go.

    Returns
    -------
    Prepared

    Raises
    ------
    RegionError
        If the slide has no such region.
    """
    lit = _evenly_lit(ProbedReader(reader, forget), roles, pixel_size, settings)
    overview = lit.look.overview
    here = region_mask(region, lit.look.inside >= 0.5, lit.look.pixel)
    samples = _choose_samples(lit, list(roles.values()), here, settings)
    lit = replace(lit, look=lit.look.without_tiles())
    facts, lung, artefacts = _examined(lit, roles, samples, here, pixel_size, settings)
    facts = replace(facts, region=here if region else None)
    mm2 = pixels_under(overview, shape_of(reader)) * pixel_size.area_um2 / UM2_PER_MM2
    facts = _with_areas(facts, artefacts.masks, lung, mm2)
    warnings = _warnings(overview, overview_factor(pixel_size, settings), facts, samples, roles)
    if not region:
        warnings += pieces_warning(facts.outline, lit.look.pixel)
    warnings += artefact_warnings(artefacts, mm2 * lung.inside)
    warnings += shading_warnings(facts.shading, pixel_size)
    warnings += step_warnings(facts.field_steps, pixel_size)
    return Prepared(facts, tuple(warnings), overview.planes(roles))


def _examined(
    lit: _Lit,
    roles: Mapping[str, int],
    samples: Samples,
    here: np.ndarray,
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> tuple[SectionFacts, _Lung, Artefacts]:
    """All facts but the areas, and what these follow from."""
    reader, look = lit.reader, lit.look
    lung, detail = _look_closely(reader, roles, samples, here, look, pixel_size)
    reader.forget()
    outline, parenchyma = lung.outline, lung.parenchyma
    masks = [_at_full_resolution(parenchyma, box, look.overview.factor) for box in samples.boxes]
    stats = _stats(roles, samples, masks, np.dtype(reader.levels[0].dtype))
    planes = look.overview.planes(roles)
    tops = tops_of(roles, samples, {role: one.saturation for role, one in stats.items()})
    scene = Scene(planes, detail, stats, lung.levels, tops, outline, look.pixel)
    facts = SectionFacts(
        stats=stats,
        tissue_mm2=0.0,
        parenchyma_mm2=0.0,
        outline=outline,
        artefact=np.zeros_like(outline),
        overview_px=look.pixel,
        lumen=(share_of_blocks(lit.lumen, look.n) >= 0.5) & outline,
        shading=lit.shading,
    )
    (artefacts, steps), facts = both(
        lambda: (
            find_artefacts(scene, settings),
            _steps_of(lit, roles, outline, pixel_size, settings),
        ),
        lambda: _with_marker(facts, reader, roles, samples, masks, pixel_size, settings),
    )
    return replace(facts, field_steps=steps), lung, artefacts


def _with_areas(
    facts: SectionFacts, artefacts: Mapping[str, np.ndarray], lung: _Lung, mm2: np.ndarray
) -> SectionFacts:
    """The same with its areas; `mm2` has that of each overview pixel."""
    masked = np.logical_or.reduce([facts.artefact, *artefacts.values()])
    inside = mm2 * lung.inside
    tissue_mm2, artefact_mm2 = float(inside[~masked].sum()), float(inside[masked].sum())
    del inside
    return replace(
        facts,
        tissue_mm2=tissue_mm2,
        parenchyma_mm2=float((mm2 * lung.cover)[~masked].sum()),
        artefact=masked,
        artefact_mm2=artefact_mm2,
    )


def _with_marker(
    facts: SectionFacts,
    reader: PixelReader,
    roles: Mapping[str, int],
    samples: Samples,
    masks: list[np.ndarray],
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> SectionFacts:
    """The same with what is known of the marker: what explains it, and where it stands out."""
    slope, pigment = _slopes(samples, masks, list(roles), facts)
    facts = replace(facts, autofluorescence_slope=slope, pigment_slope=pigment)
    if "marker" not in roles:
        return facts
    if settings.subtract_autofluorescence:
        facts = replace(facts, unmixing=_unmixing(samples, facts, list(roles)))
    return replace(facts, marker_map=map_marker(reader, roles, facts, pixel_size=pixel_size))


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
    look = first_look(ProbedReader(reader), roles, pixel_size, settings)
    return look.inside >= 0.5, look.pixel


@dataclass(frozen=True, slots=True)
class _Lit:
    """A section as if its camera fields were lit evenly, and how they are lit.

    Parameters
    ----------
    reader : ProbedReader
    look : FirstLook
    lumen : numpy.ndarray of bool
        On the grid of ``look.tissue``.
    shading : mapping of str to Shading
    seen : Overview
        Light as the file has it.
    """

    reader: ProbedReader
    look: FirstLook
    lumen: np.ndarray
    shading: dict[str, Shading]
    seen: Overview


def _evenly_lit(
    reader: ProbedReader,
    roles: Mapping[str, int],
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> _Lit:
    look = first_look(reader, roles, pixel_size, settings)
    seen = look.overview
    shading, lumen = both(lambda: _shading_of(reader, look, roles, settings), lambda: _lumens(look))
    if any(one.corrected for one in shading.values()):
        reader = ProbedReader(corrected(reader, roles, shading), reader.forget)
        look = first_look(reader, roles, pixel_size, settings)
        lumen = _lumens(look)
    return _Lit(reader, look, lumen, shading, seen)


def _steps_of(
    lit: _Lit,
    roles: Mapping[str, int],
    inside: np.ndarray,
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> FieldSteps | None:
    # Of a colour image channels are densities, to which a gain adds.
    if settings.stains:
        return None
    planes = lit.seen.planes(roles)
    factor = lit.seen.factor
    pixel_um = pixel_size.mean * factor
    return find_steps(planes, inside, lit.shading, pixel_um=pixel_um, factor=factor)


def _lumens(look: FirstLook) -> np.ndarray:
    return find_lumens(look.tissue.outline, look.tissue.parenchyma, look.fine_pixel)


def _shading_of(
    reader: PixelReader, look: FirstLook, roles: Mapping[str, int], settings: PrepareSettings
) -> dict[str, Shading]:
    # Of a colour image channels are densities, to which shading adds.
    if settings.stains or not settings.correct_shading:
        return {}
    dtype = np.dtype(reader.levels[0].dtype)
    largest = float(np.iinfo(dtype).max) if dtype.kind in "iu" else math.inf
    return find_shading(
        look.overview.planes(roles),
        look.inside >= 0.5,
        pixel_um=look.pixel.mean,
        factor=look.overview.factor,
        tops=tops_of(roles, look.anywhere, dict.fromkeys(roles, largest)),
    )


def _choose_samples(
    lit: _Lit, channels: Sequence[int], here: np.ndarray, settings: PrepareSettings
) -> Samples:
    """All pixels of a small image; else tiles in tissue, and some everywhere."""
    reader, look = lit.reader, lit.look
    shape, n = shape_of(reader), settings.scale_sample_tiles
    if math.prod(grid_shape(shape, TILE_PX)) <= n:
        return look.anywhere
    some = lattice(shape, max(n // EVERYWHERE_SHARE, 1))
    outline = (look.inside >= 0.5) & here
    inside = tissue_tiles(outline, look.overview.factor, shape, n - len(some))
    if not inside:
        return look.anywhere
    return read_tiles(reader, channels, sorted({*some, *inside}))


def _look_closely(
    reader: PixelReader,
    roles: Mapping[str, int],
    samples: Samples,
    here: np.ndarray,
    look: FirstLook,
    pixel_size: PixelSize,
) -> tuple[_Lung, Detail]:
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
    return _Lung(look, here, levels, detail.cover, bias), detail


def _around(inside: np.ndarray, pixel_um: float) -> np.ndarray:
    """All that the rules for focus look at for a place inside."""
    reach = math.ceil(FOCUS_REACH_UM / pixel_um) + 1
    return np.asarray(ndimage.maximum_filter(inside, 2 * reach + 1, mode="constant"))


def _stats(
    roles: Mapping[str, int], samples: Samples, masks: list[np.ndarray], dtype: np.dtype
) -> dict[str, ChannelStats]:
    found = each(lambda tiles: channel_stats(tiles, masks, dtype), samples.tiles)
    return dict(zip(roles, found, strict=True))


def _at_full_resolution(mask: np.ndarray, box: Box, factor: int) -> np.ndarray:
    """The part of an overview mask under a box, bool, of the box's shape."""
    rows = np.minimum(np.arange(box.y0, box.y1) // factor, mask.shape[0] - 1)
    columns = np.minimum(np.arange(box.x0, box.x1) // factor, mask.shape[1] - 1)
    return mask[np.ix_(rows, columns)]


def _slopes(
    samples: Samples, masks: list[np.ndarray], roles: list[str], facts: SectionFacts
) -> tuple[float | None, float | None]:
    """The colour of tissue and of pigment; nothing without both channels."""
    pair = ("marker", "autofluorescence")
    if not set(pair) <= set(roles):
        return None, None
    marker, light = (samples.tiles[roles.index(role)] for role in pair)
    ground = facts.stats["marker"].low, facts.stats["autofluorescence"].low
    slope = autofluorescence_slope(marker, light, masks)
    return slope, pigment_slope(marker, light, masks, ground=ground)


def _unmixing(samples: Samples, facts: SectionFacts, roles: list[str]) -> Unmixing | None:
    """None where autofluorescence is not known, or explains nothing."""
    if not facts.autofluorescence_slope or not samples.boxes:
        return None
    pair = ("marker", "autofluorescence")
    marker, light = (samples.tiles[roles.index(role)] for role in pair)
    floor, ground = (facts.stats[role].low for role in pair)
    return find_unmixing(
        marker, light, slope=facts.autofluorescence_slope, ground=ground, floor=floor
    )


def _warnings(
    overview: Overview, factor: int, facts: SectionFacts, samples: Samples, roles: Iterable[str]
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
