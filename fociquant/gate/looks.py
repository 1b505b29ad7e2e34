"""What of candidates tells pigment, most of it beside the certain cells of their batch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fociquant.gate.autofluorescence import BLED_GRAIN, REDDER, own_glow
from fociquant.model import PhenotypeRule, SectionFacts

GLOW, GLOW_HERE, GRAIN, STRENGTH = "glow", "glow_here", "grain", "strength"
EXPLAINED = "explained"
ON_NUCLEUS, ELSEWHERE = "on_nucleus", "elsewhere"
"""Columns of :func:`looks_of`."""

PIGMENT_GRAIN = 0.5
"""What has more in common with autofluorescence (Pearson's r) may be pigment, whose slope is
steeper than tissue's: of 198 true cells in sections whose pigment is four times as red 1 has more
and is lost for it, of their macrophages nearly all have 0.75 to 0.99."""

FULL_NUCLEUS, FULL_RING = 1.2, -0.2
"""More of the marker on the nucleus than on the rest of the cell, as a multiple, and less of a rim
(1 - core / edge): all of 198 cells full of a green protein, and 1 of 10 000 macrophages, whose
grain is autofluorescence's."""

LOOKS = (GLOW, GLOW_HERE, GRAIN, STRENGTH, EXPLAINED, ON_NUCLEUS, ELSEWHERE)


def looks_of(
    objects: pd.DataFrame,
    strength: np.ndarray,
    facts: SectionFacts,
    rules: Mapping[str, PhenotypeRule],
) -> pd.DataFrame:
    """What is compared with the certain cells of the batch.

    Parameters
    ----------
    objects : pandas.DataFrame
        Rows of :func:`fociquant.measure.measure_cells`.
    strength : numpy.ndarray of float64, shape (n,)
        Unexplained marker, standard deviations of the pixel noise.
    facts : SectionFacts
    rules : mapping of str to PhenotypeRule

    Returns
    -------
    pandas.DataFrame
        float64, one row per object, NaN where a measurement is missing:

        - ``glow``: autofluorescence in multiples of common tissue's.
        - ``glow_here``: the same in multiples of the surroundings'.
        - ``grain``: how much its pixels in marker and autofluorescence go together, Pearson's r.
        - ``strength``: as given.
        - ``explained``: part of the marker over the surroundings that the difference in
          autofluorescence explains, 0 to 1: a cell lies on tissue, which glows on in it, while a
          macrophage brings its own light. By the slope of pigment where that is redder than
          tissue and the grain is alike.
        - ``on_nucleus``: marker on the nucleus over that on the rest of the cell, each above the
          surroundings: a protein that fills cells is in their nuclei, pigment never is.
        - ``elsewhere``: light of a nuclear phenotype's channel in the outer 2 µm, where that
          phenotype is not, per light of the marker there: without an unstained channel it tells
          what shines in all channels. Of several phenotypes the largest.
    """
    found = pd.DataFrame(index=objects.index, columns=list(LOOKS), dtype=float)
    if facts.autofluorescence_slope:
        found[GLOW] = own_glow(objects, facts)
        found[GLOW_HERE] = _ratio(found[GLOW].to_numpy(), own_glow(objects, facts, of="ring"))
        found[STRENGTH] = strength
        found[GRAIN] = _column(objects, "correlation")
        found[EXPLAINED] = _explained(objects, strength, facts)
    ground = _column(objects, "marker_ring")
    found[ON_NUCLEUS] = _ratio(
        _column(objects, "marker_on_nucleus") - ground,
        _column(objects, "marker_off_nucleus") - ground,
    )
    edge = _column(objects, "marker_edge_mean") - ground
    for name, rule in rules.items():
        if rule.compartment == "nuclear" and not rule.immune:
            light = _column(objects, f"{name}_edge_mean") - _column(objects, f"{name}_ring")
            found[ELSEWHERE] = np.fmax(found[ELSEWHERE], _ratio(light, edge))
    return found


def fills_its_nucleus(looks: pd.DataFrame, ring: np.ndarray) -> np.ndarray:
    """Which objects have their marker where pigment never is, bool (n,).

    Parameters
    ----------
    looks : pandas.DataFrame
        Of :func:`looks_of`.
    ring : numpy.ndarray of float64, shape (n,)
        1 - core / edge of the marker.
    """
    full = (looks[ON_NUCLEUS].to_numpy() > FULL_NUCLEUS) & (ring < FULL_RING)
    return np.asarray(full & ~(looks[GRAIN].to_numpy() >= BLED_GRAIN))


def _explained(objects: pd.DataFrame, strength: np.ndarray, facts: SectionFacts) -> np.ndarray:
    """Part of the marker over the surroundings, 0 to 1; 0 without surroundings."""
    glow = _column(objects, "autofluorescence_mean") - _column(objects, "autofluorescence_ring")
    explained = (facts.autofluorescence_slope or 0.0) * np.maximum(glow, 0.0)
    whole = explained + np.maximum(strength * facts.marker_unit, 0.0)
    share = np.divide(explained, whole, out=np.zeros(len(whole)), where=whole > 0)
    if facts.redder > REDDER:
        alike = _column(objects, "correlation") > PIGMENT_GRAIN
        share = np.where(alike, np.minimum(facts.redder * share, 1.0), share)
    return share


def _column(objects: pd.DataFrame, name: str) -> np.ndarray:
    if name not in objects:
        return np.full(len(objects), np.nan)
    return objects[name].to_numpy(np.float64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
