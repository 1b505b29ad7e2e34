"""Measured objects on disk: one parquet file per block, then one per section.

Every file carries the key of what made it (inputs, settings, model); a file with
another key, or a damaged one, counts as absent. Pages carry checksums, so that
a file damaged on the disk is found out and not counted.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fociquant.atomic import atomic_path
from fociquant.errors import ResultsError, said
from fociquant.reading import look_at

KEY = b"fociquant_key"
"""Metadata entry that holds the key."""

CURE = "Run the study again; the rest is kept."
"""What helps where a file is not what was stored."""

TYPES: dict[str, pa.DataType] = {
    "decode_cell": pa.int64(),
    "label": pa.int32(),
    "cell": pa.int64(),
    "flags": pa.int32(),
    "outline": pa.list_(pa.float32()),
    "mask_y0": pa.int64(),
    "mask_x0": pa.int64(),
    "mask_height": pa.int32(),
    "mask_width": pa.int32(),
    "mask_bits": pa.binary(),
}
"""Types of columns that are not plain float64."""


def objects_schema(columns: list[str]) -> pa.Schema:
    """Schema of a table of measured objects with these columns."""
    return pa.schema([(name, TYPES.get(name, pa.float64())) for name in columns])


def write_objects(target: Path, table: pd.DataFrame, *, key: str) -> None:
    """Write measured objects with their key, atomically."""
    with atomic_path(target) as temporary:
        _write(table, key, temporary)


def objects_bytes(table: pd.DataFrame, *, key: str) -> bytes:
    """The content of the file that :func:`write_objects` would write."""
    buffer = io.BytesIO()
    _write(table, key, buffer)
    return buffer.getvalue()


def _write(table: pd.DataFrame, key: str, where: Path | io.BytesIO) -> None:
    schema = objects_schema([str(name) for name in table.columns])
    content = pa.Table.from_pandas(table, schema=schema, preserve_index=False)
    pq.write_table(
        content.replace_schema_metadata({KEY: key.encode()}),
        where,
        compression="zstd",
        write_page_checksum=True,
    )


def has_objects(path: Path, *, key: str) -> bool:
    """Whether the file was made under this key and every page of it is sound.

    Raises
    ------
    UnreadableError
        If the drive does not let it be read, more than for a moment.
    """
    try:
        return bool(look_at(path, lambda there: _is_sound(there, key)))
    except (OSError, ValueError, pa.ArrowException):  # names in it may be damaged too
        return False


def _is_sound(path: Path, key: str) -> bool:
    metadata = pq.read_schema(path).metadata or {}
    if metadata.get(KEY) != key.encode():
        return False
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            file.read_row_group(group)
    return True


def read_objects(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Measured objects; ``outline`` as float32 arrays.

    Parameters
    ----------
    path : pathlib.Path
    columns : sequence of str, optional
        Only these.

    Raises
    ------
    ResultsError
        If the file is absent, damaged, or the drive does not let it be read.
    """
    table = _checked(path, columns).replace_schema_metadata(None).to_pandas()
    # What reading took, twice the table, goes back: 700 bytes per object (200 000 objects).
    pa.default_memory_pool().release_unused()
    return table


def write_chosen(
    target: Path, sources: Sequence[Path], chosen: pd.DataFrame, *, drop: str, key: str
) -> None:
    """Write some rows of several files as one, without holding all of them in memory.

    Parameters
    ----------
    target : pathlib.Path
    sources : sequence of pathlib.Path
        Files of :func:`write_objects` with the same columns.
    chosen : pandas.DataFrame
        The rows wanted, in order: ``part`` (number of the source), ``row`` in it, the new number
        ``cell``, and ``band``: rows of one band are consecutive, and written together.
    drop : str
        Columns that begin so are left out.
    key : str

    Raises
    ------
    DiskError, ResultsError
        If the target cannot be written, or a source is damaged.
    """
    held: dict[int, pa.Table] = {}
    with atomic_path(target) as temporary, ExitStack() as open_files:
        writer: pq.ParquetWriter | None = None
        for _, rows in chosen.groupby("band", sort=False):
            parts = [int(part) for part in np.unique(rows["part"])]
            held = {
                part: held[part] if part in held else _without(_checked(sources[part]), drop)
                for part in parts
            }
            piece = _gathered([held[part] for part in parts], parts, rows)
            if writer is None:
                schema = piece.schema.with_metadata({KEY: key.encode()})
                writer = open_files.enter_context(
                    pq.ParquetWriter(
                        temporary, schema, compression="zstd", write_page_checksum=True
                    )
                )
            writer.write_table(piece)


def _without(table: pa.Table, beginning: str) -> pa.Table:
    return table.select([name for name in table.column_names if not name.startswith(beginning)])


def _gathered(tables: Sequence[pa.Table], parts: Sequence[int], rows: pd.DataFrame) -> pa.Table:
    """Rows of some tables in the order wanted, with their numbers."""
    starts = np.cumsum([0, *(table.num_rows for table in tables)])[:-1]
    offset = dict(zip(parts, starts.tolist(), strict=True))
    where = rows["part"].map(offset).to_numpy() + rows["row"].to_numpy()
    joined = pa.concat_tables(tables).take(pa.array(where))
    return joined.append_column("cell", pa.array(rows["cell"].to_numpy(), TYPES["cell"]))


def _checked(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    try:
        table = look_at(path, lambda there: _read(there, columns))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ResultsError(f"{path} is damaged ({said(error)}). {CURE}") from error
    if table is None:
        raise ResultsError(f"{path} is missing. {CURE}")
    return table


def _read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    names = None if columns is None else list(columns)
    return pq.read_table(path, columns=names, page_checksum_verification=True)
