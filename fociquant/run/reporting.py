"""What the report shows besides the tables: pictures of cells, overviews, counts by flag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fociquant import report as pages
from fociquant.errors import FociquantError, ResultsError, said
from fociquant.io import Stains, open_image
from fociquant.model import Section
from fociquant.reading import is_file
from fociquant.run.progress import Progress
from fociquant.store import ResultsFolder, facts_of, read_csv, read_json
from fociquant.study import Study
from fociquant.units import PixelSize

if TYPE_CHECKING:
    from fociquant.run.table_inputs import TableInputs, Tables

OPTIONAL_TABLES = {
    "thresholds": "thresholds.csv",
    "gate_sweep": "gate_sweep/sweep_groups.csv",
    "link_sweep": "foci_sensitivity.csv",
    "immune_bands": "immune_bands.csv",
    "reviewers": "review/reviewers.csv",
    "comments": "review/comments.csv",
    "audit": "review/audit.csv",
}
"""CSV files of the results folder that the report shows where they are."""


def report(folder: ResultsFolder, tables: Tables, record: Mapping[str, Any]) -> None:
    """Figures and ``report.html`` from the tables and what lies beside them; no image is read."""
    pages.write_report(
        folder.root, mice=tables.mice, sections=tables.sections, groups=tables.groups, run=record,
        comparisons=tables.comparisons, power=tables.power, foci=tables.foci,
        extras=gather_extras(folder, tables.sections["section"].tolist()),
    )  # fmt: skip


def gather_extras(folder: ResultsFolder, names: Sequence[str]) -> pages.ReportExtras:
    """What the report shows besides the tables, as far as it is there.

    Parameters
    ----------
    folder : ResultsFolder
    names : sequence of str
        Sections, in the order of the sheet.
    """
    from fociquant.run.table_reading import REQUIRED_COLUMNS, TEXT_COLUMNS

    # What a section that failed shows may be of an image that was there before.
    shown_of = [name for name in names if not is_file(folder.failure(name))]
    found = {name: pages.read_crops(crops_path(folder, name)) for name in shown_of}
    crops = {name: one for name, one in found.items() if one is not None}
    pictures = {name: folder.overview(name) for name in shown_of}
    overviews = {name: path for name, path in pictures.items() if is_file(path)}
    further = {name: folder.root / path for name, path in OPTIONAL_TABLES.items()}
    tables = {
        n: read_csv(p, text=TEXT_COLUMNS, columns=REQUIRED_COLUMNS.get(p.name, ()))
        for n, p in further.items()
        if is_file(p)
    }
    try:
        candidates = _candidates(folder.cells)
        shown = _shown(folder.cells, {name: set(one.cells) for name, one in crops.items()})
    except (OSError, pa.ArrowException) as error:
        cure = f"'fociquant recount {folder.root}' makes it again."
        raise ResultsError(f"{folder.cells} is damaged ({said(error)}). {cure}") from error
    return pages.ReportExtras(
        candidates=candidates,
        shown=shown,
        crops=crops,
        overviews=overviews,
        tables=tables,
        seams=_seams(folder, names),
    )


def _seams(folder: ResultsFolder, names: Sequence[str]) -> pd.DataFrame:
    """What each section's state says of the borders at which it was divided."""
    found = {name: (read_json(folder.state(name)) or {}).get("seams") for name in names}
    rows = [{"section": name, **one} for name, one in found.items() if isinstance(one, dict)]
    return pd.DataFrame(rows)


def _candidates(cells: Path) -> pd.DataFrame:
    """``section, flags, positive, candidates``: how many candidates have the same flags."""
    if not is_file(cells):
        return pd.DataFrame(columns=["section", "flags", "positive", "candidates"])
    table = pq.read_table(cells, columns=["section", "flags", "positive"])
    counted = table.group_by(["section", "flags", "positive"]).aggregate([([], "count_all")])
    counts = counted.rename_columns(["section", "flags", "positive", "candidates"]).to_pandas()
    return counts.sort_values(["section", "flags", "positive"], ignore_index=True)


def _shown(cells: Path, wanted: Mapping[str, set[int]]) -> pd.DataFrame:
    """``section, cell, positive, flags`` of the cells that there are pictures of, as of now."""
    parts = [pd.DataFrame({"section": [], "cell": [], "positive": [], "flags": []}, dtype=object)]
    for section, table in _by_section(cells, ["section", "cell", "positive", "flags"], wanted):
        parts.append(table[table["cell"].isin(sorted(wanted[section]))])
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def _by_section(
    cells: Path, columns: Sequence[str], names: Mapping[str, Any]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Rows of ``cells.parquet``, a section at a time."""
    if not is_file(cells):
        return
    with pq.ParquetFile(cells) as file:
        for index in range(file.num_row_groups):
            group = file.read_row_group(index, columns=list(columns))
            for name in pc.unique(group["section"]).to_pylist():
                if name in names:
                    own = group.filter(pc.equal(group["section"], name))
                    yield name, own.to_pandas()


def crops_path(folder: ResultsFolder, name: str) -> Path:
    """Pictures of some cells of one section."""
    return folder.section(name) / "cells.png"


def picture_cells(
    folder: ResultsFolder, study: Study, inputs: TableInputs, progress: Progress
) -> None:
    """Cut small pictures of some counted and some rejected cells of every counted section.

    Which ones depends on the tables only, so that the same results have the same pictures,
    however often the run was interrupted. Pictures that are right already are kept.

    Parameters
    ----------
    folder : ResultsFolder
        With the tables of this run.
    study : Study
    inputs : TableInputs
    progress : Progress
        Told of sections whose image can no longer be read.
    """
    by_name = {section.name: section for section in study.sections}
    columns = ["section", "cell", "positive", "y_um", "x_um", "outline", "decision"]
    for name, everything in _by_section(folder.cells, columns, by_name):
        # What a reviewer adds has another number after the next addition or its undoing.
        table = everything[everything["decision"] != "added"]
        chosen = pages.choose_cells(
            table["cell"].to_numpy(), table["positive"].to_numpy(bool), section=name
        )
        own = table[table["cell"].isin(chosen)].sort_values("cell")
        try:
            _picture_section(folder, study, by_name[name], own, inputs)
        except (FociquantError, OSError) as error:
            progress.note(name, (f"no pictures of its cells: {' '.join(str(error).split())}",))


def _picture_section(
    folder: ResultsFolder,
    study: Study,
    section: Section,
    chosen: pd.DataFrame,
    inputs: TableInputs,
) -> None:
    """Pictures of one section's cells, unless they are there."""
    target, key = crops_path(folder, section.name), inputs.keys.get(section.name, "")
    numbers = tuple(int(number) for number in chosen["cell"])
    there = pages.read_crops(target)
    if there is not None and (there.key, there.cells) == (key, numbers):
        return
    state = read_json(folder.state(section.name))
    if state is None:
        return
    # One file may lack a phenotype's channel.
    wanted = {r: c for r, c in study.channels.roles().items() if r in state["channels"]}
    stats, prepare = facts_of(state).stats, study.settings.prepare
    window_um = pages.WINDOW_DIAMETERS * study.settings.segment.diameter_um
    stains = Stains.of(prepare.stains, prepare.white_rgb)
    with open_image(section.image, stains=stains) as image:
        channels = [image.channel_index(channel) for channel in wanted.values()]
        tiles = pages.cut_crops(
            lambda box: image.read(box, channels), chosen, shape=image.shape[1:],
            pixel_size=PixelSize(*state["pixel_size_um"]), window_um=window_um,
            scales=[(stats[role].low, stats[role].high) for role in wanted],
        )  # fmt: skip
    outlines = tuple(
        pages.tile_outline(row["outline"], (row["y_um"], row["x_um"]), window_um)
        for row in chosen.to_dict("records")
    )
    names = tuple(inputs.names[role] for role in wanted)
    pages.write_crops(
        target, pages.Crops(key, tuple(wanted), names, window_um, numbers, outlines, tiles)
    )
