"""Training images and their flow targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class TrainingImage:
    """One image with its outlines, ready to be augmented.

    Parameters
    ----------
    planes : numpy.ndarray of float16, shape (2, H, W)
        Objects and nuclei on the linear scale of :func:`fociquant.segment.scaling.to_unit`;
        the second plane is zero where there is no nuclear stain.
    labels : numpy.ndarray of int32, shape (H, W)
        0 is background, every object has its own number.
    flows : numpy.ndarray of float16, shape (2, H, W)
        Unit vectors (y, x) towards each object's centre; 0 in the background.
    ignore : numpy.ndarray of bool, shape (H, W)
        Pixels that do not count in the loss.
    diameter_px : float
        Median equivalent diameter of the objects; the nominal one where there is none.
    """

    planes: np.ndarray
    labels: np.ndarray
    flows: np.ndarray
    ignore: np.ndarray
    diameter_px: float


class Source(Protocol):
    """Where training images come from."""

    def draw(self, rng: np.random.Generator) -> TrainingImage:
        """One image; may be the same object as an earlier one."""
        ...


def median_diameter(labels: np.ndarray, *, default: float) -> float:
    """Median equivalent diameter of the objects, px; `default` where there is none."""
    counts = np.bincount(labels.ravel())[1:]
    counts = counts[counts > 0]
    if counts.size == 0:
        return default
    return float(2.0 * np.sqrt(np.median(counts) / np.pi))


def flow_targets(labels: np.ndarray) -> np.ndarray:
    """Cellpose's flow field of a label image.

    Parameters
    ----------
    labels : numpy.ndarray of int, shape (H, W)

    Returns
    -------
    numpy.ndarray of float16, shape (2, H, W)
        Unit vectors (y, x), 0 in the background; computed by heat diffusion from
        each object's centre (Stringer et al., Nat Methods 18:100, 2021).
    """
    from cellpose.dynamics import masks_to_flows_gpu
    from skimage.segmentation import relabel_sequential

    sequential = relabel_sequential(np.asarray(labels, dtype=np.int32))[0]
    flows, _ = masks_to_flows_gpu(sequential)
    return np.asarray(flows, dtype=np.float16)


def training_image(
    planes: np.ndarray, labels: np.ndarray, *, ignore: np.ndarray | None = None, diameter_px: float
) -> TrainingImage:
    """A :class:`TrainingImage` with its flow targets computed.

    Parameters
    ----------
    planes : numpy.ndarray, shape (2, H, W)
        On the linear scale, see :class:`TrainingImage`.
    labels : numpy.ndarray of int, shape (H, W)
    ignore : numpy.ndarray of bool, shape (H, W), optional
    diameter_px : float
        Nominal diameter, used where there is no object.
    """
    hidden = np.zeros(labels.shape, bool) if ignore is None else np.asarray(ignore, bool)
    return TrainingImage(
        planes=np.clip(planes, -1000.0, 1000.0).astype(np.float16),
        labels=np.asarray(labels, dtype=np.int32),
        flows=flow_targets(labels),
        ignore=hidden,
        diameter_px=median_diameter(labels, default=diameter_px),
    )
