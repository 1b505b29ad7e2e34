"""GraphPad Prism: grouped tables with the mice side by side.

The format is the XML of Prism 5 (``.pzfx``), which every later version opens. A
grouped table (``TwoWay``) has a row per day, a column per group and a subcolumn
per mouse.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fociquant.export._files import whole_file, xml_text

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<GraphPadPrismFile xmlns="http://graphpad.com/prism/Prism.htm" PrismXMLVersion="5.00">\n'
)


_Cells = dict[Any, pd.DataFrame]
"""(dpi, group) to the mice there."""


def write_prism(path: Path, mice: pd.DataFrame, *, values: Sequence[str]) -> Path:
    """Write one grouped Prism table for each of `values`.

    Mice with a failed section and negative controls are there, struck out
    (``Excluded``): Prism shows them and leaves them out of every calculation.
    The project notes name the mouse in each subcolumn.

    Parameters
    ----------
    path : pathlib.Path
        Ending in ``.pzfx``.
    mice : pandas.DataFrame
        ``mouse``, ``group``, ``dpi``, ``sections_failed``, optionally
        ``control``, and the columns named in `values`. Columns of the Prism
        tables follow the order in which groups appear.
    values : sequence of str
        Columns of numbers; an empty one stays empty.

    Returns
    -------
    pathlib.Path
        `path`.
    """
    groups = list(dict.fromkeys(mice["group"]))
    days = sorted(set(mice["dpi"]))
    cells: _Cells = dict(list(mice.groupby(["dpi", "group"], sort=False)))
    most = max((len(own) for own in cells.values()), default=1)
    lines = [HEAD, *_info(_notes(cells, days, groups)), "<TableSequence>"]
    lines += [f'<Ref ID="Table{i}"/>' for i in range(len(values))]
    lines.append("</TableSequence>")
    for index, value in enumerate(values):
        lines += _table(cells, days, groups, value=value, number=index, replicates=most)
    lines.append("</GraphPadPrismFile>")
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return path


def _text(value: object) -> str:
    return html.escape(xml_text(value), quote=False)


def _notes(cells: _Cells, days: Sequence[float], groups: Sequence[str]) -> Iterator[str]:
    """Which mouse is in which subcolumn."""
    yield "Mice of each day and group, in the order of the subcolumns. Struck-out values are mice"
    yield "with a failed section and negative controls."
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
    control = mouse.get("control", "")
    struck = mouse["sections_failed"] > 0 or (isinstance(control, str) and control != "")
    excluded = ' Excluded="1"' if struck else ""
    return f"<d{excluded}>{float(mouse[value]):.12g}</d>"
