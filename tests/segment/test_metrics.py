"""Metrics against Cellpose's own, against brute force, and by their properties."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from cellpose.metrics import average_precision
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.segment.metrics import (
    THRESHOLDS,
    Counts,
    counts_at,
    match,
    match_centres,
    overlaps,
    score_labels,
    without_ignored,
)

seeds = st.integers(0, 2**32 - 1)


def discs(rng: np.random.Generator, n: int, size: int = 96) -> np.ndarray:
    """Up to `n` discs, later ones over earlier ones, numbered with gaps."""
    y, x = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.int32)
    for name in range(n):
        cy, cx, r = *rng.uniform(0, size, 2), rng.uniform(2, 12)
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= r * r] = 2 * name + 3
    return labels


def disturbed(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same objects moved a little, some gone, some cut, some new."""
    out = np.roll(labels, tuple(rng.integers(-2, 3, 2)), (0, 1)).copy()
    for name in np.unique(out)[1:]:
        kind = rng.random()
        rows, columns = np.nonzero(out == name)
        if kind < 0.15:
            out[rows, columns] = 0
        elif kind < 0.4:
            out[rows[: len(rows) // 2], columns[: len(rows) // 2]] = out.max() + 1
    return np.where(discs(rng, 3) > 0, discs(rng, 3) + 500, out)


def renumbered(labels: np.ndarray) -> np.ndarray:
    """1 … n without gaps, which Cellpose's metrics ask for."""
    return np.searchsorted(np.unique(np.append(labels, 0)), labels)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(0, 25))
def test_same_counts_as_cellpose(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    true = discs(rng, n)
    found = disturbed(true, rng)
    pairs = overlaps(found, true)
    thresholds = [0.1, 0.3, *THRESHOLDS]
    with np.errstate(invalid="ignore"):
        ap, tp, fp, fn = average_precision(renumbered(true), renumbered(found), thresholds)
    for k, threshold in enumerate(thresholds):
        ours = counts_at(pairs, threshold)
        assert (ours.tp, ours.fp, ours.fn) == (tp[k], fp[k], fn[k])
        assert ours.average_precision == pytest.approx(float(ap[k]), abs=1e-6, nan_ok=True)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_iou_is_what_masks_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true, found = discs(rng, 6, 40), discs(rng, 6, 40)
    matrix = overlaps(found, true).matrix().toarray()
    for i, a in enumerate(np.unique(found)[1:]):
        for j, b in enumerate(np.unique(true)[1:]):
            both, either = (found == a) & (true == b), (found == a) | (true == b)
            assert matrix[i, j] == both.sum() / either.sum()


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 20))
def test_identity_is_perfect(seed: int, n: int) -> None:
    labels = discs(np.random.default_rng(seed), n)
    for counts in score_labels(labels, labels).values():
        assert (counts.fp, counts.fn) == (0, 0)
        values = (counts.precision, counts.recall, counts.f1, counts.average_precision)
        assert {*values, counts.panoptic_quality, counts.mean_iou} == {1.0}


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_names_of_labels_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = discs(rng, 12)
    found = disturbed(true, rng)
    names = rng.permutation(2**20)[: found.max() + 1] + 1
    renamed = np.where(found > 0, names[found], 0)
    huge = np.where(found > 0, found.astype(np.int64) + 2**40, 0)
    first = score_labels(found, true)
    for other in (renamed, huge):
        for threshold, counts in score_labels(other, true).items():
            same = first[threshold]
            assert (counts.tp, counts.fp, counts.fn) == (same.tp, same.fp, same.fn)
            assert counts.iou_sum == pytest.approx(same.iou_sum)


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from((0.1, 0.3, 0.5, 0.7)))
def test_exchanging_the_sides_exchanges_errors(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    true = discs(rng, 12)
    found = disturbed(true, rng)
    there, back = (counts_at(overlaps(a, b), threshold) for a, b in ((found, true), (true, found)))
    assert (there.tp, there.fp, there.fn) == (back.tp, back.fn, back.fp)
    assert there.iou_sum == pytest.approx(back.iou_sum)
    assert there.precision == pytest.approx(back.recall, nan_ok=True)
    assert there.panoptic_quality == pytest.approx(back.panoptic_quality, nan_ok=True)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_stricter_thresholds_never_find_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = discs(rng, 12)
    found = [c.tp for c in score_labels(disturbed(true, rng), true).values()]
    assert found == sorted(found, reverse=True)


def test_a_cell_cut_in_halves_counts_once() -> None:
    """At exactly 0.5 both halves would match; one pair and one false positive is the answer."""
    true = np.ones((4, 4), np.int32)
    found = true.copy()
    found[:, 2:] = 2
    counts = counts_at(overlaps(found, true), 0.5)
    assert (counts.tp, counts.fp, counts.fn, counts.iou_sum) == (1, 1, 0, 0.5)


def test_low_thresholds_find_the_most_pairs() -> None:
    """Taking the best overlap first would pair found 1 with true 2 and leave the others alone."""
    true, found = np.zeros((1, 20), np.int32), np.zeros((1, 20), np.int32)
    true[0, :10], true[0, 10:] = 1, 2
    found[0, 7:16], found[0, 16:] = 1, 2
    assert overlaps(found, true).matrix().toarray().tolist() == [[3 / 16, 6 / 13], [0.0, 0.4]]
    matching = match(overlaps(found, true), 0.15)
    assert matching.found_index.tolist() == matching.true_index.tolist() == [0, 1]
    assert matching.score.tolist() == [3 / 16, 0.4]


def test_nothing_is_undefined_only_where_there_is_nothing() -> None:
    empty, one = np.zeros((8, 8), np.int32), np.eye(8, dtype=np.int32)
    both = score_labels(empty, empty)[0.5]
    assert both == Counts(0, 0, 0, 0.0)
    for name in ("precision", "recall", "f1", "average_precision", "panoptic_quality", "mean_iou"):
        assert math.isnan(getattr(both, name))
    for counts in (score_labels(one, empty)[0.5], score_labels(empty, one)[0.5]):
        for name in ("precision", "recall", "f1", "average_precision", "panoptic_quality"):
            assert getattr(counts, name) == 0.0
    assert score_labels(np.zeros((0, 5), int), np.zeros((0, 5), int))[0.5].tp == 0


def test_counts_pool_by_adding() -> None:
    total = Counts(3, 1, 0, 2.5) + Counts(1, 0, 4, 0.9)
    assert (total.tp, total.fp, total.fn) == (4, 1, 4)
    assert total.iou_sum == pytest.approx(3.4)
    assert total.average_precision == 4 / 9
    assert total.f1 == 8 / 13


def test_unknown_parts_of_truth_do_not_count() -> None:
    true = np.zeros((10, 20), np.int32)
    true[2:6, 2:6] = 1
    true[:, 10:] = -1
    found = np.zeros_like(true)
    found[2:6, 2:6], found[2:6, 9:15], found[8, 7:12] = 1, 2, 3
    counted, known = without_ignored(found, true)
    assert np.unique(counted).tolist() == [0, 1, 3]  # 3 lies there by 2 of 5 pixels only
    assert (counted == 3).sum() == 3
    assert known.min() == 0
    counts = score_labels(found, true)[0.5]
    assert (counts.tp, counts.fp, counts.fn) == (1, 1, 0)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="do not compare"):
        score_labels(np.zeros((4, 4), int), np.zeros((4, 5), int))


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(0, 6), st.integers(0, 6))
def test_centres_match_as_brute_force_does(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    found, true = rng.uniform(0, 10, (n, 2)), rng.uniform(0, 10, (m, 2))
    radius = rng.uniform(1, 4, m)
    matching = match_centres(found, true, radius)
    for i, j in zip(matching.found_index, matching.true_index, strict=True):
        assert np.linalg.norm(found[i] - true[j]) <= radius[j] + 1e-9
    assert len(set(matching.found_index)) == len(set(matching.true_index)) == len(matching.score)
    near = np.linalg.norm(found[:, None] - true[None], axis=2) <= radius[None]
    assert len(matching.score) == _most_pairs(near)


def _most_pairs(near: np.ndarray) -> int:
    """Largest matching of a small bipartite graph, by trying everything."""
    n, m = near.shape
    if n > m:
        return _most_pairs(near.T)
    ways = itertools.permutations(range(m), n)
    return max((sum(bool(near[i, j]) for i, j in enumerate(way)) for way in ways), default=0)
