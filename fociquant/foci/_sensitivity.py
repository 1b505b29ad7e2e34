"""How the classes of foci depend on the linking distance."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fociquant.foci._area import focus_areas
from fociquant.foci._classes import classify
from fociquant.foci._link import link
from fociquant.foci._outlines import Outlines, read_outlines
from fociquant.settings import FociProfile

FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)
"""Linking distances looked at, times the one in use."""

MOST_CELLS = 200_000
"""Of a section with more counted cells it is not worked out: a minute and more each."""


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
    rows = [_row(outlines, distance, profile) for distance in distances]
    return pd.DataFrame(rows, columns=["link_um", *(one.column for one in profile.classes)])


def _row(outlines: Outlines, link_um: float, profile: FociProfile) -> tuple[float, ...]:
    """The distance and the number of foci of each class."""
    number = link(outlines, link_um=link_um)
    classes = _classes(outlines, number, link_um, profile)
    return (link_um, *(int((classes == one.name).sum()) for one in profile.classes))


def _classes(
    outlines: Outlines, number: np.ndarray, link_um: float, profile: FociProfile
) -> np.ndarray:
    """Class of each focus; areas are measured only where the class depends on them."""
    cells = np.bincount(number) if len(number) else np.zeros(0, np.int64)
    if not len(cells):
        return np.empty(0, dtype=object)
    classes = classify(cells, np.zeros(len(cells)), profile)
    open_ = classes != classify(cells, np.full(len(cells), np.inf), profile)
    if open_.any():
        areas = focus_areas(outlines, number, link_um=link_um, chosen=open_)
        classes[open_] = classify(cells[open_], areas[open_], profile)
    return classes
