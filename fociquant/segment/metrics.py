"""How well labels agree with truth: matching, precision, recall, AP, panoptic quality.

Pure functions on label images and positions; no torch. Terms:

* two objects match at an intersection over union (IoU) of at least the threshold,
  one to one; where several pairings are possible, the one with the most pairs and
  then the highest sum of IoU counts;
* AP is TP / (TP + FP + FN), as in the Data Science Bowl 2018 and in Cellpose
  (Stringer et al., Nat Methods 18:100, 2021);
* a ratio whose denominator is 0 is undefined (NaN) only where *neither* side has an
  object; where one side is empty, everything on the other is wrong and the ratio is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""IoU thresholds that are always evaluated."""


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Every pair of a found and a true object that share a pixel.

    Parameters
    ----------
    found, true : int
        Number of objects on each side.
    found_index, true_index : numpy.ndarray of int64, shape (K,)
        The pairs; indices from 0 in the order of the labels.
    iou : numpy.ndarray of float64, shape (K,)
        Intersection over union of each pair, in (0, 1].
    """

    found: int
    true: int
    found_index: np.ndarray
    true_index: np.ndarray
    iou: np.ndarray

    def matrix(self) -> sparse.csr_array:
        """IoU of all pairs, sparse, shape (found, true)."""
        shape = (self.found, self.true)
        return sparse.csr_array((self.iou, (self.found_index, self.true_index)), shape=shape)


@dataclass(frozen=True, slots=True)
class Matching:
    """Pairs, one to one.

    Parameters
    ----------
    found_index, true_index : numpy.ndarray of int64, shape (M,)
        Increasing in `found_index`.
    score : numpy.ndarray of float64, shape (M,)
        What the pairing was chosen by: IoU, or 1 - distance / radius.
    """

    found_index: np.ndarray
    true_index: np.ndarray
    score: np.ndarray


@dataclass(frozen=True, slots=True)
class Counts:
    """Right and wrong objects at one threshold, of one image or pooled over several.

    Parameters
    ----------
    tp, fp, fn : int
        Matched pairs, found objects without, true objects without a partner.
    iou_sum : float
        Sum of the IoU of the matched pairs.
    """

    tp: int
    fp: int
    fn: int
    iou_sum: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.iou_sum + other.iou_sum
        )

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return self._ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return self._ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return self._ratio(self.tp, self.tp + 0.5 * (self.fp + self.fn))

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN)."""
        return self._ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def panoptic_quality(self) -> float:
        """Sum of matched IoU / (TP + FP/2 + FN/2) (Kirillov et al., CVPR 2019)."""
        return self._ratio(self.iou_sum, self.tp + 0.5 * (self.fp + self.fn))

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the matched pairs; NaN without a pair."""
        return self.iou_sum / self.tp if self.tp else float("nan")

    def _ratio(self, part: float, whole: float) -> float:
        if not self.tp + self.fp + self.fn:
            return float("nan")
        return part / whole if whole else 0.0


def without_ignored(found: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take out what lies where truth is unknown (negative labels of `true`).

    Parameters
    ----------
    found, true : numpy.ndarray of int, shape (H, W)

    Returns
    -------
    found, true : numpy.ndarray of int, shape (H, W)
        Found objects with more than half of their pixels in the unknown part are gone,
        the others lose those pixels; `true` has no negative label any more.
    """
    hidden = true < 0
    if not hidden.any():
        return found, true
    names, index = np.unique(found, return_inverse=True)
    index = index.reshape(found.shape)
    total = np.bincount(index.ravel(), minlength=names.size)
    unseen = np.bincount(index[hidden], minlength=names.size)
    dropped = (2 * unseen > total)[index]
    return np.where(hidden | dropped, 0, found), np.where(hidden, 0, true)


def overlaps(found: np.ndarray, true: np.ndarray) -> Overlaps:
    """IoU of every pair of objects that touch, by counting pixels once.

    Parameters
    ----------
    found, true : numpy.ndarray of int, shape (H, W)
        Label images; 0 (or less) is background, labels need not be consecutive.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if found.shape != true.shape:
        raise ValueError(f"label images of shape {found.shape} and {true.shape} do not compare")
    rows, n_found = _numbered(found)
    columns, n_true = _numbered(true)
    ones = np.ones(rows.size, np.int64)
    shape = (n_found + 1, n_true + 1)
    counts = sparse.coo_array((ones, (rows, columns)), shape=shape).tocsr()
    area_found = np.asarray(counts.sum(axis=1)).ravel()
    area_true = np.asarray(counts.sum(axis=0)).ravel()
    pairs = counts.tocoo()
    keep = (pairs.row > 0) & (pairs.col > 0)
    row, column = pairs.row[keep].astype(np.int64), pairs.col[keep].astype(np.int64)
    shared = pairs.data[keep]
    iou = shared / (area_found[row] + area_true[column] - shared)
    return Overlaps(n_found, n_true, row - 1, column - 1, iou)


def _numbered(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Labels as 0 … n without gaps, flat; n."""
    flat = np.maximum(labels, 0).ravel()
    top = int(flat.max()) if flat.size else 0
    if top <= 4 * flat.size + 1024:
        present = np.zeros(top + 1, bool)
        present[flat] = True
        present[0] = False
        names = np.cumsum(present)
        return np.where(flat > 0, names[flat], 0), int(present.sum())
    values, index = np.unique(flat, return_inverse=True)
    shift = 0 if values[0] == 0 else 1
    return index.ravel() + shift, int(values.size - 1 + shift)


def match(pairs: Overlaps, threshold: float) -> Matching:
    """The one-to-one pairing at an IoU of at least `threshold`.

    Parameters
    ----------
    pairs : Overlaps
    threshold : float
        In (0, 1]. Above 0.5 the pairing is unique by definition; at or below, several
        are possible and the best is found.
    """
    keep = pairs.iou >= threshold
    return _one_to_one(
        pairs.found_index[keep], pairs.true_index[keep], pairs.iou[keep], pairs.found, pairs.true
    )


def match_centres(found: np.ndarray, true: np.ndarray, radius: np.ndarray) -> Matching:
    """The one-to-one pairing of positions closer than one radius.

    Parameters
    ----------
    found, true : numpy.ndarray of float, shape (N, 2) and (M, 2)
        Centres, any one unit.
    radius : numpy.ndarray of float, shape (M,)
        How far from each true centre a found one may lie (inclusive).

    Returns
    -------
    Matching
        With the most pairs, and among those the smallest distances.
    """
    if not len(found) or not len(true):
        nothing = np.empty(0, np.int64)
        return Matching(nothing, nothing, np.empty(0))
    near = cKDTree(found).query_ball_point(true, radius)
    sizes = np.array([len(one) for one in near])
    columns = np.repeat(np.arange(len(true)), sizes)
    rows = np.array([index for one in near for index in one], dtype=np.int64)
    distance = np.linalg.norm(found[rows] - true[columns], axis=1)
    score = 1.0 - distance / np.maximum(radius[columns], 1e-12)
    return _one_to_one(rows, columns, score, len(found), len(true))


def _one_to_one(
    rows: np.ndarray, columns: np.ndarray, score: np.ndarray, n_rows: int, n_columns: int
) -> Matching:
    """Most pairs first, then the highest sum of scores (each in [0, 1])."""
    crowded = (np.bincount(rows, minlength=n_rows)[rows] > 1) | (
        np.bincount(columns, minlength=n_columns)[columns] > 1
    )
    kept = [np.flatnonzero(~crowded)]
    kept += [_assign(rows, columns, score, group) for group in _groups(rows, columns, crowded)]
    chosen = np.concatenate(kept)
    chosen = chosen[np.argsort(rows[chosen], kind="stable")]
    return Matching(rows[chosen], columns[chosen], score[chosen])


def _groups(rows: np.ndarray, columns: np.ndarray, crowded: np.ndarray) -> list[np.ndarray]:
    """Indices of candidate pairs that compete with each other, one array per cluster."""
    where = np.flatnonzero(crowded)
    if not where.size:
        return []
    offset = int(rows[where].max()) + 1
    size = offset + int(columns[where].max()) + 1
    graph = sparse.coo_array(
        (np.ones(where.size), (rows[where], columns[where] + offset)), shape=(size, size)
    )
    label = connected_components(graph, directed=False)[1][rows[where]]
    order = np.argsort(label, kind="stable")
    cuts = np.flatnonzero(np.diff(label[order])) + 1
    return list(np.split(where[order], cuts))


def _assign(
    rows: np.ndarray, columns: np.ndarray, score: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """The pairs of one cluster that are kept."""
    row_names, row = np.unique(rows[group], return_inverse=True)
    column_names, column = np.unique(columns[group], return_inverse=True)
    gain = np.zeros((row_names.size, column_names.size))
    index = np.full(gain.shape, -1, np.int64)
    # The scores together weigh less than one more pair.
    gain[row, column] = 1.0 + score[group] / (2.0 * min(gain.shape))
    index[row, column] = group
    picked = index[linear_sum_assignment(gain, maximize=True)]
    return picked[picked >= 0]


def counts_at(pairs: Overlaps, threshold: float) -> Counts:
    """Right and wrong objects of one image at one IoU threshold."""
    matching = match(pairs, threshold)
    tp = matching.score.size
    return Counts(tp, pairs.found - tp, pairs.true - tp, float(matching.score.sum()))


def score_labels(
    found: np.ndarray, true: np.ndarray, *, thresholds: Sequence[float] = THRESHOLDS
) -> dict[float, Counts]:
    """Right and wrong objects of one image at every threshold.

    Parameters
    ----------
    found, true : numpy.ndarray of int, shape (H, W)
        Label images; 0 is background. Pixels where `true` is negative do not count,
        see :func:`without_ignored`.
    thresholds : sequence of float
        IoU thresholds in (0, 1].

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if found.shape != true.shape:
        raise ValueError(f"label images of shape {found.shape} and {true.shape} do not compare")
    pairs = overlaps(*without_ignored(found, true))
    return {threshold: counts_at(pairs, threshold) for threshold in thresholds}
