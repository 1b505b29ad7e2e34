"""The class of a focus, from a named profile."""

from __future__ import annotations

import numpy as np

from fociquant.foci._area import AREA_DECIMALS
from fociquant.settings import FociClass, FociProfile
from fociquant.units import UM2_PER_MM2


def classify(cells: np.ndarray, area_um2: np.ndarray, profile: FociProfile) -> np.ndarray:
    """Class of each focus: the first of the profile whose limits it meets.

    Parameters
    ----------
    cells : numpy.ndarray of int64, shape (n,)
        Cells per focus, >= 1.
    area_um2 : numpy.ndarray of float64, shape (n,)
        Areas as the table shows them, µm².
    profile : FociProfile
        Its last class takes what is left, so every focus gets one.

    Returns
    -------
    numpy.ndarray of object (str), shape (n,)
        Names of classes.
    """
    names = np.array([one.name for one in profile.classes], dtype=object)
    meets = np.stack([_meets(one, cells, area_um2) for one in profile.classes])
    return names[np.argmax(meets, axis=0)]


def _meets(limits: FociClass, cells: np.ndarray, area_um2: np.ndarray) -> np.ndarray:
    """Whether each focus is within the limits of one class; bool (n,)."""
    inside = np.ones(len(cells), dtype=bool)
    if limits.max_cells is not None:
        inside &= cells <= limits.max_cells
    if limits.below_mm2 is not None:
        inside &= area_um2 < round(limits.below_mm2 * UM2_PER_MM2, AREA_DECIMALS)
    return inside
