"""Which device, which number format, how many threads."""

from __future__ import annotations

import platform
import threading

import torch

from fociquant.errors import SettingsError
from fociquant.segment.late import INT8_FLAGS, processor_flags

_local = threading.local()


def resolve_device(name: str) -> torch.device:
    """The device a user asked for.

    Parameters
    ----------
    name : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises
    ------
    SettingsError
        If it is not one of these, or this machine has none.
    """
    if name == "auto":
        return _best_device()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(
            f"--device {name!r} is unknown. Write auto, cpu, cuda, cuda:N or mps."
        ) from error
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise SettingsError(f"--device {name}: this machine has none. Write --device auto.")
    return device


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def one_of_several(name: str, number: int) -> str:
    """The device of worker process `number`: where there are several CUDA devices, one each.

    Parameters
    ----------
    name : str
        As the user named it; ``cuda:1`` and ``cpu`` are left as they are.
    number : int
        Of the worker, from 0.
    """
    devices = torch.cuda.device_count() if name in ("auto", "cuda") else 0
    return f"cuda:{number % devices}" if devices > 1 else name


def resolve_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware computes in it, float32 elsewhere.

    On a CPU without native bfloat16 the format is emulated and several times slower.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu" and _cpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def _cpu_has_bfloat16() -> bool:
    # PyTorch has no public question for this yet; absent means an older PyTorch: say no.
    answers = [
        getattr(torch.cpu, name, None)
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    ]
    return any(bool(answer()) for answer in answers if answer is not None)


def computes_in_int8(device: torch.device) -> bool:
    """Whether this is a CPU on which 8-bit numbers are both exact and faster."""
    if device.type != "cpu" or platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    flags = processor_flags()
    if flags:
        return bool(flags & INT8_FLAGS)
    # PyTorch has no public question for this yet either.
    ask = getattr(torch.cpu, "get_capabilities", None)
    return ask is not None and any(ask().get(name) for name in INT8_FLAGS)


MEMORY_SHARE = 0.25
"""Share of a device's memory that one batch may take: two are under way, and others use it too."""


def batch_size(device: torch.device, *, window_bytes: int, largest: int) -> int:
    """Windows per batch: one on a CPU, else what fits into the device's memory.

    It depends on the size of the memory, not on what is free at the moment: a run that is
    continued later computes in the same batches.

    Parameters
    ----------
    device : torch.device
    window_bytes : int
        Memory that the network needs per window, bytes.
    largest : int
        Larger batches are no faster.

    Returns
    -------
    int
        A power of two, at most `largest`.
    """
    if device.type == "cpu":
        return 1
    fitting = int(MEMORY_SHARE * _memory_bytes(device)) // window_bytes
    batch = 1
    while 2 * batch <= min(fitting, largest):
        batch *= 2
    return batch


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(torch.mps.recommended_max_memory())


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device had no memory left (CUDA has a class for it, MPS only words)."""
    return "out of memory" in str(error).lower()


def free_memory(device: str) -> None:
    """Give back what PyTorch keeps of a device's memory for later."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device.startswith("mps"):
        torch.mps.empty_cache()


def reproducible(device: torch.device) -> None:
    """Let cuDNN choose the same algorithm every time: the fastest by trial may differ."""
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True


def single_threaded() -> None:
    """Let this thread compute without helpers, so that results do not depend on their number.

    Parallel work is over windows; called at the start of every piece of work because
    the setting belongs to the calling thread.
    """
    if not getattr(_local, "done", False):
        torch.set_num_threads(1)
        _local.done = True
