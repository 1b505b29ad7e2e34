"""The section image: levels, channels, pixel size, and a direct way to its pixels."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from fociquant.errors import (
    ChannelError,
    CorruptImageError,
    FociquantError,
    ImageError,
    PixelSizeError,
)
from fociquant.io.damage import READ_ERRORS, in_short
from fociquant.io.level import Level, LevelOutline, chunk_of
from fociquant.io.metadata import reduction
from fociquant.io.pieces import lacking_pieces
from fociquant.io.tile_cache import TileCache
from fociquant.model import Box
from fociquant.units import PixelSize

if TYPE_CHECKING:
    import dask.array as da

CACHE_BYTES = 128 * 2**20
"""Decoded tiles kept per image, bytes; the newest tile is kept whatever its size."""


@dataclass(frozen=True, eq=False)
class SectionImage:
    """One section image, opened lazily. Made by :func:`fociquant.io.open_image`.

    Parameters
    ----------
    path : Path
        The file or, for OME-Zarr, the folder.
    format : str
        ``"OME-TIFF"``, ``"TIFF"`` or ``"OME-Zarr"``.
    channel_names : tuple of str
        Unique. A channel without a name is called ``channel 0`` (its index), the samples of a
        colour image ``Red``, ``Green``, ``Blue``; a name used twice is numbered everywhere.
    pixel_size : PixelSize or None
        Of level 0; None if the file does not say. Never invented.
    pyramid : tuple of Level
        Finest first, all with the same channels and dtype.
    closers : tuple of callables
        Called once by :meth:`close`.
    make_fingerprint : callable
        Computes :attr:`fingerprint`.

    Notes
    -----
    A context manager. Can be pickled: the copy opens the same path again, and refuses if the
    file has changed meanwhile. All methods may be called by several threads.
    """

    path: Path
    format: str
    channel_names: tuple[str, ...]
    pixel_size: PixelSize | None
    pyramid: tuple[Level, ...] = field(repr=False)
    closers: tuple[Callable[[], None], ...] = field(repr=False)
    make_fingerprint: Callable[[], str] = field(repr=False)
    _cache: TileCache = field(default_factory=lambda: TileCache(CACHE_BYTES), repr=False)
    _closed: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, Y, X) of level 0, px."""
        return self.pyramid[0].shape

    @property
    def dtype(self) -> np.dtype:
        """Of the pixels, in this computer's byte order."""
        return self.pyramid[0].dtype

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the file's size and sampled bytes; identical copies have the same.

        See :func:`fociquant.io.files.fingerprint_files` for what it detects.
        """
        return self.make_fingerprint()

    @cached_property
    def levels(self) -> tuple[da.Array, ...]:
        """Lazy arrays (C, Y, X), finest first; one channel per chunk, chunks of whole tiles."""
        return tuple(self._dask_level(number) for number in range(len(self.pyramid)))

    @cached_property
    def level_outlines(self) -> tuple[LevelOutline, ...]:
        """What :attr:`levels` are like, finest first, without Dask."""
        return tuple(
            LevelOutline(
                level.shape, level.dtype, (1, *chunk_of(level)),
                partial(lacking_pieces, level, self.pyramid[0]),
            )
            for level in self.pyramid
        )  # fmt: skip

    def level_pixel_size(self, level: int, base: PixelSize | None = None) -> PixelSize:
        """The pixel size of a level, from its shape and the size at level 0.

        What files say of their reduced levels is not used. See
        :func:`fociquant.io.metadata.reduction` for sides that do not divide.

        Parameters
        ----------
        level : int
            0 is the finest.
        base : PixelSize, optional
            Size at level 0, instead of the file's.

        Raises
        ------
        PixelSizeError
            Neither the file nor the caller knows the size.
        """
        size = base or self.pixel_size
        if size is None:
            raise PixelSizeError(
                f"{self.path}: the file does not say its pixel size. "
                "Write it in study.yaml, for example 'pixel_size_um: 0.325'."
            )
        (_, height, width), (_, reduced_height, reduced_width) = (
            self.shape,
            self.pyramid[level].shape,
        )
        return size.scaled(reduction(height, reduced_height), reduction(width, reduced_width))

    def channel_index(self, channel: str | int) -> int:
        """The index of a channel by name or index.

        A name matches exactly first, then without regard to case where only one does; an int, or
        digits that are no channel's name, are an index from 0.

        Raises
        ------
        ChannelError
            No such channel; the message lists those there are.
        """
        if isinstance(channel, str):
            found = self._named(channel)
            if found is not None:
                return found
        text = str(channel).strip()
        if text.isascii() and text.isdigit() and int(text) < len(self.channel_names):
            return int(text)
        there = ", ".join(f"{index}: {name!r}" for index, name in enumerate(self.channel_names))
        raise ChannelError(
            f"{self.path}: no channel {channel!r}. The file has {there}. "
            "Write one of these names, or its index, under 'channels:' in study.yaml."
        )

    def _named(self, channel: str) -> int | None:
        if channel in self.channel_names:
            return self.channel_names.index(channel)
        folded = channel.strip().casefold()
        alike = [i for i, name in enumerate(self.channel_names) if name.casefold() == folded]
        return alike[0] if len(alike) == 1 else None

    def read(self, box: Box, channels: Sequence[int], level: int = 0) -> np.ndarray:
        """Pixels of a box, decoded directly (no Dask).

        Parameters
        ----------
        box : Box
            In pixels of that level, inside it.
        channels : sequence of int
            Indices, in the order wanted.
        level : int
            0 is the finest.

        Returns
        -------
        numpy.ndarray, shape (len(channels), h, w)
            As stored, in the file's dtype.

        Raises
        ------
        CorruptImageError
            A tile cannot be decoded; the message has the level and the tile's place.
        ValueError
            The box leaves the level, or the image was closed.
        """
        source = self.pyramid[level]
        self._check_request(box, channels, source)
        pixels = np.empty((len(channels), *box.shape), source.dtype)
        if not pixels.size:
            return pixels
        wanted: dict[int, list[tuple[int, int]]] = {}
        for position, channel in enumerate(channels):
            group, sample = source.place(int(channel))
            wanted.setdefault(group, []).append((position, sample))
        height, width = source.tile_shape
        for row in range(box.y0 // height, -(-box.y1 // height)):
            for column in range(box.x0 // width, -(-box.x1 // width)):
                y, x = row * height, column * width
                cut = box.intersect(Box(y, x, y + height, x + width))
                into, out_of = cut.shift(-box.y0, -box.x0).slices, cut.shift(-y, -x).slices
                for group, pairs in wanted.items():
                    tile = self._tile(level, group, row, column)
                    for position, sample in pairs:
                        pixels[position][into] = tile[sample][out_of]
        return pixels

    def _check_request(self, box: Box, channels: Sequence[int], source: Level) -> None:
        if self._closed.is_set():
            raise ValueError(f"{self.path} was closed.")
        if not Box.of_shape(source.shape[1:]).contains(box):
            raise ValueError(f"{box} leaves the image of {source.shape[1]} × {source.shape[2]} px.")
        if any(not 0 <= channel < source.shape[0] for channel in channels):
            raise ValueError(f"channels {list(channels)} are not all below {source.shape[0]}.")

    def _tile(self, level: int, group: int, row: int, column: int) -> np.ndarray:
        key = (level, group, row, column)
        tile = self._cache.get(key)
        if tile is None:
            tile = self._decoded(*key)
            self._cache.put(key, tile)
        return tile

    def _decoded(self, level: int, group: int, row: int, column: int) -> np.ndarray:
        source = self.pyramid[level]
        try:
            return source.decode(group, row, column)
        except FociquantError:
            raise
        except READ_ERRORS as error:
            y, x = row * source.tile_shape[0], column * source.tile_shape[1]
            raise CorruptImageError(
                f"{self.path}: level {level}, the tile at ({y}, {x}) px cannot be read "
                f"({in_short(error)}). The file is damaged; copy or export it again."
            ) from error

    def _dask_level(self, level: int) -> da.Array:
        import dask.array as da  # a run reads without it, and it takes its time to load

        source = self.pyramid[level]
        return da.from_array(
            _LevelView(self, level),
            chunks=(1, *chunk_of(source)),
            name=f"section-{self.fingerprint[:24]}-{level}",
            meta=np.empty((0, 0, 0), source.dtype),
        )

    def missing_pieces(self, channels: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Pieces of level 0 that the file does not hold of a channel, but of another.

        What was never scanned is absent in all channels; what is absent in one may have been
        lost on the way, or holds nothing but zeros.

        Parameters
        ----------
        channels : sequence of int

        Returns
        -------
        dict of int to (int, int)
            Channel to the number of such pieces, and of all that any of `channels` has; only
            those that lack some.
        """
        level = self.pyramid[0]
        stored = {channel: level.stored(level.place(channel)[0]) for channel in channels}
        if not stored:
            return {}
        anywhere = np.any(list(stored.values()), axis=0)
        lacking = {channel: int((anywhere & ~own).sum()) for channel, own in stored.items()}
        return {channel: (n, int(anywhere.sum())) for channel, n in lacking.items() if n}

    def forget_tiles(self) -> None:
        """Drop the decoded tiles of an image that is larger than what is kept of it.

        For a pass over the whole image that has ended: the next one would find few of its tiles.
        All tiles of a smaller image stay.
        """
        if math.prod(self.shape) * self.dtype.itemsize > CACHE_BYTES:
            self._cache.clear()

    def close(self) -> None:
        """Close the file; reading afterwards raises ValueError. May be called twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._cache.clear()
        for closer in self.closers:
            closer()

    def __enter__(self) -> SectionImage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., SectionImage], tuple[Path, str]]:
        return reopen, (self.path, self.fingerprint)


class _LevelView:
    """What Dask slices: one level as an array-like."""

    ndim = 3

    def __init__(self, image: SectionImage, level: int) -> None:
        self._image, self._level = image, level
        self.shape, self.dtype = image.pyramid[level].shape, image.pyramid[level].dtype

    def __getitem__(self, key: Any) -> np.ndarray:
        """Slices with any step, and integers, as NumPy understands them."""
        keys = tuple(key) + (slice(None),) * (3 - len(key))
        picked = [np.arange(size)[one] for size, one in zip(self.shape, keys, strict=True)]
        wanted = [np.atleast_1d(one) for one in picked]
        if any(len(one) == 0 for one in wanted):
            pixels = np.empty(tuple(len(one) for one in wanted), self.dtype)
        else:
            (y0, y1), (x0, x1) = ((int(one.min()), int(one.max()) + 1) for one in wanted[1:])
            pixels = self._image.read(Box(y0, x0, y1, x1), wanted[0].tolist(), self._level)
            pixels = _pick(_pick(pixels, wanted[1] - y0, 1), wanted[2] - x0, 2)
        return pixels.reshape([len(one) for one in picked if one.ndim])


def _pick(pixels: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    """``take`` that copies nothing in the usual case, where all are wanted in order."""
    everything = np.array_equal(indices, np.arange(pixels.shape[axis]))
    return pixels if everything else pixels.take(indices, axis)


_reopened: weakref.WeakValueDictionary[tuple[Path, str], SectionImage] = (
    weakref.WeakValueDictionary()
)
_reopen_lock = threading.Lock()


def reopen(path: Path, fingerprint: str) -> SectionImage:
    """Open the image of a pickle; copies in one process share one open file.

    Raises
    ------
    ImageError
        The file has changed, or cannot be opened here.
    """
    from fociquant.io.registry import open_image  # the registry knows the readers, they know this

    with _reopen_lock:
        image = _reopened.get((path, fingerprint))
        if image is not None and not image._closed.is_set():
            return image
        image = open_image(path)
        if image.fingerprint != fingerprint:
            image.close()
            raise ImageError(f"{path}: the file changed while it was being used. Start again.")
        _reopened[path, fingerprint] = image
        return image
