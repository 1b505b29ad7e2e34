"""Where cancer cells lie in a section: planned foci, apart from each other, in healthy places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from fociquant.model import Box
from fociquant.testing.lung import host
from fociquant.testing.lung.artefacts import focus_loss, folded
from fociquant.testing.lung.canvas import Canvas
from fociquant.testing.lung.cells import Cells, draw_cells, focus_labels, pack
from fociquant.testing.lung.recipe import LungRecipe
from fociquant.testing.lung.tissue import Tissue

APART_UM = 30.0
"""Least distance between the outlines of two foci; more than the linking distance of 20 µm."""

EDGE_UM = 12.0
"""No cell outline comes closer to the image's border."""

OVERVIEW_UM = 6.0
"""Pixel size of the map of allowed places."""

FULL_AFTER = 3
"""Once this many single cells found no place, the section is full."""

THROWS = 60
"""Places tried for one focus, before it is split in two."""


@dataclass(frozen=True)
class Planted:
    """Cancer cells of one section, focus after focus.

    Parameters
    ----------
    cells : Cells
        All of them; cell ``k`` has the label ``k + 1``.
    focus : numpy.ndarray of int64, shape (n,)
        Number of each one's focus, from 1, ascending.
    lung_mm2 : float
        Area inside the lung's outline.
    """

    cells: Cells
    focus: np.ndarray
    lung_mm2: float


class _Ground:
    """Overview of a section: which places may hold a cancer cell."""

    def __init__(self, recipe: LungRecipe, tissue: Tissue, shape_px: tuple[int, int], px_um: float):
        self.size_um = (shape_px[0] * px_um, shape_px[1] * px_um)
        step_um = OVERVIEW_UM
        nodes = Box(0, 0, *(int(np.ceil(edge / step_um)) + 1 for edge in self.size_um))
        self.canvas = Canvas(nodes, step_um, 1)
        maps = tissue.maps(self.canvas)
        radius = 0.7 * recipe.cells.diameter_um
        self.allowed = (maps.lung > radius + 4) & (
            maps.lumen < -(recipe.tissue.epithelium_um + radius)
        )
        fold = folded(recipe.artefacts, tissue.seed, self.canvas, grow_um=2 * radius)
        blurred = focus_loss(recipe.artefacts, tissue.seed, self.canvas, grow_um=2 * radius)
        if fold is not None:
            self.allowed &= fold <= 0
        if blurred is not None:
            self.allowed &= blurred <= 0
        for y, x, _ in host.lint(tissue, self.canvas, per_mm2=recipe.artefacts.debris_per_mm2):
            self._forbid(y, x, reach_um=2 * radius)
        inside = (maps.lung > 0)[:-1, :-1]
        self.lung_mm2 = float(inside.mean()) * self.size_um[0] * self.size_um[1] * 1e-6

    def _forbid(self, y_um: np.ndarray, x_um: np.ndarray, *, reach_um: float) -> None:
        """No cells along this line."""
        reach = int(np.ceil(reach_um / OVERVIEW_UM))
        for y, x in zip(y_um[::5] / OVERVIEW_UM, x_um[::5] / OVERVIEW_UM, strict=True):
            rows = slice(max(0, int(y) - reach), max(0, int(y) + reach + 1))
            self.allowed[rows, max(0, int(x) - reach) : max(0, int(x) + reach + 1)] = False

    def takes(self, y_um: np.ndarray, x_um: np.ndarray, reach_um: np.ndarray) -> bool:
        """Whether all these cells lie on allowed ground, clear of the image's border."""
        pad = reach_um + EDGE_UM
        clear = (y_um > pad) & (x_um > pad)
        clear &= (y_um < self.size_um[0] - pad) & (x_um < self.size_um[1] - pad)
        return bool(clear.all() and self.canvas.sample(self.allowed, y_um, x_um).all())


class _Bed:
    """Foci planted so far."""

    def __init__(self) -> None:
        self.foci: list[Cells] = []
        self.circles: list[tuple[float, float, float]] = []

    def has_room(self, cells: Cells) -> bool:
        """Whether a focus is far enough from all others."""
        y, x, radius = _circle(cells)
        for other, (oy, ox, oradius) in zip(self.foci, self.circles, strict=True):
            if np.hypot(y - oy, x - ox) - radius - oradius >= APART_UM:
                continue
            if _least_gap(cells, other) < APART_UM:
                return False
        return True

    def add(self, cells: Cells) -> None:
        """Plant a focus."""
        self.foci.append(cells)
        self.circles.append(_circle(cells))


def _circle(cells: Cells) -> tuple[float, float, float]:
    s = cells.shapes
    y, x = float(s.y_um.mean()), float(s.x_um.mean())
    return y, x, float((np.hypot(s.y_um - y, s.x_um - x) + s.reach_um).max())


def _least_gap(a: Cells, b: Cells) -> float:
    """A lower bound of the distance between the outlines of two foci, µm."""
    places = [np.stack([c.shapes.y_um, c.shapes.x_um], axis=1) for c in (a, b)]
    gap = cdist(*places) - a.shapes.reach_um[:, None] - b.shapes.reach_um[None, :]
    return float(gap.min())


def plant(
    recipe: LungRecipe,
    tissue: Tissue,
    *,
    shape_px: tuple[int, int],
    px_um: float,
    focus_sizes: Sequence[int],
    rng: np.random.Generator,
) -> Planted:
    """Find a place for every focus, largest first.

    A focus that finds no room is split in two; a single cell that finds none is
    left out. What counts as truth is what was planted.

    Parameters
    ----------
    recipe : LungRecipe
        The look.
    tissue : Tissue
        The lung; cells keep off airways, vessels, folds, lint and blurred patches.
    shape_px : tuple of int
        (height, width) of the section.
    px_um : float
        Pixel size.
    focus_sizes : sequence of int
        Cells per focus; 1 is a solitary cell.
    rng : numpy.random.Generator
        Source of chance.
    """
    ground, bed = _Ground(recipe, tissue, shape_px, px_um), _Bed()
    waiting = sorted((int(n) for n in focus_sizes), reverse=True)
    homeless = 0
    while waiting and homeless < FULL_AFTER:
        size = waiting.pop(0)
        found = _throw(recipe, tissue, ground, bed, size, px_um, rng)
        if found is not None:
            bed.add(found)
        elif size > 1:
            waiting = sorted([*waiting, size // 2, size - size // 2], reverse=True)
        else:
            homeless += 1
    if not bed.foci:
        none = draw_cells(rng, recipe.cells, np.zeros((0, 2)))
        return Planted(none, np.zeros(0, dtype=np.int64), ground.lung_mm2)
    order = sorted(range(len(bed.foci)), key=lambda k: bed.circles[k][:2])
    foci = [bed.foci[k] for k in order]
    focus = np.repeat(np.arange(1, len(foci) + 1), [len(c) for c in foci])
    return Planted(Cells.join(foci), focus, ground.lung_mm2)


def _throw(
    recipe: LungRecipe,
    tissue: Tissue,
    ground: _Ground,
    bed: _Bed,
    size: int,
    px_um: float,
    rng: np.random.Generator,
) -> Cells | None:
    """One focus at the first place that takes it; None if no throw lands."""
    look = recipe.cells
    packed = pack(
        rng, size, spacing_um=look.packing * look.diameter_um, lobes=float(rng.uniform(0.05, 0.3))
    )
    at_origin = draw_cells(rng, look, packed)
    for _ in range(THROWS):
        y, x = rng.random(2) * ground.size_um
        if size == 1:
            on_wall = tissue.to_septa(np.array([y]), np.array([x]))
            y, x = float(on_wall[0][0]), float(on_wall[1][0])
        cells = at_origin.moved(y, x)
        s = cells.shapes
        if not ground.takes(s.y_um, s.x_um, s.reach_um) or not bed.has_room(cells):
            continue
        cells = focus_labels(cells, look, px_um=px_um)[2]
        if len(cells):
            return cells
    return None
