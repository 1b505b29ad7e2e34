"""What is stored of a section: facts, blocks, then its objects; and what is done at its end."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fociquant.atomic import remove, sweep, write_bytes
from fociquant.errors import ImageError, ResultsError, path_as
from fociquant.model import Section, SectionFacts
from fociquant.reading import is_file, is_folder
from fociquant.run.blocks import no_rows
from fociquant.run.jobs import Count, Prepared, reason_of
from fociquant.run.merging import merge
from fociquant.run.opened import changed, is_unchanged
from fociquant.run.plan import EXHAUSTIVE, PlannedSection, screening_settings
from fociquant.run.progress import Progress
from fociquant.run.screening import asked_places, places_key, places_of
from fociquant.run.seams import seam_report
from fociquant.settings import Settings
from fociquant.store import (
    ResultsFolder,
    facts_of,
    facts_to_json,
    has_objects,
    read_json,
    read_objects,
    write_json,
    write_labels_zarr,
    write_objects,
    write_sealed,
)
from fociquant.store.facts import is_whole, masks_from_json, masks_to_json, scale_key
from fociquant.store.objects import write_chosen
from fociquant.tiling import Block

LOOKS_AGAIN_S = (0.2, 1.0)
"""Waits before an image that is gone or another at the end of its section is looked at again, s."""

DONE, FAILED = "done", "failed"
"""Values of ``status`` in ``sections.csv``."""


MASK = "mask_"
"""Beginning of the columns of an object's mask, which ends up in the label image."""

REPEAT_COLUMNS = (
    "decode_cell", "label", "mask_y0", "mask_x0", "mask_height", "mask_width", "mask_bits",
)  # fmt: skip
"""What is needed to find objects that were reported twice."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a section once it has been prepared."""

    facts: SectionFacts
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A block with the decode cells of it that are counted."""

    block: Block
    job: Count


class Ledger:
    """The pieces of one section in the results folder, each valid under its key only.

    What is not there or damaged is made again. What is there and cannot be read raises
    :class:`UnreadableError` from whatever method looks at it, and fails the section: it may be
    well, and must not be written over because a drive is in trouble.

    Parameters
    ----------
    folder : ResultsFolder
    planned : PlannedSection
    settings : Settings
    """

    def __init__(self, folder: ResultsFolder, planned: PlannedSection, settings: Settings) -> None:
        self._folder, self._settings = folder, settings
        self.planned = planned

    def is_counted(self) -> bool:
        """Whether the section's objects are stored, and nothing that they depend on has changed."""
        state = self._state_there()
        if state.get("key") != self.planned.keys.section or self._facts_there() is None:
            return False
        return self._objects_are(str(state.get("objects_key")))

    def _state_there(self) -> dict[str, Any]:
        """What an earlier run said of the section at its end; empty if parts of it are missing."""
        state = read_json(self._folder.state(self.planned.name)) or {}
        return state if is_whole(state) else {}

    def seams_of_objects(self, facts: SectionFacts, mask: np.ndarray) -> dict[str, Any] | None:
        """The seam report of an earlier run's objects, where they can stay; else None.

        They can if the same places of the same decode cells were counted alike.
        """
        key, state = self._objects_key(facts, mask), self._state_there()
        there = state.get("objects_key") == key and self._objects_are(key)
        return dict(state["seams"]) if there else None

    def _objects_key(self, facts: SectionFacts, mask: np.ndarray) -> str:
        scale = scale_key(facts.stats, facts.shading, facts.unmixing)
        return places_key(self._asked(facts), f"{self.planned.keys.objects(mask)} {scale}")

    def _asked(self, facts: SectionFacts) -> np.ndarray | None:
        """Where objects are asked for, on the marker map; None: everywhere."""
        if self.planned.keys.screen == EXHAUSTIVE:
            return None
        return asked_places(facts, screening_settings(self._settings))

    def _objects_are(self, key: str) -> bool:
        name = self.planned.name
        stored = has_objects(self._folder.objects(name), key=key)
        return stored and is_folder(self._folder.labels(name))

    def known(self) -> Known | None:
        """Facts that an earlier run found."""
        stored = self._facts_there()
        if stored is None:
            return None
        try:
            return Known(facts_of(stored), tuple(stored["warnings"]))
        except (KeyError, TypeError, ValueError):
            return None  # damaged, and found again

    def _facts_there(self) -> dict[str, Any] | None:
        """What is stored of the facts of this very image, if its picture is there too."""
        stored = read_json(self._folder.facts(self.planned.name)) or {}
        has_picture = is_file(self._folder.overview(self.planned.name))
        return stored if stored.get("key") == self.planned.keys.facts and has_picture else None

    def keep_facts(self, found: Prepared) -> Known:
        """Store what was found."""
        name = self.planned.name
        # A picture without facts is drawn again: none stands beside those of another image.
        remove(self._folder.facts(name))
        write_bytes(self._folder.overview(name), found.picture)
        entry = {"key": self.planned.keys.facts, "warnings": list(found.warnings)}
        write_sealed(self._folder.facts(name), entry | facts_to_json(found.facts))
        return Known(found.facts, found.warnings)

    def mask(self) -> np.ndarray | None:
        """Decode cells to be counted, bool (rows, columns), if they are known."""
        cells = self.planned.lattice.cells
        if self.planned.keys.screen == EXHAUSTIVE:
            return np.ones(cells, bool)
        stored = read_json(self._folder.screen(self.planned.name)) or {}
        if stored.get("key") != self.planned.keys.screen:
            return None
        try:
            mask = masks_from_json(stored["masks"])["count"]
        except (KeyError, TypeError, ValueError):
            return None
        return mask if mask.shape == cells else None

    def keep_mask(self, mask: np.ndarray) -> None:
        """Store which decode cells are to be counted."""
        entry = {"key": self.planned.keys.screen, "masks": masks_to_json({"count": mask})}
        write_sealed(self._folder.screen(self.planned.name), entry)

    def parts(self, facts: SectionFacts, mask: np.ndarray, block_px: int) -> list[Part]:
        """The blocks with anything to count, in the order in which they are best visited."""
        parts, lattice, near = [], self.planned.lattice, self._asked(facts)
        for block in lattice.blocks(block_px):
            cells = tuple(cell for cell in block.cells if mask[cell])
            if cells:
                places = places_of(near, facts, lattice, cells, pixel=self.planned.analysis_pixel)
                job = Count(
                    self.planned, dict(facts.stats), cells, self._settings, dict(facts.shading),
                    places=places, unmixing=facts.unmixing,
                )  # fmt: skip
                parts.append(Part(block, job))
        return parts

    def has(self, part: Part) -> bool:
        """Whether a block is stored."""
        return has_objects(self._path(part), key=part.job.key)

    def keep(self, part: Part, content: bytes) -> None:
        """Store a block."""
        write_bytes(self._path(part), content)

    def _path(self, part: Part) -> Path:
        return self._folder.blocks(self.planned.name) / f"{part.block.name}.parquet"

    def finish(
        self, known: Known, mask: np.ndarray, parts: Sequence[Part], seams: dict[str, Any] | None
    ) -> None:
        """Merge the blocks, number the objects, store them and their label image.

        Objects of an earlier run stay where `seams` is their seam report.

        Raises
        ------
        ImageError
            If the image is another one now, or gone: what was read may be of both.
        ResultsError
            If the blocks are not all that were to be counted.
        """
        planned, folder = self.planned, self._folder
        self._require_same_image()
        key = self._objects_key(known.facts, mask)
        if seams is None:
            # Without its state the section is not counted: no state stands beside other objects.
            remove(folder.state(planned.name))
            seams = self._merge(parts, mask, key)
        write_sealed(folder.state(planned.name), self._state(known, mask, key, seams))
        settle(folder, planned.name)

    def _require_same_image(self) -> None:
        planned, folder = self.planned, self._folder
        if self._is_same_image():
            return
        for path in (folder.facts(planned.name), folder.screen(planned.name)):
            remove(path)
        shutil.rmtree(folder.blocks(planned.name), ignore_errors=True)
        raise changed(planned.section.image)

    def _is_same_image(self) -> bool:
        """Whether the image is what was read; looked at more than once before it is another one."""
        planned = self.planned
        for wait_s in LOOKS_AGAIN_S:
            with suppress(ImageError, OSError):
                if is_unchanged(planned.section.image, planned.fingerprint, planned.stains):
                    return True
            time.sleep(wait_s)
        return is_unchanged(planned.section.image, planned.fingerprint, planned.stains)

    def _merge(self, parts: Sequence[Part], mask: np.ndarray, key: str) -> dict[str, Any]:
        planned, folder = self.planned, self._folder
        counted = sum(len(part.job.cells) for part in parts)
        if counted != mask.sum():  # never fewer cells than were asked for, whatever happened
            raise ResultsError(
                f"{counted} of {mask.sum()} decode cells of {planned.name} were counted. "
                "Run the same command again."
            )
        paths = [self._path(part) for part in parts]
        places = [_places(path, number) for number, path in enumerate(paths)]
        nothing = no_rows(planned.roles, planned.analysis_pixel, self._settings)
        chosen = merge(places or [nothing], planned.lattice)
        write_labels_zarr(
            folder.labels(planned.name), chosen, planned.lattice, planned.analysis_pixel
        )
        seams = seam_report(chosen, planned.lattice, mask, planned.analysis_pixel)
        if len(chosen):
            bands = chosen.assign(band=chosen["decode_cell"] // planned.lattice.cells[1])
            write_chosen(folder.objects(planned.name), paths, bands, drop=MASK, key=key)
        else:
            kept = nothing.assign(cell=np.empty(0, np.int64))
            kept = kept.drop(columns=[name for name in kept.columns if name.startswith(MASK)])
            write_objects(folder.objects(planned.name), kept, key=key)
        return seams

    def _state(
        self, known: Known, mask: np.ndarray, key: str, seams: dict[str, Any]
    ) -> dict[str, Any]:
        planned = self.planned
        return {
            "key": planned.keys.section,
            "objects_key": key,
            "warnings": list(known.warnings),
            "image_fingerprint": planned.fingerprint,
            "image_shape_px": list(planned.image_shape[1:]),
            "pixel_size_um": [planned.pixel_size.y, planned.pixel_size.x],
            "analysis_pixel_um": [planned.analysis_pixel.y, planned.analysis_pixel.x],
            "channels": dict(planned.names),
            "screened": self._screened(mask),
            "decode_cells": {"all": mask.size, "counted": int(mask.sum())},
            "seams": seams,
            **facts_to_json(known.facts),
        }

    def _screened(self, mask: np.ndarray) -> float:
        """Share of the section's area that was not looked at."""
        lattice = self.planned.lattice
        skipped = sum(lattice.cell_core((int(r), int(c))).area for r, c in np.argwhere(~mask))
        return round(skipped / max(lattice.image.area, 1), 6)


def _places(path: Path, number: int) -> pd.DataFrame:
    """Where the objects of a block lie, without what was measured on them."""
    rows = read_objects(path, REPEAT_COLUMNS)
    return rows.assign(part=number, row=np.arange(len(rows)))


def settle(folder: ResultsFolder, name: str) -> None:
    """Remove what a counted section no longer needs: its blocks, an earlier failure."""
    shutil.rmtree(folder.blocks(name), ignore_errors=True)
    remove(folder.failure(name))
    sweep(folder.section(name))


def record_failure(
    section: Section, error: BaseException | str, folder: ResultsFolder, progress: Progress
) -> None:
    """Write the reason beside what an earlier run may have counted, which is left as it is."""
    text = error if isinstance(error, str) else reason_of(error)
    # Tables do not depend on where study and results lie: the image is named as the sheet names
    # it, files of the section from the results folder on.
    reason = path_as(text, section.image, section.image_text)
    reason = path_as(reason, folder.section(section.name), f"sections/{section.name}")
    write_json(folder.failure(section.name), {"reason": reason})
    progress.failed(section.name, reason)
