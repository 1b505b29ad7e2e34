"""One pass over a section at about 2 µm: how much of it is tissue, and how sharp it is.

The overview is too coarse for either: septa and nuclei are smaller than its pixels.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import cv2
import numpy as np

from fociquant.model import Box
from fociquant.prepare.overview import PixelReader, choose_level
from fociquant.prepare.sums import Groups, Sums
from fociquant.prepare.threads import in_turn
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

BRIGHTEST = 2.5
"""Light beyond this multiple of tissue's is cut: a labelled cell would darken its surroundings."""

BAND_ROWS = 256
"""Rows of a piece that are looked at together: what is made on the way is as large as a few such
bands."""

LARGEST_CHUNK_PX = 2048
"""Pieces of higher chunks are read as a whole: such chunks may not be kept from band to band."""

STRIP_ROWS = 32
"""Rows for which second differences are computed at once."""

COVER = "cover"
"""Name of the share of tissue among what is summed."""

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
    cover : numpy.ndarray of float32, shape (h, w)
        Share that is tissue, 0-1.
    fine, coarse : mapping of str to numpy.ndarray of float32, shape (h, w)
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
    wanted: np.ndarray,
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
    wanted : numpy.ndarray of bool, shape (h, w)
        Pixels of the overview for which anything is asked; elsewhere little is read.
    factor : int
        Full-resolution pixels per pixel of the overview.

    Returns
    -------
    Detail
        The same whatever the pieces, but for the rounding of sums. 0 where nothing was read.
    """
    channels = list(roles.values())
    coarsest = max(int(DETAIL_UM / pixel_size.mean), 1)
    level, reduction, _ = choose_level(reader, channels, coarsest)
    n = max(coarsest // reduction, 1)
    names = [COVER, *(_name(role, lag) for role in roles for lag in LAGS)]
    sums = Sums(wanted, names, reduction * n, factor)
    pixel_um = pixel_size.mean * reduction * n
    halo = math.ceil(TRUNCATE * LOCAL_UM / pixel_um)
    rows_at_once = _rows_at_once(reader.levels[level], n)

    def look(piece: _Piece) -> tuple[Groups, dict[str, np.ndarray]]:
        groups = sums.groups(piece.place)
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for band in groups.bands(rows_at_once):
            part = piece.band(band.rows, max(halo, *LAGS))
            planes = dict(zip(roles, part.read_from(reader, channels, level), strict=True))
            tissue = np.zeros(part.read.shape, bool)
            if levels:
                shown = [planes[role] for role in levels]
                tissue = is_tissue(shown, list(levels.values()), pixel_um)
            parts[COVER].append(groups.sums(tissue[part.inner], band))
            for role, lag in product(roles, LAGS):
                bends = _bends(planes[role], lag, part.inner)
                parts[_name(role, lag)].append(groups.sums(bends, band))
        return groups, {name: np.concatenate(part) for name, part in parts.items()}

    # Added in the order of the pieces: sums do not depend on which thread was first.
    for groups, seen in in_turn(look, _pieces(reader.levels[level], n, halo, sums)):
        sums.add(seen, groups)
    means = sums.means()
    fine, coarse = ({role: means[_name(role, lag)] for role in roles} for lag in LAGS)
    return Detail(means[COVER], fine, coarse, pixel_um, reduction * n)


def _name(role: str, lag: int) -> str:
    return f"{role} {lag}"


def _rows_at_once(level: Any, n: int) -> int:
    """Rows of a piece that are read and looked at together; all where parts would cost more."""
    high = _chunk_of(level)[0] > LARGEST_CHUNK_PX
    return sys.maxsize if high or n > 1 else BAND_ROWS


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

    def band(self, rows: slice, margin: int) -> _Piece:
        """Some rows of the place, and the margin around them as far as it is in this piece."""
        top, bottom = self.place.y0 + rows.start, self.place.y0 + rows.stop
        first, last = max(top - margin, self.read.y0), min(bottom + margin, self.read.y1)
        return _Piece(
            replace(self.place, y0=top, y1=bottom), replace(self.read, y0=first, y1=last), self.cut
        )

    def read_from(self, reader: PixelReader, channels: Sequence[int], level: int) -> np.ndarray:
        """Means over the cut (channels, h, w): float32, or as stored where that takes less."""
        read, cut = self.read, self.cut
        box = Box(read.y0 * cut[0], read.x0 * cut[1], read.y1 * cut[0], read.x1 * cut[1])
        pixels = reader.read(box, channels, level)
        if pixels.dtype.kind == "f":
            pixels = np.clip(np.where(np.isfinite(pixels), pixels, 0), -LARGEST, LARGEST)
        if cut == (1, 1):
            small = pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2
            return pixels if small else pixels.astype(np.float32)
        blocks = pixels.reshape(len(channels), read.shape[0], cut[0], read.shape[1], cut[1])
        return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float32))


def _pieces(level: Any, n: int, halo: int, sums: Sums) -> Iterator[_Piece]:
    """Means over n x n pixels of a level: what is wanted of pieces of whole chunks of the file."""
    size = level.shape[1:]
    cut = (min(n, size[0]), min(n, size[1]))
    whole = Box(0, 0, size[0] // cut[0], size[1] // cut[1])
    height, width = _piece_shape(level, n)
    for y in range(0, whole.y1, height):
        for x in range(0, whole.x1, width):
            place = Box(y, x, min(y + height, whole.y1), min(x + width, whole.x1))
            place = sums.wanted_of(place)
            if place.area:
                yield _Piece(place, place.expand(halo).intersect(whole), cut)


def _chunk_of(level: Any) -> tuple[int, int]:
    chunks = getattr(level, "chunksize", None)
    height, width = chunks[-2:] if chunks else (1024, 1024)
    return int(height), int(width)


def _piece_shape(level: Any, n: int) -> tuple[int, int]:
    """(height, width) of a piece in reduced pixels: whole chunks, about :data:`PIECE_PX`."""
    ch, cw = _chunk_of(level)
    budget = PIECE_PX * min(n * n, 4)
    width = cw * max(math.isqrt(budget) // cw, 1)
    height = ch * max(budget // width // ch, 1)
    return max(height // n, 1), max(width // n, 1)


def _bends(plane: np.ndarray, lag: int, inner: tuple[slice, slice]) -> np.ndarray:
    """Mean square of the second differences along both axes, float32, of a part of a plane."""
    rows, columns = inner
    padded = np.pad(plane, lag, mode="reflect" if min(plane.shape) > lag else "edge")
    padded = padded[rows.start : rows.stop + 2 * lag, columns.start : columns.stop + 2 * lag]
    bends = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    # Few rows at a time: what is computed stays in the processor's cache.
    twice, across = (np.empty((STRIP_ROWS, bends.shape[1]), np.float32) for _ in range(2))
    for top in range(0, len(bends), STRIP_ROWS):
        bend = bends[top : top + STRIP_ROWS]
        n = len(bend)
        strip = padded[top : top + n + 2 * lag].astype(np.float32, copy=False)
        middle = strip[lag : lag + n]
        double = np.multiply(middle[:, lag:-lag], 2, out=twice[:n])
        np.subtract(strip[2 * lag :, lag:-lag], double, out=bend)
        bend += strip[:n, lag:-lag]
        other = np.subtract(middle[:, 2 * lag :], double, out=across[:n])
        other += middle[:, : -2 * lag]
        bend *= bend
        other *= other
        bend += other
        bend /= 2
    return bends
