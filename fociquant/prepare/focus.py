"""Where a section is out of focus: fine structure is gone, coarse structure is still there.

The ratio of second differences over one pixel and over three, both less what noise gives, does
not depend on brightness (as edge widths do in P. Marziliano et al., IEEE Int. Conf. Image Process.
3:57, 2002; here without looking for edges). It is compared with the section's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from fociquant.prepare.detail import Detail
from fociquant.prepare.threads import each

WINDOW_UM = 16.0
"""Gaussian sigma over which structure is averaged, µm: about ten nuclei."""

FOCUS_REACH_UM = 4 * WINDOW_UM
"""The Gaussian ends there, µm (and a pixel later)."""

BLURRED, ALSO_BLURRED = 0.6, 0.8
"""Share of the section's usual ratio below which the leading channel is blurred, and the others.
On simulated sections without blur 99.9 % of tissue lies above 0.7, with a blur of 3 µm 90 % lies
below 0.55."""

ALONE_BLURRED = 0.5
"""The same where there is one channel only."""

ABOVE_NOISE = 3.0
"""Coarse structure is seen where it is more than so many times what noise gives."""

USUAL_SHARE = 0.05
"""And where it is at least this share of what is usual in the section: into the middle of a lumen
only the light of its wall is scattered, and that is smooth."""

NOISE_GAIN = 6.0
"""Variance of a second difference of noise over its variance: 1 + 4 + 1."""

SHARP_RATIO, SHARP_AT_UM = 0.14, 2.0
"""The usual ratio of nuclei in focus, and the pixel at which it was measured, µm; it grows with
the pixel."""

ALL_BLURRED = 0.45
"""A section below this share of it is out of focus as a whole."""

LEADING = ("nucleus", "autofluorescence", "marker")
"""Nuclei have one size in all tissue, so they tell best."""


@dataclass(frozen=True, slots=True)
class Focus:
    """Where a section is out of focus.

    Parameters
    ----------
    blurred : numpy.ndarray of bool, shape (h, w)
        Overview pixels that are blurrier than is usual in this section; none where pixels are too
        large to tell.
    everywhere : bool
        Whether nuclei all over the section are blurred, by what is usual for their size.
    """

    blurred: np.ndarray
    everywhere: bool


def find_focus(
    detail: Detail,
    noises: Mapping[str, float],
    inside: np.ndarray,
    hidden: np.ndarray,
    *,
    grid_um: float,
) -> Focus:
    """Look how sharp each place of a section is.

    Parameters
    ----------
    detail : Detail
        Of the section.
    noises : mapping of str to float
        Role to pixel noise at full resolution, raw counts.
    inside : numpy.ndarray of bool, shape (h, w)
        Where there is lung.
    hidden : numpy.ndarray of bool, shape (h, w)
        What lies in the light of debris, which is bright and smooth: its structure does not count.
    grid_um : float
        Pixel of the overview, µm.

    Returns
    -------
    Focus
    """
    blurred, everywhere = np.zeros(inside.shape, bool), False
    roles = [role for role in LEADING if role in detail.fine]
    if not _can_tell(detail) or not roles or not inside.any():
        return Focus(blurred, everywhere)
    for number, role in enumerate(roles):
        ratio = sharpness(detail, role, noises[role], inside, hidden, grid_um=grid_um)
        seen = inside & np.isfinite(ratio)
        if not seen.any():
            if number == 0:
                break
            continue
        usual = np.median(ratio[seen], overwrite_input=True)
        if role == "nucleus":
            sharp = SHARP_RATIO * max(detail.pixel_um / SHARP_AT_UM, 0.5)
            everywhere = float(usual) < ALL_BLURRED * sharp
        limit = BLURRED if number == 0 else ALSO_BLURRED
        limit = ALONE_BLURRED if len(roles) == 1 else limit
        low = seen & (ratio < limit * usual)
        blurred = low if number == 0 else blurred & (low | ~seen)
    return Focus(blurred, everywhere)


def sharpness(
    detail: Detail,
    role: str,
    noise: float,
    inside: np.ndarray,
    hidden: np.ndarray,
    *,
    grid_um: float,
) -> np.ndarray:
    """Fine over coarse structure (h, w), float32; NaN where coarse structure is not seen."""
    floor = NOISE_GAIN * (noise / detail.factor) ** 2
    sigma = WINDOW_UM / grid_um
    fine, coarse = each(
        lambda energy: np.asarray(ndimage.gaussian_filter(_without(energy, hidden), sigma)),
        (detail.fine[role], detail.coarse[role]),
    )
    usual = 0.0
    if inside.any():
        usual = float(np.median(coarse[inside], overwrite_input=True)) - floor
    # In place: each of these planes is as large as the overview of one channel.
    seen = coarse > ABOVE_NOISE * floor
    coarse -= floor
    seen &= coarse > USUAL_SHARE * max(usual, 0.0)
    coarse[~seen] = 1.0
    fine -= floor
    np.maximum(fine, 0.0, out=fine)
    fine /= coarse
    fine[~seen] = np.nan
    return fine


def _without(energy: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """None where it is hidden; averages are then those of what is around."""
    return np.where(hidden, np.float32(0.0), energy) if hidden.any() else energy


def _can_tell(detail: Detail) -> bool:
    return detail.pixel_um <= 4.0
