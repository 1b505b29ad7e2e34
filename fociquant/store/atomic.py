"""Whole files or none: a temporary name beside the target, then a rename."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fociquant.errors import ResultsError


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that takes its place when the block ends well.

    Parameters
    ----------
    target : pathlib.Path
        Its folder is made.

    Yields
    ------
    pathlib.Path
        Does not exist yet; write to it.

    Raises
    ------
    ResultsError
        If the folder cannot be written: full, read-only, no permission.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        _discard(temporary)
        raise ResultsError(
            f"{target} cannot be written: {error.strerror or error}. "
            "Free space or choose another folder with --out."
        ) from error
    except BaseException:
        _discard(temporary)
        raise


def _discard(temporary: Path) -> None:
    # Where the folder itself is the trouble, there is nothing to remove, nothing more to tell.
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text with line feeds as line ends, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
