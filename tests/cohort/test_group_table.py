"""Mice to groups."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd

from fociquant.cohort import GROUP_COLUMNS, group_table


def mice(rows: list[tuple]) -> pd.DataFrame:
    columns = ["mouse", "group", "dpi", "cells", "sections_failed", "control"]
    return pd.DataFrame(rows, columns=columns).astype({"cells": "Int64"})


ROWS = [
    ("a", "PBS", 3, 4, 0, ""), ("b", "PBS", 3, 6, 0, ""),
    ("c", "IAV", 3, 10, 0, ""), ("d", "IAV", 3, 50, 0, ""), ("e", "IAV", 3, 1, 1, ""),
    ("f", "PBS", 6, 0, 0, ""), ("g", "IAV", 6, 7, 0, ""),
    ("h", "IAV", 9, 7, 0, ""),
    ("i", "PBS", 15, None, 3, ""), ("j", "IAV", 15, 2, 0, ""),
    ("w", "WT", 3, 0, 0, "negative"),
]  # fmt: skip


def by_group(table: pd.DataFrame) -> dict:
    return {(row["group"], row["dpi"]): row for _, row in table.iterrows()}


def test_the_ratio_is_that_of_the_means_before_they_are_rounded():
    rows = [("a", "PBS", 3, 1, 0, ""), ("b", "PBS", 3, 0, 0, ""), ("c", "PBS", 3, 0, 0, ""),
            ("d", "IAV", 3, 56, 0, "")]  # fmt: skip
    found = by_group(group_table(mice(rows), reference_group="PBS"))
    assert found["PBS", 3]["mean"] == 0.333333
    assert found["IAV", 3]["fold_change"] == 168


def test_groups_are_described_by_their_mice():
    table = group_table(mice(ROWS), reference_group="PBS")
    assert tuple(table.columns) == GROUP_COLUMNS
    found = by_group(table)
    iav = found["IAV", 3]
    assert iav[["mice", "mice_incomplete", "mean", "median", "min", "max"]].tolist() == [
        2, 1, 30.0, 30.0, 10.0, 50.0,
    ]  # fmt: skip
    assert iav["fold_change"] == 6.0
    assert iav["fold_change_note"] == ""
    assert [(g, d) for g, d in table[["group", "dpi"]].to_numpy()][:3] == [
        ("PBS", 3), ("IAV", 3), ("PBS", 6),
    ]  # fmt: skip
    assert ("WT", 3) not in found


def test_a_small_fold_change_is_not_rounded_to_nothing():
    rows = [("a", "IAV", 3, 90_000, 0, ""), ("b", "PBS", 3, 4, 0, "")]
    found = by_group(group_table(mice(rows), reference_group="IAV"))
    assert found["PBS", 3]["fold_change"] == 4.444e-05


def test_a_group_without_a_cell_is_0_times_the_reference():
    rows = [("a", "IAV", 3, 0, 0, ""), ("b", "PBS", 3, 4, 0, "")]
    row = by_group(group_table(mice(rows), reference_group="PBS"))["IAV", 3]
    assert row["fold_change"] == 0.0 and row["fold_change_note"] == ""


def test_a_fold_change_that_means_nothing_is_empty_with_its_reason():
    found = by_group(group_table(mice(ROWS), reference_group="PBS"))
    notes = {key: row["fold_change_note"] for key, row in found.items()}
    assert notes["IAV", 6] == "the mean of PBS is 0 at this dpi"
    assert notes["IAV", 9] == "no complete mouse of PBS at this dpi"
    assert notes["IAV", 15] == "no complete mouse of PBS at this dpi"
    assert notes["PBS", 3] == "reference"
    assert found["PBS", 15]["mice"] == 0
    assert np.isnan(found["PBS", 15]["mean"])
    table = group_table(mice(ROWS), reference_group=None)
    assert set(table["fold_change_note"]) == {"no reference group was named"}
    assert not np.isinf(table.select_dtypes("number").to_numpy()).any()


def test_no_mice_gives_no_groups_and_a_table_from_a_file_is_the_same():
    assert list(group_table(mice([]), reference_group="PBS").columns) == list(GROUP_COLUMNS)
    text = mice(ROWS).to_csv(index=False)
    read = pd.read_csv(io.StringIO(text), dtype={"mouse": str, "group": str, "control": str},
                       keep_default_na=False, na_values={"cells": [""]})  # fmt: skip
    assert group_table(pd.read_csv(io.StringIO(text)), reference_group="PBS").equals(
        group_table(read, reference_group="PBS")
    )
    blank = mice(ROWS[:4]).assign(control=np.nan)
    assert group_table(blank, reference_group="PBS")["mice"].tolist() == [2, 2]
    pd.testing.assert_frame_equal(
        group_table(read, reference_group="PBS"), group_table(mice(ROWS), reference_group="PBS")
    )
