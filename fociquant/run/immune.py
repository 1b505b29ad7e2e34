"""Immune cells around foci: found once per section, counted in bands with every table.

The cells are found in all of a section's tissue, whatever is counted as a focus, so that
another gate, another linking distance or a review change the bands without reading pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from fociquant.errors import FociquantError
from fociquant.foci import FociResult, Tissue, focus_bands, shapes_of
from fociquant.io import SectionImage, Stains, open_image
from fociquant.measure.immune import find_immune_cells, reach_px, reduced, work_factor
from fociquant.model import Box, Section, SectionFacts
from fociquant.prepare import corrected
from fociquant.run.progress import Progress
from fociquant.run.reviewed_section import ReviewedSection, counted_tissue, extent_of
from fociquant.store import (
    ResultsFolder,
    facts_of,
    has_objects,
    read_json,
    read_objects,
    write_objects,
)
from fociquant.study import Study
from fociquant.units import PixelSize

if TYPE_CHECKING:
    from fociquant.run.table_inputs import TableInputs

TILE = 512
"""Edge of a piece that is looked through at once, working pixels; changes no result."""

MOST_THREADS = 4
"""Each holds some 100 MB of pixels."""

BAND_COLUMNS = (
    "section", "mouse", "group", "dpi", "marker", "class", "inner_um", "outer_um",
    "area_mm2", "cells", "cells_per_mm2", "bands_note",
)  # fmt: skip
"""Columns of ``immune_bands.csv``."""

ALL = "all"
"""``class`` of the rows about foci of any class."""

NO_CHANNEL = "the image has no channel for it"
NOT_LOOKED_FOR = "not looked for yet; 'fociquant run' reads the images"
NO_FOCUS = "no tissue at this distance from such a focus"
NOT_COUNTED = "the section could not be counted"


def immune_path(folder: ResultsFolder, name: str) -> Path:
    """Immune cells of one section."""
    return folder.section(name) / "immune.parquet"


def immune_key(inputs: TableInputs, name: str) -> str:
    """What the immune cells of a section depend on; sha256, hex."""
    settings = inputs.settings.immune.model_dump(include={"nucleus_um", "nucleus_fraction",
                                                          "fraction", "snr"})  # fmt: skip
    content = f"1 {inputs.keys.get(name, '')} {sorted(settings.items())} {sorted(inputs.immune)}"
    return hashlib.sha256(content.encode()).hexdigest()


def find_immune(
    folder: ResultsFolder, study: Study, inputs: TableInputs, progress: Progress
) -> None:
    """Find the immune cells of every counted section that has none of these settings yet.

    Sections whose image can no longer be read are told to `progress` and have no bands.
    """
    for section in study.sections if inputs.immune else ():
        state = read_json(folder.state(section.name)) or {}
        key = immune_key(inputs, section.name)
        current = bool(state) and state.get("key") == inputs.keys.get(section.name)
        if not current or has_objects(immune_path(folder, section.name), key=key):
            continue
        try:
            cells = _in_section(section, study, inputs, state)
        except (FociquantError, OSError) as error:
            reason = " ".join(str(error).split())
            progress.note(section.name, (f"immune cells were not looked for: {reason}",))
            continue
        write_objects(immune_path(folder, section.name), cells, key=key)


def _in_section(
    section: Section, study: Study, inputs: TableInputs, state: Mapping[str, Any]
) -> pd.DataFrame:
    """``y_um, x_um`` and a column per marker that the image has, 1 where the cell carries it."""
    roles, prepare = study.channels.roles(), study.settings.prepare
    names = [name for name in inputs.immune if name in state["channels"]]
    stains = Stains.of(prepare.stains, prepare.white_rgb)
    facts, pixel = facts_of(state), PixelSize(*state["pixel_size_um"])
    if not names:
        return pd.DataFrame({"y_um": [], "x_um": []}, dtype=np.float64)
    with open_image(section.image, stains=stains) as image:
        channels = [image.channel_index(roles[role]) for role in ("nucleus", *names)]
        used = dict(zip(("nucleus", *names), channels, strict=True))
        even = cast(SectionImage, corrected(image, used, facts.shading))
        look = _Look(even, channels, names, facts, pixel, inputs)
        with ThreadPoolExecutor(MOST_THREADS) as pool:
            parts = list(pool.map(look.tile, look.tiles()))
    found = pd.concat(parts, ignore_index=True) if parts else look.nothing()
    return found.sort_values(["y_um", "x_um"], ignore_index=True)


class _Look:
    """Looks through one section, tile by tile."""

    def __init__(
        self,
        image: SectionImage,
        channels: Sequence[int],
        names: Sequence[str],
        facts: SectionFacts,
        pixel: PixelSize,
        inputs: TableInputs,
    ) -> None:
        self.image, self.channels, self.names, self.facts = image, channels, names, facts
        self.pixel, self.settings = pixel, inputs.settings.immune
        self.factor = work_factor(pixel.mean)
        self.work_um = pixel.mean * self.factor
        self.shape = tuple(size // self.factor for size in image.shape[1:])

    def tiles(self) -> Iterator[Box]:
        """Tiles on the working grid with tissue in them, in raster order."""
        tissue, overview = counted_tissue(self.facts), self.facts.overview_px
        step_y, step_x = self.pixel.y * self.factor, self.pixel.x * self.factor
        for y in range(0, self.shape[0], TILE):
            for x in range(0, self.shape[1], TILE):
                tile = Box(y, x, y + TILE, x + TILE).intersect(Box(0, 0, *self.shape))
                rows = slice(int(y * step_y / overview.y), int(tile.y1 * step_y / overview.y) + 1)
                cols = slice(int(x * step_x / overview.x), int(tile.x1 * step_x / overview.x) + 1)
                if tissue[rows, cols].any():
                    yield tile

    def tile(self, tile: Box) -> pd.DataFrame:
        """Immune cells whose nucleus has its centre in a tile."""
        window = tile.expand(reach_px(self.settings, self.work_um))
        window = window.intersect(Box(0, 0, *self.shape))
        source = Box(*(edge * self.factor for edge in (window.y0, window.x0, window.y1, window.x1)))
        planes = reduced(self.image.read(source, self.channels), self.factor)
        cells = find_immune_cells(
            planes[0], dict(zip(self.names, planes[1:], strict=True)), pixel_um=self.work_um,
            stats=self.facts.stats, settings=self.settings,
        )  # fmt: skip
        y, x = cells.pop("y_px") + window.y0, cells.pop("x_px") + window.x0
        own = (y >= tile.y0) & (y < tile.y1) & (x >= tile.x0) & (x < tile.x1)
        places = {"y_um": y * self.factor * self.pixel.y, "x_um": x * self.factor * self.pixel.x}
        return pd.DataFrame({**places, **cells.astype(np.float64)})[own]

    def nothing(self) -> pd.DataFrame:
        """No cell."""
        return pd.DataFrame({name: [] for name in ("y_um", "x_um", *self.names)}, dtype=np.float64)


def section_bands(
    folder: ResultsFolder,
    inputs: TableInputs,
    section: Section,
    state: Mapping[str, Any],
    reviewed: ReviewedSection,
    linked: FociResult,
    facts: SectionFacts,
) -> list[dict[str, Any]]:
    """Rows of ``immune_bands.csv`` of one counted section; none without immune markers."""
    if not inputs.immune:
        return []
    classes = [one.name for one in inputs.profile.classes]
    path = immune_path(folder, section.name)
    if not has_objects(path, key=immune_key(inputs, section.name)):
        return list(_unknown(inputs, section, inputs.immune, NOT_LOOKED_FOR))
    cells = read_objects(path)
    tissue = Tissue(counted_tissue(facts), facts.overview_px, extent_of(state), reviewed.region)
    settings = inputs.settings.immune
    bands = round(settings.reach_um / settings.band_um)
    found = focus_bands(
        shapes_of(reviewed.cells, linked.focus, link_um=inputs.settings.foci.link_um),
        np.array([classes.index(name) for name in linked.foci["class"]], dtype=np.int64),
        tissue, number_of_kinds=len(classes), band_um=settings.band_um, bands=bands,
        places=cells[["y_um", "x_um"]].to_numpy(np.float64),
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    for name in inputs.immune:
        if name not in cells:
            rows += _unknown(inputs, section, [name], NO_CHANNEL)
            continue
        carries = cells[name].to_numpy() > 0
        counts = np.zeros((len(classes), bands), dtype=np.int64)
        inside = carries & (found.band >= 0) & (found.band < bands)
        np.add.at(counts, (found.kind[inside], found.band[inside]), 1)
        rest = max(0.0, reviewed.tissue_mm2 - found.foci_mm2 - float(found.area_mm2.sum()))
        beyond = rest, int((carries & (found.band == bands)).sum())
        rows += _rows(inputs, section, classes, name, found.area_mm2, counts, beyond)
    return rows


def _rows(
    inputs: TableInputs,
    section: Section,
    classes: Sequence[str],
    marker: str,
    area: np.ndarray,
    counts: np.ndarray,
    beyond: tuple[float, float],
) -> Iterator[dict[str, Any]]:
    """All foci with what lies beyond, then each class."""
    width = inputs.settings.immune.band_um
    kinds = [(ALL, area.sum(0), counts.sum(0))]
    kinds += [(name, area[k], counts[k]) for k, name in enumerate(classes)]
    for name, areas, numbers in kinds:
        pairs = zip(areas.tolist(), numbers.tolist(), strict=True)
        for index, (mm2, cells) in enumerate(pairs):
            yield _row(section, marker, name, index * width, (index + 1) * width, mm2, cells)
        if name == ALL:
            yield _row(section, marker, name, len(areas) * width, np.nan, *beyond)


def _row(
    section: Section, marker: str, name: str, inner: float, outer: float, mm2: float, cells: float
) -> dict[str, Any]:
    return {
        "section": section.name, "mouse": section.mouse, "group": section.group,
        "dpi": section.dpi, "marker": marker, "class": name, "inner_um": inner, "outer_um": outer,
        "area_mm2": mm2, "cells": cells,
        "cells_per_mm2": cells / mm2 if mm2 > 0 else np.nan,
        "bands_note": "" if mm2 > 0 or np.isnan(outer) else NO_FOCUS,
    }  # fmt: skip


def uncounted_bands(inputs: TableInputs, section: Section) -> list[dict[str, Any]]:
    """Rows of ``immune_bands.csv`` of a section that could not be counted."""
    return list(_unknown(inputs, section, inputs.immune, NOT_COUNTED))


def _unknown(
    inputs: TableInputs, section: Section, markers: Sequence[str], why: str
) -> Iterator[dict[str, Any]]:
    """Rows without numbers, with the reason."""
    classes = [one.name for one in inputs.profile.classes]
    bands = round(inputs.settings.immune.reach_um / inputs.settings.immune.band_um)
    empty = np.full((len(classes), bands), np.nan)
    for marker in markers:
        for row in _rows(inputs, section, classes, marker, empty, empty, (np.nan, np.nan)):
            yield row | {"bands_note": why}


def bands_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """``immune_bands.csv``."""
    table = pd.DataFrame(rows, columns=list(BAND_COLUMNS))
    return table.astype({"cells": "Int64"})
