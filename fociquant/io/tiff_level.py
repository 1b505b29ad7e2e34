"""Pixels of TIFF pages: one resolution of an image, tile by tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile

from fociquant.errors import CorruptImageError, ImageFormatError
from fociquant.io.files import SharedFile
from fociquant.io.level import MAX_SEGMENT_BYTES
from fociquant.io.metadata import is_reduced
from fociquant.model import Box

WINDOW_PX = 1024
"""Uncompressed strips are read in windows of this side, whatever their length."""

WHOLE_ROW_BYTES = 16 * 1024
"""Rows up to this many bytes are read whole: one long read is faster than many short ones."""


@dataclass(frozen=True)
class PageRef:
    """One page of one open file.

    Parameters
    ----------
    page : tifffile.TiffPage
    file : SharedFile
    shift : int
        Bytes to add to the page's offsets: planes of a stack that has one directory for all.
    """

    page: tifffile.TiffPage
    file: SharedFile
    shift: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """(height, width), px."""
        return int(self.page.imagelength), int(self.page.imagewidth)

    @property
    def kind(self) -> tuple[Any, ...]:
        """What pages of one level have in common, besides the size."""
        return self.page.dtype, int(self.page.samplesperpixel), int(self.page.planarconfig)


class TiffLevel:
    """Pages of one size as the channels of one level (see ``fociquant.io.level.Level``).

    Parameters
    ----------
    pages : sequence of PageRef
        In the order of the channels; a page of several samples is as many channels.

    Raises
    ------
    CorruptImageError
        The file ends before the pixels do, or the directory contradicts itself.
    ImageFormatError
        A pixel type or compression that cannot be read.
    """

    def __init__(self, pages: Sequence[PageRef]) -> None:
        first = pages[0]
        if any((ref.size, ref.kind) != (first.size, first.kind) for ref in pages):
            raise ImageFormatError(
                f"{first.file.path}: its channels differ in size or pixel type. "
                "Export the image again as one OME-TIFF."
            )
        for ref in pages:
            _check_page(ref)
        self.dtype = np.dtype(first.page.dtype).newbyteorder("=")
        separate = first.page.planarconfig == 2
        samples = int(first.page.samplesperpixel)
        parts = range(samples) if separate else range(1)
        self._planes = [_plane(ref, part) for ref in pages for part in parts]
        self._samples = 1 if separate else samples
        self.shape = (len(pages) * samples, *first.size)
        # Pages, of several files above all, need not be cut alike: the largest pieces hold
        # those of the others, so that few are decoded twice.
        self.tile_shape = _largest([plane.tile_shape for plane in self._planes])
        self.piece_shape = _largest([plane.piece_shape for plane in self._planes])

    def place(self, channel: int) -> tuple[int, int]:
        """(plane, sample in it) of a channel."""
        return divmod(channel, self._samples)

    def decode(self, group: int, row: int, column: int) -> np.ndarray:
        """One tile, shape (samples, h, w), cut at the image's border."""
        y, x = row * self.tile_shape[0], column * self.tile_shape[1]
        height = min(self.tile_shape[0], self.shape[1] - y)
        width = min(self.tile_shape[1], self.shape[2] - x)
        pixels = self._planes[group].decode(y, x, height, width)
        return np.moveaxis(pixels, -1, 0).astype(self.dtype, copy=False)

    def stored(self, group: int) -> np.ndarray:
        """Pieces of a page that were written, on the grid of the largest pieces of any page."""
        plane = self._planes[group]
        there = plane.stored()
        if plane.piece_shape == self.piece_shape:
            return there
        rows, columns = (
            _spans(size, own, wanted)
            for size, own, wanted in zip(
                self.shape[1:], plane.piece_shape, self.piece_shape, strict=True
            )
        )
        return np.array([[there[row, column].all() for column in columns] for row in rows], bool)


class _CodedPlane:
    """Tiles or strips that are decoded whole."""

    def __init__(self, ref: PageRef, part: int) -> None:
        page = ref.page
        self._ref, self._decode = ref, page.decode
        tiled = page.is_tiled
        self.tile_shape = self.piece_shape = _segment_shape(page)
        self._columns = math.ceil(page.imagewidth / page.tilewidth) if tiled else 1
        self._rows = math.ceil(page.imagelength / self.tile_shape[0])
        self._first = part * self._rows * self._columns
        self._samples = 1 if page.planarconfig == 2 else int(page.samplesperpixel)
        self._tables = {} if page.jpegtables is None else {"jpegtables": page.jpegtables}

    def decode(self, y: int, x: int, height: int, width: int) -> np.ndarray:
        """(height, width, samples) from whole pieces or several of them."""
        tall, wide = self.tile_shape
        if not (y % tall or x % wide) and height <= tall and width <= wide:
            return self._piece(y // tall, x // wide, height, width)
        asked = Box(y, x, y + height, x + width)
        out = np.empty((height, width, self._samples), self._ref.page.dtype)
        whole = Box(0, 0, *self._ref.size)
        for row in range(y // tall, -(-asked.y1 // tall)):
            for column in range(x // wide, -(-asked.x1 // wide)):
                top, left = row * tall, column * wide
                piece = Box(top, left, top + tall, left + wide).intersect(whole)
                pixels = self._piece(row, column, *piece.shape)
                common = piece.intersect(asked)
                out[common.shift(-y, -x).slices] = pixels[common.shift(-top, -left).slices]
        return out

    def _piece(self, row: int, column: int, height: int, width: int) -> np.ndarray:
        """One of them, cut; zeros where the file stores nothing (a sparse tile)."""
        index = self._first + row * self._columns + column
        page = self._ref.page
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        if not offset or not count:
            return np.full((height, width, self._samples), page.nodata, page.dtype)
        data = self._ref.file.read_at(offset + self._ref.shift, count)
        pixels = self._decode(data, index, **self._tables)[0][0]
        wanted = height, width, self._samples
        if pixels.shape[0] < height or pixels.shape[1] < width or pixels.shape[2] != self._samples:
            raise ValueError(f"it holds {pixels.shape} pixels, not {wanted}")
        return pixels[:height, :width]

    def stored(self) -> np.ndarray:
        """Bool (rows, columns) of tiles; one without an offset or bytes is sparse."""
        own = slice(self._first, self._first + self._rows * self._columns)
        page = self._ref.page
        offsets, counts = page.dataoffsets[own], page.databytecounts[own]
        there = np.array(offsets, np.int64).astype(bool) & np.array(counts, np.int64).astype(bool)
        return there.reshape(self._rows, self._columns)


class _RawPlane:
    """Uncompressed strips, read row by row: strips of any length need no memory."""

    def __init__(self, ref: PageRef, part: int) -> None:
        page = ref.page
        self._file, self._shift, self._page = ref.file, ref.shift, page
        self._samples = 1 if page.planarconfig == 2 else int(page.samplesperpixel)
        self._dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
        self._pixel_bytes = self._dtype.itemsize * self._samples
        self._row_bytes = self._pixel_bytes * int(page.imagewidth)
        self._strip_rows = _segment_shape(page)[0]
        self._first = part * math.ceil(page.imagelength / self._strip_rows)
        whole = self._row_bytes <= WHOLE_ROW_BYTES
        self.tile_shape = (WINDOW_PX, int(page.imagewidth) if whole else WINDOW_PX)
        self.piece_shape = (self._strip_rows, int(page.imagewidth))
        strips = math.ceil(page.imagelength / self._strip_rows)
        offsets = page.dataoffsets[self._first : self._first + strips]
        self._there = np.array(offsets, np.int64).astype(bool)

    def decode(self, y: int, x: int, height: int, width: int) -> np.ndarray:
        """(height, width, samples); zeros in strips that the file does not store."""
        if self._there.all():
            return self._rows(range(y, y + height), x, width)
        rows = [row for row in range(y, y + height) if self._there[row // self._strip_rows]]
        out = np.full((height, width, self._samples), self._page.nodata, self._dtype)
        out[np.array(rows, np.int64) - y] = self._rows(rows, x, width)
        return out

    def stored(self) -> np.ndarray:
        """Bool (strips, 1). What lies outside the file was refused when it was opened."""
        return self._there[:, np.newaxis]

    def _rows(self, rows: Sequence[int], x: int, width: int) -> np.ndarray:
        offsets = [self._offset(row) + x * self._pixel_bytes for row in rows]
        data = self._file.read_runs(offsets, width * self._pixel_bytes)
        return np.frombuffer(data, self._dtype).reshape(len(rows), width, self._samples)

    def _offset(self, row: int) -> int:
        strip, inner = divmod(row, self._strip_rows)
        start = self._page.dataoffsets[self._first + strip]
        return int(start) + self._shift + inner * self._row_bytes


def _plane(ref: PageRef, part: int) -> _RawPlane | _CodedPlane:
    return _RawPlane(ref, part) if _is_raw(ref.page) else _CodedPlane(ref, part)


def _largest(shapes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The longest of each side."""
    return max(height for height, _ in shapes), max(width for _, width in shapes)


def _spans(size: int, own: int, wanted: int) -> list[slice]:
    """Along one side: which pieces of length `own` each piece of length `wanted` meets."""
    starts = range(0, size, wanted)
    return [slice(start // own, -(-min(start + wanted, size) // own)) for start in starts]


def _segment_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return min(int(page.rowsperstrip), int(page.imagelength)), int(page.imagewidth)


def _is_raw(page: tifffile.TiffPage) -> bool:
    """Whether rows can be found by arithmetic."""
    dtype = np.dtype(page.dtype)
    plain = page.compression == 1 and page.predictor == 1 and page.fillorder == 1
    whole_bytes = page.bitspersample == dtype.itemsize * 8 and dtype.kind != "b"
    return bool(plain and whole_bytes and not page.is_tiled and not page.is_subsampled)


def _check_page(ref: PageRef) -> None:
    """Refuse what cannot be read before any memory is taken for it."""
    page, path = ref.page, ref.file.path
    height, width = ref.size
    if height < 1 or width < 1:
        raise ImageFormatError(
            f"{path}: the image is {height} × {width} px: no pixels. Export it again."
        )
    if page.dtype is None or np.dtype(page.dtype).kind not in "biuf":
        raise ImageFormatError(
            f"{path}: pixels of this type ({page.bitspersample}-bit, sample format "
            f"{page.sampleformat}) cannot be read. Convert to 8-, 16- or 32-bit."
        )
    if page.compression != 1 and page.compression not in tifffile.TIFF.DECOMPRESSORS:
        raise ImageFormatError(
            f"{path}: TIFF compression {int(page.compression)} is not supported. "
            "Export the image with zlib (deflate) or LZW compression, or none."
        )
    if page.imagedepth != 1:
        raise ImageFormatError(f"{path}: a volume, not a section. Save one plane or a projection.")
    _check_segments(ref)


def _check_segments(ref: PageRef) -> None:
    page, path = ref.page, ref.file.path
    height, width = _segment_shape(page)
    if height < 1 or width < 1:
        raise CorruptImageError(f"{path}: tiles of {height} × {width} px. Export it again.")
    across = math.ceil(page.imagewidth / width)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    expected = across * math.ceil(page.imagelength / height) * planes
    samples = 1 if page.planarconfig == 2 else page.samplesperpixel
    segment_bytes = height * width * samples * np.dtype(page.dtype).itemsize
    if segment_bytes > MAX_SEGMENT_BYTES and not _is_raw(page):
        raise ImageFormatError(
            f"{path}: stored in pieces of {segment_bytes / 1e9:.1f} GB that must be decoded whole. "
            "Export it as a tiled OME-TIFF."
        )
    if len(page.dataoffsets) < expected or len(page.databytecounts) < expected:
        raise CorruptImageError(
            f"{path}: lists {len(page.dataoffsets)} of the {expected} tiles that "
            f"{page.imagelength} × {page.imagewidth} px need. Copy or export it again."
        )
    _check_ends(ref, segment_bytes)


def _check_ends(ref: PageRef, segment_bytes: int) -> None:
    """Find out at once, not after hours, that the file is shorter than its directory says."""
    page = ref.page
    offsets = np.asarray(page.dataoffsets, np.uint64)
    counts = np.asarray(page.databytecounts, np.uint64)
    last = int((offsets + counts).max()) + ref.shift
    if _is_raw(page):
        rows = _segment_shape(page)[0]
        left = page.imagelength - (math.ceil(page.imagelength / rows) - 1) * rows
        last = max(last, int(offsets[-1]) + ref.shift + segment_bytes // rows * left)
    if last > ref.file.size:
        raise CorruptImageError(
            f"{ref.file.path}: the file ends at byte {ref.file.size}, but its pixels go on to byte "
            f"{last}: it is truncated. Copy it again from its source."
        )


def pyramid(candidates: Sequence[Sequence[PageRef]]) -> tuple[TiffLevel, ...]:
    """Levels from page lists, the first of which is the full resolution.

    Lists that are no reduced copy of it (another aspect ratio, pixel type or number of channels:
    thumbnails, labels, macro images) are left out; of two of one size the first is taken.
    """
    full = candidates[0]
    levels = {full[0].size: TiffLevel(full)}
    for pages in candidates[1:]:
        same = len(pages) == len(full) and pages[0].kind == full[0].kind
        if same and is_reduced(full[0].size, pages[0].size) and pages[0].size not in levels:
            levels[pages[0].size] = TiffLevel(pages)
    return tuple(levels[size] for size in sorted(levels, reverse=True))
