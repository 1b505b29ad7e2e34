"""Labels or counts against truth: ``fociquant evaluate``."""

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
from fociquant.segment.metrics import THRESHOLDS, Counts, match_centres, score_labels
from fociquant.settings import load_profile
from fociquant.store import ResultsFolder, read_csv, read_parquet

IMAGE_ENDINGS = (".ome.tiff", ".ome.tif", ".ome.zarr", ".tiff", ".tif", ".zarr")
"""Endings of files that hold labels or images."""

LABEL_ENDINGS = (
    "_cp_masks", "_labels", "_label", "_masks", "_mask", "_pred", "_truth", "_gt",
)  # fmt: skip
"""What programs add to an image's name for its labels; ignored when files are matched."""

DETAILED_IOU = 0.5
"""IoU at which precision, recall, F1 and panoptic quality are told per image."""

SMALL_COUNT, SMALL_ERROR, RELATIVE_ERROR = 20, 1, 0.05
"""A mouse is counted well within 1 cell below 20 cells, within 5 % from there."""

TEXT = ("section", "mouse", "group", "control", "class", "status", "reason", "warnings", "image")


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


def file_key(path: Path) -> str:
    """Name of a file without format and label endings: ``a_masks.ome.tif`` and ``a.tif`` agree."""
    name = path.name
    for ending in IMAGE_ENDINGS:
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    for ending in LABEL_ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def is_image_file(path: Path) -> bool:
    """Whether the name is that of an image or label file."""
    return path.name.lower().endswith(IMAGE_ENDINGS) and not path.name.startswith(".")


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
    for path in sorted(filter(is_image_file, folder.iterdir())):
        found.setdefault(file_key(path), []).append(path)
    if not found:
        raise InputError(f"no label image in {folder}. They end in .tif, .tiff or .zarr.")
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
    folders = [path.is_dir() and path.suffix.lower() != ".zarr" for path in (found, true)]
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
        "image_mean": _plain(means),
        "pooled": _plain(_numbers(_pool(scores))),
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """For JSON: None instead of NaN."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in values.items()
    }


def is_results(path: Path) -> bool:
    """Whether the folder is a results folder of ``fociquant run``."""
    return ResultsFolder(path).run.is_file() and ResultsFolder(path).cells.is_file()


def truth_folder(path: Path) -> Path:
    """The folder with the truth tables: `path` or its ``truth/``.

    Raises
    ------
    InputError
        If neither has them.
    """
    needed = ("cells.csv", "foci.csv", "sections.csv")
    for folder in (path, path / "truth"):
        if all((folder / name).is_file() for name in needed):
            return folder
    raise InputError(
        f"{path} has no {', '.join(needed)}. Give the truth/ folder written by fociquant simulate."
    )


def evaluate_results(results: Path, truth: Path) -> Evaluation:
    """Compare the counts of a results folder with simulated truth.

    A counted cell is right if its centre lies within one cell radius (that of a disc
    of the true cell's area) of a true cell's centre, one to one. Sections that could
    not be counted are left out on both sides, and told.

    Parameters
    ----------
    results : pathlib.Path
        Of ``fociquant run``.
    truth : pathlib.Path
        ``truth/`` of ``fociquant simulate``, or the folder around it.

    Raises
    ------
    InputError
        If truth is absent or the sections are not the same.
    ResultsError
        If a table cannot be read.
    """
    folder, source = ResultsFolder(results), truth_folder(truth)
    true = {
        name: read_csv(source / f"{name}.csv", text=TEXT) for name in ("cells", "foci", "sections")
    }
    sections = read_csv(folder.sections, text=TEXT)
    _same_sections(sections, true["sections"], results, source)
    counted = read_parquet(folder.cells)
    counted = counted[counted["positive"].astype(bool)]
    done = set(sections.loc[sections["status"] == "done", "section"])
    rows = [
        _section_row(row, counted[counted["section"] == row.section],
                     true["cells"][true["cells"]["section"] == row.section])
        for row in true["sections"].itertuples(index=False)
        if row.section in done
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=list(_SECTION_COLUMNS))
    foci = read_csv(folder.foci, text=TEXT)
    mice = _mice(table, true["sections"], foci, true["foci"])
    overall = _results_overall(table, mice, failed=len(sections) - len(table))
    return Evaluation(table, overall, mice)


_SECTION_COLUMNS = (
    "section", "mouse", "group", "dpi", "cells", "cells_true", "count_error", "count_error_pct",
    "matched", "missed", "false_positives", "precision", "recall", "f1",
    "solitary_true", "solitary_matched", "solitary_recall", "tissue_mm2", "false_positives_per_mm2",
)  # fmt: skip


def _same_sections(found: pd.DataFrame, true: pd.DataFrame, results: Path, truth: Path) -> None:
    names = {"results": set(found["section"]), "truth": set(true["section"])}
    only = {
        f"only in {results}": sorted(names["results"] - names["truth"]),
        f"only in {truth}": sorted(names["truth"] - names["results"]),
    }
    lines = [f"{where}: {', '.join(which)}" for where, which in only.items() if which]
    if lines:
        raise InputError(
            "results and truth are not of the same sections.\n  " + "\n  ".join(lines)
            + "\nGive the truth of the study that was counted."
        )  # fmt: skip


def _section_row(section: Any, found: pd.DataFrame, true: pd.DataFrame) -> dict[str, Any]:
    radius = np.sqrt(true["area_um2"].to_numpy(float) / math.pi)
    centres = [table[["y_um", "x_um"]].to_numpy(float) for table in (found, true)]
    matching = match_centres(centres[0], centres[1], radius)
    hit = np.zeros(len(true), bool)
    hit[matching.true_index] = True
    solitary = (true["class"] == "solitary").to_numpy()
    counts = Counts(len(matching.score), len(found) - len(matching.score), int((~hit).sum()))
    return {
        "section": section.section,
        "mouse": section.mouse,
        "group": section.group,
        "dpi": section.dpi,
        **_count_error(len(found), len(true)),
        "matched": counts.tp,
        "missed": counts.fn,
        "false_positives": counts.fp,
        "precision": counts.precision,
        "recall": counts.recall if len(true) else math.nan,
        "f1": counts.f1,
        "solitary_true": int(solitary.sum()),
        "solitary_matched": int(hit[solitary].sum()),
        "solitary_recall": _ratio(hit[solitary].sum(), solitary.sum()),
        "tissue_mm2": float(section.tissue_mm2),
        "false_positives_per_mm2": _ratio(counts.fp, section.tissue_mm2),
    }


def _count_error(found: int, true: int) -> dict[str, Any]:
    return {
        "cells": found,
        "cells_true": true,
        "count_error": found - true,
        "count_error_pct": 100.0 * _ratio(found - true, true),
    }


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else math.nan


def _mice(
    table: pd.DataFrame, sections: pd.DataFrame, foci: pd.DataFrame, foci_true: pd.DataFrame
) -> pd.DataFrame:
    """One row per mouse in the order of the sheet, over its counted sections."""
    classes = [one.name for one in load_profile("chia2025").classes]
    rows = []
    for mouse, planned in sections.groupby("mouse", sort=False):
        own = table[table["mouse"] == mouse]
        found, true = int(own["cells"].sum()), int(own["cells_true"].sum())
        allowed = SMALL_ERROR if true < SMALL_COUNT else RELATIVE_ERROR * true
        row = {
            "mouse": mouse,
            "group": planned["group"].iloc[0],
            "dpi": planned["dpi"].iloc[0],
            "sections": len(own),
            "sections_failed": len(planned) - len(own),
            **_count_error(found, true),
            "within_tolerance": abs(found - true) <= allowed,
        }
        for side, those in (("", foci), ("_true", foci_true)):
            mine = those.loc[those["section"].isin(own["section"]), "class"]
            row |= {f"{name}{side}": int((mine == name).sum()) for name in classes}
        rows.append(row)
    return pd.DataFrame(rows)


def _results_overall(table: pd.DataFrame, mice: pd.DataFrame, *, failed: int) -> dict[str, Any]:
    total = {name: float(table[name].sum()) for name in table.select_dtypes("number")}
    empty = table[table["cells_true"] == 0]
    counts = Counts(*(int(total[name]) for name in ("matched", "false_positives", "missed")))
    return _plain(
        {
            "sections": len(table),
            "sections_failed": failed,
            **_count_error(int(total["cells"]), int(total["cells_true"])),
            "precision": counts.precision,
            "recall": counts.recall,
            "f1": counts.f1,
            "solitary_true": int(total["solitary_true"]),
            "solitary_recall": _ratio(total["solitary_matched"], total["solitary_true"]),
            "false_positives": counts.fp,
            "false_positives_per_mm2": _ratio(counts.fp, total["tissue_mm2"]),
            "sections_without_cells": len(empty),
            "false_positives_per_mm2_without_cells": _ratio(
                empty["false_positives"].sum(), empty["tissue_mm2"].sum()
            ),
            "mice": len(mice),
            "mice_within_tolerance": int(mice["within_tolerance"].sum()),
        }
    )
