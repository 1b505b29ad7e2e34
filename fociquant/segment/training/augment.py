"""Random crops as a microscope of another make would have taken them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fociquant.segment.scaling import compress
from fociquant.segment.training.images import TrainingImage


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Ranges of the random changes.

    Parameters
    ----------
    diameter_px : float
        Diameter that objects are brought to, before the spread.
    diameter_log_sd : float
        Standard deviation of the natural logarithm of that diameter.
    diameter_range_px : (float, float)
        Limits of the diameter after resampling.
    drop_nucleus : float
        Probability that the nuclear plane is blanked.
    centred : float
        Probability that a crop is centred near an object instead of anywhere.
    border : float
        How far a crop may reach over the image's border, as a share of half its size; what
        lies beyond is empty, as at inference, and does not count.
    object_gain : float
        Probability that every object gets a brightness of its own.
    small_weight : float
        Most that a pixel of a small object counts for; micronuclei would else hardly matter.
    gap_weight : float
        Added weight of pixels within :data:`GAP_PX` of two objects: there touching objects
        are told apart (Ronneberger et al., MICCAI 2015).
    """

    diameter_px: float = 24.0
    diameter_log_sd: float = 0.4
    diameter_range_px: tuple[float, float] = (8.0, 60.0)
    drop_nucleus: float = 0.15
    centred: float = 0.7
    border: float = 0.4
    object_gain: float = 0.3
    small_weight: float = 3.0
    gap_weight: float = 1.0


GAP_PX = 2
"""Reach of the extra weight between two objects, crop px."""


@dataclass(frozen=True, slots=True)
class Crop:
    """One training example.

    Parameters
    ----------
    planes : numpy.ndarray of float32, shape (2, S, S)
        The network's input, compressed.
    flows : numpy.ndarray of float32, shape (2, S, S)
        Unit vectors (y, x), 0 outside objects.
    cell : numpy.ndarray of float32, shape (S, S)
        1 inside objects.
    weight : numpy.ndarray of float32, shape (S, S)
        0 where the pixel does not count.
    """

    planes: np.ndarray
    flows: np.ndarray
    cell: np.ndarray
    weight: np.ndarray


def random_crop(
    image: TrainingImage, rng: np.random.Generator, *, size: int, ranges: Augmentation
) -> Crop:
    """Draw one crop of `size` pixels with a random pose, optics and camera.

    Parameters
    ----------
    image : TrainingImage
    rng : numpy.random.Generator
    size : int
        Height and width of the crop, px.
    ranges : Augmentation
    """
    matrix, scale = _pose(image, rng, size, ranges)
    planes, labels, flows, ignore = _warp(image, matrix, size, scale)
    if rng.random() < ranges.object_gain:
        planes = _own_gain(planes, labels, rng)
    planes = _camera(planes, rng, ranges)
    outside = labels < 0
    # As at inference: nothing lies beyond the image. Mirrored, an object cut by the border
    # would look whole, with its centre on the border.
    planes[:, outside] = 0.0
    cell = (labels > 0).astype(np.float32)
    weight = np.where(ignore | outside, 0.0, _importance(labels, ranges)).astype(np.float32)
    return Crop(compress(planes), _turn(flows, matrix, cell), cell, weight)


def _pose(
    image: TrainingImage, rng: np.random.Generator, size: int, ranges: Augmentation
) -> tuple[np.ndarray, float]:
    """The 2×3 matrix (x, y order, source to crop) and its mean scale."""
    low, high = ranges.diameter_range_px
    wanted = ranges.diameter_px * np.exp(ranges.diameter_log_sd * rng.standard_normal())
    scale = float(np.clip(wanted, low, high) / image.diameter_px)
    stretch = np.exp(0.06 * rng.standard_normal())
    angle = rng.uniform(0.0, 2.0 * np.pi) if rng.random() < 0.5 else 0.5 * np.pi * rng.integers(4)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag(
        [scale * stretch * mirror, scale / stretch]
    )
    centre = _centre(image, rng, size / scale, ranges)
    offset = np.array([size / 2.0, size / 2.0]) - linear @ centre
    return np.hstack([linear, offset[:, None]]), scale


def _centre(
    image: TrainingImage, rng: np.random.Generator, span: float, ranges: Augmentation
) -> np.ndarray:
    """The source point (x, y) that becomes the crop's centre."""
    height, width = image.labels.shape
    if rng.random() < ranges.centred and image.labels.any():
        point = _on_an_object(image.labels, rng) + rng.uniform(-0.3, 0.3, 2) * span
    else:
        point = rng.uniform(0.0, 1.0, 2) * (width, height)
    half = span / 2.0 * (1.0 - ranges.border * rng.random())
    margin = np.minimum(half, np.array([width, height]) / 2.0)
    return np.clip(point, margin, np.array([width, height]) - margin)


def _on_an_object(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A pixel (x, y) of an object; all objects are alike, however small, in half of the cases."""
    if rng.random() < 0.5:
        for _ in range(16):
            rows, columns = np.nonzero(labels == rng.integers(1, labels.max() + 1))
            if len(rows):
                pick = rng.integers(len(rows))
                return np.array([columns[pick], rows[pick]], dtype=np.float64)
    for _ in range(64):
        y, x = rng.integers(labels.shape[0]), rng.integers(labels.shape[1])
        if labels[y, x]:
            break
    return np.array([x, y], dtype=np.float64)


def _importance(labels: np.ndarray, ranges: Augmentation) -> np.ndarray:
    """Weight of every pixel in the loss, >= 1: more for small objects and narrow gaps."""
    kept = np.maximum(labels, 0.0)
    area = np.bincount(kept.astype(np.int64).ravel())
    area[0] = 0
    typical = 0.25 * np.pi * ranges.diameter_px**2
    factor = np.clip(np.sqrt(typical / np.maximum(area, 1)), 1.0, ranges.small_weight)
    factor[area == 0] = 1.0
    reach = np.ones((2 * GAP_PX + 1, 2 * GAP_PX + 1), np.uint8)
    weight = factor[kept.astype(np.int64)].astype(np.float32)
    # The background next to a small object counts as much as the object.
    weight = cv2.dilate(weight, reach)
    highest = cv2.dilate(kept, reach)
    lowest = cv2.erode(np.where(kept > 0, kept, np.float32(1e9)), reach)
    between = (highest > 0) & (lowest < highest)
    return np.asarray(weight + np.float32(ranges.gap_weight) * between, dtype=np.float32)


def _own_gain(planes: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Objects differ in brightness, by up to about four times, above the local background."""
    kept = np.maximum(labels, 0.0).astype(np.int64)
    spread = rng.uniform(0.1, 0.6)
    gain = np.exp(spread * rng.standard_normal(int(kept.max()) + 1)).astype(np.float32)
    gain[0] = 1.0
    smooth = cv2.GaussianBlur(gain[kept], (0, 0), 1.0)
    outside = planes[:, kept == 0]
    floor = np.median(outside, axis=1) if outside.size else np.zeros(len(planes))
    floor = floor.astype(np.float32)[:, None, None]
    return np.asarray(floor + (planes - floor) * smooth, dtype=np.float32)


def _warp(
    image: TrainingImage, matrix: np.ndarray, size: int, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Planes, labels (-1 outside the image), flows and ignore mask in the crop's frame."""
    shape = (size, size)
    planes = image.planes.astype(np.float32)
    if scale < 0.8:
        sigma = 0.45 * np.sqrt(1.0 / scale**2 - 1.0)
        planes = np.stack([cv2.GaussianBlur(p, (0, 0), sigma) for p in planes])
    planes = np.stack(
        [
            cv2.warpAffine(p, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            for p in planes
        ]
    )
    labels = cv2.warpAffine(
        image.labels.astype(np.float32), matrix, shape, flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT, borderValue=-1,
    )  # fmt: skip
    flows = np.stack(
        [
            cv2.warpAffine(f.astype(np.float32), matrix, shape, flags=cv2.INTER_LINEAR)
            for f in image.flows
        ]
    )
    ignore = cv2.warpAffine(image.ignore.astype(np.uint8), matrix, shape, flags=cv2.INTER_NEAREST)
    return planes, labels, flows, ignore > 0


def _turn(flows: np.ndarray, matrix: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Rotate the flow vectors with the image and make them unit vectors inside cells."""
    linear = matrix[:, :2]
    x = linear[0, 0] * flows[1] + linear[0, 1] * flows[0]
    y = linear[1, 0] * flows[1] + linear[1, 1] * flows[0]
    length = np.sqrt(x * x + y * y) + 1e-6
    return np.stack([y / length * cell, x / length * cell]).astype(np.float32)


def _camera(planes: np.ndarray, rng: np.random.Generator, ranges: Augmentation) -> np.ndarray:
    """Blur, noise, gain, offset, shading and bleed-through, drawn per plane."""
    has_nucleus = bool(np.any(planes[1]))
    out = [_one_plane(plane, rng) for plane in planes]
    if has_nucleus and rng.random() < 0.3:
        out[0] = out[0] + np.float32(rng.uniform(0.0, 0.25)) * np.maximum(out[1], 0.0)
    if not has_nucleus or rng.random() < ranges.drop_nucleus:
        out[1] = np.zeros_like(out[0])
    return np.stack(out)


def _one_plane(plane: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.25:
        plane = cv2.GaussianBlur(plane, (0, 0), rng.uniform(0.4, 2.0))
    if rng.random() < 0.3:
        plane = plane * _shading(plane.shape, rng)
    if rng.random() < 0.2:
        gamma = np.exp(0.25 * rng.standard_normal())
        plane = np.sign(plane) * np.abs(plane) ** np.float32(gamma)
    plane = plane * np.float32(np.exp(0.45 * rng.standard_normal()))
    plane = plane + np.float32(0.03 * rng.standard_normal())
    if rng.random() < 0.5:
        sigma = np.exp(rng.uniform(np.log(0.003), np.log(0.08)))
        noise = rng.standard_normal(plane.shape, dtype=np.float32)
        plane = plane + noise * np.float32(sigma)
    return np.asarray(plane, dtype=np.float32)


def _shading(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A smooth gain field between about 0.5 and 1.5."""
    coarse = 1.0 + rng.uniform(-0.5, 0.5, (3, 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)
