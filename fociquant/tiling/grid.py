"""The analysis grid: the resolution at which objects have the size the network likes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from fociquant.model import Box
from fociquant.units import PixelSize

NATIVE_BAND = (0.8, 1.25)
"""Within this factor of the ideal scale pixels are taken as they are: resampling blurs."""


@dataclass(frozen=True, slots=True)
class AnalysisGrid:
    """How pixels of the image become pixels of the analysis.

    Both grids begin at the top-left corner of the image. Analysis pixel ``i`` covers
    image coordinates ``i * step`` to ``(i + 1) * step``.

    Parameters
    ----------
    image_shape : (int, int)
        Height and width of the image, px.
    step_y, step_x : float
        Image pixels per analysis pixel along each axis; 1 is native.
    """

    image_shape: tuple[int, int]
    step_y: float
    step_x: float

    @classmethod
    def for_diameter(
        cls,
        image_shape: tuple[int, int],
        *,
        diameter_px: tuple[float, float],
        wanted_px: float,
        native_band: tuple[float, float] = NATIVE_BAND,
        resampled_share: float = 1.0,
    ) -> AnalysisGrid:
        """The grid on which objects of `diameter_px` (along y and x) get the diameter `wanted_px`.

        Native where `wanted_px` is met within `native_band` along both axes; else resampled
        to `resampled_share` of it.
        """
        steps = [diameter / wanted_px for diameter in diameter_px]
        low, high = native_band
        if all(low <= step <= high for step in steps):
            return cls(image_shape, 1.0, 1.0)
        return cls(image_shape, steps[0] / resampled_share, steps[1] / resampled_share)

    @property
    def native(self) -> bool:
        """Whether image pixels are used as they are."""
        return self.step_y == 1.0 and self.step_x == 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the analysis grid, px; at least 1 where the image has any pixel."""
        height, width = self.image_shape
        if not height or not width:
            return 0, 0
        return max(1, round(height / self.step_y)), max(1, round(width / self.step_x))

    def pixel_size(self, image_pixel: PixelSize) -> PixelSize:
        """Size of an analysis pixel, µm."""
        return image_pixel.scaled(self.step_y, self.step_x)

    def source_box(self, box: Box) -> Box:
        """Image pixels that the analysis pixels of `box` depend on, inside the image."""
        pad_y, pad_x = (0 if self.native else 1 + int(step < 1.0) for step in self._steps)
        wanted = Box(
            int(np.floor(box.y0 * self.step_y)) - pad_y,
            int(np.floor(box.x0 * self.step_x)) - pad_x,
            int(np.ceil(box.y1 * self.step_y)) + pad_y,
            int(np.ceil(box.x1 * self.step_x)) + pad_x,
        )
        return wanted.intersect(Box.of_shape(self.image_shape))

    def resample(self, planes: np.ndarray, source: Box, box: Box) -> np.ndarray:
        """Image pixels to analysis pixels.

        Parameters
        ----------
        planes : numpy.ndarray, shape (C, h, w)
            The image pixels of `source`.
        source : Box
            As :meth:`source_box` gives it for `box`.
        box : Box
            Wanted analysis pixels, inside the grid.

        Returns
        -------
        numpy.ndarray of float32, shape (C, box height, box width)
            Area averages where pixels get larger, linear interpolation where they get smaller.
        """
        if self.native:
            with np.errstate(over="ignore"):  # float64 files may hold more than float32 can
                return planes.astype(np.float32)
        rows = _weights(box.y0, box.y1, self.step_y, source.y0, source.y1)
        columns = _weights(box.x0, box.x1, self.step_x, source.x0, source.x1)
        out = np.empty((len(planes), *box.shape), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            for index, plane in enumerate(planes):
                out[index] = (columns @ (rows @ plane.astype(np.float64)).T).T
        return out

    @property
    def _steps(self) -> tuple[float, float]:
        return self.step_y, self.step_x


def _weights(first: int, last: int, step: float, begin: int, end: int) -> sparse.csr_matrix:
    """Rows: analysis pixels first … last; columns: image pixels begin … end; each row sums to 1.

    The weight is the overlap of the image pixel with the analysis pixel, which is
    widened to one image pixel where it is narrower (then this is linear interpolation).
    """
    centres = (np.arange(first, last) + 0.5) * step
    half = max(step, 1.0) / 2.0
    reach = int(np.ceil(half)) + 1
    nearest = np.floor(centres).astype(np.int64)
    columns = nearest[:, None] + np.arange(-reach, reach + 1)[None, :]
    overlap = np.minimum(columns + 1.0, (centres + half)[:, None])
    overlap -= np.maximum(columns, (centres - half)[:, None])
    overlap = np.clip(overlap, 0.0, None)
    overlap[(columns < begin) | (columns >= end)] = 0.0
    total = overlap.sum(axis=1, keepdims=True)
    overlap = np.divide(overlap, total, out=np.zeros_like(overlap), where=total > 0)
    rows = np.broadcast_to(np.arange(last - first)[:, None], columns.shape)
    keep = overlap > 0
    shape = (last - first, end - begin)
    return sparse.csr_matrix((overlap[keep], (rows[keep], columns[keep] - begin)), shape=shape)
