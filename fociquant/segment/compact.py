"""The embedded default model: weights file, loading, inference."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fociquant.atomic import write_bytes
from fociquant.errors import ModelError
from fociquant.segment.contract import ModelInfo
from fociquant.segment.devices import batch_size, resolve_precision, single_threaded
from fociquant.segment.late import NATIVE_DIAMETER_PX, file_sha256
from fociquant.segment.network import CompactNet, fuse_batch_norm
from fociquant.tiling.lattice import WINDOW_CORE_PX, WINDOW_MARGIN_PX

FORMAT = "fociquant-compact-1"
"""Marks a weights file of this network."""

WINDOW_BYTES = 100_000_000
"""Memory per window on a device: about 150 bytes per pixel in bfloat16, 300 in float32."""

LARGEST_BATCH = 16


def save_weights(net: CompactNet, path: Path, *, notes: Mapping[str, str] | None = None) -> str:
    """Write weights as float16 tensors and return the file's sha256.

    Parameters
    ----------
    net : CompactNet
        Not fused.
    path : pathlib.Path
        Replaced atomically.
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
    content = _read(path)
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
        self._dtype = resolve_precision(device)
        self._device = device
        net = fuse_batch_norm(load_compact(path))
        self._net = net.to(device, self._dtype, memory_format=torch.channels_last)
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
            precision=str(self._dtype).removeprefix("torch."),
        )

    def flows(self, windows: np.ndarray) -> np.ndarray:
        """See :class:`fociquant.segment.contract.Segmenter`."""
        if self._device.type == "cpu":
            single_threaded()
        with torch.inference_mode():
            batch = torch.from_numpy(windows).to(self._device, self._dtype)
            output = self._net(batch.contiguous(memory_format=torch.channels_last))
            result: np.ndarray = output.float().cpu().contiguous().numpy()
        return result
