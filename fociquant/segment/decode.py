"""Flows and cell logits to labels: Cellpose's dynamics, bit for bit, where there is foreground.

Cellpose normalises coordinates by the shape of the array; flows are therefore decoded
on decode cells of a fixed lattice (see :mod:`fociquant.tiling`), never on a whole section.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from fociquant.segment import few_points
from fociquant.segment.seeds import labels_from_ends, tidy

if TYPE_CHECKING:
    import torch

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
    height, width = output.shape[1:]
    output = _at_least(output, SMALLEST_PX)
    foreground = output[2] > cellprob_threshold
    labels = labels_from_ends(_end_points(output[:2], foreground, steps, device), foreground)
    if flow_threshold and labels.any():
        labels = _flow_check(labels, output[:2], flow_threshold, device)
    return tidy(labels, max(min_area_px, 1))[:height, :width]


def _end_points(
    flow: np.ndarray, foreground: np.ndarray, steps: int, device: torch.device | None
) -> np.ndarray:
    """Where each foreground pixel ends; torch is loaded where there are many, or must be right.

    Once it is loaded it follows few as well: to the last bit alike, and in a fifth of the time.
    """
    few = np.count_nonzero(foreground) <= few_points.MOST_POINTS and not _torch_is_loaded()
    if device is None and few and few_points.rounds_as_torch():
        return few_points.end_points(flow, foreground, steps)
    import torch

    from fociquant.segment.devices import single_threaded
    from fociquant.segment.dynamics import end_points

    single_threaded()
    with torch.inference_mode():
        ends = end_points(flow, foreground, steps, device or torch.device("cpu"))
        found: np.ndarray = ends.cpu().numpy()
    return found


def _torch_is_loaded() -> bool:
    return "torch" in sys.modules


def _flow_check(
    labels: np.ndarray, flow: np.ndarray, threshold: float, device: torch.device | None
) -> np.ndarray:
    """Only the objects whose flows are those of a true cell."""
    import torch
    from cellpose import dynamics

    from fociquant.segment.devices import single_threaded

    single_threaded()
    where = device or torch.device("cpu")
    with torch.inference_mode():
        kept = dynamics.remove_bad_flow_masks(labels, flow, threshold=threshold, device=where)
    return np.asarray(kept, dtype=np.int32)


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
