"""One section planned: which channel is what, on which grid, under which keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fociquant import __version__
from fociquant.errors import ChannelError, PixelSizeError
from fociquant.io import SectionImage, Stains
from fociquant.model import Box, Channels, Section
from fociquant.segment.contract import ModelInfo
from fociquant.settings import FociSettings, GateSettings, Settings
from fociquant.study import Study
from fociquant.tiling import AnalysisGrid, Lattice
from fociquant.units import PixelSize

ALGORITHM = 6
"""Raised when the same settings would give other objects; old blocks then count as absent."""

FACTS = 10
"""Raised when the same settings would give other facts of a section; what was stored with other
facts is found again, and objects stay where their intensity scale is the same."""

SMALLEST_CELL_PX = 2.0
"""Cells narrower than this cannot be outlined; a wrong pixel size would also make the grid huge."""


SCREENED_BY = {"marker_snr": min, "autofluorescence_ratio": min, "lining_reach_um": max}
"""Rules of the gate that screening looks at, and which of two values makes it look further."""

EXHAUSTIVE = "exhaustive"
"""Key of the screen of a section in which every decode cell is counted."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What each stored piece of a section depends on; sha256, hex.

    Parameters
    ----------
    facts : str
        The image, its channels and the settings of the room ``prepare``.
    screen : str
        That, and all that screening looks at; :data:`EXHAUSTIVE` where nothing is screened.
    cells : str
        What is found and measured in one decode cell.
    section : str
        All the objects of the section: ``cells`` and ``screen``.
    """

    facts: str
    screen: str
    cells: str
    section: str

    def objects(self, mask: np.ndarray) -> str:
        """Key of the objects of the decode cells that are True in `mask`, bool (rows, columns)."""
        content = f"{self.cells} {mask.shape} ".encode() + np.packbits(mask).tobytes()
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class SectionPlan:
    """What is fixed for one section before a pixel is read, and its open image.

    Parameters
    ----------
    section : Section
    image : SectionImage
        Open.
    roles : mapping of str to int
        Role (``marker``, ``nucleus`` …) to channel index of this file.
    names : mapping of str to str
        Role to the channel's name in tables.
    pixel_size : PixelSize
        Of the image.
    grid : AnalysisGrid
    lattice : Lattice
    keys : Keys
    """

    section: Section
    image: SectionImage
    roles: Mapping[str, int]
    names: Mapping[str, str]
    pixel_size: PixelSize
    grid: AnalysisGrid
    lattice: Lattice
    keys: Keys

    @property
    def analysis_pixel(self) -> PixelSize:
        """Size of an analysis pixel, µm."""
        return self.grid.pixel_size(self.pixel_size)

    def read(self, box: Box, roles: tuple[str, ...]) -> np.ndarray:
        """Raw counts of some roles on the analysis grid.

        Parameters
        ----------
        box : Box
            On the analysis grid, inside the section.
        roles : tuple of str
            Roles without a channel come back as zeros.

        Returns
        -------
        numpy.ndarray of float32, shape (len(roles), h, w)
        """
        return read_roles(self.image, self.grid, self.roles, box, roles)


def read_roles(
    image: SectionImage,
    grid: AnalysisGrid,
    channels: Mapping[str, int],
    box: Box,
    roles: tuple[str, ...],
) -> np.ndarray:
    """Raw counts of some roles on an analysis grid; see :meth:`SectionPlan.read`."""
    source = grid.source_box(box)
    present = [role for role in roles if role in channels]
    planes = grid.resample(image.read(source, [channels[role] for role in present]), source, box)
    if len(present) == len(roles):
        return planes
    out = np.zeros((len(roles), *box.shape), np.float32)
    for index, role in enumerate(present):
        out[roles.index(role)] = planes[index]
    return out


@dataclass(frozen=True, slots=True)
class PlannedSection:
    """A :class:`SectionPlan` whose image is closed; can be sent to another process.

    Parameters
    ----------
    section, roles, names, pixel_size, grid, lattice, keys
        As in :class:`SectionPlan`.
    fingerprint, format : str
        Of the image.
    image_shape : (int, int, int)
        (C, Y, X), px.
    stains : Stains or None
        Dyes of a colour image.
    """

    section: Section
    roles: Mapping[str, int]
    names: Mapping[str, str]
    pixel_size: PixelSize
    grid: AnalysisGrid
    lattice: Lattice
    keys: Keys
    fingerprint: str
    format: str
    image_shape: tuple[int, int, int]
    stains: Stains | None = None

    @classmethod
    def of(cls, plan: SectionPlan) -> PlannedSection:
        """The same, and the image may be closed."""
        return cls(
            # A read-only view of a mapping cannot be pickled.
            replace(plan.section, extra=dict(plan.section.extra)),
            dict(plan.roles), dict(plan.names), plan.pixel_size, plan.grid, plan.lattice,
            plan.keys, plan.image.fingerprint, plan.image.format, plan.image.shape,
            getattr(plan.image, "stains", None),
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The section's name."""
        return self.section.name

    @property
    def analysis_pixel(self) -> PixelSize:
        """Size of an analysis pixel, µm."""
        return self.grid.pixel_size(self.pixel_size)

    def with_image(self, image: SectionImage) -> SectionPlan:
        """The plan with its image, opened again."""
        return SectionPlan(
            self.section, image, self.roles, self.names, self.pixel_size, self.grid, self.lattice,
            self.keys,
        )  # fmt: skip


def plan_section(
    section: Section,
    image: SectionImage,
    study: Study,
    model: ModelInfo,
    *,
    exhaustive: bool = False,
) -> SectionPlan:
    """Plan one section.

    Parameters
    ----------
    section : Section
    image : SectionImage
        Opened from ``section.image``.
    study : Study
    model : ModelInfo
    exhaustive : bool
        Every decode cell is to be counted.

    Raises
    ------
    ChannelError
        A channel of the study is not in the file.
    PixelSizeError
        Neither the file nor the study says the pixel size, or cells are too small in it.
    """
    wanted = study.channels.roles()
    roles = _roles(study.channels, image)
    names = {
        role: channel if isinstance(channel, str) else image.channel_names[roles[role]]
        for role, channel in wanted.items()
        if role in roles
    }
    pixel_size = study.pixel_size or image.pixel_size
    if pixel_size is None:
        raise PixelSizeError(
            f"{section.image_text}: the file does not say its pixel size. "
            "Write it in study.yaml, for example 'pixel_size_um: 0.325'."
        )
    diameter = study.settings.segment.diameter_um
    _check_resolution(section, diameter, pixel_size)
    grid = AnalysisGrid.for_diameter(
        image.shape[1:],
        diameter_px=(diameter / pixel_size.y, diameter / pixel_size.x),
        wanted_px=model.diameter_px,
    )
    lattice = lattice_for(grid, model)
    source = {
        "image": image.fingerprint,
        "roles": dict(roles),
        "pixel_um": [pixel_size.y, pixel_size.x],
    }
    if section.region:
        source["region"] = section.region
    keys = section_keys(source, study.settings, model, lattice, exhaustive=exhaustive)
    return SectionPlan(section, image, roles, names, pixel_size, grid, lattice, keys)


def _roles(channels: Channels, image: SectionImage) -> dict[str, int]:
    """Channel index of every role; a phenotype that the file does not have is left out."""
    roles: dict[str, int] = {}
    for role, channel in channels.roles().items():
        try:
            roles[role] = image.channel_index(channel)
        except ChannelError:
            if role not in channels.phenotype:
                raise
    return roles


def _check_resolution(section: Section, diameter_um: float, pixel_size: PixelSize) -> None:
    seen_px = diameter_um / max(pixel_size.y, pixel_size.x)
    if seen_px < SMALLEST_CELL_PX:
        raise PixelSizeError(
            f"{section.image_text}: at {pixel_size.mean:g} µm per pixel a cell of "
            f"{diameter_um:g} µm is {seen_px:.2g} pixels wide, too few to be outlined. "
            "Correct pixel_size_um, or give an image of higher resolution."
        )


def lattice_for(grid: AnalysisGrid, model: ModelInfo) -> Lattice:
    """The lattices on which this network looks at this grid."""
    return Lattice(grid.shape, model.window_core_px, model.window_margin_px, model.fixed_window)


def section_keys(
    source: Mapping[str, Any],
    settings: Settings,
    model: ModelInfo,
    lattice: Lattice,
    *,
    exhaustive: bool,
) -> Keys:
    """Keys of one section.

    Parameters
    ----------
    source : mapping
        What is looked at: the image's fingerprint, roles and pixel size; JSON values.
    settings : Settings
    model : ModelInfo
    lattice : Lattice
    exhaustive : bool

    Returns
    -------
    Keys
    """
    settings = without_place(settings)
    made_by = {"algorithm": ALGORITHM, "version": __version__, **source}
    facts = _sha256(made_by | {"facts": FACTS, "settings": settings.fingerprint("prepare")})
    used = screening_settings(settings).fingerprint("prepare", "segment", "gate")
    cells = _sha256(
        made_by
        | {
            "settings": settings.fingerprint("prepare", "segment", "measure"),
            "model": [model.sha256, model.precision, model.device.split(":")[0]],
        }
    )
    where = [*lattice.shape, lattice.decode_core_px, lattice.decode_halo_px]
    screen = _sha256({"facts": facts, "settings": used, "lattice": where})
    screen = EXHAUSTIVE if exhaustive else screen
    return Keys(facts, screen, cells, _sha256({"cells": cells, "screen": screen}))


def without_place(settings: Settings) -> Settings:
    """The same with the name of a weights file alone: weights are known by their sha256."""
    name = Path(settings.segment.model).name
    segment = settings.segment.model_copy(update={"model": name})
    return settings.model_copy(update={"segment": segment})


def screening_settings(settings: Settings) -> Settings:
    """What screening gets to see of the settings.

    Of the gate only :data:`SCREENED_BY`, each the study's or the default, whichever lets more
    pass: changing another rule, or making one of these stricter, reads no pixel.
    """
    default = GateSettings()
    looser = {
        name: further(getattr(settings.gate, name), getattr(default, name))
        for name, further in SCREENED_BY.items()
    }
    gate = default.model_copy(update=looser)
    return settings.model_copy(update={"gate": gate, "foci": FociSettings()})


def _sha256(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
