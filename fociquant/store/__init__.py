"""The results folder: layout, atomic writes, tables, label images, what made them."""

from __future__ import annotations

from fociquant.atomic import write_json
from fociquant.store.facts import facts_of, facts_to_json, stats_of
from fociquant.store.folder import ResultsFolder
from fociquant.store.labels import PaintedLabels, write_labels_zarr
from fociquant.store.objects import has_objects, read_objects, write_objects
from fociquant.store.records import read_json, write_sealed
from fociquant.store.tables import read_csv, read_parquet, write_csv, write_parquet

__all__ = [
    "PaintedLabels",
    "ResultsFolder",
    "facts_of",
    "facts_to_json",
    "has_objects",
    "read_csv",
    "read_json",
    "read_objects",
    "read_parquet",
    "stats_of",
    "write_csv",
    "write_json",
    "write_labels_zarr",
    "write_objects",
    "write_parquet",
    "write_sealed",
]
