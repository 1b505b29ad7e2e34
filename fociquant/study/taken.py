"""Names that columns of the results have: a column of a sheet cannot have one of them too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fociquant.model import (
    CELL_COLUMNS,
    CONTRACT_CLASSES,
    FOCUS_COLUMNS,
    MOUSE_COLUMNS,
    SECTION_COLUMNS,
    Channels,
)
from fociquant.settings import FociProfile

# The rooms that make the tables cannot be asked, they lie beside or above this one. A test
# compares these names with the tables of a run.
_PLACE = ("compartment", "edge_um", "lumen_um")

_MADE: Mapping[str, tuple[str, ...]] = {
    "sections.csv": (
        *SECTION_COLUMNS, "parenchyma_mm2", "artefact_mm2", "artefact_pct", "shading_pct",
        "field_step_pct", "field_step_borders", "candidates", "cells_parenchyma", "cells_lumen",
        "cells_edge", "cells_outside", "warnings", "screened", "seam_rate", "seam_control_rate",
        "seam_repeats", "marker_threshold", "score_threshold", "ring_threshold",
        "threshold_source", "threshold_note", "cells_automatic", "excluded_mm2", "review",
        "control", "batch", "region", "excluded",
    ),
    "mice.csv": (
        *MOUSE_COLUMNS, "cells_automatic", "cells_reviewed", "cells_corrected",
        "cells_corrected_low", "cells_corrected_high", "excluded_mm2", "cells_per_mm2_upper",
        "zero_note", "artefact_mm2", "artefact_pct", "control", "sections_control", "batch",
        "excluded",
    ),
    "groups.csv": (
        "group", "dpi", "mice", "mice_incomplete", "mean", "median", "min", "max", "fold_change",
        "fold_change_note", "zero_note", "mean_automatic", "mean_reviewed", "mean_corrected",
        "mean_corrected_low", "mean_corrected_high",
    ),
    "comparisons.csv": (
        "group", "reference", "dpi", "mice", "mice_reference", "mice_excluded", "total",
        "total_reference", "rate_ratio", "ratio_low", "ratio_high", "p_model", "p_holm", "p_bh",
        "p_rank", "p_rank_smallest", "cv_between_mice", "offset", "comparison_note",
    ),
    "thresholds.csv": (
        "batch", "threshold_source", "marker_counts", "score_threshold", "ring_threshold",
        "control_sections", "control_sections_refused", "control_mm2", "false_at_floor",
        "false_cells", "false_per_mm2", "false_upper_per_mm2", "threshold_note",
    ),
    "foci.csv": (
        *FOCUS_COLUMNS, "equivalent_diameter_um", "nearest_focus_um", "edited", *_PLACE,
    ),
    "foci_sensitivity.csv": ("group", "dpi", "link_um", "in_use", "foci", "link_note"),
    "cells.parquet": (
        *CELL_COLUMNS, "marker_excess", "marker_strength", "ring", "solidity", "eccentricity",
        "score", *_PLACE, "positive_automatic", "decision", "mouse", "outline",
    ),
}  # fmt: skip
"""File to the columns that it always has."""

_BANDS = (
    "section", "mouse", "group", "dpi", "marker", "class", "inner_um", "outer_um", "area_mm2",
    "cells", "cells_per_mm2", "bands_note",
)  # fmt: skip
"""Columns of ``immune_bands.csv``."""

_PER_PHENOTYPE: Mapping[str, tuple[str, ...]] = {
    "sections.csv": ("positive", "cells", "spill_over"),
    "mice.csv": ("positive", "cells", "pct", "note"),
    "foci.csv": ("positive",),
    "cells.parquet": ("positive",),
}
"""File to the endings of the columns that each phenotype has in it."""

_PER_CHANNEL = ("mean", "background")
"""Endings of the columns of ``cells.parquet`` that each channel has."""

CARRIED_TO = ("mice.csv", "sections.csv")
"""Tables that have the sheet's own columns as well."""

_UNITS = ("cell", "focus", "field")
"""Columns by which a table is known to have no mice as its rows: it is not compared."""


def made_columns(
    *,
    channels: Iterable[str] = (),
    phenotypes: Iterable[str] = (),
    immune: bool = False,
    profile: FociProfile | None = None,
) -> dict[str, frozenset[str]]:
    """The columns of every table that a run makes itself.

    Tables of ``review/`` are not among them: no column of a sheet is carried there.

    Parameters
    ----------
    channels : iterable of str
        Names of the channels in use.
    phenotypes : iterable of str
        Those of cancer cells.
    immune : bool
        Whether there are markers of immune cells.
    profile : FociProfile or None
        None: no class columns besides those that are always there.

    Returns
    -------
    dict of str to frozenset of str
        By file.
    """
    made = {file: {*columns} for file, columns in _MADE.items()}
    if immune:
        made["immune_bands.csv"] = {*_BANDS}
    markers = tuple(phenotypes)
    for file, endings in _PER_PHENOTYPE.items():
        made[file] |= {f"{name}_{ending}" for name in markers for ending in endings}
    made["cells.parquet"] |= {f"{name}_{ending}" for name in channels for ending in _PER_CHANNEL}
    for file in ("mice.csv", "foci_sensitivity.csv"):
        made[file] |= {one.column for one in profile.classes} if profile else set()
    return {file: frozenset(columns) for file, columns in made.items()}


def taken_names(made: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Names that no column of a sheet may have, case folded.

    Parameters
    ----------
    made : mapping of str to iterable of str
        From :func:`made_columns`.
    """
    names = {name for file in CARRIED_TO for name in made[file]}
    return frozenset(name.casefold() for name in (*names, *_UNITS))


def made_twice(
    channels: Channels | None, profile: FociProfile | None
) -> tuple[dict[str, str], list[str]]:
    """What a study file names so that a table would have a column twice.

    Parameters
    ----------
    channels : Channels or None
    profile : FociProfile or None

    Returns
    -------
    phenotypes : dict of str to str
        Phenotype to the column that is there already.
    classes : list of str
        Columns of the profile's classes that are there already, sorted.
    """
    markers = _of_cancer_cells(channels) if channels else ()
    known = {
        name: f"{name}_{ending}"
        for name in markers
        for file, endings in _PER_PHENOTYPE.items()
        for ending in endings
        if f"{name}_{ending}" in _MADE[file]
    }
    made = made_columns(phenotypes=markers)
    taken = (made["mice.csv"] | made["foci_sensitivity.csv"]) - set(CONTRACT_CLASSES)
    classes = {one.column for one in profile.classes} if profile else set()
    return known, sorted(classes & taken)


def taken_in_study(channels: Channels | None, profile: FociProfile | None) -> frozenset[str]:
    """The same for the channels and the profile of a study file, as far as they could be read."""
    if channels is None:
        return taken_names(made_columns(profile=profile))
    phenotypes = _of_cancer_cells(channels)
    return taken_names(
        made_columns(
            channels=map(str, channels.roles().values()),
            phenotypes=phenotypes,
            immune=len(phenotypes) < len(channels.phenotype),
            profile=profile,
        )
    )


def _of_cancer_cells(channels: Channels) -> tuple[str, ...]:
    """The phenotypes that are no markers of immune cells."""
    immune = {name for name, rule in channels.rules.items() if rule.immune}
    return tuple(name for name in channels.phenotype if name not in immune)
