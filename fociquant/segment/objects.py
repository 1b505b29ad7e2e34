"""From flows to the objects of one decode cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fociquant.model import Box
from fociquant.segment.windows import FlowField
from fociquant.settings import SegmentSettings
from fociquant.tiling import Lattice, reported_labels
from fociquant.tiling.lattice import Index
from fociquant.units import PixelSize


@dataclass(frozen=True, slots=True)
class DecodedCell:
    """Objects found in one decode cell.

    Parameters
    ----------
    region : Box
        Core and halo, on the analysis grid.
    labels : numpy.ndarray of int32, shape of `region`
        Every object seen, those of the neighbours too.
    reported : numpy.ndarray of int64
        Labels whose centre lies in the core or the band around it, increasing.
    score : numpy.ndarray of float32, shape of `region`
        The network's cell logit.
    """

    region: Box
    labels: np.ndarray
    reported: np.ndarray
    score: np.ndarray


def min_area_px(settings: SegmentSettings, pixel_size: PixelSize) -> int:
    """Smallest object that is kept, in pixels of the analysis grid."""
    return max(1, round(settings.min_area_um2 / pixel_size.area_um2))


def decode_cell(
    field: FlowField, lattice: Lattice, cell: Index, *, settings: SegmentSettings, min_area_px: int
) -> DecodedCell:
    """Objects of one decode cell; depends on nothing but the section and the settings.

    Parameters
    ----------
    field : FlowField
    lattice : Lattice
    cell : (int, int)
    settings : SegmentSettings
    min_area_px : int
        Smaller objects are dropped.
    """
    from fociquant.segment.decode import decode  # torch: not before there is something to count

    region = lattice.cell_region(cell)
    output = field.over(region)
    labels = decode(
        output,
        cellprob_threshold=settings.cellprob_threshold,
        flow_threshold=settings.flow_threshold,
        min_area_px=min_area_px,
        steps=settings.flow_steps,
    )
    reported = reported_labels(labels, region, lattice.cell_core(cell))
    return DecodedCell(region, labels, reported, output[2])
