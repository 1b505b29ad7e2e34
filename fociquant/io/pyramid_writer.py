"""Write a pyramidal OME-TIFF of any size in bounded memory.

The source is asked once for each of its blocks, all channels together. Tiles go
to a scratch file beside the target; each reduced level is made from four tiles of
the level before. So memory is a few blocks, whatever the image's size, and the
scratch takes 4/3 of the uncompressed image on disk while writing (1/3 when the
source is a NumPy array, which needs no scratch for its finest level).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Protocol
from xml.etree import ElementTree

import numpy as np
import tifffile

from fociquant import __version__
from fociquant.atomic import whole_file
from fociquant.units import PixelSize

CLASSIC_TIFF_BYTES = 2**32 - 2**25
"""Above this many uncompressed bytes the file is a BigTIFF (as tifffile decides it)."""

SOFTWARE = f"fociquant {__version__}"
"""Written to the Software tag and the OME ``Creator``."""

OME_NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
"""The OME schema that is written."""

OME_TYPES = {
    "bool": "uint8", "int8": "int8", "int16": "int16", "int32": "int32", "uint8": "uint8",
    "uint16": "uint16", "uint32": "uint32", "float32": "float", "float64": "double",
}  # fmt: skip
"""NumPy dtypes that OME-TIFF can hold, and their OME names."""


class ArraySource(Protocol):
    """Anything that can be sliced like an array; sliced lazily, never converted whole."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""

    @property
    def dtype(self) -> Any:
        """NumPy dtype, or its name."""

    def __getitem__(self, key: Any, /) -> Any: ...


class _Tiles(Protocol):
    """One level, tile by tile."""

    shape: tuple[int, int, int]

    def get(self, channel: int, row: int, column: int) -> np.ndarray: ...


class _Grid:
    """Which pixels a tile holds."""

    def __init__(self, shape: tuple[int, int, int], tile_px: int) -> None:
        self.shape, self.tile_px = shape, tile_px
        self.rows = math.ceil(shape[1] / tile_px)
        self.columns = math.ceil(shape[2] / tile_px)

    def extent(self, row: int, column: int) -> tuple[slice, slice]:
        """Rows and columns of the level that tile (`row`, `column`) covers, cut at the border."""
        y, x = row * self.tile_px, column * self.tile_px
        bottom, right = min(y + self.tile_px, self.shape[1]), min(x + self.tile_px, self.shape[2])
        return slice(y, bottom), slice(x, right)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((row, column) for row in range(self.rows) for column in range(self.columns))


class _ArrayTiles:
    """Tiles of an array that can be sliced again at no cost."""

    def __init__(self, array: np.ndarray, tile_px: int) -> None:
        self.shape = (array.shape[0], array.shape[1], array.shape[2])
        self._array, self._grid = array, _Grid(self.shape, tile_px)

    def get(self, channel: int, row: int, column: int) -> np.ndarray:
        return _storable(self._array[channel][self._grid.extent(row, column)])


class _ScratchTiles:
    """Tiles in a temporary file, each at a fixed place."""

    def __init__(
        self, shape: tuple[int, int, int], dtype: np.dtype, tile_px: int, file: IO[bytes]
    ) -> None:
        self.shape = shape
        self._dtype, self._grid, self._file = dtype, _Grid(shape, tile_px), file
        self._tile_bytes = tile_px * tile_px * dtype.itemsize

    def _seek(self, channel: int, row: int, column: int) -> None:
        index = (channel * self._grid.rows + row) * self._grid.columns + column
        self._file.seek(index * self._tile_bytes)

    def put(self, channel: int, row: int, column: int, tile: np.ndarray) -> None:
        self._seek(channel, row, column)
        self._file.write(np.ascontiguousarray(tile).tobytes())

    def get(self, channel: int, row: int, column: int) -> np.ndarray:
        rows, columns = self._grid.extent(row, column)
        shape = rows.stop - rows.start, columns.stop - columns.start
        self._seek(channel, row, column)
        data = self._file.read(shape[0] * shape[1] * self._dtype.itemsize)
        return np.frombuffer(data, self._dtype).reshape(shape)


def write_ome_tiff(
    path: Path,
    source: ArraySource,
    *,
    channel_names: Sequence[str],
    pixel_size: PixelSize | None,
    tile_px: int = 512,
    levels: int | None = None,
    compression: str | None = "zlib",
    block_px: int = 2048,
) -> None:
    """Write a tiled, pyramidal OME-TIFF, in bounded memory and atomically.

    Parameters
    ----------
    path : Path
        The file to make; replaced only when the new one is complete.
    source : array-like, shape (C, Y, X)
        NumPy array, memmap, Dask or Zarr array, or any object with ``shape``, ``dtype``
        and slicing. Anything but a NumPy array is asked exactly once for each block
        ``source[:, y0:y1, x0:x1]``, in rows from the top left. Bool becomes uint8 0 and 1.
    channel_names : sequence of str
        One unique name per channel.
    pixel_size : PixelSize or None
        µm per pixel of level 0; None writes none.
    tile_px : int
        Tile side, a multiple of 16.
    levels : int, optional
        Number of levels with the full resolution. Default: halve until one tile holds the image.
    compression : str or None
        A tifffile compression (``"zlib"``, ``"zstd"``, ``"lzw"``), or None.
    block_px : int
        Side of the blocks asked of the source, a multiple of `tile_px` after rounding up.

    Raises
    ------
    ValueError
        The shape, dtype, names or sizes cannot be written.
    OSError
        The target's folder cannot be written, or the disk is full. Nothing is left behind.

    Notes
    -----
    Reduced levels are means of 2 × 2 pixels (of those that exist at an odd border), rounded
    half to even for integers. Integers are stored with horizontal differencing, which makes
    smooth images smaller; floats are not, because few programs read their predictor. The same
    input gives the same bytes.
    """
    path = Path(path)
    shape = _checked_shape(source, channel_names, tile_px)
    dtype = _stored_dtype(source)
    count = _default_levels(shape, tile_px) if levels is None else levels
    if count < 1:
        raise ValueError(f"levels must be 1 or more, not {count}.")
    with ExitStack() as stack:
        temporary = stack.enter_context(whole_file(path))
        pyramid: list[_Tiles] = [_finest(source, shape, dtype, tile_px, block_px, path, stack)]
        while len(pyramid) < count:
            pyramid.append(_reduced(pyramid[-1], dtype, tile_px, path.parent, stack))
        xml = ome_xml(shape, dtype, channel_names=channel_names, pixel_size=pixel_size)
        with tifffile.TiffWriter(
            temporary, bigtiff=_needs_bigtiff(shape, dtype), byteorder="<"
        ) as writer:
            _write_levels(writer, pyramid, dtype, tile_px, compression, pixel_size, xml)


def ome_xml(
    shape: tuple[int, int, int],
    dtype: np.dtype,
    *,
    channel_names: Sequence[str],
    pixel_size: PixelSize | None,
) -> bytes:
    """The OME-XML of one (C, Y, X) image, UTF-8; the same input gives the same bytes."""
    root = ElementTree.Element("OME", {"xmlns": OME_NAMESPACE, "Creator": SOFTWARE})
    image = ElementTree.SubElement(root, "Image", {"ID": "Image:0", "Name": "section"})
    attributes = {
        "ID": "Pixels:0", "DimensionOrder": "XYZCT", "Type": OME_TYPES[dtype.name],
        "SizeX": str(shape[2]), "SizeY": str(shape[1]), "SizeZ": "1",
        "SizeC": str(shape[0]), "SizeT": "1",
    }  # fmt: skip
    if pixel_size is not None:
        for axis, value in (("X", pixel_size.x), ("Y", pixel_size.y)):
            attributes[f"PhysicalSize{axis}"] = repr(float(value))
            attributes[f"PhysicalSize{axis}Unit"] = "µm"
    pixels = ElementTree.SubElement(image, "Pixels", attributes)
    for index, name in enumerate(channel_names):
        channel = {"ID": f"Channel:0:{index}", "Name": name, "SamplesPerPixel": "1"}
        ElementTree.SubElement(pixels, "Channel", channel)
    ElementTree.SubElement(pixels, "TiffData", {"IFD": "0", "PlaneCount": str(shape[0])})
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def resolution_tags(pixel_size: PixelSize | None, *, reduced: int = 1) -> dict[str, Any]:
    """TIFF resolution (x, y), pixels per centimetre, of a level `reduced` times; {} if unknown."""
    if pixel_size is None:
        return {}
    per_cm = 1e4 / (pixel_size.x * reduced), 1e4 / (pixel_size.y * reduced)
    return {"resolution": per_cm, "resolutionunit": "CENTIMETER"}


def _checked_shape(
    source: ArraySource, channel_names: Sequence[str], tile_px: int
) -> tuple[int, int, int]:
    if len(source.shape) != 3 or 0 in source.shape:
        raise ValueError(f"expected a non-empty (C, Y, X) image, got shape {tuple(source.shape)}.")
    if len(channel_names) != source.shape[0] or len(set(channel_names)) != len(channel_names):
        raise ValueError(
            f"expected {source.shape[0]} unique channel names, got {list(channel_names)}."
        )
    if tile_px < 16 or tile_px % 16:
        raise ValueError(f"tile_px must be a multiple of 16, not {tile_px}.")
    return int(source.shape[0]), int(source.shape[1]), int(source.shape[2])


def _stored_dtype(source: ArraySource) -> np.dtype:
    dtype = np.dtype(source.dtype)
    if dtype.name not in OME_TYPES:
        known = ", ".join(OME_TYPES)
        raise ValueError(f"OME-TIFF cannot hold {dtype.name}; convert to one of {known}.")
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("<")


def _storable(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


def _default_levels(shape: tuple[int, int, int], tile_px: int) -> int:
    ratio = max(shape[1], shape[2]) / tile_px
    return 1 + max(0, math.ceil(math.log2(ratio)))


def _needs_bigtiff(shape: tuple[int, int, int], dtype: np.dtype) -> bool:
    return math.prod(shape) * dtype.itemsize * 4 / 3 > CLASSIC_TIFF_BYTES


def _scratch(folder: Path) -> IO[bytes]:
    """A file that the operating system removes when it is closed."""
    return tempfile.TemporaryFile(dir=folder, prefix=".fociquant-", suffix=".scratch")


def _finest(
    source: ArraySource,
    shape: tuple[int, int, int],
    dtype: np.dtype,
    tile_px: int,
    block_px: int,
    path: Path,
    stack: ExitStack,
) -> _Tiles:
    """Level 0 as tiles: the array itself, or a scratch file filled block by block."""
    if isinstance(source, np.ndarray):
        return _ArrayTiles(source, tile_px)
    tiles = _ScratchTiles(shape, dtype, tile_px, stack.enter_context(_scratch(path.parent)))
    per_block = max(1, math.ceil(block_px / tile_px))
    blocks = _Grid(shape, per_block * tile_px)
    for block_row, block_column in blocks:
        rows, columns = blocks.extent(block_row, block_column)
        pixels = np.asarray(source[:, rows, columns]).astype(dtype, copy=False)
        inner = _Grid(pixels.shape, tile_px)
        for row, column in inner:
            cut = inner.extent(row, column)
            place = block_row * per_block + row, block_column * per_block + column
            for channel in range(shape[0]):
                tiles.put(channel, *place, pixels[channel][cut])
    return tiles


def _reduced(
    finer: _Tiles, dtype: np.dtype, tile_px: int, folder: Path, stack: ExitStack
) -> _ScratchTiles:
    """The next level: half the size, rounded up."""
    channels, height, width = finer.shape
    shape = channels, math.ceil(height / 2), math.ceil(width / 2)
    coarser = _ScratchTiles(shape, dtype, tile_px, stack.enter_context(_scratch(folder)))
    fine, coarse = _Grid(finer.shape, tile_px), _Grid(shape, tile_px)
    for channel in range(channels):
        for row, column in coarse:
            coarser.put(channel, row, column, _quarter(finer, fine, channel, row, column, dtype))
    return coarser


def _quarter(
    finer: _Tiles, grid: _Grid, channel: int, row: int, column: int, dtype: np.dtype
) -> np.ndarray:
    """One reduced tile from the up to four tiles below it."""
    rows = [
        [
            halve(finer.get(channel, below, beside), dtype)
            for beside in range(2 * column, min(2 * column + 2, grid.columns))
        ]
        for below in range(2 * row, min(2 * row + 2, grid.rows))
    ]
    return np.block(rows)


def halve(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Means of 2 × 2 pixels.

    Parameters
    ----------
    image : numpy.ndarray, shape (h, w)
        Any numeric dtype. NaN makes its mean NaN.
    dtype : numpy.dtype
        Of the result; integers are rounded half to even.

    Returns
    -------
    numpy.ndarray, shape (ceil(h / 2), ceil(w / 2))
        At an odd border the mean is over the pixels that exist.
    """
    odd = tuple((0, size % 2) for size in image.shape)
    even = np.pad(image, odd, mode="edge") if any(pad for _, pad in odd) else image
    blocks = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2)
    mean = blocks.mean(axis=(1, 3), dtype=np.float64)
    return (np.rint(mean) if dtype.kind in "iu" else mean).astype(dtype)


def _write_levels(
    writer: tifffile.TiffWriter,
    pyramid: Sequence[_Tiles],
    dtype: np.dtype,
    tile_px: int,
    compression: str | None,
    pixel_size: PixelSize | None,
    xml: bytes,
) -> None:
    predictor = compression is not None and dtype.kind in "iu"
    for number, level in enumerate(pyramid):
        first = {"subifds": len(pyramid) - 1, "description": xml, "software": SOFTWARE}
        writer.write(
            _tiles_of(level, tile_px),
            shape=level.shape,
            dtype=dtype,
            tile=(tile_px, tile_px),
            photometric="minisblack",
            compression=compression,
            predictor=predictor,
            maxworkers=1,
            metadata=None,
            **resolution_tags(pixel_size, reduced=2**number),
            **(first if number == 0 else {"subfiletype": 1, "software": False}),
        )


def _tiles_of(level: _Tiles, tile_px: int) -> Iterator[np.ndarray]:
    """Tiles in the order of the file: channel by channel, row by row."""
    grid = _Grid(level.shape, tile_px)
    for channel in range(level.shape[0]):
        for row, column in grid:
            yield level.get(channel, row, column)
