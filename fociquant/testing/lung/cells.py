"""Cancer cells: packing into foci, outlines, and what they look like."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.spatial import cKDTree
from skimage.measure import label as connected

from fociquant.model import Box
from fociquant.testing.lung.noise import TEXTURE_PX, texture_window
from fociquant.testing.lung.recipe import CellLook
from fociquant.testing.lung.shapes import Raster, Shapes, draw_waves, rasterise


@dataclass(frozen=True)
class Cells:
    """Many cells: outlines and looks, as columns of one length.

    Parameters
    ----------
    shapes : Shapes
        Outlines, membrane included.
    gain : numpy.ndarray of float32
        Marker brightness relative to the recipe's.
    cap_angle : numpy.ndarray of float32
        Side on which a capped marker sits, rad.
    nucleus : numpy.ndarray of float32, shape (n, 5)
        Offset (y, x), half axes (both relative to the radius), angle; half axis 0: none.
    nucleus_gain : numpy.ndarray of float32
        Nuclear stain relative to the recipe's.
    ki67 : numpy.ndarray of float32
        Ki67 level relative to the recipe's; 0 is negative.
    """

    shapes: Shapes
    gain: np.ndarray
    cap_angle: np.ndarray
    nucleus: np.ndarray
    nucleus_gain: np.ndarray
    ki67: np.ndarray

    def __len__(self) -> int:
        return len(self.gain)

    def take(self, index: np.ndarray) -> Cells:
        """A subset, by index or mask."""
        rest = (getattr(self, f.name)[index] for f in fields(self) if f.name != "shapes")
        return Cells(self.shapes.take(index), *rest)

    def moved(self, dy_um: float, dx_um: float) -> Cells:
        """The same cells elsewhere."""
        s = self.shapes
        return replace(self, shapes=replace(s, y_um=s.y_um + dy_um, x_um=s.x_um + dx_um))

    @classmethod
    def join(cls, parts: list[Cells]) -> Cells:
        """Several one after the other."""
        names = [f.name for f in fields(cls) if f.name != "shapes"]
        rest = (np.concatenate([getattr(p, name) for p in parts]) for name in names)
        return cls(Shapes.join([p.shapes for p in parts]), *rest)


def pack(rng: np.random.Generator, n: int, *, spacing_um: float, lobes: float) -> np.ndarray:
    """Centres of `n` cells packed into a blob round (0, 0), µm.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    n : int
        Number of cells, >= 1.
    spacing_um : float
        Aimed distance of neighbouring centres.
    lobes : float
        How far the blob departs from a disc: 0 a disc, 0.3 lobed and elongated.

    Returns
    -------
    numpy.ndarray of float64, shape (n, 2)
    """
    if n == 1:
        return np.zeros((1, 2))
    reach = int(np.ceil(np.sqrt(n) * 0.9 * (1 + 2 * lobes))) + 2
    i, j = (g.ravel() for g in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    points = np.stack([i * 0.8660, j + 0.5 * (i % 2)], axis=1) + rng.random(2)
    points = points @ _rotation(rng.random() * np.pi)
    points += 0.22 * rng.standard_normal(points.shape)
    theta = np.arctan2(points[:, 0], points[:, 1])
    rim = 1 + sum(
        lobes * rng.standard_normal() * np.cos(k * theta + 6.28 * rng.random()) / np.sqrt(k)
        for k in (2, 3, 5)
    )
    order = np.argsort(np.hypot(*points.T) / np.maximum(rim, 0.35), kind="stable")
    return _relax(points[order[:n]]) * spacing_um


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _relax(points: np.ndarray) -> np.ndarray:
    """Push apart what is closer than 0.9; a few rounds hide the lattice."""
    for _ in range(3):
        pairs = cKDTree(points).query_pairs(0.92, output_type="ndarray")
        if not len(pairs):
            break
        pairs = pairs[np.lexsort(pairs.T[::-1])]
        gap = points[pairs[:, 1]] - points[pairs[:, 0]]
        length = np.maximum(np.hypot(gap[:, 0], gap[:, 1]), 1e-6)[:, None]
        push = gap / length * (0.92 - length) * 0.5
        for axis in (0, 1):
            points[:, axis] -= np.bincount(pairs[:, 0], push[:, axis], len(points))
            points[:, axis] += np.bincount(pairs[:, 1], push[:, axis], len(points))
    return points


def draw_cells(
    rng: np.random.Generator,
    look: CellLook,
    centres_um: np.ndarray,
    *,
    ki67: np.ndarray | None = None,
) -> Cells:
    """Cells at these centres, (n, 2) in µm, each with its own outline and look.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    look : CellLook
        What they have in common.
    centres_um : numpy.ndarray of float64, shape (n, 2)
        (y, x) of the centres.
    ki67 : numpy.ndarray of bool, optional
        Which are positive; default drawn with the look's fraction.
    """
    n = len(centres_um)
    radius = 0.5 * look.diameter_um * np.exp(look.diameter_cv * rng.standard_normal(n))
    radius = np.clip(radius, 0.6 * 0.5 * look.diameter_um, 1.6 * 0.5 * look.diameter_um)
    waves = draw_waves(rng, n, elongation=look.elongation, irregularity=look.irregularity)
    shapes = Shapes(
        centres_um[:, 0].astype(np.float64), centres_um[:, 1].astype(np.float64), radius, waves,
        rng.integers(0, TEXTURE_PX, (n, 2)),
    )  # fmt: skip
    positive = rng.random(n) < look.ki67_fraction if ki67 is None else ki67
    level = (0.65 + 0.6 * rng.random(n)) * positive
    return Cells(
        shapes,
        np.clip(np.exp(look.brightness_cv * rng.standard_normal(n)), 0.45, 3).astype(np.float32),
        (rng.random(n) * 2 * np.pi).astype(np.float32),
        _draw_nuclei(rng, look, n),
        (0.75 + 0.5 * rng.random(n)).astype(np.float32),
        level.astype(np.float32),
    )


def _draw_nuclei(rng: np.random.Generator, look: CellLook, n: int) -> np.ndarray:
    half = np.clip(look.nucleus_fraction * (1 + 0.12 * rng.standard_normal(n)), 0.3, 0.8)
    squeeze = np.exp(0.14 * rng.standard_normal(n))
    away = np.minimum(0.12, 0.9 - half)[:, None] * rng.uniform(-1, 1, (n, 2))
    half[rng.random(n) < look.nucleus_missing_fraction] = 0
    angle = rng.random(n) * np.pi
    return np.column_stack([away, half * squeeze, half / squeeze, angle]).astype(np.float32)


def clean(raster: Raster, cells: Cells, *, px_um: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels of one piece each, and which cells have enough area of their own.

    Returns
    -------
    labels : numpy.ndarray of int32
        As ``raster.owner`` without split-off fragments.
    visible : numpy.ndarray of float64, shape (n,)
        Area shown over the area of the whole outline, about 0-1.
    """
    owner = raster.owner
    pieces = connected(owner, connectivity=1, background=0)
    area = np.bincount(pieces.ravel())
    area[0] = 0
    first = np.zeros(len(area), dtype=np.int64)
    first[pieces.ravel()] = owner.ravel()
    order = np.lexsort((np.arange(len(area)), area))
    largest = np.zeros(len(cells) + 1, dtype=np.int64)
    largest[first[order]] = order
    labels = np.where(largest[owner] == pieces, owner, 0).astype(np.int32)
    shown = np.bincount(labels.ravel(), minlength=len(cells) + 1)[1:] * px_um**2
    return labels, shown / (np.pi * cells.shapes.radius_um**2)


def focus_labels(
    cells: Cells, look: CellLook, *, px_um: float
) -> tuple[np.ndarray, tuple[int, int], Cells]:
    """Draw one focus whole, drop cells hidden by neighbours, and return what is left.

    Returns
    -------
    labels : numpy.ndarray of int32, shape (h, w)
        1 … n on the focus's own patch.
    origin_px : tuple of int
        Global pixel of the patch's corner.
    cells : Cells
        Those with a label.
    """
    for _ in range(4):
        raster, origin = focus_raster(cells, look, px_um=px_um)
        labels, visible = clean(raster, cells, px_um=px_um)
        if (visible >= MIN_VISIBLE).all():
            break
        cells = cells.take(visible >= MIN_VISIBLE)
    return labels, origin, cells


MIN_VISIBLE = 0.35
"""A cell that shows less of itself, hidden by neighbours, does not exist."""


def patch_box(y_um: np.ndarray, x_um: np.ndarray, reach_um: np.ndarray, px_um: float) -> Box:
    """Global pixels that hold all of these shapes."""
    low = [int(np.floor((c - reach_um).min() / px_um)) - 2 for c in (y_um, x_um)]
    high = [int(np.ceil((c + reach_um).max() / px_um)) + 2 for c in (y_um, x_um)]
    return Box(low[0], low[1], high[0], high[1])


def focus_raster(cells: Cells, look: CellLook, *, px_um: float) -> tuple[Raster, tuple[int, int]]:
    """The raster of one focus on its own patch, and the patch's corner (global px)."""
    s = cells.shapes
    box = patch_box(s.y_um, s.x_um, s.reach_um, px_um)
    origin, shape = (box.y0, box.x0), box.shape
    raster = rasterise(s, origin_px=origin, shape_px=shape, px_um=px_um, roughness=look.roughness)
    return raster, origin


@dataclass(frozen=True)
class Stain:
    """What labelled pixels of cells emit, as flat arrays over the pixels of `index`.

    Parameters
    ----------
    index : numpy.ndarray of int64
        Flat pixel indices.
    marker, nucleus, ki67, body : numpy.ndarray of float32
        Relative light; `body` is 1 inside.
    """

    index: np.ndarray
    marker: np.ndarray
    nucleus: np.ndarray
    ki67: np.ndarray
    body: np.ndarray

    def moved(self, source: Box, target: Box) -> Stain:
        """The part that falls on another box, with indices of that box."""
        rows = self.index // source.shape[1] + (source.y0 - target.y0)
        cols = self.index % source.shape[1] + (source.x0 - target.x0)
        height, width = target.shape
        inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
        values = (a[inside] for a in (self.marker, self.nucleus, self.ki67, self.body))
        return Stain((rows * width + cols)[inside], *values)


def stain(
    cells: Cells,
    look: CellLook,
    raster: Raster,
    labels: np.ndarray,
    *,
    origin_px: tuple[int, int],
    px_um: float,
) -> Stain:
    """Marker, nucleus and Ki67 of the labelled pixels of a raster."""
    index = np.flatnonzero(labels)
    who = labels.ravel()[index] - 1
    shapes, width = cells.shapes, labels.shape[1]
    radius = shapes.radius_um.astype(np.float32)[who]
    dy = ((index // width + origin_px[0] + 0.5) * px_um - shapes.y_um[who]).astype(np.float32)
    dx = ((index % width + origin_px[1] + 0.5) * px_um - shapes.x_um[who]).astype(np.float32)
    dy /= radius
    dx /= radius
    best, second = raster.best.ravel()[index], raster.second.ravel()[index]
    depth = np.minimum(1 - best, 0.5 * (second - best)) * radius
    nucleus, grain = _nucleus(
        cells, who, dy, dx, radius, labels.shape, index, origin_px, px_um,
        diameter_um=look.diameter_um)  # fmt: skip
    sigma = np.float32(max(look.membrane_um, 0.45 * px_um))
    ring = np.exp(-0.5 * ((depth - 0.8 * sigma) / sigma) ** 2)
    side = dx * np.cos(cells.cap_angle)[who] + dy * np.sin(cells.cap_angle)[who]
    ring *= np.clip(1 + look.cap * (1.6 * side - 0.4), 0.05, None)
    cytoplasm = (look.cytoplasm * (1 - 0.7 * nucleus)) * (1 + 0.15 * grain)
    scale = 0.045 * look.diameter_um / px_um
    spots = texture_window(
        origin_px[0] + 91, origin_px[1] + 17, labels.shape, scale_px=max(0.7, scale), granular=True
    ).ravel()[index]
    puncta = look.puncta * np.clip(spots, 0, 5) * (1 - 0.8 * nucleus)
    patchy = texture_window(
        origin_px[0] + 233, origin_px[1] + 57, labels.shape, scale_px=0.1 * look.diameter_um / px_um
    ).ravel()[index]
    ring *= np.clip(1 + 0.28 * patchy + 0.12 * grain, 0.1, None)
    marker = (look.membrane * ring + cytoplasm + puncta) * cells.gain[who]
    glow = nucleus * (0.85 + 0.16 * grain)
    return Stain(
        index, marker, glow * cells.nucleus_gain[who], glow * cells.ki67[who], np.ones_like(marker)
    )


def _nucleus(
    cells: Cells,
    who: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    radius: np.ndarray,
    shape: tuple[int, int],
    index: np.ndarray,
    origin_px: tuple[int, int],
    px_um: float,
    *,
    diameter_um: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Nuclear body (0-1) and chromatin texture at labelled pixels."""
    scale = max(0.7, 0.065 * diameter_um / px_um)
    grain = texture_window(origin_px[0], origin_px[1], shape, scale_px=scale).ravel()[index]
    parts = cells.nucleus
    ny, nx = dy - parts[who, 0], dx - parts[who, 1]
    c, s = np.cos(parts[:, 4])[who], np.sin(parts[:, 4])[who]
    a, b = np.maximum(parts[who, 2], 1e-3), np.maximum(parts[who, 3], 1e-3)
    u = np.sqrt(((nx * c + ny * s) / a) ** 2 + ((ny * c - nx * s) / b) ** 2)
    sharp = a * radius / px_um
    body = np.clip((1 - u + 0.03 * grain) * sharp * 0.8 + 0.5, 0, 1)
    return np.where(parts[who, 2] > 0, body, 0).astype(np.float32), grain
