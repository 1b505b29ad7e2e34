"""Flows and cell logits to labels, by Cellpose's own dynamics.

Cellpose normalises coordinates by the shape of the array, and several of its
limits are per array; it is therefore called on decode cells of a fixed lattice
(see :mod:`fociquant.tiling`), never on a whole section.
"""

from __future__ import annotations

import logging

import numpy as np
import torch

from fociquant.segment.devices import single_threaded

SMALLEST_PX = 16
"""Cellpose divides by the sides of the array minus one pixel; shorter ones get background added."""

EMPTY = (0.0, 0.0, -100.0)
"""Flows and cell logit of that background."""


def decode(
    output: np.ndarray,
    *,
    cellprob_threshold: float,
    flow_threshold: float,
    min_area_px: int,
    steps: int,
    device: torch.device | None = None,
) -> np.ndarray:
    """Label image of one decode cell.

    Parameters
    ----------
    output : numpy.ndarray of float32, shape (3, H, W)
        Flow along y and x (5 times a unit vector) and cell logit.
    cellprob_threshold : float
        Pixels above this logit belong to an object.
    flow_threshold : float
        Objects whose flows disagree by more with those of a true cell are dropped; 0 keeps all.
    min_area_px : int
        Smaller objects are dropped.
    steps : int
        Euler steps of at most one pixel each.
    device : torch.device, optional
        Default the CPU.

    Returns
    -------
    numpy.ndarray of int32, shape (H, W)
        0 is background; objects are numbered 1 … n without gaps.
    """
    foreground = output[2] > cellprob_threshold
    if not foreground.any():
        return np.zeros(output.shape[1:], np.int32)
    from cellpose import dynamics

    single_threaded()

    # "No seeds found" is an ordinary answer here, not something to warn a user about.
    logging.getLogger("cellpose.dynamics").setLevel(logging.ERROR)
    height, width = output.shape[1:]
    output = _at_least(output, SMALLEST_PX)
    with torch.inference_mode(), torch.sparse.check_sparse_tensor_invariants(enable=False):
        labels = dynamics.compute_masks(
            np.ascontiguousarray(output[:2]),
            output[2],
            niter=steps,
            cellprob_threshold=cellprob_threshold,
            flow_threshold=flow_threshold or None,
            min_size=max(min_area_px, 1),
            max_size_fraction=1.0,
            device=device or torch.device("cpu"),
        )
    return np.asarray(labels, dtype=np.int32)[:height, :width]


def _at_least(output: np.ndarray, edge: int) -> np.ndarray:
    """The same with background after it, so that no side is shorter than `edge`."""
    pads = [(0, max(0, edge - size)) for size in output.shape[1:]]
    if not any(after for _, after in pads):
        return output
    return np.stack(
        [
            np.pad(plane, pads, constant_values=empty)
            for plane, empty in zip(output, EMPTY, strict=True)
        ]
    )
