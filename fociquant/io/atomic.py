"""Files that appear complete or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that becomes `target` if the block succeeds.

    Parameters
    ----------
    target : Path
        The file to make. Its folder must exist. A file already there is replaced.

    Yields
    ------
    Path
        An empty file in the same folder (a rename across disks is not atomic).
        Close every handle to it before the block ends: Windows cannot rename an open file.

    Raises
    ------
    OSError
        The folder does not exist or cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    temporary.open("xb").close()
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
