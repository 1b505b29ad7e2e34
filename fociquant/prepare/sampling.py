"""Where to look at full resolution: tiles on lattices fixed by the image's shape alone."""

from __future__ import annotations

import numpy as np

from fociquant.model import Box

TILE_PX = 256
"""Edge of a sampled tile, px."""


def grid_shape(shape: tuple[int, int], edge: int) -> tuple[int, int]:
    """Tiles (rows, columns) of this edge that cover an image of this (height, width)."""
    return -(-shape[0] // edge), -(-shape[1] // edge)


def tile_box(row: int, column: int, shape: tuple[int, int], edge: int) -> Box:
    """The tile at this place of the grid, cut at the image's border."""
    tile = Box(row * edge, column * edge, (row + 1) * edge, (column + 1) * edge)
    return tile.intersect(Box.of_shape(shape))


def lattice(shape: tuple[int, int], n: int, edge: int = TILE_PX) -> list[Box]:
    """About `n` (at most) tiles spread evenly over an image; all tiles if there are no more.

    Parameters
    ----------
    shape : (int, int)
        (height, width), px.
    n : int
        >= 1.
    edge : int
        Of a tile, px.

    Returns
    -------
    list of Box
        In raster order; empty for an image without pixels.
    """
    rows, columns = grid_shape(shape, edge)
    if rows * columns > n:
        take_rows = int(np.clip(round((n * rows / columns) ** 0.5), 1, min(n, rows)))
        take_columns = min(n // take_rows, columns)
    else:
        take_rows, take_columns = rows, columns
    return [
        tile_box(_spread(i, take_rows, rows), _spread(j, take_columns, columns), shape, edge)
        for i in range(take_rows)
        for j in range(take_columns)
    ]


def tissue_tiles(
    mask: np.ndarray, factor: int, shape: tuple[int, int], n: int, edge: int = TILE_PX
) -> list[Box]:
    """At most `n` tiles that lie in tissue by at least half, spread evenly over it.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (h, w)
        Tissue on the overview.
    factor : int
        Full-resolution pixels per overview pixel.
    shape : (int, int)
        (height, width) at full resolution, px.
    n : int
        >= 0.
    edge : int
        Of a tile, px.

    Returns
    -------
    list of Box
    """
    rows, columns = grid_shape(shape, edge)
    inside = _tile_fractions(mask, factor, (rows, columns), edge) >= 0.5
    places = np.argwhere(inside)
    places = places[np.argsort(_morton(places), kind="stable")]
    take = np.unique(np.linspace(0, max(len(places) - 1, 0), min(n, len(places))).astype(int))
    return [tile_box(int(r), int(c), shape, edge) for r, c in places[take]]


def _spread(index: int, take: int, available: int) -> int:
    return (2 * index + 1) * available // (2 * take)


def _tile_fractions(mask: np.ndarray, factor: int, grid: tuple[int, int], edge: int) -> np.ndarray:
    """Share of tissue of each tile, by a summed-area table of the overview."""
    table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    table[1:, 1:] = mask.cumsum(0, dtype=np.float64).cumsum(1)
    cuts = []
    for tiles, size in zip(grid, mask.shape, strict=True):
        first = np.minimum(np.arange(tiles) * edge // factor, max(size - 1, 0))
        last = np.minimum(-(-(np.arange(tiles) + 1) * edge // factor), size)
        cuts.append((first, np.maximum(last, first)))
    (y0, y1), (x0, x1) = cuts
    total = table[np.ix_(y1, x1)] - table[np.ix_(y0, x1)] - table[np.ix_(y1, x0)]
    total += table[np.ix_(y0, x0)]
    return total / np.maximum(np.outer(y1 - y0, x1 - x0), 1)


def _morton(places: np.ndarray) -> np.ndarray:
    """Z-order of (row, column): neighbours in the order are neighbours in the image."""
    code = np.zeros(len(places), np.int64)
    for bit in range(20):
        code |= ((places[:, 1] >> bit) & 1) << (2 * bit)
        code |= ((places[:, 0] >> bit) & 1) << (2 * bit + 1)
    return code
