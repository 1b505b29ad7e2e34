"""Tables that a spreadsheet has saved otherwise: one line with the cure, no half report."""

from __future__ import annotations

from pathlib import Path

import pytest

from fociquant import reading
from fociquant.errors import ResultsError, UnreadableError
from fociquant.run.provenance import inputs_of
from fociquant.run.reporting import gather_extras
from fociquant.run.study import recount
from fociquant.run.table_reading import REQUIRED_COLUMNS, read_table, read_tables
from fociquant.store import read_json
from fociquant.testing.studies import write_study


@pytest.fixture(scope="module")
def results(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("changed")
    run(write_study(path / "study", {"m1": 2, "m2": 5}, shape=(120, 160)), path / "r", threads=1)
    return path / "r"


@pytest.fixture()
def inputs(results, folder):
    there = folder(results)
    return inputs_of(read_json(there.run), there)


@pytest.mark.parametrize("name", sorted(REQUIRED_COLUMNS))
def test_a_table_saved_with_semicolons_or_without_a_column_is_told(results, inputs, name):
    path = results / name
    written = path.read_bytes()
    assert len(read_table(path, inputs).columns) >= len(REQUIRED_COLUMNS[name])
    for content in (written.replace(b",", b";"), b"".join(
        line.partition(b",")[2] + b"\n" for line in written.splitlines()
    )):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(ResultsError, match=rf"{name} has no column '.*fociquant recount"):
            read_table(path, inputs)
    path.write_bytes(written)


def test_words_among_numbers_are_told(results, inputs):
    path = results / "mice.csv"
    written = path.read_text()
    path.write_text(written.replace("\nm2,IAV,3,1,", "\nm2,IAV,3,one,"))
    with pytest.raises(ResultsError, match="column 'sections', holds more than numbers"):
        read_table(path, inputs)
    path.write_text(written)


def test_what_was_changed_is_made_again(results, inputs, folder, tables):
    before = tables(results)
    (results / "foci.csv").write_text("focus;cells\n")
    with (results / "cells.parquet").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(ResultsError, match=r"foci\.csv"):
        read_tables(folder(results), inputs)
    with pytest.raises(ResultsError, match=r"cells\.parquet is damaged .*fociquant recount"):
        gather_extras(folder(results), ["s0"])
    recount(results)
    assert tables(results) == before


NEVER_EMPTY = {
    "mice.csv": "mouse 'm1'",
    "sections.csv": "section 's0'",
    "foci.csv": r"a row for \d of \d foci",
}


@pytest.mark.parametrize("name", sorted(set(REQUIRED_COLUMNS) - set(NEVER_EMPTY)))
def test_a_table_without_rows_is_a_result(results, inputs, name):
    path = results / name
    written = path.read_bytes()
    path.write_bytes(written.splitlines(keepends=True)[0])
    assert len(read_table(path, inputs)) == 0
    path.write_bytes(written)


@pytest.mark.parametrize("name", sorted(NEVER_EMPTY))
def test_a_table_that_lost_rows_is_told_and_not_read_as_less(results, inputs, name):
    path = results / name
    written = path.read_bytes()
    header, *_, last = written.splitlines(keepends=True)
    for content in (header, header + last):
        path.write_bytes(content)
        with pytest.raises(ResultsError, match=rf"not complete: {NEVER_EMPTY[name]} is missing"):
            read_table(path, inputs)
    path.write_bytes(written)


@pytest.mark.parametrize("name", sorted(REQUIRED_COLUMNS))
def test_a_copy_that_broke_off_is_told(results, inputs, name):
    path = results / name
    written = path.read_bytes()
    path.write_bytes(written[:-2])
    with pytest.raises(ResultsError, match=r"it ends within a line\. 'fociquant recount .*again"):
        read_table(path, inputs)
    path.write_bytes(written)


def test_a_table_that_cannot_be_read_is_tried_again_and_then_told(results, inputs, monkeypatch):
    path, real, left = results / "mice.csv", Path.open, [2]
    whole = read_table(path, inputs)

    def bad(there, *args, **kwargs):
        if there == path and left[0]:
            left[0] -= 1
            raise OSError(5, "Input/output error", str(there))
        return real(there, *args, **kwargs)

    monkeypatch.setattr(Path, "open", bad)
    monkeypatch.setattr(reading, "WAITS_S", (0.0, 0.0))
    assert read_table(path, inputs).equals(whole)
    left[0] = 100
    with pytest.raises(UnreadableError, match=r"mice\.csv cannot be read: Input/output error"):
        read_table(path, inputs)
