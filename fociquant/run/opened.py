"""The images that a process holds open: few, shared by its threads, checked when opened."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fociquant.errors import ImageError
from fociquant.io import SectionImage, Stains, open_image

IDLE_IMAGES = 2
"""Images kept open although nobody reads them: neighbouring blocks share decoded tiles."""

_Name = tuple[Path, str]


class OpenImages:
    """Open images by path and fingerprint; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[_Name, SectionImage] = OrderedDict()
        self._users: dict[_Name, int] = {}

    @contextmanager
    def use(
        self, path: Path, fingerprint: str, stains: Stains | None = None
    ) -> Iterator[SectionImage]:
        """An open image, not closed before the block ends.

        Parameters
        ----------
        path : pathlib.Path
        fingerprint : str
            That it must have.
        stains : Stains, optional
            Dyes of a colour image.

        Raises
        ------
        ImageError
            If it cannot be opened, or is another image now.
        """
        name = (path, fingerprint)
        with self._lock:
            image = self._open.get(name) or _opened(path, fingerprint, stains)
            self._open[name] = image
            self._open.move_to_end(name)
            self._users[name] = self._users.get(name, 0) + 1
        try:
            yield image
        finally:
            with self._lock:
                self._users[name] -= 1
                self._close_idle(IDLE_IMAGES)

    def close(self) -> None:
        """Close every image that is not being read."""
        with self._lock:
            self._close_idle(0)

    def _close_idle(self, kept: int) -> None:
        idle = [name for name in self._open if not self._users[name]]
        for name in idle[: max(0, len(idle) - kept)]:
            self._open.pop(name).close()
            del self._users[name]


def is_unchanged(path: Path, fingerprint: str, stains: Stains | None = None) -> bool:
    """Whether an image that was read is still the same.

    Parameters
    ----------
    path : pathlib.Path
    fingerprint : str
        That it had.
    stains : Stains, optional
        Dyes of a colour image.

    Raises
    ------
    ImageError
        If it can no longer be opened.
    """
    with open_image(path, stains=stains) as image:
        return image.fingerprint == fingerprint


def changed(path: Path) -> ImageError:
    """The error for an image that is another one now."""
    return ImageError(
        f"{path}: the file was changed while it was being counted. "
        "Let it rest, and run the same command again."
    )


def _opened(path: Path, fingerprint: str, stains: Stains | None) -> SectionImage:
    image = open_image(path, stains=stains)
    if image.fingerprint != fingerprint:
        image.close()
        raise changed(path)
    return image
