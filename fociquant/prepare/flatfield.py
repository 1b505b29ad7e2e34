"""Pixels as they would be if every camera field were lit evenly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fociquant.model import SHADING_POWERS, Box, Shading
from fociquant.prepare.overview import PixelReader


class FlatReader:
    """A section image with the shading of its channels evened out.

    Light is raised to that of the brightest place of a field, so that nothing becomes darker.
    What is done to a pixel depends on its place in the section alone, never on what is read
    with it. The dtype stays that of the file; saturated pixels stay saturated, and no other
    becomes so.

    Parameters
    ----------
    image : PixelReader
        An opened section image; stays the owner of its file.
    shading : mapping of int to Shading
        Channel index to its shading.
    """

    def __init__(self, image: PixelReader, shading: Mapping[int, Shading]) -> None:
        self._image, self._shading = image, dict(shading)

    def __getattr__(self, name: str) -> Any:
        # Names, pixel size and shape are those of the image.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._image, name)

    @property
    def levels(self) -> Sequence[Any]:
        """Shapes and dtypes of the file, finest first; pixels come from :meth:`read` only."""
        return self._image.levels

    def read(self, box: Box, channels: Sequence[int], level: int = 0) -> np.ndarray:
        """Pixels (len(channels), h, w) of a box of that level, in the file's dtype."""
        pixels = self._image.read(box, channels, level)
        shaded = [index for index, channel in enumerate(channels) if channel in self._shading]
        if not shaded or not pixels.size:
            return pixels
        pixels = pixels.copy()
        scales = self._scales(level)
        for index in shaded:
            shading = self._shading[channels[index]]
            pixels[index] = flattened(pixels[index], shading, light(shading, box, scales))
        return pixels

    def _scales(self, level: int) -> tuple[float, float]:
        full, reduced = self._image.levels[0].shape[1:], self._image.levels[level].shape[1:]
        return full[0] / max(reduced[0], 1), full[1] / max(reduced[1], 1)


def corrected(
    image: PixelReader, roles: Mapping[str, int], shading: Mapping[str, Shading]
) -> PixelReader:
    """The image, evened out in the channels whose shading says so.

    Parameters
    ----------
    image : PixelReader
    roles : mapping of str to int
        Role to channel index.
    shading : mapping of str to Shading
        By role.

    Returns
    -------
    PixelReader
        The image itself where there is nothing to do.
    """
    used = {roles[role]: one for role, one in shading.items() if one.corrected and role in roles}
    return FlatReader(image, used) if used else image


def light(shading: Shading, box: Box, scales: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    """Light at the centres of pixels, relative to the brightest place of a field.

    Parameters
    ----------
    shading : Shading
    box : Box
        In pixels of a level.
    scales : (float, float)
        Full-resolution pixels along one of them, (y, x).

    Returns
    -------
    numpy.ndarray of float32, shape of the box
        From ``1 - loss`` to 1.
    """
    y, x = (
        _place((np.arange(start, stop) + 0.5) * scale, period, origin)
        for start, stop, scale, period, origin in zip(
            (box.y0, box.x0), (box.y1, box.x1), scales, shading.period_px, shading.origin_px,
            strict=True,
        )
    )  # fmt: skip
    rows, columns = np.zeros(len(y)), np.zeros(len(x))
    crossed = []
    for (i, j), term in zip(SHADING_POWERS, shading.terms, strict=True):
        if i and j:
            crossed.append((i, j, term))
        elif j:
            columns += term * x**j
        else:
            rows += term * y**i
    total = rows.astype(np.float32)[:, None] + columns.astype(np.float32)
    for i, j, term in crossed:
        total += (term * y**i).astype(np.float32)[:, None] * (x**j).astype(np.float32)
    return np.clip(np.exp(total, out=total), np.float32(1.0 - shading.loss), 1.0)


def _place(centres: np.ndarray, period: float, origin: float) -> np.ndarray:
    """Place in a field, -1 to 1, of positions in full-resolution pixels; 0 without fields."""
    if not period:
        return np.zeros(len(centres))
    turns = (centres - origin) / period
    return np.asarray(2.0 * (turns - np.floor(turns)) - 1.0)


def flattened(plane: np.ndarray, shading: Shading, share: np.ndarray) -> np.ndarray:
    """A plane (h, w) divided by its light; see :class:`FlatReader`."""
    dtype = plane.dtype
    # Whole numbers up to 24 bits are exact in single precision.
    values: Any = plane.astype(np.float32 if dtype.itemsize <= 2 else np.float64)
    values -= shading.dark
    # What is darker than dark is noise of the camera, which the lens has no part in.
    np.divide(values, share, out=values, where=values > 0)
    values += shading.dark
    if dtype.kind not in "iu":
        return np.asarray(values, dtype)
    np.rint(values, out=values)
    largest = min(shading.top, float(np.iinfo(dtype).max)) - 1.0
    np.minimum(values, largest, out=values)
    return np.where(plane >= shading.top, plane, values.astype(dtype))
