"""What an unstained channel says of an object's marker: glow, pigment, or a label without doubt."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fociquant.model import SectionFacts
from fociquant.settings import GateSettings

SAME_GRAIN = 0.8
"""Pixels of marker and autofluorescence that go together by more (Pearson's r) are one substance's:
of 5000 true cells in simulated sections by three authors one does, while granular macrophages have
0.8 to 0.99."""

COMMON_GLOW = 0.375
"""Part of its glow over the surroundings that counts of a cell that glows no more than common
tissue does."""

CERTAIN_RING = 0.3
"""A certain cell with a rim this much brighter than its core (1 - core / edge) is no pigment,
whatever its grain: where the marker bleeds into the unstained channel both have its pattern. Of
1019 false candidates with one grain two had such a rim, and scores of 2.9 and 3.6."""

EVIDENT_STRENGTH = 3.0
"""Beyond doubt is more marker strength than this, standard deviations of the pixel noise,"""
EVIDENT_GRAIN = 0.6
"""less in common with autofluorescence (Pearson's r), as 99 of 100 true cells have,"""
EVIDENT_UM2 = 60.0
"""more area, µm²: two red cells of a mouse,"""
EVIDENT_RIM = 0.5
"""and less of the nucleus in the outer 2 µm, where the nucleus of a neighbour would be."""


def beyond_autofluorescence(
    excess: np.ndarray, autofluorescence: np.ndarray, facts: SectionFacts
) -> np.ndarray:
    """Marker over the surroundings beyond what the difference in autofluorescence explains, counts.

    The difference counts both ways: a cell pushes glowing tissue aside, so beside
    consolidated lung its marker can be dim and still be its own.
    """
    return excess - (facts.autofluorescence_slope or 0.0) * autofluorescence


def is_explained(
    objects: pd.DataFrame,
    autofluorescence: np.ndarray,
    unexplained: np.ndarray,
    facts: SectionFacts,
    settings: GateSettings,
    *,
    ring: np.ndarray,
) -> np.ndarray:
    """Whether autofluorescence on an object explains its marker signal.

    The slope between the two channels is that of common tissue; pigment and red cells differ. So
    of what glows more than common tissue does, the marker has to exceed a multiple of what the
    slope predicts. A cell of common glow that bulges into an air space is asked for less, and
    what has the same grain in both channels, as pigment has, for more.

    Parameters
    ----------
    objects : pandas.DataFrame
        Uses ``autofluorescence_mean``, ``correlation`` and ``score_mean``.
    autofluorescence, unexplained : numpy.ndarray of float64, shape (n,)
        Autofluorescence over the surroundings, and marker beyond what it predicts, counts.
    facts : SectionFacts
    settings : GateSettings
        Uses ``autofluorescence_ratio``, ``pigment_ratio`` and ``certain_score``.
    ring : numpy.ndarray of float64, shape (n,)
        1 - core / edge of the marker.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        Nothing without an unstained channel.
    """
    slope = facts.autofluorescence_slope
    if not slope:
        return np.zeros(len(unexplained), bool)
    over_ring = np.maximum(autofluorescence, 0.0)
    mean = objects["autofluorescence_mean"].to_numpy(np.float64)
    over_tissue = np.maximum(mean - facts.stats["autofluorescence"].background, 0.0)
    glow = np.maximum(np.minimum(over_ring, over_tissue), COMMON_GLOW * over_ring)
    alike = objects["correlation"].to_numpy() > SAME_GRAIN
    alike &= ~((ring > CERTAIN_RING) & is_certain(objects, facts, settings))
    more = max(settings.pigment_ratio, settings.autofluorescence_ratio) - 1.0
    limit = np.where(alike, more * over_ring, (settings.autofluorescence_ratio - 1.0) * glow)
    return np.asarray(unexplained <= slope * limit)


def is_certain(objects: pd.DataFrame, facts: SectionFacts, settings: GateSettings) -> np.ndarray:
    """Whether the network is so sure of a cell that less marker will do.

    Parameters
    ----------
    objects : pandas.DataFrame
        Uses ``score_mean``.
    facts : SectionFacts
    settings : GateSettings
        Uses ``certain_score``.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        Nothing without an unstained channel, where it is as sure of many a macrophage.
    """
    if not facts.autofluorescence_slope:
        return np.zeros(len(objects), bool)
    return np.asarray(objects["score_mean"].to_numpy() >= settings.certain_score)


def is_evident(
    objects: pd.DataFrame,
    autofluorescence: np.ndarray,
    unexplained: np.ndarray,
    facts: SectionFacts,
    settings: GateSettings,
) -> np.ndarray:
    """Whether marker and nucleus make up for a network that is not sure.

    Parameters and value as of :func:`is_explained`; also uses ``area_um2`` and ``nucleus_rim``,
    and says nothing without a nuclear stain.
    """
    slope = facts.autofluorescence_slope
    if not slope or "nucleus_rim" not in objects:
        return np.zeros(len(objects), bool)
    explained = (settings.autofluorescence_ratio - 1.0) * slope * np.maximum(autofluorescence, 0.0)
    found = unexplained > np.maximum(explained, EVIDENT_STRENGTH * facts.marker_unit)
    found &= objects["correlation"].to_numpy() < EVIDENT_GRAIN
    found &= objects["area_um2"].to_numpy() > EVIDENT_UM2
    return np.asarray(found & (objects["nucleus_rim"].to_numpy() < EVIDENT_RIM))
