"""Network windows of a section, computed once and shared by the decode cells around them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

import numpy as np

from fociquant.model import Box
from fociquant.segment.contract import Segmenter
from fociquant.segment.scaling import compress, to_unit
from fociquant.tiling.lattice import Index, Lattice

Scale = tuple[float, float]
"""(low, high): raw counts that become 0 and 1."""

BACKGROUND_LOGIT = -100.0
"""Cell logit where nothing was computed."""

STORED = np.float16
"""Windows are kept at this precision, whether or not they come from the cache."""


class PlaneReader(Protocol):
    """Reads marker and nucleus on the analysis grid."""

    def __call__(self, box: Box, /) -> np.ndarray:
        """Raw counts, float32, shape (2, h, w) of a box inside the section."""
        ...


class WindowCache:
    """Outputs of recent windows; a window asked for twice at once is computed once.

    Parameters
    ----------
    limit_bytes : int
        Oldest windows are forgotten beyond this.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, Index], Future[np.ndarray]] = OrderedDict()

    def get(
        self,
        section: str,
        windows: Sequence[Index],
        compute: Callable[[list[Index]], Sequence[np.ndarray]],
        *,
        at_once: int | None = None,
    ) -> list[np.ndarray]:
        """Outputs of `windows`, computing those that nobody has computed or is computing.

        Parameters
        ----------
        section : str
        windows : sequence of (int, int)
        compute : callable
            Gets missing windows, returns their outputs in the same order.
        at_once : int, optional
            Windows per call of `compute`; default all that are missing. Threads that want the
            same windows share them in portions of this size.

        Returns
        -------
        list of numpy.ndarray
        """
        futures: dict[Index, Future[np.ndarray]] = {}
        while missing := self._claim(section, windows, futures, at_once or len(windows)):
            try:
                outputs = compute(missing)
                _check_number(outputs, missing)
            except BaseException as error:
                self._abandon(section, missing, error)
                raise
            self._fill(section, missing, outputs)
        return [futures[window].result() for window in windows]

    def _claim(
        self,
        section: str,
        windows: Sequence[Index],
        futures: dict[Index, Future[np.ndarray]],
        at_once: int,
    ) -> list[Index]:
        """Add to `futures` what others have or compute, and a portion to be computed: returned."""
        missing: list[Index] = []
        with self._lock:
            for window in windows:
                if window in futures:
                    continue
                key = (section, window)
                if key not in self._entries:
                    if len(missing) == at_once:
                        continue
                    self._entries[key] = Future()
                    missing.append(window)
                self._entries.move_to_end(key)
                futures[window] = self._entries[key]
        return missing

    def _fill(self, section: str, windows: list[Index], outputs: Sequence[np.ndarray]) -> None:
        with self._lock:
            for window, output in zip(windows, outputs, strict=True):
                self._entries[(section, window)].set_result(output)
                self._held += output.nbytes
            for key in list(self._entries):
                if self._held <= self._limit:
                    break
                if self._entries[key].done():
                    self._held -= self._entries.pop(key).result().nbytes

    def _abandon(self, section: str, windows: list[Index], error: BaseException) -> None:
        with self._lock:
            for window in windows:
                self._entries.pop((section, window)).set_exception(error)


def _check_number(outputs: Sequence[np.ndarray], windows: Sequence[Index]) -> None:
    if len(outputs) != len(windows):
        raise ValueError(f"{len(outputs)} outputs for {len(windows)} windows")


class FlowField:
    """Network output of one section, anywhere.

    Parameters
    ----------
    section : str
        Name, for the cache.
    read : PlaneReader
    lattice : Lattice
    scales : sequence of two (low, high)
        Of marker and nucleus; None for a plane that is empty.
    segmenter : Segmenter
    cache : WindowCache
    check : callable, optional
        Called before every piece of work; raises to end it soon.
    """

    def __init__(
        self,
        section: str,
        read: PlaneReader,
        lattice: Lattice,
        scales: Sequence[Scale | None],
        segmenter: Segmenter,
        cache: WindowCache,
        *,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._section, self._read, self._lattice = section, read, lattice
        self._scales, self._segmenter, self._cache = tuple(scales), segmenter, cache
        self._check = check

    def over(self, box: Box, windows: Sequence[Index] | None = None) -> np.ndarray:
        """Flows and cell logit of `box`, float32 (3, h, w); the box lies inside the section.

        Parameters
        ----------
        box : Box
        windows : sequence of (int, int), optional
            Of those over the box; the others are not computed and show background.
        """
        self._check()
        out = np.zeros((3, *box.shape), np.float32)
        out[2] = BACKGROUND_LOGIT
        if windows is None:
            windows = self._lattice.windows_over(box)
        for window, values in zip(windows, self._outputs(windows), strict=True):
            core = self._lattice.window_core(window)
            part = core.intersect(box)
            rows, columns = part.shift(-box.y0, -box.x0).slices
            source = part.shift(-core.y0, -core.x0).slices
            out[:, rows, columns] = values[:, source[0], source[1]]
        return out

    def _outputs(self, windows: Sequence[Index]) -> list[np.ndarray]:
        batch = self._segmenter.info.batch
        return self._cache.get(self._section, windows, self._compute, at_once=batch)

    def _compute(self, windows: list[Index]) -> list[np.ndarray]:
        outputs: list[np.ndarray] = []
        for start, stop in _runs(
            [self._lattice.window_input(w).shape for w in windows], self._segmenter.info.batch
        ):
            self._check()
            batch = np.stack([self._input(window) for window in windows[start:stop]])
            for window, flows in zip(
                windows[start:stop], self._segmenter.flows(batch), strict=True
            ):
                core = self._lattice.window_core(window)
                inside = core.shift(
                    -self._lattice.window_input(window).y0, -self._lattice.window_input(window).x0
                ).slices
                outputs.append(flows[:, inside[0], inside[1]].astype(STORED))
        return outputs

    def _input(self, window: Index) -> np.ndarray:
        wanted = self._lattice.window_input(window)
        inside = wanted.intersect(self._lattice.image)
        raw = self._read(inside)
        planes = np.zeros(raw.shape, np.float32)
        for index, scale in enumerate(self._scales):
            if scale is not None:
                planes[index] = compress(to_unit(raw[index], *scale))
        pads = (
            (0, 0),
            (inside.y0 - wanted.y0, wanted.y1 - inside.y1),
            (inside.x0 - wanted.x0, wanted.x1 - inside.x1),
        )
        # Empty, as in training: mirrored, an object cut by the border would look whole, with
        # its centre on the border, and be split there.
        return np.pad(planes, pads)


def _runs(shapes: list[tuple[int, int]], longest: int) -> list[tuple[int, int]]:
    """Slices of consecutive equal shapes, at most `longest` each."""
    runs: list[tuple[int, int]] = []
    start = 0
    for stop in range(1, len(shapes) + 1):
        ends = stop == len(shapes) or shapes[stop] != shapes[start] or stop - start == longest
        if ends:
            runs.append((start, stop))
            start = stop
    return runs
