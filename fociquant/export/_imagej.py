"""ImageJ: a zip of polygon ROIs for the ROI manager.

An ROI file is a header of 64 bytes, big-endian, then corners as 16-bit integers
relative to the bounding box, then the same corners as absolute 32-bit floats
(option ``SUB_PIXEL_RESOLUTION``). The bounding box is 16-bit too, so a section
beyond 32 767 px cannot be described; it is refused rather than wrapped.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from fociquant.errors import InputError
from fociquant.export._files import exported_file, write_zip
from fociquant.units import PixelSize

LARGEST_PX = 32_767
"""Largest coordinate of a 16-bit integer, px."""

VERSION, POLYGON, SUB_PIXEL = 228, 0, 128
"""File version, type and option of the ROI format."""


def write_imagej(path: Path, cells: pd.DataFrame, *, pixel_size: PixelSize) -> Path:
    """Write the counted cells of ONE section as ImageJ ROIs.

    Parameters
    ----------
    path : pathlib.Path
        Ending in ``.zip``; open it with ImageJ's ROI manager on the
        full-resolution image.
    cells : pandas.DataFrame
        ``cell``, ``focus``, ``positive``, ``outline`` (flat ``[y0, x0, …]``, µm).
        Only rows with ``positive`` are written.
    pixel_size : PixelSize
        Of the full-resolution image.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    InputError
        If a cell lies beyond 32 767 px.
    """
    counted = cells[cells["positive"].astype(bool)].sort_values("cell")
    outlines = [
        pixel_size.to_px(np.asarray(outline, dtype=np.float64).reshape(-1, 2))
        for outline in counted["outline"]
    ]
    largest = max((float(yx.max()) for yx in outlines), default=0.0)
    if largest > LARGEST_PX:
        raise InputError(
            f"{path.stem}: cells reach {largest:.0f} px, ImageJ's ROIs end at {LARGEST_PX} px. "
            "Export 'geojson' instead, which QuPath opens."
        )
    with exported_file(path) as temporary:
        write_zip(temporary, _members(counted, outlines))
    return path


def _members(cells: pd.DataFrame, outlines: list[np.ndarray]) -> Iterator[tuple[str, bytes]]:
    """File name and content of each ROI."""
    for cell, focus, yx in zip(cells["cell"], cells["focus"], outlines, strict=True):
        yield f"focus{int(focus):05d}_cell{int(cell):07d}.roi", _roi(yx)


def _roi(yx: np.ndarray) -> bytes:
    """One polygon (n, 2), px, as an ROI file."""
    top, left = np.floor(yx.min(axis=0)).astype(int)
    bottom, right = np.ceil(yx.max(axis=0)).astype(int)
    head = struct.pack(">4sHBxhhhhH", b"Iout", VERSION, POLYGON, top, left, bottom, right, len(yx))
    head = head.ljust(50, b"\0") + struct.pack(">H", SUB_PIXEL)
    relative = np.floor(yx - (top, left)).astype(">i2")
    return b"".join(
        (head.ljust(64, b"\0"), *(relative[:, axis].tobytes() for axis in (1, 0)),
         *(yx[:, axis].astype(">f4").tobytes() for axis in (1, 0)))
    )  # fmt: skip
