"""A second look at decoded nuclei: parts of one are joined, debris is dropped, micronuclei found.

Decoding knows seeds and where pixels flow to. It splits lobed nuclei in two, and area alone tells
it which small objects are nuclei. Small decision trees, fitted to nuclei outlined by hand, look at
the flows again at those places. They know the flows of one network, for which they are used.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fociquant.errors import ModelError
from fociquant.segment import debris, specks, touching
from fociquant.segment.contract import ModelInfo
from fociquant.segment.seeds import tidy
from fociquant.segment.trees import Trees

JOIN_CHANCE = 0.65
"""From this chance on two touching objects are one: chosen by F1 in cross-validation over the
training images, and on the validation images between neighbours of it."""

DEBRIS_CHANCE = 0.72
"""From this chance on a small object is none; found in the same way."""

SPECK_CHANCE = 0.55
"""From this chance on a speck is a micronucleus; found in the same way."""


NAMES = ("joins", "debris", "specks")
"""Of the trees in a file."""


@dataclass(frozen=True, slots=True)
class SecondLook:
    """Corrects the labels of one decode cell.

    Parameters
    ----------
    joins, debris, specks : Trees
        Of touching pairs (:mod:`fociquant.segment.touching`), of small objects
        (:mod:`fociquant.segment.debris`) and of specks (:mod:`fociquant.segment.specks`).
    network_sha256 : str
        Weights file of the network whose flows they were fitted to.
    """

    joins: Trees
    debris: Trees
    specks: Trees
    network_sha256: str

    def __call__(self, labels: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Labels after the second look.

        Parameters
        ----------
        labels : numpy.ndarray of int32, shape (H, W)
            Decoded objects, 1 … n; 0 is background.
        output : numpy.ndarray of float32, shape (3, H, W)
            Flow along y and x (5 times a unit vector) and cell logit.

        Returns
        -------
        numpy.ndarray of int32, shape (H, W)
            Numbered without gaps in the order of first pixels. What happens to an object depends
            on nothing farther from it than an object that touches it, or
            :data:`fociquant.segment.specks.REACH_PX`.
        """
        found = specks.specks(labels, output)
        corrected = self._cleared(self._joined(labels, output), output)
        chosen = np.flatnonzero(self.specks.chance(found.features) > SPECK_CHANCE)
        if corrected is labels and not len(chosen):
            return labels
        corrected = corrected.copy() if corrected is labels else corrected
        for number, speck in enumerate(chosen.tolist(), start=int(corrected.max(initial=0)) + 1):
            corrected[found.places[speck]] = number
        return tidy(corrected, 1)

    def _joined(self, labels: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Numbered without gaps; `labels` themselves if nothing is joined."""
        pairs, features = touching.touching(labels, output)
        joined = pairs[self.joins.chance(features) > JOIN_CHANCE]
        if not len(joined):
            return labels
        size = int(labels.max()) + 1
        links = coo_array((np.ones(len(joined)), (joined[:, 0], joined[:, 1])), shape=(size, size))
        group = connected_components(links, directed=False)[1]
        # Components are numbered in the order of their first members: 0 is the background.
        return group.astype(np.int32)[labels]

    def _cleared(self, labels: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Without debris, gaps in the numbers stay; `labels` themselves if there is none."""
        small, features = debris.small_objects(labels, output)
        dropped = small[self.debris.chance(features) > DEBRIS_CHANCE]
        if not len(dropped):
            return labels
        kept = np.arange(int(labels.max()) + 1, dtype=np.int32)
        kept[dropped] = 0
        return kept[labels]


def save_second_look(look: SecondLook, path: Path) -> None:
    """Write the trees.

    Parameters
    ----------
    look : SecondLook
    path : pathlib.Path
        ``.npz``; replaced if it exists.
    """
    trees = dict(zip(NAMES, (look.joins, look.debris, look.specks), strict=True))
    arrays = {"network_sha256": np.array(look.network_sha256)}
    for name, one in trees.items():
        arrays |= one.arrays(name)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load_second_look(path: Path) -> SecondLook:
    """The inverse of :func:`save_second_look`.

    Raises
    ------
    ModelError
        If the file is damaged or holds something else.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            joins, small, tiny = (Trees.of_arrays(content, name) for name in NAMES)
            return SecondLook(joins, small, tiny, str(content["network_sha256"]))
    except (OSError, EOFError, LookupError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} holds no trees of a second look: {error}") from error


def embedded_trees() -> Path:
    """Path of the trees that ship with the package."""
    return Path(str(files("fociquant.segment"))) / "weights" / "second_look.npz"


@cache
def _embedded() -> SecondLook:
    return load_second_look(embedded_trees())


def second_look_for(info: ModelInfo) -> SecondLook | None:
    """The second look at what this network finds; None if none was fitted to it.

    Parameters
    ----------
    info : ModelInfo
    """
    look = _embedded()
    return look if look.network_sha256 == info.sha256 else None
