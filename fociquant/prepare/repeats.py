"""Whether a picture repeats its content: no tissue does, made-up slides do.

Slides put together of copies of one scene, mirrored or not, have a period that a search for
camera fields finds. Light of a lens is smooth; what repeats with all its detail is no light.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import uniform_filter

from fociquant.prepare.threads import each

DETAIL_PX = 7
"""Only what differs from the mean over so many pixels is compared: the light of a field of twelve
pixels and more is gone."""

CUT_SPREADS = 3.0
"""Detail beyond so many robust standard deviations is cut."""

MOST_PX = 1024
"""Larger pictures are averaged down to this edge first."""

APART_PX = 10
"""Smaller shifts say how smooth the detail is, not that it repeats."""

OVERLAP = 0.1
"""Share of the picture that has to lie over its copy."""

ALIKE = 0.5
"""Correlation from which on it is a copy; copies shifted by half a pixel reach 0.6."""

SURE = 20.0
"""Over few pixels more is asked for: this, over the square root of their number. Detail is alike
over some nine pixels, so these are six standard deviations, more than thousands of shifts give."""


def repeats_itself(plane: np.ndarray, outline: np.ndarray) -> bool:
    """Whether the detail of a picture is found again at another place, mirrored or not.

    Parameters
    ----------
    plane : numpy.ndarray of float, shape (h, w)
        Finite.
    outline : numpy.ndarray of bool, shape (h, w)
        Where to look.
    """
    n = -(-max(plane.shape) // MOST_PX)
    detail, known = _detail(_averaged(plane, n), _averaged(outline, n) == 1.0)
    if not known.any():
        return False
    shape = tuple(next_fast_len(2 * size, real=True) for size in detail.shape)
    # Of the picture, of its squares, and of where they are known.
    parts = (detail, detail**2, known.astype(np.float32))
    fixed = each(lambda part: rfft2(part, shape), parts)
    for rows in (1, -1):
        for columns in (1, -1):
            turned = [part[::rows, ::columns] for part in parts]
            moved = each(lambda part: rfft2(part, shape), turned)
            if _found_again(fixed, moved, shape, itself=rows == columns == 1):
                return True
    return False


def _averaged(plane: np.ndarray, n: int) -> np.ndarray:
    if n == 1:
        return np.asarray(plane, np.float32)
    h, w = (size // n for size in plane.shape)
    blocks = plane[: h * n, : w * n].reshape(h, n, w, n)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def _detail(plane: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is finer than light, 0 where it is not known; and where it is known."""
    known = uniform_filter(inside.astype(np.float32), DETAIL_PX, mode="constant") > 0.999
    fine = plane - uniform_filter(plane, DETAIL_PX, mode="nearest")
    if known.any():
        limit = CUT_SPREADS * 1.4826 * float(np.median(np.abs(fine[known])))
        fine = np.clip(fine, -limit, limit)
    return np.where(known, fine, np.float32(0.0)), known


def _found_again(
    fixed: list[np.ndarray], moved: list[np.ndarray], shape: tuple[int, ...], *, itself: bool
) -> bool:
    """Whether the picture is like a shifted copy of it at any shift."""
    cross, own, other, shared = each(
        lambda pair: irfft2(fixed[pair[0]] * np.conj(moved[pair[1]]), shape),
        ((0, 0), (1, 2), (2, 1), (2, 2)),
    )
    enough = shared > max(OVERLAP * shared.max(), 1.0)
    if itself:
        y, x = (np.minimum(np.arange(n), n - np.arange(n)) < APART_PX for n in shape)
        enough &= ~(y[:, None] & x)
    asked = np.maximum(ALIKE, SURE / np.sqrt(np.maximum(shared, 1.0)))
    return bool(np.any(enough & (cross > asked * np.sqrt(np.maximum(own * other, 1e-12)))))
