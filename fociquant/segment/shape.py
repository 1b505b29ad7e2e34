"""Size and shape of labelled objects from their second moments, all objects at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PIXEL_VARIANCE = 1.0 / 12.0
"""Of a pixel's own square along an axis."""


@dataclass(frozen=True, slots=True)
class Ellipses:
    """Ellipses with the moments of objects; every field is float64 of shape (n,).

    Parameters
    ----------
    area : numpy.ndarray
        Pixels.
    y, x : numpy.ndarray
        Centre, index of the pixel.
    long, short : numpy.ndarray
        Axes, whole length, px.
    fill : numpy.ndarray
        Area over that of the ellipse: 1 for an ellipse, less for what is lobed or bent.
    """

    area: np.ndarray
    y: np.ndarray
    x: np.ndarray
    long: np.ndarray
    short: np.ndarray
    fill: np.ndarray


def meeting(
    flow_y: np.ndarray, flow_x: np.ndarray, to_y: np.ndarray, to_x: np.ndarray
) -> np.ndarray:
    """Flow of pixels towards the centre of their object, which lies `to_y`, `to_x` away."""
    return np.asarray((flow_y * to_y + flow_x * to_x) / (np.hypot(to_y, to_x) + 0.5))


def pixels_of(labels: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of some objects.

    Parameters
    ----------
    labels : numpy.ndarray of int32, shape (H, W)
    names : numpy.ndarray of int, shape (n,)
        Labels, each once.

    Returns
    -------
    flat : numpy.ndarray of int64, shape (p,)
        Flat indices, increasing.
    owner : numpy.ndarray of int64, shape (p,)
        Which of `names` each belongs to, from 0.
    """
    owner_of = np.full(int(labels.max(initial=0)) + 1, -1)
    owner_of[names] = np.arange(len(names))
    flat = np.flatnonzero(labels)
    owner = owner_of[labels.reshape(-1)[flat]]
    return flat[owner >= 0], owner[owner >= 0]


def sums(rows: np.ndarray, columns: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """Sums over the pixels of each object; those of a union are the sums of its parts.

    Parameters
    ----------
    rows, columns : numpy.ndarray of int, shape (p,)
        Pixels.
    owner : numpy.ndarray of int, shape (p,)
        Object of each, from 0 to `count` - 1.
    count : int

    Returns
    -------
    numpy.ndarray of float64, shape (count, 6)
        Of 1, y, x, y², x² and y x: whole numbers, exact.
    """
    y, x = rows.astype(np.float64), columns.astype(np.float64)
    weights = (None, y, x, y * y, x * x, y * x)
    return np.stack([np.bincount(owner, weights=w, minlength=count) for w in weights], axis=1)


def ellipses(moments: np.ndarray) -> Ellipses:
    """Ellipses of the :func:`sums` of objects that have a pixel each."""
    area, *others = moments.T
    y, x, yy, xx, yx = (other / area for other in others)
    vy, vx, cross = yy - y * y + PIXEL_VARIANCE, xx - x * x + PIXEL_VARIANCE, yx - y * x
    middle, spread = (vy + vx) / 2.0, np.hypot((vy - vx) / 2.0, cross)
    large = middle + spread
    small = np.maximum(middle - spread, PIXEL_VARIANCE / 2.0)
    return Ellipses(
        area, y, x, 4.0 * np.sqrt(large), 4.0 * np.sqrt(small),
        area / (4.0 * np.pi * np.sqrt(large * small)),
    )  # fmt: skip
