"""What an audit by lot found, by arm, and what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fociquant.report import _html as html

KINDS = {"accepted": "counted cells", "rejected": "rejected candidates"}
"""Kind of an audit's items to its words; fields of tissue are told apart."""

EXPLAINED = (
    "What the audit found in each arm: cancer cells among the counted cells and among the rejected "
    "candidates that were judged, and cancer cells without any outline in fields of tissue. An arm "
    "in which the counter errs more is counted too low or too high beside the others: compare the "
    "fold changes of automatic and of corrected means."
)


def audited_mice(mice: pd.DataFrame) -> int:
    """Mice that have a corrected count."""
    return int(mice["cells_corrected"].notna().sum()) if "cells_corrected" in mice else 0


def audit_in_words(mice: pd.DataFrame) -> str:
    """That an audit was made, for Methods; ``""`` without one."""
    number = audited_mice(mice)
    return (
        "A random sample of counted cells, rejected candidates and fields of tissue of each arm "
        f"was judged by eye (audit); from it the counts of {number} of {len(mice)} mice were "
        "estimated anew and are given beside the others. Group comparisons do not use them."
        if number else ""
    )  # fmt: skip


def audit_section(audit: pd.DataFrame | None, groups: pd.DataFrame) -> list[str]:
    """HTML of what was found; empty where nothing was judged."""
    if audit is None or not len(audit) or not int(audit["judged"].sum()):
        return []
    return [f"<p>{html.text(EXPLAINED)}</p>", html.table(audit_by_arm(audit, groups))]


def audit_by_arm(audit: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """One row per arm, in words.

    Parameters
    ----------
    audit : pandas.DataFrame
        As in ``review/audit.csv``.
    groups : pandas.DataFrame
        As in ``groups.csv``.

    Returns
    -------
    pandas.DataFrame
        ``group, dpi``, what was found of each kind, and the fold changes of both means.
    """
    known = groups.to_dict("records") if "mean_corrected" in groups else []
    arms = {(row["group"], row["dpi"]): row for row in known}
    base = {row["dpi"]: row for row in known if row.get("fold_change_note") == "reference"}
    rows = []
    for (group, dpi), own in audit.groupby(["group", "dpi"], sort=False):
        row: dict[str, Any] = {"group": group, "dpi": dpi}
        kinds = {str(one["kind"]): one for one in own.to_dict("records")}
        for kind, words in KINDS.items():
            row[f"cancer cells among {words}"] = _found(kinds, kind, "of")
        row["missed in fields"] = _found(kinds, "tissue", "in")
        arm, reference = arms.get((group, dpi)), base.get(dpi)
        for which in ("automatic", "corrected"):
            row[f"fold change, {which}"] = _ratio(arm, reference, f"mean_{which}")
        rows.append(row)
    return pd.DataFrame(rows)


def _found(kinds: Mapping[str, Mapping[Any, Any]], kind: str, word: str) -> str:
    """``34 of 100``."""
    one = kinds.get(kind, {})
    if not one.get("judged"):
        return "not judged"
    return f"{int(one['cancer_cells'])} {word} {int(one['judged'])}"


def _ratio(arm: Mapping[Any, Any] | None, base: Mapping[Any, Any] | None, name: str) -> str:
    if arm is None or base is None or arm is base:
        return "reference" if arm is not None and arm is base else ""
    above, below = arm.get(name), base.get(name)
    if pd.isna(above) or pd.isna(below) or not below:
        return ""
    return f"{float(above) / float(below):.3g}"
