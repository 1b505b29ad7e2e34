"""A results folder as the viewer reads it: tables, facts, where the images are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fociquant.errors import FociquantError, ImageError, ResultsError
from fociquant.io import SectionImage, open_image
from fociquant.model import SectionFacts
from fociquant.store import ResultsFolder, facts_of, read_csv, read_json
from fociquant.study.naming import locate
from fociquant.units import PixelSize
from napari_fociquant._sample import sample_images

FORMAT = 1
"""Of ``run.json``; the only one that this version reads."""

TEXT = ("section", "image", "mouse", "group", "status", "reason", "warnings", "control", "batch",
        "class", "reviewed", "excluded")  # fmt: skip
"""Columns that are text even where they look like numbers."""


class Results:
    """One results folder, read once.

    Parameters
    ----------
    root : pathlib.Path

    Raises
    ------
    ResultsError
        If there are no results, or they are of another version, or damaged; the message
        says what to do.
    """

    def __init__(self, root: Path) -> None:
        self.folder = ResultsFolder(Path(root).absolute())
        self.record = _record(self.folder)
        self.sections = read_csv(self.folder.sections, text=TEXT)
        rows: list[Any] = self.sections.to_dict(orient="records")
        self._rows: dict[str, Mapping[str, Any]] = {str(row["section"]): row for row in rows}
        self.stamp = _stamp(self.folder)

    @property
    def root(self) -> Path:
        """The folder."""
        return self.folder.root

    @property
    def channel_names(self) -> Mapping[str, str]:
        """Role to channel."""
        names: Mapping[str, str] = self.record["channel_names"]
        return names

    @property
    def classes(self) -> list[str]:
        """Focus classes of the profile, smallest first."""
        return [str(one["name"]) for one in self.record["profile"]["classes"]]

    def changed(self) -> bool:
        """Whether somebody has counted again since these results were read."""
        return _stamp(self.folder) != self.stamp

    def row(self, section: str) -> Mapping[str, Any]:
        """The section's row of ``sections.csv``; empty where it has none."""
        return self._rows.get(section, {})

    def facts(self, section: str) -> SectionFacts:
        """What was found once for a whole section.

        Raises
        ------
        ResultsError
            If it was not counted, or its file is damaged.
        """
        state = read_json(self.folder.state(section))
        try:
            return facts_of(state or {})
        except (KeyError, TypeError, ValueError) as error:
            raise ResultsError(
                f"section {section}: what is known of it cannot be read ({error!r}). "
                "Run the study again; what is finished is not counted twice."
            ) from error

    def shape(self, section: str) -> tuple[int, int]:
        """Height and width of its image, px."""
        _, height, width = self.record["images"][section]["shape"]
        return int(height), int(width)

    def pixel_size(self, section: str) -> PixelSize:
        """The one its objects were measured with."""
        return PixelSize(*self.record["images"][section]["pixel_size_um"])

    def foci(self, section: str) -> pd.DataFrame:
        """Rows of ``foci.csv`` of a section."""
        table = read_csv(self.folder.foci, text=TEXT)
        return table[table["section"] == section].reset_index(drop=True)

    def mice(self) -> pd.DataFrame:
        """``mice.csv`` as it is now.

        Raises
        ------
        ResultsError
            If it is absent or damaged.
        """
        return read_csv(self.folder.mice, text=TEXT)

    def open_section_image(self, section: str, folders: Iterable[Path]) -> SectionImage:
        """The image that was counted.

        Parameters
        ----------
        section : str
        folders : iterable of pathlib.Path
            Where to look besides the usual places.

        Raises
        ------
        ImageError
            If it is nowhere, or what is there is another image than the one counted.
        """
        text = next(str(o["image"]) for o in self.record["sections"] if o["name"] == section)
        expected = self.record["images"][section]["fingerprint"]
        other = False
        for folder in [*folders, *self.usual_folders()]:
            path = locate(text, folder)
            if not path.exists():
                continue
            image = open_image(path)
            if image.fingerprint == expected:
                return image
            other = True
            image.close()
        if other:
            raise ImageError(
                "The image of this section has changed since it was counted: outlines would not "
                "fit it. Put the old image back, or run the study again."
            )
        raise ImageError(
            "The image of this section is not where it was when it was counted. "
            "Say where the folder of the study is now: 'Where are the images? …'."
        )

    def usual_folders(self) -> list[Path]:
        """Folders in which the images may lie: around the results, and the sample images."""
        return [*self.root.parents[:3], self.root, sample_images()]


def _record(folder: ResultsFolder) -> dict[str, Any]:
    record = read_json(folder.run)
    if record is None:
        raise ResultsError(f"{folder.root} holds no results of fociquant (no run.json).")
    if record.get("format") != FORMAT:
        raise ResultsError(
            f"These results were made by another version of fociquant "
            f"({record.get('fociquant', 'unknown')}). Run the study again with this version: "
            "decisions that were made stay, and are found again by place and outline."
        )
    for key in ("images", "channel_names", "profile", "sections", "settings"):
        if key not in record:
            raise ResultsError(
                f"{folder.run} is damaged ({key!r} is missing). Run the study again."
            )
    return record


def _stamp(folder: ResultsFolder) -> tuple[float, int]:
    try:
        state = folder.cells.stat()
    except OSError:
        return (0.0, 0)
    return (state.st_mtime, state.st_ino)


def is_results(path: Path) -> bool:
    """Whether a folder holds results of fociquant."""
    try:
        return path.is_dir() and "fociquant" in (read_json(path / "run.json") or {})
    except FociquantError:
        return False  # what cannot be read is nothing that we could show


def plain(error: FociquantError) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())
