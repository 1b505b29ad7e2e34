"""Where folds and patches out of focus lie, as functions of position."""

from __future__ import annotations

import numpy as np

from fociquant.testing.lung.canvas import Canvas
from fociquant.testing.lung.noise import hash01, noise_grid, sub_seed
from fociquant.testing.lung.recipe import Artefacts
from fociquant.testing.lung.tissue import lattice


def folded(
    artefacts: Artefacts, seed: int, canvas: Canvas, *, grow_um: float = 0.0
) -> np.ndarray | None:
    """Where tissue lies double (0-1), on coarse nodes; None: nowhere.

    A fold is a wavy band across one lattice cell;
    `grow_um` widens it.
    """
    if artefacts.folds_per_mm2 <= 0:
        return None
    spacing = 1000.0 / np.sqrt(artefacts.folds_per_mm2)
    i, j = lattice(canvas.bounds_um(spacing), spacing)
    u = [hash01(seed, 160 + k, i, j) for k in range(5)]
    fold = np.zeros((len(canvas.node_y), len(canvas.node_x)), dtype=np.float32)
    wavy = 60 * (noise_grid(canvas.node_y, canvas.node_x, 120.0, sub_seed(seed, 170)) - 0.5)
    for k in range(len(i)):
        angle, half = np.pi * u[2][k], 0.5 * artefacts.fold_width_um * (0.6 + 0.8 * u[3][k])
        dy = (canvas.node_y - (i[k] + u[0][k]) * spacing)[:, None]
        dx = (canvas.node_x - (j[k] + u[1][k]) * spacing)[None, :]
        along, across = (
            dx * np.cos(angle) + dy * np.sin(angle),
            dy * np.cos(angle) - dx * np.sin(angle),
        )
        length = (0.25 + 0.5 * u[4][k]) * spacing
        width = half * np.clip(1.2 * (1 - np.abs(along) / length), 0, 1)
        inside = np.clip((width + grow_um - np.abs(across + wavy)) / 3 + 0.5, 0, 1) * (
            np.abs(along) < length + grow_um
        )
        fold = np.maximum(fold, inside.astype(np.float32))
    return fold if fold.max() > 0 else None


def focus_loss(
    artefacts: Artefacts, seed: int, canvas: Canvas, *, grow_um: float = 0.0
) -> np.ndarray | None:
    """Weight of the blurred image (0-1) on coarse nodes; None where all is in focus.

    `grow_um` makes the patches larger.
    """
    if artefacts.out_of_focus_per_mm2 <= 0:
        return None
    spacing = 1000.0 / np.sqrt(artefacts.out_of_focus_per_mm2)
    radius = artefacts.out_of_focus_radius_um
    i, j = lattice(canvas.bounds_um(1.5 * radius), spacing)
    u = [hash01(seed, 180 + k, i, j) for k in range(2)]
    loss = np.zeros((len(canvas.node_y), len(canvas.node_x)), dtype=np.float32)
    wavy = 0.5 * (noise_grid(canvas.node_y, canvas.node_x, 0.7 * radius, sub_seed(seed, 190)) - 0.5)
    for k in range(len(i)):
        dy = (canvas.node_y - (i[k] + u[0][k]) * spacing)[:, None] / radius
        dx = (canvas.node_x - (j[k] + u[1][k]) * spacing)[None, :] / radius
        inside = np.clip((1 + grow_um / radius - np.hypot(dy, dx) + wavy) * 4, 0, 1)
        loss = np.maximum(loss, inside.astype(np.float32))
    return loss if loss.max() > 0 else None
