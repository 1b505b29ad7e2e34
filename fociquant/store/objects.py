"""Measured objects on disk: one parquet file per block, then one per section.

Every file carries the key of what made it (inputs, settings, model); a file with
another key, or one that cannot be read, counts as absent.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

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
    schema = objects_schema([str(name) for name in table.columns])
    content = pa.Table.from_pandas(table, schema=schema, preserve_index=False)
    with atomic_path(target) as temporary:
        pq.write_table(
            content.replace_schema_metadata({KEY: key.encode()}), temporary, compression="zstd"
        )


def has_objects(path: Path, *, key: str) -> bool:
    """Whether the file is whole (its footer can be read) and was made under this key."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return False
    return bool(metadata.get(KEY) == key.encode())


def read_objects(path: Path) -> pd.DataFrame:
    """Measured objects; ``outline`` as float32 arrays.

    Raises
    ------
    OSError, pyarrow.ArrowInvalid
        If the file is absent or damaged; callers ask :func:`has_objects` first.
    """
    return pq.read_table(path).replace_schema_metadata(None).to_pandas()
