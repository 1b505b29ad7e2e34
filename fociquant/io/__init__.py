"""Image files in and out: a file becomes a lazy section image, and back."""

from __future__ import annotations

from fociquant.io.label_writer import write_labels
from fociquant.io.pyramid_writer import write_ome_tiff
from fociquant.io.registry import open_image
from fociquant.io.section import SectionImage
from fociquant.io.stains import StainedImage, Stains, is_transmitted_light

__all__ = [
    "SectionImage",
    "StainedImage",
    "Stains",
    "is_transmitted_light",
    "open_image",
    "write_labels",
    "write_ome_tiff",
]
