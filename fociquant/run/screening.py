"""Which decode cells of a section can hold an object that passes the gate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fociquant.gate.standout import countable_places, grown
from fociquant.model import Box, SectionFacts
from fociquant.run.plan import SectionPlan
from fociquant.settings import Settings
from fociquant.tiling.ownership import BAND_PX, SAME_OBJECT_PX

SLACK_PX = BAND_PX + 2 * int(SAME_OBJECT_PX) + 3
"""Decode cells report objects up to a band outside their core, and settle among them which
report of one object is kept; and centres are rounded to whole pixels."""


def cells_worth_counting(
    plan: SectionPlan, facts: SectionFacts, settings: Settings, *, check: Callable[[], None]
) -> np.ndarray:
    """Decode cells in which an object could pass the gate, or keep another from passing.

    The gate counts an object only where the section's marker map says that the marker stands
    out near its centre (:func:`fociquant.gate.standout.out_of_place`). A decode cell that can
    report no such object is left out, unless objects of it are among the neighbours by which
    the gate recognises the lining of an airway. So the counted objects are those of an
    exhaustive run by construction, not by a tolerance.

    Parameters
    ----------
    plan : SectionPlan
        No pixel is read.
    facts : SectionFacts
    settings : Settings
        Of the gate only those in :data:`fociquant.run.plan.SCREENED_BY` are the study's (or the
        default where that lets more pass); the others are the defaults. So a mask depends on
        nothing else, and changing another rule of the gate reads no pixel.
    check : callable
        Called before every piece of work; raises if the run is to end.

    Returns
    -------
    numpy.ndarray of bool, shape ``plan.lattice.cells``
        True: to be counted.
    """
    check()
    found, lattice = facts.marker_map, plan.lattice
    if found is None or not found.peaks.size:
        return np.ones(lattice.cells, bool)
    places = countable_places(found, settings.gate)
    near = grown(places, found.edge_um, settings.gate.lining_reach_um)
    table = np.zeros((near.shape[0] + 1, near.shape[1] + 1), np.int64)
    table[1:, 1:] = near.cumsum(0, dtype=np.int64).cumsum(1)
    pixel = plan.analysis_pixel
    steps = (pixel.y / found.edge_um[0], pixel.x / found.edge_um[1])
    worth = np.zeros(lattice.cells, bool)
    for cell in np.ndindex(*lattice.cells):
        worth[cell] = _holds_any(table, lattice.cell_core(cell).expand(SLACK_PX), steps)
    return worth


def _holds_any(table: np.ndarray, box: Box, steps: tuple[float, float]) -> bool:
    """Whether any grid pixel under a box of analysis pixels is True, by a summed-area table."""
    height, width = (side - 1 for side in table.shape)
    # Objects beyond the grid's end, by less than a pixel, are looked up in its last one.
    y0 = min(max(int(box.y0 * steps[0]), 0), height - 1)
    x0 = min(max(int(box.x0 * steps[1]), 0), width - 1)
    y1 = min(max(int(np.ceil(box.y1 * steps[0])), y0 + 1), height)
    x1 = min(max(int(np.ceil(box.x1 * steps[1])), x0 + 1), width)
    return bool(table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0])
