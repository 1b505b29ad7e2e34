"""The objects of all decode cells as one table, every object once."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fociquant.model import Box
from fociquant.store.labels import unpack_mask
from fociquant.tiling import duplicate_rows
from fociquant.tiling.lattice import DECODE_HALO_PX
from fociquant.tiling.ownership import BAND_PX

SAME_OBJECT_SHARE = 0.5
"""Large masks from different decode cells that share more of the smaller one are one object."""


def merge(parts: list[pd.DataFrame], *, halo_px: int = DECODE_HALO_PX) -> pd.DataFrame:
    """Rows of all blocks in lattice order, without repeats, numbered 1 … n in ``cell``.

    Parameters
    ----------
    parts : list of pandas.DataFrame
        With ``decode_cell``, ``label`` and ``mask_*``; in any order, at least one.
    halo_px : int
        Of the decode cells.

    Returns
    -------
    pandas.DataFrame
    """
    filled = [part for part in parts if len(part)]
    table = pd.concat(filled, ignore_index=True) if filled else parts[0]
    table = table.sort_values(["decode_cell", "label"], kind="stable", ignore_index=True)
    identity = np.arange(len(table), dtype=np.int64)
    repeated = duplicate_rows(_centres(table), table["decode_cell"].to_numpy(), identity)
    table = table[~repeated].reset_index(drop=True)
    table = table[~_cut_copies(table, halo_px)].reset_index(drop=True)
    return table.assign(cell=np.arange(1, len(table) + 1, dtype=np.int64))


def _centres(table: pd.DataFrame) -> np.ndarray:
    """Middle of every bounding box, px."""
    boxes = _boxes(table)
    return (boxes[:, :2] + boxes[:, 2:]) / 2.0


def _boxes(table: pd.DataFrame) -> np.ndarray:
    """``y0, x0, y1, x1`` of every mask, int64 (n, 4)."""
    first = table[["mask_y0", "mask_x0"]].to_numpy(np.int64)
    size = table[["mask_height", "mask_width"]].to_numpy(np.int64)
    return np.concatenate([first, first + size], axis=1)


def _cut_copies(table: pd.DataFrame, halo_px: int) -> np.ndarray:
    """Rows that are another decode cell's view of an object larger than the halo.

    Each cell sees another part of such an object, with another centre, so that more than
    one may report it. The largest view is kept.
    """
    copies = np.zeros(len(table), bool)
    boxes = _boxes(table)
    # Cut on one side, its centre in the core: it spans the halo at least.
    large = np.flatnonzero(
        (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) >= halo_px - BAND_PX
    )
    if len(large) < 2:
        return copies
    cells = table["decode_cell"].to_numpy()
    masks = {i: _mask(table, i) for i in large.tolist()}
    order = sorted(masks, key=lambda i: (-int(masks[i].sum()), i))
    for rank, kept in enumerate(order):
        rest = np.array(order[rank + 1 :], dtype=np.int64)
        if copies[kept] or not len(rest):
            continue
        meets = (boxes[rest, :2] < boxes[kept, 2:]).all(axis=1)
        meets &= (boxes[rest, 2:] > boxes[kept, :2]).all(axis=1) & (cells[rest] != cells[kept])
        for other in rest[meets].tolist():
            shared = _shared(masks[kept], boxes[kept], masks[other], boxes[other])
            copies[other] |= shared > SAME_OBJECT_SHARE * masks[other].sum()
    return copies


def _mask(table: pd.DataFrame, row: int) -> np.ndarray:
    at = table.iloc[row]
    return unpack_mask(at["mask_bits"], int(at["mask_height"]), int(at["mask_width"]))


def _shared(one: np.ndarray, box: np.ndarray, other: np.ndarray, other_box: np.ndarray) -> int:
    """Pixels that two masks have in common."""
    a, b = Box(*box.tolist()), Box(*other_box.tolist())
    common = a.intersect(b)
    mine, theirs = common.shift(-a.y0, -a.x0).slices, common.shift(-b.y0, -b.x0).slices
    return int((one[mine] & other[theirs]).sum())
