"""Where in the lung cells and foci lie: columns of the tables."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from fociquant.model import SectionFacts
from fociquant.prepare import COMPARTMENTS, locate
from fociquant.settings import GateSettings

PLACE_COLUMNS = ["compartment", "edge_um", "lumen_um"]
"""Of ``cells.parquet`` and ``foci.csv``."""


def place(
    table: pd.DataFrame, facts: SectionFacts, settings: GateSettings
) -> dict[str, np.ndarray]:
    """Columns for the rows of a table with ``y_um`` and ``x_um``; see :func:`~prepare.locate`."""
    where = locate(
        table[["y_um", "x_um"]].to_numpy(np.float64),
        facts,
        edge_band_um=settings.edge_band_um,
        lumen_band_um=settings.lumen_band_um,
    )
    return {name: where[name].to_numpy() for name in PLACE_COLUMNS}


def no_places() -> dict[str, pd.Series]:
    """The same columns without rows."""
    kinds = {"compartment": object, "edge_um": np.float64, "lumen_um": np.float64}
    return {name: pd.Series([], dtype=kind) for name, kind in kinds.items()}


def compartment_counts(kinds: Iterable[str]) -> dict[str, int]:
    """``cells_<compartment>`` of ``sections.csv`` from the compartments of counted cells."""
    every = list(kinds)
    return {f"cells_{name}": every.count(name) for name in COMPARTMENTS}
