"""Outlines of any number of objects as a label pyramid, painted where it is looked at.

A hundred thousand sprites cost a second a frame without a graphics card, and as many
polygons do not open at all. A picture that is painted for the part in view costs what the
screen costs, shows an outline as it is in the table, and takes a decision by changing one
number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

OUTLINE_FROM_PX = 6.0
"""Objects that are smaller on a level, in its pixels, are dots there."""

DOT_PX = 3
"""Edge of a dot, px of the level."""

COARSEST_PX = 512
"""Levels are halved until the longer edge is at most this."""


class Outlines:
    """Closed outlines of many objects, µm.

    Parameters
    ----------
    vertices : numpy.ndarray of float32, shape (n, 2)
        (y, x), µm, of all objects one after the other.
    ends : numpy.ndarray of int, shape (objects,)
        Where each object's vertices end.
    codes : numpy.ndarray of uint8, shape (objects,)
        Colour of each; 0 is not drawn. Larger codes are drawn over smaller ones.
    """

    def __init__(self, vertices: np.ndarray, ends: np.ndarray, codes: np.ndarray) -> None:
        self.vertices = np.asarray(vertices, np.float32).reshape(-1, 2)
        self.ends = np.asarray(ends, np.int64)
        self.codes = np.asarray(codes, np.uint8)
        self.starts = np.concatenate([[0], self.ends[:-1]]).astype(np.int64)
        self.low, self.high = self._boxes()

    @classmethod
    def of_lists(cls, outlines: Sequence[np.ndarray], codes: Sequence[int]) -> Outlines:
        """From one (n, 2) array of vertices per object, µm."""
        ends = np.cumsum([len(one) for one in outlines], dtype=np.int64)
        joined = np.concatenate([*outlines, np.empty((0, 2), np.float32)])
        return cls(joined, ends, np.asarray(codes, np.uint8))

    def of(self, number: int) -> np.ndarray:
        """Vertices of one object, (n, 2), µm."""
        return self.vertices[self.starts[number] : self.ends[number]]

    def extended(self, outlines: Sequence[np.ndarray], codes: np.ndarray) -> Outlines:
        """With further objects at the end, and new codes for all."""
        more = np.cumsum([len(one) for one in outlines], dtype=np.int64) + len(self.vertices)
        vertices = np.concatenate([self.vertices, *outlines])
        return Outlines(vertices, np.concatenate([self.ends, more]), codes)

    def _boxes(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest vertex of each object, (objects, 2); NaN without vertices."""
        low = np.full((len(self.ends), 2), np.nan, np.float32)
        high = low.copy()
        drawn = self.ends > self.starts
        if drawn.any():
            low[drawn] = np.minimum.reduceat(self.vertices, self.starts[drawn])
            high[drawn] = np.maximum.reduceat(self.vertices, self.starts[drawn])
        return low, high

    def within(self, low: tuple[float, float], high: tuple[float, float]) -> np.ndarray:
        """Numbers of the drawn objects whose box meets a rectangle, µm, by rising code."""
        meets = (self.codes > 0) & (self.high >= low).all(axis=1) & (self.low <= high).all(axis=1)
        found = np.flatnonzero(meets)
        return found[np.argsort(self.codes[found], kind="stable")]

    def along(self, chosen: np.ndarray, step_um: float) -> tuple[np.ndarray, np.ndarray]:
        """Points along the outlines of some objects, at most `step_um` apart along each axis.

        Returns
        -------
        points : numpy.ndarray of float32, shape (n, 2)
            µm.
        codes : numpy.ndarray of uint8, shape (n,)
        """
        counts = self.ends[chosen] - self.starts[chosen]
        owner = np.repeat(np.arange(len(chosen)), counts)
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        first = self.starts[chosen][owner]
        here = self.vertices[first + place]
        there = self.vertices[first + (place + 1) % np.maximum(counts[owner], 1)]
        parts = np.ceil(np.abs(there - here).max(axis=1, initial=0.0) / step_um).astype(np.int64)
        parts = np.maximum(parts, 1)
        segment = np.repeat(np.arange(len(here)), parts)
        run = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
        share = (run / parts[segment]).astype(np.float32)[:, None]
        points = here[segment] + (there - here)[segment] * share
        return points, self.codes[chosen][owner[segment]]


class PictureLevel:
    """One level of the picture, as an array that is painted when it is indexed.

    Parameters
    ----------
    outlines : Outlines
    shape : (int, int)
        Height and width, px.
    pixel_um : (float, float)
        Size of a pixel of this level, µm.
    """

    ndim = 2
    dtype = np.dtype(np.uint8)

    def __init__(
        self, outlines: Outlines, shape: tuple[int, int], pixel_um: tuple[float, float]
    ) -> None:
        self.outlines, self.shape, self.pixel_um = outlines, shape, pixel_um

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:, :].astype(dtype or self.dtype, copy=False)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Colour codes of a part, uint8; slices with any step, and integers."""
        keys = (*(key if isinstance(key, tuple) else (key,)), slice(None), slice(None))[:2]
        wanted = [np.arange(n)[k] for n, k in zip(self.shape, keys, strict=True)]
        spans = [np.atleast_1d(one) for one in wanted]
        shape = [len(one) for one in wanted if one.ndim]
        if not all(len(span) for span in spans):
            return np.zeros(shape, np.uint8)
        (y0, y1), (x0, x1) = ((int(span.min()), int(span.max()) + 1) for span in spans)
        painted = self._paint(y0, x0, y1, x1)
        return painted[np.ix_(spans[0] - y0, spans[1] - x0)].reshape(shape)

    def _paint(self, y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
        out = np.zeros((y1 - y0 + DOT_PX, x1 - x0 + DOT_PX), np.uint8)
        size = np.asarray(self.pixel_um)
        low, high = np.array([y0, x0]) * size, np.array([y1, x1]) * size
        chosen = self.outlines.within((low[0], low[1]), (high[0], high[1]))
        if len(chosen):
            self._draw(out, chosen, low, size)
        return out[: y1 - y0, : x1 - x0]

    def _draw(self, out: np.ndarray, chosen: np.ndarray, low: np.ndarray, size: np.ndarray) -> None:
        spans = self.outlines.high[chosen] - self.outlines.low[chosen]
        if float(np.median(spans.max(axis=1))) / math.sqrt(size.prod()) >= OUTLINE_FROM_PX:
            points, codes = self.outlines.along(chosen, float(size.min()))
            width = 2
        else:
            points = (self.outlines.low[chosen] + self.outlines.high[chosen]) / 2
            codes, width = self.outlines.codes[chosen], DOT_PX
        places = np.floor((points - low) / size).astype(np.int64)
        for dy in range(width):
            for dx in range(width):
                y, x = places[:, 0] + dy, places[:, 1] + dx
                inside = (y >= 0) & (x >= 0) & (y < out.shape[0]) & (x < out.shape[1])
                out[y[inside], x[inside]] = codes[inside]


def pyramid(
    outlines: Outlines, shape: tuple[int, int], pixel_um: tuple[float, float]
) -> list[PictureLevel]:
    """Levels of the picture over an image of this shape and pixel size, finest first.

    At least two, each smaller than the one before: with one, napari would take the picture for
    an ordinary array and copy it, and decisions would not show.
    """
    levels = [PictureLevel(outlines, shape, pixel_um)]
    while len(levels) < 2 or max(levels[-1].shape) > COARSEST_PX:
        step = 2 ** len(levels)
        smaller = (-(-shape[0] // step), -(-shape[1] // step))
        factors = (shape[0] / smaller[0], shape[1] / smaller[1])
        size = (pixel_um[0] * factors[0], pixel_um[1] * factors[1])
        levels.append(PictureLevel(outlines, smaller, size))
    return levels
