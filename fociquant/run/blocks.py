"""One block of a section: windows → flows → objects → measured rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from fociquant.measure import measure_cells
from fociquant.model import SectionFacts
from fociquant.run.plan import SectionPlan
from fociquant.segment.contract import Segmenter
from fociquant.segment.objects import decode_cell, min_area_px
from fociquant.segment.windows import FlowField, WindowCache
from fociquant.settings import Settings
from fociquant.store.labels import mask_columns
from fociquant.tiling import Block
from fociquant.tiling.lattice import Index

SCORE = "score"
"""Role of the network's cell logit among the measured planes."""

NETWORK_ROLES = ("marker", "nucleus")


def flow_field(
    plan: SectionPlan,
    facts: SectionFacts,
    segmenter: Segmenter,
    cache: WindowCache,
    *,
    check: Callable[[], None],
) -> FlowField:
    """The network's output over a section, computed where it is asked for.

    `check` is called before every piece of work and raises if the run is to end.
    """
    scales = [
        (facts.stats[role].low, facts.stats[role].high) if role in facts.stats else None
        for role in NETWORK_ROLES
    ]
    return FlowField(
        plan.section.name,
        lambda box: plan.read(box, NETWORK_ROLES),
        plan.lattice,
        scales,
        segmenter,
        cache,
        check=check,
    )


def count_block(
    plan: SectionPlan, facts: SectionFacts, field: FlowField, block: Block, settings: Settings
) -> pd.DataFrame:
    """Measured objects of one block, one row each, before duplicates are resolved.

    Parameters
    ----------
    plan : SectionPlan
    facts : SectionFacts
    field : FlowField
    block : Block
    settings : Settings

    Returns
    -------
    pandas.DataFrame
        The columns of :func:`fociquant.measure.measure_cells`, ``decode_cell`` and the
        object's mask (``mask_y0, mask_x0, mask_height, mask_width``, px on the analysis
        grid, and ``mask_bits``).
    """
    parts = [_count_cell(plan, facts, field, cell, settings) for cell in block.cells]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]


def _count_cell(
    plan: SectionPlan, facts: SectionFacts, field: FlowField, cell: Index, settings: Settings
) -> pd.DataFrame:
    smallest = min_area_px(settings.segment, plan.analysis_pixel)
    decoded = decode_cell(
        field, plan.lattice, cell, settings=settings.segment, min_area_px=smallest
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
        saturation={role: facts.stats[role].saturation for role in roles},
        settings=settings.measure,
    ).drop(columns=[f"{SCORE}_ring"])
    rows["decode_cell"] = np.int64(plan.lattice.cell_number(cell))
    masks = mask_columns(labels, decoded.reported, (region.y0, region.x0))
    return rows.assign(**masks)
