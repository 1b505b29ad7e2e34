"""What tells two touching objects from one that was split: flows and logit at their border.

Where the network is sure of two cells, flows turn round at the border and the logit drops; in a
lobed nucleus both change slowly. Size and shape of the parts and of their union say the rest.
Nothing farther from a border than :data:`PROFILE_PX` and the two objects themselves is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fociquant.segment.shape import Ellipses, ellipses, pixels_of, sums

FLOW = 5.0
"""Length of the network's flows."""

PROFILE_PX = (2, 4, 6, 8)
"""How far from the border flows and logit are compared, px of the analysis grid."""

BORDER_FEATURES = (
    "length", "turn", "turn_min", "turn_max", "logit", "logit_min", "logit_max", "flow",
)  # fmt: skip
PROFILE_FEATURES = tuple(f"{name}_{px}" for px in PROFILE_PX for name in ("rise", "away"))
OBJECT_FEATURES = (
    "drop_less", "drop_more", "logit_less", "area_less", "area_more", "area_ratio",
    "length_part", "length_union", "union_axes", "union_fill", "union_long", "union_short",
    "less_axes", "less_fill", "more_axes", "more_fill", "apart", "apart_size", "fill_gain",
    "border_spread", "border_off",
)  # fmt: skip
FEATURES = BORDER_FEATURES + PROFILE_FEATURES + OBJECT_FEATURES
"""Columns of :func:`touching`. ``less`` is the smaller object, ``more`` the larger."""


@dataclass(frozen=True, slots=True)
class _Border:
    """Pairs of neighbouring pixels of two objects.

    Parameters
    ----------
    first, second : numpy.ndarray of int64, shape (p,)
        Labels, the lower first.
    y, x : numpy.ndarray of float64, shape (p,)
        Between the two pixels.
    turn : numpy.ndarray of float64, shape (p,)
        By how much the flow across the border turns away from it, 2 at most.
    logit, flow : numpy.ndarray of float64, shape (p,)
        Means of the two pixels: cell logit, length of the flow (1 where the network is sure).
    """

    first: np.ndarray
    second: np.ndarray
    y: np.ndarray
    x: np.ndarray
    turn: np.ndarray
    logit: np.ndarray
    flow: np.ndarray


def touching(labels: np.ndarray, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of objects with a common border, and what is known of them.

    Parameters
    ----------
    labels : numpy.ndarray of int32, shape (H, W)
        Objects numbered 1 … n; 0 is background.
    output : numpy.ndarray of float32, shape (3, H, W)
        Flow along y and x (5 times a unit vector) and cell logit.

    Returns
    -------
    pairs : numpy.ndarray of int64, shape (n, 2)
        Labels, the lower first; sorted.
    features : numpy.ndarray of float64, shape (n, F)
        Columns :data:`FEATURES`, finite.
    """
    border = _border(labels, output)
    keys, group = np.unique(border.first << 32 | border.second, return_inverse=True)
    pairs = np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1)
    if not len(pairs):
        return pairs, np.empty((0, len(FEATURES)))
    names, where = np.unique(pairs, return_inverse=True)
    moments, logit = _objects(labels, output[2], names)
    first, second = where.reshape(pairs.shape).T
    parts = ellipses(moments[first]), ellipses(moments[second])
    along = _border_features(border, group)
    columns = {
        **along,
        **_profiles(border, group, output, parts),
        **_object_features(border, group, along, parts, ellipses(moments[first] + moments[second])),
        **_drops(along["logit"], logit[first], logit[second]),
    }
    return pairs, np.stack([columns[name] for name in FEATURES], axis=1)


def _border(labels: np.ndarray, output: np.ndarray) -> _Border:
    sides = []
    for axis in (0, 1):
        before = labels[:-1] if axis == 0 else labels[:, :-1]
        after = labels[1:] if axis == 0 else labels[:, 1:]
        rows, columns = np.nonzero((before != after) & (before > 0) & (after > 0))
        one, other = (rows, columns), (rows + (axis == 0), columns + (axis == 1))
        a, b = labels[one].astype(np.int64), labels[other].astype(np.int64)
        here, there = (output[:, y, x].astype(np.float64) for y, x in (one, other))
        lengths = np.hypot(here[0], here[1]) + np.hypot(there[0], there[1])
        sides.append((
            np.minimum(a, b), np.maximum(a, b),
            (rows + other[0]) / 2.0, (columns + other[1]) / 2.0,
            (there[axis] - here[axis]) / FLOW, (here[2] + there[2]) / 2.0, lengths / (2.0 * FLOW),
        ))  # fmt: skip
    return _Border(*(np.concatenate(both) for both in zip(*sides, strict=True)))


def _objects(
    labels: np.ndarray, logit: np.ndarray, names: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the pixels of the objects named, and their mean logit."""
    flat, owner = pixels_of(labels, names)
    moments = sums(*np.divmod(flat, labels.shape[1]), owner, len(names))
    total = np.bincount(owner, weights=logit.reshape(-1)[flat], minlength=len(names))
    return moments, total / moments[:, 0]


def _mean(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    return np.asarray(np.bincount(group, weights=values) / np.bincount(group))


def _border_features(border: _Border, group: np.ndarray) -> dict[str, np.ndarray]:
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    columns = {"length": np.bincount(group).astype(np.float64)}
    for name, values in (("turn", border.turn), ("logit", border.logit)):
        columns[name] = _mean(values, group)
        columns[f"{name}_min"] = np.minimum.reduceat(values[order], starts)
        columns[f"{name}_max"] = np.maximum.reduceat(values[order], starts)
    columns["flow"] = _mean(border.flow, group)
    return columns


def _profiles(
    border: _Border, group: np.ndarray, output: np.ndarray, parts: tuple[Ellipses, Ellipses]
) -> dict[str, np.ndarray]:
    """How much the logit rises from the border on, and how much flows point away from it."""
    across_y, across_x = parts[1].y - parts[0].y, parts[1].x - parts[0].x
    length = np.maximum(np.hypot(across_y, across_x), 1e-6)
    unit_y, unit_x = (across_y / length)[group], (across_x / length)[group]
    at_border, columns = _mean(border.logit, group), {}
    for px in PROFILE_PX:
        logits, away = [], []
        for side in (-px, px):
            rows = _inside(border.y + side * unit_y, output.shape[1])
            places = output[:, rows, _inside(border.x + side * unit_x, output.shape[2])]
            logits.append(_mean(places[2], group))
            away.append(_mean(places[0] * unit_y + places[1] * unit_x, group))
        columns[f"rise_{px}"] = np.minimum(*logits) - at_border
        columns[f"away_{px}"] = (away[1] - away[0]) / FLOW
    return columns


def _inside(places: np.ndarray, size: int) -> np.ndarray:
    return np.clip(np.rint(places).astype(np.int64), 0, size - 1)


def _drops(border: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    less, more = np.minimum(first, second), np.maximum(first, second)
    return {"drop_less": less - border, "drop_more": more - border, "logit_less": less}


def _object_features(
    border: _Border,
    group: np.ndarray,
    along: dict[str, np.ndarray],
    parts: tuple[Ellipses, Ellipses],
    union: Ellipses,
) -> dict[str, np.ndarray]:
    one, other = parts
    swap = one.area > other.area
    less, more = _chosen(swap, other, one), _chosen(swap, one, other)
    apart = np.hypot(one.y - other.y, one.x - other.x)
    y, x = _mean(border.y, group), _mean(border.x, group)
    spread = _mean((border.y - y[group]) ** 2 + (border.x - x[group]) ** 2, group)
    return {
        "area_less": less.area, "area_more": more.area, "area_ratio": less.area / more.area,
        "length_part": along["length"] / less.short, "length_union": along["length"] / union.short,
        "union_axes": union.short / union.long, "union_fill": union.fill,
        "union_long": union.long, "union_short": union.short,
        "less_axes": less.short / less.long, "less_fill": less.fill,
        "more_axes": more.short / more.long, "more_fill": more.fill,
        "apart": apart, "apart_size": apart / (np.sqrt(less.area) + np.sqrt(more.area)),
        "fill_gain": union.fill - (less.fill * less.area + more.fill * more.area) / union.area,
        "border_spread": np.sqrt(spread) / union.short,
        "border_off": np.hypot(y - union.y, x - union.x) / union.long,
    }  # fmt: skip


def _chosen(mask: np.ndarray, yes: Ellipses, no: Ellipses) -> Ellipses:
    names = Ellipses.__slots__
    return Ellipses(*(np.where(mask, getattr(yes, name), getattr(no, name)) for name in names))
