"""The figure of a sweep: the same bytes for the same table, and no ratio is no crash."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fociquant.report import write_sweep

WORDS = {"marker": "marker strength", "score": "score"}


def table(ratio=20.0):
    rows = [
        (name, at, state, group, 3.0, mean, ratio if group == "IAV" else np.nan)
        for name in WORDS
        for at, state in ((2.0, "floor"), (2.0, "in use"), (8.0, "raised"))
        for group, mean in (("PBS", 0.0), ("IAV", 40.0 / at))
    ]
    columns = ["property", "threshold", "state", "group", "dpi", "mean", "rate_ratio"]
    found = pd.DataFrame(rows, columns=columns)
    return found.assign(ratio_low=found["rate_ratio"] / 3, ratio_high=found["rate_ratio"] * 3)


def test_the_same_table_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    one, two = (
        write_sweep(table(), out_dir=tmp_path / name, reference_group="PBS", words=WORDS)
        for name in "ab"
    )
    assert [path.name for path in one] == ["gate_sweep.png", "gate_sweep.svg"]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    svg = one[1].read_text()
    assert "mathdefault" not in svg and "mean cells per mouse" in svg


def test_without_any_ratio_it_says_so(tmp_path):
    _, svg = write_sweep(table(np.nan), out_dir=tmp_path, reference_group=None, words=WORDS)
    assert "no ratio can be estimated" in svg.read_text()
