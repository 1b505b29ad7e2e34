"""One section of any size: drawn tile by tile, the same pixels whatever box asks for them."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, Literal, TypeVar

import numpy as np

from fociquant.model import Box
from fociquant.testing.lung import optics
from fociquant.testing.lung.canvas import Canvas
from fociquant.testing.lung.cells import Cells, Stain, clean, focus_raster, patch_box, stain
from fociquant.testing.lung.noise import sub_seed
from fociquant.testing.lung.planting import Planted, plant
from fociquant.testing.lung.recipe import LungRecipe
from fociquant.testing.lung.render import draw, margin_um
from fociquant.testing.lung.tissue import Outline, Tissue
from fociquant.testing.lung.truth import SectionTruth, section_truth

TILE_PX = 512
"""Edge of the lattice tiles a section is drawn in. A tile is always drawn whole and in the
same way, with a margin for blur; a box is put together from tiles."""

LOBE_FROM_UM = 3000.0
"""Sections at least this large show a whole lobe, smaller ones a part of it."""


Key = TypeVar("Key")
Value = TypeVar("Value")


class _Recent(Generic[Key, Value]):
    """The last few things made; holds no reference to their maker, so that it can be freed."""

    def __init__(self, size: int) -> None:
        self._size, self._kept = size, OrderedDict[Key, Value]()

    def get(self, key: Key, make: Callable[[Key], Value]) -> Value:
        """What was made for `key`, or is made now."""
        if key not in self._kept:
            if len(self._kept) >= self._size:
                self._kept.popitem(last=False)
            self._kept[key] = make(key)
        self._kept.move_to_end(key)
        return self._kept[key]


class SectionScene:
    """A section with truth.

    Parameters
    ----------
    recipe : LungRecipe
        Its look.
    shape_px : tuple of int
        (height, width), px.
    pixel_size_um : float
        Pixel size, µm.
    seed : int
        Everything random follows from it.
    focus_sizes : sequence of int
        Cells per focus to plant; 1 is a solitary cell, none: a section without cancer.
    outline : {'auto', 'lobe', 'edge', 'none'}
        A whole lobe on glass, one smooth edge, or tissue everywhere; ``auto`` shows a lobe
        from 3 mm, else an edge.

    Notes
    -----
    Cells keep off the image's border, airways, vessels, folds and blurred patches, and
    foci are at least 30 µm apart, so that truth does not depend on a rule of counting.
    """

    def __init__(
        self,
        recipe: LungRecipe,
        *,
        shape_px: tuple[int, int],
        pixel_size_um: float,
        seed: int,
        focus_sizes: Sequence[int] = (),
        outline: Literal["auto", "lobe", "edge", "none"] = "auto",
    ) -> None:
        self.recipe, self.shape_px, self.pixel_size_um, self.seed = (
            recipe, shape_px, pixel_size_um, seed,
        )  # fmt: skip
        rng = np.random.Generator(np.random.Philox(key=[sub_seed(seed, 1), 0]))
        size_um = shape_px[0] * pixel_size_um, shape_px[1] * pixel_size_um
        edge = lung_outline(outline, size_um, rng)
        self._tissue = Tissue(recipe.tissue, seed=sub_seed(seed, 2), outline=edge)
        self._planted: Planted = plant(
            recipe, self._tissue, shape_px=shape_px, px_um=pixel_size_um,
            focus_sizes=focus_sizes, rng=rng,
        )  # fmt: skip
        self._first = np.flatnonzero(np.diff(self._planted.focus, prepend=0))
        self._last = np.append(self._first[1:], len(self._planted.focus))
        self._boxes = [self._patch_box(k) for k in range(len(self._first))]
        self._tiles: _Recent[Box, np.ndarray] = _Recent(12)
        self._patches: _Recent[int, tuple[np.ndarray, Stain]] = _Recent(24)

    @property
    def box(self) -> Box:
        """The whole section."""
        return Box.of_shape(self.shape_px)

    @property
    def lung_mm2(self) -> float:
        """Area inside the lung's outline, mm²."""
        return self._planted.lung_mm2

    def render(self, box: Box) -> np.ndarray:
        """Counts of all channels in a box.

        Parameters
        ----------
        box : Box
            Any part of the section.

        Returns
        -------
        numpy.ndarray of uint16, shape (4, h, w)
            Channels as in ``recipe.CHANNELS``.

        Raises
        ------
        ValueError
            If the box leaves the section.
        """
        self._check(box)
        image = np.empty((4, *box.shape), dtype=np.uint16)
        for tile in _tiles(box):
            whole = Box(*tile, tile[0] + TILE_PX, tile[1] + TILE_PX).intersect(self.box)
            part = whole.intersect(box)
            rows, cols = part.shift(-whole.y0, -whole.x0).slices
            to_rows, to_cols = part.shift(-box.y0, -box.x0).slices
            image[:, to_rows, to_cols] = self._tile(whole)[:, rows, cols]
        return image

    def labels(self, box: Box) -> np.ndarray:
        """True outlines in a box: int32, (h, w); the cell's number in :meth:`truth`, or 0."""
        self._check(box)
        return self._labels(box)

    def truth(self) -> SectionTruth:
        """Cells and foci as tables."""
        patches = [(self._patch(k)[0], self._boxes[k]) for k in range(len(self._boxes))]
        return section_truth(
            patches, focus=self._planted.focus, ki67=self._planted.cells.ki67 > 0,
            px_um=self.pixel_size_um,
        )  # fmt: skip

    def _check(self, box: Box) -> None:
        if not self.box.contains(box):
            raise ValueError(f"{box} leaves the section of {self.shape_px} px")

    def _tile(self, tile: Box) -> np.ndarray:
        return self._tiles.get(tile, self._draw_tile)

    def _patch(self, k: int) -> tuple[np.ndarray, Stain]:
        return self._patches.get(k, self._draw_patch)

    # foci: drawn whole on their own patch, then copied to whatever asks

    def _focus_cells(self, k: int) -> Cells:
        return self._planted.cells.take(np.arange(self._first[k], self._last[k]))

    def _patch_box(self, k: int) -> Box:
        s = self._focus_cells(k).shapes
        return patch_box(s.y_um, s.x_um, s.reach_um, self.pixel_size_um)

    def _draw_patch(self, k: int) -> tuple[np.ndarray, Stain]:
        """Labels (numbers of the section) and stain of one focus, on its own patch."""
        cells, look, px_um = self._focus_cells(k), self.recipe.cells, self.pixel_size_um
        raster, origin = focus_raster(cells, look, px_um=px_um)
        local = clean(raster, cells, px_um=px_um)[0]
        shown = stain(cells, look, raster, local, origin_px=origin, px_um=px_um)
        return np.where(local > 0, local + np.int32(self._first[k]), 0).astype(np.int32), shown

    def _near(self, box: Box) -> list[int]:
        return [k for k, patch in enumerate(self._boxes) if patch.intersect(box).area > 0]

    def _labels(self, box: Box) -> np.ndarray:
        labels = np.zeros(box.shape, dtype=np.int32)
        for k in self._near(box):
            patch, part = self._boxes[k], self._boxes[k].intersect(box)
            source = self._patch(k)[0][part.shift(-patch.y0, -patch.x0).slices]
            target = labels[part.shift(-box.y0, -box.x0).slices]
            np.copyto(target, source, where=source > 0)
        return labels

    def _stains(self, box: Box) -> list[Stain]:
        return [self._patch(k)[1].moved(self._boxes[k], box) for k in self._near(box)]

    def expected(self, box: Box) -> np.ndarray:
        """Mean photo-electrons in a box, drawn at once and without noise.

        Parameters
        ----------
        box : Box
            Any part of the section; memory grows with it.

        Returns
        -------
        numpy.ndarray of float32, shape (4, h, w)
        """
        recipe, px_um = self.recipe, self.pixel_size_um
        canvas = Canvas.around(box, px_um=px_um, margin_um=margin_um(recipe, px_um))
        labels, stains = self._labels(canvas.box), self._stains(canvas.box)
        drawn = draw(recipe, self._tissue, canvas, labels, stains)
        rows, cols = box.shift(-canvas.box.y0, -canvas.box.x0).slices
        return np.ascontiguousarray(drawn.electrons[:, rows, cols])

    def _draw_tile(self, tile: Box) -> np.ndarray:
        key = [sub_seed(self.seed, 3), (tile.y0 << 32) + tile.x0]
        rng = np.random.Generator(np.random.Philox(key=key))
        return optics.expose(self.expected(tile), self.recipe.camera, rng).astype(np.uint16)


def _tiles(box: Box) -> list[tuple[int, int]]:
    """Corners of the lattice tiles that a box touches."""
    rows = range(box.y0 // TILE_PX * TILE_PX, box.y1, TILE_PX)
    cols = range(box.x0 // TILE_PX * TILE_PX, box.x1, TILE_PX)
    return list(itertools.product(rows, cols)) if box.area else []


def lung_outline(kind: str, size_um: tuple[float, float], rng: np.random.Generator) -> Outline:
    """The pleura of a section of this (height, width), see :class:`SectionScene`."""
    if kind == "auto":
        kind = "lobe" if min(size_um) >= LOBE_FROM_UM else "edge"
    if kind == "none":
        return Outline()
    middle = (0.5 * size_um[0], 0.5 * size_um[1])
    if kind == "lobe":
        half = tuple(0.5 * edge * rng.uniform(0.84, 0.94) for edge in size_um)
        return Outline(
            middle,
            (half[0], half[1]),
            wave_um=0.09 * min(size_um),
            wavelength_um=0.33 * min(size_um),
        )
    if kind != "edge":
        raise ValueError(f"unknown outline {kind!r}; one of auto, lobe, edge, none")
    far = 4000.0 + 2 * max(size_um)
    axis, side = int(rng.integers(0, 2)), float(rng.choice((-1.0, 1.0)))
    shift = [0.0, 0.0]
    shift[axis] = side * (far - size_um[axis] * rng.uniform(0.36, 0.46))
    centre = (middle[0] - shift[0], middle[1] - shift[1])
    return Outline(centre, (far, far), wave_um=0.1 * min(size_um), wavelength_um=0.7 * min(size_um))
