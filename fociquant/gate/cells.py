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
from scipy.spatial import cKDTree

from fociquant.flags import REJECTING, CellFlag, flag_names
from fociquant.gate.autofluorescence import (
    beyond_autofluorescence,
    is_certain,
    is_evident,
    is_explained,
)
from fociquant.gate.batch import Gate
from fociquant.gate.halves import other_halves
from fociquant.gate.likeness import score_of_pigment
from fociquant.gate.looks import ELSEWHERE, ON_NUCLEUS, fills_its_nucleus, looks_of
from fociquant.gate.pattern import CERTAIN_SCORE, EXPECTED_ELSEWHERE
from fociquant.gate.phenotypes import judge_phenotype
from fociquant.gate.standout import out_of_place
from fociquant.model import PhenotypeRule, SectionFacts
from fociquant.settings import GateSettings, score_asked_for
from fociquant.units import PixelSize

LINING_NEIGHBOURS = 3
"""So many uncertain candidates near by make a row."""
LINING_SURPLUS = 2
"""They outnumber the accepted ones by at least this."""
LUMEN_REACH_UM = 25.0
"""The epithelium of an airway lies within this of its lumen, µm: 10 to 20 µm high."""
RIM_NUCLEUS = 0.8
"""A nucleus with more than this share in the outer 2 µm of an object is a neighbour's. Of 28 such
candidates in simulated sections by two authors 19 were profiles without a nucleus of their own."""
RIM_UM2 = 55.0
"""Of a smaller object the outer 2 µm are nearly all, µm²."""
NEXT_CELL_UM = 16.0
"""The next cell of a lining is at most this far, µm centre to centre. Beside a lumen a single one
that is uncertain makes a barely certain one lining, unless more accepted ones are as near."""


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
    crowded = objects["ring_px"].to_numpy() * pixel_area_um2 <= settings.crowded_ring_um2
    crowded &= (objects["ring_px"].to_numpy() == 0) | (pixel_area_um2 > 0.0)
    excess = _excess(objects, "marker", facts, crowded)
    autofluorescence = _excess(objects, "autofluorescence", facts, crowded)
    unexplained = beyond_autofluorescence(excess, autofluorescence, facts)
    gate = gate or Gate()
    needed = _marker_needed_of_each(objects, facts, gate, settings)
    ring = _ring(objects, excess)
    score = objects["score_mean"].to_numpy()
    bits = objects["flags"].to_numpy(np.int64).copy()
    saturated = bits & int(CellFlag.SATURATED) != 0  # as bright in the middle, whatever it wears
    dim = unexplained <= needed
    strength = unexplained / facts.marker_unit
    looks = looks_of(objects, strength, facts, rules or {})
    explained = is_explained(
        objects,
        autofluorescence,
        unexplained,
        facts,
        settings,
        ring=ring,
        full=fills_its_nucleus(looks, ring),
        most_glow=gate.glow,
        pigment=gate.pigment,
    )
    # Told once: what stands out of its surroundings and is explained, as autofluorescent.
    dim &= ~(explained & (excess > needed))
    shines = looks[ELSEWHERE].to_numpy()
    of_pigment = score_of_pigment(looks, ring, gate.usual)
    least = _needed_score(facts, settings)
    evident = is_evident(objects, autofluorescence, unexplained, facts, settings)
    uncertain = score < np.where(evident, least - settings.evident_less_score, least)
    uncertain |= score <= gate.score
    checks = {
        CellFlag.UNCERTAIN: uncertain,
        CellFlag.DIM_MARKER: dim | out_of_place(objects, facts.marker_map, settings),
        CellFlag.AUTOFLUORESCENT: explained
        | (score <= of_pigment) & ~uncertain & ~dim
        | (shines > gate.elsewhere) & ((score < CERTAIN_SCORE) | (shines > EXPECTED_ELSEWHERE)),
        CellFlag.FILLED: (ring <= gate.ring) | gate.lacks_rim(score, ring) & ~saturated,
        CellFlag.HOLLOW: ~saturated
        & ((ring >= gate.ring_most) | (looks[ON_NUCLEUS].to_numpy() < gate.on_nucleus)),
        CellFlag.NO_NUCLEUS: _without_nucleus(objects, facts, settings, ranges or {}),
        CellFlag.TOO_SMALL: objects["area_um2"].to_numpy() < settings.min_area_um2,
        CellFlag.TOO_LARGE: objects["area_um2"].to_numpy() > settings.max_area_um2,
        CellFlag.ELONGATED: objects["solidity"].to_numpy() < settings.min_solidity,
        CellFlag.OFF_TISSUE: _off_tissue(objects, facts, settings),
        CellFlag.IN_ARTEFACT: _mask_at(objects, facts.artefact, facts.overview_px, outside=False),
        CellFlag.OUTSIDE_REGION: _outside_region(objects, facts),
    }
    for flag, hit in checks.items():
        bits |= np.where(hit, int(flag), 0)
    bits |= np.where(_in_a_lining(objects, score, bits, facts, settings), int(CellFlag.LINING), 0)
    passing = (bits & int(REJECTING)) == 0
    half = other_halves(objects, ring=ring, score=score, passing=passing)
    bits |= np.where(half, int(CellFlag.HALF), 0)
    found: dict[str, Any] = {}
    for name in phenotypes:
        judged = judge_phenotype(
            objects, name, facts.stats.get(name), settings=settings,
            rule=(rules or {}).get(name, PhenotypeRule()),
            threshold=(phenotype_thresholds or {}).get(name),
            batch_range=(ranges or {}).get(name), marker_excess=excess,
            counted=(bits & int(REJECTING)) == 0,
        )  # fmt: skip
        found[f"{name}_strength"], found[f"{name}_positive"] = judged.strength, judged.positive
        bits |= np.where(judged.spilled, int(CellFlag.SPILL_OVER), 0)
    names = {value: flag_names(value) for value in np.unique(bits).tolist()}
    return objects.assign(
        # Text also where there is no object: cells that a reviewer added may follow.
        flags=pd.Series([names[value] for value in bits.tolist()], objects.index, dtype=str),
        positive=(bits & int(REJECTING)) == 0,
        marker_excess=excess,
        marker_unexplained=unexplained,
        marker_strength=strength,
        ring=ring,
        **found,
    )


def _ring(objects: pd.DataFrame, excess: np.ndarray) -> np.ndarray:
    """1 - core / edge of the marker above the surroundings, -1 to 2; 0 where it means nothing."""
    if "marker_edge_mean" not in objects:
        return np.zeros(len(objects))
    background = objects["marker_mean"].to_numpy(np.float64) - excess
    edge = objects["marker_edge_mean"].to_numpy(np.float64) - background
    core = objects["marker_core_mean"].to_numpy(np.float64) - background
    share = np.divide(core, edge, out=np.ones(len(edge)), where=edge > 0)
    return np.clip(1.0 - share, -1.0, 2.0)


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


def _needed_score(facts: SectionFacts, settings: GateSettings) -> float:
    return score_asked_for(
        settings.min_score,
        settings.without_autofluorescence_min_score,
        autofluorescence=facts.autofluorescence_slope is not None,
    )


def _in_a_lining(
    objects: pd.DataFrame,
    score: np.ndarray,
    bits: np.ndarray,
    facts: SectionFacts,
    settings: GateSettings,
) -> np.ndarray:
    """Whether a barely certain object stands among uncertain ones: a row of airway lining.

    Cancer cells stand alone or among their like; the columnar cells of an airway come in
    rows of which the network takes some for cells.
    """
    lining = np.zeros(len(objects), bool)
    places = objects[["y_um", "x_um"]].to_numpy()
    passing = (bits & int(REJECTING)) == 0
    doubtful = ((bits & int(CellFlag.UNCERTAIN)) != 0) & (
        objects["area_um2"].to_numpy() > settings.min_area_um2
    )
    asked = np.flatnonzero(passing & (score < settings.lining_score))
    if not len(asked) or not doubtful.any():
        return lining
    trees = [cKDTree(places[chosen]) for chosen in (doubtful, passing)]

    def near(reach_um: float) -> tuple[np.ndarray, np.ndarray]:
        """How many doubtful, and how many other passing objects are so near."""
        around, alike = (
            tree.query_ball_point(places[asked], reach_um, return_length=True) for tree in trees
        )
        return around, alike - 1

    around, alike = near(settings.lining_reach_um)
    row = (around >= LINING_NEIGHBOURS) & (around - alike >= LINING_SURPLUS)
    around, alike = near(min(NEXT_CELL_UM, settings.lining_reach_um))
    beside = _beside_a_lumen(objects.iloc[asked], facts)
    lining[asked] = row | (beside & (around >= 1) & (around >= alike))
    return lining


def _beside_a_lumen(objects: pd.DataFrame, facts: SectionFacts) -> np.ndarray:
    """Whether the centre lies where the lining of an airway would be."""
    if facts.lumen is None or not facts.lumen.any():
        return np.zeros(len(objects), bool)
    places = _places_on(facts.lumen, objects, facts.overview_px)
    return _is_near(facts.lumen, places, LUMEN_REACH_UM, facts.overview_px)


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


def _outside_region(objects: pd.DataFrame, facts: SectionFacts) -> np.ndarray:
    """Whether the centre lies on a part of the slide that is another section."""
    if facts.region is None:
        return np.zeros(len(objects), bool)
    return ~_mask_at(objects, facts.region, facts.overview_px, outside=False)


def _off_tissue(objects: pd.DataFrame, facts: SectionFacts, settings: GateSettings) -> np.ndarray:
    """Whether the centre lies outside the lung; nothing does where no lung was found at all."""
    off = np.zeros(len(objects), bool)
    outline, pixel = facts.outline, facts.overview_px
    if not outline.any():
        return off
    places = _places_on(outline, objects, pixel)
    outside = ~outline[places[:, 0], places[:, 1]]
    off[outside] = ~_is_near(outline, places[outside], settings.tissue_reach_um, pixel)
    return off


def _is_near(mask: np.ndarray, places: np.ndarray, um: float, pixel: PixelSize) -> np.ndarray:
    """Whether the mask has a pixel at most so far from each place, between pixel centres.

    The same as by distances of the whole mask, of which only few are asked for.
    """
    reach_y, reach_x = (min(int(um / edge), size) for edge, size in
                        zip((pixel.y, pixel.x), mask.shape, strict=True))  # fmt: skip
    padded = np.pad(mask, ((reach_y, reach_y), (reach_x, reach_x)))
    dy, dx = np.mgrid[-reach_y : reach_y + 1, -reach_x : reach_x + 1]
    disc = np.sqrt((dy * pixel.y) ** 2 + (dx * pixel.x) ** 2) <= um
    near = np.zeros(len(places), bool)
    for y, x in zip(*np.nonzero(disc), strict=True):
        near |= padded[places[:, 0] + y, places[:, 1] + x]
    return near


def _mask_at(
    objects: pd.DataFrame, mask: np.ndarray, pixel: PixelSize, *, outside: bool
) -> np.ndarray:
    """The mask's value under every object's centre; `outside` beyond the mask."""
    if not len(objects) or not mask.size:
        return np.full(len(objects), outside)
    places = _places_on(mask, objects, pixel)
    return np.asarray(mask[places[:, 0], places[:, 1]])


def _places_on(mask: np.ndarray, objects: pd.DataFrame, pixel: PixelSize) -> np.ndarray:
    """Row and column of the mask's pixel under every object's centre, int64 (n, 2)."""
    places = np.floor(pixel.to_px(objects[["y_um", "x_um"]].to_numpy())).astype(np.int64)
    # The overview may be a fraction of a pixel smaller than the image.
    return np.asarray(np.clip(places, 0, np.array(mask.shape) - 1))
