"""How much marker light autofluorescence alone brings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fociquant.prepare.grids import block_sums

BIN_EDGES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)
"""Bins of autofluorescence, percentiles; narrower where it is bright, because there it says most
about the slope. The brightest 5 % are left out: pigment and red cells, of which an infected lung
has more, have another colour than tissue and would rule the slope by their distance."""

FAR_QUARTILES = 2.0
"""Squares brighter than the upper quartile by so many interquartile ranges are left out as well: a
bleeding can be a tenth of a section."""

BRIGHTEST_PERCENT = 99.5
"""Squares from this percentile on are pigment or red cells: an alveolar macrophage covers some 150
µm², ten of them half a percent of the tissue in a third of a square millimetre."""

MIN_BIN = 20
"""Squares in a bin whose median counts."""

BLOCK_PX = 4
"""Pixels are averaged in squares of this edge: noise on the autofluorescence would flatten the
slope."""


@dataclass(frozen=True, slots=True)
class TissueSquares:
    """Means over small squares that are all tissue, those left out in which a pixel is not finite.

    Parameters
    ----------
    marker, autofluorescence : numpy.ndarray of float64, shape (n,)
        Raw counts.
    """

    marker: np.ndarray
    autofluorescence: np.ndarray

    @classmethod
    def of(
        cls,
        marker: list[np.ndarray],
        autofluorescence: list[np.ndarray],
        tissue: list[np.ndarray],
    ) -> TissueSquares:
        """Of sampled tiles (h, w), raw counts; `tissue` (bool) says which pixels are tissue."""
        x, y = _squares(autofluorescence, tissue), _squares(marker, tissue)
        usable = np.isfinite(x) & np.isfinite(y)
        return cls(y[usable], x[usable])


def autofluorescence_slope(squares: TissueSquares) -> float:
    """Marker counts per autofluorescence count in common unlabelled tissue.

    Squares are binned by autofluorescence, without the brightest. The median marker of a bin is
    not moved by labelled cells as long as they are the minority in every bin. The slope is the
    median over all pairs of bins, weighted by their distance (H. Theil 1950; P. K. Sen, J. Am.
    Stat. Assoc. 63:1379, 1968; weights: L. A. Jaeckel, Ann. Math. Stat. 43:1449, 1972).

    Parameters
    ----------
    squares : TissueSquares

    Returns
    -------
    float
        >= 0; 0 where autofluorescence does not vary.
    """
    if squares.marker.size < 2 * MIN_BIN:
        return 0.0
    bx, by = _bin_medians(squares.autofluorescence, squares.marker)
    i, j = np.triu_indices(len(bx), 1)
    run, rise = bx[j] - bx[i], by[j] - by[i]
    rising = run > 0
    if not rising.any():
        return 0.0
    return max(weighted_median(rise[rising] / run[rising], run[rising]), 0.0)


def pigment_slope(squares: TissueSquares, *, ground: tuple[float, float]) -> float:
    """Marker counts per autofluorescence count of what glows most: pigment and red cells.

    Parameters
    ----------
    squares : TissueSquares
    ground : (float, float)
        Darkest levels of both channels, counts.

    Returns
    -------
    float
        >= 0; the upper quartile of the brightest squares, so that where macrophages are they have
        the say. 0 where there are too few squares.
    """
    x, y = squares.autofluorescence - ground[1], squares.marker - ground[0]
    if x.size < 2 * MIN_BIN:
        return 0.0
    bright = (x >= np.percentile(x, BRIGHTEST_PERCENT)) & (x > 0)
    if not bright.any():
        return 0.0
    return max(float(np.percentile(y[bright] / x[bright], 75.0)), 0.0)


def _squares(tiles: list[np.ndarray], tissue: list[np.ndarray]) -> np.ndarray:
    """Means over small squares that are all tissue; NaN where a pixel is not finite."""
    found = [np.empty(0)]
    for tile, mask in zip(tiles, tissue, strict=True):
        h, w = (size // BLOCK_PX for size in tile.shape)
        cut = np.s_[: h * BLOCK_PX, : w * BLOCK_PX]
        whole = block_sums(mask[cut], BLOCK_PX) == BLOCK_PX**2
        if tile.dtype.kind == "u" and tile.dtype.itemsize <= 2:
            found.append(block_sums(tile[cut], BLOCK_PX)[whole] / BLOCK_PX**2)
        else:
            values = np.where(np.isfinite(tile[cut]), tile[cut], np.nan).astype(np.float64)
            means = values.reshape(h, BLOCK_PX, w, BLOCK_PX).mean(axis=(1, 3))
            found.append(means[whole])
    return np.concatenate(found)


def _bin_medians(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median autofluorescence and marker of each bin that has enough squares."""
    lower, upper, most = np.percentile(x, (25, 75, BIN_EDGES[-1]))
    common = x <= min(most, upper + FAR_QUARTILES * (upper - lower))
    x, y = x[common], y[common]
    inner = np.percentile(x, [100.0 * edge / BIN_EDGES[-1] for edge in BIN_EDGES[1:-1]])
    number = np.searchsorted(inner, x, side="right")
    pairs = [
        (np.median(x[chosen]), np.median(y[chosen]))
        for chosen in (number == k for k in range(len(BIN_EDGES) - 1))
        if np.count_nonzero(chosen) >= MIN_BIN
    ]
    table = np.array(pairs, np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The value below which half of the weights lie, the lower one of two.

    Parameters
    ----------
    values, weights : numpy.ndarray of float64, shape (n,)
        n > 0; weights >= 0, one of them above 0.
    """
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
