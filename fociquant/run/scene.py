"""One open image, and the objects found in it at any scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from fociquant.io import SectionImage
from fociquant.model import ChannelStats, Unmixing
from fociquant.run.merging import merge
from fociquant.run.network_input import NetworkInput, ReadRoles
from fociquant.run.plan import lattice_for, read_roles
from fociquant.segment.contract import ModelInfo, Segmenter
from fociquant.segment.objects import corrected, decode_cell
from fociquant.segment.second_look import SecondLook, second_look_for
from fociquant.segment.windows import FlowField, WindowCache
from fociquant.settings import SegmentSettings
from fociquant.store.labels import mask_columns
from fociquant.tiling import AnalysisGrid, Lattice
from fociquant.tiling.lattice import Index
from fociquant.units import equivalent_diameter

SMALLEST_SHARE = 0.066
"""Objects below this share of the area that the network expects are noise (the same images:
0.830 with it, 0.820 with 0.03; no difference on BBBC039)."""

NATIVE_BAND = (0.58, 1.8)
"""Objects within these factors of the network's diameter are segmented at the image's own
resolution: sharper outlines, at some cost in time (on 20 BBBC039 fields of 28-px nuclei mean AP
0.771 instead of 0.752)."""

RESAMPLED_SHARE = 1.17
"""Others are brought to this share of the network's diameter (56 held-out DSB2018 images: AP at
IoU 0.5 0.844 with it, 0.841 with the whole diameter, 0.833 with 0.83, 0.845 with 1.4)."""

ESTIMATE_STEPS = (1.0, 2.0, 0.5)
"""Scales at which objects are looked for when the diameter is unknown, image px per network px."""

CACHE_BYTES = 128 * 2**20
"""Network output kept for neighbouring decode cells."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One open image and how to find objects in it at any scale.

    Parameters
    ----------
    image : SectionImage
    roles : mapping of str to int
        ``marker`` and perhaps ``nucleus`` and ``autofluorescence``: their channels.
    stats : mapping of str to ChannelStats
        Intensity facts of these roles.
    unmixing : Unmixing or None
        What is taken off the marker.
    settings : SegmentSettings
    segmenter : Segmenter
    threads : int
        Decode cells computed at once.
    check : callable
        Called before every piece of work; raises to end it soon.
    look_again : bool
        Whether the second look at nuclei is taken, where there is one for the network.
    """

    image: SectionImage
    roles: Mapping[str, int]
    stats: Mapping[str, ChannelStats]
    unmixing: Unmixing | None
    settings: SegmentSettings
    segmenter: Segmenter
    threads: int
    check: Callable[[], None]
    look_again: bool = True

    def grid(self, diameter_px: float) -> AnalysisGrid:
        """The grid on which objects of this diameter, px of the image, suit the network."""
        return AnalysisGrid.for_diameter(
            self.image.shape[1:],
            diameter_px=(diameter_px, diameter_px),
            wanted_px=self.segmenter.info.diameter_px,
            native_band=NATIVE_BAND,
            resampled_share=RESAMPLED_SHARE,
        )

    def lattice(self, grid: AnalysisGrid) -> Lattice:
        """The network's windows and the decode cells on a grid."""
        return lattice_for(grid, self.segmenter.info)

    def objects(self, grid: AnalysisGrid) -> pd.DataFrame:
        """Masks of all objects, numbered in ``cell``."""
        return self._found(grid).objects

    def _found(self, grid: AnalysisGrid) -> Found:
        lattice = self.lattice(grid)
        seen = NetworkInput(self.reader(grid), lattice.image, self.stats, self.unmixing)
        field = FlowField(
            self.image.path.name, seen, lattice, seen.scales, self.segmenter,
            WindowCache(CACHE_BYTES), check=self.check,
        )  # fmt: skip
        smallest, look = smallest_px(self.segmenter.info), self._second_look()
        cells = [cell for block in lattice.blocks(1) for cell in block.cells]
        find: Callable[[Index], Found] = lambda cell: objects_of_cell(  # noqa: E731
            field, lattice, cell, self.settings, smallest, look
        )
        with ThreadPoolExecutor(min(self.threads, len(cells))) as pool:
            parts = list(pool.map(find, cells))
        areas = np.concatenate([part.decoded_px for part in parts])
        return Found(merge([part.objects for part in parts], lattice), areas)

    def estimate(self) -> tuple[float, pd.DataFrame, AnalysisGrid]:
        """Diameter from the objects themselves: the scale at which most area is found, refined."""
        for step in ESTIMATE_STEPS:
            grid = AnalysisGrid(self.image.shape[1:], step, step)
            found = self._found(grid)
            if len(found.decoded_px):
                break
        else:
            grid = AnalysisGrid(self.image.shape[1:], 1.0, 1.0)
            return self.segmenter.info.diameter_px, found.objects.iloc[:0], grid
        diameter = equivalent_diameter(float(np.median(found.decoded_px))) * step
        better = self.grid(diameter)
        if better != grid:
            return diameter, self.objects(better), better
        return diameter, found.objects, grid

    def _second_look(self) -> SecondLook | None:
        """With one grey channel alone; two show cells, of which the trees know nothing."""
        if "nucleus" in self.roles or not self.look_again:
            return None
        return second_look_for(self.segmenter.info)

    def reader(self, grid: AnalysisGrid) -> ReadRoles:
        """Reads channels of the image on a grid."""
        return lambda box, roles: read_roles(self.image, grid, self.roles, box, roles)


def smallest_px(info: ModelInfo) -> int:
    """Smallest object that decoding keeps, px of the analysis grid."""
    return round(SMALLEST_SHARE * np.pi / 4.0 * info.diameter_px**2)


class Found(NamedTuple):
    """Objects of an image or of one decode cell.

    Parameters
    ----------
    objects : pandas.DataFrame
        One row per object with its mask.
    decoded_px : numpy.ndarray of int64
        Areas of what decoding reported, before the second look: of these the typical diameter is
        made. Trees were fitted at that scale, and micronuclei tell nothing of one.
    """

    objects: pd.DataFrame
    decoded_px: np.ndarray


def objects_of_cell(
    field: FlowField,
    lattice: Lattice,
    cell: Index,
    settings: SegmentSettings,
    smallest: int,
    look: SecondLook | None,
) -> Found:
    """The reported objects of one decode cell as masks, without measurements.

    Parameters
    ----------
    field : FlowField
    lattice : Lattice
    cell : (int, int)
    settings : SegmentSettings
    smallest : int
        Objects with fewer pixels of the analysis grid are dropped.
    look : SecondLook or None
        Corrects the labels and finds what is smaller.

    Returns
    -------
    Found
        With ``label``, ``decode_cell`` and ``mask_*``.
    """
    decoded = decode_cell(field, lattice, cell, settings=settings, min_area_px=smallest)
    areas = np.bincount(decoded.labels.reshape(-1))[decoded.reported]
    if look is not None:
        decoded = corrected(decoded, lattice.cell_core(cell), look)
    rows = mask_columns(decoded.labels, decoded.reported, (decoded.region.y0, decoded.region.x0))
    rows["decode_cell"] = np.full(len(decoded.reported), lattice.cell_number(cell), np.int64)
    rows["label"] = decoded.reported.astype(np.int32)
    return Found(pd.DataFrame(rows), areas)
