"""Small things of the host: nuclei, red cells, elastin fibres, lint."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from fociquant.testing.lung.canvas import Canvas
from fociquant.testing.lung.noise import hash_columns, texture_window
from fociquant.testing.lung.tissue import Tissue, TissueMaps, Tubes, lattice

PACE_UM = 0.6
"""Strands are chains of points this far apart."""

ANGLES, VARIANTS = 16, 8
"""Host nuclei are blitted from a bank of this many directions times this many looks."""


@dataclass(frozen=True)
class Points:
    """Small objects, as columns of one length.

    Parameters
    ----------
    y_um, x_um : numpy.ndarray of float64
        Centres.
    angle : numpy.ndarray of float64
        Direction of the long axis, rad.
    round : numpy.ndarray of bool
        Plump rather than flat.
    luck : numpy.ndarray of float64, shape (n, 3)
        Uniform numbers for whatever else is drawn.
    """

    y_um: np.ndarray
    x_um: np.ndarray
    angle: np.ndarray
    round: np.ndarray
    luck: np.ndarray

    def __len__(self) -> int:
        return len(self.y_um)

    def take(self, index: np.ndarray) -> Points:
        """A subset, by index or mask."""
        return Points(*(getattr(self, f.name)[index] for f in fields(self)))

    @classmethod
    def join(cls, parts: list[Points]) -> Points:
        """Several one after the other."""
        columns = (np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls))
        return cls(*columns)


def scatter(
    tissue: Tissue, canvas: Canvas, *, kind: int, spacing_um: float, pad_um: float = 0.0
) -> Points:
    """One point per cell of a jittered lattice, over the canvas and a margin."""
    i, j = lattice(canvas.bounds_um(pad_um), spacing_um)
    u = hash_columns(tissue.seed, 6, kind, i, j)
    y, x = (i + u[:, 0]) * spacing_um, (j + u[:, 1]) * spacing_um
    return Points(y, x, u[:, 2] * np.pi, np.ones(len(y), dtype=bool), u[:, 3:])


def nuclei(tissue: Tissue, canvas: Canvas, maps: TissueMaps) -> Points:
    """Host nuclei of a canvas: on septa, in consolidated tissue, round tubes."""
    look = tissue.look
    parts = [_septal(tissue, canvas, maps)]
    if maps.consolidated.max() > 0:
        dense = scatter(tissue, canvas, kind=101, spacing_um=look.parenchymal_nucleus_spacing_um)
        degree = canvas.sample(maps.consolidated, dense.y_um, dense.x_um)
        inside = canvas.sample(maps.depth, dense.y_um, dense.x_um) > 1.0
        parts.append(dense.take((dense.luck[:, 0] < 0.9 * degree**1.5) & inside))
    parts += [_round_tube(tissue, tubes) for tubes in _each(tissue.airways(canvas))]
    parts += [_round_tube(tissue, tubes) for tubes in _each(tissue.vessels(canvas))]
    found = Points.join(parts)
    found = found.take(canvas.holds(found.y_um, found.x_um))
    return found.take(canvas.sample(maps.lung, found.y_um, found.x_um) > 1)


def _septal(tissue: Tissue, canvas: Canvas, maps: TissueMaps) -> Points:
    spacing = tissue.look.septal_nucleus_spacing_um
    points = scatter(tissue, canvas, kind=100, spacing_um=spacing, pad_um=14.0)
    y, x, angle, moved = tissue.to_septa(points.y_um, points.x_um)
    flat = points.luck[:, 1] < 0.65
    angle = np.where(flat, angle, points.angle)
    near = (moved < 11.0) & canvas.holds(y, x)
    points = Points(y, x, angle, ~flat, points.luck).take(near)
    on_wall = canvas.sample(maps.depth, points.y_um, points.x_um) > 0.2
    normal = canvas.sample(maps.consolidated, points.y_um, points.x_um) < 0.6
    tube = maps.epithelium
    free = np.ones(len(points), dtype=bool)
    if tube is not None:
        free = canvas.sample(tube, points.y_um, points.x_um) < 0
    return points.take(on_wall & normal & free & (points.luck[:, 0] < 0.78))


def _each(tubes: Tubes) -> list[Tubes]:
    return [tubes.take(np.array([k])) for k in range(len(tubes))]


def _round_tube(tissue: Tissue, tube: Tubes) -> Points:
    """A row of nuclei in the wall; columnar in an airway, flat in a vessel."""
    airway = bool(tube.wall_um[0] >= tissue.look.epithelium_um)
    rng = np.random.Generator(np.random.Philox(key=int(tube.seed[0])))
    radius, wall = float(tube.radius_um[0]), float(tube.wall_um[0])
    nucleus = tissue.look.nucleus_um
    n = max(5, int(2 * np.pi * (radius + wall / 2) / (nucleus * (0.82 if airway else 2.2))))
    theta = (np.arange(n) + 0.5 * rng.random(n)) * 2 * np.pi / n
    waves = tube.waves[0]
    k = np.arange(2, 5)[:, None] * theta
    rim = radius * (1 + (waves[::2, None] * np.cos(k) + waves[1::2, None] * np.sin(k)).sum(axis=0))
    place = (0.60 if airway else 0.5) + 0.12 * rng.standard_normal(n)
    r = rim + wall * place
    y, x = tube.y_um[0] + r * np.sin(theta), tube.x_um[0] + r * np.cos(theta)
    angle = theta if airway else theta + np.pi / 2
    return Points(y, x, angle % np.pi, np.full(n, airway), rng.random((n, 3)))


@lru_cache(maxsize=8)
def nucleus_bank(nucleus_um: float, px_um: float) -> np.ndarray:
    """Small pictures of host nuclei: (2 kinds, ANGLES, VARIANTS, k, k), float32 in [0, 1.6].

    Kind 0 is flat (endothelium, type I cells), kind 1 plump. Bright chromocentres
    are what mouse nuclei show with DAPI.
    """
    radius = 0.5 * nucleus_um / px_um
    half = int(np.ceil(radius * 1.8)) + 1
    axis = np.arange(-half, half + 1, dtype=np.float32)
    dy, dx = axis[:, None], axis[None, :]
    bank = np.empty((2, ANGLES, VARIANTS, axis.size, axis.size), dtype=np.float32)
    rng = np.random.Generator(np.random.Philox(key=77))
    for kind in range(2):
        for a in range(ANGLES):
            c, s = np.cos(np.pi * a / ANGLES), np.sin(np.pi * a / ANGLES)
            along, across = dx * c + dy * s, dy * c - dx * s
            for v in range(VARIANTS):
                stretch = (1.5 + 0.3 * rng.random(), 1.0 + 0.35 * rng.random())[kind]
                size = radius * (0.85 + 0.3 * rng.random())
                u = np.sqrt(
                    (along / (size * stretch**0.5)) ** 2 + (across * stretch**0.5 / size) ** 2
                )
                body = np.clip((1 - u) * size * 0.9 + 0.5, 0, 1)
                bank[kind, a, v] = body * _chromatin(rng, axis.size, size)
    return bank


def _chromatin(rng: np.random.Generator, k: int, radius_px: float) -> np.ndarray:
    """Texture of a nucleus with a few bright chromocentres; mean about 0.8."""
    y, x = rng.integers(0, 700, 2)
    fine = texture_window(int(y), int(x), (k, k), scale_px=max(0.7, 0.22 * radius_px))
    spots = texture_window(
        int(x), int(y), (k, k), scale_px=max(0.7, 0.13 * radius_px), granular=True
    )
    return np.clip(0.78 + 0.10 * fine + 0.13 * np.clip(spots, 0, 4), 0.3, 1.6)


def paint_nuclei(
    points: Points,
    canvas: Canvas,
    *,
    nucleus_um: float,
    targets: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    """Blit nuclei into several planes, the brighter one staying on top.

    Parameters
    ----------
    points : Points
        Where.
    canvas : Canvas
        Grid of the planes.
    nucleus_um : float
        Mean diameter.
    targets : list of (plane, weight)
        Planes of the canvas's shape, changed in place, with one weight per nucleus;
        weight 0 leaves the plane alone.
    """
    bank = nucleus_bank(nucleus_um, canvas.px_um)
    half = bank.shape[-1] // 2
    y, x = canvas.to_px(points.y_um, points.x_um)
    iy, ix = np.floor(y).astype(int) - half, np.floor(x).astype(int) - half
    kind = points.round.astype(int)
    angle = np.rint(points.angle * ANGLES / np.pi).astype(int) % ANGLES
    variant = (points.luck[:, 1] * 7919).astype(int) % VARIANTS
    for k in range(len(points)):
        stamp = bank[kind[k], angle[k], variant[k]]
        for plane, weight in targets:
            if weight[k] > 0:
                blit_max(plane, stamp * np.float32(weight[k]), iy[k], ix[k])


def blit_max(plane: np.ndarray, stamp: np.ndarray, y: int, x: int) -> None:
    """Put a stamp with its corner at (y, x); the larger value stays."""
    y0, x0 = max(0, y), max(0, x)
    y1, x1 = min(plane.shape[0], y + stamp.shape[0]), min(plane.shape[1], x + stamp.shape[1])
    if y0 < y1 and x0 < x1:
        here = plane[y0:y1, x0:x1]
        np.maximum(here, stamp[y0 - y : y1 - y, x0 - x : x1 - x], out=here)


@lru_cache(maxsize=8)
def _red_cell_bank(px_um: float) -> np.ndarray:
    """Red cells, 5-7 µm, seen flat (paler centre) or on edge; (24, k, k) float32."""
    rng = np.random.Generator(np.random.Philox(key=78))
    half = int(np.ceil(4.0 / px_um)) + 1
    axis = np.arange(-half, half + 1, dtype=np.float32) * px_um
    dy, dx = axis[:, None], axis[None, :]
    bank = []
    for _ in range(24):
        angle, radius = rng.random() * np.pi, 2.6 + 0.8 * rng.random()
        squeeze = 1.0 if rng.random() < 0.65 else 1.3 + 0.7 * rng.random()
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = (dy * np.cos(angle) - dx * np.sin(angle)) * squeeze
        u = np.sqrt(along**2 + across**2) / radius
        body = np.clip((1 - u) * radius / px_um + 0.5, 0, 1)
        bank.append(body * (0.62 + 0.38 * np.clip(u, 0, 1) ** 2) * (0.7 + 0.4 * rng.random()))
    return np.asarray(bank, dtype=np.float32)


def red_cells(tissue: Tissue, canvas: Canvas, maps: TissueMaps) -> Points:
    """Red cells: crowded in vessels, single ones in capillaries."""
    fill = tissue.look.red_cell_fill
    found = []
    crowd = scatter(tissue, canvas, kind=120, spacing_um=5.0)
    depth = canvas.sample(maps.lumen, crowd.y_um, crowd.x_um)
    keep = (depth > 1.5) & (crowd.luck[:, 0] < fill)
    crowd = crowd.take(keep)
    found.append(crowd.take(_in_vessel(tissue, canvas, crowd)))
    stray = scatter(tissue, canvas, kind=121, spacing_um=26.0)
    on_wall = canvas.sample(maps.depth, stray.y_um, stray.x_um) > 0.3
    found.append(stray.take(on_wall & (stray.luck[:, 0] < 0.35)))
    return Points.join(found)


def _in_vessel(tissue: Tissue, canvas: Canvas, points: Points) -> np.ndarray:
    vessels = tissue.vessels(canvas)
    inside = np.zeros(len(points), dtype=bool)
    for y, x, reach, seed in zip(
        vessels.y_um, vessels.x_um, vessels.reach_um, vessels.seed, strict=True
    ):
        full = seed % 10 < 8  # the others were washed empty
        inside |= full & (np.hypot(points.y_um - y, points.x_um - x) < reach)
    return inside


def paint_red_cells(points: Points, canvas: Canvas, plane: np.ndarray) -> None:
    """Blit red cells into the plane of bright autofluorescence."""
    bank = _red_cell_bank(canvas.px_um)
    half = bank.shape[-1] // 2
    y, x = canvas.to_px(points.y_um, points.x_um)
    pick = (points.luck[:, 1] * 9973).astype(int) % len(bank)
    for k in range(len(points)):
        blit_max(plane, bank[pick[k]], int(np.floor(y[k])) - half, int(np.floor(x[k])) - half)


def strands(
    tissue: Tissue,
    canvas: Canvas,
    *,
    kind: int,
    per_mm2: float,
    length_um: tuple[float, float],
    bend: float,
) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Curved lines (fibres, lint) as chains of points: (y_um, x_um, luck) each."""
    if per_mm2 <= 0:
        return []
    spacing = 1000.0 / np.sqrt(per_mm2)
    points = scatter(tissue, canvas, kind=kind, spacing_um=spacing, pad_um=length_um[1])
    chains = []
    for k in range(len(points)):
        length = length_um[0] * (length_um[1] / length_um[0]) ** points.luck[k, 0]
        if not canvas.holds(points.y_um[k], points.x_um[k], length):
            continue
        t = np.arange(0, length, PACE_UM)
        heading = 2 * points.angle[k] + _curl(t, bend, points.luck[k])
        y = points.y_um[k] + np.cumsum(np.sin(heading)) * PACE_UM
        x = points.x_um[k] + np.cumsum(np.cos(heading)) * PACE_UM
        chains.append((y, x, float(points.luck[k, 2])))
    return chains


def lint(
    tissue: Tissue, canvas: Canvas, *, per_mm2: float
) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Lint and dust that may touch the canvas, as for :func:`strands`."""
    return strands(tissue, canvas, kind=150, per_mm2=per_mm2, length_um=(3, 420), bend=0.7)


def _curl(t_um: np.ndarray, bend: float, luck: np.ndarray) -> np.ndarray:
    """Heading along a strand, rad: a steady bend, and waves of irregular length."""
    steady = bend * 2 * (luck[1] - 0.5) * t_um / 60.0
    waves = (23.0 + 40 * luck[2], 9.0 + 13 * luck[1])
    turns = (np.sin(t_um / wave + 40 * luck[1]) for wave in waves)
    return steady + bend * sum(a * turn for a, turn in zip((0.5, 0.25), turns, strict=True))


def paint_strand(
    chain: tuple[np.ndarray, np.ndarray, float],
    canvas: Canvas,
    plane: np.ndarray,
    *,
    width_um: float,
    level: float,
) -> None:
    """A chain of soft dots of the given width (Gaussian sigma)."""
    y, x = canvas.to_px(chain[0], chain[1])
    sigma = max(0.5, width_um / canvas.px_um)
    half = int(np.ceil(2.5 * sigma))
    axis = np.arange(-half, half + 1, dtype=np.float32)
    dot = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None, :] ** 2) / sigma**2) * np.float32(level)
    stride = max(1, int(0.6 * sigma * canvas.px_um / PACE_UM))
    for py, px in zip(
        np.floor(y[::stride]).astype(int), np.floor(x[::stride]).astype(int), strict=True
    ):
        blit_max(plane, dot, int(py) - half, int(px) - half)
