"""Small files of a review, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fociquant.atomic import write_text

CURE = "Free space or ask for permission to write there."


def write_json(target: Path, content: Any) -> None:
    """Write JSON, sorted, one space of indent.

    Raises
    ------
    DiskError
        If it cannot be written.
    """
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_text(target, text, cure=CURE)
