"""A section as if its camera fields were lit evenly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fociquant.model import FieldSteps, Shading
from fociquant.prepare.compartments import find_lumens
from fociquant.prepare.first_look import FirstLook, first_look, tops_of
from fociquant.prepare.flatfield import corrected
from fociquant.prepare.overview import Overview, PixelReader
from fociquant.prepare.shading import find_shading
from fociquant.prepare.soundness import ProbedReader
from fociquant.prepare.steps import find_steps
from fociquant.prepare.threads import both
from fociquant.settings import PrepareSettings
from fociquant.units import PixelSize


@dataclass(frozen=True, slots=True)
class Lit:
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


def evenly_lit(
    reader: ProbedReader,
    roles: Mapping[str, int],
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> Lit:
    """Look at a section once, and again with what light fell where taken into account."""
    look = first_look(reader, roles, pixel_size, settings)
    seen = look.overview
    shading, lumen = both(lambda: _shading_of(reader, look, roles, settings), lambda: _lumens(look))
    if any(one.corrected for one in shading.values()):
        reader = ProbedReader(corrected(reader, roles, shading), reader.forget)
        look = first_look(reader, roles, pixel_size, settings)
        lumen = _lumens(look)
    return Lit(reader, look, lumen, shading, seen)


def steps_of(
    lit: Lit,
    roles: Mapping[str, int],
    inside: np.ndarray,
    pixel_size: PixelSize,
    settings: PrepareSettings,
) -> FieldSteps | None:
    """Steps of light between camera fields within `inside`, as the file has it."""
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
