"""One section opened and planned: which channel is what, on which grid, under which key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fociquant import __version__
from fociquant.errors import PixelSizeError
from fociquant.io import SectionImage
from fociquant.model import Box, Section
from fociquant.segment.contract import ModelInfo
from fociquant.settings import Settings
from fociquant.study import Study
from fociquant.tiling import AnalysisGrid, Lattice
from fociquant.units import PixelSize

ALGORITHM = 1
"""Raised when the same settings would give other objects; old blocks then count as absent."""

SMALLEST_CELL_PX = 2.0
"""Cells narrower than this cannot be outlined; a wrong pixel size would also make the grid huge."""


@dataclass(frozen=True, slots=True)
class SectionPlan:
    """What is fixed for one section before a pixel is read.

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
    key : str
        sha256 of everything that the measured objects depend on.
    """

    section: Section
    image: SectionImage
    roles: Mapping[str, int]
    names: Mapping[str, str]
    pixel_size: PixelSize
    grid: AnalysisGrid
    lattice: Lattice
    key: str

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
        source = self.grid.source_box(box)
        present = [role for role in roles if role in self.roles]
        pixels = self.image.read(source, [self.roles[role] for role in present])
        planes = self.grid.resample(pixels, source, box)
        if len(present) == len(roles):
            return planes
        out = np.zeros((len(roles), *box.shape), np.float32)
        for index, role in enumerate(present):
            out[roles.index(role)] = planes[index]
        return out


def plan_section(
    section: Section, image: SectionImage, study: Study, model: ModelInfo
) -> SectionPlan:
    """Plan one section.

    Parameters
    ----------
    section : Section
    image : SectionImage
        Opened from ``section.image``.
    study : Study
    model : ModelInfo

    Raises
    ------
    ChannelError
        A channel of the study is not in the file.
    PixelSizeError
        Neither the file nor the study says the pixel size, or cells are too small in it.
    """
    wanted = study.channels.roles()
    roles = {role: image.channel_index(channel) for role, channel in wanted.items()}
    names = {
        role: channel if isinstance(channel, str) else image.channel_names[roles[role]]
        for role, channel in wanted.items()
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
    key = objects_key(image.fingerprint, roles, pixel_size, study.settings, model)
    return SectionPlan(
        section, image, roles, names, pixel_size, grid, lattice_for(grid, model), key
    )


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


def objects_key(
    fingerprint: str,
    roles: Mapping[str, int],
    pixel_size: PixelSize,
    settings: Settings,
    model: ModelInfo,
) -> str:
    """sha256 of all that decides which objects are found and what is measured on them."""
    content = {
        "algorithm": ALGORITHM,
        "version": __version__,
        "image": fingerprint,
        "roles": dict(roles),
        "pixel_um": [pixel_size.y, pixel_size.x],
        "settings": settings.fingerprint("prepare", "segment", "measure"),
        "model": [model.sha256, model.precision, model.device.split(":")[0]],
    }
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
