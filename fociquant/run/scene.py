"""One open image, and the objects found in it at any scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fociquant.io import SectionImage
from fociquant.model import ChannelStats, Unmixing
from fociquant.run.merging import merge
from fociquant.run.network_input import NetworkInput, ReadRoles
from fociquant.run.plan import lattice_for, read_roles
from fociquant.segment.contract import ModelInfo, Segmenter
from fociquant.segment.objects import decode_cell
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
    corrected : bool
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
    corrected: bool = True

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
        lattice = self.lattice(grid)
        seen = NetworkInput(self.reader(grid), lattice.image, self.stats, self.unmixing)
        field = FlowField(
            self.image.path.name, seen, lattice, seen.scales, self.segmenter,
            WindowCache(CACHE_BYTES), check=self.check,
        )  # fmt: skip
        smallest, look = smallest_px(self.segmenter.info), self._second_look()
        cells = [cell for block in lattice.blocks(1) for cell in block.cells]
        find: Callable[[Index], pd.DataFrame] = lambda cell: object_masks(  # noqa: E731
            field, lattice, cell, self.settings, smallest, look
        )
        with ThreadPoolExecutor(min(self.threads, len(cells))) as pool:
            return merge(list(pool.map(find, cells)), lattice)

    def estimate(self) -> tuple[float, pd.DataFrame, AnalysisGrid]:
        """Diameter from the objects themselves: the scale at which most area is found, refined."""
        native = self.segmenter.info.diameter_px
        best: tuple[float, pd.DataFrame, AnalysisGrid] | None = None
        for step in ESTIMATE_STEPS:
            grid = AnalysisGrid(self.image.shape[1:], step, step)
            objects = self.objects(grid)
            areas = self._areas_of_size(objects)
            if len(areas):
                found = equivalent_diameter(float(np.median(areas))) * step
                best = (found, objects, grid)
                break
        if best is None:
            grid = AnalysisGrid(self.image.shape[1:], 1.0, 1.0)
            return native, objects.iloc[:0], grid
        diameter, objects, grid = best
        better = self.grid(diameter)
        if better != grid:
            objects = self.objects(better)
        return diameter, objects, better

    def _areas_of_size(self, objects: pd.DataFrame) -> np.ndarray:
        """Areas in px of the analysis grid, micronuclei left out: they tell nothing of a scale."""
        areas = np.array([_area(bits) for bits in objects["mask_bits"]])
        return areas[areas >= smallest_px(self.segmenter.info)]

    def _second_look(self) -> SecondLook | None:
        """With one grey channel alone; two show cells, of which the trees know nothing."""
        if "nucleus" in self.roles or not self.corrected:
            return None
        return second_look_for(self.segmenter.info)

    def reader(self, grid: AnalysisGrid) -> ReadRoles:
        """Reads channels of the image on a grid."""
        return lambda box, roles: read_roles(self.image, grid, self.roles, box, roles)


def smallest_px(info: ModelInfo) -> int:
    """Smallest object that decoding keeps, px of the analysis grid."""
    return round(SMALLEST_SHARE * np.pi / 4.0 * info.diameter_px**2)


def _area(bits: bytes) -> int:
    return int(np.unpackbits(np.frombuffer(bits, np.uint8)).sum())


def object_masks(
    field: FlowField,
    lattice: Lattice,
    cell: Index,
    settings: SegmentSettings,
    smallest: int,
    second_look: SecondLook | None = None,
) -> pd.DataFrame:
    """The reported objects of one decode cell as masks, without measurements.

    Parameters
    ----------
    field : FlowField
    lattice : Lattice
    cell : (int, int)
    settings : SegmentSettings
    smallest : int
        Objects with fewer pixels of the analysis grid are dropped.
    second_look : SecondLook, optional
        Corrects the labels and finds what is smaller.

    Returns
    -------
    pandas.DataFrame
        ``label``, ``decode_cell`` and ``mask_*``, one row per object.
    """
    decoded = decode_cell(
        field, lattice, cell, settings=settings, min_area_px=smallest, second_look=second_look
    )
    rows = mask_columns(decoded.labels, decoded.reported, (decoded.region.y0, decoded.region.x0))
    rows["decode_cell"] = np.full(len(decoded.reported), lattice.cell_number(cell), np.int64)
    rows["label"] = decoded.reported.astype(np.int32)
    return pd.DataFrame(rows)
