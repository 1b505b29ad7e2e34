"""Writing whole files only, and zip archives that are the same every time."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fociquant.atomic import cannot_write, whole_file
from fociquant.errors import ResultsError

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Date of every archive member: the earliest that a zip file can hold."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@contextmanager
def exported_file(target: Path) -> Iterator[Path]:
    """A temporary path that becomes `target` when the block ends well.

    Raises
    ------
    ResultsError
        If the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as temporary:
            yield temporary
    except OSError as error:
        told = cannot_write(target, error, cure="Choose another --out.")
        raise ResultsError(str(told)) from error


def write_zip(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write an archive whose bytes depend on names and contents only."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            entry = zipfile.ZipInfo(name, date_time=EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def xml_text(value: object) -> str:
    """Text without the control characters that XML cannot hold (``U+FFFD`` in their place)."""
    return _CONTROL.sub("\ufffd", str(value))
