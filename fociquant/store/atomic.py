"""Whole files or none: a temporary name beside the target, then a rename."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fociquant.errors import DiskError

TEMPORARY = ".tmp"
"""Ending of files that are being written; their names begin with a dot."""


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
    DiskError
        If the folder cannot be written: full, read-only, no permission.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}{TEMPORARY}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        temporary.replace(target)
    except OSError as error:
        _discard(temporary)
        raise cannot_write(target, error) from error
    except BaseException:
        _discard(temporary)
        raise


def cannot_write(target: Path, error: OSError) -> DiskError:
    """The error for a target that the disk does not take."""
    return DiskError(
        f"{target} cannot be written: {error.strerror or error}. "
        "Free space or choose another folder with --out."
    )


def _flush(temporary: Path) -> None:
    # A rename may reach the disk before the content does; a power cut would leave an empty file.
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())


def _discard(temporary: Path) -> None:
    # Where the folder itself is the trouble, there is nothing to remove, nothing more to tell.
    with suppress(OSError):
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left in a folder."""
    for stale in folder.glob(f".*{TEMPORARY}"):
        _discard(stale)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text with line feeds as line ends, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)
