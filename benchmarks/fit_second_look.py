"""Fit the decision trees of the second look at nuclei to images outlined by hand.

Every image is segmented as ``fociquant segment`` does, without the second look. To join a pair of
touching objects, to drop a small one or to keep a speck is right if it makes F1 at IoU 0.5 better;
it weighs as much as F1 gains or loses. The chance from which on it is done is chosen by five-fold
cross-validation over the images; never give images on which something is to be measured
afterwards::

    python benchmarks/fit_second_look.py IMAGES LABELS [IMAGES LABELS …] [--out second_look.npz]

Folders of images and of label images of the same names. Without --out only the
cross-validation is printed.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fociquant.io import open_image
from fociquant.prepare import prepare_section
from fociquant.run.evaluation import read_labels
from fociquant.run.network_input import NetworkInput, requested_roles
from fociquant.run.scene import CACHE_BYTES, Scene, smallest_px
from fociquant.segment import load_segmenter
from fociquant.segment.contract import Segmenter
from fociquant.segment.debris import small_objects
from fociquant.segment.decode import decode
from fociquant.segment.second_look import SecondLook, save_second_look
from fociquant.segment.specks import specks
from fociquant.segment.touching import touching
from fociquant.segment.training.boosting import BoostingPlan, fit_trees
from fociquant.segment.trees import Trees
from fociquant.segment.windows import FlowField, WindowCache
from fociquant.settings import PrepareSettings, SegmentSettings
from fociquant.units import PixelSize

EXPECTED_F1 = 0.95
"""One object fewer is worth this much where one hit more is worth 2: the derivative of F1."""

PLANS = {
    "joins": BoostingPlan(trees=200, depth=4, rate=0.06, ridge=8.0, fewest=15),
    "debris": BoostingPlan(trees=200, depth=3, rate=0.05, ridge=5.0, fewest=12),
    "specks": BoostingPlan(trees=120, depth=3, rate=0.06, ridge=5.0, fewest=10),
}
FOLDS = 5
CHANCES = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
"""From which on something is done: what is tried."""


class Examples(NamedTuple):
    """Features, and what a yes gains in the numerator of F1."""

    features: np.ndarray
    gain: np.ndarray

    @property
    def yes(self) -> np.ndarray:
        """Whether it is right to do it."""
        return self.gain > 0


def seen(path: Path, segmenter: Segmenter) -> tuple[np.ndarray, np.ndarray, float]:
    """Labels and network output on the analysis grid, and image pixels per pixel of it."""
    settings = SegmentSettings()
    with open_image(path) as image:
        roles = requested_roles(image, marker=None, nucleus=None, autofluorescence=None)
        pixel = image.pixel_size or PixelSize.square(0.5)
        facts = prepare_section(image, roles, pixel, PrepareSettings(correct_shading=False)).facts
        scene = Scene(
            image, roles, facts.stats, facts.unmixing, settings, segmenter, 1, lambda: None,
            look_again=False,
        )  # fmt: skip
        grid = scene.estimate()[2]
        lattice = scene.lattice(grid)
        inside = NetworkInput(scene.reader(grid), lattice.image, scene.stats, scene.unmixing)
        field = FlowField(
            path.name, inside, lattice, inside.scales, segmenter, WindowCache(CACHE_BYTES)
        )
        output = field.over(lattice.image)
    labels = decode(
        output, cellprob_threshold=settings.cellprob_threshold, flow_threshold=0.0,
        min_area_px=smallest_px(segmenter.info), steps=settings.flow_steps,
    )  # fmt: skip
    return labels, output, grid.step_y


def on_grid(true: np.ndarray, shape: tuple[int, ...], step: float) -> np.ndarray:
    """True labels under the centres of the analysis grid's pixels, numbered from 1."""
    rows, columns = (
        np.minimum(((np.arange(size) + 0.5) * step).astype(int), limit - 1)
        for size, limit in zip(shape, true.shape, strict=True)
    )
    numbers = np.unique(np.append(0, true[np.ix_(rows, columns)]), return_inverse=True)[1]
    return numbers[1:].reshape(shape)


def shared(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Pixels that each true (rows) and each found object share; 0 is background."""
    table = np.zeros((true.max() + 1, found.max() + 1))
    np.add.at(table, (true.ravel(), found.ravel()), 1)
    return table


def hits(common: np.ndarray, area: np.ndarray, true_area: np.ndarray) -> np.ndarray:
    """Whether each found object has a true one at an IoU of 0.5."""
    iou = common / np.maximum(true_area[:, None] + area[None] - common, 1.0)
    return iou.max(axis=0, initial=0.0) >= 0.5


def join_examples(labels: np.ndarray, output: np.ndarray, true: np.ndarray) -> Examples:
    """Every touching pair; a yes is to join it."""
    pairs, features = touching(labels, output)
    table = shared(true, labels)
    area, true_area, common = table.sum(axis=0), table.sum(axis=1)[1:], table[1:]
    first, second = pairs.T
    alone = [hits(common[:, one], area[one], true_area) for one in (first, second)]
    union = hits(common[:, first] + common[:, second], area[first] + area[second], true_area)
    more = union.astype(float) - alone[0] - alone[1]
    return Examples(features, 2.0 * more + EXPECTED_F1)


def speck_examples(labels: np.ndarray, output: np.ndarray, true: np.ndarray) -> Examples:
    """Every speck; a yes is to keep it."""
    found = specks(labels, output)
    painted = np.zeros_like(labels)
    for number, place in enumerate(found.places, start=1):
        painted[place] = number
    table = shared(true, painted)
    hit = hits(table[1:], table.sum(axis=0), table.sum(axis=1)[1:])[1:]
    return Examples(found.features, 2.0 * hit - EXPECTED_F1)


def debris_examples(labels: np.ndarray, output: np.ndarray, true: np.ndarray) -> Examples:
    """Every small object; a yes is to drop it."""
    names, features = small_objects(labels, output)
    table = shared(true, labels)
    hit = hits(table[1:], table.sum(axis=0), table.sum(axis=1)[1:])[names]
    return Examples(features, EXPECTED_F1 - 2.0 * hit)


EXAMPLES = {"joins": join_examples, "debris": debris_examples, "specks": speck_examples}


def fit(examples: Examples, plan: BoostingPlan) -> Trees:
    """Trees for all examples."""
    return fit_trees(examples.features, examples.yes, np.abs(examples.gain), plan)


def cross_validate(parts: list[Examples], names: list[str], plan: BoostingPlan) -> None:
    """What is gained at each chance, on images that the trees have not seen."""
    folds = np.array([zlib.crc32(name.encode()) % FOLDS for name in names])
    chance, gain = [], []
    for fold in range(FOLDS):
        rest = joined([part for part, n in zip(parts, folds, strict=True) if n != fold])
        held = joined([part for part, n in zip(parts, folds, strict=True) if n == fold])
        if len(held.gain):
            chance.append(fit(rest, plan).chance(held.features))
            gain.append(held.gain)
    chances, gains = np.concatenate(chance), np.concatenate(gain)
    for limit in CHANCES:
        done = gains[chances > limit]
        print(
            f"  {limit}: {(done > 0).sum()} right, {(done < 0).sum()} wrong, gain {done.sum():.0f}"
        )


def joined(parts: list[Examples]) -> Examples:
    """One table of those of several images."""
    return Examples(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def images(folders: list[Path]) -> Iterator[tuple[Path, Path]]:
    """Images and their labels, from pairs of folders."""
    for pictures, labels in zip(folders[::2], folders[1::2], strict=True):
        for path in sorted(pictures.iterdir()):
            yield path, labels / path.name


def main() -> None:
    """Cross-validate, fit and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    segmenter = load_segmenter("compact", device="cpu")
    names: list[str] = []
    parts: dict[str, list[Examples]] = {title: [] for title in EXAMPLES}
    for path, truth in images(arguments.folders):
        labels, output, step = seen(path, segmenter)
        true = on_grid(read_labels(truth), labels.shape, step)
        names.append(path.name)
        for title, examples in EXAMPLES.items():
            parts[title].append(examples(labels, output, true))
    for title, plan in PLANS.items():
        print(f"{title}: {len(joined(parts[title]).gain)} candidates in {len(names)} images")
        cross_validate(parts[title], names, plan)
    if arguments.out:
        trees = {title: fit(joined(parts[title]), plan) for title, plan in PLANS.items()}
        save_second_look(SecondLook(**trees, network_sha256=segmenter.info.sha256), arguments.out)


if __name__ == "__main__":
    main()
