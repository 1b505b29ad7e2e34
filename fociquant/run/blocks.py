"""One decode cell of a section: windows → flows → objects → measured rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fociquant.measure import measure_cells
from fociquant.model import Box, ChannelStats, Unmixing
from fociquant.run.network_input import NetworkInput
from fociquant.run.plan import SectionPlan
from fociquant.run.screening import SLACK_PX, Places
from fociquant.segment.contract import Segmenter
from fociquant.segment.objects import decode_cell, min_area_px
from fociquant.segment.windows import FlowField, WindowCache
from fociquant.settings import Settings
from fociquant.store.labels import mask_columns
from fociquant.tiling.lattice import Index
from fociquant.units import PixelSize

SCORE = "score"
"""Role of the network's cell logit among the measured planes."""

Stats = Mapping[str, ChannelStats]
"""Per role."""


def flow_field(
    plan: SectionPlan,
    stats: Stats,
    unmixing: Unmixing | None,
    segmenter: Segmenter,
    cache: WindowCache,
    *,
    check: Callable[[], None],
) -> FlowField:
    """The network's output over a section, computed where it is asked for.

    `check` is called before every piece of work and raises if the run is to end.
    """
    seen = NetworkInput(plan.read, plan.lattice.image, stats, unmixing)
    # A cache may outlive the settings of one run.
    name = plan.keys.cells
    return FlowField(name, seen, plan.lattice, seen.scales, segmenter, cache, check=check)


def count_cell(
    plan: SectionPlan,
    stats: Stats,
    field: FlowField,
    cell: Index,
    settings: Settings,
    *,
    places: Places | None = None,
) -> pd.DataFrame:
    """Measured objects of one decode cell, one row each, before duplicates are resolved.

    Parameters
    ----------
    plan : SectionPlan
    stats : mapping of str to ChannelStats
        Per role.
    field : FlowField
    cell : (int, int)
    settings : Settings
    places : Places, optional
        Only objects near these are reported; default all.

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`fociquant.measure.measure_cells`, ``decode_cell`` and the
        object's mask (``mask_y0, mask_x0, mask_height, mask_width``, px on the analysis
        grid, and ``mask_bits``).
    """
    smallest = min_area_px(settings.segment, plan.analysis_pixel)
    asked = None if places is None else partial(_are_near, places)
    decoded = decode_cell(
        field, plan.lattice, cell, settings=settings.segment, min_area_px=smallest, asked=asked
    )
    region, labels = decoded.region, decoded.labels
    roles = tuple(plan.roles)
    planes = dict.fromkeys((*roles, SCORE), np.zeros(labels.shape, np.float32))
    if len(decoded.reported):
        planes = dict(zip(roles, plan.read(region, roles), strict=True))
        planes[SCORE] = decoded.score
    rows = measure_cells(
        labels,
        decoded.reported,
        planes,
        origin_px=(region.y0, region.x0),
        pixel_size=plan.analysis_pixel,
        image_shape=plan.lattice.shape,
        saturation={role: stats[role].saturation for role in roles},
        settings=settings.measure,
        plain=(SCORE,),
    )
    masks = mask_columns(labels, decoded.reported, (region.y0, region.x0))
    return _with_place(rows, plan.lattice.cell_number(cell), masks)


def _are_near(places: Places, box: Box) -> bool:
    """Whether objects with their centre in a box may be counted, or settle which one is."""
    return bool(box.area) and places.meet(box.expand(SLACK_PX))


def no_rows(roles: Mapping[str, int], pixel_size: PixelSize, settings: Settings) -> pd.DataFrame:
    """The table of a section in which nothing had to be counted: all columns, no row."""
    labels, nobody = np.zeros((1, 1), np.int32), np.empty(0, np.int64)
    rows = measure_cells(
        labels,
        nobody,
        dict.fromkeys((*roles, SCORE), np.zeros(labels.shape, np.float32)),
        origin_px=(0, 0),
        pixel_size=pixel_size,
        image_shape=labels.shape,
        saturation=dict.fromkeys(roles, np.inf),
        settings=settings.measure,
        plain=(SCORE,),
    )
    return _with_place(rows, 0, mask_columns(labels, nobody, (0, 0)))


def _with_place(rows: pd.DataFrame, cell: int, masks: Mapping[str, Any]) -> pd.DataFrame:
    rows["decode_cell"] = np.int64(cell)
    return rows.assign(**masks)
