"""Files whose structure a parser or codec cannot follow."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from fociquant.errors import (
    CorruptImageError,
)

READ_ERRORS = (
    ValueError, RuntimeError, TypeError, LookupError, AttributeError, ArithmeticError, OSError,
    EOFError, MemoryError, AssertionError, struct.error, zlib.error,
)  # fmt: skip
"""What parsers and codecs raise on damaged data."""


def in_short(error: BaseException) -> str:
    """One short line of what a codec or parser says."""
    text = " ".join(str(error).split())
    return text[:160] or type(error).__name__


def damaged(path: Path, what: str, error: BaseException) -> CorruptImageError:
    """The error for a file whose structure a parser cannot follow."""
    return CorruptImageError(
        f"{path}: {what} cannot be read ({in_short(error)}). The file is truncated or damaged; "
        "copy or export it again."
    )
