"""Where in a section an object can be that passes the gate: decode cells, and places in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fociquant.gate.standout import countable_places, grown
from fociquant.model import Box, SectionFacts
from fociquant.run.plan import SectionPlan
from fociquant.settings import Settings
from fociquant.tiling.lattice import Index, Lattice
from fociquant.tiling.ownership import BAND_PX, SAME_OBJECT_PX
from fociquant.units import PixelSize

SLACK_PX = BAND_PX + 2 * int(SAME_OBJECT_PX) + 3
"""Decode cells report objects up to a band outside their core, and settle among them which
report of one object is kept; and centres are rounded to whole pixels."""


@dataclass(frozen=True, slots=True)
class Places:
    """Places of a section at which objects are asked for, cut out around some decode cells.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (h, w)
        Grid pixels of the section's marker map.
    origin : (int, int)
        Grid pixel of its corner.
    shape : (int, int)
        Of the whole map.
    steps : (float, float)
        Grid pixels per pixel of the analysis grid, (y, x).
    """

    mask: np.ndarray
    origin: tuple[int, int]
    shape: tuple[int, int]
    steps: tuple[float, float]

    @classmethod
    def around(
        cls, near: np.ndarray, edge_um: tuple[float, float], pixel: PixelSize, box: Box
    ) -> Places:
        """The part of a map under a box of analysis pixels."""
        steps = (pixel.y / edge_um[0], pixel.x / edge_um[1])
        under = _under(box, steps, near.shape)
        return cls(near[under.slices], (under.y0, under.x0), near.shape, steps)

    def meet(self, box: Box) -> bool:
        """Whether any of them lies under a box of analysis pixels inside the cut."""
        if not box.area:
            return False
        under = _under(box, self.steps, self.shape).shift(-self.origin[0], -self.origin[1])
        return bool(self.mask[under.slices].any())

    @property
    def key(self) -> str:
        """sha256, hex."""
        return _sha256(self.mask, f"{self.origin} {self.shape} {self.steps}")


def _sha256(mask: np.ndarray, text: str) -> str:
    return hashlib.sha256(
        f"{text} {mask.shape} ".encode() + np.packbits(mask).tobytes()
    ).hexdigest()


def _under(box: Box, steps: tuple[float, float], shape: tuple[int, int]) -> Box:
    """Grid pixels under a box of analysis pixels, at least one along each axis."""
    # Objects beyond the grid's end, by less than a pixel, are looked up in its last one.
    y0 = min(max(int(box.y0 * steps[0]), 0), shape[0] - 1)
    x0 = min(max(int(box.x0 * steps[1]), 0), shape[1] - 1)
    y1 = min(max(int(np.ceil(box.y1 * steps[0])), y0 + 1), shape[0])
    x1 = min(max(int(np.ceil(box.x1 * steps[1])), x0 + 1), shape[1])
    return Box(y0, x0, y1, x1)


def asked_places(facts: SectionFacts, settings: Settings) -> np.ndarray | None:
    """Grid pixels of the marker map at which an object is counted, or keeps another from it.

    Parameters
    ----------
    facts : SectionFacts
    settings : Settings
        As screening sees them, see :func:`fociquant.run.plan.screening_settings`.

    Returns
    -------
    numpy.ndarray of bool, shape of the map; or None
        None: everywhere.
    """
    found = facts.marker_map
    if found is None or not found.peaks.size:
        return None
    places = countable_places(found, settings.gate)
    near = grown(places, found.edge_um, settings.gate.lining_reach_um)
    return None if near.all() else near


def places_of(
    near: np.ndarray | None,
    facts: SectionFacts,
    lattice: Lattice,
    cells: Sequence[Index],
    *,
    pixel: PixelSize,
) -> Places | None:
    """The places that some decode cells are asked for; None: everywhere in them.

    Parameters
    ----------
    near : numpy.ndarray of bool or None
        Of :func:`asked_places`.
    facts : SectionFacts
    lattice : Lattice
    cells : sequence of (int, int)
        At least one.
    pixel : PixelSize
        Of the analysis grid.
    """
    if near is None or facts.marker_map is None:
        return None
    boxes = [reach_of(lattice, cell) for cell in cells]
    whole = Box(
        min(box.y0 for box in boxes), min(box.x0 for box in boxes),
        max(box.y1 for box in boxes), max(box.x1 for box in boxes),
    )  # fmt: skip
    return Places.around(near, facts.marker_map.edge_um, pixel, whole)


def places_key(near: np.ndarray | None, objects: str) -> str:
    """Key of a section's objects if they were asked for at these places only."""
    return objects if near is None else _sha256(near, objects)


def reach_of(lattice: Lattice, cell: Index) -> Box:
    """Where places may lie that ask for an object of a decode cell."""
    return lattice.cell_core(cell).expand(BAND_PX + SLACK_PX)


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
    near = asked_places(facts, settings)
    if found is None or near is None:
        return np.ones(lattice.cells, bool)
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
    under = _under(box, steps, (table.shape[0] - 1, table.shape[1] - 1))
    y0, x0, y1, x1 = under.y0, under.x0, under.y1, under.x1
    return bool(table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0])
