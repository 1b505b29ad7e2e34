"""One row per group and time point."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from fociquant.cohort._order import sort_mice
from fociquant.cohort._zero import zero_note
from fociquant.counts import is_control, is_observed, poisson_upper, ratio_decimals

GROUP_COLUMNS: tuple[str, ...] = (
    "group", "dpi", "mice", "mice_incomplete", "mean", "median", "min", "max",
    "fold_change", "fold_change_note", "zero_note",
)  # fmt: skip
"""Columns of the table of groups."""

DECIMALS = 6
"""Decimals of means and fold changes."""


def group_table(
    mice: pd.DataFrame, *, reference_group: str | None, value: str = "cells"
) -> pd.DataFrame:
    """Describe each group at each time point, with the mouse as the unit.

    A mouse with a failed section has a smaller sum than it should, so it is not
    averaged, and neither is one without any tissue: ``mice_incomplete`` counts such mice,
    ``mice`` those described.
    Negative-control mice are left out altogether.

    Parameters
    ----------
    mice : pandas.DataFrame
        From :func:`mice_table`, or read back from ``mice.csv``.
    reference_group : str or None
        What the others of the same dpi are compared with.
    value : str
        The column described, one number per mouse.

    Returns
    -------
    pandas.DataFrame
        `GROUP_COLUMNS`. ``fold_change`` is the ratio of means, empty where it
        would mean nothing; ``fold_change_note`` then says why. It is never infinite.
        ``zero_note`` says what a group without any cell still allows.
    """
    counted = mice[~is_control(mice)]
    rows: list[dict[str, Any]] = [
        {"group": group, "dpi": dpi, **_describe(own, value)}
        for (dpi, group), own in counted.groupby(["dpi", "group"], sort=True)
    ]
    means = {(row["dpi"], row["group"]): row["mean"] for row in rows}
    for row in rows:
        row |= _compare(row, means, reference_group)
    table = pd.DataFrame(rows, columns=list(GROUP_COLUMNS))
    table = table.round({"mean": DECIMALS, "median": DECIMALS})
    types = {"mice": "int64", "mice_incomplete": "int64", "group": "str", "fold_change_note": "str"}
    types |= {"zero_note": "str"}
    types |= dict.fromkeys(("mean", "median", "min", "max", "fold_change"), "float64")
    return sort_mice(table.astype(types), reference_group=reference_group)


def _describe(own: pd.DataFrame, value: str) -> dict[str, Any]:
    """n, mean, median and range of the complete mice of one group and dpi."""
    usable = own[is_observed(own, value)]
    numbers = usable[value].astype("float64")
    return {
        "mice": len(numbers),
        "mice_incomplete": len(own) - len(numbers),
        "mean": float(numbers.mean()),
        "median": float(numbers.median()),
        "min": float(numbers.min()),
        "max": float(numbers.max()),
        "zero_note": _zero(usable) if value == "cells" and not numbers.any() else "",
    }


def _zero(mice: pd.DataFrame) -> str:
    """What no cell in all sections of a group still allows."""
    if "sections" not in mice or "tissue_mm2" not in mice:
        return ""
    tissue = float(mice["tissue_mm2"].astype("float64").sum())
    return zero_note(int(mice["sections"].sum()), len(mice), poisson_upper(0, tissue))


def _compare(
    row: dict[str, Any], means: dict[tuple[Any, Any], float], reference: str | None
) -> dict[str, object]:
    """The ratio to the reference group of the same dpi, or why there is none."""
    against = means.get((row["dpi"], reference))
    if reference is None:
        note = "no reference group was named"
    elif row["group"] == reference:
        note = "reference"
    elif against is None or math.isnan(against):
        note = f"no complete mouse of {reference} at this dpi"
    elif math.isnan(row["mean"]):
        note = "no complete mouse"
    elif against == 0:
        note = f"the mean of {reference} is 0 at this dpi"
    else:
        fold = row["mean"] / against
        decimals = max(DECIMALS, ratio_decimals(fold))
        return {"fold_change": round(fold, decimals), "fold_change_note": ""}
    return {"fold_change": math.nan, "fold_change_note": note}
