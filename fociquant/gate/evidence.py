"""What measured objects show: marker beyond surroundings and autofluorescence, and its looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fociquant.flags import CellFlag
from fociquant.gate.autofluorescence import beyond_autofluorescence, is_certain
from fociquant.gate.batch import Gate
from fociquant.gate.looks import looks_of
from fociquant.model import PhenotypeRule, SectionFacts
from fociquant.settings import GateSettings


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the objects of one section show; arrays of shape (n,), float64 unless said.

    Parameters
    ----------
    excess, autofluorescence : numpy.ndarray
        Marker and autofluorescence over the local background, counts; 0 without the channel.
    unexplained : numpy.ndarray
        Marker over the surroundings that autofluorescence does not explain, counts.
    strength : numpy.ndarray
        The same, standard deviations of the pixel noise.
    needed : numpy.ndarray
        What `unexplained` must exceed, counts.
    ring : numpy.ndarray
        1 - core / edge of the marker, -1 to 2; 0 where it means nothing.
    score : numpy.ndarray
        Mean cell logit of the network.
    saturated : numpy.ndarray of bool
        As bright in the middle, whatever it wears.
    looks : pandas.DataFrame
        Of :func:`fociquant.gate.looks_of`.
    """

    excess: np.ndarray
    autofluorescence: np.ndarray
    unexplained: np.ndarray
    strength: np.ndarray
    needed: np.ndarray
    ring: np.ndarray
    score: np.ndarray
    saturated: np.ndarray
    looks: pd.DataFrame


def evidence_of(
    objects: pd.DataFrame,
    facts: SectionFacts,
    *,
    gate: Gate,
    rules: Mapping[str, PhenotypeRule],
    settings: GateSettings,
    pixel_area_um2: float,
) -> Evidence:
    """What the objects show; parameters as of :func:`fociquant.gate.gate_objects`."""
    crowded = _crowded(objects, settings, pixel_area_um2)
    excess = _excess(objects, "marker", facts, crowded)
    autofluorescence = _excess(objects, "autofluorescence", facts, crowded)
    unexplained = beyond_autofluorescence(excess, autofluorescence, facts)
    strength = unexplained / facts.marker_unit
    return Evidence(
        excess=excess,
        autofluorescence=autofluorescence,
        unexplained=unexplained,
        strength=strength,
        needed=_marker_needed_of_each(objects, facts, gate, settings),
        ring=_ring(objects, excess),
        score=objects["score_mean"].to_numpy(),
        saturated=objects["flags"].to_numpy(np.int64) & int(CellFlag.SATURATED) != 0,
        looks=looks_of(objects, strength, facts, rules),
    )


def marker_needed(facts: SectionFacts, gate: Gate, settings: GateSettings) -> float:
    """Unexplained marker that an object of this section must exceed, counts."""
    return max(settings.marker_snr * facts.marker_unit, settings.min_marker_counts, gate.marker)


def _marker_needed_of_each(
    objects: pd.DataFrame, facts: SectionFacts, gate: Gate, settings: GateSettings
) -> np.ndarray:
    """The same for every object, less for those of which the network is certain."""
    less = settings.certain_marker_fraction * settings.marker_snr
    least = max(less * facts.marker_unit, settings.min_marker_counts, gate.marker)
    certain = is_certain(objects, facts, settings)
    return np.where(certain, least, marker_needed(facts, gate, settings))


def _crowded(objects: pd.DataFrame, settings: GateSettings, pixel_area_um2: float) -> np.ndarray:
    """Around which objects hardly a clean ring of background is left."""
    ring_px = objects["ring_px"].to_numpy()
    if not pixel_area_um2 > 0.0:
        return np.asarray(ring_px == 0)
    return np.asarray(ring_px * pixel_area_um2 <= settings.crowded_ring_um2)


def _excess(
    objects: pd.DataFrame, role: str, facts: SectionFacts, crowded: np.ndarray
) -> np.ndarray:
    """Mean over the object minus its local background, counts; 0 without the channel.

    In a crowd hardly a clean ring is left; what the measurement then offers lies between
    labelled neighbours, so the tissue's background is used where it is lower.
    """
    if f"{role}_mean" not in objects:
        return np.zeros(len(objects))
    ring = objects[f"{role}_ring"].to_numpy(np.float64)
    background = np.where(crowded, np.minimum(ring, facts.stats[role].background), ring)
    return objects[f"{role}_mean"].to_numpy(np.float64) - background


def _ring(objects: pd.DataFrame, excess: np.ndarray) -> np.ndarray:
    """1 - core / edge of the marker above the surroundings, -1 to 2; 0 where it means nothing."""
    if "marker_edge_mean" not in objects:
        return np.zeros(len(objects))
    background = objects["marker_mean"].to_numpy(np.float64) - excess
    edge = objects["marker_edge_mean"].to_numpy(np.float64) - background
    core = objects["marker_core_mean"].to_numpy(np.float64) - background
    share = np.divide(core, edge, out=np.ones(len(edge)), where=edge > 0)
    return np.clip(1.0 - share, -1.0, 2.0)
