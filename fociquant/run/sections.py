"""The life of one section: prepared, its blocks counted, merged, stored."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from fociquant.errors import FociquantError
from fociquant.io import SectionImage
from fociquant.model import Box, Section, SectionFacts
from fociquant.prepare import prepare_section
from fociquant.report import write_overview
from fociquant.run.blocks import count_block, flow_field
from fociquant.run.merging import merge
from fociquant.run.plan import SectionPlan
from fociquant.run.progress import Progress
from fociquant.segment.contract import Segmenter
from fociquant.segment.windows import FlowField, WindowCache
from fociquant.settings import Settings
from fociquant.store import (
    ResultsFolder,
    facts_to_json,
    has_objects,
    read_json,
    read_objects,
    write_json,
    write_labels_zarr,
    write_objects,
)
from fociquant.store.atomic import sweep
from fociquant.tiling import Block

SMALL_SECTION_PX = 2048
"""Sections up to this edge are drawn from their full resolution."""

DONE, FAILED = "done", "failed"
"""Values of ``status`` in ``sections.csv``."""


@dataclass(frozen=True, slots=True)
class Work:
    """What all sections of a run share.

    Parameters
    ----------
    folder : ResultsFolder
    settings : Settings
    segmenter : Segmenter
    cache : WindowCache
    progress : Progress
    stop : threading.Event
        Set when the run is to end soon; blocks not begun are then left for the next run.
    """

    folder: ResultsFolder
    settings: Settings
    segmenter: Segmenter
    cache: WindowCache
    progress: Progress
    stop: threading.Event = field(default_factory=threading.Event)


class InterruptedRun(Exception):  # noqa: N818 - a state, not an error
    """The run was asked to stop before this piece of work began."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A section ready to be counted."""

    plan: SectionPlan
    facts: SectionFacts
    warnings: tuple[str, ...]
    overview: Mapping[str, np.ndarray]
    field: FlowField


def is_counted(folder: ResultsFolder, name: str, key: str) -> bool:
    """Whether the section's objects were stored under this key."""
    state = read_json(folder.state(name))
    if state is None or state.get("key") != key:
        return False
    return has_objects(folder.objects(name), key=key) and folder.labels(name).is_dir()


def prepare(plan: SectionPlan, work: Work) -> Prepared:
    """Find the facts of a section.

    Raises
    ------
    SectionFailed
        If its pixels cannot be read.
    """
    _check_stop(work)
    check = partial(_check_stop, work)
    reader = _Stoppable(plan.image, check)
    found = prepare_section(reader, plan.roles, plan.pixel_size, work.settings.prepare)
    windows = flow_field(plan, found.facts, work.segmenter, work.cache, check=check)
    work.progress.note(plan.section.name, found.warnings)
    return Prepared(plan, found.facts, found.warnings, found.overview, windows)


class _Stoppable:
    """The pixels of an image until the run is to end: a whole slide is read in many pieces."""

    def __init__(self, image: SectionImage, check: Callable[[], None]) -> None:
        self._image, self._check = image, check

    @property
    def levels(self) -> Sequence[Any]:
        return self._image.levels

    def read(self, box: Box, channels: Sequence[int], level: int = 0) -> np.ndarray:
        self._check()
        return self._image.read(box, channels, level)


def count(prepared: Prepared, block: Block, work: Work) -> None:
    """Count one block and store it; a block stored under the same key is left as it is."""
    _check_stop(work)
    plan = prepared.plan
    target = work.folder.blocks(plan.section.name) / f"{block.name}.parquet"
    if not has_objects(target, key=_block_key(plan, block)):
        rows = count_block(plan, prepared.facts, prepared.field, block, work.settings)
        write_objects(target, rows, key=_block_key(plan, block))
    pixels = sum(plan.lattice.cell_core(cell).area for cell in block.cells)
    work.progress.advance(plan.section.name, pixels)


def finish(prepared: Prepared, blocks: list[Block], work: Work) -> None:
    """Merge a section's blocks, number its objects, store them and their label image."""
    plan, folder = prepared.plan, work.folder
    name = plan.section.name
    paths = [folder.blocks(name) / f"{block.name}.parquet" for block in blocks]
    objects = merge([read_objects(path) for path in paths], plan.lattice)
    write_labels_zarr(folder.labels(name), objects, plan.lattice, plan.analysis_pixel)
    _draw_overview(prepared, folder)
    kept = objects.drop(columns=[c for c in objects.columns if c.startswith("mask_")])
    write_objects(folder.objects(name), kept, key=plan.key)
    write_json(folder.state(name), _state(prepared))
    settle(folder, name)
    plan.image.close()


def _draw_overview(prepared: Prepared, folder: ResultsFolder) -> None:
    """``overview.png``: from all pixels where the section is small, else from the overview grid."""
    plan, facts = prepared.plan, prepared.facts
    planes = prepared.overview
    if max(plan.image.shape[1:]) <= SMALL_SECTION_PX:
        whole = plan.image.read(Box.of_shape(plan.image.shape[1:]), list(plan.roles.values()))
        planes = dict(zip(plan.roles, whole, strict=True))
    target = folder.overview(plan.section.name)
    write_overview(target, planes, outline=facts.outline, artefact=facts.artefact)


def settle(folder: ResultsFolder, name: str) -> None:
    """Remove what a counted section no longer needs: its blocks, an earlier failure."""
    shutil.rmtree(folder.blocks(name), ignore_errors=True)
    folder.failure(name).unlink(missing_ok=True)
    sweep(folder.section(name))


def _block_key(plan: SectionPlan, block: Block) -> str:
    # Blocks of another size may have the same name; the cells tell them apart.
    return f"{plan.key}:{block.cells[0]}-{block.cells[-1]}"


def _check_stop(work: Work) -> None:
    if work.stop.is_set():
        raise InterruptedRun


def _state(prepared: Prepared) -> dict[str, Any]:
    plan, facts = prepared.plan, prepared.facts
    return {
        "key": plan.key,
        "warnings": list(prepared.warnings),
        "image_fingerprint": plan.image.fingerprint,
        "image_shape_px": list(plan.image.shape[1:]),
        "pixel_size_um": [plan.pixel_size.y, plan.pixel_size.x],
        "analysis_pixel_um": [plan.analysis_pixel.y, plan.analysis_pixel.x],
        "channels": dict(plan.names),
        **facts_to_json(facts),
    }


def fail(plan: SectionPlan, error: Exception, work: Work) -> None:
    """Record that a section could not be counted, and why; what it has is kept for a next try."""
    record_failure(plan.section, error, work.folder, work.progress)
    plan.image.close()


def record_failure(
    section: Section, error: Exception, folder: ResultsFolder, progress: Progress
) -> None:
    """Write the reason beside what an earlier run may have counted, which is left as it is."""
    # Tables do not depend on where the study lies: the image is named as the sheet names it.
    reason = reason_of(error).replace(str(section.image), section.image_text)
    write_json(folder.failure(section.name), {"reason": reason})
    progress.failed(section.name, reason)


def reason_of(error: Exception) -> str:
    """One line for ``sections.csv``; unexpected errors are named by their class."""
    text = " ".join(str(error).split())
    if isinstance(error, FociquantError):
        return text
    return f"unexpected {type(error).__name__}: {text}"[:500]
