"""Whether a picture repeats its content: no tissue does, made-up slides do.

Slides put together of copies of one scene, mirrored or not, have a period that a search for
camera fields finds. Light of a lens is smooth; what repeats with all its detail is no light.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Turn:
    """A way to lay a picture over itself.

    The spectrum of a mirrored picture is its own, read from the end of an axis, but for a shift:
    as all shifts are looked at, none is transformed again.

    Parameters
    ----------
    rows, columns : bool
        Whether that axis is mirrored.
    """

    rows: bool
    columns: bool

    @property
    def itself(self) -> bool:
        """Neither is: without a shift it is the picture."""
        return not (self.rows or self.columns)

    def product(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Spectrum of the correlation of one part (its spectrum) with the other, turned."""
        if self.rows != self.columns:
            other = _from_the_end(other, 0)
        return np.multiply(one, other if self.columns else np.conj(other))

    def seen_from_the_copy(self, correlation: np.ndarray) -> np.ndarray:
        """The correlation of the other part with the one, turned, from that of one and other."""
        for axis, mirrored in enumerate((self.rows, self.columns)):
            if not mirrored:
                correlation = _from_the_end(correlation, axis)
        return correlation


TURNS = tuple(Turn(rows, columns) for rows in (False, True) for columns in (False, True))


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
    spectra = each(lambda part: rfft2(part, shape), parts)
    return any(_found_again(spectra, shape, turn) for turn in TURNS)


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


def _found_again(spectra: list[np.ndarray], shape: tuple[int, ...], turn: Turn) -> bool:
    """Whether the picture is like a copy of it, turned and shifted by any distance."""
    cross, own, shared = each(
        lambda pair: irfft2(turn.product(spectra[pair[0]], spectra[pair[1]]), shape),
        ((0, 0), (1, 2), (2, 2)),
    )
    enough = shared > max(OVERLAP * shared.max(), 1.0)
    if turn.itself:
        y, x = (np.minimum(np.arange(n), n - np.arange(n)) < APART_PX for n in shape)
        enough &= ~(y[:, None] & x)
    if not enough.any():
        return False
    # Squares of the copy where the picture is known are those of the picture seen from the copy.
    own *= turn.seen_from_the_copy(own)
    asked = np.maximum(ALIKE, SURE / np.sqrt(np.maximum(shared, 1.0)))
    return bool(np.any(enough & (cross > asked * np.sqrt(np.maximum(own, 1e-12)))))


def _from_the_end(values: np.ndarray, axis: int) -> np.ndarray:
    """Element -n of a periodic axis instead of n."""
    return np.roll(np.flip(values, axis), 1, axis)
