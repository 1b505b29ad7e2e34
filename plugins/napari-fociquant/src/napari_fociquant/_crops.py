"""Crops of candidates: read on a thread, coloured when they are drawn."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from fociquant.io import SectionImage
from fociquant.model import Box
from fociquant.units import PixelSize
from napari_fociquant._colours import rgb

CROP_UM = 48.0
"""Edge of a crop, µm: a cell of 12 µm and what is around it."""

CROP_PX = 96
"""Crops are read from the level on which they have about so many pixels along an edge."""

KEPT = 1000
"""Crops kept in memory."""


class CropReader:
    """Reads crops of one section; called by one or several threads.

    Parameters
    ----------
    image : SectionImage
    channels : sequence of int
        Indices, in the order of the crop.
    pixel : PixelSize
        Of level 0.
    edge_um : float
        Edge of a crop, µm.
    edge_px : int
        The coarsest level on which it has so many pixels is read.
    """

    def __init__(
        self, image: SectionImage, channels: Sequence[int], pixel: PixelSize, *,
        edge_um: float = CROP_UM, edge_px: int = CROP_PX,
    ) -> None:  # fmt: skip
        self._image, self._channels = image, list(channels)
        self._edge_um, self._edge_px = edge_um, edge_px
        self._level, self._pixel = self._choose(pixel)
        self._kept: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def _choose(self, pixel: PixelSize) -> tuple[int, PixelSize]:
        """The coarsest level that still has the pixels, or the finest."""
        sizes = [self._image.level_pixel_size(i, pixel) for i in range(len(self._image.pyramid))]
        good = [i for i, size in enumerate(sizes) if self._edge_um / size.mean >= self._edge_px]
        level = max(good, default=0)
        return level, sizes[level]

    def _box(self, y_um: float, x_um: float) -> Box:
        h, w = (max(8, round(self._edge_um / size)) for size in (self._pixel.y, self._pixel.x))
        y, x = int(y_um / self._pixel.y - h / 2), int(x_um / self._pixel.x - w / 2)
        return Box(y, x, y + h, x + w)

    def frame_um(self, y_um: float, x_um: float) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1) of the crop around a place, µm."""
        box, size = self._box(y_um, x_um), self._pixel
        return (box.y0 * size.y, box.x0 * size.x, box.y1 * size.y, box.x1 * size.x)

    def read(self, y_um: float, x_um: float) -> np.ndarray:
        """Pixels around a place, shape (channels, h, w), float32; 0 outside the image.

        Raises
        ------
        ImageError
            If the pixels cannot be read.
        """
        wanted = self._box(y_um, x_um)
        y, x, (h, w) = wanted.y0, wanted.x0, wanted.shape
        with self._lock:
            kept = self._kept.get((y, x))
        if kept is not None:
            return kept
        out = np.zeros((len(self._channels), h, w), np.float32)
        there = wanted.intersect(Box.of_shape(self._image.pyramid[self._level].shape[1:]))
        if there.area:
            rows, columns = there.shift(-y, -x).slices
            out[:, rows, columns] = self._image.read(there, self._channels, self._level)
        with self._lock:
            self._kept[y, x] = out
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return out


def colour_crop(
    crop: np.ndarray,
    limits: Sequence[tuple[float, float]],
    colours: Sequence[str],
    shown: Sequence[bool],
) -> np.ndarray:
    """A crop as the viewer would show it, channels added up.

    Parameters
    ----------
    crop : numpy.ndarray, shape (channels, h, w)
    limits : sequence of (float, float)
        What is black and what is full, per channel.
    colours : sequence of str
    shown : sequence of bool

    Returns
    -------
    numpy.ndarray of uint8, shape (h, w, 3)
        One channel alone is drawn in white, which shows most.
    """
    out = np.zeros((*crop.shape[1:], 3), np.float32)
    alone = sum(shown) == 1
    for plane, (low, high), colour, on in zip(crop, limits, colours, shown, strict=True):
        if on:
            scaled = np.clip((plane - low) / max(high - low, 1e-6), 0.0, 1.0)
            out += scaled[..., None] * (np.ones(3, np.float32) if alone else rgb(colour))
    return (np.clip(out, 0.0, 1.0) * 255).astype(np.uint8)
