"""Truth tables of a section, measured on its label patches, without the counting code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage

from fociquant.model import Box
from fociquant.settings import FociProfile, load_profile

LINK_UM = 20.0
"""Focus areas are closed by half of this: gaps between linked cells belong to the focus."""


@dataclass(frozen=True)
class SectionTruth:
    """Truth of one section.

    Parameters
    ----------
    cells : pandas.DataFrame
        ``cell, y_um, x_um, area_um2, focus, class, Ki67_positive``, one row per cell.
    foci : pandas.DataFrame
        ``focus, class, cells, area_um2, y_um, x_um, Ki67_positive``, one row per focus;
        a solitary cell is a focus of one.
    """

    cells: pd.DataFrame
    foci: pd.DataFrame


def section_truth(
    patches: list[tuple[np.ndarray, Box]], *, focus: np.ndarray, ki67: np.ndarray, px_um: float
) -> SectionTruth:
    """Tables of what is on the patches.

    Parameters
    ----------
    patches : list of (labels, Box)
        One per focus: int32 labels (numbers of the section, 1 … n) and where they lie.
    focus : numpy.ndarray of int64, shape (n,)
        Focus of each cell, from 1.
    ki67 : numpy.ndarray of bool, shape (n,)
        Which are positive.
    px_um : float
        Pixel size.
    """
    profile = load_profile("chia2025")
    cells = pd.DataFrame(
        {
            "cell": np.arange(1, len(focus) + 1),
            **_moments(patches, len(focus), px_um),
            "focus": focus.astype(np.int64),
        }
    )
    grouped = cells.assign(Ki67_positive=ki67).groupby("focus", sort=True)
    foci = pd.DataFrame(
        {
            "cells": grouped.size(),
            "area_um2": [_closed_area(labels > 0, px_um) for labels, _ in patches],
            "y_um": grouped["y_um"].mean(),
            "x_um": grouped["x_um"].mean(),
            "Ki67_positive": grouped["Ki67_positive"].sum(),
        }
    ).reset_index()
    names = [
        _class(profile, int(n), float(area))
        for n, area in zip(foci["cells"], foci["area_um2"], strict=True)
    ]
    foci.insert(1, "class", pd.Series(names, dtype=object))
    cells["class"] = pd.Series([names[k - 1] for k in focus], dtype=object)
    cells["Ki67_positive"] = ki67
    return SectionTruth(cells, foci)


def _moments(patches: list[tuple[np.ndarray, Box]], n: int, px_um: float) -> dict[str, np.ndarray]:
    """Centre and area of each cell."""
    y, x, area = np.zeros(n), np.zeros(n), np.zeros(n)
    for labels, box in patches:
        rows, cols = np.nonzero(labels)
        who = labels[rows, cols] - 1
        area += np.bincount(who, minlength=n)
        y += np.bincount(who, rows + box.y0 + 0.5, minlength=n)
        x += np.bincount(who, cols + box.x0 + 0.5, minlength=n)
    count = np.maximum(area, 1)
    return {"y_um": y / count * px_um, "x_um": x / count * px_um, "area_um2": area * px_um**2}


def _closed_area(mask: np.ndarray, px_um: float) -> float:
    """Area of a focus with the gaps between its cells, µm²."""
    radius = 0.5 * LINK_UM / px_um
    padded = np.pad(mask, int(np.ceil(radius)) + 2)
    wide = ndimage.distance_transform_edt(~padded) <= radius
    closed = (ndimage.distance_transform_edt(wide) > radius) | padded
    return float(closed.sum()) * px_um**2


def _class(profile: FociProfile, cells: int, area_um2: float) -> str:
    """The first class of the profile whose limits the focus meets."""
    for limits in profile.classes:
        few = limits.max_cells is None or cells <= limits.max_cells
        small = limits.below_mm2 is None or area_um2 * 1e-6 < limits.below_mm2
        if few and small:
            return limits.name
    return profile.classes[-1].name
