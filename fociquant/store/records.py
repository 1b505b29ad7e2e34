"""Small JSON files of a results folder; those that counts rest on carry a seal.

A damaged file is treated as absent: every one of them can be made again. One that the drive does
not let be read is an error: it may be well, and counts must not change with a bad moment. Parquet
files have checksums of their own (see :mod:`fociquant.store.objects`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fociquant.atomic import write_text
from fociquant.reading import look_at

SEAL = "seal"
"""Entry that holds the seal: the first of the file, over all that follows."""

SEALED = re.compile(rf'\s*{{\s*"{SEAL}": "([0-9a-f]{{16}})",?')
"""The beginning of a sealed file."""


def write_sealed(target: Path, content: Mapping[str, Any]) -> None:
    """Write JSON with a seal over its own text, so that damage to it is found out.

    Parameters
    ----------
    target : pathlib.Path
    content : mapping
        Plain values, no NaN; not empty.

    Raises
    ------
    DiskError
        If it cannot be written.
    """
    text = json.dumps(dict(content), indent=2, sort_keys=True, allow_nan=False)
    rest = text.removeprefix("{") + "\n"
    write_text(target, f'{{\n  "{SEAL}": "{_seal(rest)}",{rest}')


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is no such file or it is damaged.

    A file without a seal, of an earlier version or of another kind, is taken as it is.

    Raises
    ------
    UnreadableError
        If it is there and the drive does not let it be read, more than for a moment.
    """
    raw = look_at(path, Path.read_bytes)
    if raw is None:
        return None
    try:
        text = raw.decode("utf-8")
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    sealed = SEALED.match(text)
    if sealed is not None and _seal(text[sealed.end() :]) != sealed[1]:
        return None
    content.pop(SEAL, None)
    return content


def _seal(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
