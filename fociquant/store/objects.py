"""Measured objects on disk: one parquet file per block, then one per section.

Every file carries the key of what made it (inputs, settings, model); a file with
another key, or one that cannot be read, counts as absent. Pages carry checksums, so that
a file damaged on the disk is found out and not counted.
"""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fociquant.errors import ResultsError
from fociquant.store.atomic import atomic_path

KEY = b"fociquant_key"
"""Metadata entry that holds the key."""

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
    """Whether the file was made under this key and every page of it can be read."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        if metadata.get(KEY) != key.encode():
            return False
        _read(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def read_objects(path: Path) -> pd.DataFrame:
    """Measured objects; ``outline`` as float32 arrays.

    Raises
    ------
    ResultsError
        If the file is absent or damaged.
    """
    try:
        return _read(path).replace_schema_metadata(None).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(
            f"{path} is damaged ({error}). Run the study again; the rest is kept."
        ) from error


def _read(path: Path) -> pa.Table:
    return pq.read_table(path, page_checksum_verification=True)
