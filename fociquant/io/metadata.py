"""What files say about channels, pixel sizes and levels, made comparable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fociquant.errors import PixelSizeError
from fociquant.units import MAX_PIXEL_UM, PixelSize

RGB_NAMES = ("Red", "Green", "Blue", "Alpha")
"""Names of the samples of a colour image."""

MAX_TAG_PIXEL_UM = 20.0
"""TIFF resolution tags that mean larger pixels are print resolutions (72 … 1200 dpi), µm."""

MAX_REDUCTION, MIN_COARSE_PX = 64, 768
"""Levels reduced more than this are used only if their longer side has so many pixels: with fewer,
a pixel of a 75 mm slide is above 100 µm, too coarse to see tissue in."""

UM_PER_UNIT = {
    "km": 1e9, "hm": 1e8, "dam": 1e7, "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "µm": 1.0,
    "nm": 1e-3, "pm": 1e-6, "å": 1e-4, "in": 25400.0, "ft": 304800.0, "thou": 25.4,
    "um": 1.0, "micron": 1.0, "microns": 1.0, "inch": 25400.0, "inches": 25400.0, "mil": 25.4,
    "kilometer": 1e9, "meter": 1e6, "decimeter": 1e5, "centimeter": 1e4, "millimeter": 1e3,
    "micrometer": 1.0, "nanometer": 1e-3, "picometer": 1e-6, "angstrom": 1e-4, "foot": 304800.0,
    "micrometre": 1.0, "nanometre": 1e-3, "millimetre": 1e3, "centimetre": 1e4, "metre": 1e6,
}  # fmt: skip
"""Length units of OME-XML, OME-Zarr and ImageJ in µm; keys in lower case with U+00B5."""


def um_per_unit(unit: str | None) -> float | None:
    """Micrometres in one `unit`; None for pixels, reference frames and anything unknown."""
    if unit is None:
        return None
    key = unit.strip().strip('"').lower().replace("\\u00b5", "µ").replace("μ", "µ")
    return UM_PER_UNIT.get(key)


def pixel_size_from(y: float | None, x: float | None, unit: str | None) -> PixelSize | None:
    """The size as a :class:`PixelSize`, or None where the file does not truly say it.

    None for a missing axis, an unknown unit, or a size that no microscope has.
    """
    factor = um_per_unit(unit)
    if y is None or x is None or factor is None:
        return None
    if max(float(y), float(x)) * factor > MAX_PIXEL_UM:
        return None
    try:
        return PixelSize(float(y) * factor, float(x) * factor)
    except PixelSizeError:
        return None


def pixel_size_from_resolution(y: float, x: float, unit: str | None) -> PixelSize | None:
    """From TIFF resolution, pixels per `unit`; None for print resolutions such as 72 dpi."""
    if not (y > 0 and x > 0):
        return None
    size = pixel_size_from(1.0 / y, 1.0 / x, unit)
    if size is None or max(size.y, size.x) > MAX_TAG_PIXEL_UM:
        return None
    return size


def unique_names(names: Sequence[str | None], count: int) -> tuple[str, ...]:
    """Exactly `count` unique channel names.

    A missing or empty name becomes ``channel 0`` (its index). A name used twice gets a number
    everywhere it occurs (``DAPI (1)``, ``DAPI (2)``), so that neither is taken by accident.
    """
    given = [(name or "").strip() for name in list(names)[:count]]
    given += [""] * (count - len(given))
    wanted = [name or f"channel {index}" for index, name in enumerate(given)]
    repeated = {name for name, times in Counter(wanted).items() if times > 1}
    taken = set(wanted) - repeated
    result = []
    for name in wanted:
        result.append(_numbered(name, taken) if name in repeated else name)
        taken.add(result[-1])
    return tuple(result)


def _numbered(name: str, taken: set[str]) -> str:
    number = 1
    while f"{name} ({number})" in taken:
        number += 1
    return f"{name} ({number})"


def is_reduced(full: tuple[int, int], reduced: tuple[int, int]) -> bool:
    """Whether an image of this (height, width) can be a reduced copy of the `full` one.

    One factor above 1 must explain both sides, each rounded up or down; thumbnails, labels and
    macro images of another aspect ratio are not levels. Levels too coarse to be of use are not
    taken either.
    """
    if min(reduced) < 1 or reduced[0] > full[0] or reduced[1] > full[1] or reduced == full:
        return False
    if max(full) > MAX_REDUCTION * max(reduced) and max(reduced) < MIN_COARSE_PX:
        return False
    lowest = max(big / (small + 1) for big, small in zip(full, reduced, strict=True))
    highest = min(
        big / (small - 1) if small > 1 else float("inf")
        for big, small in zip(full, reduced, strict=True)
    )
    return lowest < highest and highest > 1


def reduction(full: int, reduced: int) -> float:
    """How many full-resolution pixels one reduced pixel spans along an axis.

    The whole number that explains the size by rounding up or down, where there is one (a side of
    2001 px halved to 1001 is a factor of 2 with half a pixel beyond the border), else the ratio.
    """
    whole = round(full / reduced)
    if whole >= 1 and reduced in (full // whole, -(-full // whole)):
        return float(whole)
    return full / reduced
