"""The gate: every candidate keeps its row; a rejected one gets the flag that says why.

A labelled cancer cell looks like one to the network; it has marker above its
surroundings, more than the autofluorescence on it explains, a nucleus, and the size
and shape of a cell, and does not lie in a masked artefact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fociquant.flags import REJECTING, CellFlag, flag_names
from fociquant.gate.autofluorescence import is_evident, is_explained
from fociquant.gate.batch import Gate
from fociquant.gate.evidence import Evidence, evidence_of
from fociquant.gate.halves import other_halves
from fociquant.gate.likeness import score_of_pigment
from fociquant.gate.lining import beside_a_lumen, in_a_lining
from fociquant.gate.looks import ELSEWHERE, ON_NUCLEUS, fills_its_nucleus
from fociquant.gate.pattern import CERTAIN_SCORE, EXPECTED_ELSEWHERE
from fociquant.gate.phenotypes import Judged, judge_phenotype
from fociquant.gate.places import in_artefact, off_tissue, outside_region
from fociquant.gate.standout import out_of_place
from fociquant.model import PhenotypeRule, SectionFacts
from fociquant.settings import GateSettings, score_asked_for

RIM_NUCLEUS = 0.8
"""A nucleus with more than this share in the outer 2 µm of an object is a neighbour's. Of 28 such
candidates in simulated sections by two authors 19 were profiles without a nucleus of their own."""
RIM_UM2 = 55.0
"""Of a smaller object the outer 2 µm are nearly all, µm²."""


def gate_objects(
    objects: pd.DataFrame,
    facts: SectionFacts,
    *,
    phenotypes: Sequence[str],
    settings: GateSettings,
    pixel_area_um2: float = 0.0,
    gate: Gate | None = None,
    rules: Mapping[str, PhenotypeRule] | None = None,
    phenotype_thresholds: Mapping[str, float] | None = None,
    ranges: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Judge the measured objects of one section.

    Parameters
    ----------
    objects : pandas.DataFrame
        Rows of :func:`fociquant.measure.measure_cells`; not changed.
    facts : SectionFacts
        Of the same section.
    phenotypes : sequence of str
        Names of the phenotype roles to judge.
    settings : GateSettings
    pixel_area_um2 : float
        Of the grid on which the objects were measured; 0 if unknown, then only an empty
        ring of background counts as crowded.
    gate : Gate, optional
        Thresholds of the batch, from :func:`~fociquant.gate.batch_thresholds`. They only raise
        what the settings and the section ask for, which is the default.
    rules : mapping of str to PhenotypeRule, optional
        Where in the cell each phenotype is looked for; default: its brightest part.
    phenotype_thresholds : mapping of str to float, optional
        Strengths that phenotypes must exceed where controls ask for more than the section.
    ranges : mapping of str to float, optional
        Ranges of channels in the batch, counts (of a :class:`~fociquant.gate.ChannelRange`): for
        phenotypes in place of the section's own, and for nuclei where the own is larger.

    Returns
    -------
    pandas.DataFrame
        `objects` with ``flags`` as text (names joined by ``;``), ``positive`` (bool),
        ``marker_excess`` (counts over the local background), ``marker_unexplained`` (the part of
        it that autofluorescence does not explain, counts), ``marker_strength`` (the same in
        standard deviations of the pixel noise),
        ``ring`` (1 - core / edge of the marker),
        and for each phenotype ``<phenotype>_strength`` (float64) and ``<phenotype>_positive``
        (bool, of any object whether counted or not; nullable, and all ``<NA>``, where the
        section has no such channel).
    """
    gate, rules, ranges = gate or Gate(), rules or {}, ranges or {}
    found = evidence_of(
        objects, facts, gate=gate, rules=rules, settings=settings, pixel_area_um2=pixel_area_um2
    )
    bits = _bits(objects, found, facts, gate, settings)
    bits |= _where(_without_nucleus(objects, facts, settings, ranges), CellFlag.NO_NUCLEUS)
    bits |= _where(in_a_lining(objects, found.score, bits, facts, settings), CellFlag.LINING)
    half = other_halves(objects, ring=found.ring, score=found.score, passing=_passing(bits))
    bits |= _where(half, CellFlag.HALF)
    positive = _passing(bits)
    judged = {
        name: judge_phenotype(
            objects, name, facts.stats.get(name), settings=settings,
            rule=rules.get(name, PhenotypeRule()),
            threshold=(phenotype_thresholds or {}).get(name),
            batch_range=ranges.get(name), marker_excess=found.excess, counted=positive,
        )
        for name in phenotypes
    }  # fmt: skip
    for of_one in judged.values():
        bits |= _where(of_one.spilled, CellFlag.SPILL_OVER)
    return objects.assign(
        flags=_as_text(bits, objects.index),
        positive=positive,
        marker_excess=found.excess,
        marker_unexplained=found.unexplained,
        marker_strength=found.strength,
        ring=found.ring,
        **_columns(judged),
    )


def _bits(
    objects: pd.DataFrame,
    found: Evidence,
    facts: SectionFacts,
    gate: Gate,
    settings: GateSettings,
) -> np.ndarray:
    """Flags of the measurement, and of every check that looks at one object alone, int64 (n,)."""
    area = objects["area_um2"].to_numpy()
    checks = {
        **_by_marker(objects, found, facts, gate, settings),
        **_by_rim(found, gate),
        CellFlag.TOO_SMALL: area < settings.min_area_um2,
        CellFlag.TOO_LARGE: area > settings.max_area_um2,
        CellFlag.ELONGATED: objects["solidity"].to_numpy() < settings.min_solidity,
        CellFlag.OFF_TISSUE: off_tissue(objects, facts, settings),
        CellFlag.IN_ARTEFACT: in_artefact(objects, facts),
        CellFlag.OUTSIDE_REGION: outside_region(objects, facts),
    }
    bits = objects["flags"].to_numpy(np.int64).copy()
    for flag, hit in checks.items():
        bits |= _where(hit, flag)
    return bits


def _by_marker(
    objects: pd.DataFrame,
    found: Evidence,
    facts: SectionFacts,
    gate: Gate,
    settings: GateSettings,
) -> dict[CellFlag, np.ndarray]:
    """Not certain enough, not bright enough, or what glows by itself."""
    glow = found.autofluorescence
    explained = is_explained(
        objects, glow, found.unexplained, facts, settings,
        ring=found.ring, full=fills_its_nucleus(found.looks, found.ring),
        most_glow=gate.glow, pigment=gate.pigment,
    )  # fmt: skip
    # Told once: what stands out of its surroundings and is explained, as autofluorescent.
    told = explained & (found.excess > found.needed)
    dim = (found.unexplained <= found.needed) & ~told
    least = score_asked_for(
        settings.min_score,
        settings.without_autofluorescence_min_score,
        autofluorescence=facts.autofluorescence_slope is not None,
    )
    evident = is_evident(objects, glow, found.unexplained, facts, settings)
    # Lining that binds the marker has a nucleus and no glow, as cells have.
    evident[evident] = ~beside_a_lumen(objects[evident], facts)
    uncertain = found.score < np.where(evident, least - settings.evident_less_score, least)
    uncertain |= found.score <= gate.score
    pigment = found.score <= score_of_pigment(found.looks, found.ring, gate.usual)
    return {
        CellFlag.UNCERTAIN: uncertain,
        CellFlag.DIM_MARKER: dim | out_of_place(objects, facts.marker_map, settings),
        CellFlag.AUTOFLUORESCENT: explained
        | (pigment & ~uncertain & ~dim)
        | _shines_in_all(found, gate),
    }


def _shines_in_all(found: Evidence, gate: Gate) -> np.ndarray:
    """Whether it has light of a nuclear phenotype where that is not."""
    shines = found.looks[ELSEWHERE].to_numpy()
    unsure = (found.score < CERTAIN_SCORE) | (shines > EXPECTED_ELSEWHERE)
    return np.asarray((shines > gate.elsewhere) & unsure)


def _by_rim(found: Evidence, gate: Gate) -> dict[CellFlag, np.ndarray]:
    """The marker lies elsewhere in the object than in cells of the batch."""
    on_nucleus = found.looks[ON_NUCLEUS].to_numpy()
    return {
        CellFlag.FILLED: (found.ring <= gate.ring)
        | (gate.lacks_rim(found.score, found.ring) & ~found.saturated),
        CellFlag.HOLLOW: ~found.saturated
        & ((found.ring >= gate.ring_most) | (on_nucleus < gate.on_nucleus)),
    }


def _without_nucleus(
    objects: pd.DataFrame,
    facts: SectionFacts,
    settings: GateSettings,
    ranges: Mapping[str, float],
) -> np.ndarray:
    """Whether nothing on the object is as bright as a nucleus, or only what reaches into it."""
    if "nucleus_p90" not in objects or not settings.nucleus_fraction:
        return np.zeros(len(objects), bool)
    reaching = np.zeros(len(objects), bool)
    if "nucleus_rim" in objects:
        reaching = objects["nucleus_rim"].to_numpy() > RIM_NUCLEUS
        reaching &= objects["area_um2"].to_numpy() > RIM_UM2
    # From the darkest level, not the tissue's: in a section full of cells the tissue is nuclei.
    stats = facts.stats["nucleus"]
    above = objects["nucleus_p90"].to_numpy() - stats.low
    # A bright fibre is as the brightest nuclei of its section, but not of the batch.
    own = stats.high - stats.low
    reach = min(own, ranges.get("nucleus", own))
    return np.asarray((above <= settings.nucleus_fraction * reach) | reaching)


def _where(hit: np.ndarray, flag: CellFlag) -> np.ndarray:
    return np.where(hit, int(flag), 0)


def _passing(bits: np.ndarray) -> np.ndarray:
    return np.asarray((bits & int(REJECTING)) == 0)


def _as_text(bits: np.ndarray, index: pd.Index) -> pd.Series:
    """Names of the flags; text also where there is no object, for a reviewer may add cells."""
    names = {value: flag_names(value) for value in np.unique(bits).tolist()}
    return pd.Series([names[value] for value in bits.tolist()], index, dtype=str)


def _columns(judged: Mapping[str, Judged]) -> dict[str, Any]:
    """Strength and verdict of every phenotype."""
    return {
        f"{name}_{what}": getattr(of_one, what)
        for name, of_one in judged.items()
        for what in ("strength", "positive")
    }
