"""The embedded network, known by its file and loaded with the first window that it gets.

Loading a network, and torch where it needs that, takes longer than looking through a section in
which there is nothing to count. What a run has to know of the network before it starts is found
here without torch, where that is certain: on a Linux computer without any accelerator, or whose
processor was asked for.
"""

from __future__ import annotations

import hashlib
import platform
import sys
import threading
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np

from fociquant.errors import ModelError
from fociquant.segment.contract import ModelInfo, Segmenter
from fociquant.tiling.lattice import WINDOW_CORE_PX, WINDOW_MARGIN_PX

NATIVE_DIAMETER_PX = 24.0
"""Diameter to which training brings objects, before its random spread."""

ACCELERATORS = ("nvidia*", "nvhost-ctrl*", "nvmap", "dxg", "kfd")
"""Device files, one of which there is on a Linux computer with a graphics processor that torch can
use: of NVIDIA, also Jetson and under Windows, and of AMD."""

BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_tile"})
"""Flags of processors that compute in bfloat16."""

INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
"""Flags of processors that multiply and add 8-bit numbers without overflow between."""

CPUINFO = Path("/proc/cpuinfo")
"""Where Linux tells of its processor."""


def embedded_weights() -> Path:
    """Path of the weights that ship with the package."""
    return Path(str(files("fociquant.segment"))) / "weights" / "compact.pt"


def file_sha256(path: Path) -> str:
    """sha256 of a file, hex.

    Raises
    ------
    ModelError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        cure = "Install fociquant again" if path == embedded_weights() else "Give a readable file"
        raise ModelError(f"weights {path} cannot be read: {error.strerror}. {cure}.") from error


def embedded_on_cpu(
    *, chosen: bool = False, devices: Path = Path("/dev"), processor: Path = CPUINFO
) -> ModelInfo | None:
    """What the embedded network will be on this computer, if it can only run on the CPU.

    Parameters
    ----------
    chosen : bool
        Whether the CPU was asked for; else there may be no accelerator beside it.
    devices, processor : pathlib.Path
        Where the system tells of its devices and of its processor.

    Returns
    -------
    ModelInfo or None
        None where only torch can tell.

    Raises
    ------
    ModelError
        If the weights cannot be read.
    """
    flags = processor_flags(processor)
    if sys.platform != "linux" or platform.machine() != "x86_64" or not flags:
        return None
    if not chosen and any(True for pattern in ACCELERATORS for _ in devices.glob(pattern)):
        return None
    return ModelInfo(
        name="compact",
        sha256=file_sha256(embedded_weights()),
        diameter_px=NATIVE_DIAMETER_PX,
        window_core_px=WINDOW_CORE_PX,
        window_margin_px=WINDOW_MARGIN_PX,
        fixed_window=False,
        batch=1,
        device="cpu",
        precision=precision_name(
            int8=bool(flags & INT8_FLAGS), bfloat16=bool(flags & BFLOAT16_FLAGS)
        ),
    )


def precision_name(*, int8: bool, bfloat16: bool) -> str:
    """In which number format a network runs, for the record."""
    rest = "bfloat16" if bfloat16 else "float32"
    return f"int8 and {rest}" if int8 else rest


def processor_flags(processor: Path = CPUINFO) -> frozenset[str]:
    """What the first processor can do, as Linux names it; empty elsewhere."""
    try:
        lines = processor.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = [line.partition(":")[2].split() for line in lines if line.startswith("flags")]
    return frozenset(found[0]) if found else frozenset()


class LateSegmenter:
    """A network that is loaded when the first window comes; safe between threads.

    Parameters
    ----------
    info : ModelInfo
        What it will be.
    load : callable
        Loads it.
    """

    def __init__(self, info: ModelInfo, load: Callable[[], Segmenter]) -> None:
        self.info, self._load = info, load
        self._lock = threading.Lock()
        self._loaded: Segmenter | None = None

    def flows(self, windows: np.ndarray) -> np.ndarray:
        """See :class:`fociquant.segment.contract.Segmenter`.

        Raises
        ------
        ModelError
            If the network is not what it was taken for.
        """
        with self._lock:
            if self._loaded is None:
                self._loaded = self._checked(self._load())
        return self._loaded.flows(windows)

    def _checked(self, loaded: Segmenter) -> Segmenter:
        if loaded.info != self.info:
            raise ModelError(
                f"torch runs the network in {loaded.info.precision} on {loaded.info.device}, not "
                f"in {self.info.precision} on {self.info.device} as this computer's processor "
                "lets expect. Write --device cpu."
            )
        return loaded
