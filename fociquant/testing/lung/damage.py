"""Artefacts laid over a finished image: bubbles, saturated blotches, dirt, blur."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    """Mask of a disc; all in px."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(np.hypot(rows - y, columns - x) < radius)


def blurred(image: np.ndarray, mask: np.ndarray, *, sigma_px: float) -> np.ndarray:
    """The image (c, h, w), out of focus inside a mask (h, w); same dtype."""
    soft = np.stack([ndimage.gaussian_filter(p.astype(np.float32), sigma_px) for p in image])
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma_px)
    return _cast(image + weight * (soft - image), image.dtype)


def bubble(
    image: np.ndarray, y: float, x: float, radius: float, *, sigma_px: float, rim_px: float
) -> np.ndarray:
    """An air bubble over the tissue: blurred below, with a rim that gathers light.

    The rim is twice as bright as the brightest tenth of the image in every channel.
    """
    below = blurred(image, disc(image.shape[1:], y, x, radius), sigma_px=sigma_px)
    rows, columns = np.ogrid[: image.shape[1], : image.shape[2]]
    away = np.hypot(rows - y, columns - x) - radius
    rim = np.exp(-0.5 * (away / rim_px) ** 2)
    light = 2.0 * np.percentile(image, 90, axis=(1, 2))[:, None, None]
    return _cast(below + rim * light, image.dtype)


def blotch(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Saturated in every channel inside a mask: precipitate, or dust that glows."""
    out = image.copy()
    out[:, mask] = np.iinfo(image.dtype).max
    return out


def dirt(image: np.ndarray, mask: np.ndarray, *, brightness: float) -> np.ndarray:
    """So many times the brightest thousandth of each channel inside a mask."""
    light = brightness * np.percentile(image, 99.9, axis=(1, 2))
    out = image.astype(np.float64)
    out[:, mask] = light[:, None]
    return _cast(out, image.dtype)


def _cast(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    largest = np.iinfo(dtype).max
    return np.clip(np.rint(image), 0, largest).astype(dtype)
