"""How much brighter one camera field is than its neighbour, across their common border.

Both sides of a border show tissue of one kind, lit alike but for the gain of their fields. What
tissue itself differs by over so short a way is seen at lines in the middle of fields, where there
is no border, and taken off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fociquant.model import FieldSteps, Shading
from fociquant.prepare.borders import Views
from fociquant.prepare.dark import dark_levels, darkest
from fociquant.prepare.repeats import repeats_itself
from fociquant.prepare.stitching import Axis, Fields
from fociquant.prepare.strips import GAP_PX, borders_along, classes_of, runs_of
from fociquant.units import PixelSize

BORDER, CONTROL = (0.0,), (0.25, 0.75)
"""Places of lines in a field, from border to border."""

WIDEST_PX = 8
"""Of the strips on either side of a line; a quarter of a field at most, so that those of control
lines end before the border."""

CLASSES = (0.25, 0.5, 0.8)
"""Brightness at which both sides are compared: shares of their pixels that are darker. In the
quiet light of air and thin tissue two sides of a line differ by 1 %, in that of septa by 20 %."""

CLEAR = 1.5
"""Steps are there where the quiet light differs by so many times what it does at control lines."""

LEAST_LIGHT = 1.0
"""Counts above dark; of less no ratio is taken."""

WARNED_FROM, WARNED_BORDERS = 5.0, 10
"""Percent, and borders between two fields, from which on the user is told."""


@dataclass(frozen=True, slots=True)
class _Sides:
    """Counts on both sides of some lines (lines, classes), and which lines are of one kind."""

    one: np.ndarray
    other: np.ndarray
    kind: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)

    def apart(self, values: np.ndarray) -> np.ndarray:
        """Less what all lines of a kind have in common: that is the lens, not the gain."""
        limit = 5.0 * np.median(np.abs(values), axis=0)
        cut = np.clip(values, -limit, limit)
        out = values.astype(np.float64)
        for kind in np.unique(self.kind):
            out[self.kind == kind] -= cut[self.kind == kind].mean(axis=0)
        return out


def find_steps(
    planes: Mapping[str, np.ndarray],
    inside: np.ndarray,
    shading: Mapping[str, Shading],
    *,
    pixel_um: float,
    factor: int,
) -> FieldSteps | None:
    """Steps of light between camera fields, where fields show.

    Parameters
    ----------
    planes : mapping of str to numpy.ndarray of float32, shape (h, w)
        Role to mean raw counts on the overview, as the file has them; finite.
    inside : numpy.ndarray of bool, shape (m, n)
        Tissue that counts, on about the same grid.
    shading : mapping of str to Shading
        Role to what is known of the light within fields.
    pixel_um : float
        Edge of an overview pixel, µm.
    factor : int
        Full-resolution pixels along it.

    Returns
    -------
    FieldSteps or None
        None where neither steps nor the light within fields show any, and where the tissue
        itself repeats.
    """
    role = "marker" if "marker" in planes else next(iter(planes))
    inside = _onto(inside, planes[role].shape)
    views = Views.of(planes[role], inside)
    dark = {name: one.dark for name, one in shading.items()}
    fields = views.shown(pixel_um)
    if fields is not None:
        found = measure_steps(planes, inside, fields, factor=factor, dark=dark)
        if is_more_than_tissue(found, role) and not repeats_itself(planes[role], inside):
            return found
    known = _fields_of(shading, factor)
    if known is None:
        return None
    return measure_steps(planes, inside, views.near(known), factor=factor, dark=dark)


def is_more_than_tissue(steps: FieldSteps, role: str) -> bool:
    """Whether a channel differs more across borders than tissue does without any."""
    return 0.0 < steps.percent.get(role, 0.0) >= steps.tissue_percent.get(role, 0.0)


def _onto(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The mask on a grid of that shape over the same section."""
    if mask.shape == shape:
        return mask
    rows, columns = (
        np.arange(size) * own // size for size, own in zip(shape, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def _fields_of(shading: Mapping[str, Shading], factor: int) -> Fields | None:
    """All channels have those of one camera."""
    for one in shading.values():
        y, x = (
            Axis(period / factor, origin / factor)
            for period, origin in zip(one.period_px, one.origin_px, strict=True)
        )
        return Fields(y, x)
    return None


def step_warnings(steps: FieldSteps | None, pixel_size: PixelSize) -> list[str]:
    """A plain sentence about the marker, if its steps are large and more than chance.

    Parameters
    ----------
    steps : FieldSteps or None
    pixel_size : PixelSize
        At full resolution.
    """
    if steps is None or steps.borders < WARNED_BORDERS:
        return []
    step = steps.percent.get("marker", 0.0)
    if step < WARNED_FROM or not is_more_than_tissue(steps, "marker"):
        return []
    edges = [
        f"{period * um:.0f}"
        for period, um in zip(steps.period_px, (pixel_size.y, pixel_size.x), strict=True)
        if period
    ]
    size = " x ".join(edges) + (" µm" if len(edges) > 1 else " µm wide")
    return [
        f"The marker's light jumps by typically {step:.0f} % from one camera field ({size}) to the "
        f"next, at {steps.borders} borders. Cells are judged against their own surroundings, so "
        "counts change little, but intensities and cells near the threshold do differ from field "
        "to field; these steps were not evened out. Scan with a fixed exposure, and compare "
        "field_step_pct between the arms."
    ]


def measure_steps(
    planes: Mapping[str, np.ndarray],
    inside: np.ndarray,
    fields: Fields,
    *,
    factor: int,
    dark: Mapping[str, float],
) -> FieldSteps:
    """Typical step of each channel between neighbouring fields.

    Parameters
    ----------
    planes : mapping of str to numpy.ndarray of float32, shape (h, w)
        Role to mean raw counts on the overview, finite.
    inside : numpy.ndarray of bool, shape (h, w)
        Tissue that counts.
    fields : Fields
        In overview pixels.
    factor : int
        Full-resolution pixels along one of them.
    dark : mapping of str to float
        Counts without light by role, as far as they are known; used where the steps are too small
        to tell.

    Returns
    -------
    FieldSteps
    """
    lines = {
        role: (_sides(plane, inside, fields, BORDER), _sides(plane, inside, fields, CONTROL))
        for role, plane in planes.items()
    }
    measured = {role: pair for role, pair in lines.items() if all(map(len, pair))}
    clear = [role for role, pair in measured.items() if _are_clear(*pair)]
    levels = dark_levels({role: planes[role] for role in clear}, inside, fields)
    found = {
        role: _typical(*pair, dark=levels.get(role, dark.get(role, darkest(planes[role], inside))))
        for role, pair in measured.items()
    }
    y, x = fields.y, fields.x
    return FieldSteps(
        period_px=(y.period * factor, x.period * factor),
        origin_px=(y.origin * factor, x.origin * factor),
        borders=max((len(pair[0]) for pair in measured.values()), default=0),
        percent={role: step for role, (step, _) in found.items()},
        tissue_percent={role: chance for role, (_, chance) in found.items()},
    )


def _sides(
    plane: np.ndarray, inside: np.ndarray, fields: Fields, places: tuple[float, ...]
) -> _Sides:
    """Both sides of every line at these places of the fields, along both axes."""
    found = []
    views = ((plane, inside, fields.y, fields.x), (plane.T, inside.T, fields.x, fields.y))
    for view in views:
        found += [_pairs(*view, place) for place in places if view[2].period]
    kinds = [np.full(len(pairs), kind) for kind, pairs in enumerate(found)]
    pairs = np.concatenate(found)
    return _Sides(pairs[:, 0], pairs[:, 1], np.concatenate(kinds))


def _pairs(
    plane: np.ndarray, inside: np.ndarray, along: Axis, across: Axis, place: float
) -> np.ndarray:
    """Counts above and below each line in each field it runs by, (pairs, 2, classes)."""
    wide = int(min(along.period / 4 - GAP_PX, WIDEST_PX))
    lines = np.rint(borders_along(along, plane.shape[0]) + place * along.period).astype(np.int64)
    strip = np.arange(wide) + GAP_PX
    columns = runs_of(across if across.period else Axis(along.period), plane.shape[1])
    both = np.stack([
        classes_of(plane, inside, rows, columns, CLASSES)
        for rows in (lines[:, None] - 1 - strip, lines[:, None] + strip)
    ], axis=2).reshape(-1, 2, len(CLASSES))  # fmt: skip
    return both[np.isfinite(both).all(axis=(1, 2))]


def _are_clear(borders: _Sides, controls: _Sides) -> bool:
    """Whether the quiet light steps at borders more than it does elsewhere."""
    steps, chance = (
        float(np.median(np.abs(sides.apart(sides.other - sides.one)[:, 0])))
        for sides in (borders, controls)
    )
    return steps > CLEAR * chance


def _typical(borders: _Sides, controls: _Sides, *, dark: float) -> tuple[float, float]:
    """Step at borders less what tissue gives, and that, percent; both medians.

    Of the class of brightness in which tissue gives least.
    """
    steps, chance = (_logs(sides, dark) for sides in (borders, controls))
    best = int(np.argmin(chance))
    step = math.sqrt(max(float(steps[best] ** 2 - chance[best] ** 2), 0.0))
    return 100.0 * math.expm1(step), 100.0 * math.expm1(float(chance[best]))


def _logs(sides: _Sides, dark: float) -> np.ndarray:
    """Median absolute logarithm of the ratio of both sides, by class."""
    one, other = (np.maximum(side - dark, LEAST_LIGHT) for side in (sides.one, sides.other))
    return np.asarray(np.median(np.abs(sides.apart(np.log(other / one))), axis=0))
