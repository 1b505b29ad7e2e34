"""Contact sheets of counted and of rejected cells, and thumbnails of whole sections."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from fociquant.report._crops import TILE_PX, Crops
from fociquant.report._overview import COLOURS

SHEET_CELLS = 18
"""Cells on one contact sheet."""

MOST_SHEETS = 12
"""More arms than half of this have no sheets of their own in the page."""

MOST_CHANNELS = 7
"""Further channels are not on the sheets."""

SHEET_PX = 1080
"""Width of a sheet, about; the page shows it at its size."""

GAP, LINE, FONT_PX = 3, 13, 11
"""Between pictures; height of a line of text; its font; px."""

THUMBNAIL_EDGES = ((24, 300), (80, 220), (240, 150))
"""With up to so many sections, the longer edge of a thumbnail, px; beyond, a sample is shown."""

JPEG_QUALITY = 82


@dataclass(frozen=True, slots=True)
class Pictured:
    """One cell on a sheet."""

    section: str
    cell: int
    flags: str
    crops: Crops
    index: int


def choose_shown(
    shown: pd.DataFrame, crops: Mapping[str, Crops], names: Sequence[str], *, positive: bool
) -> list[Pictured]:
    """Up to `SHEET_CELLS` cells of some sections, taken from each in turn.

    Parameters
    ----------
    shown : pandas.DataFrame
        ``section, cell, positive, flags`` as the cells are judged now.
    crops : mapping of str to Crops
        Section to pictures.
    names : sequence of str
        Sections of the arm.
    positive : bool
        Counted cells, or rejected ones.

    Returns
    -------
    list of Pictured
        In the order of sections and cells.
    """
    place = {name: number for number, name in enumerate(names) if name in crops}
    own = shown[shown["section"].isin(place) & (shown["positive"].astype(bool) == positive)]
    queues: dict[str, list[tuple[str, Pictured]]] = {}
    for row in own.to_dict("records"):
        section, cell = str(row["section"]), int(row["cell"])
        if cell in crops[section].cells:
            index = crops[section].cells.index(cell)
            found = Pictured(section, cell, str(row["flags"]), crops[section], index)
            queues.setdefault(section, []).append((_lot(f"{section} {cell}"), found))
    for queue in queues.values():
        queue.sort(key=lambda entry: entry[0])
    turns = [
        (turn, _lot(section), one)
        for section, queue in queues.items()
        for turn, (_, one) in enumerate(queue)
    ]
    turns.sort(key=lambda entry: entry[:2])
    chosen = [one for _, _, one in turns[:SHEET_CELLS]]
    return sorted(chosen, key=lambda one: (place[one.section], one.cell))


def _lot(name: str) -> str:
    """The same for the same name, and in no order that anybody has chosen."""
    return hashlib.sha256(name.encode()).hexdigest()


def sheet(chosen: Sequence[Pictured]) -> Image.Image:
    """Draw a contact sheet: for each cell all channels merged with its outline, then each alone.

    Below stand the section, the number of the cell and its flags.

    Raises
    ------
    ValueError
        If no cell is chosen.
    """
    if not chosen:
        raise ValueError("a sheet needs a cell")
    channels = max(min(len(one.crops.roles), MOST_CHANNELS) for one in chosen)
    entry = (channels + 1) * (TILE_PX + GAP) + 4 * GAP
    columns = max(1, min(SHEET_PX // entry, len(chosen)))
    rows = -(-len(chosen) // columns)
    lines = 2 if any(one.flags for one in chosen) else 1
    height = TILE_PX + lines * LINE + 3 * GAP
    picture = Image.new("RGB", (columns * entry, rows * height + LINE + GAP), "white")
    draw = ImageDraw.Draw(picture)
    for column in range(min(columns, len(chosen))):
        for index, name in enumerate(["merged", *chosen[0].crops.names[:channels]]):
            _write(draw, (column * entry + index * (TILE_PX + GAP), 0), name, TILE_PX)
    for number, one in enumerate(chosen):
        x, y = number % columns * entry, number // columns * height + LINE + GAP
        for index, tile in enumerate(_tiles(one)):
            picture.paste(tile, (x + index * (TILE_PX + GAP), y))
        wide = entry - 3 * GAP
        _write(draw, (x, y + TILE_PX + 1), f"{one.section}  #{one.cell}", wide)
        _write(draw, (x, y + TILE_PX + LINE + 1), one.flags.replace(";", ", "), wide)
    return picture


def _tiles(one: Pictured) -> Iterator[Image.Image]:
    """The merged picture with the outline, then the channels."""
    planes = one.crops.tiles[one.index][:MOST_CHANNELS]
    merged = np.zeros((TILE_PX, TILE_PX, 3))
    for role, plane in zip(one.crops.roles, planes, strict=False):
        if role in COLOURS:
            merged += plane[:, :, None] / 255.0 * np.array(COLOURS[role])
    picture = Image.fromarray((np.clip(merged, 0.0, 1.0) * 255.0).astype(np.uint8))
    outline = one.crops.outlines[one.index]
    if len(outline) > 1:
        points = [(float(x), float(y)) for y, x in outline]
        ImageDraw.Draw(picture).line([*points, points[0]], fill="white", width=1)
    yield picture
    for plane in planes:
        yield Image.fromarray(plane)


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of the figures, which comes with matplotlib."""
    try:
        return ImageFont.truetype(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf", FONT_PX)
    except OSError:  # Pillow without FreeType
        return ImageFont.load_default()


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, width: int) -> None:
    """Text cut to a width, px."""
    font, shown = _font(), "".join(c if c.isprintable() else "\ufffd" for c in text)
    while shown and draw.textlength(shown, font=font) > width:
        shown = shown[:-2] + "…" if len(shown) > 2 else ""
    draw.text(at, shown, fill="black", font=font)


def png_bytes(picture: Image.Image) -> bytes:
    """A picture as PNG."""
    memory = io.BytesIO()
    picture.save(memory, format="PNG", optimize=True)
    return memory.getvalue()


def jpeg_bytes(picture: Image.Image) -> bytes:
    """A picture as JPEG, for the page: a fifth of the PNG's size."""
    memory = io.BytesIO()
    picture.convert("RGB").save(memory, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return memory.getvalue()


def thumbnails(overviews: Mapping[str, Path], names: Sequence[str]) -> tuple[dict[str, bytes], int]:
    """Small pictures of whole sections as JPEG.

    Parameters
    ----------
    overviews : mapping of str to pathlib.Path
        Section to its overview picture.
    names : sequence of str
        Sections in their order.

    Returns
    -------
    dict of str to bytes, int
        Section to thumbnail, and how many sections were left out for want of room. A picture
        that cannot be read is left out too.
    """
    there = [name for name in names if name in overviews]
    most = THUMBNAIL_EDGES[-1][0]
    edge = next((px for limit, px in THUMBNAIL_EDGES if len(there) <= limit),
                THUMBNAIL_EDGES[-1][1])  # fmt: skip
    step = max(len(there) / most, 1.0)
    picked = [there[int(index * step)] for index in range(min(len(there), most))]
    small: dict[str, bytes] = {}
    for name in picked:
        try:
            with Image.open(overviews[name]) as picture:
                reduced = picture.convert("RGB")
            reduced.thumbnail((edge, edge), Image.Resampling.BOX, reducing_gap=2.0)
        except (OSError, SyntaxError, ValueError):
            continue
        small[name] = jpeg_bytes(reduced)
    return small, len(there) - len(picked)
