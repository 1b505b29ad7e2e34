"""One row per mouse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from fociquant.cohort._order import natural_key, sort_mice
from fociquant.cohort._zero import zero_note
from fociquant.counts import poisson_upper, several
from fociquant.errors import InputError
from fociquant.model import CONTRACT_CLASSES, MOUSE_COLUMNS
from fociquant.settings import FociProfile
from fociquant.units import UM2_PER_MM2

DONE = "done"
"""Status of a section whose counts can be used; any other status is a failure."""

NEGATIVE = "negative"
"""What ``control`` holds for a section known to have no labelled cell."""

NO_TISSUE = "no tissue in its sections: nothing was looked at, so the 0 is no observation"
"""``zero_note`` of such mice; they are in no mean and no comparison."""

BOUNDS = ("cells_per_mm2_upper", "zero_note")
"""What the count still allows."""

MASKED = ("artefact_mm2", "artefact_pct")
"""What was left out of the tissue because nothing can be counted there: area, share."""

PHENOTYPE_PARTS = ("positive", "pct", "cells", "note")
"""Columns per phenotype: numerator, share, denominator, and why a share is empty or partial."""

MM2_DECIMALS, RATE_DECIMALS, PCT_DECIMALS = 8, 6, 4
"""Decimals of areas (8: 0.01 µm²), of cells per mm² and of percentages."""


def mice_table(
    sections: pd.DataFrame,
    foci: pd.DataFrame,
    profile: FociProfile,
    phenotypes: Sequence[str],
    *,
    reference_group: str | None = None,
    extras: Sequence[str] = (),
    min_cells: int = 1,
) -> pd.DataFrame:
    """Sum sections over mice.

    A mouse is the combination of ``mouse``, ``group`` and ``dpi``: two cages that
    both number their mice from 1 are not added up. Sums run over its sections
    with status ``done``; ``sections`` counts those, ``sections_failed`` the
    others. A mouse without one done section has empty counts, not zeros.
    Sections marked ``control: negative`` are no part of a mouse's sum
    (``sections_control`` counts them); a mouse that has no others is kept, its
    row sums its control sections and says ``negative`` in ``control``.

    Parameters
    ----------
    sections : pandas.DataFrame
        One row per section: ``section``, ``mouse``, ``group``, ``dpi``,
        ``status``, ``tissue_mm2``, ``parenchyma_mm2`` (mm²), ``cells``,
        ``<phenotype>_positive``; optionally ``artefact_mm2`` and ``excluded_mm2`` (mm²),
        ``control``, ``batch``, ``excluded`` and `extras`.
    foci : pandas.DataFrame
        One row per focus: ``section``, ``class``, ``area_um2`` (µm²).
    profile : FociProfile
        The profile under which `foci` was made: class names and columns.
    phenotypes : sequence of str
        Names of the phenotype markers.
    reference_group : str or None
        Comes first at each time point.
    extras : sequence of str
        Further columns of the sample sheet to carry through. Where they differ
        between the sections of a mouse, the values are joined by ``|``.
    min_cells : int
        A share of fewer cells than this is not told.

    Returns
    -------
    pandas.DataFrame
        `fociquant.model.MOUSE_COLUMNS`; then for each phenotype ``_positive`` and ``_cells``
        (numerator and denominator, over the sections that have its channel: those where
        ``_positive`` is not empty), ``_pct`` (empty below `min_cells`) and ``_note``; class
        columns of other profiles; ``cells_per_mm2_upper`` (exact one-sided 95 % Poisson limit
        of the rate) and ``zero_note`` (what a sum of zero still allows); ``artefact_mm2`` (masked,
        in none of the other areas) and ``artefact_pct`` (its share of all tissue); ``control``,
        ``sections_control``, ``batch``, ``excluded`` (why the mouse is in no mean) and `extras`.
        Counts are ``Int64``, where empty is ``<NA>``; areas and rates are float64.
        ``cells_per_mm2`` is empty where there is no tissue.
        Rows by dpi, group and mouse, see :func:`sort_mice`.

    Raises
    ------
    InputError
        If a sheet column has the name of a column of this table.
    ValueError
        If a focus has a class that `profile` does not know.
    """
    _check(foci, profile, phenotypes, extras)
    by_section = {str(name): own for name, own in foci.groupby("section", sort=False)}
    rows = []
    for _, own in sections.groupby(["mouse", "group", "dpi"], sort=False, dropna=False):
        used, role = _used_sections(own)
        row = _identity(own, used, role)
        row |= _sums(used, _foci_of(used, by_section, foci), profile, phenotypes, min_cells)
        rows.append(row | _carried(own, ["batch", "excluded", *extras]))
    columns = _columns(profile, phenotypes, extras)
    table = pd.DataFrame(rows, columns=columns)
    return sort_mice(_typed(table, sections, profile, phenotypes), reference_group=reference_group)


def _columns(profile: FociProfile, phenotypes: Sequence[str], extras: Sequence[str]) -> list[str]:
    """All columns, in order."""
    own = [one.column for one in profile.classes if one.column not in CONTRACT_CLASSES]
    marked = [f"{name}_{what}" for name in phenotypes for what in PHENOTYPE_PARTS]
    last = ["control", "sections_control", "batch", "excluded", *extras]
    return [*MOUSE_COLUMNS, *marked, *own, *BOUNDS, *MASKED, *last]


def _check(
    foci: pd.DataFrame, profile: FociProfile, phenotypes: Sequence[str], extras: Sequence[str]
) -> None:
    """Refuse names that would collide, and foci of another profile."""
    columns = _columns(profile, phenotypes, extras)
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise InputError(
            f"the name {', '.join(map(repr, twice))} is a column of the table of mice. "
            "Rename it in samples.csv, in the channels or in the foci profile."
        )
    unknown = sorted(set(foci["class"]) - {one.name for one in profile.classes})
    if unknown:
        raise ValueError(f"foci profile {profile.name!r} has no class {', '.join(unknown)}")


def _used_sections(own: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The sections of a mouse that make its row, done or not, and its control role."""
    if "control" not in own.columns:
        return own, ""
    control = (own["control"] == NEGATIVE).to_numpy(dtype=bool, na_value=False)
    return (own, NEGATIVE) if control.all() else (own[~control], "")


def _identity(own: pd.DataFrame, used: pd.DataFrame, role: str) -> dict[str, object]:
    """Who the mouse is, and how many of its sections are in its sums."""
    done = int((used["status"] == DONE).sum())
    controls = 0 if "control" not in own.columns else int((own["control"] == NEGATIVE).sum())
    return {
        "mouse": own["mouse"].iloc[0],
        "group": own["group"].iloc[0],
        "dpi": own["dpi"].iloc[0],
        "sections": done,
        "sections_failed": len(used) - done,
        "reviewed": "no",
        "control": role,
        "sections_control": controls,
    }


def _foci_of(
    used: pd.DataFrame, by_section: Mapping[str, pd.DataFrame], foci: pd.DataFrame
) -> pd.DataFrame:
    """The foci of the done ones among these sections."""
    names = used.loc[used["status"] == DONE, "section"]
    return pd.concat([foci.iloc[:0], *(by_section[one] for one in names if one in by_section)])


def _sums(
    used: pd.DataFrame,
    foci: pd.DataFrame,
    profile: FociProfile,
    phenotypes: Sequence[str],
    min_cells: int,
) -> dict[str, object]:
    """Counts, areas and rates of one mouse; empty without a done section."""
    done = used[used["status"] == DONE]
    if not len(done):
        return {}
    cells = int(done["cells"].sum())
    tissue = math.fsum(done["tissue_mm2"])
    upper = poisson_upper(cells, tissue)
    row: dict[str, object] = {
        "cells_per_mm2_upper": round(upper, RATE_DECIMALS),
        "zero_note": "" if cells else zero_note(len(done), 1, upper) if tissue > 0 else NO_TISSUE,
        "tissue_mm2": round(tissue, MM2_DECIMALS),
        "parenchyma_mm2": round(math.fsum(done["parenchyma_mm2"]), MM2_DECIMALS),
        "cells": cells,
        "cells_per_mm2": round(cells / tissue, RATE_DECIMALS) if tissue > 0 else math.nan,
        "foci_area_mm2": round(math.fsum(foci["area_um2"]) / UM2_PER_MM2, MM2_DECIMALS),
    }
    row |= _masked(done, tissue)
    for one in profile.classes:
        row[one.column] = int((foci["class"] == one.name).sum())
    for name in phenotypes:
        row |= _phenotype(done, name, min_cells)
    return row


def _masked(done: pd.DataFrame, tissue: float) -> dict[str, object]:
    """Masked area and its share of all tissue; empty where sections do not tell it."""
    if "artefact_mm2" not in done:
        return {}
    masked = math.fsum(done["artefact_mm2"])
    excluded = math.fsum(done["excluded_mm2"]) if "excluded_mm2" in done else 0.0
    whole = masked + tissue + excluded
    share = round(100 * masked / whole, PCT_DECIMALS) if whole > 0 else math.nan
    return {"artefact_mm2": round(masked, MM2_DECIMALS), "artefact_pct": share}


def _phenotype(done: pd.DataFrame, name: str, min_cells: int) -> dict[str, object]:
    """Numerator, denominator and share of one phenotype, over sections that have its channel."""
    known = done[done[f"{name}_positive"].notna()]
    if not len(known):
        return {f"{name}_note": "no section has its channel"}
    judged = f"{name}_cells" if f"{name}_cells" in known else "cells"
    positive, cells = int(known[f"{name}_positive"].sum()), int(known[judged].sum())
    unjudged = int(known["cells"].sum()) - cells
    enough = cells >= max(min_cells, 1)
    notes = []
    if len(known) < len(done):
        notes.append(f"from {len(known)} of {len(done)} sections: the others lack its channel")
    if unjudged > 0:
        notes.append(f"without {several(unjudged, 'cell')} added by reviewers, not judged for it")
    if not enough:
        notes.append(f"not estimable: {cells} cells, at least {min_cells} are asked for")
    return {
        f"{name}_positive": positive,
        f"{name}_cells": cells,
        f"{name}_pct": round(100 * positive / cells, PCT_DECIMALS) if enough else math.nan,
        f"{name}_note": "; ".join(notes),
    }


def _carried(own: pd.DataFrame, names: Sequence[str]) -> dict[str, str]:
    """Sheet columns of a mouse; differing values joined by ``|`` in natural order."""
    present = [name for name in names if name in own.columns]
    values = {name: set(own[name].astype(object).fillna("").astype(str)) for name in present}
    return {name: "|".join(sorted(some, key=natural_key)) for name, some in values.items()}


def _typed(
    table: pd.DataFrame, sections: pd.DataFrame, profile: FociProfile, phenotypes: Sequence[str]
) -> pd.DataFrame:
    """Counts as nullable integers, the rest as numbers or text, also with zero rows."""
    counts = ["sections", "sections_failed", "sections_control", "cells", *CONTRACT_CLASSES]
    counts += [one.column for one in profile.classes]
    counts += [f"{name}_{what}" for name in phenotypes for what in ("positive", "cells")]
    numbers = ["tissue_mm2", "parenchyma_mm2", "cells_per_mm2", "foci_area_mm2"]
    numbers += ["cells_per_mm2_upper", *MASKED]
    numbers += [f"{name}_pct" for name in phenotypes]
    types: dict[str, Any] = dict.fromkeys(counts, "Int64") | dict.fromkeys(numbers, "float64")
    types["dpi"] = sections["dpi"].dtype if len(table) else "float64"
    text = [name for name in table.columns if name not in types]
    table[text] = table[text].astype(object).fillna("")
    return table.astype(types | dict.fromkeys(text, "str"))
