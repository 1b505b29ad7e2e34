"""What the report says of an audit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fociquant.report._audit import audit_by_arm, audit_in_words, audit_section
from fociquant.report._caveats import caveats


def found() -> pd.DataFrame:
    rows = [("PBS", 28.0, "accepted", 17, 17, 16), ("PBS", 28.0, "rejected", 64, 64, 1),
            ("PBS", 28.0, "tissue", 37, 37, 0), ("IAV", 28.0, "accepted", 784, 100, 100),
            ("IAV", 28.0, "rejected", 129, 100, 34)]  # fmt: skip
    return pd.DataFrame(rows, columns=["group", "dpi", "kind", "units", "judged", "cancer_cells"])


def groups() -> pd.DataFrame:
    return pd.DataFrame({
        "group": ["PBS", "IAV"], "dpi": 28.0, "fold_change_note": ["reference", ""],
        "mean_automatic": [6.0, 196.0], "mean_corrected": [5.0, 207.0],
    })  # fmt: skip


def test_error_rates_stand_side_by_side_by_arm():
    table = audit_by_arm(found(), groups()).set_index("group")
    assert table.loc["IAV"].tolist() == [
        28.0, "100 of 100", "34 of 100", "not judged", "32.7", "41.4",
    ]  # fmt: skip
    assert table.loc["PBS"].tolist()[1:] == [
        "16 of 17", "1 of 64", "0 in 37", "reference", "reference",
    ]  # fmt: skip
    assert "34 of 100" in "".join(audit_section(found(), groups()))


def test_without_a_verdict_there_is_nothing_to_tell():
    assert audit_section(None, groups()) == []
    assert audit_section(found().assign(judged=0, cancer_cells=0), groups()) == []
    unknown = groups().assign(mean_corrected=[np.nan, 207.0])
    assert audit_by_arm(found(), unknown).iloc[1]["fold change, corrected"] == ""
    assert audit_by_arm(found(), groups()[["group", "dpi"]]).iloc[1]["fold change, automatic"] == ""


def test_an_audit_is_told_at_the_top_and_in_methods():
    mice = pd.DataFrame({
        "mouse": ["a", "b"], "group": ["PBS", "IAV"], "dpi": 28.0, "sections": 1, "cells": [6, 196],
        "sections_failed": 0, "reviewed": "no", "control": "", "tissue_mm2": 1.0,
        "cells_corrected": [5.0, np.nan],
    })  # fmt: skip
    sections = pd.DataFrame({
        "section": ["s", "t"], "mouse": ["a", "b"], "status": "done", "tissue_mm2": 1.0,
        "control": "",
    })  # fmt: skip
    told = " ".join(caveats(mice, sections, has_autofluorescence=True, profile_name="chia2025"))
    assert "An audit of a random sample corrects those of 1 mouse" in told
    assert "Nobody has reviewed" not in told
    assert "the counts of 1 of 2 mice were estimated anew" in audit_in_words(mice)
    assert audit_in_words(mice.assign(cells_corrected=np.nan)) == ""
