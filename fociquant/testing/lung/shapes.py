"""Star-shaped outlines, and rasters in which touching shapes share a border."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from fociquant.testing.lung.noise import texture_window

FAR = np.float32(9.0)
"""Relative distance where nothing is near."""


@dataclass(frozen=True)
class Shapes:
    """Many star-shaped outlines: radius times one plus four harmonics of the angle.

    Parameters
    ----------
    y_um, x_um, radius_um : numpy.ndarray of float64, shape (n,)
        Centre and mean radius.
    waves : numpy.ndarray of float32, shape (n, 6)
        Cosine and sine amplitudes of the 2nd, 3rd and 4th harmonic.
    texture : numpy.ndarray of int64, shape (n, 2)
        Corner of each one's own window of fine roughness.
    """

    y_um: np.ndarray
    x_um: np.ndarray
    radius_um: np.ndarray
    waves: np.ndarray
    texture: np.ndarray

    def __len__(self) -> int:
        return len(self.y_um)

    def take(self, index: np.ndarray) -> Shapes:
        """A subset, by index or mask."""
        return Shapes(*(getattr(self, f.name)[index] for f in fields(self)))

    @classmethod
    def join(cls, parts: list[Shapes]) -> Shapes:
        """Several one after the other."""
        columns = (np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls))
        return cls(*columns)

    @property
    def reach_um(self) -> np.ndarray:
        """No part of a shape is further from its centre than this; µm, shape (n,)."""
        return self.radius_um * (1.12 + np.abs(self.waves).sum(axis=1))


def draw_waves(
    rng: np.random.Generator, n: int, *, elongation: float, irregularity: float
) -> np.ndarray:
    """Harmonics of `n` outlines, see :class:`Shapes`; float32, shape (n, 6)."""
    waves = rng.standard_normal((n, 6)).astype(np.float32)
    angle = rng.random(n) * 2 * np.pi
    stretch = elongation * (0.4 + 1.2 * rng.random(n))
    waves[:, :2] = 0.4 * irregularity * waves[:, :2]
    waves[:, 0] += (stretch * np.cos(angle)).astype(np.float32)
    waves[:, 1] += (stretch * np.sin(angle)).astype(np.float32)
    waves[:, 2:4] *= 0.6 * irregularity
    waves[:, 4:] *= 0.4 * irregularity
    return np.clip(waves, -0.33, 0.33)


def outline_factor(dy: np.ndarray, dx: np.ndarray, r2: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Relative radius of an outline in the direction of (dy, dx); > 0.3.

    Parameters
    ----------
    dy, dx, r2 : numpy.ndarray of float32
        Offsets from the centre and their squared length (> 0), broadcastable.
    waves : numpy.ndarray of float32, shape (..., 6)
        Harmonics; the leading axes broadcast against `r2`.
    """
    w = [waves[..., k] for k in range(6)]
    c2, s2 = (dx * dx - dy * dy) / r2, 2 * dx * dy / r2
    c4, s4 = c2 * c2 - s2 * s2, 2 * c2 * s2
    r = np.sqrt(r2)
    c1, s1 = dx / r, dy / r
    c3, s3 = c2 * c1 - s2 * s1, s2 * c1 + c2 * s1
    factor = 1 + w[0] * c2 + w[1] * s2 + w[2] * c3 + w[3] * s3 + w[4] * c4 + w[5] * s4
    return np.maximum(factor, 0.3)


@dataclass(frozen=True)
class Raster:
    """Shapes drawn on a pixel grid, each pixel given to the relatively nearest one.

    Parameters
    ----------
    owner : numpy.ndarray of int32, shape (h, w)
        1 + index of the shape, 0 outside all.
    best, second : numpy.ndarray of float32, shape (h, w)
        Relative distance to the owner (1 at its free outline) and to the next shape.
    """

    owner: np.ndarray
    best: np.ndarray
    second: np.ndarray


def rasterise(
    shapes: Shapes,
    *,
    origin_px: tuple[int, int],
    shape_px: tuple[int, int],
    px_um: float,
    roughness: float,
) -> Raster:
    """Draw `shapes` on the pixels that begin at global pixel `origin_px`.

    A shape's roughness is its own window of a periodic texture, anchored at its own
    centre, so that it looks the same on every canvas it falls on.
    """
    owner = np.zeros(shape_px, dtype=np.int32)
    best = np.full(shape_px, FAR, dtype=np.float32)
    second = np.full(shape_px, FAR, dtype=np.float32)
    for start in range(0, len(shapes), 64):
        part = shapes.take(np.arange(start, min(start + 64, len(shapes))))
        corner, value = _distances(part, px_um=px_um, roughness=roughness)
        corner = corner - np.asarray(origin_px)
        for k in range(len(part)):
            _claim(owner, best, second, start + k + 1, corner[k], value[k])
    owner[best >= 1] = 0
    return Raster(owner, best, second)


def _distances(shapes: Shapes, *, px_um: float, roughness: float) -> tuple[np.ndarray, np.ndarray]:
    """Relative distances on a square window round each shape, and the windows' corners."""
    y, x = shapes.y_um / px_um, shapes.x_um / px_um
    radius = (shapes.radius_um / px_um).astype(np.float32)
    half = int(np.ceil(shapes.reach_um.max() / px_um)) + 1
    corner = np.stack([np.floor(y) - half, np.floor(x) - half], axis=1).astype(np.int64)
    offset = np.arange(2 * half + 1, dtype=np.float64) + 0.5
    dy = (corner[:, :1] + offset - y[:, None]).astype(np.float32)[:, :, None]
    dx = (corner[:, 1:] + offset - x[:, None]).astype(np.float32)[:, None, :]
    r2 = dy * dy + dx * dx + np.float32(1e-3)
    factor = outline_factor(dy, dx, r2, shapes.waves[:, None, None, :])
    value = np.sqrt(r2) / (factor * radius[:, None, None])
    if roughness > 0:
        size = (2 * half + 1, 2 * half + 1)
        for k, (ty, tx) in enumerate(shapes.texture - half):
            scale = float(np.clip(radius[k] * 0.16, 0.7, 6.0))
            value[k] *= 1 + roughness * texture_window(ty, tx, size, scale_px=scale)
    return corner, value


def _claim(
    owner: np.ndarray,
    best: np.ndarray,
    second: np.ndarray,
    name: int,
    corner: np.ndarray,
    value: np.ndarray,
) -> None:
    """Let one shape take the pixels that it is nearest to."""
    (cy, cx), (h, w) = corner, owner.shape
    y0, x0 = max(0, cy), max(0, cx)
    y1, x1 = min(h, cy + value.shape[0]), min(w, cx + value.shape[1])
    if y0 >= y1 or x0 >= x1:
        return
    mine = value[y0 - cy : y1 - cy, x0 - cx : x1 - cx]
    here = (slice(y0, y1), slice(x0, x1))
    now, nxt = best[here], second[here]
    np.minimum(nxt, np.maximum(mine, now), out=nxt)
    np.copyto(owner[here], name, where=mine < now)
    np.minimum(now, mine, out=now)
