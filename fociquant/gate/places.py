"""Where in the section objects lie: on the lung, in an artefact, in the region that is counted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fociquant.model import SectionFacts
from fociquant.settings import GateSettings
from fociquant.units import PixelSize


def in_artefact(objects: pd.DataFrame, facts: SectionFacts) -> np.ndarray:
    """Whether the centre lies in a masked artefact."""
    return _mask_at(objects, facts.artefact, facts.overview_px, outside=False)


def outside_region(objects: pd.DataFrame, facts: SectionFacts) -> np.ndarray:
    """Whether the centre lies on a part of the slide that is another section."""
    if facts.region is None:
        return np.zeros(len(objects), bool)
    return ~_mask_at(objects, facts.region, facts.overview_px, outside=False)


def off_tissue(objects: pd.DataFrame, facts: SectionFacts, settings: GateSettings) -> np.ndarray:
    """Whether the centre lies outside the lung; nothing does where no lung was found at all."""
    off = np.zeros(len(objects), bool)
    outline, pixel = facts.outline, facts.overview_px
    if not outline.any():
        return off
    places = places_on(outline, objects, pixel)
    outside = ~outline[places[:, 0], places[:, 1]]
    off[outside] = ~is_near(outline, places[outside], settings.tissue_reach_um, pixel)
    return off


def is_near(mask: np.ndarray, places: np.ndarray, um: float, pixel: PixelSize) -> np.ndarray:
    """Whether the mask has a pixel at most so far from each place, between pixel centres.

    The same as by distances of the whole mask, of which only few are asked for.
    """
    reach_y, reach_x = (min(int(um / edge), size) for edge, size in
                        zip((pixel.y, pixel.x), mask.shape, strict=True))  # fmt: skip
    padded = np.pad(mask, ((reach_y, reach_y), (reach_x, reach_x)))
    dy, dx = np.mgrid[-reach_y : reach_y + 1, -reach_x : reach_x + 1]
    disc = np.sqrt((dy * pixel.y) ** 2 + (dx * pixel.x) ** 2) <= um
    near = np.zeros(len(places), bool)
    for y, x in zip(*np.nonzero(disc), strict=True):
        near |= padded[places[:, 0] + y, places[:, 1] + x]
    return near


def _mask_at(
    objects: pd.DataFrame, mask: np.ndarray, pixel: PixelSize, *, outside: bool
) -> np.ndarray:
    """The mask's value under every object's centre; `outside` beyond the mask."""
    if not len(objects) or not mask.size:
        return np.full(len(objects), outside)
    places = places_on(mask, objects, pixel)
    return np.asarray(mask[places[:, 0], places[:, 1]])


def places_on(mask: np.ndarray, objects: pd.DataFrame, pixel: PixelSize) -> np.ndarray:
    """Row and column of the mask's pixel under every object's centre, int64 (n, 2)."""
    places = np.floor(pixel.to_px(objects[["y_um", "x_um"]].to_numpy())).astype(np.int64)
    # The overview may be a fraction of a pixel smaller than the image.
    return np.asarray(np.clip(places, 0, np.array(mask.shape) - 1))
