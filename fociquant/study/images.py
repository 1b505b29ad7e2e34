"""Where the images of a sheet are, and near names for those that are not."""

from __future__ import annotations

from pathlib import Path

from fociquant.errors import Problem
from fociquant.study.naming import is_absolute, leaves_folder, locate
from fociquant.study.spelling import did_you_mean

_MAX_LISTED = 5000
"""Folders with more entries are not searched for near names."""

_MAX_SUGGESTIONS = 20
"""Near names are looked for this often: after that, the whole folder is somewhere else."""

_ZARR_FILES = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
"""One of these makes a folder an image (Zarr 3 and 2)."""


class ImageFinder:
    """Finds images relative to a sheet; remembers the folders it has listed.

    Parameters
    ----------
    folder : Path
        Folder of the sheet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._suggestions = 0
        self._listings: dict[Path, list[str]] = {}

    def find(self, text: str, where: str) -> tuple[Path | None, Problem | None]:
        """The image that a cell names, or the problem with it.

        Parameters
        ----------
        text : str
            As the sheet has it, not empty.
        where : str
            File, line and column, for the message.

        Returns
        -------
        image : Path or None
            Absolute; a file, or a folder that holds Zarr metadata.
        problem : Problem or None
            Exactly one of the two is None.
        """
        if leaves_folder(text):
            what = f"{text!r} leads out of the study's folder."
            return None, Problem(where, what, "Move the image, or write its absolute path.")
        try:
            return self._existing(text, where)
        except (OSError, ValueError) as error:
            what = f"image {text!r} cannot be reached: {_reason(error)}."
            return None, Problem(where, what, "Check the path and its permissions.")

    def _existing(self, text: str, where: str) -> tuple[Path | None, Problem | None]:
        path = locate(text, self._folder)
        if path.is_dir() and not any((path / name).exists() for name in _ZARR_FILES):
            what = f"{text!r} is a folder, not an image."
            return None, Problem(where, what, "Name an image file, or an OME-Zarr folder.")
        if path.exists():
            return path, None
        return None, Problem(where, f"image {text!r} does not exist.", self._cure(text, path))

    def _cure(self, text: str, path: Path) -> str:
        start = "" if is_absolute(text) else f"Paths start from {self._folder}. "
        self._suggestions += 1
        names = self._names(path.parent) if self._suggestions <= _MAX_SUGGESTIONS else []
        return f"{did_you_mean(path.name, names)}{start}Correct the path."

    def _names(self, folder: Path) -> list[str]:
        if folder not in self._listings:
            found: list[str] = []
            if folder.is_dir():
                for entry in folder.iterdir():
                    found.append(entry.name)
                    if len(found) > _MAX_LISTED:
                        break
            self._listings[folder] = sorted(found)
        return self._listings[folder]


def _reason(error: Exception) -> str:
    """What the system says, without the path that the message has already."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
