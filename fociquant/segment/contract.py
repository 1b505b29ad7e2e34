"""What every segmentation network looks like to the rest of fociquant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Facts of a loaded network.

    Parameters
    ----------
    name : str
        As the user asked for it.
    sha256 : str
        Of the weights file.
    diameter_px : float
        Diameter that cells should have in the network's input.
    window_core_px, window_margin_px : int
        Kept part of a window and the context on each side of it.
    fixed_window : bool
        Whether the network accepts no other size than core plus two margins.
    batch : int
        Windows that are worth computing at once on this device.
    device, precision : str
        Where and in which number format it runs, for the record.
    """

    name: str
    sha256: str
    diameter_px: float
    window_core_px: int
    window_margin_px: int
    fixed_window: bool
    batch: int
    device: str
    precision: str


class Segmenter(Protocol):
    """A network that turns windows into flows.

    The output of a window must not depend on the other windows of the batch.
    """

    @property
    def info(self) -> ModelInfo:
        """Facts of the network."""
        ...

    def flows(self, windows: np.ndarray) -> np.ndarray:
        """Flows and cell logit.

        Parameters
        ----------
        windows : numpy.ndarray of float32, shape (N, 2, H, W)
            Objects and nuclei, compressed (:func:`fociquant.segment.scaling.compress`);
            H and W multiples of 16.

        Returns
        -------
        numpy.ndarray of float32, shape (N, 3, H, W)
            Flow along y and x (5 times a unit vector) and logit of being in a cell.
        """
        ...
