"""Geometry without pixels: network windows, decode cells, blocks, and who owns an object."""

from __future__ import annotations

from fociquant.tiling.grid import AnalysisGrid
from fociquant.tiling.lattice import Block, Lattice
from fociquant.tiling.ownership import duplicate_rows, integer_centres, reported_labels

__all__ = [
    "AnalysisGrid",
    "Block",
    "Lattice",
    "duplicate_rows",
    "integer_centres",
    "reported_labels",
]
