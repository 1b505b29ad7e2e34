"""Rows of airway lining: of its cells the network takes some for cancer cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from fociquant.flags import REJECTING, CellFlag
from fociquant.gate.places import is_near, places_on
from fociquant.model import SectionFacts
from fociquant.settings import GateSettings

LINING_NEIGHBOURS = 3
"""So many uncertain candidates near by make a row."""
LINING_SURPLUS = 2
"""They outnumber the accepted ones by at least this."""
LUMEN_REACH_UM = 25.0
"""The epithelium of an airway lies within this of its lumen, µm: 10 to 20 µm high."""
NEXT_CELL_UM = 16.0
"""The next cell of a lining is at most this far, µm centre to centre. Beside a lumen a single one
that is uncertain makes a barely certain one lining, unless more accepted ones are as near."""


def in_a_lining(
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
    beside = beside_a_lumen(objects.iloc[asked], facts)
    lining[asked] = row | (beside & (around >= 1) & (around >= alike))
    return lining


def beside_a_lumen(objects: pd.DataFrame, facts: SectionFacts) -> np.ndarray:
    """Whether the centre lies where the lining of an airway would be; bool (n,)."""
    if facts.lumen is None or not facts.lumen.any():
        return np.zeros(len(objects), bool)
    places = places_on(facts.lumen, objects, facts.overview_px)
    return is_near(facts.lumen, places, LUMEN_REACH_UM, facts.overview_px)
