"""Intensities by compartment: on the nucleus, beside it, and along the membrane."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fociquant.measure.objects import Objects
from fociquant.measure.rings import SHELL_UM, Disc, core_pixels
from fociquant.units import PixelSize

MARKER, NUCLEUS, AUTOFLUORESCENCE = "marker", "nucleus", "autofluorescence"

NUCLEAR_LEVEL = 0.5
"""Pixels nearer to the nucleus's brightest level than to its surroundings are nucleus: half
the height is where the edge of a blurred disc lies."""


def mean_of(objects: Objects, values: np.ndarray, chosen: np.ndarray | None = None) -> np.ndarray:
    """Mean of the finite (and chosen) values of each object, float64 (n,); 0 where none is.

    Parameters
    ----------
    objects : Objects
    values : numpy.ndarray of float64, shape (p,)
        One per pixel of `objects`.
    chosen : numpy.ndarray of bool, shape (p,), optional
    """
    use = np.isfinite(values)
    if chosen is None and use.all():
        return objects.sum(values) / objects.counts
    use = use if chosen is None else use & chosen
    count = objects.sum(use)
    total = objects.sum(np.where(use, values, 0.0))
    return np.divide(total, count, out=np.zeros(len(objects)), where=count > 0)


def compartment_columns(
    objects: Objects,
    values: Mapping[str, np.ndarray],
    known: Mapping[str, np.ndarray],
    pixel_size: PixelSize,
) -> dict[str, np.ndarray]:
    """Means by compartment.

    Parameters
    ----------
    objects : Objects
    values : mapping of str to numpy.ndarray of float64, shape (p,)
        Pixels of every role.
    known : mapping of str to numpy.ndarray of float64, shape (n,)
        Columns measured before: ``nucleus_ring``, ``nucleus_p90``.
    pixel_size : PixelSize

    Returns
    -------
    dict of str to numpy.ndarray of float64, shape (n,)
        ``marker_edge_mean``, ``marker_core_mean`` (outer 2 µm and the rest; equal if there is
        no rest); ``<phenotype>_edge_mean``; with a nuclear stain also ``nucleus_area_um2``,
        ``nucleus_rim`` (0 to 1: share of the nucleus within the outer 2 µm of the object),
        ``marker_on_nucleus``, ``marker_off_nucleus`` and ``<phenotype>_nuclear_mean``.
        Where an object has no pixel of a compartment, its mean stands in.
    """
    core = core_pixels(objects, Disc(SHELL_UM, pixel_size))
    edge_mean = mean_of(objects, values[MARKER], ~core)
    has_core = objects.sum(core & np.isfinite(values[MARKER])) > 0
    core_mean = np.where(has_core, mean_of(objects, values[MARKER], core), edge_mean)
    columns = {"marker_edge_mean": edge_mean, "marker_core_mean": core_mean}
    stains = [role for role in values if role not in (MARKER, NUCLEUS, AUTOFLUORESCENCE)]
    columns |= {f"{role}_edge_mean": mean_of(objects, values[role], ~core) for role in stains}
    if NUCLEUS not in values:
        return columns
    half = known["nucleus_ring"] + NUCLEAR_LEVEL * (known["nucleus_p90"] - known["nucleus_ring"])
    nuclear = values[NUCLEUS] > half[objects.owner]
    pixels = objects.sum(nuclear)
    columns["nucleus_area_um2"] = pixels * pixel_size.area_um2
    columns["nucleus_rim"] = np.divide(
        objects.sum(nuclear & ~core), pixels, out=np.zeros(len(objects)), where=pixels > 0
    )
    columns["marker_on_nucleus"] = _within(objects, values[MARKER], nuclear)
    columns["marker_off_nucleus"] = _within(objects, values[MARKER], ~nuclear)
    for role in stains:
        columns[f"{role}_nuclear_mean"] = _within(objects, values[role], nuclear)
    return columns


def _within(objects: Objects, values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean over a part of each object; over all of it where it has no such part."""
    some = objects.sum(chosen & np.isfinite(values)) > 0
    return np.where(some, mean_of(objects, values, chosen), mean_of(objects, values))
