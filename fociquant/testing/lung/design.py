"""Study designs: arms, days, mice, and how many cancer cells to expect. All numbers invented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fociquant.errors import SettingsError

REFERENCE_MM2 = 75.0
"""Area of one whole-lung section that the course below refers to; our choice, about
that of a mouse lung cut through all lobes."""

MOUSE_CV = 0.9
"""Between-mouse coefficient of variation: lung metastasis volume, Nielsen et al. 2001,
PMC2216461."""

SECTIONS_PER_COUNT = 3
"""Counts of the course are summed over this many sections."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One arm on one day.

    Parameters
    ----------
    cells : float
        Expected cells per three whole sections.
    ki67 : float
        Fraction of Ki67 positive cancer cells.
    solitary : float
        Chance that a newly drawn focus is a single cell.
    focus_cells : float
        Median size of the foci that are not.
    consolidated : float
        Part of the parenchyma consolidated.
    """

    cells: float
    ki67: float
    solitary: float
    focus_cells: float
    consolidated: float


PBS = Stage(cells=5.0, ki67=0.03, solitary=0.85, focus_cells=2.2, consolidated=0.0)
"""Dormant: few cells, mostly alone; the same on every day."""

IAV: dict[float, Stage] = {
    3.0: Stage(8.0, 0.20, 0.75, 2.5, 0.15),
    6.0: Stage(30.0, 0.35, 0.60, 4.0, 0.35),
    9.0: Stage(250.0, 0.40, 0.55, 9.0, 0.45),
    15.0: Stage(1500.0, 0.30, 0.60, 25.0, 0.40),
    28.0: Stage(1500.0, 0.20, 0.55, 45.0, 0.30),
    60.0: Stage(1200.0, 0.12, 0.55, 55.0, 0.18),
}
"""Awakened by influenza: an invented course, consistent with what has been published."""

LARGEST_FOCUS = 500
"""No planned focus holds more cells."""


@dataclass(frozen=True, slots=True)
class Design:
    """What a simulated study consists of.

    Parameters
    ----------
    name : str
        Of the study.
    dpi : tuple of float
        Days post infection.
    groups : tuple of str
        ``PBS`` and/or ``IAV``.
    mice : int
        Per group and day.
    sections : int
        Per mouse.
    size_px : int
        Edge of the square sections.
    pixel_size_um : float
        Pixel size, µm.
    enrichment : float
        How much denser in cancer cells the imaged region is than the whole lung: small
        sections would otherwise be empty.
    fewer_mice : tuple of (dpi, mice)
        Days with another number of mice.
    controls : int
        Infected mice without cancer, one negative-control section each, on the last day.
    autofluorescence : bool
        Whether the files have the unstained channel.
    counts_per_e : float
        Counts per photo-electron of the 16-bit camera; few make small files.
    """

    name: str
    dpi: tuple[float, ...]
    groups: tuple[str, ...] = ("PBS", "IAV")
    mice: int = 4
    sections: int = 3
    size_px: int = 2048
    pixel_size_um: float = 0.5
    enrichment: float = 20.0
    fewer_mice: tuple[tuple[float, int], ...] = ()
    controls: int = 0
    autofluorescence: bool = True
    counts_per_e: float = 1.0

    def __post_init__(self) -> None:
        problems = [
            f"{what} must be {rule}, not {value!r}"
            for what, rule, value, good in (
                ("mice", "1 or more", self.mice, self.mice >= 1),
                ("sections", "1 or more", self.sections, self.sections >= 1),
                ("size", "at least 128 px", self.size_px, self.size_px >= 128),
                (
                    "pixel size", "between 0.1 and 4 µm", self.pixel_size_um,
                    0.1 <= self.pixel_size_um <= 4,
                ),
                ("enrichment", "positive", self.enrichment, self.enrichment > 0),
                ("controls", "0 or more", self.controls, self.controls >= 0),
                ("dpi", "a list of days", self.dpi, len(self.dpi) > 0 and min(self.dpi) >= 0),
            )
            if not good
        ]  # fmt: skip
        unknown = [day for day in self.dpi if "IAV" in self.groups and day not in IAV]
        if unknown:
            known = ", ".join(f"{day:g}" for day in IAV)
            problems.append(f"there is no course for dpi {unknown[0]:g}; known days: {known}")
        if problems:
            raise SettingsError(f"design {self.name!r}: " + "; ".join(problems) + ".")

    def mice_on(self, dpi: float) -> int:
        """Mice per group on this day."""
        return dict(self.fewer_mice).get(dpi, self.mice)


DESIGNS: dict[str, Design] = {
    "small": Design(
        "small",
        (3.0, 9.0, 15.0),
        mice=2,
        sections=1,
        size_px=640,
        pixel_size_um=0.65,
        enrichment=170.0,
        controls=1,
        counts_per_e=0.12,
    ),
    "dormant-awakened": Design(
        "dormant-awakened", (15.0,), mice=2, sections=1, size_px=2048, enrichment=60.0
    ),
    "paper": Design(
        "paper", (3.0, 6.0, 9.0, 15.0, 28.0, 60.0), mice=4, fewer_mice=((15.0, 3),), controls=2
    ),
    "paper-small": Design(
        "paper-small",
        (3.0, 6.0, 9.0, 15.0, 28.0, 60.0),
        mice=4,
        fewer_mice=((15.0, 3),),
        controls=2,
        size_px=640,
        pixel_size_um=0.65,
        enrichment=120.0,
        counts_per_e=0.12,
    ),
}
"""Designs by name."""


def stage_of(group: str, dpi: float) -> Stage:
    """What an arm looks like on a day.

    Raises
    ------
    SettingsError
        If the course has no such arm.
    """
    if group == "PBS":
        return PBS
    if group == "IAV" and dpi in IAV:
        return IAV[dpi]
    raise SettingsError(f"there is no course for group {group!r} at {dpi:g} dpi.")


def section_counts(
    rng: np.random.Generator, stage: Stage, *, areas_mm2: Sequence[float], enrichment: float
) -> list[int]:
    """Cells in each section of one mouse: gamma between mice, Poisson between sections."""
    shape = 1 / MOUSE_CV**2
    mouse = stage.cells / SECTIONS_PER_COUNT * rng.gamma(shape, 1 / shape)
    return [int(rng.poisson(mouse * enrichment * area / REFERENCE_MM2)) for area in areas_mm2]


def partition(rng: np.random.Generator, stage: Stage, cells: int) -> list[int]:
    """Split a section's cells into foci; the sizes add up to `cells`."""
    sizes: list[int] = []
    left = cells
    while left > 0:
        size = 1
        if rng.random() > stage.solitary:
            size = 1 + int(np.ceil(stage.focus_cells * np.exp(0.8 * rng.standard_normal())))
        sizes.append(min(size, left, LARGEST_FOCUS))
        left -= sizes[-1]
    return sizes
