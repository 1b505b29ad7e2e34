"""Small pictures of single cells: chosen at random, cut from the image, kept as one PNG."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, PngImagePlugin

from fociquant.atomic import write_bytes
from fociquant.model import Box
from fociquant.units import PixelSize

CELLS_EACH = 6
"""Counted cells, and rejected candidates, that are kept of each section."""

TILE_PX = 64
"""Edge of one channel's picture of one cell."""

WINDOW_DIAMETERS = 3.5
"""Edge of what such a picture shows, in typical cell diameters: the cell and its neighbours."""

HEADROOM = 4.0
"""White is this many times the section's scale: labelled cells outshine the tissue it is from."""

COMPRESSION = 8.0
"""Inverse hyperbolic sine: linear below 1/8 of the section's scale, logarithmic above, so that
dim cells are seen beside bright ones."""

CHUNK = "fociquant"
"""Name of the PNG's text entry that says which cells these are."""


@dataclass(frozen=True, slots=True)
class Crops:
    """Pictures of some cells of one section.

    Parameters
    ----------
    key : str
        Of what they were made from; other keys are out of date.
    roles, names : tuple of str
        Of the channels, in order: ``marker``, ``nucleus`` …; and as the tables call them.
    window_um : float
        Edge of a picture, µm.
    cells : tuple of int
        Numbers of the cells.
    outlines : tuple of numpy.ndarray of float32, shape (n, 2)
        (y, x) in pixels of the picture.
    tiles : numpy.ndarray of uint8, shape (cells, channels, TILE_PX, TILE_PX)
        Black is the section's dark level, see `HEADROOM` and `COMPRESSION`.
    """

    key: str
    roles: tuple[str, ...]
    names: tuple[str, ...]
    window_um: float
    cells: tuple[int, ...]
    outlines: tuple[np.ndarray, ...]
    tiles: np.ndarray


def choose_cells(cells: np.ndarray, positive: np.ndarray, *, section: str) -> list[int]:
    """Numbers of up to `CELLS_EACH` counted and as many rejected cells, chosen at random.

    The draw depends on the name of the section and the numbers of its cells only: the
    same table gives the same cells, and nobody picks the beautiful ones.

    Parameters
    ----------
    cells : numpy.ndarray of int
        Numbers of the section's candidates.
    positive : numpy.ndarray of bool
        Which of them are counted.
    section : str
        Its name.

    Returns
    -------
    list of int
        In increasing order.
    """
    numbers = np.asarray(cells, np.uint64)
    counted = np.asarray(positive, bool)
    order = np.argsort(_lots(numbers, section), kind="stable")
    chosen: list[int] = []
    for kind in (counted, ~counted):
        chosen += numbers[order][kind[order]][:CELLS_EACH].tolist()
    return sorted(int(number) for number in chosen)


def _lots(numbers: np.ndarray, section: str) -> np.ndarray:
    """One lot for each cell, uint64: the mixing steps of splitmix64 (Steele et al. 2014)."""
    seed = int.from_bytes(hashlib.sha256(section.encode()).digest()[:8], "little")
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def cut_crops(
    read: Callable[[Box], np.ndarray],
    chosen: pd.DataFrame,
    *,
    shape: tuple[int, int],
    pixel_size: PixelSize,
    window_um: float,
    scales: Sequence[tuple[float, float]],
) -> np.ndarray:
    """Cut pictures of some cells from a section.

    Parameters
    ----------
    read : callable
        From a box within the image to raw counts, shape (channels, h, w).
    chosen : pandas.DataFrame
        ``y_um``, ``x_um`` of the cells.
    shape : (int, int)
        Height and width of the image, px.
    pixel_size : PixelSize
        Of the image.
    window_um : float
        Edge of a picture, µm.
    scales : sequence of (float, float)
        Raw counts that are 0 and 1 in each channel of this section.

    Returns
    -------
    numpy.ndarray of uint8, shape (len(chosen), len(scales), TILE_PX, TILE_PX)
        Black beyond the image's border.
    """
    tiles = np.zeros((len(chosen), len(scales), TILE_PX, TILE_PX), np.uint8)
    centres = pixel_size.to_px(chosen[["y_um", "x_um"]].to_numpy())
    half = np.array([window_um / pixel_size.y, window_um / pixel_size.x]) / 2
    for tile, centre in zip(tiles, centres, strict=True):
        low, high = centre - half, centre + half
        whole = Box(*np.floor(low).astype(int).tolist(), *np.ceil(high).astype(int).tolist())
        inside = whole.intersect(Box.of_shape(shape))
        if not inside.area:
            continue
        pixels = read(inside)
        for channel, (dark, bright) in enumerate(scales):
            level = np.zeros(whole.shape, np.float32)
            part = inside.shift(-whole.y0, -whole.x0).slices
            level[part] = _brightness(pixels[channel], dark, bright)
            frame = (low[1] - whole.x0, low[0] - whole.y0, high[1] - whole.x0, high[0] - whole.y0)
            tile[channel] = _resized(level, frame)
    return tiles


def _brightness(pixels: np.ndarray, dark: float, bright: float) -> np.ndarray:
    """Raw counts to 0 … 1 as the eye is to see them, float32."""
    values = np.nan_to_num(pixels.astype(np.float64), nan=dark, posinf=bright, neginf=dark)
    level = np.clip((values - dark) / max(bright - dark, 1e-9), 0.0, HEADROOM)
    seen = np.arcsinh(COMPRESSION * level) / np.arcsinh(COMPRESSION * HEADROOM)
    return seen.astype(np.float32)


def _resized(level: np.ndarray, frame: tuple[float, float, float, float]) -> np.ndarray:
    """What lies in a frame (left, top, right, bottom; px) as one tile, uint8."""
    picture = Image.fromarray(level).resize(
        (TILE_PX, TILE_PX), Image.Resampling.BILINEAR, box=frame
    )
    return np.round(np.clip(np.asarray(picture), 0.0, 1.0) * 255.0).astype(np.uint8)


def tile_outline(outline: np.ndarray, centre_um: tuple[float, float], window_um: float) -> Any:
    """A cell's outline (flat ``[y0, x0, …]``, µm) in pixels of its picture, float32 (n, 2)."""
    points = np.asarray(outline, np.float64).reshape(-1, 2) - centre_um
    return ((points / window_um + 0.5) * TILE_PX).astype(np.float32)


def write_crops(path: Path, crops: Crops) -> Path:
    """Write the pictures as one PNG: a row for each cell, a column for each channel.

    The file says in a text entry which cells these are. The same pictures give the same bytes.
    """
    cells, channels = crops.tiles.shape[:2]
    sheet = crops.tiles.transpose(0, 2, 1, 3).reshape(cells * TILE_PX, channels * TILE_PX)
    said = {
        "key": crops.key,
        "roles": crops.roles,
        "names": crops.names,
        "window_um": crops.window_um,
        "cells": crops.cells,
        "outlines": [np.round(outline, 1).tolist() for outline in crops.outlines],
    }
    info = PngImagePlugin.PngInfo()
    info.add_text(CHUNK, json.dumps(said, sort_keys=True), zip=True)
    memory = io.BytesIO()
    # A PNG has at least one pixel; the text says that there is no cell.
    shown = sheet if sheet.size else np.zeros((1, max(channels, 1)), np.uint8)
    Image.fromarray(shown).save(memory, format="PNG", pnginfo=info)
    write_bytes(path, memory.getvalue())
    return path


def read_crops(path: Path) -> Crops | None:
    """Pictures of :func:`write_crops`; None where there are none or the file is damaged."""
    try:
        with Image.open(path) as picture:
            picture.load()
            said = json.loads(getattr(picture, "text", {})[CHUNK])
            sheet = np.asarray(picture)
        roles, numbers = tuple(said["roles"]), tuple(int(number) for number in said["cells"])
        shape = (len(numbers), TILE_PX, len(roles), TILE_PX)
        tiles = sheet.reshape(shape) if numbers else np.zeros(shape, np.uint8)
        outlines = tuple(np.array(one, np.float32).reshape(-1, 2) for one in said["outlines"])
        return Crops(
            said["key"], roles, tuple(said["names"]), float(said["window_um"]), numbers,
            outlines, tiles.transpose(0, 2, 1, 3),
        )  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError, SyntaxError):
        return None
