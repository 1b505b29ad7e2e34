"""Label images against true ones: ``fociquant evaluate``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fociquant.errors import ImageError, InputError
from fociquant.io import open_image
from fociquant.model import Box
from fociquant.run.image_files import file_key, images_in, is_folder
from fociquant.segment.metrics import THRESHOLDS, Counts, score_labels

DETAILED_IOU = 0.5
"""IoU at which precision, recall, F1 and panoptic quality are told per image."""


@dataclass(frozen=True, slots=True)
class LabelPair:
    """Two label images of one field.

    Parameters
    ----------
    name : str
        Common part of the file names.
    found, true : pathlib.Path
    """

    name: str
    found: Path
    true: Path


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Outcome of a comparison.

    Parameters
    ----------
    rows : pandas.DataFrame
        One row per image (labels) or section (results).
    overall : mapping
        Numbers over everything, ready for JSON: None where undefined.
    curve : pandas.DataFrame
        Labels: one row per IoU threshold. Results: one row per mouse.
    """

    rows: pd.DataFrame
    overall: Mapping[str, Any]
    curve: pd.DataFrame


def label_files(folder: Path) -> dict[str, Path]:
    """Label images of a folder by their key, sorted.

    Where a folder holds an image and its labels (``a.tif`` and ``a_masks.tif``), the
    file with the label ending is meant.

    Raises
    ------
    InputError
        If the folder cannot be read or has no such file, or two files have one key.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist. Give a label image or a folder of them.")
    found: dict[str, list[Path]] = {}
    for path in images_in(folder):
        found.setdefault(file_key(path), []).append(path)
    if not found:
        raise InputError(f"no label image in {folder}. They end in .tif, .tiff, .zarr or .png.")
    chosen = {key: _the_labels(paths) for key, paths in found.items()}
    unclear = [path.name for key, paths in found.items() if chosen[key] is None for path in paths]
    if unclear:
        raise InputError(
            f"{folder}: several files for one image: {', '.join(unclear)}. Keep one of each."
        )
    return {key: path for key, path in chosen.items() if path is not None}


def _the_labels(paths: Sequence[Path]) -> Path | None:
    named = [path for path in paths if not path.name.startswith(f"{file_key(path)}.")]
    candidates = paths if len(paths) == 1 else named
    return candidates[0] if len(candidates) == 1 else None


def pair_labels(found: Path, true: Path) -> list[LabelPair]:
    """Which file is compared with which.

    Parameters
    ----------
    found, true : pathlib.Path
        Two label images, or two folders of them (matched by name, see :func:`file_key`).

    Raises
    ------
    InputError
        If one is a folder and the other is not, or a file has no partner; all are listed.
    """
    folders = [is_folder(path) for path in (found, true)]
    if not any(folders):
        return [LabelPair(file_key(found), found, true)]
    if not all(folders):
        raise InputError(f"{found} and {true}: give two label images, or two folders of them.")
    left, right = label_files(found), label_files(true)
    alone = [str(left[key]) for key in left.keys() - right.keys()]
    alone += [str(right[key]) for key in right.keys() - left.keys()]
    if alone:
        raise InputError(
            "these files have no partner of the same name in the other folder:\n  "
            + "\n  ".join(sorted(alone))
            + "\nRename, add or remove them."
        )
    return [LabelPair(key, left[key], right[key]) for key in sorted(left)]


def read_labels(path: Path) -> np.ndarray:
    """A label image as int64, shape (H, W); negative: not known.

    Raises
    ------
    ImageError
        If it cannot be read, has several channels, or holds fractions.
    """
    with open_image(path) as image:
        channels, height, width = image.shape
        if channels != 1:
            raise ImageError(
                f"{path}: {channels} channels; a label image has one. Export the labels alone."
            )
        pixels = image.read(Box.of_shape((height, width)), [0])[0]
    if pixels.dtype.kind == "f":
        if not np.array_equal(pixels, np.rint(pixels)):
            raise ImageError(
                f"{path}: holds fractions; a label image has one whole number per object."
            )
        return pixels.astype(np.int64)
    if pixels.dtype == np.uint64 and pixels.size and int(pixels.max()) > np.iinfo(np.int64).max:
        raise ImageError(f"{path}: labels above 2**63. Number the objects from 1.")
    return pixels.astype(np.int64)


def evaluate_labels(pairs: Sequence[LabelPair], *, thresholds: Sequence[float] = ()) -> Evaluation:
    """Compare label images.

    Parameters
    ----------
    pairs : sequence of LabelPair
    thresholds : sequence of float
        IoU thresholds in (0, 1] besides those of :data:`fociquant.segment.metrics.THRESHOLDS`.

    Raises
    ------
    ImageError
        If an image cannot be read, or the two of a pair differ in size.
    """
    wanted = sorted({*THRESHOLDS, *(round(float(t), 6) for t in thresholds)})
    scores = {pair.name: _score_pair(pair, wanted) for pair in pairs}
    rows = pd.DataFrame([_image_row(name, score) for name, score in scores.items()])
    curve = pd.DataFrame([_curve_row(t, scores.values()) for t in wanted])
    return Evaluation(rows, _overall(rows, scores.values()), curve)


def _score_pair(pair: LabelPair, thresholds: Sequence[float]) -> dict[float, Counts]:
    found, true = read_labels(pair.found), read_labels(pair.true)
    if found.shape != true.shape:
        raise ImageError(
            f"{pair.found} is {found.shape[0]} × {found.shape[1]} px, {pair.true} is "
            f"{true.shape[0]} × {true.shape[1]} px. Compare labels of the same image."
        )
    return score_labels(found, true, thresholds=thresholds)


def _image_row(name: str, score: Mapping[float, Counts]) -> dict[str, Any]:
    return {"image": name, **_numbers(score)}


def _numbers(score: Mapping[float, Counts]) -> dict[str, Any]:
    """Every number of one image, or of the pooled counts."""
    at = score[DETAILED_IOU]
    found, true = at.tp + at.fp, at.tp + at.fn
    ap = {t: counts.average_precision for t, counts in score.items()}
    return {
        "objects": found,
        "objects_true": true,
        "count_error": found - true,
        "count_error_pct": 100.0 * (found - true) / true if true else math.nan,
        "tp_50": at.tp,
        "fp_50": at.fp,
        "fn_50": at.fn,
        "precision_50": at.precision,
        "recall_50": at.recall,
        "f1_50": at.f1,
        "pq_50": at.panoptic_quality,
        "mean_iou_50": at.mean_iou,
        "ap_mean_50_90": float(np.mean([ap[t] for t in THRESHOLDS if t <= 0.9])),
        "ap_mean_50_95": float(np.mean([ap[t] for t in THRESHOLDS])),
        **{f"ap_{100 * t:g}": value for t, value in ap.items()},
    }


def _pool(scores: Iterable[Mapping[float, Counts]]) -> dict[float, Counts]:
    total: dict[float, Counts] = {}
    for score in scores:
        for threshold, counts in score.items():
            total[threshold] = total.get(threshold, Counts(0, 0, 0)) + counts
    return total


def _curve_row(threshold: float, scores: Iterable[Mapping[float, Counts]]) -> dict[str, Any]:
    each = [score[threshold] for score in scores]
    pooled = sum(each, Counts(0, 0, 0))
    values = [c.average_precision for c in each if not math.isnan(c.average_precision)]
    return {
        "iou": threshold,
        "tp": pooled.tp,
        "fp": pooled.fp,
        "fn": pooled.fn,
        "precision": pooled.precision,
        "recall": pooled.recall,
        "f1": pooled.f1,
        "pq": pooled.panoptic_quality,
        "ap_pooled": pooled.average_precision,
        "ap_image_mean": float(np.mean(values)) if values else math.nan,
    }


def _overall(rows: pd.DataFrame, scores: Iterable[Mapping[float, Counts]]) -> dict[str, Any]:
    """Mean over the images (undefined ones left out) and numbers of the pooled counts."""
    names = [name for name in rows.columns if name != "image"]
    means = {name: float(rows[name].mean()) for name in names}
    means["count_error_abs"] = float(rows["count_error"].abs().mean())
    return {
        "images": len(rows),
        "images_without_objects": int(rows["f1_50"].isna().sum()),
        "image_mean": plain_values(means),
        "pooled": plain_values(_numbers(_pool(scores))),
    }


def plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """For JSON: None instead of NaN."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in values.items()
    }
