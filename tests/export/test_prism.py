"""Prism files: every mouse in its place, the struck-out ones marked."""

from __future__ import annotations

import defusedxml.ElementTree as ET
import pandas as pd
import pytest

from fociquant.export import write_prism, write_prism_foci

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


def test_a_mouse_without_tissue_is_struck_out_like_in_the_means(tmp_path):
    table = mice().assign(tissue_mm2=[0.0, 9.0, 0.0, 9.0, 9.0, None])
    columns = read(write_prism(tmp_path / "m.pzfx", table, values=["cells"]))["cells"][1]
    assert columns["PBS"][0][0] == ("0", "1")  # nothing was looked at: no observation
    assert columns["PBS"][1][0] == ("4", None)
    assert columns["IAV <&> \ufffd"][0][0] == ("30", None)  # counted, wherever it lies


def sizes(path) -> dict:
    """Title of each column table to its columns."""
    found = {}
    for table in ET.parse(path).getroot().iter(f"{NS}Table"):
        assert table.get("TableType") == "OneWay"
        found[table.find(f"{NS}Title").text] = {
            column.find(f"{NS}Title").text: [
                (d.text, d.get("Excluded")) for d in column.iter(f"{NS}d")
            ]
            for column in table.iter(f"{NS}YColumn")
        }
    return found


def test_sizes_of_foci_are_columns_of_mice(tmp_path):
    iav = "IAV <&> \x01"
    rows = [("s1", "007", "PBS", 3, ""), ("s2", "007", "PBS", 3, ""), ("s3", "b", iav, 3, ""),
            ("s4", "c", iav, 3, "negative"), ("s5", "007", "PBS", 3, "negative")]  # fmt: skip
    sections = pd.DataFrame(rows, columns=["section", "mouse", "group", "dpi", "control"])
    foci = pd.DataFrame(
        [("s1", 1, 100.0), ("s2", 30, 31415.926535), ("s3", 2, 200.0), ("s4", 5, 9.0),
         ("s5", 7, 1.0)],
        columns=["section", "cells", "area_um2"],
    )  # fmt: skip
    tables = sizes(write_prism_foci(tmp_path / "f.pzfx", foci, mice(), sections))
    assert list(tables) == ["equivalent diameter, µm, 3 dpi", "cells, 3 dpi",
                            "equivalent diameter, µm, 15.5 dpi", "cells, 15.5 dpi"]  # fmt: skip
    cells = tables["cells, 3 dpi"]
    assert cells["PBS: 007"] == [("30", None), ("1", None)]
    assert cells["PBS: 1E5"] == [(None, None)]
    assert cells["IAV <&> \ufffd: b"] == [("2", "1")]
    assert cells["IAV <&> \ufffd: c"] == [("5", "1")]
    largest = tables["equivalent diameter, µm, 3 dpi"]["PBS: 007"][0][0]
    assert float(largest) == pytest.approx(200.0)
    assert tables["cells, 15.5 dpi"] == {"PBS: d": [(None, None)]}


def test_no_foci_is_a_file_with_empty_columns(tmp_path):
    sections = pd.DataFrame(columns=["section", "mouse", "group", "dpi"])
    foci = pd.DataFrame(columns=["section", "cells", "area_um2"])
    tables = sizes(write_prism_foci(tmp_path / "f.pzfx", foci, mice(), sections))
    assert all(column == [(None, None)] for column in tables["cells, 3 dpi"].values())
    assert sizes(write_prism_foci(tmp_path / "g.pzfx", foci, mice().iloc[:0], sections)) == {}
