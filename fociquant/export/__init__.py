"""Files for other programs, made from the tables; nothing here computes a result."""

from __future__ import annotations

from fociquant.export._geojson import write_geojson
from fociquant.export._imagej import write_imagej
from fociquant.export._prism import write_prism, write_prism_foci
from fociquant.export._xlsx import write_xlsx

__all__ = ["write_geojson", "write_imagej", "write_prism", "write_prism_foci", "write_xlsx"]
