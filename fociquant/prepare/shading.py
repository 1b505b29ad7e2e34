"""How a lens lights its camera fields: found from a stitched section itself.

In the middle between many fields lies what is common to all: tissue differs from field to
field, the lens does not (retrospective correction, as in K. Smith et al., Nat. Methods 12:404,
2015, and T. Peng et al., Nat. Commun. 8:14836, 2017, here with a smooth curve for the lens and
one section for the data). A curve is believed only if fields predict other fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fociquant.model import SHADING_POWERS, Box, Shading
from fociquant.prepare.flatfield import light
from fociquant.prepare.repeats import repeats_itself
from fociquant.prepare.stitching import Axis, Fields, find_fields
from fociquant.prepare.threads import each
from fociquant.units import PixelSize

BINS = 10
"""Places along a field's edge at which its light is compared."""

PIXELS_PER_FIELD = 24
"""Along the edge of a field; more pixels of the overview are averaged first."""

COVERED, WELL_COVERED = 0.5, 0.8
"""Fields that lie in the lung by less than the first are not used, nor by less than the second
where there are enough others."""

ENOUGH_FIELDS = 24
"""See above."""

LEAST_FIELDS, LEAST_STRIPS = 9, 9
"""Fewer fields prove nothing, nor do fewer strips where light changes along one axis only."""

BELIEVED = 0.5
"""Share of the differences within a field that the curve of other fields must tell, mean of the
channels; with periods that tissue has by chance it is about 0."""

ALSO_BELIEVED = 0.25
"""The same for each channel."""

MANY_FIELDS = 200
"""From so many fields on the curve may be steeper near the borders than a parabola."""

CORRECTED_FROM = 0.15
"""A smaller loss of light is left as it is: cells of one kind differ by more."""

DARKEST = 0.2
"""Light is never believed to fall below this share."""

BRIGHT_PERCENTILE = 99.0
"""Brighter pixels are cut: a focus would rule its place in the field."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which place of which field every pixel of the lung is; the same for all channels.

    Parameters
    ----------
    y, x : numpy.ndarray, shape (bins,)
        Places, -1 to 1.
    index : numpy.ndarray of int, shape (p,)
        Field times places plus place of each pixel of the lung, in raster order.
    usable : numpy.ndarray of bool, shape (fields,)
        Fields with enough lung.
    count : numpy.ndarray, shape (usable fields, bins)
        Pixels of each place; NaN where too little is lung.
    group : numpy.ndarray of int, shape (usable fields,)
    """

    y: np.ndarray
    x: np.ndarray
    index: np.ndarray
    usable: np.ndarray
    count: np.ndarray
    group: np.ndarray

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums of values (p,) over the places of the usable fields."""
        shape = len(self.usable), len(self.y)
        total = np.bincount(self.index, values, shape[0] * shape[1])
        return np.asarray(total.reshape(shape)[self.usable])


@dataclass(frozen=True, slots=True)
class _Folded:
    """Fields laid over each other; one row per usable field, one column per place.

    Parameters
    ----------
    y, x : numpy.ndarray, shape (bins,)
        Places, -1 to 1.
    light, spread : numpy.ndarray, shape (fields, bins)
        Mean and standard deviation of the light, raw counts; NaN where too little is lung.
    group : numpy.ndarray of int, shape (fields,)
    """

    y: np.ndarray
    x: np.ndarray
    light: np.ndarray
    spread: np.ndarray
    group: np.ndarray


@dataclass(frozen=True, slots=True)
class _Curve:
    """Logarithm of the light over a field, and how well other fields tell it, see _predicts."""

    terms: np.ndarray
    dark: float
    predicts: float
    told: float


def find_shading(
    planes: Mapping[str, np.ndarray],
    outline: np.ndarray,
    *,
    pixel_um: float,
    factor: int,
    tops: Mapping[str, float],
) -> dict[str, Shading]:
    """Shading of each channel in which it can be shown.

    Parameters
    ----------
    planes : mapping of str to numpy.ndarray of float32, shape (h, w)
        Role to mean raw counts on the overview, finite.
    outline : numpy.ndarray of bool, shape (h, w)
        The lung's outline.
    pixel_um : float
        Edge of an overview pixel, µm.
    factor : int
        Full-resolution pixels along it.
    tops : mapping of str to float
        Role to the value at which its pixels are saturated, ``inf`` if none.

    Returns
    -------
    dict of str to Shading
        Empty where nothing repeats from field to field: the section was not stitched, is lit
        evenly, or has too few fields; and where the tissue itself repeats, as it does in
        slides made of copies of one scene.
    """
    best: dict[str, _Curve] = {}
    chosen = Fields(Axis(), Axis())
    score = 0.0
    for fields in find_fields(list(planes.values()), outline, pixel_um=pixel_um):
        n = max(int(min(edge for edge in (fields.y.period, fields.x.period) if edge)
                    / PIXELS_PER_FIELD), 1)  # fmt: skip
        inside = _binned(outline, n) == 1.0
        layout = _layout(inside, fields.over(n))
        if layout is None:
            continue
        curve = partial(_curve_of, planes, inside=inside, layout=layout, n=n)
        curves = each(curve, planes)
        known = {
            role: curve for role, curve in zip(planes, curves, strict=True) if curve is not None
        }
        if not known or np.mean([curve.predicts for curve in known.values()]) < BELIEVED:
            continue
        reached = float(np.mean([curve.told for curve in known.values()]))
        if reached > score:
            best, chosen, score = known, fields, reached
    found = {
        role: _shading(curve, chosen, factor, tops[role])
        for role, curve in best.items()
        if curve.predicts >= ALSO_BELIEVED
    }
    copies = any(_made_of_copies(planes[role], outline, one, factor) for role, one in found.items())
    return {} if copies else found


def _made_of_copies(plane: np.ndarray, outline: np.ndarray, shading: Shading, factor: int) -> bool:
    """Whether the tissue repeats itself, borders of fields apart: they do so with their light."""
    share = light(shading, Box.of_shape(plane.shape), (factor, factor))
    return repeats_itself((plane - shading.dark) / share, outline)


def shading_warnings(shading: Mapping[str, Shading], pixel_size: PixelSize) -> list[str]:
    """A plain sentence about the channels that were evened out, if there are any."""
    used = {role: one for role, one in shading.items() if one.corrected}
    if not used:
        return []
    edges = [
        edge * um
        for edge, um in zip(
            next(iter(used.values())).period_px, (pixel_size.y, pixel_size.x), strict=True
        )
        if edge
    ]
    size = " x ".join(f"{edge:.0f}" for edge in edges) + (" µm" if len(edges) > 1 else " µm wide")
    losses = ", ".join(f"{role} {100 * one.loss:.0f} %" for role, one in used.items())
    return [
        f"Camera fields of {size} show in the light; what they lack at their darkest place was "
        f"made good: {losses}."
    ]


def _binned(plane: np.ndarray, n: int) -> np.ndarray:
    """Means over n x n pixels; what is left over at the far edges is cut."""
    if n == 1:
        return plane.astype(np.float64)
    h, w = (size // n for size in plane.shape)
    blocks = plane[: h * n, : w * n].reshape(h, n, w, n)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float64))


def _shading(curve: _Curve, fields: Fields, factor: int, top: float) -> Shading:
    """The curve in full-resolution pixels, brightest at 1."""
    place = np.linspace(-1.0, 1.0, 41)
    y = place if fields.y.period else np.zeros(1)
    x = place if fields.x.period else np.zeros(1)
    grid = np.meshgrid(y, x, indexing="ij")
    log = _design(grid[0].ravel(), grid[1].ravel()) @ curve.terms
    loss = min(1.0 - float(np.exp(log.min() - log.max())), 1.0 - DARKEST)
    terms = [float(term) for term in curve.terms]
    terms[0] -= float(log.max())
    return Shading(
        period_px=(fields.y.period * factor, fields.x.period * factor),
        origin_px=(fields.y.origin * factor, fields.x.origin * factor),
        terms=tuple(terms),
        dark=curve.dark,
        top=top,
        loss=loss,
        corrected=loss >= CORRECTED_FROM,
    )


def _curve_of(
    planes: Mapping[str, np.ndarray], role: str, *, inside: np.ndarray, layout: _Layout, n: int
) -> _Curve | None:
    plane = planes[role]
    values = plane[inside].astype(np.float64) if n == 1 else _binned(plane, n)[inside]
    return _curve(values, layout)


def _curve(values: np.ndarray, layout: _Layout) -> _Curve | None:
    """Of the light of all pixels of the lung, float64 (p,); changed in place."""
    lowest, low, top = (float(v) for v in np.percentile(values, (0, 1, BRIGHT_PERCENTILE)))
    folded = _fold(values, top, layout)
    dark = _dark_level(folded, min(lowest, 0.0), low)
    relative = _relative(folded.light - dark)
    folded = replace(folded, light=relative)
    terms = _fit(folded, np.ones(len(relative), bool))
    return None if terms is None else _Curve(terms, dark, *_predicts(folded))


def _layout(outline: np.ndarray, fields: Fields) -> _Layout | None:
    """Fields laid over the lung; None with too few of them."""
    if not outline.any():
        return None
    edge = max(fields.y.period, fields.x.period)
    (row, v), (column, u) = (
        # Along an axis without borders fields are as long as they are wide.
        (axis if axis.period else Axis(edge)).place(np.arange(size) + 0.5)
        for axis, size in zip((fields.y, fields.x), outline.shape, strict=True)
    )
    bins = [BINS if axis.period else 1 for axis in (fields.y, fields.x)]
    by, bx = (np.minimum(((p + 1) / 2 * n).astype(np.int64), n - 1)
              for p, n in zip((v, u), bins, strict=True))  # fmt: skip
    row, column = row - row.min(), column - column.min()
    columns, places = int(column.max()) + 1, bins[0] * bins[1]
    index = row[:, None] * columns + column
    index *= places
    index += by[:, None] * bins[1] + bx
    number = (int(row.max()) + 1) * columns * places
    whole = np.bincount(index.ravel(), minlength=number).reshape(-1, places).max(axis=0)
    index = index[outline]
    count = np.bincount(index, minlength=number).reshape(-1, places)
    # A place counts where most of it is lung, a field where most places do.
    ok = (count >= 0.5 * whole) & (count >= 2)
    usable = _covered(ok.mean(axis=1))
    if np.count_nonzero(usable) < LEAST_FIELDS or _too_few_strips(usable, columns, bins):
        return None
    group = _quarters(*np.divmod(np.flatnonzero(usable), columns), bins)
    centres = [(np.arange(n) + 0.5) * 2.0 / n - 1.0 for n in bins]
    y, x = (part.ravel() for part in np.meshgrid(*centres, indexing="ij"))
    return _Layout(y, x, index, usable, np.where(ok, count, np.nan)[usable], group)


def _fold(values: np.ndarray, top: float, layout: _Layout) -> _Folded:
    """Fields laid over each other; `values` are changed in place."""
    np.minimum(values, top, out=values)
    mean = layout.sums(values) / layout.count
    values *= values
    square = layout.sums(values) / layout.count
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    return _Folded(layout.y, layout.x, mean, spread, layout.group)


def _quarters(row: np.ndarray, column: np.ndarray, bins: list[int]) -> np.ndarray:
    """Parts of the section, apart from each other: neighbours share their tissue.

    Of strips, which run through, four stretches across them; else four quadrants.
    """
    if min(bins) == 1:
        across = column if bins[0] == 1 else row
        return np.searchsorted(np.percentile(across, (25, 50, 75)), across)
    halves = [(place > np.median(place)).astype(np.int64) for place in (row, column)]
    return 2 * halves[0] + halves[1]


def _too_few_strips(usable: np.ndarray, columns: int, bins: list[int]) -> bool:
    """Whether light changes along one axis, and hardly repeats along it."""
    if min(bins) > 1:
        return False
    shown = usable.reshape(-1, columns).any(axis=0 if bins[0] == 1 else 1)
    return int(np.count_nonzero(shown)) < LEAST_STRIPS


def _covered(share: np.ndarray) -> np.ndarray:
    well = share >= WELL_COVERED
    return well if np.count_nonzero(well) >= ENOUGH_FIELDS else share >= COVERED


def _relative(values: np.ndarray) -> np.ndarray:
    """Each field over its own mean: fields differ in tissue and in gain."""
    mean = np.nanmean(values, axis=1, keepdims=True)
    positive = mean > 0
    return np.where(positive, values, np.nan) / np.where(positive, mean, 1.0)


def _dark_level(folded: _Folded, lowest: float, low: float) -> float:
    """What the camera shows without light.

    Contrast falls with the light as brightness does, but knows nothing of the dark level: the
    line of brightness over contrast, place by place, meets zero contrast there. Halves of the
    fields stand in for each other, so that noise of the contrast does not flatten the line.
    """
    typical = float(np.nanmedian(folded.light))
    light = _medians(_relative(folded.light))
    halves = [_medians(_relative(folded.spread[folded.group % 2 == half])) for half in (0, 1)]
    known = np.isfinite(light) & np.all(np.isfinite(halves), axis=0)
    if np.count_nonzero(known) < 3:
        return low
    a, b, c = (_smooth(folded, values, known) for values in (*halves, light))
    common = float(np.mean(a * b))
    slope = 0.5 * float(np.mean(c * a) + np.mean(c * b)) / common if common > 0 else 1.0
    return float(np.clip(typical * (1.0 - slope), lowest, low))


def _smooth(folded: _Folded, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The curve through the values at the known places, less its mean."""
    design = _design(folded.y, folded.x)[known][:, _powers(folded)]
    found = design @ np.linalg.lstsq(design, values[known], rcond=None)[0]
    return np.asarray(found - found.mean())


def _medians(values: np.ndarray) -> np.ndarray:
    """Over fields; NaN where fewer than three tell."""
    if not len(values):
        return np.full(values.shape[1], np.nan)
    told = np.count_nonzero(~np.isnan(values), axis=0)
    # NaN is sorted last: the middle of the others is known. np.nanmedian takes ten times as long.
    ordered = np.sort(values, axis=0)
    places = np.stack([np.maximum(told - 1, 0) // 2, np.minimum(told // 2, len(values) - 1)])
    middle = np.take_along_axis(ordered, places, axis=0).mean(axis=0)
    return np.where(np.isfinite(values).sum(axis=0) >= 3, middle, np.nan)


def _fit(folded: _Folded, fields: np.ndarray) -> np.ndarray | None:
    """Terms of the curve through the medians of some fields."""
    light = _medians(folded.light[fields])
    known = np.isfinite(light) & (light > 0)
    if np.count_nonzero(known) < min(len(SHADING_POWERS), len(light)) // 2 + 1:
        return None
    used = _powers(folded)
    design = _design(folded.y[known], folded.x[known])[:, used]
    terms = np.zeros(len(SHADING_POWERS))
    terms[used] = np.linalg.lstsq(design, np.log(light[known]), rcond=None)[0]
    return terms


def _powers(folded: _Folded) -> np.ndarray:
    """Which terms the fields can carry, bool."""
    highest = 4 if len(folded.light) >= MANY_FIELDS else 2
    return np.array([i + j <= highest for i, j in SHADING_POWERS])


def _predicts(folded: _Folded) -> tuple[float, float]:
    """How well the curve of the other quarters tells that of each quarter.

    Returns
    -------
    share : float
        Of the squares of the quarters' own curves that is told; at most 1, below 0 for chance.
    told : float
        The squares themselves, per place.
    """
    left, whole, places = 0.0, 0.0, 0
    design = _design(folded.y, folded.x)
    for group in np.unique(folded.group):
        own = folded.group == group
        terms = [_fit(folded, chosen) for chosen in (own, ~own)]
        if terms[0] is None or terms[1] is None:
            continue
        found, expected = (design @ part for part in terms)
        found, expected = found - found.mean(), expected - expected.mean()
        left += float(((found - expected) ** 2).sum())
        whole += float((found**2).sum())
        places += len(found)
    return (1.0 - left / whole, (whole - left) / places) if whole > 0 else (0.0, 0.0)


def _design(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Columns of the curve's terms at some places, (n, terms)."""
    return np.stack([y**i * x**j for i, j in SHADING_POWERS], axis=1)
