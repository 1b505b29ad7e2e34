"""Tables: the same bytes for the same table, and nothing a spreadsheet would run."""

from __future__ import annotations

import csv
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fociquant.errors import ResultsError
from fociquant.store import read_csv, read_parquet, write_csv, write_parquet
from fociquant.store.objects import read_objects
from fociquant.store.tables import as_written, decimals_of, guard, unguard

FORMULAS = (
    "=1+1", "@x", "+1+1", "-2+3", "-A1", "+E1", "-e", "-E5", "+cmd|' /C calc'!A0", "--1", "-/-1",
    "=HYPERLINK(\"http://x\")", "\t=1", "\r=1", "\n=1", " =1", "'=1", "''@x", "＝1+1", "＋A1",
    "＠x", "-1-2", "+1/2", "-1*3",
)  # fmt: skip
PLAIN = (
    "007", "1E5", "3-1", "-/-", "+/-", "-", "+", "--", "-1.5", "+3", "-1,5", "-1e-5", "wild type",
    "IL6 -/-", "a=b", "it's", "'quoted'", "", "Müller", "é,è", 'say "x"', "two\nlines", "x\ty",
)  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_never_begins_a_cell(text):
    assert guard(text) == f"'{text}"
    assert unguard(guard(text)) == text


@pytest.mark.parametrize("text", PLAIN)
def test_names_of_mice_stay_as_they_are(text):
    assert guard(text) == text == unguard(text)


@given(st.text(max_size=12))
@example("'=1").via("an apostrophe that the user wrote")
def test_the_guard_can_always_be_taken_off(text):
    assert unguard(guard(text)) == text
    assert guard(text)[:1] not in tuple("=@\t\r\n＝＠")


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=9),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None)
def test_text_survives_a_round_trip(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    table = pd.DataFrame({"mouse": values, "n": range(len(values))})
    write_csv(path, table)
    pd.testing.assert_frame_equal(read_csv(path, text=("mouse",)), table)


@pytest.mark.parametrize("text", [*FORMULAS, *PLAIN])
def test_every_known_text_survives_and_no_cell_is_a_formula(tmp_path, text):
    write_csv(tmp_path / "t.csv", pd.DataFrame({"mouse": [text], "cells": [3]}))
    assert read_csv(tmp_path / "t.csv", text=("mouse",))["mouse"].tolist() == [text]
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        (_, (cell, _)) = csv.reader(file)
    assert not cell.lstrip().startswith(("=", "@"))


def test_column_names_are_guarded_like_cells(tmp_path):
    table = pd.DataFrame({"=cmd": ["007"], "mouse": ["1E5"]})
    write_csv(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_text().startswith("'=cmd,")
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv", text=("=cmd", "mouse")), table)


def test_numbers_are_written_at_fixed_decimals(tmp_path):
    table = pd.DataFrame(
        {
            "y_um": [1.23456, -0.001], "tissue_mm2": [0.12345678, 2.0], "Ki67_pct": [33.333, 100],
            "cells_per_mm2": [1 / 3, 1e6], "HER2_mean": [0.00049, 7.0], "cells": [3.0, math.nan],
            "positive": [True, False], "n": [10, 0], "nothing": [None, pd.NA],
        }
    )  # fmt: skip
    write_csv(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_text() == (
        "y_um,tissue_mm2,Ki67_pct,cells_per_mm2,HER2_mean,cells,positive,n,nothing\n"
        "1.23,0.123457,33.33,0.3333,0,3,true,10,\n"
        "0,2,100,1000000,7,,false,0,\n"
    )


def test_small_ratios_are_no_zeros_and_the_table_has_what_the_file_has(tmp_path):
    table = pd.DataFrame(
        {
            "rate_ratio": [4.41234e-5, 0.099996, 123.45678, 1.23456, math.nan],
            "ratio_low": [1.2345678e-9, 0.0, 0.123456, 0.0567891, 1.0],
            "p_model": [0.00012, 0.123456, 1.0, math.nan, 0.5],
        }
    )
    write_csv(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_text() == (
        "rate_ratio,ratio_low,p_model\n0.00004412,0.000000001235,0.0001\n0.1,0,0.1235\n"
        "123.4568,0.1235,1\n1.2346,0.05679,\n,1,0.5\n"
    )
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv"), as_written(table))


@pytest.mark.parametrize(
    ("column", "decimals"), [("area_um2", 2), ("cells_per_mm2", 4), ("foci_area_mm2", 6), ("x", 4)]
)
def test_the_longest_ending_decides(column, decimals):
    assert decimals_of(column) == decimals


@pytest.mark.parametrize("dtype", [np.float32, np.float64, "Float64"])
def test_the_same_numbers_are_the_same_bytes(tmp_path, dtype):
    write_csv(tmp_path / "t.csv", pd.DataFrame({"cells": pd.array([1, 250], dtype=dtype)}))
    assert (tmp_path / "t.csv").read_bytes() == b"cells\n1\n250\n"


def test_an_empty_table_keeps_its_columns(tmp_path):
    write_csv(tmp_path / "t.csv", pd.DataFrame({"section": [], "cells": []}))
    assert (tmp_path / "t.csv").read_bytes() == b"section,cells\n"
    assert list(read_csv(tmp_path / "t.csv", text=("section",)).columns) == ["section", "cells"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,b\n"open'])
def test_a_damaged_csv_is_an_error_with_its_place(tmp_path, content):
    (tmp_path / "mice.csv").write_bytes(content)
    with pytest.raises(ResultsError, match=r"mice\.csv cannot be read.*Run the study again"):
        read_csv(tmp_path / "mice.csv")


def test_an_absent_table_is_an_error_with_its_place(tmp_path):
    with pytest.raises(ResultsError, match=r"mice\.csv cannot be read"):
        read_csv(tmp_path / "mice.csv")
    with pytest.raises(ResultsError, match=r"cells\.parquet cannot be read"):
        read_parquet(tmp_path / "cells.parquet")


@pytest.mark.parametrize("content", [b"", b"no parquet at all", b"PAR1" * 20])
def test_a_damaged_parquet_table_is_an_error_in_whole_sentences(tmp_path, content):
    path = tmp_path / "cells.parquet"
    path.write_bytes(content)
    for read in (read_parquet, read_objects):
        with pytest.raises(ResultsError) as raised:
            read(path)
        told = str(raised.value).removeprefix(str(path))
        assert told != str(raised.value)
        assert "Run the study again" in told or "fociquant recount" in told
        assert not any(bad in told for bad in ("..", ".)", "\n"))


def test_parquet_has_the_same_bytes_whatever_the_index_or_order_of_creation(tmp_path):
    schema = pa.schema([("cell", pa.int64()), ("y_um", pa.float64()), ("flags", pa.string())])
    table = pd.DataFrame({"cell": [1, 2], "y_um": [0.5, np.nan], "flags": ["", "edge"]})
    shuffled = table[["flags", "y_um", "cell"]].set_index(pd.Index([7, 3]))
    write_parquet(tmp_path / "a.parquet", table, schema)
    write_parquet(tmp_path / "b.parquet", shuffled, schema)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "a.parquet"), table)


def test_parquet_without_rows_keeps_its_types(tmp_path):
    schema = pa.schema([("cell", pa.int64()), ("flags", pa.string()), ("positive", pa.bool_())])
    nothing = pd.DataFrame({"cell": [], "flags": [], "positive": []})
    write_parquet(tmp_path / "c.parquet", nothing, schema)
    assert pa.parquet.read_schema(tmp_path / "c.parquet").equals(schema)


def test_columns_asked_for_hold_numbers_where_they_are_not_text(tmp_path):
    path, asked = tmp_path / "t.csv", {"text": ("mouse",), "columns": ("mouse", "cells")}
    table = pd.DataFrame({"mouse": ["m1"], "cells": [3]})
    for some in (table, table.iloc[:0]):
        write_csv(path, some)
        assert len(read_csv(path, **asked)) == len(some)
    write_csv(path, table.astype({"cells": str}).assign(cells="many"))
    with pytest.raises(ResultsError, match="column 'cells', holds more than numbers"):
        read_csv(path, **asked)
