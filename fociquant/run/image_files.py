"""Which files of a folder are images, which are labels, and what belongs together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

IMAGE_ENDINGS = (
    ".ome.tiff", ".ome.tif", ".ome.zarr", ".ome.btf", ".ome.tf2", ".ome.tf8",
    ".tiff", ".tif", ".zarr", ".btf", ".tf2", ".tf8", ".svs", ".qptiff", ".png",
)  # fmt: skip
"""Endings of files that hold labels or images."""

PICTURE_ENDINGS = (".png",)
"""Those among them that programs also write as previews of the others."""

LABEL_ENDINGS = (
    "_cp_masks", "_labels", "_label", "_masks", "_mask", "_pred", "_truth", "_gt",
)  # fmt: skip
"""What programs add to an image's name for its labels; ignored when files are matched."""

RESULT_ENDINGS = ("_labels", "_masks", "_label", "_mask")
"""Those that no image's own name ends in (``_gt`` may be a genotype)."""


def is_folder(path: Path) -> bool:
    """Whether images are looked for in it; an OME-Zarr image is a folder itself."""
    return path.is_dir() and path.suffix.lower() != ".zarr"


def is_image_file(path: Path) -> bool:
    """Whether the name is that of an image or label file."""
    return path.name.lower().endswith(IMAGE_ENDINGS) and not path.name.startswith(".")


def images_in(folder: Path) -> list[Path]:
    """Images and labels of a folder, sorted by name; no picture that has an image's name."""
    files = sorted(filter(is_image_file, folder.iterdir()))
    names = {plain_name(path).casefold() for path in without_pictures(files)}
    return [
        path for path in files
        if not (is_picture(path) and plain_name(path).casefold() in names)
    ]  # fmt: skip


def without_pictures(paths: Sequence[Path]) -> list[Path]:
    """The files without pictures: beside sections these are previews."""
    return [path for path in paths if not is_picture(path)]


def is_picture(path: Path) -> bool:
    """Whether the name is that of a picture, which may be a preview."""
    return path.name.lower().endswith(PICTURE_ENDINGS)


def plain_name(path: Path) -> str:
    """File name without its format ending."""
    for ending in IMAGE_ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def is_result(path: Path) -> bool:
    """Whether the name is that of labels which a program wrote, not of an image."""
    return plain_name(path).lower().endswith(RESULT_ENDINGS)


def file_key(path: Path) -> str:
    """Name of a file without format and label endings: ``a_masks.ome.tif`` and ``a.tif`` agree."""
    known = path.name.lower().endswith(IMAGE_ENDINGS)
    name = plain_name(path) if known else path.name
    for ending in LABEL_ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name
