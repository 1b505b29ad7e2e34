"""The compact network on a CPU: most of it in 8-bit whole numbers, computed by OpenVINO.

Processors of the last years multiply and add four 8-bit numbers where they take two of 16 bits or
one of 32. What a layer gets is rounded to 256 steps up to a reach that training found
(:mod:`fociquant.segment.training.calibrate`), its weights to 255 steps per output map. That suits
what a rectifier lets through, which is never negative. The input and the sums after each
enlargement are, and many small values in them matter: layers that get these keep full precision.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

LEVELS, WEIGHT_LEVELS = 256, 255
"""Different values of what goes into a layer, and of the weights of one output map."""


def in_whole_numbers(name: str) -> bool:
    """Whether what the convolution of this name gets is never negative."""
    return not (name.startswith("stem") or ".mix." in name)


class Int8Net:
    """The network, ready to look at windows; safe between threads.

    Parameters
    ----------
    state : mapping of str to numpy.ndarray of float32
        Weights and biases by name, batch norms folded into them
        (:func:`fociquant.segment.network.fuse_batch_norm`).
    reaches : mapping of str to float
        Of every convolution that is computed in whole numbers, by its name: larger values going
        into it are cut to this one; positive.
    bfloat16 : bool
        Whether the rest is computed in bfloat16 or in float32.
    """

    def __init__(
        self,
        state: Mapping[str, np.ndarray],
        reaches: Mapping[str, float],
        *,
        bfloat16: bool,
    ) -> None:
        with _untold():
            from openvino import Core
        self._core = Core()
        self._graph = _Graph(state, reaches).build()
        # One thread computes one window: results do not depend on how many there are.
        self._how = {
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self._lock = threading.Lock()
        self._idle: list[Any] = []

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """See :meth:`fociquant.segment.contract.Segmenter.flows`."""
        request = self._take()
        found = [request.infer({0: np.ascontiguousarray(one[None])})[0] for one in windows]
        self._idle.append(request)
        return np.concatenate(found, dtype=np.float32)

    def _take(self) -> Any:
        """One that nobody works with; as many are made as threads come at once."""
        with self._lock:
            if not self._idle:
                compiled = self._core.compile_model(self._graph, "CPU", self._how)
                return compiled.create_infer_request()
            return self._idle.pop()


@contextmanager
def _untold() -> Iterator[None]:
    """Import OpenVINO without its telemetry, which reports every import to its maker."""
    name = "openvino_telemetry"
    if name in sys.modules:
        yield
        return
    # None makes the import fail, and OpenVINO then takes a stub of its own.
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


class _Graph:
    """:class:`fociquant.segment.network.CompactNet`, layer by layer, as OpenVINO's graph."""

    def __init__(self, state: Mapping[str, np.ndarray], reaches: Mapping[str, float]) -> None:
        from openvino import opset13

        self._op = opset13
        self._state, self._reaches = state, reaches
        self._levels = 1 + max(int(n.split(".")[1]) for n in state if n.startswith("encoder."))

    def build(self) -> Any:
        from openvino import Model

        op = self._op
        windows = op.parameter([-1, 2, -1, -1], np.float32, name="windows")
        x = op.relu(self._convolve(op.space_to_depth(windows, "depth_first", 2), "stem.0"))
        skips = []
        for level in range(self._levels):
            x = self._residual(x, f"encoder.{level}")
            if level < self._levels - 1:
                skips.append(x)
                x = op.relu(self._convolve(x, f"down.{level}.0", stride=2))
        for number, skip in enumerate(reversed(skips)):
            x = op.add(self._twice(self._convolve(x, f"up.{number}.project")), skip)
            x = op.relu(self._convolve(x, f"up.{number}.mix.0"))
            x = self._residual(x, f"up.{number}.block")
        flows = op.depth_to_space(self._convolve(x, "head"), "depth_first", 2)
        return Model([flows], [windows], "compact")

    def _residual(self, x: Any, name: str) -> Any:
        inner = self._op.relu(self._convolve(x, f"{name}.first.0"))
        return self._op.relu(self._op.add(self._convolve(inner, f"{name}.second.0"), x))

    def _convolve(self, x: Any, name: str, *, stride: int = 1) -> Any:
        op, weight = self._op, self._state[f"{name}.weight"]
        kernel, pad = self._constant(weight), weight.shape[2] // 2
        reach = self._reaches.get(name)
        if reach is not None:
            x = self._rounded(x, 0.0, reach, LEVELS)
            most = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
            most[most == 0.0] = 1.0
            kernel = self._rounded(kernel, -most, most, WEIGHT_LEVELS)
        out = op.convolution(x, kernel, [stride] * 2, [pad] * 2, [pad] * 2, [1, 1])
        bias = self._state.get(f"{name}.bias")
        return out if bias is None else op.add(out, self._constant(bias.reshape(1, -1, 1, 1)))

    def _rounded(self, x: Any, low: Any, high: Any, levels: int) -> Any:
        low, high = self._constant(low), self._constant(high)
        return self._op.fake_quantize(x, low, high, low, high, levels)

    def _twice(self, x: Any) -> Any:
        return self._op.interpolate(
            x, self._constant(np.array([2.0, 2.0])), mode="nearest",
            shape_calculation_mode="scales", axes=self._op.constant(np.array([2, 3])),
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip

    def _constant(self, value: Any) -> Any:
        return self._op.constant(np.asarray(value, np.float32))
