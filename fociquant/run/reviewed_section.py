"""One section with the decisions of its reviewers applied."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import shapely

from fociquant.model import FocusEdit, SectionFacts
from fociquant.review import (
    AddedCell,
    SectionReview,
    area_within,
)
from fociquant.review.match import NOT_FOUND
from fociquant.run.gating import has_channel
from fociquant.units import PixelSize

if TYPE_CHECKING:
    from fociquant.run.table_inputs import TableInputs

CELL_COLUMNS = ("positive_automatic", "decision")
"""Columns that a review adds to ``cells.parquet``."""

SECTION_COLUMNS = ("cells_automatic", "excluded_mm2", "review")
"""Columns that a review adds to ``sections.csv``."""


@dataclass(frozen=True, slots=True)
class ReviewedSection:
    """One section with the decisions applied.

    Parameters
    ----------
    cells : pandas.DataFrame
        Judged objects, then added cells; ``positive`` after review, `CELL_COLUMNS`.
    edits : tuple of FocusEdit
        For ``find_foci``.
    tissue_mm2, parenchyma_mm2 : float
        Without what was excluded.
    columns : dict
        `SECTION_COLUMNS`.
    warnings : tuple of str
    region : shapely geometry
        What was excluded, x before y, µm.
    """

    cells: pd.DataFrame
    edits: tuple[FocusEdit, ...]
    tissue_mm2: float
    parenchyma_mm2: float
    columns: dict[str, Any]
    warnings: tuple[str, ...]
    region: shapely.Geometry


def unreviewed() -> dict[str, Any]:
    """`SECTION_COLUMNS` of a section that was not counted."""
    return {"cells_automatic": np.nan, "excluded_mm2": np.nan, "review": ""}


def with_decisions(gated: pd.DataFrame, review: SectionReview, inputs: TableInputs) -> pd.DataFrame:
    """Judged objects, then added cells, with what was decided."""
    n = len(gated)
    table = gated.assign(
        positive_automatic=gated["positive"].to_numpy(bool), positive=review.positive[:n],
        decision=review.decision[:n],
    )  # fmt: skip
    if not review.added:
        return table
    first = int(gated["cell"].max()) + 1 if n else 1
    added = _added_columns(review.added, first, inputs)
    added["positive"] = review.positive[n:].tolist()
    added["decision"] = review.decision[n:].tolist()
    columns = {}
    for name in table.columns:
        own = added.get(name)
        values = [np.nan] * len(review.added) if own is None else list(own)
        columns[name] = [*table[name].tolist(), *values]
    kinds = {name: table[name].dtype for name in added if name in table}
    for name in inputs.phenotypes:  # unknown of a cell that was drawn by hand
        kinds[f"{name}_positive"] = pd.BooleanDtype()
        if not has_channel(gated, name):
            columns[f"{name}_positive"] = [None] * (n + len(review.added))
    return pd.DataFrame(columns).astype(kinds)


def _added_columns(
    added: Sequence[AddedCell], first: int, inputs: TableInputs
) -> dict[str, Sequence[Any]]:
    """Columns of added cells, by the names they have before channels are named."""
    outlines = [np.asarray(one.ref.outline, np.float32) for one in added]
    areas = [shapely.Polygon(o.reshape(-1, 2)[:, ::-1].astype(float)).area for o in outlines]
    columns: dict[str, Sequence[Any]] = {
        "cell": [first + i for i in range(len(added))],
        "y_um": [one.ref.y_um for one in added],
        "x_um": [one.ref.x_um for one in added],
        "area_um2": [round(area, 2) for area in areas],
        "flags": [""] * len(added),
        "outline": outlines,
        "positive_automatic": [False] * len(added),
    }
    for role, name in inputs.names.items():
        columns[f"{role}_mean"] = [_number(one, f"{name}_mean") for one in added]
        columns[f"{role}_ring"] = [_number(one, f"{name}_background") for one in added]
    for name in inputs.phenotypes:
        columns[f"{name}_positive"] = [_yes_or_no(one, f"{name}_positive") for one in added]
    for name in ("marker_excess", "solidity", "eccentricity"):
        columns[name] = [_number(one, name) for one in added]
    return columns


def _yes_or_no(cell: AddedCell, name: str) -> bool | None:
    value = cell.measured.get(name)
    return value if isinstance(value, bool) else None


def _number(cell: AddedCell, name: str) -> float:
    value = cell.measured.get(name, math.nan)
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if usable and math.isfinite(value) else math.nan


def excluded_share(
    region: shapely.Geometry, facts: SectionFacts, state: Mapping[str, Any]
) -> float:
    """Share of the counted tissue that lies in a region, 0 to 1."""
    if shapely.is_empty(region):
        return 0.0
    height, width = extent = extent_of(state)
    lung = counted_tissue(facts)
    whole = area_within(shapely.box(0, 0, width, height), lung, facts.overview_px, extent_um=extent)
    inside = area_within(region, lung, facts.overview_px, extent_um=extent)
    return min(1.0, inside / whole) if whole > 0 else 0.0


def counted_tissue(facts: SectionFacts) -> np.ndarray:
    """Lung that is counted, on the overview grid: inside the outline, free of artefacts."""
    return np.asarray(facts.outline & ~facts.artefact)


def extent_of(state: Mapping[str, Any]) -> tuple[float, float]:
    """Height and width of a section's image, µm."""
    pixel = PixelSize(*state["pixel_size_um"])
    height, width = state["image_shape_px"]
    return height * pixel.y, width * pixel.x


def review_warnings(review: SectionReview, unknown: Sequence[str]) -> list[str]:
    """What the section's row must say; `unknown` are classes that the profile lacks."""
    found = list(review.problems)
    gone = sum(row["found"] == NOT_FOUND and row["outcome"] == "object gone"
               for row in review.decisions)  # fmt: skip
    if gone:
        found.append(
            f"{gone} decisions of reviewers are about objects that are no longer there; "
            "see review/decisions.csv"
        )
    if unknown:
        found.append(
            f"reviewers named classes of foci that the profile does not have: {', '.join(unknown)}"
        )
    if review.status == "outdated":
        found.append("signed off, but what counts has changed since without a decision")
    return found
