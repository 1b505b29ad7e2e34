"""All facts of a section, in the order in which one needs the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fociquant.model import Box, ChannelStats, FieldSteps, SectionFacts
from fociquant.prepare.artefacts import Artefacts, Scene, artefact_warnings, find_artefacts
from fociquant.prepare.first_look import (
    Samples,
    first_look,
    overview_factor,
    read_tiles,
    shape_of,
    tops_of,
)
from fociquant.prepare.grids import pixels_under, share_of_blocks
from fociquant.prepare.lighting import Lit, evenly_lit, steps_of
from fociquant.prepare.lung import Lung, close_look
from fociquant.prepare.marker import with_marker
from fociquant.prepare.overview import Overview, PixelReader
from fociquant.prepare.regions import pieces_warning, region_mask
from fociquant.prepare.sampling import TILE_PX, grid_shape, lattice, tissue_tiles
from fociquant.prepare.scale import channel_stats, is_constant
from fociquant.prepare.shading import shading_warnings
from fociquant.prepare.soundness import ProbedReader
from fociquant.prepare.steps import step_warnings
from fociquant.prepare.threads import both, each
from fociquant.settings import PrepareSettings
from fociquant.units import UM2_PER_MM2, PixelSize

EVERYWHERE_SHARE = 4
"""One sampled tile in four is placed without regard to tissue, so that air is seen too."""

NOTHING_SAYS = ": cells are told as in a section without it"
"""What becomes of an unstained channel that holds nothing."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Facts of a section, and what the user should know about them.

    Parameters
    ----------
    facts : SectionFacts
    warnings : tuple of str
        Plain sentences; empty if all is well.
    """

    facts: SectionFacts
    warnings: tuple[str, ...]


Draw = Callable[[SectionFacts, Mapping[str, np.ndarray]], None]
"""Draws a section: gets its facts, in which those of the marker may be missing, and role to mean
raw counts, float32 (h, w), on the grid of ``facts.overview_px`` or a finer one."""


def prepare_section(
    reader: PixelReader,
    roles: Mapping[str, int],
    pixel_size: PixelSize,
    settings: PrepareSettings,
    *,
    region: str = "",
    forget: Callable[[], None] = lambda: None,
    draw: Draw = lambda facts, planes: None,
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
    draw : callable
        Called once, in a thread, while the marker is still being looked at.

    Returns
    -------
    Prepared

    Raises
    ------
    RegionError
        If the slide has no such region.
    """
    lit = evenly_lit(ProbedReader(reader, forget), roles, pixel_size, settings)
    overview = lit.look.overview
    here = region_mask(region, lit.look.inside >= 0.5, lit.look.pixel)
    samples = _choose_samples(lit, list(roles.values()), here, settings)
    lit = replace(lit, look=lit.look.without_tiles())
    facts, lung, artefacts = _examined(lit, roles, samples, here, pixel_size, settings, draw)
    facts = replace(facts, region=here if region else None)
    mm2 = pixels_under(overview, shape_of(reader)) * pixel_size.area_um2 / UM2_PER_MM2
    facts = _with_areas(facts, lung, mm2)
    warnings = _warnings(overview, overview_factor(pixel_size, settings), facts, samples, roles)
    if not region:
        warnings += pieces_warning(facts.outline, lit.look.pixel)
    warnings += artefact_warnings(artefacts, mm2 * lung.inside)
    warnings += shading_warnings(facts.shading, pixel_size)
    warnings += step_warnings(facts.field_steps, pixel_size)
    return Prepared(facts, tuple(warnings))


def _examined(
    lit: Lit,
    roles: Mapping[str, int],
    samples: Samples,
    here: np.ndarray,
    pixel_size: PixelSize,
    settings: PrepareSettings,
    draw: Draw,
) -> tuple[SectionFacts, Lung, Artefacts]:
    """All facts but the areas, and what these follow from."""
    reader, look = lit.reader, lit.look
    lung, detail = close_look(reader, roles, samples, here, look, pixel_size)
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

    def beside() -> tuple[Artefacts, np.ndarray, FieldSteps | None]:
        artefacts = find_artefacts(scene, settings)
        masked = np.logical_or.reduce([facts.artefact, *artefacts.masks.values()])
        steps = steps_of(lit, roles, outline, pixel_size, settings)
        draw(replace(facts, artefact=masked), look.sharper.planes(roles))
        return artefacts, masked, steps

    (artefacts, masked, steps), found = both(
        beside, lambda: with_marker(facts, reader, roles, samples, masks, pixel_size, settings)
    )
    return replace(found, artefact=masked, field_steps=steps), lung, artefacts


def _with_areas(facts: SectionFacts, lung: Lung, mm2: np.ndarray) -> SectionFacts:
    """The same with its areas; `mm2` has that of each overview pixel."""
    inside = mm2 * lung.inside
    tissue_mm2 = float(inside[~facts.artefact].sum())
    artefact_mm2 = float(inside[facts.artefact].sum())
    del inside
    return replace(
        facts,
        tissue_mm2=tissue_mm2,
        parenchyma_mm2=float((mm2 * lung.cover)[~facts.artefact].sum()),
        artefact_mm2=artefact_mm2,
    )


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


def _choose_samples(
    lit: Lit, channels: Sequence[int], here: np.ndarray, settings: PrepareSettings
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
    samples = read_tiles(reader, channels, sorted({*some, *inside}))
    return samples.scanned(look.overview)


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


def _warnings(
    overview: Overview, factor: int, facts: SectionFacts, samples: Samples, roles: Iterable[str]
) -> list[str]:
    found = []
    constant = [is_constant(tiles) for tiles in samples.tiles]
    if overview.refused and not all(constant):  # else nothing told whether they hold averages
        levels = ", ".join(str(level) for level in overview.refused)
        found.append(
            f"Reduced level {levels} of the file lacks parts or does not hold averages of the full "
            f"resolution; "
            f"level {overview.level} was read instead."
        )
    if overview.factor > 2 * factor:
        found.append(f"The overview was made coarser: {facts.overview_px.mean:.3g} µm per pixel.")
    if overview.not_finite:
        found.append(f"{overview.not_finite} pixels are NaN or infinite and were left out.")
    for role, nothing in zip(roles, constant, strict=True):
        if nothing:
            then = NOTHING_SAYS if role == "autofluorescence" else ""
            found.append(f"The {role} channel is constant where it was sampled{then}.")
    if not facts.outline.any():
        found.append("No tissue was found.")
    elif facts.tissue_mm2 <= 0.0:
        found.append("All tissue lies in artefacts: there is no area to count in.")
    return found
