"""Small pieces of HTML; every text from outside is escaped here and nowhere else."""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

LONG = 32
"""Longer texts of a table are wrapped, characters."""

STYLE = """
body { font: 15px/1.5 system-ui, "Segoe UI", Arial, sans-serif; color: #1a1a1a;
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; }
h2 { font-size: 1.2rem; margin-top: 2.6rem; border-bottom: 1px solid #bbb; }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
a { color: #00538a; }
.lead { color: #444; margin-top: 0; }
nav ul { columns: 3; padding-left: 1.1rem; font-size: .9rem; }
figure { margin: 1rem 0; break-inside: avoid; }
figure img { max-width: 100%; height: auto; }
figcaption { color: #444; font-size: .9rem; max-width: 60rem; }
.none { color: #444; font-style: italic; }
.paste { border: 1px solid #bbb; padding: .2rem 1rem; background: #fafafa; }
.gallery { display: flex; flex-wrap: wrap; gap: .6rem; }
.gallery figure { margin: 0; width: min-content; }
.gallery figure img { max-width: none; }
.gallery figcaption { font-size: .7rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .82rem; }
caption { text-align: left; color: #444; padding-bottom: .3rem; }
th, td { padding: .22rem .5rem; border-bottom: 1px solid #ddd; text-align: left;
  vertical-align: top; }
td { white-space: nowrap; }
td.long { white-space: normal; min-width: 14rem; }
th { border-bottom: 2px solid #888; vertical-align: bottom; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.bad td { background: #fdeee6; }
.note { border-left: 4px solid #D55E00; padding: .2rem 1rem; background: #fdf6f2; }
@media print { body { max-width: none; margin: 0; font-size: 10pt; }
  nav { display: none; } a { color: inherit; text-decoration: none; }
  h2, h3 { break-after: avoid; } tr { break-inside: avoid; }
  thead { display: table-header-group; }
  .scroll { overflow: visible; } table { font-size: 6.5pt; }
  th, td, td.long { padding: .08rem .18rem; white-space: normal; min-width: 0;
    overflow-wrap: anywhere; }
  td.number { white-space: nowrap; overflow-wrap: normal; } }
"""

_WORD = r"[^\s/\\'\",;:()]+"
_ABSOLUTE_PATH = re.compile(
    r"(?:(?<![\w.:/\\])(?:[A-Za-z]:[\\/]|\\\\|/)|file:/+)"
    rf"(?:(?:[^\s/\\'\",;:().]+ ){{0,3}}{_WORD}[\\/])+"
)
"""An absolute path up to its last separator; the name after it stays. Folders may have up
to three spaces in their names, unless a dot comes before one (that is the end of a file)."""

MIME = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}


def text(value: object) -> str:
    """Escaped text of a value, with the folders of absolute paths left out."""
    return html.escape(_ABSOLUTE_PATH.sub("", str(value)), quote=True)


def heads(name: str) -> str:
    """A column's heading, escaped, that may be broken after its underscores."""
    return text(name).replace("_", "_<wbr>")


def number(value: float) -> str:
    """Whole numbers as they are, others with four significant digits."""
    if float(value).is_integer():
        return f"{int(value)}"
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.4e}"


def cell(value: object) -> str:
    """One table cell's content; empty for a missing value."""
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, (str, bool)) or not hasattr(value, "__float__"):
        return text(value)
    return "" if math.isnan(float(value)) else number(float(value))


def _kind(value: object) -> str:
    """Sentences are wrapped; names, dates and short words are not."""
    return ' class="long"' if isinstance(value, str) and len(value) > LONG else ""


def table(frame: pd.DataFrame, *, bad: Sequence[bool] | None = None) -> str:
    """A table; rows marked in `bad` are shaded. Says so where there are no rows."""
    if not len(frame):
        return "<p>None.</p>"
    kinds = [
        ' class="number"' if pd.api.types.is_numeric_dtype(frame[name]) else ""
        for name in frame.columns
    ]
    names = "".join(f"<th{k}>{heads(n)}</th>" for n, k in zip(frame.columns, kinds, strict=True))
    marked = bad if bad is not None else [False] * len(frame)
    rows = []
    for values, is_bad in zip(frame.itertuples(index=False, name=None), marked, strict=True):
        pairs = zip(values, kinds, strict=True)
        cells = "".join(f"<td{k or _kind(v)}>{cell(v)}</td>" for v, k in pairs)
        shade = ' class="bad"' if is_bad else ""
        rows.append(f"<tr{shade}>{cells}</tr>")
    body = "\n".join(rows)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{names}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def facts(values: Mapping[str, object]) -> str:
    """A nested mapping as two columns, its keys joined by dots."""
    rows = [{"": key, "value": value} for key, value in _flat(values)]
    return table(pd.DataFrame(rows, columns=["", "value"], dtype=object))


def _flat(values: Mapping[str, object], above: str = "") -> Iterable[tuple[str, str]]:
    """Dotted keys and texts, in the mapping's order."""
    for key, value in values.items():
        name = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        elif isinstance(value, (list, tuple)):
            yield name, ", ".join(_brief(one) for one in value)
        else:
            yield name, "" if value is None else str(value)


def _brief(value: object) -> str:
    """One entry of a list; mappings as ``key value`` pairs without the empty ones."""
    if not isinstance(value, Mapping):
        return str(value)
    return " ".join(f"{key} {one}" for key, one in value.items() if one is not None)


def items(lines: Iterable[str]) -> str:
    """A list of paragraphs."""
    return "<ul>\n" + "\n".join(f"<li>{text(line)}</li>" for line in lines) + "\n</ul>"


def picture(path: Path, *, caption: str, alt: str = "") -> str:
    """An image file as a figure within the page."""
    return embedded(path.read_bytes(), path.suffix, caption=caption, alt=alt)


def embedded(content: bytes, suffix: str, *, caption: str, alt: str = "") -> str:
    """The content of an image file as a figure within the page.

    Parameters
    ----------
    content : bytes
    suffix : str
        A key of `MIME`.
    caption, alt : str
        Below the picture, and for who cannot see it; without `alt` the caption stands in.
    """
    source = f"data:{MIME[suffix]};base64,{base64.b64encode(content).decode('ascii')}"
    return (
        f'<figure><img alt="{text(alt or caption)}" src="{source}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def absent(reason: str) -> str:
    """A sentence where a picture or a table would stand."""
    return f'<p class="none">{text(reason)}</p>'


def heading(title: str, anchor: str, *, level: int = 2) -> str:
    """A heading that a link of the page can lead to; `anchor` is of letters and hyphens."""
    return f'<h{level} id="{anchor}">{text(title)}</h{level}>'


def contents(entries: Iterable[tuple[str, str]]) -> str:
    """Links to headings, from (title, anchor)."""
    lines = [f'<li><a href="#{anchor}">{text(title)}</a></li>' for title, anchor in entries]
    return '<nav aria-label="Contents"><ul>\n' + "\n".join(lines) + "\n</ul></nav>"


def page(title: str, body: Iterable[str]) -> str:
    """A whole document that loads nothing from anywhere and runs nothing."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )
    return head + "\n".join(body) + "\n</body>\n</html>\n"
