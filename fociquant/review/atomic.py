"""Small files of a review, whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from fociquant.errors import DiskError


def write_json(target: Path, content: Any) -> None:
    """Write JSON under a temporary name, then rename.

    Raises
    ------
    DiskError
        If it cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DiskError(
            f"{target} cannot be written: {error.strerror or error}. "
            "Free space or ask for permission to write there."
        ) from error
