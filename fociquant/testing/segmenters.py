"""Segmenters for tests: a network that is not one, and the conformance suite of real ones.

:class:`UphillSegmenter` finds bright cones exactly, in microseconds, from a pixel and its four
neighbours: what a test says about windows, seams and order is then not about a network.
:func:`check_segmenter` raises :class:`SegmenterError` with everything that breaks the contract
of :class:`fociquant.segment.contract.Segmenter`.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fociquant.segment.contract import ModelInfo, Segmenter

UNIT_FLOW = 5.0
"""Networks of this family predict 5 times the unit flow."""

STEEPNESS = 120.0
"""Of the cell logit around the threshold."""


class SegmenterError(AssertionError):
    """A segmenter does not keep its contract; the message lists what is wrong."""


class UphillSegmenter:
    """Flows uphill of the first plane; a cell is where it is above a level.

    Parameters
    ----------
    level : float
        Of the compressed intensity; 0 and 1 are the section's scale.
    diameter_px : float
        What it claims to be made for.
    window_core_px, window_margin_px : int
        Of its windows, multiples of 16.
    fixed_window : bool
        Whether it wants every window whole.
    batch : int
        Windows it asks for at once.
    delay_s : float
        Slept per window: a slow network.
    """

    def __init__(
        self,
        *,
        level: float = 0.9,
        diameter_px: float = 24.0,
        window_core_px: int = 512,
        window_margin_px: int = 32,
        fixed_window: bool = False,
        batch: int = 1,
        delay_s: float = 0.0,
    ) -> None:
        self._level, self._delay_s = level, delay_s
        self._lock = threading.Lock()
        self.windows = 0
        self.info = ModelInfo(
            name="uphill",
            sha256=hashlib.sha256(f"uphill {level}".encode()).hexdigest(),
            diameter_px=diameter_px,
            window_core_px=window_core_px,
            window_margin_px=window_margin_px,
            fixed_window=fixed_window,
            batch=batch,
            device="cpu",
            precision="float32",
        )

    def flows(self, windows: np.ndarray) -> np.ndarray:
        """See :class:`fociquant.segment.contract.Segmenter`; counts its windows in ``windows``."""
        with self._lock:
            self.windows += len(windows)
        if self._delay_s:
            time.sleep(self._delay_s * len(windows))
        out = np.zeros((len(windows), 3, *windows.shape[2:]), np.float32)
        for number, window in enumerate(windows):
            plane = window[0].astype(np.float64)
            slope = np.stack(np.gradient(plane)) if min(plane.shape) > 1 else np.zeros((2, 1, 1))
            length = np.maximum(np.hypot(*slope), 1e-9)
            out[number, :2] = UNIT_FLOW * slope / length
            out[number, 2] = np.clip(STEEPNESS * (plane - self._level), -20.0, 20.0)
        return out


def cones(
    shape: tuple[int, int],
    centres: Iterable[tuple[float, float]],
    diameter_px: float,
    *,
    background: float = 100.0,
    rim: float = 2200.0,
    peak: float = 2600.0,
) -> np.ndarray:
    """An image of cones that :class:`UphillSegmenter` finds: bright discs, brightest in the middle.

    Parameters
    ----------
    shape : (int, int)
        Height and width, px.
    centres : iterable of (float, float)
        (y, x), px, pixel centres at +0.5.
    diameter_px : float
        Of every disc; discs that overlap are divided where they are equally bright.
    background, rim, peak : float
        Counts outside, at the edge and in the middle of a disc.

    Returns
    -------
    numpy.ndarray of uint16, shape (height, width)
    """
    image = np.full(shape, background, np.float64)
    radius = diameter_px / 2.0
    for y, x in centres:
        y0, y1 = max(0, int(y - radius) - 1), min(shape[0], int(y + radius) + 2)
        x0, x1 = max(0, int(x - radius) - 1), min(shape[1], int(x + radius) + 2)
        rows, columns = np.arange(y0, y1) + 0.5 - y, np.arange(x0, x1) + 0.5 - x
        distance = np.hypot(rows[:, None], columns[None, :])
        disc = np.where(distance <= radius, rim + (peak - rim) * (1.0 - distance / radius), 0.0)
        image[y0:y1, x0:x1] = np.maximum(image[y0:y1, x0:x1], disc)
    return np.round(image).astype(np.uint16)


def check_segmenter(segmenter: Segmenter, *, windows: int = 5, seed: int = 0) -> None:
    """Check what windows, cache and resume rely on.

    The output has the contract's shape and dtype and is finite, the input is left as it is,
    the same window gives the same bits again, alone or at any place in a batch, and from
    several threads at once.

    Parameters
    ----------
    segmenter : Segmenter
    windows : int
        Number of random windows tried.
    seed : int
        Of their content.

    Raises
    ------
    SegmenterError
        With everything that is wrong.
    """
    edge = segmenter.info.window_core_px + 2 * segmenter.info.window_margin_px
    rng = np.random.default_rng(seed)
    batch = rng.gamma(1.0, 0.3, size=(windows, 2, edge, edge)).astype(np.float32)
    before = batch.copy()
    alone = [segmenter.flows(batch[i : i + 1]) for i in range(windows)]
    wrong = _form_problems(alone[0], (1, 3, edge, edge))
    if not np.array_equal(batch, before):
        wrong.append("the input was changed")
    if not wrong:
        wrong += _bit_problems(segmenter, batch, alone)
    wrong += _info_problems(segmenter.info)
    if wrong:
        raise SegmenterError(f"{segmenter.info.name}: " + "; ".join(wrong))


def _form_problems(output: np.ndarray, shape: tuple[int, ...]) -> list[str]:
    if output.shape != shape:
        return [f"output of shape {output.shape}, not {shape}"]
    wrong = [] if output.dtype == np.float32 else [f"output of dtype {output.dtype}, not float32"]
    return wrong if np.isfinite(output).all() else [*wrong, "output that is not finite"]


def _bit_problems(segmenter: Segmenter, batch: np.ndarray, alone: list[np.ndarray]) -> list[str]:
    wrong = []
    if not np.array_equal(segmenter.flows(batch[:1]), alone[0]):
        wrong.append("the same window gives other bits the second time")
    expected = np.concatenate(alone)
    orders = {
        "in a batch": np.arange(len(batch)),
        "in a reversed batch": np.arange(len(batch))[::-1],
    }
    for name, order in orders.items():
        if not np.array_equal(segmenter.flows(np.ascontiguousarray(batch[order])), expected[order]):
            wrong.append(f"a window gives other bits {name} than alone")
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(lambda i: segmenter.flows(batch[i : i + 1]), range(len(batch))))
    if not np.array_equal(np.concatenate(parts), expected):
        wrong.append("a window gives other bits from another thread")
    return wrong


def _info_problems(info: ModelInfo) -> list[str]:
    wrong = []
    if len(info.sha256) != 64:
        wrong.append("info.sha256 is not a sha256")
    if info.diameter_px <= 0 or info.batch < 1 or info.window_margin_px < 0:
        wrong.append(f"impossible numbers in {info}")
    if (info.window_core_px + 2 * info.window_margin_px) % 16:
        wrong.append("windows are not a multiple of 16")
    return wrong
