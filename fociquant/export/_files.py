"""Writing whole files only, and zip archives that are the same every time."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fociquant.errors import ResultsError

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Date of every archive member: the earliest that a zip file can hold."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A temporary path that becomes `target` when the block ends well.

    Raises
    ------
    ResultsError
        If the folder cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise ResultsError(
            f"{target} cannot be written: {error.strerror or error}. Choose another --out."
        ) from error
    finally:
        with suppress(OSError):  # the folder itself may be the problem
            temporary.unlink(missing_ok=True)


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
