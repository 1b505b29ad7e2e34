"""The embedded default model: weights file, loading, inference."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fociquant.atomic import write_bytes
from fociquant.errors import ModelError
from fociquant.segment.contract import ModelInfo
from fociquant.segment.devices import (
    batch_size,
    computes_in_int8,
    resolve_precision,
    single_threaded,
)
from fociquant.segment.int8 import Int8Net
from fociquant.segment.late import NATIVE_DIAMETER_PX, file_sha256, precision_name
from fociquant.segment.network import CompactNet, fuse_batch_norm
from fociquant.tiling.lattice import WINDOW_CORE_PX, WINDOW_MARGIN_PX

FORMAT = "fociquant-compact-1"
"""Marks a weights file of this network."""

WINDOW_BYTES = 100_000_000
"""Memory per window on a device: about 150 bytes per pixel in bfloat16, 300 in float32."""

LARGEST_BATCH = 16


def save_weights(
    net: CompactNet,
    path: Path,
    *,
    reaches: Mapping[str, float] | None = None,
    notes: Mapping[str, str] | None = None,
) -> str:
    """Write weights as float16 tensors and return the file's sha256.

    Parameters
    ----------
    net : CompactNet
        Not fused.
    path : pathlib.Path
        Replaced atomically.
    reaches : mapping of str to float, optional
        For 8-bit computation (:func:`fociquant.segment.training.calibrate.calibrate`). Without
        them a CPU computes in float32 or bfloat16, which is slower.
    notes : mapping of str to str, optional
        Kept beside the weights: data, licence, date.

    Raises
    ------
    DiskError
        If it cannot be written.
    """
    state = {
        key: value.half() if value.dtype.is_floating_point else value
        for key, value in net.state_dict().items()
    }
    content = {
        "format": FORMAT,
        "widths": list(net.widths),
        "diameter_px": NATIVE_DIAMETER_PX,
        "notes": dict(notes or {}),
        "reaches": dict(reaches or {}),
        "state": state,
    }
    save_atomically(content, path)
    return file_sha256(path)


def save_atomically(content: Mapping[str, Any], path: Path) -> None:
    """``torch.save``, whole or not at all, and the same bytes whatever the file's name.

    Parameters
    ----------
    content : mapping
        Tensors and plain values.
    path : pathlib.Path
        Its folder is made; replaced if it exists.

    Raises
    ------
    DiskError
        If it cannot be written.
    """
    # By way of memory: torch writes the file's name into the file, and its own writer calls a
    # full disk a RuntimeError of "PytorchStreamWriter".
    memory = io.BytesIO()
    torch.save(content, memory)
    write_bytes(path, memory.getvalue())


def is_compact(path: Path) -> bool:
    """Whether the file holds weights of this network (as opposed to Cellpose's)."""
    return _read(path).get("format") == FORMAT


def _read(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{path} is not a weights file that can be loaded safely ({reason}). "
            "Give a file written by fociquant train or by Cellpose 4."
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no weights. Give a file written by fociquant train.")
    return content


def load_compact(path: Path) -> CompactNet:
    """The network of a weights file, in evaluation mode, float32.

    Raises
    ------
    ModelError
        If the file is damaged or is of another network.
    """
    return _network(_read(path), path)


def _network(content: Mapping[str, Any], path: Path) -> CompactNet:
    if content.get("format") != FORMAT:
        raise ModelError(f"{path} holds no weights of the compact network.")
    try:
        net = CompactNet(tuple(int(width) for width in content["widths"]))
        net.load_state_dict(
            {k: v.float() if v.dtype == torch.half else v for k, v in content["state"].items()}
        )
    except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} does not fit the compact network: {error}") from error
    return net.eval()


def load_reaches(path: Path) -> dict[str, float]:
    """How far the steps of each layer reach in 8-bit computation; empty if the file does not say.

    Raises
    ------
    ModelError
        If the file is damaged.
    """
    return _reaches(_read(path), path)


def _reaches(content: Mapping[str, Any], path: Path) -> dict[str, float]:
    try:
        found = {str(name): float(one) for name, one in content.get("reaches", {}).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(f"{path} does not fit the compact network: {error}") from error
    if not all(0.0 < one < math.inf for one in found.values()):
        raise ModelError(f"{path} does not fit the compact network: a reach is not above 0.")
    return found


def random_net(seed: int) -> CompactNet:
    """A compact network with random weights; the same seed gives the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CompactNet()


class CompactSegmenter:
    """Inference with the compact network.

    Parameters
    ----------
    path : pathlib.Path
        Weights file.
    device : torch.device
    name : str
        For the record.
    """

    def __init__(self, path: Path, device: torch.device, *, name: str = "compact") -> None:
        content = _read(path)
        net = fuse_batch_norm(_network(content, path))
        reaches = _reaches(content, path) if computes_in_int8(device) else {}
        dtype = resolve_precision(device)
        whole = _in_whole_numbers(net, reaches, dtype) if reaches else None
        self._compute = whole or _TorchNet(net, device, dtype)
        self.info = ModelInfo(
            name=name,
            sha256=file_sha256(path),
            diameter_px=NATIVE_DIAMETER_PX,
            window_core_px=WINDOW_CORE_PX,
            window_margin_px=WINDOW_MARGIN_PX,
            # Windows of one size fill one batch; alone on a CPU, small ones at the end save time.
            fixed_window=device.type != "cpu",
            batch=batch_size(device, window_bytes=WINDOW_BYTES, largest=LARGEST_BATCH),
            device=str(device),
            precision=precision_name(int8=whole is not None, bfloat16=dtype == torch.bfloat16),
        )

    def flows(self, windows: np.ndarray) -> np.ndarray:
        """See :class:`fociquant.segment.contract.Segmenter`."""
        return self._compute(windows)


def _in_whole_numbers(
    net: CompactNet, reaches: Mapping[str, float], dtype: torch.dtype
) -> Int8Net | None:
    """None where OpenVINO or a library that it needs is missing."""
    state = {key: value.numpy() for key, value in net.state_dict().items()}
    try:
        return Int8Net(state, reaches, bfloat16=dtype == torch.bfloat16)
    except ImportError:
        return None


class _TorchNet:
    """The network computed by torch."""

    def __init__(self, net: CompactNet, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._net = net.to(device, dtype, memory_format=torch.channels_last)

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        if self._device.type == "cpu":
            single_threaded()
        with torch.inference_mode():
            batch = torch.from_numpy(windows).to(self._device, self._dtype)
            output = self._net(batch.contiguous(memory_format=torch.channels_last))
            result: np.ndarray = output.float().cpu().contiguous().numpy()
        return result
