"""Large arrays of geometries in parts, on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

PART = 10_000
"""Rows of a part: few enough to stay in the processor's cache, which is faster on one core too."""

MOST_THREADS = 8
"""More gain nothing: making Python objects of the geometries is done by one thread at a time."""


def in_parts(function: Callable[..., np.ndarray], rows: Any, *, part: int = PART) -> np.ndarray:
    """``function(rows)`` for a function that treats each row by itself.

    Parts have a fixed size and are put together in order, so the number of cores changes
    nothing. shapely lets go of the interpreter's lock, so threads do the work side by side.

    Parameters
    ----------
    function : callable
        Of a slice of `rows`, returning an array of the same length.
    rows : sequence, shape (n,)
    part : int
        Rows of a part.

    Returns
    -------
    numpy.ndarray, shape (n,)
    """
    starts = range(0, len(rows), part)
    if len(starts) < 2:
        return function(rows)
    with ThreadPoolExecutor(threads_for(len(starts))) as pool:
        return np.concatenate(list(pool.map(lambda k: function(rows[k : k + part]), starts)))


def threads_for(parts: int) -> int:
    """Threads for so many parts of work: at most the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(MOST_THREADS, cores, parts)
