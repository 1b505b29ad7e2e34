"""Where in the lung something lies: parenchyma, beside a lumen, at the edge.

A lumen is a wide, smooth hole with a lining of its own: an airway, or a vessel that is cut
across and empty. Which of the two cannot be told from the overview, so it is not said.
"""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage

from fociquant.model import SectionFacts
from fociquant.prepare.distances import Distances, distances_at
from fociquant.units import PixelSize

NARROWEST_UM = 30.0
"""Radius of the smallest lumen, µm; alveoli are as wide, but have no lining."""

SEALED_UM = 6.0
"""Gaps in a lining up to twice this are closed, µm."""

LINING_UM = (4.0, 10.0)
"""A lining is tissue from here to here outside the lumen, µm: epithelium is 10-20 µm high, the
septum of an alveolus 3-6 µm."""

LINED = 0.8
"""Share of that ring that is tissue."""

SMOOTH = 0.85
"""A lumen fills its convex hull by at least this share."""

PARENCHYMA, LUMEN, EDGE, OUTSIDE = "parenchyma", "lumen", "edge", "outside"
"""Values of ``compartment``."""

COMPARTMENTS = (PARENCHYMA, LUMEN, EDGE, OUTSIDE)

COLUMNS = ("compartment", "edge_um", "lumen_um")
"""Columns of :func:`locate`."""


def find_lumens(outline: np.ndarray, tissue: np.ndarray, pixel: PixelSize) -> np.ndarray:
    """The lumens inside a lung.

    Parameters
    ----------
    outline : numpy.ndarray of bool, shape (h, w)
        Inside the lung, air included.
    tissue : numpy.ndarray of bool, shape (h, w)
        Without the air.
    pixel : PixelSize
        Of both masks.

    Returns
    -------
    numpy.ndarray of bool, shape (h, w)
    """
    found = np.zeros(outline.shape, bool)
    if not tissue.any() or tissue.all():
        return found
    sampling = (pixel.y, pixel.x)
    depth = Distances(tissue, pixel)
    pieces, count = ndimage.label(outline & depth.beyond(SEALED_UM))
    if not count:
        return found
    wide = np.bincount(pieces[depth.at_least(NARROWEST_UM)], minlength=count + 1) > 0
    margin = int(np.ceil((SEALED_UM + LINING_UM[1]) / min(sampling))) + 2
    for number, place in enumerate(ndimage.find_objects(pieces), start=1):
        if not wide[number]:
            continue
        around = tuple(slice(max(side.start - margin, 0), side.stop + margin) for side in place)
        grown = _grown(pieces[around] == number, sampling)
        hole = (grown <= SEALED_UM) & ~tissue[around]
        ring = (grown > SEALED_UM + LINING_UM[0]) & (grown <= SEALED_UM + LINING_UM[1])
        ring &= outline[around]
        if ring.any() and tissue[around][ring].mean() >= LINED and _is_smooth(hole):
            found[around] |= hole
    return found


def _grown(piece: np.ndarray, sampling: tuple[float, float]) -> np.ndarray:
    return np.asarray(ndimage.distance_transform_edt(~piece, sampling=sampling))


def _is_smooth(hole: np.ndarray) -> bool:
    return bool(np.count_nonzero(hole) >= SMOOTH * _pixels_in_hull(hole))


def _pixels_in_hull(mask: np.ndarray) -> int:
    """Pixels whose centre lies in the convex hull of the middles of the mask's pixel edges.

    In whole numbers of half pixels, so that there is no rounding.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    # Of each row only the ends matter.
    first = mask.argmax(axis=1)[rows]
    last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)[rows]
    columns = 2 * (np.concatenate([first, last]) - first.min()) + 1
    rows = np.tile(2 * (rows - rows[0]) + 1, 2)
    corners = [(columns + dx, rows + dy) for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    points = np.concatenate([np.stack(corner, axis=1) for corner in corners]).astype(np.int32)
    hull = cv2.convexHull(points).reshape(-1, 2).astype(np.int64)
    sides = np.roll(hull, -1, axis=0) - hull
    ahead = np.roll(sides, -1, axis=0)
    turn = np.sign((sides[:, 0] * ahead[:, 1] - sides[:, 1] * ahead[:, 0]).sum())
    slanted = sides[:, 1] != 0
    # Inside of a side is turn * (dx * (y - y0) - dy * (x - x0)) >= 0: in each row of pixels that
    # is a largest or a smallest x.
    (x0, y0), (dx, dy) = hull[slanted].T, turn * sides[slanted].T
    along = dx * (np.arange(1, rows.max() + 1, 2)[:, None] - y0)
    right, left = dy > 0, dy < 0
    most = (x0[right] + along[:, right] // dy[right]).min(axis=1)
    least = (x0[left] - along[:, left] // -dy[left]).max(axis=1)
    return int(np.maximum((most + 1) // 2 - least // 2, 0).sum())


def locate(
    yx_um: np.ndarray, facts: SectionFacts, *, edge_band_um: float, lumen_band_um: float
) -> pd.DataFrame:
    """Compartment of points, and how far they are from the lung's edge and the next lumen.

    Parameters
    ----------
    yx_um : numpy.ndarray of float64, shape (n, 2)
        Points, µm.
    facts : SectionFacts
        Of the same section.
    edge_band_um : float
        Points at most this far inside the lung's edge are ``edge``, µm.
    lumen_band_um : float
        Points in a lumen or at most this far from one are ``lumen``, µm.

    Returns
    -------
    pandas.DataFrame
        ``compartment``: ``lumen``, else ``outside`` the lung by more than an overview pixel,
        else ``edge``, else ``parenchyma``. ``edge_um``: distance to the edge of the lung,
        negative outside. ``lumen_um``: distance to the nearest lumen, 0 inside. Distances are
        µm to about an overview pixel, NaN where the image shows no edge or no lumen: the
        border of the image is no edge.
    """
    pixel = facts.overview_px
    places = np.floor(pixel.to_px(yx_um)).astype(np.int64).reshape(-1, 2)
    places = np.clip(places, 0, np.array(facts.outline.shape) - 1)
    edge_um, lumen_um = _edge_distance(places, facts), _lumen_distance(places, facts)
    kinds = np.full(len(yx_um), PARENCHYMA, dtype=object)
    kinds[edge_um <= edge_band_um] = EDGE
    kinds[edge_um < -facts.overview_px.mean] = OUTSIDE
    kinds[lumen_um <= lumen_band_um] = LUMEN
    return pd.DataFrame({"compartment": kinds, "edge_um": edge_um, "lumen_um": lumen_um})


def _edge_distance(places: np.ndarray, facts: SectionFacts) -> np.ndarray:
    """Signed distance to the outline, µm; NaN where the image shows no edge."""
    outline = facts.outline
    if not len(places) or outline.all() or not outline.any():
        return np.full(len(places), np.nan)
    half = facts.overview_px.mean / 2  # distances are between pixel centres
    inside = distances_at(places, ~outline, facts.overview_px)
    outside = distances_at(places, outline, facts.overview_px)
    return np.where(inside > 0, inside - half, half - outside)


def _lumen_distance(places: np.ndarray, facts: SectionFacts) -> np.ndarray:
    if not len(places) or facts.lumen is None or not facts.lumen.any():
        return np.full(len(places), np.nan)
    distance = distances_at(places, facts.lumen, facts.overview_px)
    return np.maximum(distance - facts.overview_px.mean / 2, 0.0)
