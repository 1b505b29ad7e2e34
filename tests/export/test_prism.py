"""Prism files: every mouse in its place, the struck-out ones marked."""

from __future__ import annotations

import defusedxml.ElementTree as ET
import pandas as pd

from fociquant.export import write_prism

NS = "{http://graphpad.com/prism/Prism.htm}"


def mice() -> pd.DataFrame:
    rows = [
        ("007", "PBS", 3, 0, 0, "", 0.5), ("1E5", "PBS", 3, 4, 0, "", 1 / 3),
        ("a", "IAV <&> \x01", 3, 30, 0, "", 2.0), ("b", "IAV <&> \x01", 3, 7, 1, "", 1.0),
        ("c", "IAV <&> \x01", 3, 9, 0, "negative", 1.0), ("d", "PBS", 15.5, None, 2, "", None),
    ]  # fmt: skip
    columns = ["mouse", "group", "dpi", "cells", "sections_failed", "control", "rate"]
    return pd.DataFrame(rows, columns=columns).astype({"cells": "Int64"})


def read(path) -> dict:
    root = ET.parse(path).getroot()
    found = {}
    for table in root.iter(f"{NS}Table"):
        columns = {}
        for column in table.iter(f"{NS}YColumn"):
            subs = [
                [(d.text, d.get("Excluded")) for d in sub.iter(f"{NS}d")]
                for sub in column.iter(f"{NS}Subcolumn")
            ]
            assert len(subs) == int(column.get("Subcolumns")) == int(table.get("Replicates"))
            columns[column.find(f"{NS}Title").text] = subs
        rows = [d.text for d in table.find(f"{NS}RowTitlesColumn").iter(f"{NS}d")]
        assert table.get("TableType") == "TwoWay"
        found[table.find(f"{NS}Title").text] = (rows, columns)
    return found


def test_days_are_rows_groups_columns_and_mice_subcolumns(tmp_path):
    path = write_prism(tmp_path / "out" / "m.pzfx", mice(), values=["cells", "rate"])
    tables = read(path)
    assert list(tables) == ["cells", "rate"]
    rows, columns = tables["cells"]
    assert rows == ["3 dpi", "15.5 dpi"]
    assert list(columns) == ["PBS", "IAV <&> \ufffd"]
    empty = (None, None)
    assert columns["PBS"] == [[("0", None), empty], [("4", None), empty], [empty, empty]]
    assert columns["IAV <&> \ufffd"] == [
        [("30", None), empty], [("7", "1"), empty], [("9", "1"), empty],
    ]  # fmt: skip
    assert tables["rate"][1]["PBS"][1][0] == ("0.333333333333", None)


def test_the_notes_say_which_mouse_is_where(tmp_path):
    path = write_prism(tmp_path / "m.pzfx", mice(), values=["cells"])
    text = path.read_text(encoding="utf-8")
    assert "3 dpi, PBS: 007, 1E5" in text
    assert "15.5 dpi, PBS: d" in text
    assert list(tmp_path.iterdir()) == [path]


def test_no_mice_is_a_file_without_rows(tmp_path):
    path = write_prism(tmp_path / "m.pzfx", mice().iloc[:0], values=["cells"])
    assert read(path) == {"cells": ([], {})}
