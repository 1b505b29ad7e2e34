"""The pieces of work of a section, done in any process: prepare, screen, count.

A job is a plain description that can be sent to another process; what it gives back is
written into the results folder by the one process that runs the study. The only place where
an error becomes a value is :func:`perform`: a failed section is a row, not a lost night.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pandas as pd

from fociquant.errors import FociquantError, ImageError, path_as
from fociquant.io import SectionImage
from fociquant.model import Box, ChannelStats, SectionFacts, Shading, Unmixing
from fociquant.prepare import corrected, prepare_section
from fociquant.report import overview_png
from fociquant.run.blocks import count_cell, flow_field
from fociquant.run.memory import give_back
from fociquant.run.opened import OpenImages
from fociquant.run.plan import PlannedSection, SectionPlan, screening_settings
from fociquant.run.screening import Places, cells_worth_counting
from fociquant.segment.contract import Segmenter
from fociquant.segment.windows import WindowCache
from fociquant.settings import Settings
from fociquant.store.facts import scale_key
from fociquant.store.objects import objects_bytes
from fociquant.tiling.lattice import Index

SMALL_SECTION_PX = 2048
"""Sections up to this edge are drawn from their full resolution."""


class InterruptedRun(Exception):  # noqa: N818 - a state, not an error
    """The run was asked to stop before this piece of work began."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the threads of one process share.

    Parameters
    ----------
    segmenter : Segmenter
    cache : WindowCache
    images : OpenImages
    stop : threading.Event
        Set when the run is to end soon.
    """

    segmenter: Segmenter
    cache: WindowCache
    images: OpenImages = field(default_factory=OpenImages)
    stop: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise if the run is to end."""
        if self.stop.is_set():
            raise InterruptedRun


@dataclass(frozen=True, slots=True)
class Prepared:
    """What :class:`Prepare` gives back."""

    facts: SectionFacts
    warnings: tuple[str, ...]
    picture: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """Instead of a result: why there is none.

    Parameters
    ----------
    reason : str
        One line for ``sections.csv``.
    again : bool
        Whether it may go well another time: a drive that answered badly.
    cell : int
        Number of the decode cell that could not be counted; -1 in other steps.
    """

    reason: str
    again: bool
    cell: int = -1


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Instead of a result: the run is to end."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Find the facts of a section and draw it."""

    planned: PlannedSection
    settings: Settings

    def on(self, desk: Desk) -> Prepared:
        """Do it."""
        with _opened(self.planned, desk) as plan:

            def forget() -> None:
                plan.image.forget_tiles()
                give_back()

            pictures: list[bytes] = []

            def draw(facts: SectionFacts, planes: Mapping[str, np.ndarray]) -> None:
                pictures.append(_picture(_evened(plan, facts.shading), facts, planes))

            reader = _Stoppable(plan.image, desk.check)
            found = prepare_section(
                reader, plan.roles, plan.pixel_size, self.settings.prepare,
                region=plan.section.region, forget=forget, draw=draw,
            )  # fmt: skip
            forget()
            warnings = (*found.warnings, *_missing(plan))
        return Prepared(found.facts, warnings, pictures[0])


@dataclass(frozen=True, slots=True)
class Screen:
    """Find the decode cells that are worth counting."""

    planned: PlannedSection
    facts: SectionFacts
    settings: Settings

    def on(self, desk: Desk) -> np.ndarray:
        """Do it: bool, (rows, columns) of decode cells."""
        seen = screening_settings(self.settings)
        with _opened(self.planned, desk) as plan:
            mask = cells_worth_counting(plan, self.facts, seen, check=desk.check)
        return np.asarray(mask, bool)


@dataclass(frozen=True, slots=True)
class Count:
    """Count some decode cells of a section.

    Parameters
    ----------
    planned : PlannedSection
    stats : mapping of str to ChannelStats
        Per role.
    cells : tuple of (int, int)
        Sorted.
    settings : Settings
    shading : mapping of str to Shading
        Of the same section.
    places : Places or None
        Only objects near these are reported; None: all.
    unmixing : Unmixing or None
        What autofluorescence explains of the marker, for the network; None: nothing is taken off.
    """

    planned: PlannedSection
    stats: Mapping[str, ChannelStats]
    cells: tuple[Index, ...]
    settings: Settings
    shading: Mapping[str, Shading] = field(default_factory=dict)
    places: Places | None = None
    unmixing: Unmixing | None = None

    @property
    def key(self) -> str:
        """Of what made the rows; blocks of another size may share a name but not this."""
        numbers = "-".join(str(self.planned.lattice.cell_number(cell)) for cell in self.cells)
        places = "" if self.places is None else f":{self.places.key}"
        scale = scale_key(self.stats, self.shading, self.unmixing)
        return f"{self.planned.keys.cells}:{scale}:{numbers}{places}"

    @property
    def pixels(self) -> int:
        """How many it looks at, halo not included."""
        return sum(self.planned.lattice.cell_core(cell).area for cell in self.cells)

    def on(self, desk: Desk) -> bytes:
        """Do it: the content of the block's file."""
        with _opened(self.planned, desk) as opened:
            plan = _evened(opened, self.shading)
            flows = flow_field(
                plan, self.stats, self.unmixing, desk.segmenter, desk.cache, check=desk.check
            )
            parts = []
            for cell in self.cells:
                desk.check()
                try:
                    parts.append(
                        count_cell(plan, self.stats, flows, cell, self.settings, places=self.places)
                    )
                except (FociquantError, OSError) as error:
                    raise _AtCell(plan.lattice.cell_number(cell)) from error
        filled = [part for part in parts if len(part)]
        rows = pd.concat(filled, ignore_index=True) if filled else parts[0]
        return objects_bytes(rows, key=self.key)


Job = Prepare | Screen | Count
Result = Prepared | np.ndarray | bytes | Failed | Interrupted


class _AtCell(Exception):  # noqa: N818 - carries the place; the error is its cause
    """A decode cell could not be counted."""

    def __init__(self, cell: int) -> None:
        self.cell = cell
        super().__init__(cell)


def perform(job: Job, desk: Desk) -> Result:
    """Do a job; whatever goes wrong becomes a value."""
    try:
        desk.check()
        return job.on(desk)
    except InterruptedRun:
        return Interrupted()
    except _AtCell as place:
        cause = place.__cause__ if isinstance(place.__cause__, Exception) else place
        return _failed(job, cause, cell=place.cell)
    except Exception as error:  # noqa: BLE001 - law 4: a failed section is a row, not a lost night
        return _failed(job, error)


def _failed(job: Job, error: Exception, *, cell: int = -1) -> Failed:
    section = job.planned.section
    # Tables do not depend on where the study lies: the image is named as the sheet names it.
    reason = path_as(reason_of(error), section.image, section.image_text)
    return Failed(reason, isinstance(error, ImageError | OSError), cell)


def reason_of(error: BaseException) -> str:
    """One line for ``sections.csv``; unexpected errors are named by their class."""
    text = " ".join(str(error).split())
    if isinstance(error, FociquantError):
        return text
    return f"unexpected {type(error).__name__}: {text}"[:500]


@contextmanager
def _opened(planned: PlannedSection, desk: Desk) -> Iterator[SectionPlan]:
    with desk.images.use(planned.section.image, planned.fingerprint, planned.stains) as image:
        yield planned.with_image(image)


def _evened(plan: SectionPlan, shading: Mapping[str, Shading]) -> SectionPlan:
    """The plan with an image whose camera fields are lit evenly."""
    image = corrected(plan.image, plan.roles, shading)
    return replace(plan, image=cast(SectionImage, image))


def _missing(plan: SectionPlan) -> list[str]:
    """What files lack in some channels only: an interrupted copy leaves a smaller count."""
    names = plan.image.channel_names
    return [
        f"{lacking} of {there} pieces of channel {names[channel]} are not in the file, where other "
        "channels have them, and were read as empty. If the image was copied, copy it again."
        for channel, (lacking, there) in plan.image.missing_pieces(
            sorted(set(plan.roles.values()))
        ).items()
    ]


class _Stoppable:
    """The pixels of an image until the run is to end: a whole slide is read in many pieces."""

    def __init__(self, image: SectionImage, check: Callable[[], None]) -> None:
        self._image, self._check = image, check

    @property
    def levels(self) -> Sequence[Any]:
        return self._image.level_outlines  # no Dask arrays: they take a while to load

    def read(self, box: Box, channels: Sequence[int], level: int = 0) -> np.ndarray:
        self._check()
        return self._image.read(box, channels, level)


def _picture(plan: SectionPlan, facts: SectionFacts, planes: Mapping[str, np.ndarray]) -> bytes:
    """``overview.png``: from all pixels where the section is small, else from `planes`."""
    if max(plan.image.shape[1:]) <= SMALL_SECTION_PX:
        whole = plan.image.read(Box.of_shape(plan.image.shape[1:]), list(plan.roles.values()))
        planes = dict(zip(plan.roles, whole, strict=True))
    return overview_png(
        planes, outline=facts.outline, artefact=facts.artefact, pixel_size=plan.pixel_size
    )
