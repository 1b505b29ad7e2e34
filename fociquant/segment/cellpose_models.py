"""Cellpose 4.2's own networks behind the same contract.

What is different from calling :class:`cellpose.models.CellposeModel` directly:
unknown names are refused instead of becoming another model, the number format suits
the device, intensities are scaled for the whole section, and the licence is told
before 1.2 GB are downloaded.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fociquant.errors import ModelError
from fociquant.segment.contract import ModelInfo
from fociquant.segment.devices import batch_size, single_threaded
from fociquant.segment.late import file_sha256
from fociquant.segment.registry import CELLPOSE_NAMES

NAMES = CELLPOSE_NAMES
"""Models that Cellpose 4.2 downloads by name."""

DIAMETER_PX = 30.0
"""Diameter to which Cellpose rescales cells."""

MARGIN_PX = 32
WINDOW_PX = {"sam_vitl": 256, "dino": 384}
"""Window edge by backbone: the SAM networks accept nothing else than 256."""

WINDOW_BYTES = 500_000_000
"""Memory per window on a device, generously; the weights come on top."""

LARGEST_BATCH = 8
"""As in Cellpose."""

LICENCE_NOTE = (
    "{name}: about 1.2 GB will be downloaded once from Cellpose's server; these weights are "
    "licensed for non-commercial use (CC-BY-NC)."
)

_log = logging.getLogger(__name__)


def needs_download(name: str) -> bool:
    """Whether the weights of a named model are not on this machine yet."""
    from cellpose import models

    return not Path(models.MODEL_DIR, name).exists()


class CellposeSegmenter:
    """Inference with a network of Cellpose 4.2.

    Parameters
    ----------
    name : str
        One of :data:`NAMES`, or the path of a weights file.
    device : torch.device

    Raises
    ------
    ModelError
        If the weights cannot be downloaded or are not of a Cellpose 4 network.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name in NAMES and needs_download(name):
            _log.warning(LICENCE_NOTE.format(name=name))
        model = _load(name, device)
        self._net = model.net.eval()
        self._device = device
        window = WINDOW_PX["sam_vitl" if model.backbone == "sam_vitl" else "dino"]
        self.info = ModelInfo(
            name=Path(name).name,
            sha256=file_sha256(Path(model.pretrained_model)),
            diameter_px=DIAMETER_PX,
            window_core_px=window - 2 * MARGIN_PX,
            window_margin_px=MARGIN_PX,
            fixed_window=True,
            batch=batch_size(device, window_bytes=WINDOW_BYTES, largest=LARGEST_BATCH),
            device=str(device),
            precision=str(self._net.dtype).removeprefix("torch."),
        )

    def flows(self, windows: np.ndarray) -> np.ndarray:
        """See :class:`fociquant.segment.contract.Segmenter`."""
        if self._device.type == "cpu":
            single_threaded()
        # Cellpose 4 takes three channels in any order; the third stays empty.
        padded = np.pad(windows, ((0, 0), (0, 1), (0, 0), (0, 0)))
        with torch.inference_mode():
            batch = torch.from_numpy(padded).to(self._device, self._net.dtype)
            result: np.ndarray = self._net(batch)[0].float().cpu().numpy()
        return result


def _load(name: str, device: torch.device) -> Any:
    from cellpose import models

    try:
        return models.CellposeModel(
            pretrained_model=name, device=device, use_bfloat16=device.type == "cuda"
        )
    except (OSError, RuntimeError, ValueError, KeyError, NameError) as error:
        raise ModelError(
            f"Cellpose model {name!r} could not be loaded: {error}. Named models are downloaded "
            "once (internet needed); a weights file must be of Cellpose 4."
        ) from error
