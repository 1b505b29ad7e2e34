"""Tables on disk: CSV that Excel cannot execute, and parquet; same table, same bytes."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import is_numeric_dtype

from fociquant.atomic import atomic_path, write_text
from fociquant.counts import ratio_decimals
from fociquant.errors import ResultsError, said
from fociquant.reading import look_at

DECIMALS: dict[str, int] = {"_um": 2, "_um2": 2, "_mm2": 6, "_pct": 2, "_mean": 3, "_per_mm2": 4}
"""Decimals by the ending of the column's name; longest ending first."""

DEFAULT_DECIMALS = 4

RATIOS = ("rate_ratio", "ratio_low", "ratio_high", "fold_change")
"""Columns whose values below 1 keep significant digits instead."""

_NUMBER = r"\d+(?:[.,]\d*)?(?:[eE][+-]?\d+)?"
_FORMULA = re.compile(rf"'*(?:[\t\r\n]|\s*[=@＝＠]|\s*[+\-＋－](?![-+/ ]*\Z)(?!{_NUMBER}\Z))")
"""Text that a spreadsheet would run, also in full-width characters; ``-/-`` and ``-1.5`` are not.
Apostrophes before it count too, so that taking one off again gives back what was written."""


def guard(text: str) -> str:
    """Text with an apostrophe before it if a spreadsheet would run it as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguard(text: str) -> str:
    """The inverse of :func:`guard`."""
    return text[1:] if text.startswith("'") and guard(text[1:]) == text else text


@cache  # asked for every cell of a table: a quarter of the time of one with 300 000 rows
def decimals_of(column: str) -> int:
    """Decimals with which a column is written."""
    endings = sorted((end for end in DECIMALS if column.endswith(end)), key=len)
    return DECIMALS[endings[-1]] if endings else DEFAULT_DECIMALS


def as_written(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its numbers as :func:`write_csv` writes them."""
    out = table.copy()
    for name in table.select_dtypes("float"):
        numbers = table[name].tolist()
        out[name] = [round(value, _decimals_in(str(name), value)) for value in numbers]
    return out


def _decimals_in(column: str, value: float) -> int:
    """Decimals of one number in a column."""
    return ratio_decimals(value) if column in RATIOS else decimals_of(column)


def _cell_text(value: object, column: str) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return _number_text(float(value), _decimals_in(column, float(value)))
    if isinstance(value, int | np.integer):
        return str(int(value))
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    return guard(str(value))


def _number_text(value: float, decimals: int) -> str:
    if math.isnan(value):
        return ""
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def write_csv(target: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV: UTF-8, comma, line feed, empty for unknown, numbers at fixed decimals.

    Ratios below 1 keep four significant digits.
    Text that a spreadsheet would run as a formula gets an apostrophe before it;
    :func:`read_csv` takes it off again.
    """
    columns = [
        [_cell_text(value, str(name)) for value in table[name].tolist()] for name in table.columns
    ]
    lines = [_line([guard(str(name)) for name in table.columns])]
    lines += [_line(row) for row in zip(*columns, strict=True)]
    write_text(target, "".join(lines))


def _line(cells: list[str] | tuple[str, ...]) -> str:
    text = ",".join(cells)
    if text.count(",") < len(cells) and not re.search(r'["\r\n]', text):
        return text + "\n"  # most lines: nothing in them needs quotes
    quoted = [
        f'"{c.replace(chr(34), chr(34) * 2)}"' if re.search(r'[",\r\n]', c) else c for c in cells
    ]
    return ",".join(quoted) + "\n"


def read_csv(
    path: Path, *, text: tuple[str, ...] = (), columns: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Read a table of :func:`write_csv`.

    Parameters
    ----------
    path : pathlib.Path
    text : tuple of str
        Columns that are text even where they look like numbers.
    columns : tuple of str
        Columns that must be there; those not in `text` hold numbers.

    Raises
    ------
    ResultsError
        If the file is absent, not a table, or was saved otherwise by another program; or if the
        drive does not let it be read.
    """
    try:
        table = look_at(path, lambda there: _parsed(there, text))
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path} cannot be read: {said(error)}. Run the study again.") from error
    if table is None:
        raise ResultsError(f"{path} cannot be read: there is no such file. Run the study again.")
    for name in table.columns:
        if unguard(name) in text:
            table[name] = table[name].map(unguard)
    table = table.rename(columns=unguard)
    for name in columns:
        if name not in table:
            raise ResultsError(f"{path} has no column {name!r}{_changed(path)}")
        if name not in text and len(table) and not is_numeric_dtype(table[name]):
            raise ResultsError(f"{path}, column {name!r}, holds more than numbers{_changed(path)}")
    return table


def _parsed(path: Path, text: tuple[str, ...]) -> pd.DataFrame:
    header = pd.read_csv(path, nrows=0, encoding="utf-8").columns
    kinds = {name: str for name in header if unguard(name) in text}
    unknown = {name: [""] for name in header if name not in kinds}
    return pd.read_csv(
        path, dtype=kinds, keep_default_na=False, na_values=unknown, encoding="utf-8"
    )


def _changed(path: Path) -> str:
    """Tables are the program's own: who saves one in a spreadsheet gets it made again."""
    return (
        ": it was changed by another program. 'fociquant recount "
        f"{path.parent}' makes the tables again; keep your own version under another name."
    )


def write_parquet(target: Path, table: pd.DataFrame, schema: pa.Schema) -> None:
    """Write a table as parquet with exactly this schema and nothing that varies between runs."""
    content = pa.Table.from_pandas(table, schema=schema, preserve_index=False)
    with atomic_path(target) as temporary:
        pq.write_table(content.replace_schema_metadata(None), temporary, compression="zstd")


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a parquet table.

    Raises
    ------
    ResultsError
        If the file is absent or damaged.
    """
    try:
        return pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowException) as error:
        cure = f"'fociquant recount {path.parent}' makes it again."
        raise ResultsError(f"{path} cannot be read: {said(error)}. {cure}") from error
