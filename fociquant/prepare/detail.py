"""One pass over a section at about 2 µm: how much of it is tissue, and how sharp it is.

The overview is too coarse for either: septa and nuclei are smaller than its pixels.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from fociquant.model import Box
from fociquant.prepare.overview import PixelReader, choose_level
from fociquant.units import PixelSize

DETAIL_UM = 2.7
"""Pixels are at most this large, µm: a nucleus is some three wide, a blur of 2-3 µm shows."""

PIECE_PX = 1 << 20
"""Pixels of a piece per channel, up to four times as many where they are averaged."""

LOCAL_UM = 8.0
"""The brightness of tissue is compared with its mean this far around, µm (Gaussian sigma):
consolidated lung is twice as bright as a septum."""

HALF = 0.5
"""A wall ends where its light has fallen to half."""

NEAR_UM, NEAR_SHARE = 3.0, 0.1
"""Tissue is at least this share of a Gaussian of this sigma, µm: lone bright pixels are noise."""

LARGEST = 1e15
"""Floating-point pixels are cut here: squares of their differences stay finite in float32."""

TRUNCATE = 3.0
"""Gaussians end at so many sigmas."""

MAX_THREADS = 4
"""Pieces that are looked at together; each holds some ten megabytes per channel."""

BRIGHTEST = 2.5
"""Light beyond this multiple of tissue's is cut: a labelled cell would darken its surroundings."""

LAGS = (1, 3)
"""Second differences over so many pixels: the first vanish in a blur, the second hardly."""


@dataclass(frozen=True, slots=True)
class Levels:
    """What air and tissue look like in one channel, raw counts; ``tissue > air``."""

    air: float
    tissue: float


@dataclass(frozen=True, slots=True)
class Detail:
    """Means over the pixels under each overview pixel.

    Parameters
    ----------
    cover : numpy.ndarray of float64, shape (h, w)
        Share that is tissue, 0-1.
    fine, coarse : mapping of str to numpy.ndarray of float64, shape (h, w)
        Role to the mean square of second differences over one and three pixels, raw counts
        squared, pixel noise included.
    pixel_um : float
        Edge of a pixel.
    factor : int
        Full-resolution pixels along it.
    """

    cover: np.ndarray
    fine: Mapping[str, np.ndarray]
    coarse: Mapping[str, np.ndarray]
    pixel_um: float
    factor: int


def is_tissue(
    planes: Sequence[np.ndarray], levels: Sequence[Levels], pixel_um: float
) -> np.ndarray:
    """Which pixels are tissue: brighter than half of the tissue around them.

    Parameters
    ----------
    planes : sequence of numpy.ndarray, shape (h, w)
        Channels in which tissue shows, raw counts, finite.
    levels : sequence of Levels
        Of the same channels.
    pixel_um : float
        Edge of a pixel, µm.

    Returns
    -------
    numpy.ndarray of bool, shape (h, w)
    """
    light = np.zeros(planes[0].shape, np.float32)
    for plane, level in zip(planes, levels, strict=True):
        relative = (plane.astype(np.float32) - level.air) / (level.tissue - level.air)
        light += np.clip(relative, -1.0, BRIGHTEST) / len(planes)
    surely = (light > HALF).astype(np.float32)
    if not surely.any():
        return np.zeros(light.shape, bool)
    wide = LOCAL_UM / pixel_um
    around = _blurred(light * surely, wide)
    around /= np.maximum(_blurred(surely, wide), np.float32(1e-3))
    near = _blurred(surely, NEAR_UM / pixel_um) > NEAR_SHARE
    return np.asarray((light > HALF * around) & near)


def _blurred(plane: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian of a float32 plane; OpenCV needs a fifth of SciPy's time for it."""
    edge = 2 * math.ceil(TRUNCATE * sigma) + 1
    return np.asarray(
        cv2.GaussianBlur(plane, (edge, edge), sigma, borderType=cv2.BORDER_REFLECT), np.float32
    )


def look_closely(
    reader: PixelReader,
    roles: Mapping[str, int],
    levels: Mapping[str, Levels],
    *,
    pixel_size: PixelSize,
    grid: tuple[int, int],
    factor: int,
) -> Detail:
    """Read the section once at the coarsest level that is fine enough, piece by piece.

    Parameters
    ----------
    reader : PixelReader
    roles : mapping of str to int
        Role to channel index; sharpness is measured in all of them.
    levels : mapping of str to Levels
        Of the roles in which tissue shows; without any, nothing is taken for tissue.
    pixel_size : PixelSize
        At full resolution.
    grid : (int, int)
        (h, w) of the overview.
    factor : int
        Its full-resolution pixels per pixel.

    Returns
    -------
    Detail
        The same whatever the pieces, but for the rounding of sums.
    """
    channels = list(roles.values())
    wanted = max(int(DETAIL_UM / pixel_size.mean), 1)
    level, reduction, _ = choose_level(reader, channels, wanted)
    n = max(wanted // reduction, 1)
    sums = _Sums(grid, list(roles), reduction * n, factor)
    pixel_um = pixel_size.mean * reduction * n
    halo = math.ceil(TRUNCATE * LOCAL_UM / pixel_um)

    def look(piece: _Piece) -> tuple[_Piece, dict[str, np.ndarray]]:
        planes = dict(zip(roles, piece.read_from(reader, channels, level), strict=True))
        tissue = np.zeros(piece.read.shape, bool)
        if levels:
            shown = [planes[role] for role in levels]
            tissue = is_tissue(shown, list(levels.values()), pixel_um)
        seen = {"cover": sums.part(tissue[piece.inner], piece.place)}
        for role, plane in planes.items():
            for lag in LAGS:
                seen[f"{role} {lag}"] = sums.part(_bends(plane, lag)[piece.inner], piece.place)
        return piece, seen

    with ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS)) as pool:
        # Added in the order of the pieces: sums do not depend on which thread was first.
        for piece, seen in pool.map(look, _pieces(reader.levels[level], n, halo)):
            sums.add(seen, piece.place)
    means = sums.means()
    fine, coarse = ({role: means[f"{role} {lag}"] for role in roles} for lag in LAGS)
    return Detail(means["cover"], fine, coarse, pixel_um, reduction * n)


class _Sums:
    """Sums over the pixels whose centre lies under each overview pixel."""

    def __init__(self, grid: tuple[int, int], roles: Sequence[str], pixel: int, factor: int):
        names = ["cover", *(f"{role} {lag}" for role in roles for lag in LAGS)]
        self._totals = {name: np.zeros(grid) for name in names}
        self._counts, self._grid = np.zeros(grid), grid
        self._pixel, self._factor = pixel, factor

    def part(self, plane: np.ndarray, place: Box) -> np.ndarray:
        """Sums of a place's pixels (in pixels of the pass) under the overview pixels it meets."""
        _, first_y = self._index(place.y0, place.y1, self._grid[0])
        _, first_x = self._index(place.x0, place.x1, self._grid[1])
        rows = np.add.reduceat(plane, first_y, axis=0, dtype=np.float64)
        return np.asarray(np.add.reduceat(rows, first_x, axis=1))

    def add(self, parts: Mapping[str, np.ndarray], place: Box) -> None:
        """Add the sums of a place."""
        y, first_y = self._index(place.y0, place.y1, self._grid[0])
        x, first_x = self._index(place.x0, place.x1, self._grid[1])
        for name, part in parts.items():
            self._totals[name][np.ix_(y, x)] += part
        heights, widths = (
            np.diff([*first, stop - start])
            for first, start, stop in ((first_y, place.y0, place.y1), (first_x, place.x0, place.x1))
        )
        self._counts[np.ix_(y, x)] += np.outer(heights, widths)

    def _index(self, start: int, stop: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Overview indices that pixels `start` to `stop` fall on, and where each begins."""
        centres = (np.arange(start, stop) * self._pixel + self._pixel // 2) // self._factor
        found, first = np.unique(np.minimum(centres, size - 1), return_index=True)
        return found, first

    def means(self) -> dict[str, np.ndarray]:
        """Sums over counts; 0 where no pixel was added."""
        counts = np.maximum(self._counts, 1)
        return {name: total / counts for name, total in self._totals.items()}


@dataclass(frozen=True, slots=True)
class _Piece:
    """A place and the margin around it, in reduced pixels of `cut` pixels of the level each."""

    place: Box
    read: Box
    cut: tuple[int, int]

    @property
    def inner(self) -> tuple[slice, slice]:
        """Where the place lies in what was read."""
        return self.place.shift(-self.read.y0, -self.read.x0).slices

    def read_from(self, reader: PixelReader, channels: Sequence[int], level: int) -> np.ndarray:
        """Means over the cut, float32 (channels, h, w)."""
        read, cut = self.read, self.cut
        box = Box(read.y0 * cut[0], read.x0 * cut[1], read.y1 * cut[0], read.x1 * cut[1])
        pixels = reader.read(box, channels, level)
        if pixels.dtype.kind == "f":
            pixels = np.clip(np.where(np.isfinite(pixels), pixels, 0), -LARGEST, LARGEST)
        if cut == (1, 1):
            return pixels.astype(np.float32)
        blocks = pixels.reshape(len(channels), read.shape[0], cut[0], read.shape[1], cut[1])
        return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float32))


def _pieces(level: Any, n: int, halo: int) -> Iterator[_Piece]:
    """Means over n x n pixels of a level, in pieces of whole chunks of the file."""
    size = level.shape[1:]
    cut = (min(n, size[0]), min(n, size[1]))
    whole = Box(0, 0, size[0] // cut[0], size[1] // cut[1])
    height, width = _piece_shape(level, n)
    for y in range(0, whole.y1, height):
        for x in range(0, whole.x1, width):
            place = Box(y, x, min(y + height, whole.y1), min(x + width, whole.x1))
            yield _Piece(place, place.expand(halo).intersect(whole), cut)


def _piece_shape(level: Any, n: int) -> tuple[int, int]:
    """(height, width) of a piece in reduced pixels: whole chunks, about :data:`PIECE_PX`."""
    chunks = getattr(level, "chunksize", None)
    ch, cw = chunks[-2:] if chunks else (1024, 1024)
    budget = PIECE_PX * min(n * n, 4)
    width = cw * max(math.isqrt(budget) // cw, 1)
    height = ch * max(budget // width // ch, 1)
    return max(height // n, 1), max(width // n, 1)


def _bends(plane: np.ndarray, lag: int) -> np.ndarray:
    """Mean square of the second differences along both axes, float32 (h, w)."""
    padded = np.pad(plane, lag, mode="reflect" if min(plane.shape) > lag else "edge")
    middle = padded[lag:-lag, lag:-lag]
    down = padded[2 * lag :, lag:-lag] - 2 * middle + padded[: -2 * lag, lag:-lag]
    across = padded[lag:-lag, 2 * lag :] - 2 * middle + padded[lag:-lag, : -2 * lag]
    return (down * down + across * across) / 2
