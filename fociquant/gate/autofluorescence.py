"""What an unstained channel says of an object's marker: glow, pigment, or a label without doubt."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from fociquant.gate.pattern import CERTAIN_SCORE
from fociquant.model import SectionFacts
from fociquant.settings import GateSettings

SAME_GRAIN = 0.8
"""Pixels of marker and autofluorescence that go together by more (Pearson's r) are one substance's:
of 5000 true cells in simulated sections by three authors one does, while granular macrophages have
0.8 to 0.99."""

COMMON_GLOW = 0.375
"""Part of its glow over the surroundings that counts of a cell that glows no more than common
tissue does."""

UNSURE_GRAIN, UNSURE_MORE = 0.7, 2.0
"""The same for objects of which the network is not certain, and so many times as much is asked of
them: no true cell of these sections is among them, and macrophages of far-red sections are."""

REDDER, PIGMENT_MARGIN, PIGMENT_GLOW = 1.2, 1.5, 1.3
"""Where pigment has more than `REDDER` times the slope of tissue, what glows more than
`PIGMENT_GLOW` times common tissue must have `PIGMENT_MARGIN` times the marker of pigment, however
certain it is: two true cells of 9800 do not."""

BLED_RING, BLED_GRAIN = 0.4, 0.9
"""A cell beyond doubt with a rim this much brighter than its core (1 - core / edge) and a grain
less alike than this is no pigment: where an eighth of the marker bleeds into the unstained channel
both have its pattern; such cells have 0.41 to 0.65 and 0.80 to 0.87, macrophages less or more."""

GLOWS, GLOWS_GRAIN = 1.6, 0.4
"""Where a batch does not tell how much its cells glow, more than this multiple of common tissue
with some of the grain in common is more than cells do."""
GLOWS_MORE_GRAIN = 0.7
"""For an object beyond doubt to be more than a cell it takes that much in common."""

EVIDENT_STRENGTH = 3.0
"""Beyond doubt is more marker strength than this, standard deviations of the pixel noise,"""
EVIDENT_GRAIN = 0.6
"""less in common with autofluorescence (Pearson's r), as 99 of 100 true cells have,"""
EVIDENT_UM2 = 60.0
"""more area, µm²: two red cells of a mouse,"""
EVIDENT_RIM = 0.5
"""and less of the nucleus in the outer 2 µm, where the nucleus of a neighbour would be."""


def own_glow(objects: pd.DataFrame, facts: SectionFacts, *, of: str = "mean") -> np.ndarray:
    """Autofluorescence of objects in multiples of common tissue's; zeros without the channel.

    Parameters
    ----------
    objects : pandas.DataFrame
        Uses ``autofluorescence_mean``.
    facts : SectionFacts
    of : str
        ``ring``: of their surroundings instead, from ``autofluorescence_ring``.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
        0 is the darkest place of the section, 1 its tissue's median.
    """
    if not facts.autofluorescence_slope:
        return np.zeros(len(objects))
    stats = facts.stats["autofluorescence"]
    common = max(stats.background - stats.low, stats.noise)
    level = objects[f"autofluorescence_{of}"].to_numpy(np.float64)
    return np.asarray((level - stats.low) / common)


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
    full: np.ndarray,
    most_glow: float = math.inf,
    pigment: float = math.nan,
) -> np.ndarray:
    """Whether autofluorescence on an object explains its marker signal.

    The slope between the two channels is that of common tissue; pigment and red cells differ. So
    of what glows more than common tissue does, the marker has to exceed a multiple of what the
    slope predicts. A cell of common glow that bulges into an air space is asked for less. More is
    asked of what has the same grain in both channels, as pigment has, and of what glows more than
    the cells of the batch, unless it is beyond doubt.

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
    full : numpy.ndarray of bool, shape (n,)
        What is brightest on its nucleus, of :func:`~fociquant.gate.looks.fills_its_nucleus`.
    pigment : float
        Slope of pigment over that of tissue in the batch; NaN: the section's own is taken.
    most_glow : float
        What cells of the batch have at most, in multiples of common tissue; infinite: not known.

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
    certain = is_certain(objects, facts, settings)
    beyond_doubt = objects["score_mean"].to_numpy() >= CERTAIN_SCORE
    grain, own = objects["correlation"].to_numpy(), own_glow(objects, facts)
    alike = grain > np.where(certain, SAME_GRAIN, UNSURE_GRAIN)
    alike &= ~(beyond_doubt & (ring > BLED_RING) & (grain < BLED_GRAIN))
    alike |= _glows(own, grain, beyond_doubt, most_glow)
    alike &= ~full
    ratio = settings.pigment_ratio * np.where(certain, 1.0, UNSURE_MORE)
    more = np.maximum(ratio, settings.autofluorescence_ratio) - 1.0
    limit = np.where(alike, more * over_ring, (settings.autofluorescence_ratio - 1.0) * glow)
    redder = pigment if math.isfinite(pigment) else facts.redder
    if redder > REDDER:
        of_pigment = np.where(own > PIGMENT_GLOW, (PIGMENT_MARGIN * redder - 1.0) * over_ring, 0.0)
        limit = np.maximum(limit, of_pigment)
    return np.asarray(unexplained <= slope * limit)


def _glows(own: np.ndarray, grain: np.ndarray, beyond_doubt: np.ndarray, most: float) -> np.ndarray:
    """Which objects glow more than cells do."""
    if math.isfinite(most):
        return np.asarray((own > most) & (~beyond_doubt | (grain > GLOWS_MORE_GRAIN)))
    return np.asarray((own > GLOWS) & (grain > GLOWS_GRAIN) & ~beyond_doubt)


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
