"""GraphPad Prism: grouped tables with the mice side by side, column tables of foci.

The format is the XML of Prism 5 (``.pzfx``), which every later version opens. A
grouped table (``TwoWay``) has a row per day, a column per group and a subcolumn
per mouse. A column table (``OneWay``) has a column per mouse and a row per focus.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fociquant.counts import is_observed
from fociquant.export._files import exported_file, xml_text

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<GraphPadPrismFile xmlns="http://graphpad.com/prism/Prism.htm" PrismXMLVersion="5.00">\n'
)


_Cells = dict[Any, pd.DataFrame]
"""(dpi, group) to the mice there."""

_Mouse = tuple[str, str, float]
"""Mouse, group and dpi."""

_STRUCK = "struck out"

_FOCI_VALUES = ("equivalent diameter, µm", "cells")

_FOCI_NOTES = (
    "One column per mouse, one row per focus, the largest first.",
    "The foci of a mouse are not independent: n is the number of mice, not of foci.",
    "Struck-out columns are mice with a failed section or without tissue, mice that the sample "
    "sheet excludes, and negative controls.",
)


def write_prism(path: Path, mice: pd.DataFrame, *, values: Sequence[str]) -> Path:
    """Write one grouped Prism table for each of `values`.

    Mice with a failed section or without tissue, excluded ones and negative controls are there,
    struck out (``Excluded``): Prism shows them and leaves them out of every calculation.
    The project notes name the mouse in each subcolumn.

    Parameters
    ----------
    path : pathlib.Path
        Ending in ``.pzfx``.
    mice : pandas.DataFrame
        ``mouse``, ``group``, ``dpi``, ``sections_failed``, ``cells``, optionally
        ``control``, ``tissue_mm2``, and the columns named in `values`. Columns of the Prism
        tables follow the order in which groups appear.
    values : sequence of str
        Columns of numbers; an empty one stays empty.

    Returns
    -------
    pathlib.Path
        `path`.
    """
    mice = _with_struck(mice)
    groups = list(dict.fromkeys(mice["group"]))
    days = sorted(set(mice["dpi"]))
    cells: _Cells = dict(list(mice.groupby(["dpi", "group"], sort=False)))
    most = max((len(own) for own in cells.values()), default=1)
    tables = [
        _table(cells, days, groups, value=value, number=index, replicates=most)
        for index, value in enumerate(values)
    ]
    return _write(path, _notes(cells, days, groups), tables)


def write_prism_foci(
    path: Path, foci: pd.DataFrame, mice: pd.DataFrame, sections: pd.DataFrame
) -> Path:
    """Write the sizes of foci, two column tables for each day: diameters and cells.

    A column is a mouse, a row a focus, the largest first. The foci of one mouse are not
    independent: the tables are for drawing distributions, and n is the number of columns.

    Parameters
    ----------
    path : pathlib.Path
        Ending in ``.pzfx``.
    foci : pandas.DataFrame
        ``section``, ``cells``, ``area_um2``.
    mice : pandas.DataFrame
        As for :func:`write_prism`. Every mouse has its column, those without foci an empty one.
    sections : pandas.DataFrame
        ``section``, ``mouse``, ``group``, ``dpi``, optionally ``control``: to whom a section
        belongs. Negative-control sections of mice that have others are left out, as in the sums.

    Returns
    -------
    pathlib.Path
        `path`.
    """
    mice = _with_struck(mice)
    sizes = _sizes(foci, _owners(sections, mice))
    tables: list[Iterable[str]] = []
    for day in sorted(set(mice["dpi"])):
        for value in _FOCI_VALUES:
            today = mice[mice["dpi"] == day]
            tables.append(_foci_table(sizes, today, value=value, number=len(tables)))
    return _write(path, iter(_FOCI_NOTES), tables)


def _owners(sections: pd.DataFrame, mice: pd.DataFrame) -> dict[str, _Mouse]:
    """Whose sums a section is in; negative controls are in those of control mice only."""
    whole = {_mouse_of(row) for row in mice.to_dict("records") if _is_control(row)}
    rows = [(row, _mouse_of(row)) for row in sections.to_dict("records")]
    return {
        str(row["section"]): mouse for row, mouse in rows if not _is_control(row) or mouse in whole
    }


def _sizes(foci: pd.DataFrame, owners: Mapping[str, _Mouse]) -> dict[_Mouse, pd.DataFrame]:
    """The foci of each mouse, with a column for each of `_FOCI_VALUES`."""
    area = foci["area_um2"].astype(float)
    table = pd.DataFrame(
        {
            "cells": foci["cells"].astype(float),
            "equivalent diameter, µm": 2 * (area / math.pi) ** 0.5,
        }
    )
    found: dict[_Mouse, list[pd.DataFrame]] = {}
    for section, own in table.groupby(foci["section"].astype(str), sort=False):
        if section in owners:
            found.setdefault(owners[str(section)], []).append(own)
    return {mouse: pd.concat(parts) for mouse, parts in found.items()}


def _mouse_of(row: Mapping[Any, Any]) -> _Mouse:
    """The three columns that together name a mouse."""
    return str(row["mouse"]), str(row["group"]), float(row["dpi"])


def _write(path: Path, notes: Iterator[str], tables: Sequence[Iterable[str]]) -> Path:
    """Put the notes and the tables into one file."""
    lines = [HEAD, *_info(notes), "<TableSequence>"]
    lines += [f'<Ref ID="Table{i}"/>' for i in range(len(tables))]
    lines.append("</TableSequence>")
    for table in tables:
        lines += table
    lines.append("</GraphPadPrismFile>")
    with exported_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return path


def _text(value: object) -> str:
    return html.escape(xml_text(value), quote=False)


def _notes(cells: _Cells, days: Sequence[float], groups: Sequence[str]) -> Iterator[str]:
    """Which mouse is in which subcolumn."""
    yield "Mice of each day and group, in the order of the subcolumns. Struck-out values are mice"
    yield "with a failed section or without tissue, and negative controls."
    for day in days:
        for group in groups:
            if (day, group) in cells:
                yield f"{day:g} dpi, {group}: {', '.join(map(str, cells[day, group]['mouse']))}"


def _info(notes: Iterator[str]) -> Iterator[str]:
    yield '<InfoSequence><Ref ID="Info0"/></InfoSequence>'
    yield '<Info ID="Info0"><Title>Mice</Title><Notes>'
    yield from (_text(line) for line in notes)
    yield "</Notes></Info>"


def _table(
    cells: _Cells,
    days: Sequence[float],
    groups: Sequence[str],
    *,
    value: str,
    number: int,
    replicates: int,
) -> Iterator[str]:
    """One grouped table: rows are days, columns groups, subcolumns mice."""
    yield (
        f'<Table ID="Table{number}" XFormat="none" YFormat="replicates" '
        f'Replicates="{replicates}" TableType="TwoWay" EVFormat="AsteriskAfterNumber">'
    )
    yield f"<Title>{_text(value)}</Title>"
    yield '<RowTitlesColumn Width="81"><Subcolumn>'
    yield from (f"<d>{day:g} dpi</d>" for day in days)
    yield "</Subcolumn></RowTitlesColumn>"
    for group in groups:
        yield f'<YColumn Width="{81 * replicates}" Decimals="6" Subcolumns="{replicates}">'
        yield f"<Title>{_text(group)}</Title>"
        for index in range(replicates):
            row = "".join(_value(cells.get((day, group)), index, value) for day in days)
            yield f"<Subcolumn>{row}</Subcolumn>"
        yield "</YColumn>"
    yield "</Table>"


def _value(own: pd.DataFrame | None, index: int, value: str) -> str:
    """One mouse's number as an element; empty where there is no mouse or no number."""
    if own is None or index >= len(own) or pd.isna(own[value].iloc[index]):
        return "<d/>"
    mouse = own.iloc[index]
    excluded = ' Excluded="1"' if mouse[_STRUCK] else ""
    return f"<d{excluded}>{float(mouse[value]):.12g}</d>"


def _foci_table(
    sizes: Mapping[_Mouse, pd.DataFrame], mice: pd.DataFrame, *, value: str, number: int
) -> Iterator[str]:
    """One column table: the foci of one day, a column per mouse."""
    yield (
        f'<Table ID="Table{number}" XFormat="none" TableType="OneWay" '
        'EVFormat="AsteriskAfterNumber">'
    )
    day = f"{mice['dpi'].iloc[0]:g} dpi"
    yield f"<Title>{_text(f'{value}, {day}')}</Title>"
    for row in mice.to_dict("records"):
        own = sizes.get(_mouse_of(row))
        numbers = [] if own is None else sorted(own[value], reverse=True)
        excluded = ' Excluded="1"' if row[_STRUCK] else ""
        yield '<YColumn Width="81" Decimals="2" Subcolumns="1">'
        title = f"{row['group']}: {row['mouse']}"
        yield f"<Title>{_text(title)}</Title><Subcolumn>"
        yield "".join(f"<d{excluded}>{one:.12g}</d>" for one in numbers) or "<d/>"
        yield "</Subcolumn></YColumn>"
    yield "</Table>"


def _with_struck(mice: pd.DataFrame) -> pd.DataFrame:
    """With a column that says which mice Prism is to show and leave out of every calculation."""
    control = [_is_control(row) for row in mice.to_dict("records")]
    return mice.assign(**{_STRUCK: ~is_observed(mice) | np.array(control, bool)})


def _is_control(row: Mapping[Any, Any]) -> bool:
    control = row.get("control", "")
    return isinstance(control, str) and control != ""
