"""What a run needs later is loaded while it reads its first pixels.

Importing libraries is Python's work, decoding and filtering pixels is done outside of it: on two
cores they hardly wait for each other.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import numpy as np

from fociquant.segment.contract import Segmenter
from fociquant.segment.late import LateSegmenter

LATER = (
    "zarr",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "fociquant.report._report",
    "fociquant.run.immune",
    "fociquant.run.tables",
)
"""Modules of the end of a run: label images, figures, the report, tables."""

EVERY_CELL = ("fociquant.segment.dynamics",)
"""Modules that a run needs which looks for every cell: torch, to follow many pixels."""

WORTH_IT_PX = 4096**2
"""Sections of fewer pixels are prepared before a network is loaded, and may not need one."""

SWITCH_S = 0.000005
"""How long an import may keep the interpreter from threads that come back from decoding or
filtering, s: most of their steps are far shorter than Python's own 5 ms, and still than 0.5 ms."""


@contextmanager
def loading_ahead(
    segmenter: Segmenter | None, section_px: Sequence[int], *, every_cell: bool = False
) -> Iterator[None]:
    """Load what is needed later in a thread, which has ended when the block has.

    Parameters
    ----------
    segmenter : Segmenter or None
        The network of this process, if it works here; loaded too if it has not been yet and a
        section is large enough.
    section_px : sequence of int
        Pixels of each section that is to be counted; empty: nothing is loaded.
    every_cell : bool
        Whether cells without the marker are looked for too.
    """
    steps: list[Callable[[], object]] = []
    if segmenter is not None and section_px and max(section_px) >= WORTH_IT_PX:
        if isinstance(segmenter, LateSegmenter):
            steps = [partial(first_window, segmenter)]
        if every_cell:
            steps += [partial(importlib.import_module, name) for name in EVERY_CELL]
    if section_px:
        steps += [partial(importlib.import_module, name) for name in LATER]
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="fociquant-ahead") as pool:
        # What fails here fails again where it is needed, and is said there.
        pool.submit(_take, steps, stop)
        try:
            yield
        finally:
            stop.set()


def _take(steps: Sequence[Callable[[], object]], stop: threading.Event) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        for step in steps:
            if stop.is_set():
                break
            step()
    finally:
        sys.setswitchinterval(before)


def first_window(segmenter: Segmenter) -> None:
    """Let a network look at nothing, so that it and its library are loaded."""
    edge = segmenter.info.window_core_px + 2 * segmenter.info.window_margin_px
    segmenter.flows(np.zeros((1, 2, edge, edge), np.float32))
