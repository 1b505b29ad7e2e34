"""Pieces of tissue on one slide, and the one that a row of the sheet means.

A region is the number of a piece, in reading order, or a box in µm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from fociquant.errors import RegionError
from fociquant.model import parse_region
from fociquant.units import UM2_PER_MM2, PixelSize

LARGE_SHARE = 0.1
"""Pieces of at least this share of the largest have a number; smaller ones belong to the nearest
that has one."""

SAME_ROW = 0.5
"""Pieces whose heights overlap by this share of the smaller one stand in one row."""

WARN_SHARE, WARN_MM2 = 0.25, 1.0
"""Pieces this large, relative to the largest and at all, may be different sections."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One numbered piece of tissue.

    Parameters
    ----------
    number : int
        From 1, in reading order: rows from the top, in a row from the left.
    mm2 : float
        Area of its outline.
    y_um, x_um : float
        Middle of its bounding box, µm.
    territory : numpy.ndarray of bool, shape (h, w)
        The overview pixels that are nearer to it than to another piece.
    """

    number: int
    mm2: float
    y_um: float
    x_um: float
    territory: np.ndarray


def find_pieces(outline: np.ndarray, pixel: PixelSize) -> list[Piece]:
    """The pieces of tissue, in reading order.

    Parameters
    ----------
    outline : numpy.ndarray of bool, shape (h, w)
        Inside the lung, on the overview.
    pixel : PixelSize
        Of the overview.

    Returns
    -------
    list of Piece
        Empty without tissue. Small fragments belong to the nearest large piece.
    """
    labels, count = ndimage.label(outline, structure=np.ones((3, 3)))
    if not count:
        return []
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    large = np.flatnonzero(area >= LARGE_SHARE * area.max()) + 1
    boxes = ndimage.find_objects(labels)
    ordered = _reading_order([(int(n), *boxes[n - 1]) for n in large])
    rank = np.zeros(count + 1, np.int32)
    rank[ordered] = np.arange(1, len(ordered) + 1)
    owner = _nearest(rank[labels], pixel)
    pieces = []
    for number, label in enumerate(ordered, start=1):
        rows, columns = boxes[label - 1]
        territory = owner == number
        mm2 = np.count_nonzero(outline & territory) * pixel.area_um2 / UM2_PER_MM2
        middle = pixel.to_um(np.array([rows.start + rows.stop, columns.start + columns.stop]) / 2)
        pieces.append(Piece(number, float(mm2), float(middle[0]), float(middle[1]), territory))
    return pieces


def region_mask(region: str, outline: np.ndarray, pixel: PixelSize) -> np.ndarray:
    """The part of the slide that a row of the sheet means.

    Parameters
    ----------
    region : str
        Of the sheet: a number, or a box ``y0,x0,y1,x1`` in µm; ``""`` for the whole slide.
    outline : numpy.ndarray of bool, shape (h, w)
        Inside the lung, on the overview.
    pixel : PixelSize
        Of the overview.

    Returns
    -------
    numpy.ndarray of bool, shape (h, w)

    Raises
    ------
    RegionError
        If the slide has no such region; the message lists those there are.
    """
    if not region:
        return np.ones(outline.shape, bool)
    box = parse_region(region)
    if isinstance(box, int):
        pieces = find_pieces(outline, pixel)
        for piece in pieces:
            if piece.number == box:
                return piece.territory
        raise RegionError(
            f"there is no region {box}: {listed(pieces)}. "
            "Correct 'region' in the sample sheet, or write a box 'y0,x0,y1,x1' in µm."
        )
    mask = np.zeros(outline.shape, bool)
    y, x = ((np.arange(size) + 0.5) * um for size, um in zip(outline.shape, (pixel.y, pixel.x),
                                                               strict=True))  # fmt: skip
    inside_y, inside_x = (y >= box[0]) & (y < box[2]), (x >= box[1]) & (x < box[3])
    mask[np.ix_(inside_y, inside_x)] = True
    if not mask.any():
        raise RegionError(
            f"the region {region} (µm) lies outside the image of "
            f"{outline.shape[0] * pixel.y:.0f} x {outline.shape[1] * pixel.x:.0f} µm. "
            "Correct 'region' in the sample sheet."
        )
    return mask


def listed(pieces: list[Piece]) -> str:
    """The pieces in words, for messages."""
    if not pieces:
        return "no tissue was found on the slide"
    each = "; ".join(
        f"{p.number} ({p.mm2:.1f} mm² at y {p.y_um:.0f}, x {p.x_um:.0f} µm)" for p in pieces
    )
    return f"the slide shows {len(pieces)}: {each}"


def pieces_warning(outline: np.ndarray, pixel: PixelSize) -> list[str]:
    """A sentence if a slide shows several large pieces and the sheet does not divide it."""
    pieces = find_pieces(outline, pixel)
    largest = max((piece.mm2 for piece in pieces), default=0.0)
    large = [p for p in pieces if p.mm2 >= max(WARN_SHARE * largest, WARN_MM2)]
    if len(large) < 2:
        return []
    return [
        f"{len(large)} separate pieces of tissue were counted as one section; if they are of "
        "different mice, give each a row with its 'region' in the sample sheet."
    ]


def _reading_order(boxes: list[tuple[int, slice, slice]]) -> list[int]:
    """Labels by rows from the top, in a row from the left."""
    rows: list[list[tuple[int, slice, slice]]] = []
    for item in sorted(boxes, key=lambda box: (box[1].start + box[1].stop, box[2].start, box[0])):
        row = next((row for row in rows if all(_side_by_side(item, one) for one in row)), None)
        if row is None:
            rows.append([item])
        else:
            row.append(item)
    rows.sort(key=lambda row: min(item[1].start + item[1].stop for item in row))
    return [item[0] for row in rows for item in sorted(row, key=lambda box: box[2].start)]


def _side_by_side(one: tuple[int, slice, slice], other: tuple[int, slice, slice]) -> bool:
    common = min(one[1].stop, other[1].stop) - max(one[1].start, other[1].start)
    heights = [side[1].stop - side[1].start for side in (one, other)]
    return bool(common >= SAME_ROW * min(heights))


def _nearest(numbered: np.ndarray, pixel: PixelSize) -> np.ndarray:
    """For each pixel the number of the nearest numbered one."""
    if numbered.size and numbered.max() == 1:  # most slides hold one piece
        return np.ones_like(numbered)
    index = ndimage.distance_transform_edt(
        numbered == 0, sampling=(pixel.y, pixel.x), return_distances=False, return_indices=True
    )
    return np.asarray(numbered[tuple(index)])
