"""Random small scenes with cell labels, made quickly: training material for a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fociquant.model import Box
from fociquant.testing.lung import optics
from fociquant.testing.lung.canvas import Canvas
from fociquant.testing.lung.cells import MIN_VISIBLE, Cells, clean, draw_cells, pack, stain
from fociquant.testing.lung.randomise import draw_recipe
from fociquant.testing.lung.recipe import LungRecipe
from fociquant.testing.lung.render import draw, margin_um
from fociquant.testing.lung.shapes import rasterise
from fociquant.testing.lung.tissue import Outline, Tissue

EMPTY_FRACTION = 0.2
"""Scenes without any labelled cell: hard negatives of every kind."""

DIAMETER_PX = (8.0, 60.0)
"""Range of cell diameters, px; three quarters of the scenes lie within 14-36."""

GRANULAR = 0.25
"""With a larger share of the marker in grains, a cell looks like a macrophage."""

MAX_CELLS = 700
"""A scene never holds more cells."""


@dataclass(frozen=True)
class TrainingScene:
    """One scene for training.

    Parameters
    ----------
    image : numpy.ndarray of float32, shape (4, h, w)
        Raw counts; channels as in ``recipe.CHANNELS``.
    labels : numpy.ndarray of int32, shape (h, w)
        Outlines of cancer cells, membrane included, 1 … n without gaps; 0 elsewhere.
    ignore : numpy.ndarray of bool, shape (h, w)
        Autofluorescent macrophages where the marker is granular too: neither right nor
        wrong. Elsewhere a macrophage is a hard negative, known by its grains.
    recipe : LungRecipe
        What the scene was made from.
    pixel_size_um : float
        Pixel size, µm.
    """

    image: np.ndarray
    labels: np.ndarray
    ignore: np.ndarray
    recipe: LungRecipe
    pixel_size_um: float


def training_scene(rng: np.random.Generator, shape: tuple[int, int] = (512, 512)) -> TrainingScene:
    """One random scene.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all chance: the same state gives the same scene.
    shape : tuple of int
        (height, width), px.

    Returns
    -------
    TrainingScene
        About a fifth of them without labelled cells; the others with solitary
        cells, clusters and dense foci whose membranes touch.
    """
    recipe = draw_recipe(rng)
    low, high = DIAMETER_PX if rng.random() < 0.25 else (14.0, 36.0)
    px_um = recipe.cells.diameter_um / float(low * (high / low) ** rng.random())
    y0, x0 = (int(v) for v in rng.integers(0, 1 << 20, 2))
    box = Box(y0, x0, y0 + shape[0], x0 + shape[1])
    tissue = Tissue(
        recipe.tissue, seed=int(rng.integers(0, 2**62)), outline=_outline(rng, box, px_um)
    )
    canvas = Canvas.around(box, px_um=px_um, margin_um=margin_um(recipe, px_um))
    cells = _cells(rng, recipe, tissue, box, px_um)
    labels, stained = _draw_cells(recipe, cells, canvas)
    drawn = draw(recipe, tissue, canvas, labels, stained)
    core = box.shift(-canvas.box.y0, -canvas.box.x0).slices
    electrons = np.ascontiguousarray(drawn.electrons[:, *core])
    image = optics.expose(electrons, recipe.camera, rng)
    alike = recipe.cells.puncta > GRANULAR
    return TrainingScene(
        image, _consecutive(labels[core]), drawn.macrophages[core] & alike, recipe, px_um
    )


def _outline(rng: np.random.Generator, box: Box, px_um: float) -> Outline:
    """One scene in four shows the pleura; the others are all lung."""
    if rng.random() > 0.25:
        return Outline()
    size = 2500.0
    angle = rng.random() * 2 * np.pi
    middle = [px_um * 0.5 * (box.y0 + box.y1), px_um * 0.5 * (box.x0 + box.x1)]
    away = size * rng.uniform(0.92, 1.02)
    centre = middle[0] + away * np.sin(angle), middle[1] + away * np.cos(angle)
    return Outline(centre, (size, size), wave_um=float(rng.uniform(5, 40)))


def _cells(
    rng: np.random.Generator, recipe: LungRecipe, tissue: Tissue, box: Box, px_um: float
) -> Cells | None:
    """Solitary cells, clusters and foci anywhere on the scene; None for an empty one."""
    if rng.random() < EMPTY_FRACTION:
        return None
    look = recipe.cells
    room = min(MAX_CELLS, int(0.6 * box.area * px_um**2 / (0.7 * look.diameter_um**2)) + 1)
    centres = []
    for size in _group_sizes(rng, room):
        spread = look.packing * rng.uniform(0.95, 1.06)
        packed = pack(rng, size, spacing_um=look.diameter_um * spread, lobes=rng.uniform(0, 0.35))
        centres.append(packed + _somewhere(rng, tissue, box, px_um))
    return draw_cells(rng, look, np.concatenate(centres))


def _somewhere(rng: np.random.Generator, tissue: Tissue, box: Box, px_um: float) -> np.ndarray:
    """A place on the scene, µm (y, x); in the lung, if one of eight throws falls on it."""
    at = (rng.random((8, 2)) * box.shape + (box.y0, box.x0)) * px_um
    inside = tissue.inside_lung_um(at[:, 0], at[:, 1]) > 8
    return at[int(np.argmax(inside))]


def _group_sizes(rng: np.random.Generator, room: int) -> list[int]:
    """How many cells each group holds; their sum is at most `room`."""
    kind = rng.choice(4, p=(0.25, 0.25, 0.3, 0.2))
    solitary = int(rng.integers(1, 12))
    sizes = [1] * solitary
    if kind in (1, 3):
        sizes += [int(n) for n in rng.integers(2, 10, rng.integers(1, 6))]
    if kind in (2, 3):
        sizes += [int(10 * 50 ** rng.random()) for _ in range(rng.integers(1, 4))]
    kept: list[int] = []
    for size in sizes:
        size = min(size, room - sum(kept))
        if size > 0:
            kept.append(size)
    return kept or [1]


def _draw_cells(recipe: LungRecipe, cells: Cells | None, canvas: Canvas) -> tuple[np.ndarray, list]:
    """Labels of the visible cells on the canvas, and what they emit."""
    if cells is None:
        return np.zeros(canvas.shape, dtype=np.int32), []
    look, px_um = recipe.cells, canvas.px_um
    origin = (canvas.box.y0, canvas.box.x0)
    for _ in range(3):
        reach = cells.shapes.reach_um.max()
        cells = cells.take(canvas.holds(cells.shapes.y_um, cells.shapes.x_um, reach))
        if not len(cells):
            return np.zeros(canvas.shape, dtype=np.int32), []
        raster = rasterise(
            cells.shapes, origin_px=origin, shape_px=canvas.shape, px_um=px_um,
            roughness=look.roughness,
        )  # fmt: skip
        labels, visible = clean(raster, cells, px_um=px_um)
        whole = canvas.holds(cells.shapes.y_um, cells.shapes.x_um, -reach)
        hidden = (visible < MIN_VISIBLE) & (whole | (visible == 0))
        if not hidden.any():
            break
        cells = cells.take(~hidden)
    return labels, [stain(cells, look, raster, labels, origin_px=origin, px_um=px_um)]


def _consecutive(labels: np.ndarray) -> np.ndarray:
    """Labels renamed 1 … n without gaps."""
    present = np.zeros(int(labels.max()) + 1, dtype=bool)
    present[labels.ravel()] = True
    present[0] = False
    names = np.cumsum(present).astype(np.int32)
    names[0] = 0
    return names[labels]
