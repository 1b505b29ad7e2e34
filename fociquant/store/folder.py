"""The layout of a results folder (see the contract in ``docs/results_folder.md``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fociquant.atomic import SHORTEN, longest_path, remove_folder, sweep
from fociquant.errors import ResultsError, said
from fociquant.store.records import read_json

MARKER = ".fociquant"
"""File that marks a folder as one that fociquant made."""


DEEPEST = 72
"""Characters of the longest path behind a section's folder: a piece of its label image, under the
name that Zarr writes it with."""


@dataclass(frozen=True, slots=True)
class ResultsFolder:
    """Paths of one results folder.

    Parameters
    ----------
    root : pathlib.Path
    """

    root: Path

    @property
    def mice(self) -> Path:
        """``mice.csv``."""
        return self.root / "mice.csv"

    @property
    def sections(self) -> Path:
        """``sections.csv``."""
        return self.root / "sections.csv"

    @property
    def foci(self) -> Path:
        """``foci.csv``."""
        return self.root / "foci.csv"

    @property
    def groups(self) -> Path:
        """``groups.csv``."""
        return self.root / "groups.csv"

    @property
    def thresholds(self) -> Path:
        """``thresholds.csv``."""
        return self.root / "thresholds.csv"

    @property
    def links(self) -> Path:
        """``foci_sensitivity.csv``."""
        return self.root / "foci_sensitivity.csv"

    @property
    def bands(self) -> Path:
        """``immune_bands.csv``, only where the study names immune markers."""
        return self.root / "immune_bands.csv"

    @property
    def comparisons(self) -> Path:
        """``comparisons.csv``."""
        return self.root / "comparisons.csv"

    @property
    def cells(self) -> Path:
        """``cells.parquet``."""
        return self.root / "cells.parquet"

    @property
    def run(self) -> Path:
        """``run.json``."""
        return self.root / "run.json"

    def section(self, name: str) -> Path:
        """Folder of one section."""
        return self.root / "sections" / name

    def blocks(self, name: str) -> Path:
        """Folder of a section's finished blocks, there until the section is done."""
        return self.section(name) / "blocks"

    def objects(self, name: str) -> Path:
        """Measured objects of one section, before the gate."""
        return self.section(name) / "objects.parquet"

    def facts(self, name: str) -> Path:
        """Tissue, background and scale of one section, as they were found."""
        return self.section(name) / "facts.json"

    def screen(self, name: str) -> Path:
        """Which parts of one section are worth counting; absent where all of it is counted."""
        return self.section(name) / "screen.json"

    def state(self, name: str) -> Path:
        """What is known of one counted section: key, facts, warnings."""
        return self.section(name) / "section.json"

    def failure(self, name: str) -> Path:
        """Why the last try at a section failed; absent if it did not."""
        return self.section(name) / "failure.json"

    def labels(self, name: str) -> Path:
        """Label image of one section."""
        return self.section(name) / "labels.ome.zarr"

    def overview(self, name: str) -> Path:
        """Picture of one section."""
        return self.section(name) / "overview.png"

    def prepare(self, *, fresh: bool = False) -> None:
        """Make the folder; `fresh` forgets what fociquant wrote into it, and nothing else.

        Raises
        ------
        ResultsError
            If it cannot be made or written, or holds files but no results.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            foreign = any(self.root.iterdir()) and not self._is_results()
            if not foreign:
                self._claim()
            if fresh and not foreign:
                self._forget()
        except OSError as error:
            raise ResultsError(
                f"{self.root} cannot be used: {said(error)}. Choose another folder with --out."
            ) from error
        if foreign:
            raise ResultsError(
                f"{self.root} holds other files and no results of fociquant. "
                "Choose an empty or new folder with --out."
            )

    def require_short(self, names: Iterable[str]) -> None:
        """Refuse sections whose files would have paths that are too long for this system.

        Raises
        ------
        ResultsError
            Only on Windows, if long paths are not switched on.
        """
        longest = longest_path()
        name = max(names, key=len, default="")
        length = len(str(self.section(name).absolute())) + DEEPEST
        if longest and length > longest:
            raise ResultsError(
                f"{self.root}: files of section {name!r} would have paths of {length} characters, "
                f"and this Windows takes {longest}. {SHORTEN} Or give sections shorter names, or "
                "switch on long paths in Windows."
            )

    def tidy(self) -> None:
        """Remove what writers that were killed left behind, beside the tables."""
        sweep(self.root)

    def _is_results(self) -> bool:
        # A folder 'sections' or a file 'run.json' may be the user's own; --fresh must not touch it.
        return (self.root / MARKER).is_file() or "fociquant" in (read_json(self.run) or {})

    def _claim(self) -> None:
        (self.root / MARKER).write_text("Results of fociquant run.\n", encoding="utf-8")

    def _forget(self) -> None:
        sections = self.root / "sections"
        if sections.exists():
            remove_folder(sections)
        tables = (self.mice, self.sections, self.foci, self.groups, self.cells)
        more = (self.comparisons, self.thresholds, self.links, self.bands)
        for path in (*tables, *more, self.run, self.root / "report.html"):
            path.unlink(missing_ok=True)
