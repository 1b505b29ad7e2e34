"""A sum of small decision trees: what a few hundred examples can teach without another library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Trees:
    """Trees of one depth, whose leaves add up to the logit of a yes.

    Node 0 is the root; below node `i` lie ``2 i + 1`` (the feature is not above the split) and
    ``2 i + 2``. Fitted by :func:`fociquant.segment.training.boosting.fit_trees`.

    Parameters
    ----------
    feature : numpy.ndarray of int, shape (T, 2**depth - 1)
        Which feature each node looks at.
    split : numpy.ndarray of float, shape (T, 2**depth - 1)
    leaf : numpy.ndarray of float, shape (T, 2**depth)
    bias : float
        Logit before any tree.
    """

    feature: np.ndarray
    split: np.ndarray
    leaf: np.ndarray
    bias: float

    def chance(self, features: np.ndarray) -> np.ndarray:
        """How likely each row is a yes.

        Parameters
        ----------
        features : numpy.ndarray of float, shape (n, F)
            Finite.

        Returns
        -------
        numpy.ndarray of float64, shape (n,)
            In (0, 1). A row's value does not depend on the other rows.
        """
        return np.asarray(1.0 / (1.0 + np.exp(-self.logit(features))))

    def logit(self, features: np.ndarray) -> np.ndarray:
        """The same as a logit: the logarithm of yes over no."""
        logit = np.full(len(features), self.bias)
        rows = np.arange(len(features))
        nodes = self.feature.shape[1]
        for feature, split, leaf in zip(self.feature, self.split, self.leaf, strict=True):
            place = np.zeros(len(features), np.intp)
            for _ in range(nodes.bit_length()):
                right = features[rows, feature[place]] > split[place]
                place = 2 * place + 1 + right
            logit += leaf[place - nodes]
        return logit

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """For a file; the inverse of :meth:`of_arrays`."""
        return {
            f"{name}_feature": self.feature.astype(np.int16),
            f"{name}_split": self.split.astype(np.float64),
            f"{name}_leaf": self.leaf.astype(np.float64),
            f"{name}_bias": np.array(self.bias),
        }  # fmt: skip

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], name: str) -> Trees:
        """Trees from what :meth:`arrays` gave.

        Raises
        ------
        KeyError
            If there are none of this name.
        """
        feature, split, leaf, bias = (
            arrays[f"{name}_{part}"] for part in ("feature", "split", "leaf", "bias")
        )
        return cls(feature.astype(np.intp), split, leaf, float(bias))
