"""Marker on the airway lining: columnar cells side by side, brighter where they touch."""

from __future__ import annotations

import numpy as np

from fociquant.testing.lung.canvas import Canvas, window
from fociquant.testing.lung.noise import hash_columns
from fociquant.testing.lung.recipe import LungRecipe
from fociquant.testing.lung.tissue import Tissue

BORDER_UM = 0.7
"""Half width of a bright border between two cells, µm."""

INSIDE = 0.25
"""What the inside of a columnar cell has of its border's marker, where it is all on the borders."""


def lining_marker(
    recipe: LungRecipe, tissue: Tissue, canvas: Canvas, epithelium: np.ndarray
) -> np.ndarray:
    """Marker of airway epithelium, relative to ``marker_epithelium_e``.

    Parameters
    ----------
    recipe : LungRecipe
    tissue : Tissue
    canvas : Canvas
    epithelium : numpy.ndarray of float32
        Depth inside the lining, µm, on the coarse nodes of the canvas.

    Returns
    -------
    numpy.ndarray of float32, shape of the canvas
        At least 0; 0 outside of the lining.
    """
    depth = canvas.upsample(epithelium)
    even = np.clip(depth / 2 + 0.5, 0, 1)
    share = np.float32(recipe.light.marker_epithelium_border)
    if share <= 0:
        return even
    borders = np.exp(-((depth / np.float32(BORDER_UM)) ** 2))  # apical and basal
    strength = np.ones(canvas.shape, np.float32)
    width_um = 0.82 * recipe.tissue.nucleus_um  # of a columnar cell: its nucleus fills it
    tubes = tissue.airways(canvas)
    for k, reach in enumerate(tubes.reach_um / canvas.px_um):
        row, column = canvas.to_px(tubes.y_um[k], tubes.x_um[k])
        rows, columns = (window(float(at), float(reach), side)
                         for at, side in zip((row, column), canvas.shape, strict=True))  # fmt: skip
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        dy = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5 - row)[:, None]
        dx = (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5 - column)[None, :]
        count = max(5, int(2 * np.pi * (tubes.radius_um[k] + tubes.wall_um[k] / 2) / width_um))
        radius = np.hypot(dy, dx) * np.float32(canvas.px_um)
        cell, away = _columns_of_cells(np.arctan2(dy, dx), radius, count, int(tubes.seed[k]))
        here = (rows, columns)
        borders[here] = np.maximum(borders[here], np.exp(-((away / np.float32(BORDER_UM)) ** 2)))
        own = hash_columns(int(tubes.seed[k]), 1, 31, np.arange(count))[:, 0]
        strength[here] = (0.6 + 0.8 * own.astype(np.float32))[cell]
    inside = 1 - share * np.float32(1 - INSIDE)
    return np.asarray(even * strength * (inside + share * borders), np.float32)


def _columns_of_cells(
    angle: np.ndarray, radius_um: np.ndarray, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which of `count` columnar cells each pixel is in, and how far from the nearest border, µm."""
    edges = np.arange(count) + 0.5 + 0.5 * hash_columns(seed, 1, 30, np.arange(count))[:, 0]
    turn = (angle / (2 * np.pi)) % 1.0 * count
    behind = np.searchsorted(edges, turn.ravel()).reshape(turn.shape)
    around = np.concatenate([[edges[-1] - count], edges, [edges[0] + count]])
    away = np.minimum(turn - around[behind], around[behind + 1] - turn)
    arc = 2 * np.pi * radius_um / count
    return behind % count, (away * arc).astype(np.float32)
