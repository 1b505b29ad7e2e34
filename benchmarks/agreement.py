"""Whether two label images of one place hold the same cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fociquant.tiling.lattice import DECODE_HALO_PX

IOU = 0.95
MARGIN_PX = 64
"""Cells this close to a crop's border are not compared: there a crop ends, and a slide goes on."""


def agreement(
    ours: np.ndarray, theirs: np.ndarray, counted: np.ndarray, *, margin_px: int = MARGIN_PX
) -> dict[str, Any]:
    """Shares of the objects of either that the other has too, to an IoU of :data:`IOU`.

    Parameters
    ----------
    ours, theirs : numpy.ndarray of int, shape (h, w)
        0 is background.
    counted : numpy.ndarray of int
        Numbers in `ours` of the objects that passed the gate.
    margin_px : int
        Objects this close to the border are not compared.

    Returns
    -------
    dict
        ``ours``, ``theirs``, ``counted``: objects away from the border; ``same_…``: shares
        of these, None without any. ``counted_iou``: how much the counted ones share with the
        other's object that has most of them.
    """
    a, b, iou = _pairs(ours, theirs)
    matched = iou >= IOU
    inner = _inner(ours, margin_px)
    answer: dict[str, Any] = {}
    for name, compared, found in (
        ("ours", inner, a[matched]),
        ("theirs", _inner(theirs, margin_px), b[matched]),
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


def same_in_arrays(kept: Path, arrays: Path, crop: Path) -> dict[str, Any]:
    """Shares of counted cells that are the same in arrays that our decode cells saw.

    Parameters
    ----------
    kept, crop : Path
        As for :func:`agreement_of`.
    arrays : Path
        What ``CellposeModel.eval`` found in these arrays, cut into tiles in some ways.

    Returns
    -------
    dict
        ``cells`` compared; ``own``, ``half``, ``one``: share of ours in eval's by how it cut the
        array; ``itself``: share of what eval found in these arrays that it also found in the crop.
    """
    import zarr

    counted = np.load(kept / "counted.npy")
    stored = zarr.open_group(kept, mode="r")["0"]
    shares: dict[str, list[tuple[int, int]]] = {}
    with np.load(arrays) as found, np.load(crop) as whole:
        numbers = [name.split("_")[1] for name in found if name.startswith("origin_")]
        ways = [name.split("_")[2] for name in found if name.startswith("labels_0_")]
        for number in numbers:
            theirs = {way: found[f"labels_{number}_{way}"] for way in ways}
            (y, x), (height, width) = found[f"origin_{number}"].tolist(), theirs["own"].shape
            ours = np.asarray(stored[y : y + height, x : x + width])
            for way, labels in theirs.items():
                shares.setdefault(way, []).append(_same(ours, labels, counted))
            top, left = (y, x) - whole["origin"]
            again = whole["labels"][max(top, 0) :, max(left, 0) :][:height, :width]
            if min(top, left) >= 0 and again.shape == (height, width):
                same = _same(theirs["own"], again, np.unique(theirs["own"]))
                shares.setdefault("itself", []).append(same)
    totals = {name: np.sum(parts, axis=0).tolist() for name, parts in shares.items()}
    answer = {name: round(same / max(of, 1), 5) for name, (same, of) in totals.items()}
    return {"cells": totals["own"][1], **answer}


def _same(ours: np.ndarray, theirs: np.ndarray, counted: np.ndarray) -> tuple[int, int]:
    """How many counted cells are the same, of how many: those whose decode cell this is."""
    found = agreement(ours, theirs, counted, margin_px=DECODE_HALO_PX)
    return round((found["same_counted"] or 0.0) * found["counted"]), found["counted"]


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


def _inner(labels: np.ndarray, margin_px: int) -> np.ndarray:
    """Numbers of the cells that come nowhere near the border."""
    near = labels.copy()
    near[margin_px:-margin_px, margin_px:-margin_px] = 0
    return np.setdiff1d(np.unique(labels), np.append(np.unique(near), 0))
