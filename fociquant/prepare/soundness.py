"""Whether reduced levels of a file hold what averaging would give.

Some scanners write zeros there for fluorescence, others every n-th pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fociquant.model import Box
from fociquant.prepare.sampling import TILE_PX, lattice
from fociquant.prepare.threads import each

if TYPE_CHECKING:
    from fociquant.prepare.overview import PixelReader

PROBE_TILES = 24
"""Tiles at which a reduced level is compared with the full resolution."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    """How one channel of a level differs from means of the full resolution.

    Parameters
    ----------
    empty : bool
        Constant in a tile where the full resolution varies.
    error, within : float
        Sums over pixels that show anything: squared difference from the means, and variance
        under each mean.
    seen : int
        Their number.
    """

    empty: bool
    error: float
    within: float
    seen: int


LOOK_PX, LOOKS = 512, 4
"""Side of what is looked at where a reduced level lacks a piece, px, and how often in a piece."""


class ProbedReader:
    """A reader that remembers what its reduced levels were found to hold.

    Parameters
    ----------
    reader : PixelReader
    forget : callable
        Lets go of the pixels that the reader keeps; to be called between passes.
    """

    def __init__(self, reader: PixelReader, forget: Callable[[], None] = lambda: None) -> None:
        self._reader, self.forget = reader, forget
        self._found: dict[tuple[int, int], _Evidence] = {}
        self._lacking: dict[tuple[int, int], bool] = {}

    @property
    def levels(self) -> Sequence[Any]:
        """See :class:`fociquant.prepare.overview.PixelReader`."""
        return self._reader.levels

    def read(self, box: Box, channels: Sequence[int], level: int = 0) -> np.ndarray:
        """See :class:`fociquant.prepare.overview.PixelReader`."""
        return self._reader.read(box, channels, level)

    def is_sound(self, channels: Sequence[int], level: int, reduction: int) -> bool:
        """Whether a level holds means of the full resolution, in every channel that shows anything.

        The difference from the mean is compared with the standard deviation inside the
        blocks: picking one pixel per block differs by about that, averaging by far less.

        Parameters
        ----------
        channels : sequence of int
        level : int
            Not the first.
        reduction : int
            Full-resolution pixels along one pixel of it.
        """
        if self._lacks_pieces(channels, level, reduction):
            return False
        missing = [channel for channel in channels if (level, channel) not in self._found]
        if missing:
            found = self._probe(missing, level, reduction)
            self._found |= {(level, channel): one for channel, one in found.items()}
        all_found = [self._found[level, channel] for channel in channels]
        if any(one.empty for one in all_found):
            return False
        integer = np.dtype(self.levels[0].dtype).kind in "iub"
        # Cutting decimals at every halving loses up to half a count each time.
        rounding = (0.5 + 0.5 * math.log2(reduction)) ** 2 if integer else 0.0
        return any(one.seen for one in all_found) and all(
            one.error <= 0.25 * one.within + rounding * one.seen for one in all_found
        )

    def _lacks_pieces(self, channels: Sequence[int], level: int, reduction: int) -> bool:
        """Whether the file lacks pieces of a level that full-resolution pixels lie under.

        They would be read as zeros, and may lie between the tiles that are compared.
        """
        outlines = getattr(self._reader, "level_outlines", None) or self.levels
        lacking = getattr(outlines[level], "lacking_pieces", None)
        if lacking is None:
            return False
        for channel in channels:
            if (level, channel) not in self._lacking:
                boxes = lacking(channel)
                looks = [look for box in boxes for look in _looks(box, reduction)]
                # Where all are smaller than a pixel of the level, nothing tells.
                self._lacking[level, channel] = bool(boxes) and (
                    not looks or any(self._shows(look, channel, reduction) for look in looks)
                )
        return any(self._lacking[level, channel] for channel in channels)

    def _shows(self, look: Box, channel: int, reduction: int) -> bool:
        """Whether full-resolution pixels are such that a reduced level of them is not all 0."""
        fine = np.nan_to_num(_nan_for_infinite(self.read(look, [channel], 0)[0]))
        height, width = (side // reduction for side in look.shape)
        blocks = fine.reshape(height, reduction, width, reduction)
        lost = lost_by_rounding(self.levels[0].dtype, reduction)
        return bool(np.abs(blocks.mean(axis=(1, 3), dtype=np.float64)).max() > lost)

    def _probe(self, channels: list[int], level: int, reduction: int) -> dict[int, _Evidence]:
        edge = reduction * max(TILE_PX // reduction, 1)
        height, width = (size // reduction * reduction for size in self.levels[0].shape[1:])
        tiles = each(
            lambda box: self._compare(box, channels, level, reduction),
            lattice((height, width), PROBE_TILES, edge),
        )
        total = np.zeros((4, len(channels)))
        for tile in tiles:  # added in their order, whichever was read first
            total += tile
        return {
            channel: _Evidence(bool(empty), float(error), float(within), int(seen))
            for channel, (empty, error, within, seen) in zip(channels, total.T, strict=True)
        }

    def _compare(self, box: Box, channels: list[int], level: int, reduction: int) -> np.ndarray:
        """Of one tile, the four numbers of an :class:`_Evidence`, float64 (4, channels)."""
        fine = _nan_for_infinite(self.read(box, channels, 0))
        small = Box(*(side // reduction for side in (box.y0, box.x0, box.y1, box.x1)))
        coarse = _nan_for_infinite(self.read(small, channels, level))
        blocks = fine.reshape(len(channels), small.shape[0], reduction, small.shape[1], reduction)
        means, variances = blocks.mean(axis=(2, 4)), blocks.var(axis=(2, 4))
        usable = np.isfinite(means) & np.isfinite(coarse)
        shown = np.ptp(np.where(np.isfinite(fine), fine, 0.0), axis=(1, 2)) > 0
        return np.stack(
            [
                _only_coarse_is_constant(means, coarse, usable),
                shown * np.where(usable, (coarse - means) ** 2, 0.0).sum(axis=(1, 2)),
                shown * np.where(usable, variances, 0.0).sum(axis=(1, 2)),
                shown * usable.sum(axis=(1, 2)),
            ]
        )


def _looks(box: Box, reduction: int) -> list[Box]:
    """Where to look in a stored piece, in whole pixels of a reduced level: all of a small one."""
    y0, x0 = (-(-side // reduction) * reduction for side in (box.y0, box.x0))
    height, width = (
        (end - start) // reduction * reduction for start, end in ((y0, box.y1), (x0, box.x1))
    )
    if height <= 0 or width <= 0:
        return []
    edge = reduction * max(LOOK_PX // reduction, 1)
    return [look.shift(y0, x0) for look in lattice((height, width), LOOKS, edge)]


def lost_by_rounding(dtype: np.dtype, reduction: int) -> float:
    """What a mean over so many whole counts can have lost in a reduced level, counts.

    Cutting decimals at every halving loses up to a count each time.
    """
    return math.log2(reduction) if np.dtype(dtype).kind in "iub" else 0.0


def _nan_for_infinite(pixels: np.ndarray) -> np.ndarray:
    values = pixels.astype(np.float64)
    return values if pixels.dtype.kind in "iub" else np.where(np.isfinite(values), values, np.nan)


def _only_coarse_is_constant(
    means: np.ndarray, coarse: np.ndarray, usable: np.ndarray
) -> np.ndarray:
    """Per channel: whether it varies at full resolution but not in the reduced tile."""
    return np.array(
        [
            bool(ok.any()) and np.ptp(mean[ok]) > 1.0 and np.ptp(value[ok]) == 0
            for mean, value, ok in zip(means, coarse, usable, strict=True)
        ]
    )
