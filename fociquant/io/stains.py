"""A colour image of stained tissue as channels, one per stain.

Light that passes two dyes is weakened by both: optical densities add up, intensities do
not. Per pixel the density of each dye follows from the densities in red, green and
blue by a 3 x 3 matrix (A. C. Ruifrok, D. A. Johnston, Anal. Quant. Cytol. Histol. 23:291, 2001).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fociquant.errors import ChannelError, ImageFormatError
from fociquant.io.level import Level
from fociquant.io.section import SectionImage
from fociquant.model import Box
from fociquant.units import COUNTS_PER_DENSITY

ZERO_COUNTS = 1_000
"""Counts where there is no stain: noise on the glass goes below as well. 0 is kept for pixels that
are black in all colours, which no scan contains: they were never scanned."""

RGB = ("Red", "Green", "Blue")

SAMPLE_PX = 1 << 22
"""At most so many pixels are looked at to find the colour of the glass."""

BRIGHT_FIELD = 0.5
"""Half of a bright field is at least this part of its brightest light: most stains let through
more, and fluorescence hardly ever fills half an image."""

SAMPLE_TILE_PX = 256

BRIGHT_PERCENTILE, NEAR_BRIGHTEST = 99.5, 0.9
"""Glass is what has at least this share of the brightness of the brightest pixels."""


@dataclass(frozen=True, slots=True)
class Stains:
    """The dyes of a section.

    Parameters
    ----------
    vectors : tuple of (str, (float, float, float))
        Name, and optical density in red, green and blue in any scale; two or three.
    white : tuple of float
        Counts of the glass in red, green and blue; empty: found in the image.
    """

    vectors: tuple[tuple[str, tuple[float, float, float]], ...]
    white: tuple[float, ...] = ()

    @classmethod
    def of(cls, vectors: Mapping[str, Sequence[float]], white: Sequence[float]) -> Stains | None:
        """From settings; None without any stain: the image is used as it is."""
        if not vectors:
            return None
        named = tuple((name, (float(r), float(g), float(b))) for name, (r, g, b) in vectors.items())
        return cls(named, tuple(float(value) for value in white))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels, in order."""
        return tuple(name for name, _ in self.vectors)

    def unmixing(self) -> np.ndarray:
        """Densities in RGB to densities of the stains, float64 (3, number of stains).

        With two stains the rest goes to a third, at a right angle to both.
        """
        rows = [np.array(vector) / np.linalg.norm(vector) for _, vector in self.vectors]
        if len(rows) == 2:
            rest = np.cross(rows[0], rows[1])
            rows.append(rest / np.linalg.norm(rest))
        return np.asarray(np.linalg.inv(np.stack(rows))[:, : len(self.vectors)])


@dataclass(frozen=True, eq=False)
class StainedImage(SectionImage):
    """A :class:`SectionImage` whose channels are stains; made by :func:`separate_stains`.

    Channels are uint16: 1000 counts without stain, 10 000 more per unit of optical density.
    """

    stains: Stains | None = None

    def __reduce__(self) -> tuple[Callable[..., SectionImage], tuple[Any, ...]]:
        return _again, (self.path, self.stains)


def separate_stains(image: SectionImage, stains: Stains) -> StainedImage:
    """A colour image with the stains as its channels, at every level of its pyramid.

    Parameters
    ----------
    image : SectionImage
        With channels Red, Green and Blue of unsigned integers; closed with the result.
    stains : Stains

    Returns
    -------
    StainedImage

    Raises
    ------
    ChannelError
        The image is not in colour.
    ImageFormatError
        Its pixels are not unsigned integers.
    """
    if not set(RGB) <= set(image.channel_names):
        there = ", ".join(repr(name) for name in image.channel_names)
        raise ChannelError(
            f"{image.path}: stains are separated in colour images only, but its channels are "
            f"{there}. Use a preset for fluorescence, or remove 'stains' from study.yaml."
        )
    if image.dtype.kind != "u":
        raise ImageFormatError(
            f"{image.path}: colours of type {image.dtype} cannot be read as transmitted light. "
            "Export the image as 8- or 16-bit RGB."
        )
    channels = tuple(image.channel_names.index(name) for name in RGB)
    colours = _Colours(image, channels, stains)
    return StainedImage(
        path=image.path,
        format=image.format,
        channel_names=stains.names,
        pixel_size=image.pixel_size,
        pyramid=tuple(_StainLevel(level, colours) for level in image.pyramid),
        closers=(image.close,),
        make_fingerprint=lambda: _fingerprint(image, stains),
        stains=stains,
    )


def _again(path: Path, stains: Stains) -> SectionImage:
    from fociquant.io.registry import open_image  # the registry knows this module

    return open_image(path, stains=stains)


def _fingerprint(image: SectionImage, stains: Stains) -> str:
    content = json.dumps([image.fingerprint, stains.vectors, stains.white])
    return hashlib.sha256(content.encode()).hexdigest()


class _Colours:
    """From RGB to stains; the colour of the glass is found when it is first needed."""

    def __init__(self, image: SectionImage, channels: tuple[int, ...], stains: Stains) -> None:
        self.channels, self.names = channels, stains.names
        self._image, self._stains = image, stains
        self._matrix = stains.unmixing().astype(np.float32)

    @cached_property
    def white(self) -> np.ndarray:
        """Counts of the glass, float32 (3,)."""
        if self._stains.white:
            return np.array(self._stains.white, np.float32)
        return glass_colour(_sample(self._image, self.channels))

    def separated(self, rgb: np.ndarray) -> np.ndarray:
        """Stain channels uint16 (n, h, w) of unsigned RGB (3, h, w)."""
        light = (rgb.astype(np.float32) + 0.5) / (self.white[:, None, None] + 0.5)
        density = -np.log10(light)
        stains = np.tensordot(self._matrix, density, axes=(0, 0))
        counts = np.rint(stains * COUNTS_PER_DENSITY + ZERO_COUNTS)
        counts = np.clip(counts, 1, np.iinfo(np.uint16).max)
        counts[:, (rgb == 0).all(axis=0)] = 0
        return counts.astype(np.uint16)


class _StainLevel:
    """One level, separated tile by tile."""

    def __init__(self, source: Level, colours: _Colours) -> None:
        self._source, self._colours = source, colours
        self.shape = (len(colours.names), *source.shape[1:])
        self.dtype = np.dtype(np.uint16)
        self.tile_shape = source.tile_shape

    def place(self, channel: int) -> tuple[int, int]:
        return 0, channel

    def stored(self, group: int) -> np.ndarray:
        return self._source.stored(self._source.place(self._colours.channels[0])[0])

    def decode(self, group: int, row: int, column: int) -> np.ndarray:
        decoded: dict[int, np.ndarray] = {}
        planes = []
        for channel in self._colours.channels:
            page, index = self._source.place(channel)
            if page not in decoded:
                decoded[page] = self._source.decode(page, row, column)
            planes.append(decoded[page][index])
        return self._colours.separated(np.stack(planes))


def glass_colour(samples: np.ndarray) -> np.ndarray:
    """Colour of the brightest part of an image: glass, or the air in tissue.

    Parameters
    ----------
    samples : numpy.ndarray of unsigned integers, shape (3, n)
        Pixels from all over the image.

    Returns
    -------
    numpy.ndarray of float32, shape (3,)
        Median of what is nearly as bright as the brightest; the dtype's largest value where
        there is no light at all.
    """
    brightness = samples.mean(axis=0, dtype=np.float32)
    lit = brightness > 0
    if not lit.any():
        return np.full(3, np.iinfo(samples.dtype).max, np.float32)
    limit = NEAR_BRIGHTEST * np.percentile(brightness[lit], BRIGHT_PERCENTILE)
    return np.asarray(np.median(samples[:, brightness >= limit], axis=1), np.float32)


def is_transmitted_light(image: SectionImage) -> bool:
    """Whether an image is a colour picture of a bright field: most of it is nearly as bright as
    its brightest parts. In merged fluorescence most is dark.

    Raises
    ------
    CorruptImageError
        If its pixels cannot be read.
    """
    if not set(RGB) <= set(image.channel_names) or image.dtype.kind != "u":
        return False
    samples = _sample(image, [image.channel_names.index(name) for name in RGB])
    brightness = samples.mean(axis=0, dtype=np.float32)
    bright = float(np.percentile(brightness, BRIGHT_PERCENTILE))
    return bright > 0 and float(np.median(brightness)) >= BRIGHT_FIELD * bright


def _sample(image: SectionImage, channels: Sequence[int]) -> np.ndarray:
    """Pixels from all over an image (3, n): a small level, or tiles of the full resolution."""
    for level in range(len(image.pyramid) - 1, -1, -1):
        height, width = image.pyramid[level].shape[1:]
        if height * width <= SAMPLE_PX:
            pixels = image.read(Box(0, 0, height, width), channels, level)
            if pixels.any():  # some files hold nothing in their reduced levels
                return pixels.reshape(len(channels), -1)
    height, width = image.shape[1:]
    edge, side = SAMPLE_TILE_PX, int(np.sqrt(SAMPLE_PX)) // SAMPLE_TILE_PX
    rows, columns = (
        np.unique(np.linspace(0, max(size - edge, 0), side).astype(int)) for size in (height, width)
    )
    tiles = [
        image.read(Box(y, x, min(y + edge, height), min(x + edge, width)), channels)
        for y in rows.tolist()
        for x in columns.tolist()
    ]
    return np.concatenate([tile.reshape(len(channels), -1) for tile in tiles], axis=1)
