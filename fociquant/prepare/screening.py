"""Where the marker stands out of the tissue: a coarse map that the gate and the screen share.

A labelled cell has marker that autofluorescence does not explain. On a map of squares
no wider than the smallest cell this shows without any outline, and most of a dormant
lung shows nothing. The gate counts only objects near a place that stands out on this
map; hence elsewhere no network is needed, whatever it would say.

With the means ``m`` of the marker and ``a`` of autofluorescence over one square, its
excess is ``m - ratio * slope * a`` above what the darker quarter of its tile has, for that
one of :data:`TISSUE_RATIOS` with which it is less. For what of ``a`` exceeds that of the
brighter quarter the ratio is that of the gate, :data:`~fociquant.model.MAP_RATIO`.
Everything is decided per tile of a fixed lattice, so that it does not depend on the
pieces in which the section was read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from fociquant.model import MAP_RATIO, MAP_STEPS, Box, MarkerMap, SectionFacts
from fociquant.prepare.linings import block_max, remove_linings
from fociquant.prepare.overview import PixelReader, choose_level
from fociquant.prepare.soundness import lost_by_rounding
from fociquant.prepare.threads import in_turn
from fociquant.units import PixelSize

SQUARE_UM = 4.0
"""Squares are at most this wide, µm: less than the smallest cell profile (32 µm²)."""

TILE_SQUARES = 32
"""Squares along a tile, the surroundings that a square is compared with: some 100 µm."""

GROUP_SQUARES = 8
"""The map keeps the largest excess of so many squares along each side."""

PIECE_TILES = 8
"""Tiles along a piece that is read at once."""

MAX_THREADS = 8
"""Threads that read pieces; decoding releases the interpreter."""

TISSUE_RATIOS = (1.0, 1.3)
"""Marker that tissue may have for its autofluorescence, as multiples of the slope: unspecific
stain adds to it, and the slope of a section without much contrast comes out too small. Where it is
as the slope says, the larger takes too much off bright tissue, and air stands out beside it."""

DARK_PERCENT, BRIGHT_PERCENT = 25.0, 75.0
"""A tile's unlabelled marker, and its ordinary autofluorescence."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where squares are read, and how they are judged.

    Parameters
    ----------
    level, blocks : int
        Level of the file, and its pixels along one square.
    factor : int
        Full-resolution pixels along one square.
    shape : (int, int)
        Squares (rows, columns).
    channels : tuple of int
        Marker and, where it explains anything, autofluorescence.
    slope : float
        Marker counts per autofluorescence count; 0: it explains nothing.
    levels : tuple of float
        Background of the section per channel, counts; stands in for pixels that are not finite.
    ordinary : float
        Bright autofluorescence of the section's tissue, counts.
    outline : numpy.ndarray of bool, shape (h, w)
        The lung, on the grid of the overview.
    rows, columns : numpy.ndarray of int
        Pixel of it under each row and column of squares.
    dark_is_zero : bool
        Whether pixels of the marker that were scanned are 0 as well.
    rounding : float
        What a mean over so many whole counts can have lost in the reduced level.
    """

    level: int
    blocks: int
    factor: int
    shape: tuple[int, int]
    channels: tuple[int, ...]
    slope: float
    levels: tuple[float, ...]
    ordinary: float
    outline: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    dark_is_zero: bool
    rounding: float

    def inside(self, squares: Box) -> np.ndarray:
        """Which squares of a box lie in the lung, bool."""
        rows, columns = squares.slices
        return np.asarray(self.outline[np.ix_(self.rows[rows], self.columns[columns])])


def map_marker(
    reader: PixelReader, roles: Mapping[str, int], facts: SectionFacts, *, pixel_size: PixelSize
) -> MarkerMap:
    """Make the map of a section.

    Read from the coarsest reduced level that holds averages and is fine enough, else in one
    streamed pass over marker and autofluorescence.

    Parameters
    ----------
    reader : PixelReader
    roles : mapping of str to int
        Role to channel index; ``marker`` is required.
    facts : SectionFacts
        Of the same section; its map is not looked at.
    pixel_size : PixelSize
        At full resolution.

    Returns
    -------
    MarkerMap
    """
    frame = _frame(reader, roles, facts, pixel_size)
    steps = np.zeros(frame.shape, np.uint8)
    unit, group_px = facts.marker_unit, frame.factor * GROUP_SQUARES

    def work(squares: Box) -> None:
        excess = _excess(_square_means(reader, frame, squares), frame)
        steps[squares.slices] = np.clip(np.floor(excess * (MAP_STEPS / unit)), 0, 255)

    for _ in in_turn(work, _pieces(frame.shape), at_most=MAX_THREADS):
        pass
    remove_linings(steps, square_um=pixel_size.mean * frame.factor)
    return MarkerMap(
        peaks=block_max(steps, GROUP_SQUARES),
        edge_um=(pixel_size.y * group_px, pixel_size.x * group_px),
    )


def _frame(
    reader: PixelReader, roles: Mapping[str, int], facts: SectionFacts, pixel_size: PixelSize
) -> _Frame:
    slope = facts.autofluorescence_slope or 0.0
    used = ("marker", "autofluorescence") if slope > 0.0 else ("marker",)
    channels = tuple(roles[role] for role in used)
    wanted = map_factor(pixel_size)
    level, reduction, _ = choose_level(reader, channels, wanted)
    blocks = max(wanted // reduction, 1)
    factor = reduction * blocks
    height, width = (int(side) for side in reader.levels[0].shape[1:])
    unlabelled = facts.stats[used[-1]]
    shape = -(-height // factor), -(-width // factor)
    rows, columns = (
        np.minimum(((np.arange(side) + 0.5) * factor * um / grid_um).astype(int), last - 1)
        for side, um, grid_um, last in zip(
            shape, (pixel_size.y, pixel_size.x), (facts.overview_px.y, facts.overview_px.x),
            facts.outline.shape, strict=True,
        )
    )  # fmt: skip
    return _Frame(
        level, blocks, factor, shape, channels,
        slope=slope,
        levels=tuple(facts.stats[role].background for role in used),
        ordinary=unlabelled.background + unlabelled.spread,
        outline=facts.outline, rows=rows, columns=columns,
        dark_is_zero=facts.stats["marker"].low <= 0.0,
        rounding=lost_by_rounding(reader.levels[0].dtype, reduction),
    )  # fmt: skip


def map_factor(pixel_size: PixelSize) -> int:
    """Full-resolution pixels along one square: a power of two, as pyramids have it."""
    return int(2 ** max(math.floor(math.log2(SQUARE_UM / max(pixel_size.y, pixel_size.x))), 0))


def _pieces(shape: tuple[int, int]) -> Iterator[Box]:
    """Pieces of squares that cover the map, whole tiles each."""
    edge = TILE_SQUARES * PIECE_TILES
    for y in range(0, shape[0], edge):
        for x in range(0, shape[1], edge):
            yield Box(y, x, min(y + edge, shape[0]), min(x + edge, shape[1]))


def _excess(means: np.ndarray, frame: _Frame) -> np.ndarray:
    """Marker of each square that nothing explains.

    Parameters
    ----------
    means : numpy.ndarray of float64, shape (1 or 2, h, w)
        Whole tiles, except at the far borders; raw counts.
    frame : _Frame

    Returns
    -------
    numpy.ndarray of float64, shape (h, w)
        Raw counts.
    """
    marker, *shine = (_as_tiles(plane) for plane in means)
    if not shine:
        excess = _above_the_dark(marker, frame.levels[0])
    else:
        explained, level = frame.slope * shine[0], frame.slope * frame.levels[1]
        ordinary = np.maximum(_percentile(shine[0], BRIGHT_PERCENT), frame.ordinary)[..., None]
        over = frame.slope * np.maximum(shine[0] - ordinary, 0.0)
        excess = np.minimum.reduce([
            _above_the_dark(marker - ratio * explained, frame.levels[0] - ratio * level)
            - (MAP_RATIO - ratio) * over
            for ratio in TISSUE_RATIOS
        ])  # fmt: skip
    rows, columns = excess.shape[:2]
    excess = excess.reshape(rows, columns, TILE_SQUARES, TILE_SQUARES).swapaxes(1, 2)
    excess = excess.reshape(rows * TILE_SQUARES, columns * TILE_SQUARES)
    return np.asarray(excess[: means.shape[1], : means.shape[2]])


def _above_the_dark(tiles: np.ndarray, ground: float) -> np.ndarray:
    """What squares have above the darker quarter of their tile, or above `ground` if less."""
    return tiles - np.minimum(_percentile(tiles, DARK_PERCENT), ground)[..., None]


def _percentile(tiles: np.ndarray, percent: float) -> np.ndarray:
    """Of the values of each tile, those that are NaN left out."""
    result = np.percentile(tiles, percent, axis=-1)  # a tenth of the time of nanpercentile
    cut = np.isnan(result)
    if cut.any():
        result[cut] = np.nanpercentile(tiles[cut], percent, axis=-1)
    return np.asarray(result)


def _as_tiles(plane: np.ndarray) -> np.ndarray:
    """(tile rows, tile columns, squares of a tile), NaN beyond the far borders."""
    edge = TILE_SQUARES
    rows, columns = (-(-side // edge) for side in plane.shape)
    pads = [(0, n * edge - side) for n, side in zip((rows, columns), plane.shape, strict=True)]
    full = np.pad(plane, pads, constant_values=np.nan)
    return full.reshape(rows, edge, columns, edge).swapaxes(1, 2).reshape(rows, columns, -1)


def _square_means(reader: PixelReader, frame: _Frame, squares: Box) -> np.ndarray:
    """Means over squares, float64 (channels, rows, columns); `squares` begins at a tile.

    A tile of which a reduced level shows nothing, or nothing in a part of the lung, is read at full
    resolution: it may not have been written. Where the full resolution is empty there as well, what
    the level has of the rest of the tile stays.
    """
    means = _block_means(reader, frame, squares, frame.level, frame.blocks)
    if frame.level == 0:
        return means
    for tile in _tiles(squares):
        place = tile.shift(-squares.y0, -squares.x0).slices
        marker = means[0][place]
        empty, nothing = marker == 0.0, np.ptp(marker) == 0.0
        if not nothing and not _has_gap(empty, frame, tile):
            continue
        full = _block_means(reader, frame, tile, 0, frame.factor)
        if nothing or full[0][empty].max() > frame.rounding:
            means[:, place[0], place[1]] = full
    return means


def _has_gap(empty: np.ndarray, frame: _Frame, tile: Box) -> bool:
    """Whether squares in the lung may be empty because a reduced level was not written there.

    Where air is 0 as well, only what is empty from side to side of the tile is asked for: air
    spaces are narrower, and all of the lung would be read at full resolution.
    """
    if not empty.any():
        return False
    if frame.dark_is_zero:
        empty = np.logical_or(empty.all(axis=0), empty.all(axis=1, keepdims=True))
    return bool((empty & frame.inside(tile)).any())


def _tiles(squares: Box) -> Iterator[Box]:
    for y in range(squares.y0, squares.y1, TILE_SQUARES):
        for x in range(squares.x0, squares.x1, TILE_SQUARES):
            yield Box(y, x, min(y + TILE_SQUARES, squares.y1), min(x + TILE_SQUARES, squares.x1))


def _block_means(
    reader: PixelReader, frame: _Frame, squares: Box, level: int, n: int
) -> np.ndarray:
    """Means over n x n pixels of a level; squares at the far borders have fewer.

    A level whose sides were rounded down ends before the last squares, by less than one of them:
    these repeat the squares before.
    """
    bounds = Box.of_shape(tuple(reader.levels[level].shape[1:]))
    rows, columns = (
        np.minimum(np.arange(first, last), -(-edge // n) - 1)
        for first, last, edge in (
            (squares.y0, squares.y1, bounds.y1), (squares.x0, squares.x1, bounds.x1)
        )
    )  # fmt: skip
    held = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    box = Box(held.y0 * n, held.x0 * n, held.y1 * n, held.x1 * n).intersect(bounds)
    out = np.empty((len(frame.channels), *held.shape))
    pixels = reader.read(box, frame.channels, level)
    starts = [np.arange(side) * n for side in held.shape]
    counts = np.outer(*(np.diff([*np.minimum(np.arange(side + 1) * n, size)])
                        for side, size in zip(held.shape, box.shape, strict=True)))  # fmt: skip
    for index, plane in enumerate(pixels):
        out[index] = _sums(_finite(plane, frame.levels[index]), n, starts) / counts
    if held == squares:
        return out
    return out[:, rows - rows[0]][:, :, columns - columns[0]]


def _finite(plane: np.ndarray, missing: float) -> np.ndarray:
    if plane.dtype.kind in "biu":
        return plane
    return np.where(np.isfinite(plane), plane, missing)


def _sums(plane: np.ndarray, n: int, starts: list[np.ndarray]) -> np.ndarray:
    """Sums over blocks; exact for integers, always added in the same order for floats."""
    if n == 1:
        return plane.astype(np.float64)
    small = plane.dtype.kind in "bu" and plane.dtype.itemsize <= 2
    wide = np.uint32 if small else np.float64
    height, width = plane.shape
    if height % n == 0 and width % n == 0:
        rows = plane.reshape(height // n, n, width).sum(axis=1, dtype=wide)
        return rows.reshape(-1, width // n, n).sum(axis=2, dtype=np.float64)
    rows = np.add.reduceat(plane, starts[0], axis=0, dtype=wide)
    return np.add.reduceat(rows, starts[1], axis=1, dtype=np.float64)
