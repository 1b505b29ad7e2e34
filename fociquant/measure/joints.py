"""Whether a membrane runs between an object and the one that it touches."""

from __future__ import annotations

import numpy as np

from fociquant.measure.objects import Objects
from fociquant.measure.rings import SHELL_UM
from fociquant.units import PixelSize

LEAST_PX = 3
"""Fewer pixels along a border say nothing."""

LEAST_JOINT, MOST_JOINT = -1.0, 3.0
"""Beyond these more says no more."""

CHUNK = 1 << 16
"""Pixels of borders whose surroundings are looked at together."""


def joints(
    objects: Objects,
    marker: np.ndarray,
    edge_mean: np.ndarray,
    core_mean: np.ndarray,
    pixel_size: PixelSize,
) -> np.ndarray:
    """Marker along the longest border with another object, as a share of that of the edge.

    Parameters
    ----------
    objects : Objects
    marker : numpy.ndarray of float64, shape (p,)
        One per pixel of `objects`.
    edge_mean, core_mean : numpy.ndarray of float64, shape (n,)
        Over the outer 2 µm of each object, and over the rest.
    pixel_size : PixelSize

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
        0: as dark as the core, 1: as bright as the edge; -1 to 3. Pixels less than 2 µm from
        anything but the two are left out: there the outer membranes meet. 1 where nothing is
        touched for long enough, or the edge is no brighter than the core.
    """
    pixel, other = _longest_borders(objects)
    pixel = pixel[_between(objects, pixel, other, pixel_size)]
    pixel = pixel[np.isfinite(marker[pixel])]
    owner = objects.owner[pixel]
    number = np.bincount(owner, minlength=len(objects))
    total = np.bincount(owner, weights=marker[pixel], minlength=len(objects))
    found = np.ones(len(objects))
    known = (number >= LEAST_PX) & (edge_mean > core_mean)
    height = (edge_mean - core_mean)[known]
    found[known] = (total[known] / number[known] - core_mean[known]) / height
    return np.clip(found, LEAST_JOINT, MOST_JOINT)


def _longest_borders(objects: Objects) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of each object beside the one it touches most, and the label of that."""
    pixel, other = _contacts(objects)
    owner = objects.owner[pixel]
    # In the order of pixels owners ascend: what is equal stays in it.
    order = np.argsort(owner * (int(other.max(initial=0)) + 1) + other, kind="stable")
    pixel, other, owner = pixel[order], other[order], owner[order]
    starts = np.flatnonzero(np.diff(owner, prepend=-1) | np.diff(other, prepend=-1))
    lengths = np.diff(np.append(starts, len(pixel)))
    # The longest of each owner; of equal ones that which begins first: labels are but numbers.
    best = np.lexsort((pixel[starts], -lengths, owner[starts]))
    best = best[np.flatnonzero(np.diff(owner[starts][best], prepend=-1))]
    chosen = np.zeros(len(starts), bool)
    chosen[best] = True
    kept = np.repeat(chosen, lengths)
    return pixel[kept], other[kept]


def _contacts(objects: Objects) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that share an edge with another object, and its label; each pair once, ascending."""
    labels, width = objects.labels, objects.labels.shape[1]
    flat = labels.reshape(-1)
    there = labels != 0
    here, beside = [], []
    for step, near, both in (
        (1, labels[:, 1:] != labels[:, :-1], there[:, 1:] & there[:, :-1]),
        (width, labels[1:] != labels[:-1], there[1:] & there[:-1]),
    ):
        y, x = np.nonzero(near & both)
        first = y * width + x
        here += [first, first + step]
        beside += [first + step, first]
    mine, theirs = np.concatenate(here), flat[np.concatenate(beside)]
    index = np.searchsorted(objects.ids, flat[mine])
    owned = np.append(objects.ids, -1)[index] == flat[mine]
    mine, theirs = mine[owned], theirs[owned].astype(np.int64)
    place = np.empty(labels.size, np.int64)
    place[objects.flat] = np.arange(len(objects.flat))
    many = int(flat.max(initial=0)) + 1
    pairs = np.sort(place[mine] * many + theirs)
    pixel, other = np.divmod(pairs[np.diff(pairs, prepend=-1) != 0], many)
    return pixel, other


def _between(
    objects: Objects, pixel: np.ndarray, other: np.ndarray, pixel_size: PixelSize
) -> np.ndarray:
    """Which pixels have nothing but their object and `other` within 2 µm; bool."""
    height, width = objects.labels.shape
    reach_y, reach_x = int(SHELL_UM / pixel_size.y), int(SHELL_UM / pixel_size.x)
    y, x = np.mgrid[-reach_y : reach_y + 1, -reach_x : reach_x + 1]
    inside = (y * pixel_size.y) ** 2 + (x * pixel_size.x) ** 2 <= SHELL_UM**2
    around = y[inside] * width + x[inside]
    middle = objects.flat[pixel]
    rows, columns = np.divmod(middle, width)
    within = (rows >= reach_y) & (rows < height - reach_y)
    within &= (columns >= reach_x) & (columns < width - reach_x)
    flat, clear = objects.labels.reshape(-1), np.zeros(len(pixel), bool)
    asked = np.flatnonzero(within)
    for start in range(0, len(asked), CHUNK):
        part = asked[start : start + CHUNK]
        seen = flat.take(middle[part, None] + around)
        own = objects.ids[objects.owner[pixel[part]], None]
        clear[part] = ((seen == own) | (seen == other[part, None])).all(axis=1)
    return clear
