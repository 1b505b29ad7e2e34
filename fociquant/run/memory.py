"""How much memory there is, and what is kept in it."""

from __future__ import annotations

import ctypes
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from fociquant.errors import SettingsError
from fociquant.settings import ComputeSettings

MIB = 2**20

PROCESS_BYTES = 600 * MIB
"""What a process holds before the first pixel: Python, torch, the network, its tables."""

LANE_BYTES = 330 * MIB
"""What one decode cell of 1216 px needs on its way from pixels to rows, with its windows."""

TILES_BYTES = 2 * 128 * MIB
"""Decoded tiles of the section being counted and of the next one."""

WINDOWS_BYTES = 256 * MIB
"""Network output kept for neighbouring decode cells, where there is room for it."""

LEAST_WINDOWS_BYTES = 48 * MIB
"""Less than this, and neighbouring decode cells compute the same windows twice."""

LEAST_BYTES = PROCESS_BYTES + TILES_BYTES + LEAST_WINDOWS_BYTES + LANE_BYTES
"""What a run with one thread takes. Measured: 1.16 GiB for sections of 640 px."""

DEFAULT_SHARE = 0.5
"""Of the memory of the computer, unless the user says how much."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
          "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}  # fmt: skip

CGROUPS = Path("/sys/fs/cgroup")

ARENAS = 2
"""Places from which the C library of Linux hands out memory, instead of one for every thread: what
a thread gives back lies idle in its own. A section of 32 768 px took 300 MB less, no slower."""

LARGE_BYTES = 8 * MIB
"""Arrays from this size on go back as soon as they are no longer needed. Left to itself the C
library of Linux keeps up to 32 MiB each for what may come, and planes of a section are as large."""

IDLE_BYTES = 16 * MIB
"""Idle memory at the end of such a place that is kept: less, and small arrays are slow."""

M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -8, -3, -1
"""Numbers of these options of ``mallopt`` (glibc)."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What one process may use.

    Parameters
    ----------
    lanes : int
        Pieces of work at once.
    window_cache_bytes : int
        Network output kept.
    """

    lanes: int
    window_cache_bytes: int


def share_arenas() -> None:
    """Let threads of this process take memory from the same few places, and keep little idle."""
    mallopt = _of_c_library("mallopt")
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, IDLE_BYTES)


def give_back() -> None:
    """Let go of memory that this process no longer uses: many small arrays leave gaps."""
    malloc_trim = _of_c_library("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _of_c_library(name: str) -> Callable[..., object] | None:
    """A function of the C library of Linux; other systems and libraries have none of these."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)


def parse_bytes(text: str) -> int:
    """``2.5GB``, ``800 MiB`` or a plain number of bytes, as a number of bytes.

    Raises
    ------
    SettingsError
        If it is none of these, or not above 0.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([KMGT]?I?)B?\s*", text.upper())
    number = float(match[1]) * _UNITS.get(match[2], 0) if match else 0.0
    if not number:
        raise SettingsError(f"--memory {text!r} is no amount. Write for example --memory 2.5GB.")
    return int(number)


def machine_bytes(*, cgroups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Memory of this computer, or what a container or a batch system leaves of it."""
    limits = [_number(path) for path in _limit_files(cgroups, own)]
    return min([limit for limit in limits if limit], default=0) or psutil.virtual_memory().total


def _limit_files(cgroups: Path, own: Path) -> Iterator[Path]:
    """Files that may hold a limit, of both versions of Linux's control groups, up to the root."""
    try:
        lines = own.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0":
            root, file = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, file = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        folder = Path(path.lstrip("/"))
        for part in (folder, *folder.parents):
            yield root / part / file


def _number(path: Path) -> int:
    """The number in a file; 0 without one, or where it means no limit."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return 0
    number = int(text) if text.isdigit() else 0
    return number if number < psutil.virtual_memory().total else 0


def shares(how: ComputeSettings, *, processes: int = 1) -> Shares:
    """Lanes and caches of each of some processes on this computer.

    Parameters
    ----------
    how : ComputeSettings
    processes : int
        That share the memory.

    Returns
    -------
    Shares
        At least one lane, whatever the memory of the computer.

    Raises
    ------
    SettingsError
        If the user allows less than these processes take before they have seen a pixel.
    """
    if 0 < how.memory_bytes < PROCESS_BYTES * max(processes, 1):
        raise SettingsError(_too_little(how.memory_bytes, processes))
    memory = (how.memory_bytes or int(machine_bytes() * DEFAULT_SHARE)) // max(processes, 1)
    wanted = max(1, (how.threads or os.cpu_count() or 1) // max(processes, 1))
    free = memory - PROCESS_BYTES - TILES_BYTES
    lanes = max(1, min(wanted, (free - LEAST_WINDOWS_BYTES) // LANE_BYTES))
    room = free - lanes * LANE_BYTES
    return Shares(lanes, max(LEAST_WINDOWS_BYTES, min(WINDOWS_BYTES, room)))


def _too_little(memory_bytes: int, processes: int) -> str:
    """What is wrong with an amount of memory, and what is needed."""
    needed = f"{math.ceil(LEAST_BYTES * processes / 1e8) / 10:.1f}GB"
    who, less = "a run", ""
    if processes > 1:
        who, less = f"{processes} worker processes", ", or fewer --workers"
    return (
        f"--memory: {memory_bytes / 1e9:.3g}GB is too little for {who}. "
        f"Write --memory {needed} or more{less}."
    )
