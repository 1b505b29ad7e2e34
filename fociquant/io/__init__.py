"""Image files in and out: a file becomes a lazy section image, and back."""

from __future__ import annotations

from fociquant.io.label_writer import write_labels
from fociquant.io.pyramid_writer import write_ome_tiff

__all__ = ["write_labels", "write_ome_tiff"]
