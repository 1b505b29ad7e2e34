"""From stored objects to the tables: gate, foci, mice; no pixels are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fociquant.atomic import atomic_path, remove
from fociquant.cohort import compare_groups, group_table, mice_table
from fociquant.run.counted import Counted, cells_schema, count_all
from fociquant.run.immune import bands_table
from fociquant.run.linking import sensitivity_table
from fociquant.run.review import StudyReview
from fociquant.run.table_inputs import TableInputs, Tables
from fociquant.run.thresholds import find_gating
from fociquant.store import ResultsFolder, write_csv
from fociquant.store.tables import as_written

PIECE_ROWS = 65536
"""Rows of ``cells.parquet`` that are made ready at a time: a section of a million cells would
take 400 MB more as one piece. The file's bytes depend on it."""


def write_tables(folder: ResultsFolder, inputs: TableInputs) -> Tables:
    """Gate, link and sum everything that is stored, and write every table.

    Parameters
    ----------
    folder : ResultsFolder
    inputs : TableInputs

    Returns
    -------
    Tables
    """
    gating = find_gating(folder, inputs)
    review = StudyReview.read(folder, inputs)
    counted = _write_cells(folder, inputs, count_all(folder, inputs, gating, review))
    sections = pd.DataFrame([one.row for one in counted])
    foci = pd.concat([one.foci for one in counted], ignore_index=True)
    mice = mice_table(
        sections, foci, inputs.profile, inputs.phenotypes,
        reference_group=inputs.reference_group, extras=inputs.extras,
        min_cells=inputs.settings.gate.min_cells_for_fraction,
    )  # fmt: skip
    mice = review.with_mice(folder, mice, sections)
    groups = review.with_groups(group_table(mice, reference_group=inputs.reference_group), mice)
    # The report has what the file has.
    comparisons = as_written(compare_groups(mice, reference_group=inputs.reference_group))
    write_csv(folder.thresholds, gating.table())
    write_csv(folder.sections, sections)
    write_csv(folder.foci, foci)
    _write_links(folder, inputs, counted)
    _write_bands(folder, inputs, counted)
    write_csv(folder.mice, mice)
    write_csv(folder.groups, groups)
    write_csv(folder.comparisons, comparisons)
    review.write(folder)
    return Tables(
        sections, foci, mice, groups, comparisons, gating, review.not_read, inputs.classes
    )


def _write_cells(
    folder: ResultsFolder,
    inputs: TableInputs,
    counted: Iterable[tuple[Counted, pd.DataFrame]],
) -> list[Counted]:
    """Stream the cells of every section into ``cells.parquet``, and give what else they have."""
    schema = cells_schema(inputs)
    rest: list[Counted] = []
    with (
        atomic_path(folder.cells) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for one, cells in counted:
            rest.append(one)
            _append(writer, cells, schema)
            del cells  # or they would stay in memory while the next section is counted
    return rest


def _append(writer: pq.ParquetWriter, cells: pd.DataFrame, schema: pa.Schema) -> None:
    """Write the cells of a section piece by piece, at least one piece."""
    for first in range(0, max(len(cells), 1), PIECE_ROWS):
        piece = cells.iloc[first : first + PIECE_ROWS]
        writer.write_table(pa.Table.from_pandas(piece, schema=schema, preserve_index=False))


def _write_links(folder: ResultsFolder, inputs: TableInputs, counted: Sequence[Counted]) -> None:
    """Foci of every group at other linking distances."""
    table = sensitivity_table(
        [one.row for one in counted], [one.links for one in counted], profile=inputs.profile,
        link_um=inputs.settings.foci.link_um, reference_group=inputs.reference_group,
    )  # fmt: skip
    write_csv(folder.links, table)


def _write_bands(folder: ResultsFolder, inputs: TableInputs, counted: Sequence[Counted]) -> None:
    """Immune cells around foci; no table where the study counts none."""
    if inputs.immune:
        write_csv(folder.bands, bands_table([band for one in counted for band in one.bands]))
    else:
        remove(folder.bands)
