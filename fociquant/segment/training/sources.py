"""Where a training draws its images from; a draw depends on the random state alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fociquant.segment.training.images import TrainingImage

SCENE_STREAM = 0x5CE7E
"""Keeps the seeds of scenes apart from those of batches."""


class ImagePool:
    """Images that are all in memory.

    An image is drawn with a probability proportional to the square root of its area: a
    large one is seen more often than a small one, but does not drown it.

    Parameters
    ----------
    images : sequence of TrainingImage
        At least one.
    """

    def __init__(self, images: Sequence[TrainingImage]) -> None:
        self._images = tuple(images)
        edges = np.sqrt([float(image.labels.size) for image in self._images])
        self._shares = edges / edges.sum()

    def draw(self, rng: np.random.Generator) -> TrainingImage:
        """See :class:`fociquant.segment.training.images.Source`."""
        return self._images[rng.choice(len(self._images), p=self._shares)]


class ScenePool:
    """Scenes that are made when first drawn, then kept.

    Parameters
    ----------
    make : callable
        Makes a scene from a random generator, and from nothing else.
    seed : int
        The same seed gives the same scenes.
    size : int
        Number of different scenes.
    """

    def __init__(
        self, make: Callable[[np.random.Generator], TrainingImage], *, seed: int, size: int
    ) -> None:
        self._make, self._seed, self._size = make, seed, size
        self._made: dict[int, TrainingImage] = {}

    def draw(self, rng: np.random.Generator) -> TrainingImage:
        """See :class:`fociquant.segment.training.images.Source`."""
        number = int(rng.integers(self._size))
        if number not in self._made:
            own = np.random.default_rng([SCENE_STREAM, self._seed, number])
            self._made[number] = self._make(own)
        return self._made[number]
