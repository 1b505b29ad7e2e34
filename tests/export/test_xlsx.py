"""Workbooks: text stays text, numbers stay numbers, empty stays empty."""

from __future__ import annotations

import openpyxl
import pandas as pd
import pytest

from fociquant.errors import InputError
from fociquant.export import _xlsx as xlsx
from fociquant.export import write_xlsx

NAMES = ["007", "1E5", "3-1", "=1+1", "+cmd|' /C calc'!A0", "@SUM(A1)", "-1", "TRUE", "2024-01-02"]


def table() -> pd.DataFrame:
    cells = pd.array([*range(len(NAMES) - 1), None], dtype="Int64")
    return pd.DataFrame({"mouse": NAMES, "cells": cells, "rate": 0.5, "ok": True})


def test_text_is_never_a_formula_or_a_number(tmp_path):
    path = write_xlsx(tmp_path / "t.xlsx", {"mice": table(), "empty": table().iloc[:0]})
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["mice", "empty"]
    rows = list(book["mice"].iter_rows(min_row=2))
    assert [row[0].value for row in rows] == NAMES
    assert {row[0].data_type for row in rows} == {"s"}
    assert {row[0].number_format for row in rows} == {"@"}
    assert [row[1].value for row in rows] == [*range(len(NAMES) - 1), None]
    assert [cell.value for cell in rows[0][2:]] == [0.5, True]
    assert [cell.value for cell in book["empty"][1]] == list(table().columns)


def test_the_same_tables_give_the_same_bytes(tmp_path, monkeypatch):
    one = write_xlsx(tmp_path / "a.xlsx", {"mice": table()})
    other = write_xlsx(tmp_path / "b.xlsx", {"mice": table()})
    assert one.read_bytes() == other.read_bytes()
    assert b"1980-01-01T00:00:00Z" in _core(one)


def _core(path) -> bytes:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return archive.read("docProps/core.xml")


def test_control_characters_are_replaced(tmp_path):
    path = write_xlsx(tmp_path / "t.xlsx", {"m": pd.DataFrame({"mouse": ["a\x00b\x1f"]})})
    assert openpyxl.load_workbook(path)["m"]["A2"].value == "a\ufffdb\ufffd"


def test_a_table_too_long_for_excel_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(xlsx, "MAX_ROWS", 3)
    with pytest.raises(InputError, match=r"'foci' has 9 rows.*Use foci\.csv"):
        write_xlsx(tmp_path / "t.xlsx", {"foci": table()})
    assert list(tmp_path.iterdir()) == []
