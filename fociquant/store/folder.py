"""The layout of a results folder (see the contract in ``docs/results_folder.md``)."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fociquant.errors import ResultsError
from fociquant.store.atomic import write_text


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

    def state(self, name: str) -> Path:
        """What is known of one section: keys, facts, status."""
        return self.section(name) / "section.json"

    def labels(self, name: str) -> Path:
        """Label image of one section."""
        return self.section(name) / "labels.ome.zarr"

    def prepare(self, *, fresh: bool) -> None:
        """Make the folder; `fresh` forgets what fociquant wrote into it, and nothing else.

        Raises
        ------
        ResultsError
            If it cannot be made, or holds files but no results.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            foreign = any(self.root.iterdir()) and not self._is_results()
        except OSError as error:
            raise ResultsError(
                f"{self.root} cannot be used: {error.strerror}. Choose another folder with --out."
            ) from error
        if foreign:
            raise ResultsError(
                f"{self.root} holds other files and no results of fociquant. "
                "Choose an empty or new folder with --out."
            )
        if fresh:
            self._forget()

    def _is_results(self) -> bool:
        return self.run.exists() or (self.root / "sections").is_dir()

    def _forget(self) -> None:
        shutil.rmtree(self.root / "sections", ignore_errors=True)
        for path in (self.mice, self.sections, self.foci, self.groups, self.cells, self.run):
            path.unlink(missing_ok=True)


def write_json(target: Path, content: Any) -> None:
    """Write JSON atomically: sorted keys, two spaces, no NaN."""
    write_text(target, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is no such file or it is damaged.

    A damaged file is treated as absent because every JSON file here can be made again.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
