"""Whether a conclusion depends on the threshold, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

SIGNIFICANT = 0.05
"""Adjusted P (Holm) below which a comparison is called a difference."""

PROPERTIES = {"marker": "marker strength (noise SD)", "score": "network score (logit)"}
"""Property swept to its name in words."""

WORDS = {"more": "more cells than", "fewer": "fewer cells than", "none": "no shown difference to"}

Row = Mapping[Any, Any]


def sentences(groups: pd.DataFrame, *, reference: str | None) -> Iterator[str]:
    """What one would conclude within the range of each property.

    Parameters
    ----------
    groups : pandas.DataFrame
        ``property, threshold, state, group, dpi, rate_ratio, ratio_low, p_holm``.
    reference : str or None

    Yields
    ------
    str
        One per property.
    """
    if reference is None:
        yield "No reference group was named, so there is no comparison that could change."
        return
    for name, own in groups.groupby("property", sort=False):
        rows: list[dict[Any, Any]] = own.to_dict(orient="records")
        low, high = min(row["threshold"] for row in rows), max(row["threshold"] for row in rows)
        what = f"{PROPERTIES[str(name)]} from {low:.4g} to {high:.4g}"
        used = [row for row in rows if row["state"] == "in use" and pd.notna(row["p_holm"])]
        changes = [text for row in used for text in _change(row, rows, reference)]
        if not used:
            yield f"{what}: no comparison with {reference} can be tested."
        elif changes:
            yield f"{what}: the conclusion depends on the threshold. " + " ".join(changes)
        else:
            told = "; ".join(_conclusion(row, reference) for row in used)
            yield f"{what}: the conclusion does not change. {told}."


def verdict(row: Row) -> str:
    """What one comparison says of its group: ``more``, ``fewer`` or ``none``."""
    if pd.isna(row["p_holm"]) or row["p_holm"] >= SIGNIFICANT:
        return "none"
    if pd.notna(row["rate_ratio"]):
        return "more" if row["rate_ratio"] > 1 else "fewer"
    # One side has counted nothing; which one, the bound that there is says.
    return "more" if pd.notna(row["ratio_low"]) else "fewer"


def _conclusion(row: Row, reference: str) -> str:
    return f"{row['group']} at {row['dpi']:g} dpi: {WORDS[verdict(row)]} {reference}"


def _change(used: Row, rows: Sequence[Row], reference: str) -> Iterator[str]:
    """The thresholds at which one comparison says something else than it does now."""
    own = [row for row in rows if (row["group"], row["dpi"]) == (used["group"], used["dpi"])]
    other = [row for row in own if verdict(row) != verdict(used)]
    if other:
        first = other[0]
        bare = first["state"] == "floor"
        where = "without the controls" if bare else f"from {first['threshold']:.4g} up"
        yield (
            f"{_conclusion(used, reference)}, but {WORDS[verdict(first)]} {reference} {where} "
            f"({len(other)} of {len(own)} thresholds)."
        )
