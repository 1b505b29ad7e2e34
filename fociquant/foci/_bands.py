"""Bands of tissue around foci: how large they are, and which places lie in them.

Worked out on a grid of `GRID_UM`, piece by piece, so that numerator and denominator of a
density come from the same pixels. A place belongs to the focus that is nearest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.ndimage import distance_transform_edt

from fociquant.units import UM2_PER_MM2, PixelSize

GRID_UM = 2.0
"""Pixels on which bands are measured, µm."""

TO_EDGE_PX = 0.25
"""How far outside of the centre of its outermost pixels a focus ends, mean over round shapes."""

PIECE_PX = 512
"""Edge of a piece that is worked out at once, grid pixels; changes no result."""


@dataclass(frozen=True, slots=True)
class Tissue:
    """Where cells are counted.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (h, w)
        On the overview grid; its origin is the image's.
    pixel : PixelSize
        Of `mask`.
    extent_um : (float, float)
        Height and width of the image, µm.
    excluded : shapely.Geometry
        Left out besides, x before y, µm; may be empty.
    """

    mask: np.ndarray
    pixel: PixelSize
    extent_um: tuple[float, float]
    excluded: shapely.Geometry

    def at(self, y_um: np.ndarray, x_um: np.ndarray) -> np.ndarray:
        """Whether places (broadcast against each other) are tissue; bool."""
        y_um, x_um = np.broadcast_arrays(y_um, x_um)
        if not self.mask.size:
            return np.zeros(y_um.shape, dtype=bool)
        within = (y_um >= 0) & (x_um >= 0) & (y_um < self.extent_um[0]) & (x_um < self.extent_um[1])
        height, width = self.mask.shape
        row = np.clip((y_um / self.pixel.y).astype(np.int64), 0, height - 1)
        column = np.clip((x_um / self.pixel.x).astype(np.int64), 0, width - 1)
        found = within & self.mask[row, column]
        if not shapely.is_empty(self.excluded):
            shapely.prepare(self.excluded)
            found &= ~shapely.contains_xy(self.excluded, x_um, y_um)
        return np.asarray(found)


@dataclass(frozen=True, slots=True)
class Bands:
    """Bands around the foci of one section.

    Parameters
    ----------
    area_mm2 : numpy.ndarray of float64, shape (kinds, bands)
        Tissue whose nearest focus is of a kind and lies in a band's distance, mm².
    foci_mm2 : float
        Tissue inside of foci, in no band, mm².
    kind, band : numpy.ndarray of int64, shape (n,)
        Of each place asked for. ``band`` is -1 inside a focus and outside of the tissue, and
        the number of bands beyond the last; ``kind`` is -1 outside of all bands.
    """

    area_mm2: np.ndarray
    foci_mm2: float
    kind: np.ndarray
    band: np.ndarray


def focus_bands(
    shapes: np.ndarray,
    kinds: np.ndarray,
    tissue: Tissue,
    *,
    number_of_kinds: int,
    band_um: float,
    bands: int,
    places: np.ndarray,
) -> Bands:
    """Bands of equal width around foci, limited to tissue.

    Parameters
    ----------
    shapes : numpy.ndarray of object, shape (m,)
        What each focus takes up, see ``focus_shapes``.
    kinds : numpy.ndarray of int64, shape (m,)
        Kind of each focus, from 0.
    tissue : Tissue
    number_of_kinds : int
    band_um : float
        Width of a band, µm; the first begins at the edge of the focus.
    bands : int
        Their number, >= 1.
    places : numpy.ndarray of float64, shape (n, 2)
        (y, x), µm: what is counted.

    Returns
    -------
    Bands
    """
    pixels = np.zeros((number_of_kinds, bands + 1), dtype=np.int64)
    kind = np.full(len(places), -1, dtype=np.int64)
    band = np.where(tissue.at(places[:, 0], places[:, 1]), bands, -1).astype(np.int64)
    at = np.floor(places / GRID_UM).astype(np.int64)
    for piece in _pieces(shapes, tissue, band_um * bands):
        found = _measure(piece, shapes, kinds, band_um, bands)
        counted = found.band[piece.core] <= bands - 1
        counted &= piece.tissue[piece.core]
        keys = found.kind[piece.core][counted] * (bands + 1) + found.band[piece.core][counted] + 1
        pixels += np.bincount(keys, minlength=pixels.size).reshape(pixels.shape)
        own = np.flatnonzero(((at // PIECE_PX) == piece.place).all(axis=1) & (band >= 0))
        y, x = (at[own] - piece.origin).T
        near = found.band[y, x] < bands
        kind[own[near]] = np.where(found.band[y, x] >= 0, found.kind[y, x], -1)[near]
        band[own[near]] = found.band[y, x][near]
    area = pixels * GRID_UM**2 / UM2_PER_MM2
    return Bands(area[:, 1:], float(area[:, 0].sum()), kind, band)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A square of the grid with what is around it.

    ``place`` is its row and column among the pieces, ``origin`` the first grid pixel (y, x) of
    the window with its surroundings, ``near`` the foci whose boxes reach into the window.
    """

    place: np.ndarray
    origin: np.ndarray
    core: tuple[slice, slice]
    near: np.ndarray
    tissue: np.ndarray

    @property
    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Centres of the window's pixels: y as a column, x as a row, µm."""
        y, x = (
            (start + np.arange(size) + 0.5) * GRID_UM
            for start, size in zip(self.origin, self.tissue.shape, strict=True)
        )
        return y[:, None], x[None]


@dataclass(frozen=True, slots=True)
class _Measured:
    """Kind of the nearest focus and band (-1: inside of it) of every pixel of a window."""

    kind: np.ndarray
    band: np.ndarray


def _pieces(shapes: np.ndarray, tissue: Tissue, reach_um: float) -> Iterator[_Piece]:
    """The pieces that a focus or its bands reach into, in raster order."""
    if not len(shapes):
        return
    halo = int(np.ceil(reach_um / GRID_UM)) + 1
    boxes = shapely.bounds(shapes)[:, [1, 0, 3, 2]] / GRID_UM  # y0, x0, y1, x1
    last = -(-np.ceil(np.array(tissue.extent_um) / GRID_UM).astype(np.int64) // PIECE_PX)
    first = np.clip(np.floor((boxes[:, :2] - halo) / PIECE_PX).astype(np.int64), 0, last)
    end = np.clip(np.floor((boxes[:, 2:] + halo) / PIECE_PX).astype(np.int64) + 1, 0, last)
    wanted: dict[tuple[int, int], list[int]] = {}
    for focus, ((y0, x0), (y1, x1)) in enumerate(zip(first.tolist(), end.tolist(), strict=True)):
        for row in range(y0, y1):
            for column in range(x0, x1):
                wanted.setdefault((row, column), []).append(focus)
    for place in sorted(wanted):
        origin = np.array(place) * PIECE_PX - halo
        size = PIECE_PX + 2 * halo
        piece = _Piece(
            np.array(place), origin, (slice(halo, halo + PIECE_PX),) * 2,
            np.array(wanted[place]), np.zeros((size, size), dtype=bool),
        )  # fmt: skip
        piece.tissue[:] = tissue.at(*piece.centres)
        yield piece


def _measure(
    piece: _Piece, shapes: np.ndarray, kinds: np.ndarray, band_um: float, bands: int
) -> _Measured:
    """Nearest focus and band of every pixel of a window."""
    owner = np.full(piece.tissue.shape, -1, dtype=np.int64)
    y, x = (axis.ravel() for axis in piece.centres)
    for focus in piece.near.tolist():
        x0, y0, x1, y1 = shapely.bounds(shapes[focus])
        rows = slice(*np.searchsorted(y, (y0, y1)))
        columns = slice(*np.searchsorted(x, (x0, x1)))
        shapely.prepare(shapes[focus])
        inside = shapely.contains_xy(shapes[focus], x[None, columns], y[rows, None])
        owner[rows, columns][inside] = focus
        if not inside.any():
            _mark_middle(owner, piece.origin, ((y0 + y1) / 2, (x0 + x1) / 2), focus)
    if (owner < 0).all():
        nothing = np.full(owner.shape, bands, dtype=np.int64)
        return _Measured(np.full(owner.shape, -1, dtype=np.int64), nothing)
    pixels, nearest = distance_transform_edt(owner < 0, return_indices=True)
    distance = np.maximum(pixels - TO_EDGE_PX, 0.0) * GRID_UM
    band = np.minimum(np.floor(distance / band_um), bands).astype(np.int64)
    band[owner >= 0] = -1
    return _Measured(kinds[owner[tuple(nearest)]], band)


def _mark_middle(
    owner: np.ndarray, origin: np.ndarray, middle_um: tuple[float, float], focus: int
) -> None:
    """Give a focus that holds no pixel's centre the pixel at its middle, if that is free."""
    row, column = (np.floor(np.array(middle_um) / GRID_UM).astype(np.int64) - origin).tolist()
    within = 0 <= row < owner.shape[0] and 0 <= column < owner.shape[1]
    if within and owner[row, column] < 0:
        owner[row, column] = focus
