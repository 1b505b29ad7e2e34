"""How the classes of foci depend on the linking distance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fociquant.foci._area import focus_areas
from fociquant.foci._classes import classify
from fociquant.foci._link import group_boxes, link
from fociquant.foci._outlines import Outlines, read_outlines
from fociquant.foci._raster import area_bounds
from fociquant.settings import FociProfile

FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)
"""Linking distances looked at, times the one in use."""

MOST_CELLS = 2_000_000
"""Of a section with more counted cells it is not worked out: a minute and more each."""

PIXELS_UM = (1.0, 0.5)
"""Of the pictures that tell between which areas a focus lies, one after the other."""

BOUND_MARGIN = 0.02
"""Areas are measured where a bound is nearer to a limit than this part of it: circles are drawn
with corners, which changes areas by less."""


def link_sensitivity(
    cells: pd.DataFrame, *, link_um: float, profile: FociProfile
) -> pd.DataFrame | None:
    """Foci per class at several linking distances, of one section.

    Parameters
    ----------
    cells : pandas.DataFrame
        As for :func:`~fociquant.foci.find_foci`.
    link_um : float
        The distance in use, µm.
    profile : FociProfile

    Returns
    -------
    pandas.DataFrame or None
        ``link_um`` and one column per class of the profile (its ``column``), int64; a row per
        distance, ascending. None for more than `MOST_CELLS` counted cells.
    """
    counted = cells[cells["positive"].to_numpy(dtype=bool)]
    if len(counted) > MOST_CELLS:
        return None
    counted = counted.sort_values(["y_um", "x_um", "cell"], kind="stable")
    outlines = read_outlines(counted["outline"].to_list(), cells=counted["cell"].to_numpy())
    distances = list(dict.fromkeys(factor * link_um for factor in FACTORS))
    rows = _rows(outlines, distances, profile)
    return pd.DataFrame(rows, columns=["link_um", *(one.column for one in profile.classes)])


def _rows(
    outlines: Outlines, distances: Sequence[float], profile: FociProfile
) -> list[tuple[float, ...]]:
    """Each distance (ascending) and the number of foci of each class at it.

    Foci only grow with the distance, and foci that are apart share no area: what is known
    of their areas at one distance bounds those at the next from below.
    """
    rows = []
    before, least = np.arange(len(outlines)), np.zeros(len(outlines))
    for distance in distances:
        number = link(outlines, link_um=distance)
        now = np.zeros(len(least), np.int64)
        now[before] = number
        least = np.asarray(np.bincount(now, weights=least))
        classes, least = _classes(outlines, number, distance, profile, least)
        rows.append((distance, *(int((classes == one.name).sum()) for one in profile.classes)))
        before = number
    return rows


def _classes(
    outlines: Outlines,
    number: np.ndarray,
    link_um: float,
    profile: FociProfile,
    least: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Class of each focus, and what its area is at least, µm², better than `least` if possible.

    The larger the area, the later in the profile the class. Where two bounds of the area
    give the same class, it is not measured.
    """
    cells = np.bincount(number)
    boxes = group_boxes(outlines, number)
    most = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    alone = np.bincount(number, weights=outlines.area)
    least = np.where(cells == 1, alone, least)
    classes, open_ = _told(cells, least, most, profile)
    for pixel in PIXELS_UM:
        inside, outside = area_bounds(
            outlines, number, link_um=link_um, chosen=open_, pixel_um=pixel
        )
        least, most = np.maximum(least, inside), np.minimum(most, outside)
        classes, open_ = _told(cells, least, most, profile)
    if open_.any():
        areas = focus_areas(outlines, number, link_um=link_um, chosen=open_)
        least = np.where(open_, areas, least)
        classes[open_] = classify(cells[open_], areas[open_], profile)
    return classes, least


def _told(
    cells: np.ndarray, least: np.ndarray, most: np.ndarray, profile: FociProfile
) -> tuple[np.ndarray, np.ndarray]:
    """Class of each focus of the largest area that it may have, and where a smaller has another."""
    classes = classify(cells, most * (1 + BOUND_MARGIN), profile)
    return classes, classes != classify(cells, least * (1 - BOUND_MARGIN), profile)
