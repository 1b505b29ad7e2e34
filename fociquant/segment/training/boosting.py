"""Fitting small decision trees by gradient boosting.

J. H. Friedman, Annals of Statistics 29, 1189-1232, 2001, with the second derivative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fociquant.segment.trees import Trees


@dataclass(frozen=True, slots=True)
class BoostingPlan:
    """How trees are fitted.

    Parameters
    ----------
    trees, depth : int
        How many, and of how many questions.
    rate : float
        Share of each tree's correction that is made.
    ridge : float
        Pull of every leaf towards 0, in examples' worth of curvature.
    fewest : int
        Examples on either side of a split.
    rows, columns : float
        Share of examples and of features that a tree sees, drawn anew.
    bins : int
        Splits tried per feature, at its quantiles.
    seed : int
    """

    trees: int = 200
    depth: int = 4
    rate: float = 0.06
    ridge: float = 8.0
    fewest: int = 15
    rows: float = 0.7
    columns: float = 0.5
    bins: int = 32
    seed: int = 0


def fit_trees(
    features: np.ndarray, yes: np.ndarray, weight: np.ndarray, plan: BoostingPlan
) -> Trees:
    """Trees whose summed leaves are the logit of a yes.

    Parameters
    ----------
    features : numpy.ndarray of float, shape (n, F)
        Finite.
    yes : numpy.ndarray of bool, shape (n,)
        Some true, some false.
    weight : numpy.ndarray of float, shape (n,)
        What an error costs; positive.
    plan : BoostingPlan
    """
    rng = np.random.default_rng(plan.seed)
    weight = weight / weight.mean()
    share = float(np.average(yes, weights=weight))
    bias = float(np.log(share / (1.0 - share)))
    logit = np.full(len(yes), bias)
    binned = _Binned.of(features, plan.bins)
    trees = []
    for _ in range(plan.trees):
        chance = 1.0 / (1.0 + np.exp(-logit))
        slope, bend = weight * (chance - yes), weight * chance * (1.0 - chance)
        rows = np.flatnonzero(rng.random(len(yes)) < plan.rows)
        columns = np.flatnonzero(rng.random(features.shape[1]) < plan.columns)
        tree = _empty(plan.depth)
        _grow(tree, 0, rows, columns, _Examples(binned, slope, bend), plan)
        trees.append(tree)
        logit += tree.logit(features)
    parts = zip(*((tree.feature, tree.split, tree.leaf) for tree in trees), strict=True)
    feature, split, leaf = (np.concatenate(arrays) for arrays in parts)
    return Trees(feature, split, leaf, bias)


@dataclass(frozen=True, slots=True)
class _Binned:
    """Features as the number of splits below them."""

    places: np.ndarray
    splits: list[np.ndarray]

    @classmethod
    def of(cls, features: np.ndarray, bins: int) -> _Binned:
        shares = np.linspace(0.0, 1.0, bins + 1)[1:-1]
        splits = [np.unique(np.quantile(column, shares)) for column in features.T]
        columns = zip(splits, features.T, strict=True)
        places = [np.searchsorted(split, column, side="left") for split, column in columns]
        return cls(np.stack(places, axis=1), splits)


@dataclass(frozen=True, slots=True)
class _Examples:
    """What a tree is fitted to: features, and slope and bend of the error of each example."""

    binned: _Binned
    slope: np.ndarray
    bend: np.ndarray


def _empty(depth: int) -> Trees:
    """A tree that asks nothing: everything goes left."""
    nodes = 2**depth - 1
    return Trees(
        np.zeros((1, nodes), np.intp), np.full((1, nodes), np.inf), np.zeros((1, nodes + 1)), 0.0
    )


def _grow(
    tree: Trees,
    node: int,
    rows: np.ndarray,
    columns: np.ndarray,
    examples: _Examples,
    plan: BoostingPlan,
) -> None:
    """Fill the tree in from `node` on, with the examples of `rows`."""
    nodes = tree.feature.shape[1]
    if node >= nodes:
        step = examples.slope[rows].sum() / (examples.bend[rows].sum() + plan.ridge)
        tree.leaf[0, node - nodes] = -plan.rate * step
        return
    left = np.ones(len(rows), bool)
    binned = examples.binned
    best = _best_split(rows, columns, examples, plan)
    if best is not None:
        column, place = best
        tree.feature[0, node], tree.split[0, node] = column, binned.splits[column][place]
        left = binned.places[rows, column] <= place
    for child, part in ((2 * node + 1, rows[left]), (2 * node + 2, rows[~left])):
        if len(part):
            _grow(tree, child, part, columns, examples, plan)


def _best_split(
    rows: np.ndarray, columns: np.ndarray, examples: _Examples, plan: BoostingPlan
) -> tuple[int, int] | None:
    """Feature and number of its split that gain most; None if no split gains."""
    binned, slope, bend = examples.binned, examples.slope[rows], examples.bend[rows]
    total_slope, total_bend = slope.sum(), bend.sum()
    most, best = total_slope**2 / (total_bend + plan.ridge) + 1e-6, None
    for column in columns.tolist():
        places, size = binned.places[rows, column], len(binned.splits[column]) + 1
        below, slopes, bends = (
            np.bincount(places, weights=values, minlength=size).cumsum()[:-1]
            for values in (None, slope, bend)
        )
        gain = slopes**2 / (bends + plan.ridge)
        gain += (total_slope - slopes) ** 2 / (total_bend - bends + plan.ridge)
        gain[(below < plan.fewest) | (len(rows) - below < plan.fewest)] = 0.0
        if gain.size and gain.max() > most:
            most, best = float(gain.max()), (column, int(gain.argmax()))
    return best
