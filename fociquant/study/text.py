"""The bytes of a small text file to text, whatever program wrote it."""

from __future__ import annotations

import codecs
import unicodedata
from pathlib import Path

from fociquant.errors import Problem, said

MAX_SHEET_BYTES = 32 * 2**20
"""A larger file is no sample sheet, bytes."""

MAX_STUDY_BYTES = 2**20
"""A larger file is no study file, bytes; parsing YAML costs seconds per megabyte."""

_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of .xlsx and .ods (zip) and of .xls (OLE2)."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(data: bytes) -> str:
    """Text of a file written by Excel, LibreOffice or a text editor.

    UTF-8 and UTF-16 with or without a byte-order mark, else Windows-1252.

    Raises
    ------
    UnicodeDecodeError
        If it is none of these.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data.decode(encoding)
    if b"\0" in data:
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def read_text(path: Path, *, what: str, cure: str, max_bytes: int) -> tuple[str, list[Problem]]:
    """The text of a small file, or the problem that it cannot be read.

    Parameters
    ----------
    path : Path
        Absolute path of the file.
    what : str
        For messages: ``the sample sheet``.
    cure : str
        What to do if the file does not exist.
    max_bytes : int
        A larger file is not read.

    Returns
    -------
    text : str
        ``""`` if there is a problem.
    problems : list of Problem
        At most one.
    """
    try:
        if path.is_dir():
            return "", [Problem(path.name, f"{what} is a folder, not a file.", cure)]
        if path.stat().st_size > max_bytes:
            size = f"more than {max_bytes // 2**20} MB"
            return "", [Problem(path.name, f"{what} has {size}.", "Is it the right file?")]
        data = path.read_bytes()
    except FileNotFoundError:
        return "", [Problem(path.name, f"{what} does not exist ({path}).", cure)]
    except (OSError, ValueError) as error:
        return "", [Problem(path.name, f"{what} cannot be read: {said(error)}.", "Check the file.")]
    return _as_text(data, path, what)


def _as_text(data: bytes, path: Path, what: str) -> tuple[str, list[Problem]]:
    if data.startswith(_SPREADSHEETS):
        saved = "In Excel or LibreOffice: File > Save as > CSV UTF-8; then name that file here."
        return "", [Problem(path.name, f"{what} is a spreadsheet file, not text.", saved)]
    try:
        text = decode(data)
    except UnicodeDecodeError:
        text = "\0"
    if any(unicodedata.category(letter) == "Cc" for letter in set(text) - set("\t\r\n\f\x85")):
        cure = (
            "Save it as UTF-8 text."
            if path.suffix in (".yaml", ".yml")
            else "Save it as CSV UTF-8."
        )
        return "", [Problem(path.name, f"{what} is not a text file.", cure)]
    return text, []
