"""Where tissue is: septa, consolidation, airways, vessels, the pleura. Coarse maps, in µm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from scipy.spatial import cKDTree

from fociquant.testing.lung.canvas import Canvas, window
from fociquant.testing.lung.noise import hash_columns, noise_at, noise_grid, sub_seed
from fociquant.testing.lung.recipe import TissueLook
from fociquant.testing.lung.shapes import outline_factor

FAR_UM = 1e4


@dataclass(frozen=True)
class Outline:
    """The lung's smooth outer edge: a wavy superellipse, or nothing (all tissue).

    Parameters
    ----------
    centre_um, half_um : tuple of float
        (y, x) centre and half axes; ``None`` half axes mean tissue everywhere.
    wave_um, wavelength_um : float
        Amplitude and length of the waves.
    """

    centre_um: tuple[float, float] = (0.0, 0.0)
    half_um: tuple[float, float] | None = None
    wave_um: float = 0.0
    wavelength_um: float = 260.0

    def inside_um(
        self, y: np.ndarray, x: np.ndarray, long: np.ndarray, short: np.ndarray
    ) -> np.ndarray:
        """About the distance inside the outline, µm; negative on glass."""
        if self.half_um is None:
            return np.full(np.broadcast(y, x).shape, FAR_UM, dtype=np.float32)
        dy = np.abs(y - self.centre_um[0]) / self.half_um[0]
        dx = np.abs(x - self.centre_um[1]) / self.half_um[1]
        rho = (dy**2.4 + dx**2.4) ** (1 / 2.4)
        size = min(self.half_um)
        return ((1 - rho) * size + self.wave_um * 2 * (long - 0.5) + 8 * (short - 0.5)).astype(
            np.float32
        )


@dataclass(frozen=True)
class Tubes:
    """Airways or vessels cut across: centre, lumen radius, outline harmonics, wall."""

    y_um: np.ndarray
    x_um: np.ndarray
    radius_um: np.ndarray
    wall_um: np.ndarray
    waves: np.ndarray
    seed: np.ndarray

    def __len__(self) -> int:
        return len(self.y_um)

    def take(self, index: np.ndarray) -> Tubes:
        """A subset, by index or mask."""
        return Tubes(
            self.y_um[index],
            self.x_um[index],
            self.radius_um[index],
            self.wall_um[index],
            self.waves[index],
            self.seed[index],
        )

    @property
    def reach_um(self) -> np.ndarray:
        """Outer radius with everything, µm."""
        return self.radius_um * (1 + np.abs(self.waves).sum(axis=1)) + self.wall_um + 10


@dataclass(frozen=True)
class TissueMaps:
    """Coarse maps of one canvas; float32, one value per node.

    Parameters
    ----------
    depth : numpy.ndarray
        Depth inside tissue, µm; negative in air and on glass.
    consolidated : numpy.ndarray
        0-1.
    epithelium : numpy.ndarray or None
        Depth inside airway epithelium, µm; None without an airway.
    vessel_wall : numpy.ndarray or None
        Depth inside a vessel's wall, µm; None without a vessel.
    lung : numpy.ndarray
        Depth inside the lung's outline, µm.
    lumen : numpy.ndarray
        Depth inside the lumen of an airway or a vessel, µm; negative outside.
    """

    depth: np.ndarray
    consolidated: np.ndarray
    epithelium: np.ndarray | None
    vessel_wall: np.ndarray | None
    lung: np.ndarray
    lumen: np.ndarray


class Tissue:
    """The lung of one section as a function of position.

    Parameters
    ----------
    look : TissueLook
        Its parameters.
    seed : int
        Names the section.
    outline : Outline
        The pleura.
    """

    def __init__(self, look: TissueLook, *, seed: int, outline: Outline) -> None:
        self.look, self.seed, self.outline = look, seed, outline

    def maps(self, canvas: Canvas) -> TissueMaps:
        """All coarse maps of a canvas."""
        lung = self._lung(canvas)
        consolidated = self.consolidated_grid(canvas.node_y, canvas.node_x)
        depth = self._septa(canvas, consolidated)
        pleura = 2.5 - np.abs(lung - 2.5)
        depth = np.maximum(np.minimum(depth, lung), pleura)
        lumen = np.full(depth.shape, -FAR_UM, dtype=np.float32)
        epithelium = self._carve(canvas, self.airways(canvas), depth, lumen, lung)
        vessel_wall = self._carve(canvas, self.vessels(canvas), depth, lumen, lung)
        return TissueMaps(depth, consolidated, epithelium, vessel_wall, lung, lumen)

    def _lung(self, canvas: Canvas) -> np.ndarray:
        ys, xs = canvas.node_y, canvas.node_x
        long = noise_grid(ys, xs, self.outline.wavelength_um, sub_seed(self.seed, 1))
        short = noise_grid(ys, xs, 70.0, sub_seed(self.seed, 2))
        return self.outline.inside_um(ys[:, None], xs[None, :], long, short)

    def inside_lung_um(self, y_um: np.ndarray, x_um: np.ndarray) -> np.ndarray:
        """Depth inside the lung's outline at points, µm."""
        long = noise_at(y_um, x_um, self.outline.wavelength_um, sub_seed(self.seed, 1))
        short = noise_at(y_um, x_um, 70.0, sub_seed(self.seed, 2))
        return self.outline.inside_um(y_um, x_um, long, short)

    @cached_property
    def _threshold(self) -> float | None:
        fraction = self.look.consolidated_fraction
        if fraction <= 0:
            return None
        return 0.5 + 0.15 * NormalDist().inv_cdf(float(np.clip(1 - fraction, 1e-3, 1 - 1e-3)))

    def consolidated_grid(self, ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
        """Degree of consolidation (0-1) at the crossings of `ys` and `xs`."""
        if self._threshold is None:
            return np.zeros((len(ys), len(xs)), dtype=np.float32)
        scale = self.look.consolidated_patch_um
        big = noise_grid(ys, xs, 0.8 * scale, sub_seed(self.seed, 3))
        small = noise_grid(ys, xs, scale / 3.7, sub_seed(self.seed, 4))
        return _step((0.75 * big + 0.25 * small - self._threshold) / 0.08)

    # septa: borders between the nearest two of a jittered lattice of air spaces

    def _air_spaces(
        self, bounds: tuple[float, float, float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Centres of air spaces in warped coordinates, µm."""
        a = self.look.alveolus_um
        i, j = lattice(bounds, a)
        u = hash_columns(self.seed, 2, 11, i, j)
        return (i + 0.1 + 0.8 * u[:, 0]) * a, (j + 0.1 + 0.8 * u[:, 1]) * a

    def _septa(self, canvas: Canvas, consolidated: np.ndarray) -> np.ndarray:
        look, ys, xs = self.look, canvas.node_y, canvas.node_x
        warp = [
            look.warp_um * 2 * (noise_grid(ys, xs, 38.0, sub_seed(self.seed, 5 + k)) - 0.5)
            for k in (0, 1)
        ]
        wy = (ys[:, None] + warp[0]).astype(np.float32)
        wx = (xs[None, :] + warp[1]).astype(np.float32)
        half_distance = self._border_distance(canvas, wy, wx)
        varied = 0.55 + 0.9 * noise_grid(ys, xs, 22.0, sub_seed(self.seed, 7))
        half = 0.5 * look.septum_um * varied
        gap = noise_grid(ys, xs, 30.0, sub_seed(self.seed, 8))
        half -= 30.0 * np.maximum(0.5 + 0.2 * NormalDist().inv_cdf(
            float(np.clip(look.septum_gap_fraction, 1e-3, 0.99))) - gap, 0)  # fmt: skip
        half += consolidated * (2.0 + 26.0 * consolidated**2)
        return half - half_distance

    def _border_distance(self, canvas: Canvas, wy: np.ndarray, wx: np.ndarray) -> np.ndarray:
        """About the distance to the border between the two nearest air spaces, µm."""
        reach = 1.9 * self.look.alveolus_um + self.look.warp_um
        unit = canvas.step * canvas.px_um
        nearest = np.full(wy.shape, 1e12, dtype=np.float32)
        second = nearest.copy()
        seed_y, seed_x = self._air_spaces(canvas.bounds_um(reach))
        for y, x in zip(seed_y, seed_x, strict=True):
            rows = window((y - canvas.node_y[0]) / unit, reach / unit, wy.shape[0])
            cols = window((x - canvas.node_x[0]) / unit, reach / unit, wy.shape[1])
            if rows.start >= rows.stop or cols.start >= cols.stop:
                continue
            here = (rows, cols)
            d2 = (wy[here] - np.float32(y)) ** 2 + (wx[here] - np.float32(x)) ** 2
            now, nxt = nearest[here], second[here]
            np.minimum(nxt, np.maximum(d2, now), out=nxt)
            np.minimum(now, d2, out=now)
        return 0.5 * (np.sqrt(second) - np.sqrt(nearest))

    def to_septa(self, y_um: np.ndarray, x_um: np.ndarray) -> tuple[np.ndarray, ...]:
        """Move points onto the next wall.

        Returns
        -------
        y_um, x_um, angle, moved_um : numpy.ndarray
            New positions, direction of the wall (rad, from x towards y) and the way moved.
        """
        y, x = y_um.copy(), x_um.copy()
        pad = 3 * self.look.alveolus_um
        bounds = (y.min() - pad, x.min() - pad, y.max() + pad, x.max() + pad)
        seeds = np.stack(self._air_spaces(bounds), axis=1)
        tree, amplitude = cKDTree(seeds), self.look.warp_um
        angle = np.zeros(len(y))
        for _ in range(2):
            wy = y + amplitude * 2 * (noise_at(y, x, 38.0, sub_seed(self.seed, 5)) - 0.5)
            wx = x + amplitude * 2 * (noise_at(y, x, 38.0, sub_seed(self.seed, 6)) - 0.5)
            distance, index = tree.query(np.stack([wy, wx], axis=1), k=2)
            between = seeds[index[:, 1]] - seeds[index[:, 0]]
            length = np.maximum(np.hypot(between[:, 0], between[:, 1]), 1e-6)
            shift = (distance[:, 1] ** 2 - distance[:, 0] ** 2) / (2 * length)
            y += shift * between[:, 0] / length
            x += shift * between[:, 1] / length
            angle = np.arctan2(between[:, 1], -between[:, 0])
        return y, x, angle, np.hypot(y - y_um, x - x_um)

    # airways and vessels

    def airways(self, canvas: Canvas, *, pad_um: float = 0.0) -> Tubes:
        """Airways that come within `pad_um` of the canvas."""
        look = self.look
        tubes = self._tubes(
            canvas.bounds_um(pad_um),
            20, look.airway_spacing_um, look.airway_probability, look.airway_radius_um, 0.4,
        )  # fmt: skip
        return Tubes(
            tubes.y_um, tubes.x_um, tubes.radius_um,
            np.full(len(tubes), look.epithelium_um), tubes.waves * 0.8, tubes.seed,
        )  # fmt: skip

    def vessels(self, canvas: Canvas) -> Tubes:
        """Vessels that reach the canvas; none inside an airway."""
        look = self.look
        tubes = self._tubes(
            canvas.bounds_um(),
            40, look.vessel_spacing_um, look.vessel_probability, look.vessel_radius_um, 0.5,
        )  # fmt: skip
        airways = self.airways(canvas, pad_um=2 * look.vessel_spacing_um)
        keep = np.ones(len(tubes), dtype=bool)
        for y, x, reach in zip(airways.y_um, airways.x_um, airways.reach_um, strict=True):
            keep &= np.hypot(tubes.y_um - y, tubes.x_um - x) > reach + tubes.reach_um - 12
        return tubes.take(keep)

    def _tubes(
        self,
        bounds: tuple[float, float, float, float],
        kind: int,
        spacing: float,
        probability: float,
        radius: float,
        spread: float,
    ) -> Tubes:
        """One candidate per lattice cell, wholly inside its cell: tubes never overlap."""
        i, j = lattice(bounds, spacing)
        u = list(hash_columns(self.seed, 11, kind, i, j).T)
        r = np.minimum(radius * np.exp(spread * 2 * (u[3] + u[4] - 1) * 1.2), 0.42 * spacing)
        waves = np.stack(u[4:10], axis=1).astype(np.float32) - 0.5
        waves *= np.array([0.5, 0.5, 0.2, 0.2, 0.12, 0.12], dtype=np.float32)
        room = np.maximum(0.5 - (r * 1.5 + 20) / spacing, 0)
        y = (i + 0.5 + 2 * room * (u[1] - 0.5)) * spacing
        x = (j + 0.5 + 2 * room * (u[2] - 0.5)) * spacing
        wall = np.clip(0.16 * r, 2.0, 14.0)
        seed = (u[10] * 2**48).astype(np.int64)
        tubes = Tubes(y, x, r, wall, waves, seed)
        inside = self.inside_lung_um(y, x) > 1.3 * r + 20
        return tubes.take((u[0] < probability) & inside)

    def _carve(
        self, canvas: Canvas, tubes: Tubes, depth: np.ndarray, lumen: np.ndarray, lung: np.ndarray
    ) -> np.ndarray | None:
        """Cut the lumina out of `depth` (in place), add the walls; return the walls' depth."""
        if not len(tubes):
            return None
        unit = canvas.step * canvas.px_um
        walls = np.full(depth.shape, -FAR_UM, dtype=np.float32)
        for k, reach in enumerate(tubes.reach_um):
            rows = window((tubes.y_um[k] - canvas.node_y[0]) / unit, reach / unit, depth.shape[0])
            cols = window((tubes.x_um[k] - canvas.node_x[0]) / unit, reach / unit, depth.shape[1])
            if rows.start >= rows.stop or cols.start >= cols.stop:
                continue
            outside = self.tube_distance(tubes, k, canvas.node_y[rows], canvas.node_x[cols])
            half = 0.5 * np.float32(tubes.wall_um[k])
            wall = half - np.abs(outside - half)
            here = (rows, cols)
            depth[here] = np.minimum(np.maximum(np.minimum(depth[here], outside), wall), lung[here])
            walls[here] = np.maximum(walls[here], np.minimum(wall, lung[here]))
            lumen[here] = np.maximum(lumen[here], np.minimum(-outside, lung[here]))
        return walls

    def tube_distance(self, tubes: Tubes, k: int, ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
        """About the distance outside the lumen of tube `k` on a grid, µm; negative inside."""
        dy = (ys - tubes.y_um[k]).astype(np.float32)[:, None]
        dx = (xs - tubes.x_um[k]).astype(np.float32)[None, :]
        r2 = dy * dy + dx * dx + np.float32(1e-2)
        rim = tubes.radius_um[k] * outline_factor(dy, dx, r2, tubes.waves[k])
        wavy = noise_grid(ys, xs, 14.0, int(tubes.seed[k])) - 0.5
        return np.sqrt(r2) - rim + wavy * np.float32(0.06 * tubes.radius_um[k] + 2)


def lattice(
    bounds: tuple[float, float, float, float], spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Row and column indices of all lattice cells that touch `bounds` (y0, x0, y1, x1)."""
    rows, cols = (
        np.arange(np.floor(low / spacing), np.floor(high / spacing) + 1, dtype=np.int64)
        for low, high in ((bounds[0], bounds[2]), (bounds[1], bounds[3]))
    )
    i, j = np.meshgrid(rows, cols, indexing="ij")
    return i.ravel(), j.ravel()


def _step(t: np.ndarray) -> np.ndarray:
    """Smooth step from 0 at -0.5 to 1 at +0.5; float32."""
    s = np.clip(t + 0.5, 0, 1)
    return (s * s * (3 - 2 * s)).astype(np.float32)
