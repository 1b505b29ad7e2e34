"""Label images as OME-Zarr 0.4, painted from the objects' masks chunk by chunk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import find_objects

from fociquant.atomic import (
    TEMPORARY,
    cannot_write,
    leave_nothing,
    patiently,
    put_in_place,
    remove_folder,
    require_folder,
)
from fociquant.errors import DiskError
from fociquant.model import Box
from fociquant.tiling import AnalysisGrid
from fociquant.tiling.lattice import Lattice
from fociquant.units import PixelSize

WRITERS = 2
"""Chunks in work at once: one is painted while another is compressed."""

COARSEST_PX = 1024
"""Levels are halved until the longer edge is at most this."""


def pack_mask(labels: np.ndarray, label: int, box: Box) -> bytes:
    """One object's mask within `box` of a label array, one bit per pixel, rows joined."""
    rows, columns = box.slices
    return np.packbits(labels[rows, columns] == label).tobytes()


def mask_columns(labels: np.ndarray, chosen: np.ndarray, origin: tuple[int, int]) -> dict[str, Any]:
    """The ``mask_*`` columns of some objects of a label array.

    Parameters
    ----------
    labels : numpy.ndarray of int32, shape (H, W)
        Objects numbered 1 … n.
    chosen : numpy.ndarray of int
        Numbers of the objects wanted.
    origin : (int, int)
        (y, x) of the array's first pixel on the analysis grid.

    Returns
    -------
    dict of str to array
        ``mask_y0, mask_x0`` (int64), ``mask_height, mask_width`` (int32), ``mask_bits`` (bytes).
    """
    slices = find_objects(labels)
    boxes = [Box(y.start, x.start, y.stop, x.stop) for y, x in (slices[i - 1] for i in chosen)]
    packed = [pack_mask(labels, i, box) for i, box in zip(chosen, boxes, strict=True)]
    return {
        "mask_y0": np.array([box.y0 + origin[0] for box in boxes], np.int64),
        "mask_x0": np.array([box.x0 + origin[1] for box in boxes], np.int64),
        "mask_height": np.array([box.shape[0] for box in boxes], np.int32),
        "mask_width": np.array([box.shape[1] for box in boxes], np.int32),
        "mask_bits": pd.Series(packed, dtype=object),
    }


def unpack_mask(bits: bytes, height: int, width: int) -> np.ndarray:
    """The inverse of :func:`pack_mask`: bool, shape (height, width)."""
    flat = np.unpackbits(np.frombuffer(bits, np.uint8), count=height * width)
    return flat.reshape(height, width).astype(bool)


def paint(objects: pd.DataFrame, box: Box) -> np.ndarray:
    """Label image of `box`.

    Parameters
    ----------
    objects : pandas.DataFrame
        Columns ``cell`` and ``mask_*``.
    box : Box
        On the analysis grid.

    Returns
    -------
    numpy.ndarray of uint32
        Where two objects claim a pixel, the lower number has it.
    """
    y0, x0 = objects["mask_y0"].to_numpy(), objects["mask_x0"].to_numpy()
    y1, x1 = y0 + objects["mask_height"].to_numpy(), x0 + objects["mask_width"].to_numpy()
    meets = (y1 > box.y0) & (y0 < box.y1) & (x1 > box.x0) & (x0 < box.x1)
    if not meets.any():
        return np.zeros(box.shape, np.uint32)
    # Whole objects are painted, and what lies outside is cut off.
    whole = Box(
        min(box.y0, int(y0[meets].min())), min(box.x0, int(x0[meets].min())),
        max(box.y1, int(y1[meets].max())), max(box.x1, int(x1[meets].max())),
    )  # fmt: skip
    out = np.zeros(whole.shape, np.uint32)
    _put(objects[meets].sort_values("cell", ascending=False), out, (whole.y0, whole.x0))
    return np.ascontiguousarray(out[box.shift(-whole.y0, -whole.x0).slices])


def _put(objects: pd.DataFrame, out: np.ndarray, origin: tuple[int, int]) -> None:
    """Write the number of each object into its pixels; the last one to claim a pixel has it.

    The bits of all masks lie behind each other; what is worked out for a row of a mask is how
    far its bits lie from its pixels.
    """
    bits = objects["mask_bits"].to_list()
    first_bit = 8 * np.cumsum([0, *(len(one) for one in bits)])
    at = np.flatnonzero(np.unpackbits(np.frombuffer(b"".join(bits), np.uint8)))
    height, width, y0, x0, cell = (
        objects[name].to_numpy()
        for name in ("mask_height", "mask_width", "mask_y0", "mask_x0", "cell")
    )
    owner = np.repeat(np.arange(len(objects)), height)
    row = np.arange(len(owner)) - np.repeat(np.cumsum(height) - height, height)
    row_bit = first_bit[owner] + row * width[owner].astype(np.int64)
    row_pixel = (y0[owner] + row - origin[0]) * out.shape[1] + x0[owner] - origin[1]
    pixels = np.diff(np.searchsorted(at, np.append(row_bit, first_bit[-1])))
    at += np.repeat(row_pixel - row_bit, pixels)
    out.ravel()[at] = np.repeat(cell[owner].astype(np.uint32), pixels)


class PaintedLabels:
    """The label image of a section at the image's own resolution, painted where it is read.

    Parameters
    ----------
    objects : pandas.DataFrame
        Columns ``cell`` and ``mask_*``.
    lattice : Lattice
    grid : AnalysisGrid
    """

    ndim = 2
    dtype = np.dtype(np.uint32)

    def __init__(self, objects: pd.DataFrame, lattice: Lattice, grid: AnalysisGrid) -> None:
        self._objects, self._lattice, self._grid = objects, lattice, grid
        self.shape = grid.image_shape

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Labels of a rectangle, uint32: for each image pixel that under its centre."""
        spans = [range(*part.indices(size)) for part, size in zip(key, self.shape, strict=True)]
        steps = (self._grid.step_y, self._grid.step_x)
        places = [
            np.clip(((np.array(span) + 0.5) / step).astype(np.int64), 0, size - 1)
            for span, step, size in zip(spans, steps, self._lattice.shape, strict=True)
        ]
        if not all(len(place) for place in places):
            return np.zeros([len(place) for place in places], np.uint32)
        rows, columns = places
        box = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        return paint(self._objects, box)[np.ix_(rows - box.y0, columns - box.x0)]


def write_labels_zarr(
    target: Path, objects: pd.DataFrame, lattice: Lattice, pixel_size: PixelSize
) -> None:
    """Write the label pyramid of a section; empty chunks are not stored.

    Parameters
    ----------
    target : pathlib.Path
        Replaced if it exists.
    objects : pandas.DataFrame
        Columns ``cell`` and ``mask_*``.
    lattice : Lattice
    pixel_size : PixelSize
        Of the analysis grid.

    Raises
    ------
    DiskError
        If the folder cannot be written or went away; an earlier label image is then still there.
    """
    temporary = target.with_name(f".{target.name}{TEMPORARY}")
    require_folder(target)
    try:
        # Zarr renames every file once, which Windows refuses while a scanner looks at it.
        patiently(lambda: _write_anew(temporary, objects, lattice, pixel_size))
        require_folder(target)  # zarr makes every folder on the way
        if target.exists():
            remove_folder(target)
        put_in_place(temporary, target)
    except DiskError:
        _remove(temporary)
        raise
    except OSError as error:
        _remove(temporary)
        raise cannot_write(target, error) from error


def _remove(folder: Path) -> None:
    """Remove a folder into which zarr's threads may still be writing after one of them failed.

    Zarr makes all that is on the way, too, where the drive of the results was.
    """
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)
        if not folder.exists():
            break
    leave_nothing(folder)


def _write_anew(
    folder: Path, objects: pd.DataFrame, lattice: Lattice, pixel_size: PixelSize
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _write_levels(folder, objects, lattice, pixel_size)


def _write_levels(
    folder: Path, objects: pd.DataFrame, lattice: Lattice, pixel_size: PixelSize
) -> None:
    import zarr  # not before labels are written: it takes its time to load

    shapes = _level_shapes(lattice)
    # All at once: of files that are replaced soon after, Windows refuses some (zarr-python 4358).
    attributes = _metadata(len(shapes), pixel_size)
    group = zarr.create_group(folder, overwrite=True, zarr_format=2, attributes=attributes)
    levels = [_level_array(group, lattice, level, shape) for level, shape in enumerate(shapes)]

    def write(chunk: tuple[Box, pd.DataFrame]) -> None:
        core, rows = chunk
        full = paint(rows, core)
        for level, array in enumerate(levels):
            step = 1 << level
            part = full[::step, ::step]
            y, x = core.y0 >> level, core.x0 >> level
            array[y : y + part.shape[0], x : x + part.shape[1]] = part

    with ThreadPoolExecutor(WRITERS, thread_name_prefix="fociquant-labels") as pool:
        for _ in pool.map(write, _chunks(objects, lattice)):
            pass


def _level_shapes(lattice: Lattice) -> list[tuple[int, int]]:
    shapes = [lattice.shape]
    while max(shapes[-1]) > COARSEST_PX and len(shapes) <= 6:
        height, width = shapes[-1]
        shapes.append((-(-height // 2), -(-width // 2)))
    return shapes


def _level_array(group: Any, lattice: Lattice, level: int, shape: tuple[int, int]) -> Any:
    return group.create_array(
        str(level), shape=shape, chunks=(lattice.decode_core_px >> level,) * 2,
        dtype="uint32", fill_value=0, chunk_key_encoding={"name": "v2", "separator": "/"},
    )  # fmt: skip


def _chunks(objects: pd.DataFrame, lattice: Lattice) -> Iterator[tuple[Box, pd.DataFrame]]:
    """Decode-cell cores that masks of objects meet, with these objects."""
    core = lattice.decode_core_px
    spans = []
    for axis, size in (("y", "height"), ("x", "width")):
        first = objects[f"mask_{axis}0"].to_numpy()
        last = first + objects[f"mask_{size}"].to_numpy() - 1
        spans.append(list(zip(first // core, last // core, strict=True)))
    near: dict[tuple[int, int], list[int]] = {}
    for number, ((top, bottom), (left, right)) in enumerate(zip(*spans, strict=True)):
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                near.setdefault((row, column), []).append(number)
    for cell, numbers in sorted(near.items()):
        yield lattice.cell_core(cell), objects.iloc[numbers]


def _metadata(levels: int, pixel_size: PixelSize) -> dict[str, Any]:
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {
                    "type": "scale",
                    "scale": [pixel_size.y * (1 << level), pixel_size.x * (1 << level)],
                }
            ],
        }
        for level in range(levels)
    ]
    multiscales = [{"version": "0.4", "name": "labels", "axes": axes, "datasets": datasets}]
    return {"multiscales": multiscales, "image-label": {"version": "0.4"}}
