"""What is known of the marker: what explains it, and where it stands out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fociquant.model import SectionFacts, Unmixing
from fociquant.prepare.first_look import Samples
from fociquant.prepare.overview import PixelReader
from fociquant.prepare.scale import is_constant
from fociquant.prepare.screening import map_marker
from fociquant.prepare.slope import TissueSquares, autofluorescence_slope, pigment_slope
from fociquant.prepare.unmixing import find_unmixing
from fociquant.settings import PrepareSettings
from fociquant.units import PixelSize


def with_marker(
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


def _slopes(
    samples: Samples, masks: list[np.ndarray], roles: list[str], facts: SectionFacts
) -> tuple[float | None, float | None]:
    """The colour of tissue and of pigment; nothing without both channels.

    A channel that holds nothing explains nothing: the section is one without it.
    """
    pair = ("marker", "autofluorescence")
    if not set(pair) <= set(roles):
        return None, None
    marker, light = (samples.tiles[roles.index(role)] for role in pair)
    if is_constant(light):
        return None, None
    ground = facts.stats["marker"].low, facts.stats["autofluorescence"].low
    squares = TissueSquares.of(marker, light, masks)
    return autofluorescence_slope(squares), pigment_slope(squares, ground=ground)


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
