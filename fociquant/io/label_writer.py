"""Write a label image as a plain TIFF that every imaging program opens."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from fociquant.atomic import whole_file
from fociquant.io.pyramid_writer import (
    CLASSIC_TIFF_BYTES,
    SOFTWARE,
    ArraySource,
    resolution_tags,
)
from fociquant.units import PixelSize

BAND_BYTES = 2**26
"""At most about this much of the labels is in memory at once, bytes."""

STRIP_BYTES = 2**18
"""Uncompressed size of one strip of the file, bytes."""

ROWS_STEP = 512
"""Bands are a multiple of this many rows where they fit, so that chunks are read once."""


def write_labels(
    path: Path,
    labels: ArraySource,
    *,
    pixel_size: PixelSize | None = None,
    max_label: int | None = None,
) -> np.dtype:
    """Write labels as a zlib-compressed, stripped TIFF (ImageJ, Fiji, napari, QuPath open it).

    Parameters
    ----------
    path : Path
        The file to make; replaced only when the new one is complete.
    labels : array-like of int or bool, shape (Y, X)
        0 is background; ids 1 … 2**32 - 1. Any object with ``shape``, ``dtype`` and slicing;
        read in bands of whole rows, twice unless `max_label` is given.
    pixel_size : PixelSize, optional
        Written as the TIFF resolution.
    max_label : int, optional
        The largest id, if known: saves the first pass. An id above it is an error.

    Returns
    -------
    numpy.dtype
        uint16 when the ids fit, else uint32. Ids never wrap.

    Raises
    ------
    ValueError
        Not two-dimensional, empty, not integers, a negative id, or one that is too large.
    OSError
        The target's folder cannot be written, or the disk is full. Nothing is left behind.

    Notes
    -----
    Below 4 GB uncompressed the file is a classic TIFF, which ImageJ opens itself; above, it is
    a BigTIFF (Fiji opens it through Bio-Formats).
    """
    path = Path(path)
    height, width = _checked_shape(labels)
    largest = _largest(labels) if max_label is None else int(max_label)
    if not 0 <= largest <= np.iinfo(np.uint32).max:
        raise ValueError(f"label {largest} does not fit a 32-bit label image.")
    dtype = np.dtype("<u2" if largest <= np.iinfo(np.uint16).max else "<u4")
    rows = max(1, STRIP_BYTES // (width * dtype.itemsize))
    big = height * width * dtype.itemsize > CLASSIC_TIFF_BYTES
    with (
        whole_file(path) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=big, byteorder="<") as writer,
    ):
        writer.write(
            _strips(labels, dtype, largest, rows),
            shape=(height, width),
            dtype=dtype,
            rowsperstrip=min(rows, height),
            photometric="minisblack",
            compression="zlib",
            metadata=None,
            software=SOFTWARE,
            **resolution_tags(pixel_size),
        )
    return dtype


def _checked_shape(labels: ArraySource) -> tuple[int, int]:
    if len(labels.shape) != 2 or 0 in labels.shape:
        raise ValueError(f"expected non-empty (Y, X) labels, got shape {tuple(labels.shape)}.")
    if np.dtype(labels.dtype).kind not in "iub":
        raise ValueError(f"labels must be integers, not {np.dtype(labels.dtype).name}.")
    return int(labels.shape[0]), int(labels.shape[1])


def _bands(labels: ArraySource) -> Iterator[np.ndarray]:
    """Whole rows from the top, as many as fit in the budget."""
    height, width = labels.shape
    rows = max(1, BAND_BYTES // (int(width) * np.dtype(labels.dtype).itemsize))
    if rows > ROWS_STEP:
        rows -= rows % ROWS_STEP
    for y in range(0, int(height), rows):
        yield np.asarray(labels[y : y + rows, :])


def _largest(labels: ArraySource) -> int:
    largest = 0
    for band in _bands(labels):
        if int(band.min()) < 0:
            raise ValueError(f"a label is negative ({int(band.min())}); ids start at 1.")
        largest = max(largest, int(band.max()))
    return largest


def _strips(labels: ArraySource, dtype: np.dtype, largest: int, rows: int) -> Iterator[bytes]:
    """Compressed strips of `rows` rows; bands need not be whole strips."""
    rest: np.ndarray[Any, np.dtype[Any]] | None = None
    for band in _bands(labels):
        if int(band.min()) < 0 or int(band.max()) > largest:
            raise ValueError(f"a label lies outside 0 … {largest}; max_label is wrong.")
        pending = band.astype(dtype)
        if rest is not None:
            pending = np.concatenate([rest, pending])
        whole = math.floor(len(pending) / rows) * rows
        for y in range(0, whole, rows):
            yield zlib.compress(pending[y : y + rows].tobytes())
        rest = pending[whole:]
    if rest is not None and len(rest):
        yield zlib.compress(rest.tobytes())
