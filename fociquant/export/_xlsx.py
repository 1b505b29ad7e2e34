"""Excel workbooks in which text stays text."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

from fociquant.errors import InputError
from fociquant.export._files import exported_file, write_zip, xml_text

MAX_ROWS = 1_048_575
"""Rows of an Excel sheet, less the header."""

MAX_TEXT = 32_767
"""Characters of an Excel cell."""

_STAMP = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*")


def write_xlsx(path: Path, tables: Mapping[str, pd.DataFrame]) -> Path:
    """Write a workbook with one sheet per table.

    Text is written as text, in cells formatted as text: ``007``, ``1E5`` and
    ``3-1`` stay what they are, and ``=1+1`` is four characters, not a formula.
    Empty values are empty cells. The same tables give the same bytes.

    Parameters
    ----------
    path : pathlib.Path
        Ending in ``.xlsx``.
    tables : mapping of str to pandas.DataFrame
        Sheet name (at most 31 characters) to table.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    InputError
        If a table has more rows than a sheet can hold.
    """
    workbook = Workbook(write_only=True)
    for name, table in tables.items():
        if len(table) > MAX_ROWS:
            raise InputError(
                f"the table '{name}' has {len(table)} rows, an Excel sheet holds {MAX_ROWS}. "
                f"Use {name}.csv."
            )
        sheet = workbook.create_sheet(name)
        sheet.freeze_panes = "A2"
        sheet.append([_cell(sheet, str(column), bold=True) for column in table.columns])
        for row in table.itertuples(index=False, name=None):
            sheet.append([_cell(sheet, value) for value in row])
    memory = io.BytesIO()
    workbook.save(memory)
    with exported_file(path) as temporary:
        write_zip(temporary, _without_dates(memory))
    return path


def _cell(sheet: WriteOnlyWorksheet, value: Any, *, bold: bool = False) -> Any:
    """A cell that Excel takes as it is; None for a missing value."""
    if isinstance(value, str):
        cell = WriteOnlyCell(sheet, xml_text(value)[:MAX_TEXT])
        cell.data_type = "s"  # openpyxl would make a formula of '=…'
        cell.number_format = "@"
        if bold:
            cell.font = Font(bold=True)
        return cell
    if value is None or pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def _without_dates(memory: io.BytesIO) -> Iterator[tuple[str, bytes]]:
    """Members of a workbook, with the time of writing replaced."""
    with zipfile.ZipFile(memory) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "docProps/core.xml":
                content = _STAMP.sub(rb"\g<1>1980-01-01T00:00:00Z", content)
            yield name, content
