"""From a model's name to a loaded network; unknown names are refused."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from fociquant.errors import ModelError, SettingsError, said
from fociquant.segment.contract import ModelInfo, Segmenter
from fociquant.segment.late import LateSegmenter, embedded_on_cpu

if TYPE_CHECKING:
    import torch

EMBEDDED = "compact"
"""The model that ships with the package."""

CELLPOSE_NAMES = ("cpdino", "cpdino-vitb", "cpsam", "cpsam_v2")
"""Cellpose's own; listed here too so that a name can be checked without loading torch."""


def check_model_name(name: str) -> None:
    """Refuse a name that is neither a known model nor an existing file; loads nothing.

    Raises
    ------
    SettingsError
        With the names there are.
    """
    if name == EMBEDDED or name in CELLPOSE_NAMES or Path(name).is_file():
        return
    known = ", ".join((EMBEDDED, *CELLPOSE_NAMES))
    raise SettingsError(f"unknown model {name!r}. Known: {known}; or the path of a weights file.")


def load_segmenter(name: str, *, device: str = "auto") -> Segmenter:
    """Load a network once; share it between threads.

    The embedded network is loaded with the first window where it is certain without torch what it
    will be (:mod:`fociquant.segment.late`); any other at once.

    Parameters
    ----------
    name : str
        ``compact``, a Cellpose model name, or the path of a weights file of either kind.
    device : str
        See :func:`fociquant.segment.devices.resolve_device`.

    Raises
    ------
    SettingsError
        Unknown name or device.
    ModelError
        Weights that cannot be loaded.
    """
    check_model_name(name)
    expected = None
    if name == EMBEDDED and device in ("auto", "cpu"):
        expected = embedded_on_cpu(chosen=device == "cpu")
    if expected is not None:
        return LateSegmenter(expected, partial(_embedded, expected, device))
    return _loaded(name, device)


def _embedded(info: ModelInfo, device: str) -> Segmenter:
    """The embedded network, without torch where OpenVINO computes it."""
    if info.precision.startswith("int8"):
        from fociquant.segment.embedded import EmbeddedSegmenter

        with suppress(ImportError):
            return EmbeddedSegmenter(info)
    return _loaded(EMBEDDED, device)


def _loaded(name: str, device: str) -> Segmenter:
    _load_torch()
    from fociquant.segment.batching import BatchingSegmenter
    from fociquant.segment.devices import reproducible, resolve_device

    where = resolve_device(device)
    segmenter = _load(name, where)
    if where.type == "cpu":
        return segmenter
    reproducible(where)
    return BatchingSegmenter(segmenter)


def _load_torch() -> None:
    try:
        import_module("torch")
    except OSError as error:  # one of its libraries needs another, which the system has not
        raise ModelError(
            f"PyTorch cannot be loaded: {said(error)}. On Windows, install the Microsoft Visual "
            "C++ Redistributable (https://aka.ms/vs/17/release/vc_redist.x64.exe), then try again."
        ) from error


def _load(name: str, device: torch.device) -> Segmenter:
    from fociquant.segment.cellpose_models import CellposeSegmenter
    from fociquant.segment.compact import CompactSegmenter, is_compact
    from fociquant.segment.late import embedded_weights

    if name == EMBEDDED:
        return CompactSegmenter(embedded_weights(), device)
    if name not in CELLPOSE_NAMES and is_compact(Path(name)):
        return CompactSegmenter(Path(name), device, name=Path(name).name)
    return CellposeSegmenter(name, device)
