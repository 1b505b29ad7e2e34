"""Whether two label images of one place hold the same cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

IOU = 0.95
MARGIN_PX = 64
"""Cells this close to a crop's border are not compared: there a crop ends, and a slide goes on."""


def agreement(ours: np.ndarray, theirs: np.ndarray, counted: np.ndarray) -> dict[str, Any]:
    """Shares of the objects of either that the other has too, to an IoU of :data:`IOU`.

    Parameters
    ----------
    ours, theirs : numpy.ndarray of int, shape (h, w)
        0 is background.
    counted : numpy.ndarray of int
        Numbers in `ours` of the objects that passed the gate.

    Returns
    -------
    dict
        ``ours``, ``theirs``, ``counted``: objects away from the border; ``same_…``: shares
        of these, None without any. ``counted_iou``: how much the counted ones share with the
        other's object that has most of them.
    """
    a, b, iou = _pairs(ours, theirs)
    matched = iou >= IOU
    inner = _inner(ours)
    answer: dict[str, Any] = {}
    for name, compared, found in (
        ("ours", inner, a[matched]),
        ("theirs", _inner(theirs), b[matched]),
        ("counted", inner[np.isin(inner, counted)], a[matched]),
    ):
        same = int(np.isin(compared, found).sum())
        answer[name] = len(compared)
        answer[f"same_{name}"] = round(same / len(compared), 5) if len(compared) else None
    best = dict.fromkeys(inner[np.isin(inner, counted)].tolist(), 0.0)
    for number, value in zip(a.tolist(), iou.tolist(), strict=True):
        if number in best:
            best[number] = max(best[number], value)
    if best:
        low, middle = np.quantile(list(best.values()), (0.01, 0.5))
        answer["counted_iou"] = {"first_percentile": float(low), "median": float(middle)}
    return answer


def agreement_of(kept: Path, crop: Path) -> dict[str, Any]:
    """The same for our stored labels, ``counted.npy`` beside them, and a contender's crop."""
    import zarr

    with np.load(crop) as found:
        theirs, (y, x) = found["labels"], found["origin"]
    height, width = theirs.shape
    ours = zarr.open_group(kept, mode="r")["0"][y : y + height, x : x + width]
    return agreement(np.asarray(ours), theirs, np.load(kept / "counted.npy"))


def _pairs(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of all that overlap, and their IoU."""
    both = (ours > 0) & (theirs > 0)
    keys = ours[both].astype(np.uint64) << np.uint64(32) | theirs[both].astype(np.uint64)
    keys, shared = np.unique(keys, return_counts=True)
    a, b = (keys >> np.uint64(32)).astype(np.int64), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    union = _areas(ours, a) + _areas(theirs, b) - shared
    return a, b, shared / np.maximum(union, 1)


def _areas(labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    found, counts = np.unique(labels, return_counts=True)
    return counts[np.searchsorted(found, numbers)]


def _inner(labels: np.ndarray) -> np.ndarray:
    """Numbers of the cells that come nowhere near the border."""
    near = labels.copy()
    near[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX] = 0
    return np.setdiff1d(np.unique(labels), np.append(np.unique(near), 0))
