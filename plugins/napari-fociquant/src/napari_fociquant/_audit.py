"""The sample of an audit as pictures: one place after the other, from any section."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fociquant.errors import ResultsError
from fociquant.io import SectionImage
from fociquant.review import AuditItem
from napari_fociquant._colours import role_colours
from napari_fociquant._crops import CROP_UM, CropReader, colour_crop
from napari_fociquant._layers import contrast
from napari_fociquant._results import Results

PICTURE_PX = 400
"""Pictures are read from the level on which they have about so many pixels along an edge."""

WIDE = 3.0
"""How much more a wide picture of an object shows, to see what it is part of."""

MARGIN = 1.15
"""A field is shown with so much around it."""

BRIGHT = 99.5
"""Percentile of a picture that is full: in a section with hardly a cell the section's own limits
would show every bright object as a white spot without a membrane."""

IMAGES = 6
"""Images held open: neighbouring items lie in different sections."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is shown of one item; nothing of it tells what the program thinks.

    Parameters
    ----------
    pixels : numpy.ndarray of float32, shape (roles, h, w)
        In the order of the run's channels.
    frame_um : tuple of float
        (y0, x0, y1, x1) of the picture in its section, µm.
    limits : list of (float, float)
        Contrast of each role.
    colours : list of str
    """

    pixels: np.ndarray
    frame_um: tuple[float, float, float, float]
    limits: list[tuple[float, float]]
    colours: list[str]

    def coloured(self, shown: Sequence[bool]) -> np.ndarray:
        """As it is drawn, uint8, shape (h, w, 3)."""
        return colour_crop(self.pixels, self.limits, self.colours, shown)


class AuditPictures:
    """Reads pictures of items; used by one thread.

    Parameters
    ----------
    results : Results
    folders : sequence of pathlib.Path
        Where images may be, besides the usual places.
    """

    def __init__(self, results: Results, folders: Sequence[Path]) -> None:
        self._results, self._folders = results, list(folders)
        self._images: OrderedDict[str, SectionImage] = OrderedDict()
        self._limits: dict[str, list[tuple[float, float]]] = {}

    def read(self, item: AuditItem, wide: bool) -> Picture:
        """The picture of one item.

        Raises
        ------
        ImageError
            The image is not there, is another one, or cannot be read.
        ResultsError
            What is known of the section cannot be read.
        """
        section, results = item.section, self._results
        image = self._image(section)
        roles = {
            role: image.channel_index(name) for role, name in results.channel_names.items()
        }  # fmt: skip
        reader = CropReader(
            image, list(roles.values()), results.pixel_size(section), edge_um=edge_of(item, wide),
            edge_px=PICTURE_PX,
        )  # fmt: skip
        place = item.centre_um
        colours = list(role_colours(roles).values())
        pixels = reader.read(*place)
        limits = [
            (low, max(high, float(np.percentile(plane, BRIGHT))))
            for (low, high), plane in zip(self._contrast(section), pixels, strict=True)
        ]
        return Picture(pixels, reader.frame_um(*place), limits, colours)

    def _contrast(self, section: str) -> list[tuple[float, float]]:
        """Limits of each role: those that the slide is shown with."""
        if section not in self._limits:
            stats = self._results.facts(section).stats
            self._limits[section] = [contrast(stats[role]) for role in self._results.channel_names]
        return self._limits[section]

    def _image(self, section: str) -> SectionImage:
        image = self._images.get(section)
        if image is None:
            try:
                image = self._results.open_section_image(section, self._folders)
            except (KeyError, IndexError) as error:
                raise ResultsError(
                    "This place lies in a section that is no longer in the study. Draw the "
                    "sample again."
                ) from error
            self._images[section] = image
        self._images.move_to_end(section)
        while len(self._images) > IMAGES:
            self._images.popitem(last=False)[1].close()
        return image

    def close(self) -> None:
        """Close all images."""
        while self._images:
            self._images.popitem()[1].close()


def edge_of(item: AuditItem, wide: bool) -> float:
    """Edge of the square that is shown, µm."""
    y0, x0, y1, x1 = item.span_um
    longest = max(y1 - y0, x1 - x0)
    if item.is_field:
        return MARGIN * longest
    edge = max(CROP_UM, MARGIN * longest)
    return edge * WIDE if wide else edge
