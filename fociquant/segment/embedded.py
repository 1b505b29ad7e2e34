"""The embedded network on a processor that computes in 8-bit numbers: OpenVINO without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fociquant.segment.contract import ModelInfo
from fociquant.segment.int8 import Int8Net
from fociquant.segment.late import embedded_weights, precision_name
from fociquant.segment.torch_file import read_torch_file

EPSILON = np.float32(1e-5)
"""Added to variances by torch's batch norm, unless told otherwise."""


class EmbeddedSegmenter:
    """Computes bit for bit as :class:`fociquant.segment.compact.CompactSegmenter` does in 8 bits.

    Parameters
    ----------
    info : ModelInfo
        From :func:`fociquant.segment.late.embedded_on_cpu`; its precision is one of those with
        8-bit numbers.
    weights : pathlib.Path, optional
        Default the embedded ones.

    Raises
    ------
    ImportError
        If OpenVINO or a library that it needs is missing.
    ModelError
        If the weights are damaged.
    """

    def __init__(self, info: ModelInfo, weights: Path | None = None) -> None:
        content = read_torch_file(weights or embedded_weights())
        bfloat16 = info.precision == precision_name(int8=True, bfloat16=True)
        self.info = info
        self._compute = Int8Net(fused(content["state"]), content["reaches"], bfloat16=bfloat16)

    def flows(self, windows: np.ndarray) -> np.ndarray:
        """See :class:`fociquant.segment.contract.Segmenter`."""
        return self._compute(windows)


def fused(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights with every batch norm folded into the convolution before it.

    Parameters
    ----------
    state : mapping of str to numpy.ndarray of float32
        A batch norm's name ends in ``.1`` where its convolution's ends in ``.0``.

    Returns
    -------
    dict of str to numpy.ndarray of float32
        As :func:`fociquant.segment.network.fuse_batch_norm` gives them, rounding included.
    """
    found = {name: value for name, value in state.items() if not _is_of_norm(name, state)}
    for name in state:
        if not name.endswith(".1.running_var"):
            continue
        norm = name.removesuffix(".running_var")
        conv = norm.removesuffix("1") + "0"
        mean, scale, shift = (state[f"{norm}.{one}"] for one in ("running_mean", "weight", "bias"))
        inverse = np.float32(1.0) / np.sqrt(state[name] + EPSILON)
        found[f"{conv}.weight"] = state[f"{conv}.weight"] * (scale * inverse)[:, None, None, None]
        found[f"{conv}.bias"] = -mean * inverse * scale + shift
    return found


def _is_of_norm(name: str, state: Mapping[str, np.ndarray]) -> bool:
    return f"{name.rpartition('.')[0]}.running_var" in state
