"""Tables written in pieces hold what a table in one piece holds."""

from __future__ import annotations

import pandas as pd
import pyarrow.parquet as pq
import pytest

from fociquant.run import tables as corridor_tables
from fociquant.run.study import recount
from fociquant.testing.studies import write_study


@pytest.mark.parametrize("rows", [1, 4, 9, 10])
def test_the_size_of_pieces_changes_no_row(run, tmp_path, monkeypatch, rows):
    study = write_study(tmp_path / "study", {"a": 9, "b": 0, "c": 3}, shape=(150, 170))
    run(study, tmp_path / "r", threads=1)
    path = tmp_path / "r" / "cells.parquet"
    whole, groups = pd.read_parquet(path), pq.ParquetFile(path).num_row_groups
    monkeypatch.setattr(corridor_tables, "PIECE_ROWS", rows)
    recount(tmp_path / "r")
    pd.testing.assert_frame_equal(pd.read_parquet(path), whole)
    sizes = [len(part) for _, part in whole.groupby("section")]
    expected = sum(-(-size // rows) for size in sizes) + (3 - len(sizes))
    assert len(whole) == 12 and pq.ParquetFile(path).num_row_groups == expected >= groups
