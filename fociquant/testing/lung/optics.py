"""From light in the section to counts in the file: bleed-through, blur, shading, noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from fociquant.testing.lung.canvas import Canvas
from fociquant.testing.lung.noise import hash01, sub_seed
from fociquant.testing.lung.recipe import Camera, Light


def mix(planes: np.ndarray, light: Light) -> np.ndarray:
    """Bleed-through between channels; (4, h, w) float32 in and out, photo-electrons."""
    mixed = planes.copy()
    for seen, row in enumerate(light.bleed):
        for dye, share in enumerate(row):
            if dye != seen and share != 0:
                mixed[seen] += np.float32(share) * planes[dye]
    return mixed


def blur(planes: np.ndarray, camera: Camera, *, px_um: float) -> np.ndarray:
    """Each channel with its own Gaussian, and haze over all; in place, and returned."""
    for plane, sigma_um in zip(planes, camera.psf_um, strict=True):
        sigma = sigma_um / px_um
        if camera.haze > 0:
            wide = ndimage.gaussian_filter(
                plane, camera.haze_um / px_um, mode="nearest", truncate=2.5
            )
            plane *= np.float32(1 - camera.haze)
            plane += np.float32(camera.haze) * wide
        if sigma > 0.25:
            ndimage.gaussian_filter(plane, sigma, output=plane, mode="nearest", truncate=3.0)
    return planes


def defocus(
    planes: np.ndarray, canvas: Canvas, *, weight: np.ndarray, sigma_um: float
) -> np.ndarray:
    """Blend in a blurred copy where `weight` (coarse nodes, 0-1) says so.

    The blur is done on binned pixels: it is wide, and binning loses nothing then.
    """
    share = canvas.upsample(weight)
    for plane in planes:
        soft = ndimage.gaussian_filter(plane, sigma_um / canvas.px_um, mode="nearest", truncate=2.5)
        plane += share * (soft - plane)
    return planes


def shading(canvas: Canvas, camera: Camera, *, seed: int) -> np.ndarray:
    """Relative brightness of each pixel: vignette of its camera field and the field's gain.

    Returns
    -------
    numpy.ndarray of float32, shape of the canvas
    """
    box, edge = canvas.box, camera.field_px
    (row, v), (col, u) = (
        _field_position(start, length, edge)
        for start, length in ((box.y0, canvas.shape[0]), (box.x0, canvas.shape[1]))
    )
    loss = np.float32(0.5 * camera.shading)
    light = 1 - loss * (v * v)[:, None] - loss * (u * u)[None, :]
    if camera.gain_step > 0:
        gain = hash01(sub_seed(seed, 60), row[:, None], col[None, :]) - 0.5
        light *= (1 + camera.gain_step * np.sqrt(12) * gain).astype(np.float32)
    return light.astype(np.float32, copy=False)


def _field_position(start: int, length: int, edge: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the camera field of each pixel, and the place in it from -1 to 1."""
    pixel = np.arange(start, start + length, dtype=np.int64)
    index = pixel // edge
    return index, ((pixel - index * edge) * (2.0 / edge) - 1).astype(np.float32)


def expose(electrons: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Photon and read noise, gain, offset, saturation.

    Parameters
    ----------
    electrons : numpy.ndarray of float32, shape (4, h, w)
        Mean photo-electrons; changed in place.
    camera : Camera
        The camera.
    rng : numpy.random.Generator
        Source of the noise. Photon noise is drawn as a Gaussian of the right
        variance: at the light levels met here the difference cannot be seen.

    Returns
    -------
    numpy.ndarray of float32, shape (4, h, w)
        Whole counts from 0 to the camera's largest value.
    """
    np.maximum(electrons, 0, out=electrons)
    noise = rng.standard_normal(electrons.shape, dtype=np.float32)
    noise *= np.sqrt(electrons + np.float32(camera.read_noise_e**2))
    electrons += noise
    electrons *= np.asarray(camera.counts_per_e, dtype=np.float32)[:, None, None]
    electrons += np.float32(camera.offset_counts)
    np.rint(electrons, out=electrons)
    np.clip(electrons, 0, 2**camera.bits - 1, out=electrons)
    return np.abs(electrons, out=electrons)  # no negative zeros
