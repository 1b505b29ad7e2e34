"""The objects of all decode cells as one table, every object once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from fociquant.model import Box
from fociquant.store.labels import unpack_mask
from fociquant.tiling import Lattice, duplicate_rows
from fociquant.tiling.ownership import BAND_PX

SAME_OBJECT_SHARE = 0.5
"""Two views are of one object if, where both cells look, they share more of what either covers."""


def merge(parts: list[pd.DataFrame], lattice: Lattice) -> pd.DataFrame:
    """Rows of all blocks in lattice order, without repeats, numbered 1 … n in ``cell``.

    Parameters
    ----------
    parts : list of pandas.DataFrame
        With ``decode_cell``, ``label`` and ``mask_*``; in any order, at least one.
    lattice : Lattice
        On which they were found.

    Returns
    -------
    pandas.DataFrame
    """
    filled = [part for part in parts if len(part)]
    table = pd.concat(filled, ignore_index=True) if filled else parts[0]
    table = table.sort_values(["decode_cell", "label"], kind="stable", ignore_index=True)
    boxes = _boxes(table)
    identity = np.arange(len(table), dtype=np.int64)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    repeated = duplicate_rows(middles, table["decode_cell"].to_numpy(), identity)
    table = table[~repeated].reset_index(drop=True)
    table = table[~_cut_views(table, lattice)].reset_index(drop=True)
    return table.assign(cell=np.arange(1, len(table) + 1, dtype=np.int64))


def _boxes(table: pd.DataFrame) -> np.ndarray:
    """``y0, x0, y1, x1`` of every mask, int64 (n, 4)."""
    first = table[["mask_y0", "mask_x0"]].to_numpy(np.int64)
    size = table[["mask_height", "mask_width"]].to_numpy(np.int64)
    return np.concatenate([first, first + size], axis=1)


def _cut_views(table: pd.DataFrame, lattice: Lattice) -> np.ndarray:
    """Rows that are another decode cell's view of an object larger than the halo.

    Each cell sees another part of such an object, with another centre, so that more than
    one may report it. The largest view is kept; it carries the flag OVERSIZE.
    """
    repeated = np.zeros(len(table), bool)
    boxes = _boxes(table)
    spans = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    # Cut on one side and its centre in the core: it reaches across the halo at least.
    large = np.flatnonzero(spans >= lattice.decode_halo_px - BAND_PX)
    views = [_View(table, row, lattice) for row in large.tolist()]
    pairs = [(i, j) for i, j in _meeting(boxes[large]) if views[i].same(views[j])]
    if not pairs:
        return repeated
    first, second = np.array(pairs).T
    links = coo_matrix((np.ones(len(pairs)), (first, second)), shape=(len(views),) * 2)
    group = connected_components(links, directed=False)[1]
    kept: dict[int, _View] = {}
    for view, number in zip(views, group.tolist(), strict=True):
        best = kept.get(number)
        if best is None or view.mask.sum() > best.mask.sum():
            kept[number] = view
    rows = np.array([view.row for view in views])
    repeated[rows] = True
    repeated[[view.row for view in kept.values()]] = False
    return repeated


def _meeting(boxes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of boxes with a common pixel."""
    for i, box in enumerate(boxes):
        meets = (boxes[:i, :2] < box[2:]).all(axis=1) & (boxes[:i, 2:] > box[:2]).all(axis=1)
        for j in np.flatnonzero(meets).tolist():
            yield i, j


class _View:
    """One decode cell's view of a large object."""

    def __init__(self, table: pd.DataFrame, row: int, lattice: Lattice) -> None:
        at = table.iloc[row]
        height, width = int(at["mask_height"]), int(at["mask_width"])
        y0, x0 = int(at["mask_y0"]), int(at["mask_x0"])
        self.row, self.cell = int(row), int(at["decode_cell"])
        self.box = Box(y0, x0, y0 + height, x0 + width)
        self.mask = unpack_mask(at["mask_bits"], height, width)
        row_of_cells, column = divmod(self.cell, lattice.cells[1])
        self._region = lattice.cell_region((row_of_cells, column))

    def same(self, other: _View) -> bool:
        """Whether both are of one object."""
        if self.cell == other.cell:
            return False
        both_see = self._region.intersect(other._region)
        mine, theirs = self._within(both_see), other._within(both_see)
        return bool((mine & theirs).sum() > SAME_OBJECT_SHARE * (mine | theirs).sum())

    def _within(self, zone: Box) -> np.ndarray:
        out = np.zeros(zone.shape, bool)
        common = self.box.intersect(zone)
        target = common.shift(-zone.y0, -zone.x0).slices
        out[target] = self.mask[common.shift(-self.box.y0, -self.box.x0).slices]
        return out
