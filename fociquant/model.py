"""The frozen records that rooms hand to each other, and the table schemas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from fociquant.units import PixelSize


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A half-open rectangle of pixels: rows ``y0 <= y < y1``, columns ``x0 <= x < x1``.

    Raises
    ------
    ValueError
        If ``y1 < y0`` or ``x1 < x0``.
    """

    y0: int
    x0: int
    y1: int
    x1: int

    def __post_init__(self) -> None:
        if self.y1 < self.y0 or self.x1 < self.x0:
            raise ValueError(f"a box cannot end before it begins: {self}")

    @classmethod
    def of_shape(cls, shape: tuple[int, int]) -> Box:
        """The whole of an image of this (height, width)."""
        return cls(0, 0, shape[0], shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def area(self) -> int:
        """Number of pixels."""
        return (self.y1 - self.y0) * (self.x1 - self.x0)

    @property
    def slices(self) -> tuple[slice, slice]:
        """(rows, columns) to index the last two axes of an array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def expand(self, by: int) -> Box:
        """Grown by `by` pixels on every side (may leave the image)."""
        return Box(self.y0 - by, self.x0 - by, self.y1 + by, self.x1 + by)

    def shift(self, dy: int, dx: int) -> Box:
        """Moved by (`dy`, `dx`) pixels."""
        return Box(self.y0 + dy, self.x0 + dx, self.y1 + dy, self.x1 + dx)

    def intersect(self, other: Box) -> Box:
        """The common part; an empty box (area 0) where there is none."""
        y0, x0 = max(self.y0, other.y0), max(self.x0, other.x0)
        return Box(y0, x0, max(y0, min(self.y1, other.y1)), max(x0, min(self.x1, other.x1)))

    def contains(self, other: Box) -> bool:
        """Whether `other` lies wholly inside."""
        return (
            self.y0 <= other.y0
            and self.x0 <= other.x0
            and other.y1 <= self.y1
            and other.x1 <= self.x1
        )


@dataclass(frozen=True, slots=True)
class Section:
    """One row of the sample sheet: a section image and the mouse it came from.

    Parameters
    ----------
    name : str
        Unique in the study and a safe file name.
    image : pathlib.Path
        Absolute path of the image.
    image_text : str
        The path as the sheet has it; written to tables, so that results do not
        depend on where the study lies.
    mouse, group : str
        The experimental unit and its arm; text, never parsed.
    dpi : float
        Days post infection.
    negative_control : bool
        Known to hold no labelled cell.
    batch : str
        Staining or scan batch, ``""`` if the sheet has none.
    region : str
        The part of the slide, see :func:`parse_region`; ``""``: all of it.
    extra : mapping of str to str
        Every other column of the sheet, carried through to every table.
    excluded : str
        Why the mouse is in no mean and no comparison; ``""``: it is in them.
    """

    name: str
    image: Path
    image_text: str
    mouse: str
    group: str
    dpi: float
    negative_control: bool = False
    batch: str = ""
    region: str = ""
    extra: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    excluded: str = ""


Compartment = Literal["peak", "nuclear", "membrane", "whole"]
"""Part of a cell in which a phenotype marker is looked for; ``peak``: wherever it is brightest."""


@dataclass(frozen=True, slots=True)
class PhenotypeRule:
    """How a phenotype marker is read.

    Parameters
    ----------
    compartment : {'peak', 'nuclear', 'membrane', 'whole'}
        Where in the cell it is looked for.
    immune : bool
        Marks immune cells round the foci, not cancer cells.
    controls : bool
        Negative-control sections are negative for this marker too, and set its threshold.
    """

    compartment: Compartment = "peak"
    immune: bool = False
    controls: bool = False


def parse_region(text: str) -> int | tuple[float, float, float, float]:
    """A region as the sheet writes it.

    Parameters
    ----------
    text : str
        The number of a piece of tissue from 1, or a box ``y0,x0,y1,x1`` in µm.

    Returns
    -------
    int or tuple of float
        The number, or (y0, x0, y1, x1), µm.

    Raises
    ------
    ValueError
        If it is neither, or the box is empty; the message says what is wrong.
    """
    parts = [part.strip() for part in text.replace(";", ",").split(",")]
    if len(parts) == 1:
        if not (parts[0].isascii() and parts[0].isdigit() and int(parts[0]) > 0):
            raise ValueError("is neither a number from 1 nor a box 'y0,x0,y1,x1'")
        return int(parts[0])
    try:
        y0, x0, y1, x1 = (float(part) for part in parts)
    except ValueError:
        raise ValueError("is not four numbers 'y0,x0,y1,x1'") from None
    if not (0 <= y0 < y1 < np.inf and 0 <= x0 < x1 < np.inf):
        raise ValueError("is an empty box: y0 must be below y1, and x0 below x1")
    return y0, x0, y1, x1


@dataclass(frozen=True, slots=True)
class Channels:
    """Which channel of the files plays which part; a name or an index each.

    Parameters
    ----------
    marker : str or int
        The label of the cancer cells (HER2, PyMT, GFP …).
    nucleus : str, int or None
        The nuclear stain.
    autofluorescence : str, int or None
        An unstained channel, if there is one.
    phenotype : mapping of str to (str or int)
        Name of the phenotype (``Ki67``) to its channel.
    rules : mapping of str to PhenotypeRule
        How each phenotype is read, where the study file says it.
    """

    marker: str | int
    nucleus: str | int | None = None
    autofluorescence: str | int | None = None
    phenotype: Mapping[str, str | int] = field(default_factory=lambda: MappingProxyType({}))
    rules: Mapping[str, PhenotypeRule] = field(default_factory=lambda: MappingProxyType({}))

    def roles(self) -> dict[str, str | int]:
        """Role name to channel, in the fixed order marker, nucleus, autofluorescence, phenotypes.

        Phenotypes keep the order of the study file; roles that are not used are absent.
        """
        fixed = {
            "marker": self.marker,
            "nucleus": self.nucleus,
            "autofluorescence": self.autofluorescence,
        }
        present = {role: channel for role, channel in fixed.items() if channel is not None}
        return present | dict(self.phenotype)


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """Intensity facts of one channel over a whole section, in raw counts.

    Parameters
    ----------
    low, high : float
        What becomes 0 and 1 at the network's input; ``high > low``.
    background : float
        Median over tissue.
    spread : float
        Robust standard deviation (1.4826 MAD) over tissue, > 0: noise and texture.
    noise : float
        Robust standard deviation of the pixel noise alone, >= 0.
    saturation : float
        Largest value that the file's dtype can hold; ``inf`` for floats.
    """

    low: float
    high: float
    background: float
    spread: float
    noise: float
    saturation: float


MAP_STEPS = 8
"""Values of a marker map per standard deviation of the marker's pixel noise."""

MAP_RATIO = 1.8
"""A marker map is made for gates that ask for at least this multiple of what autofluorescence
explains."""


@dataclass(frozen=True, slots=True)
class MarkerMap:
    """Where the marker stands out of the tissue, on a coarse grid.

    Parameters
    ----------
    peaks : numpy.ndarray of uint8, shape (h, w)
        Largest marker of any small square within that autofluorescence and the surroundings
        do not explain, in eighths (:data:`MAP_STEPS`) of the pixel noise; 255 is as much or more.
    edge_um : (float, float)
        Height and width of a grid pixel, µm; its origin is the image's.
    """

    peaks: np.ndarray
    edge_um: tuple[float, float]


SHADING_POWERS: tuple[tuple[int, int], ...] = (
    (0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (0, 3), (4, 0), (2, 2), (0, 4),
)  # fmt: skip
"""Powers of y and x in the terms of :class:`Shading`."""


@dataclass(frozen=True, slots=True)
class Shading:
    """How the light of one channel falls off within each camera field of a stitched section.

    Parameters
    ----------
    period_px, origin_px : (float, float)
        (y, x) width of a field and a border between two, full-resolution pixels from the image's
        corner; a width of 0: the light does not change along that axis.
    terms : tuple of float
        Logarithm of the light at the place (y, x) in a field, each from -1 to 1: the sum of
        ``term * y**i * x**j`` over :data:`SHADING_POWERS`; 0 where a field is brightest.
    dark : float
        Counts without any light.
    top : float
        Counts at which a pixel is saturated; ``inf`` if none.
    loss : float
        Light missing at the darkest place of a field, 0-1.
    corrected : bool
        Whether pixels are evened out before anything is found or measured in them.
    """

    period_px: tuple[float, float]
    origin_px: tuple[float, float]
    terms: tuple[float, ...]
    dark: float
    top: float
    loss: float
    corrected: bool


@dataclass(frozen=True, slots=True)
class FieldSteps:
    """How much light jumps from one camera field to the next.

    Parameters
    ----------
    period_px, origin_px : (float, float)
        (y, x) width of a field and a border between two, full-resolution pixels from the image's
        corner; a width of 0: no borders along that axis.
    borders : int
        Borders between two fields that were measured, >= 0.
    percent : mapping of str to float
        Role to the median step of its channel, percent of the light, without what tissue itself
        differs by; empty if nothing could be measured.
    tissue_percent : mapping of str to float
        Role to what tissue differs by at lines without a border, percent; taken off above.
    """

    period_px: tuple[float, float]
    origin_px: tuple[float, float]
    borders: int
    percent: Mapping[str, float]
    tissue_percent: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Unmixing:
    """How the marker is handed to the network: less what autofluorescence explains.

    Parameters
    ----------
    slope : float
        Marker counts per autofluorescence count in unlabelled tissue, > 0.
    ground : float
        Autofluorescence counts without tissue; nothing is taken off there.
    floor : float
        Marker counts without tissue; nothing is taken off below.
    low, high : float
        What becomes 0 and 1 at the network's input, counts of what is left.
    """

    slope: float
    ground: float
    floor: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SectionFacts:
    """What was found once for a whole section, at low resolution.

    Parameters
    ----------
    stats : mapping of str to ChannelStats
        Per role (``marker``, ``nucleus``, ``autofluorescence``, a phenotype's name).
    tissue_mm2 : float
        Area inside the lung's outline, air spaces included, mm²; 0 without tissue.
    parenchyma_mm2 : float
        The same without the air, mm².
    outline : numpy.ndarray of bool, shape (h, w)
        Inside the lung's outline, on the overview grid.
    artefact : numpy.ndarray of bool, shape (h, w)
        Not to be counted (folds, bubbles, out of focus), on the overview grid.
    overview_px : PixelSize
        Pixel size of that grid; its origin is the image's.
    autofluorescence_slope : float or None
        Marker counts per autofluorescence count in unlabelled tissue; None without the channel.
    marker_map : MarkerMap or None
        Where the marker stands out; None if that is not known.
    artefact_mm2 : float
        Area inside the outline that lies in artefacts, mm²; in neither of the areas above.
    lumen : numpy.ndarray of bool, shape (h, w), or None
        Wide, lined holes (airways, empty vessels), on the overview grid; None: not looked for.
    region : numpy.ndarray of bool, shape (h, w), or None
        The part of the slide that is this section, on the overview grid; None: all of it.
    shading : mapping of str to Shading
        Role to the shading of its channel; only those in which it can be shown.
    unmixing : Unmixing or None
        None: the network gets the marker as it is.
    field_steps : FieldSteps or None
        Steps of light between camera fields; None where no grid of fields is known.
    pigment_slope : float or None
        As `autofluorescence_slope`, of what glows most (macrophages' pigment); None: not known.
    """

    stats: Mapping[str, ChannelStats]
    tissue_mm2: float
    parenchyma_mm2: float
    outline: np.ndarray
    artefact: np.ndarray
    overview_px: PixelSize
    autofluorescence_slope: float | None = None
    marker_map: MarkerMap | None = None
    artefact_mm2: float = 0.0
    lumen: np.ndarray | None = None
    region: np.ndarray | None = None
    shading: Mapping[str, Shading] = field(default_factory=dict)
    unmixing: Unmixing | None = None
    field_steps: FieldSteps | None = None
    pigment_slope: float | None = None

    @property
    def marker_unit(self) -> float:
        """The marker's pixel noise, counts; an image without any is measured by its spread."""
        stats = self.stats["marker"]
        return stats.noise if stats.noise > 0 else stats.spread

    @property
    def redder(self) -> float:
        """Slope of pigment over that of tissue; NaN if either is not known."""
        if not self.autofluorescence_slope or self.pigment_slope is None:
            return math.nan
        return self.pigment_slope / self.autofluorescence_slope


@dataclass(frozen=True, slots=True)
class FocusEdit:
    """What a reviewer changed about foci; edits are applied in order, each to what is there.

    Parameters
    ----------
    kind : {'merge', 'split', 'class'}
        Join the foci of these cells; cut their focus into these parts; name its class.
    parts : tuple of tuple of int
        Numbers of cells. A merge and a class override have one part.
    value : str
        The class, of a class override.
    """

    kind: Literal["merge", "split", "class"]
    parts: tuple[tuple[int, ...], ...]
    value: str = ""


CELL_COLUMNS: tuple[str, ...] = (
    "section", "cell", "y_um", "x_um", "area_um2", "focus", "positive", "flags",
)  # fmt: skip
"""Columns of ``cells.parquet`` that are always there; ``<channel>_mean`` and
``<phenotype>_positive`` follow."""

FOCUS_COLUMNS: tuple[str, ...] = (
    "section", "mouse", "focus", "class", "cells", "area_um2", "y_um", "x_um",
)  # fmt: skip
"""Columns of ``foci.csv`` that are always there; ``<phenotype>_positive`` follow."""

SECTION_COLUMNS: tuple[str, ...] = (
    "section", "image", "mouse", "group", "dpi", "status", "reason", "tissue_mm2", "cells", "foci",
)  # fmt: skip
"""Columns of ``sections.csv`` that are always there."""

CONTRACT_CLASSES: tuple[str, ...] = (
    "solitary", "clusters", "micrometastases", "macrometastases",
)  # fmt: skip
"""Class columns of ``mice.csv`` that are always there; empty under a profile that does not define
them."""

MOUSE_COLUMNS: tuple[str, ...] = (
    "mouse", "group", "dpi", "sections", "sections_failed", "tissue_mm2", "parenchyma_mm2",
    "cells", "cells_per_mm2", *CONTRACT_CLASSES, "foci_area_mm2", "reviewed",
)  # fmt: skip
"""Columns of ``mice.csv`` that are always there; ``<phenotype>_positive`` and
``<phenotype>_pct`` follow."""
