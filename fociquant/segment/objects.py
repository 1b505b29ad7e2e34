"""From flows to the objects of one decode cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from fociquant.model import Box
from fociquant.segment.second_look import SecondLook
from fociquant.segment.windows import FlowField
from fociquant.settings import SegmentSettings
from fociquant.tiling import Lattice, reported_labels
from fociquant.tiling.lattice import Index
from fociquant.tiling.ownership import BAND_PX, integer_centres
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
    output : numpy.ndarray of float32, shape (3, …) of `region`
        The network's flows and cell logit.
    """

    region: Box
    labels: np.ndarray
    reported: np.ndarray
    output: np.ndarray

    @property
    def score(self) -> np.ndarray:
        """The network's cell logit, shape of `region`."""
        return np.asarray(self.output[2])


def min_area_px(settings: SegmentSettings, pixel_size: PixelSize) -> int:
    """Smallest object that is kept, in pixels of the analysis grid."""
    return max(1, round(settings.min_area_um2 / pixel_size.area_um2))


def decode_cell(
    field: FlowField,
    lattice: Lattice,
    cell: Index,
    *,
    settings: SegmentSettings,
    min_area_px: int,
    asked: Callable[[Box], bool] | None = None,
) -> DecodedCell:
    """Objects of one decode cell; depends on nothing but the section and the settings.

    Where objects are asked for at some places only, windows farther from these than the halo
    are not computed, unless a large object reaches the end of what is: what is reported is what
    the whole decode cell would show there.

    Parameters
    ----------
    field : FlowField
    lattice : Lattice
    cell : (int, int)
    settings : SegmentSettings
    min_area_px : int
        Smaller objects are dropped.
    asked : callable, optional
        Whether an object with its centre in a box (inside the core and the band around it, on the
        analysis grid) is wanted; default every one is.
    """
    region, core = lattice.cell_region(cell), lattice.cell_core(cell)
    windows = every = lattice.windows_over(region)
    if asked is not None and not settings.flow_threshold:
        # The flow check's outcome for one object depends on the others.
        windows = [window for window in every if _is_near(window, lattice, core, asked)]
    decoded = _decoded(field, region, core, windows, settings, min_area_px)
    if len(windows) < len(every) and _large_at_the_end(decoded.labels, region, windows, lattice):
        decoded = _decoded(field, region, core, every, settings, min_area_px)
    return decoded if asked is None else _asked_for(decoded, core, asked)


def _decoded(
    field: FlowField,
    region: Box,
    core: Box,
    windows: list[Index],
    settings: SegmentSettings,
    min_area_px: int,
) -> DecodedCell:
    from fociquant.segment.decode import decode  # torch: not before there is something to count

    output = field.over(region, windows)
    labels = decode(
        output,
        cellprob_threshold=settings.cellprob_threshold,
        flow_threshold=settings.flow_threshold,
        min_area_px=min_area_px,
        steps=settings.flow_steps,
    )
    return DecodedCell(region, labels, reported_labels(labels, region, core), output)


def corrected(decoded: DecodedCell, core: Box, look: SecondLook) -> DecodedCell:
    """The same decode cell after the second look.

    Parameters
    ----------
    decoded : DecodedCell
        With all its objects.
    core : Box
        Of the decode cell, on the analysis grid.
    look : SecondLook
    """
    labels = look(decoded.labels, decoded.output)
    return replace(decoded, labels=labels, reported=reported_labels(labels, decoded.region, core))


def _is_near(window: Index, lattice: Lattice, core: Box, asked: Callable[[Box], bool]) -> bool:
    """Whether a window can hold a pixel of an object that is asked for."""
    halo = lattice.decode_halo_px
    return asked(lattice.window_core(window).expand(halo).intersect(core.expand(BAND_PX)))


def _asked_for(decoded: DecodedCell, core: Box, asked: Callable[[Box], bool]) -> DecodedCell:
    """Only the reported objects whose centre is asked for."""
    region = decoded.region
    centres = integer_centres(decoded.labels) + np.array([region.y0, region.x0])
    wanted = [
        asked(Box(y, x, y + 1, x + 1).intersect(core.expand(BAND_PX)))
        for y, x in centres[decoded.reported - 1].tolist()
    ]
    return replace(decoded, reported=decoded.reported[np.array(wanted, bool)])


def _large_at_the_end(
    labels: np.ndarray, region: Box, windows: list[Index], lattice: Lattice
) -> bool:
    """Whether an object beside what was not computed is so large that it can be asked for.

    The end of what was computed is farther than the halo from every centre that is asked for.
    """
    unknown = np.ones(labels.shape, np.uint8)
    for window in windows:
        part = lattice.window_core(window).intersect(region)
        unknown[part.shift(-region.y0, -region.x0).slices] = 0
    beside = ndimage.maximum_filter(unknown, size=3, mode="nearest") > 0
    places = ndimage.find_objects(labels)
    spans = (
        max(side.stop - side.start for side in places[label - 1])
        for label in np.unique(labels[beside]).tolist()
        if label
    )
    return any(span >= lattice.decode_halo_px - BAND_PX for span in spans)
