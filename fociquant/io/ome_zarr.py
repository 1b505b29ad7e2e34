"""OME-Zarr 0.4 (Zarr 2) and 0.5 (Zarr 3): one multiscale image in a folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fociquant.errors import CorruptImageError, FociquantError, ImageError, ImageFormatError
from fociquant.io.damage import READ_ERRORS, damaged
from fociquant.io.files import at_second_try, fingerprint_files
from fociquant.io.metadata import is_reduced, pixel_size_from, unique_names
from fociquant.io.ome_xml import CLEARLY_LARGER
from fociquant.io.section import SectionImage
from fociquant.io.zarr_level import CURE, Axes, ZarrLevel, is_there
from fociquant.units import PixelSize

METADATA_FILES = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
"""Files that make a folder a Zarr hierarchy."""

MAX_METADATA_BYTES = 64 * 2**20
"""A larger metadata file is refused before it is parsed."""

MAX_LEVELS = 64
"""More datasets than this are no pyramid."""


def accepts(path: Path, head: bytes) -> bool:
    """A folder with Zarr metadata."""
    return path.is_dir() and any((path / name).exists() for name in METADATA_FILES)


def open_ome_zarr(path: Path) -> SectionImage:
    """Open the section of an OME-Zarr folder.

    Parameters
    ----------
    path : Path
        A multiscale group; or a folder of bioformats2raw, or a plate, that holds one image.

    Raises
    ------
    ImageError
        Several images, a stack or movie, no multiscales, or damaged metadata.
    """
    try:
        group_path, attributes = _image_group(path)
        scales = _multiscales(attributes, group_path)
        levels = _levels(scales, group_path)
        return SectionImage(
            path=path,
            format="OME-Zarr",
            channel_names=_channel_names(attributes, levels[0].shape[0]),
            pixel_size=_pixel_size(scales, levels[0]),
            pyramid=tuple(levels),
            closers=(),
            make_fingerprint=partial(_fingerprint, group_path, levels),
        )
    except FociquantError:
        raise
    except READ_ERRORS as error:
        raise damaged(path, "its OME-Zarr metadata", error) from error


def _attributes(folder: Path) -> dict[str, Any]:
    """The OME attributes of a group, whichever version wrote them."""
    for name in METADATA_FILES:
        file = folder / name
        try:
            size = file.stat().st_size
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ImageError(
                f"{file}: cannot be read ({error.strerror}). Ask its owner."
            ) from error
        if size > MAX_METADATA_BYTES:
            raise ImageFormatError(f"{file}: {size / 1e6:.0f} MB of metadata. {CURE}")
    import zarr  # not before such an image is opened: it takes its time to load

    try:
        group = zarr.open_group(folder, mode="r", use_consolidated=False)
        attributes: dict[str, Any] = group.attrs.asdict()
    except READ_ERRORS as error:
        raise damaged(folder, "its Zarr metadata", error) from error
    return dict(attributes.get("ome", attributes))


def _image_group(path: Path) -> tuple[Path, dict[str, Any]]:
    """The multiscale group at or below `path`, and its attributes."""
    attributes = _attributes(path)
    if "multiscales" in attributes:
        return path, attributes
    if "plate" in attributes:
        return _only_image(path, _plate_images(path, attributes["plate"]))
    if "well" in attributes:
        return _only_image(
            path, [_inside(path, image["path"]) for image in attributes["well"]["images"]]
        )
    series = [folder for folder in sorted(path.iterdir()) if folder.name.isdecimal()]
    if not series:
        raise ImageFormatError(f"{path}: a Zarr folder without an OME image in it. {CURE}")
    return _only_image(path, series)


def _plate_images(path: Path, plate: Mapping[str, Any]) -> list[Path]:
    wells = [_inside(path, well["path"]) for well in plate["wells"][:2]]
    return [
        _inside(well, image["path"])
        for well in wells
        for image in _attributes(well)["well"]["images"]
    ]


def _only_image(path: Path, folders: Sequence[Path]) -> tuple[Path, dict[str, Any]]:
    """The one image, or the one that is far larger than the others (label, macro)."""
    found = [(folder, _attributes(folder)) for folder in folders[:MAX_LEVELS]]
    found = [(folder, attributes) for folder, attributes in found if "multiscales" in attributes]
    if len(found) == 1:
        return found[0]
    areas = [_area(folder, attributes) for folder, attributes in found]
    order = sorted(range(len(found)), key=lambda index: areas[index], reverse=True)
    if order and areas[order[0]] >= CLEARLY_LARGER * areas[order[1]]:
        return found[order[0]]
    names = ", ".join(folder.relative_to(path).as_posix() for folder, _ in found[:8])
    raise ImageFormatError(
        f"{path}: holds {len(found)} images ({names}). Give one row of the sample sheet to each, "
        f"for example {path.name}/0."
    )


def _area(folder: Path, attributes: Mapping[str, Any]) -> int:
    shape = _levels(_multiscales(attributes, folder), folder)[0].shape
    return shape[1] * shape[2]


def _inside(folder: Path, name: object) -> Path:
    """A path below `folder` that metadata name."""
    parts = str(name).replace("\\", "/").strip("/").split("/")
    if any(part in ("", "..") or ":" in part for part in parts):
        raise CorruptImageError(f"{folder}: its metadata name {name!r}, outside of it. {CURE}")
    return folder.joinpath(*parts)


def _multiscales(attributes: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    scales = attributes["multiscales"]
    if not scales or not scales[0].get("datasets"):
        raise CorruptImageError(f"{folder}: its metadata list no resolution level. {CURE}")
    return dict(scales[0])


def _axes(scales: Mapping[str, Any], folder: Path) -> Axes:
    """Axes as metadata have them: records (0.4 and later), names (0.3), or none (before)."""
    records = [
        {"name": axis} if isinstance(axis, str) else axis for axis in scales.get("axes", "tczyx")
    ]
    axes = Axes(
        tuple(str(record["name"]).lower() for record in records),
        tuple(record.get("unit") for record in records),
    )
    if not {"y", "x"} <= set(axes.names) <= set("tczyx") or len(set(axes.names)) < len(axes.names):
        raise ImageFormatError(f"{folder}: axes {axes.names} are not those of an image. {CURE}")
    return axes


def _levels(scales: Mapping[str, Any], folder: Path) -> list[ZarrLevel]:
    axes = _axes(scales, folder)
    found = [_level(folder, dataset, axes) for dataset in scales["datasets"][:MAX_LEVELS]]
    found.sort(key=lambda level: level.shape[1] * level.shape[2], reverse=True)
    full = found[0]
    return [full] + [
        level
        for level in found[1:]
        if is_reduced(full.shape[1:], level.shape[1:])
        and (level.shape[0], level.dtype) == (full.shape[0], full.dtype)
    ]


def _level(folder: Path, dataset: Mapping[str, Any], axes: Axes) -> ZarrLevel:
    import zarr

    place = _inside(folder, dataset["path"])
    try:
        array = zarr.open_array(place, mode="r")
    except READ_ERRORS as error:
        raise damaged(place, "this resolution level", error) from error
    if array.ndim != len(axes.names):
        raise CorruptImageError(
            f"{place}: {array.ndim} axes, but the metadata name {len(axes.names)}. {CURE}"
        )
    return ZarrLevel(array, place, axes, dataset.get("coordinateTransformations") or [])


def _channel_names(attributes: Mapping[str, Any], count: int) -> tuple[str, ...]:
    channels = (attributes.get("omero") or {}).get("channels") or []
    labels = [None if one.get("label") is None else str(one["label"]) for one in channels]
    return unique_names(labels, count)


def _pixel_size(scales: Mapping[str, Any], full: ZarrLevel) -> PixelSize | None:
    """Of level 0, from the scale transformations; None where an axis has no unit of length."""
    axes = full.axes
    transforms = [*full.transforms, *(scales.get("coordinateTransformations") or [])]
    sizes = [one["scale"] for one in transforms if one.get("type") == "scale"]
    y, x = axes.names.index("y"), axes.names.index("x")
    if not sizes or axes.units[y] != axes.units[x]:
        return None
    scale = [math.prod(float(size[axis]) for size in sizes) for axis in (y, x)]
    return pixel_size_from(scale[0], scale[1], axes.units[y])


def _fingerprint(folder: Path, levels: Sequence[ZarrLevel]) -> str:
    """Metadata of the group and its levels, sampled chunks of each, and which are there."""
    files = [folder / name for name in METADATA_FILES]
    for level in levels:
        files += [level.folder / name for name in METADATA_FILES]
        files += level.sampled_files()
    there = at_second_try(folder, lambda: [file for file in files if is_there(file)])
    return fingerprint_files(
        there, more="\n\n".join(level.incomplete() for level in levels).strip()
    )
