"""The piece of a section that is drawn at once: a pixel grid and a coarse node grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fociquant.model import Box

COARSE_UM = 1.3
"""Aimed distance of coarse nodes: smooth maps of tissue are computed there."""


@dataclass(frozen=True)
class Canvas:
    """A box of global pixels whose corner lies on the coarse lattice.

    Parameters
    ----------
    box : Box
        Global pixels drawn; a whole number of coarse steps each way.
    px_um : float
        Pixel size, µm.
    step : int
        Pixels between coarse nodes.
    """

    box: Box
    px_um: float
    step: int

    @classmethod
    def around(cls, box: Box, *, px_um: float, margin_um: float) -> Canvas:
        """The smallest canvas that holds `box` and a margin."""
        step = int(np.clip(round(COARSE_UM / px_um), 1, 12))
        grown = box.expand(int(np.ceil(margin_um / px_um)))
        y0, x0 = grown.y0 // step * step, grown.x0 // step * step
        height, width = -((y0 - grown.y1) // step) * step, -((x0 - grown.x1) // step) * step
        return cls(Box(y0, x0, y0 + height, x0 + width), px_um, step)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self.box.shape

    @cached_property
    def node_y(self) -> np.ndarray:
        """Rows of the coarse nodes, µm; one more than steps, so that pixels lie between."""
        return self._nodes(self.box.y0, self.shape[0])

    @cached_property
    def node_x(self) -> np.ndarray:
        """Columns of the coarse nodes, µm."""
        return self._nodes(self.box.x0, self.shape[1])

    def _nodes(self, start: int, length: int) -> np.ndarray:
        count = length // self.step + 1
        return (start + np.arange(count) * self.step + 0.5) * self.px_um

    def upsample(self, coarse: np.ndarray) -> np.ndarray:
        """Coarse nodes to pixels, bilinear; float32 of the canvas's shape."""
        if self.step == 1:
            return np.ascontiguousarray(coarse[:-1, :-1], dtype=np.float32)
        weight = (np.arange(self.step, dtype=np.float32) / self.step)[:, None]
        a = coarse.astype(np.float32, copy=False)
        rows = a[:-1, None, :] + (a[1:] - a[:-1])[:, None, :] * weight
        rows = rows.reshape(self.shape[0], -1)
        cols = rows[:, :-1, None] + (rows[:, 1:] - rows[:, :-1])[:, :, None] * weight[:, 0]
        return cols.reshape(self.shape)

    def sample(self, coarse: np.ndarray, y_um: np.ndarray, x_um: np.ndarray) -> np.ndarray:
        """Value of the node next to each point; points outside take the border's."""
        scale = 1.0 / (self.step * self.px_um)
        iy = np.rint((y_um - self.node_y[0]) * scale).astype(np.int64)
        ix = np.rint((x_um - self.node_x[0]) * scale).astype(np.int64)
        iy, ix = np.clip(iy, 0, coarse.shape[0] - 1), np.clip(ix, 0, coarse.shape[1] - 1)
        return coarse[iy, ix]

    def to_px(self, y_um: np.ndarray, x_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World µm to fractional pixels of this canvas (pixel centres at +0.5)."""
        return y_um / self.px_um - self.box.y0, x_um / self.px_um - self.box.x0

    def holds(self, y_um: np.ndarray, x_um: np.ndarray, pad_um: float = 0.0) -> np.ndarray:
        """Which points lie within `pad_um` of the canvas; bool."""
        y, x = self.to_px(y_um, x_um)
        pad = pad_um / self.px_um
        inside_y = (y >= -pad) & (y < self.shape[0] + pad)
        return inside_y & (x >= -pad) & (x < self.shape[1] + pad)

    def bounds_um(self, pad_um: float = 0.0) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1) in µm, grown by `pad_um`."""
        b = self.box
        edges = (b.y0, b.x0, b.y1, b.x1)
        y0, x0, y1, x1 = (edge * self.px_um for edge in edges)
        return y0 - pad_um, x0 - pad_um, y1 + pad_um, x1 + pad_um


def window(centre: float, reach: float, length: int) -> slice:
    """Indices within `reach` of `centre`, inside [0, length)."""
    start = max(0, int(np.floor(centre - reach)))
    return slice(start, max(start, min(length, int(np.ceil(centre + reach)) + 1)))
