"""The one order of mice in every table and figure."""

from __future__ import annotations

import re

import pandas as pd


def natural_key(text: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key under which ``m2`` comes before ``m10``; ties are broken by the text itself.

    Only ASCII digits count as numbers, so ``007`` and ``7`` stay two mice.
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    key = tuple((0, int(p), "") if p[0] in "0123456789" else (1, 0, p.casefold()) for p in parts)
    return key, text


def sort_mice(mice: pd.DataFrame, *, reference_group: str | None) -> pd.DataFrame:
    """Rows by dpi, then group (the reference first), then mouse, in natural order.

    Parameters
    ----------
    mice : pandas.DataFrame
        With columns ``dpi`` (numbers), ``group`` and, optionally, ``mouse`` (text).
    reference_group : str or None
        The group that comes first at each time point.

    Returns
    -------
    pandas.DataFrame
        The same rows with an index from 0.
    """
    names = mice["mouse"] if "mouse" in mice.columns else mice["group"]
    keys = [
        (float(dpi), group != reference_group, natural_key(str(group)), natural_key(str(name)))
        for dpi, group, name in zip(mice["dpi"], mice["group"], names, strict=True)
    ]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return mice.iloc[order].reset_index(drop=True)
