"""OME-Zarr 0.4 (Zarr 2) and 0.5 (Zarr 3): one multiscale image in a folder."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fociquant.errors import CorruptImageError, FociquantError, ImageError, ImageFormatError
from fociquant.io.damage import READ_ERRORS, damaged
from fociquant.io.files import at_second_try, fingerprint_files
from fociquant.io.level import MAX_SEGMENT_BYTES
from fociquant.io.metadata import is_reduced, pixel_size_from, unique_names
from fociquant.io.ome_xml import CLEARLY_LARGER, check_flat
from fociquant.io.pieces import MOST_PIECES
from fociquant.io.section import SectionImage
from fociquant.reading import ABSENT
from fociquant.units import PixelSize

if TYPE_CHECKING:
    import zarr

METADATA_FILES = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
"""Files that make a folder a Zarr hierarchy."""

ARRAY_FILES = ("zarr.json", ".zarray")
"""One of them lies in the folder of every array."""

MAX_METADATA_BYTES = 64 * 2**20
"""A larger metadata file is refused before it is parsed."""

MAX_LEVELS = 64
"""More datasets than this are no pyramid."""

TILE_PX = 512
"""Smaller chunks are read several at a time, up to about this side."""

SAMPLED_CHUNKS = 8
"""Chunks along the diagonal of each level whose samples are in the fingerprint."""

CHUNK_NAME = re.compile(r"(?:c[/.])?\d+(?:[/.]\d+)*")
"""Path of a chunk from its array's folder; other programs leave files of other names there."""

CURE = "Convert it again, for example with bioformats2raw or ome-zarr."


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


@dataclass(frozen=True)
class _Axes:
    """Where the axes of the stored arrays are; None for an axis that is absent."""

    names: tuple[str, ...]
    units: tuple[str | None, ...]

    def index(self, name: str) -> int | None:
        return self.names.index(name) if name in self.names else None


class ZarrLevel:
    """One array as one level (see ``fociquant.io.level.Level``).

    Parameters
    ----------
    array : zarr.Array
    folder : Path
        Where it is stored.
    axes : _Axes
    transforms : object
        What its metadata say of its size, as they are: only that of the finest level is used.
    """

    def __init__(self, array: zarr.Array, folder: Path, axes: _Axes, transforms: Any = ()) -> None:
        self.array, self.folder, self.axes, self.transforms = array, folder, axes, transforms
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        self.shape = (self._size("c", array.shape), *self._plane(array.shape))
        self._channels = self._size("c", array.chunks)
        self.tile_shape = self._tile_shape(self._plane(array.chunks))
        self._check()

    def _size(self, axis: str, sizes: Sequence[int]) -> int:
        index = self.axes.index(axis)
        return 1 if index is None else int(sizes[index])

    def _plane(self, sizes: Sequence[int]) -> tuple[int, int]:
        return self._size("y", sizes), self._size("x", sizes)

    def _tile_shape(self, chunk: tuple[int, int]) -> tuple[int, int]:
        """Whole chunks, but never far more than the image."""
        height, width = (
            min(side * max(1, TILE_PX // side), max(side, size))
            for side, size in zip(chunk, self.shape[1:], strict=True)
        )
        return height, width

    def _check(self) -> None:
        if 0 in self.shape:
            raise ImageFormatError(f"{self.folder}: shape {self.array.shape}: no pixels. {CURE}")
        check_flat(
            self.folder, self._size("z", self.array.shape), self._size("t", self.array.shape)
        )
        if self.dtype.kind not in "biuf":
            raise ImageFormatError(
                f"{self.folder}: pixels of type {self.dtype} cannot be read. Convert to uint16."
            )
        largest = math.prod(self.array.chunks) * self.dtype.itemsize
        if largest > MAX_SEGMENT_BYTES:
            raise ImageFormatError(
                f"{self.folder}: chunks of {largest / 1e9:.1f} GB must be decoded whole. "
                "Convert with chunks of 512 or 1024 px."
            )

    def place(self, channel: int) -> tuple[int, int]:
        """(chunk of channels, index in it)."""
        return divmod(channel, self._channels)

    def decode(self, group: int, row: int, column: int) -> np.ndarray:
        """One tile, shape (channels, h, w), cut at the image's border."""
        y, x = row * self.tile_shape[0], column * self.tile_shape[1]
        first = group * self._channels
        parts = {
            "c": slice(first, min(first + self._channels, self.shape[0])),
            "y": slice(y, min(y + self.tile_shape[0], self.shape[1])),
            "x": slice(x, min(x + self.tile_shape[1], self.shape[2])),
        }
        key = tuple(parts.get(name, 0) for name in self.axes.names)
        pixels = np.asarray(self.array[key])
        self._check_there()
        kept = [name for name in self.axes.names if name in parts]
        if "c" not in kept:
            pixels, kept = pixels[np.newaxis], ["c", *kept]
        ordered = pixels.transpose([kept.index(name) for name in "cyx"])
        return ordered.astype(self.dtype, copy=False)

    def _check_there(self) -> None:
        """Refuse pixels of an array that has gone: of a missing chunk all are empty."""
        if not any(_is_there(self.folder / name) for name in ARRAY_FILES):
            raise ImageError(
                f"{self.folder} is not there any more. Check the drive, then run the same "
                "command again."
            )

    def stored(self, group: int) -> np.ndarray:
        """Chunks (or shards) of a group of channels that have a file; all if they are too many."""
        outer = dict(zip(self.axes.names, self._outer(), strict=True))
        rows, columns = (
            -(-size // outer[axis]) for axis, size in zip("yx", self.shape[1:], strict=True)
        )
        if rows * columns > MOST_PIECES:
            return np.ones((rows, columns), bool)
        names = self._files
        place = {"c": group * self._channels // outer.get("c", 1)}
        found = np.zeros((rows, columns), bool)
        for y, x in np.ndindex(rows, columns):
            at = place | {"y": y, "x": x}
            key = self.array.metadata.encode_chunk_key(
                tuple(at.get(name, 0) for name in self.axes.names)
            )
            found[y, x] = key in names
        return found

    @cached_property
    def _files(self) -> frozenset[str]:
        """Every file of the array, by its name from the array's folder: asked for in one go."""
        return at_second_try(self.folder, lambda: frozenset(_files_below(self.folder)))

    def incomplete(self) -> str:
        """The names of all stored chunks where some are not stored, else empty.

        With it a copy that has been completed is another image than before.
        """
        wanted = math.prod(self._counts())
        if wanted > MOST_PIECES:
            return ""
        names = sorted(name for name in self._files if CHUNK_NAME.fullmatch(name))
        return "" if len(names) >= wanted else "\n".join(names)

    def sampled_files(self) -> list[Path]:
        """Where the chunks along the diagonal are, if they exist."""
        counts = self._counts()
        steps = np.linspace(0, 1, SAMPLED_CHUNKS)
        places = {tuple(round(step * (count - 1)) for count in counts) for step in steps}
        keys = [self.array.metadata.encode_chunk_key(place) for place in sorted(places)]
        return [self.folder / key for key in keys]

    def _counts(self) -> list[int]:
        """Files along every axis."""
        return [
            -(-size // side) for size, side in zip(self.array.shape, self._outer(), strict=True)
        ]

    def _outer(self) -> Sequence[int]:
        """Shape of what one file holds: a shard, or a chunk."""
        return self.array.shards or self.array.chunks


def _files_below(root: Path) -> Iterator[str]:
    """Names of all files from a folder on, with slashes.

    Raises
    ------
    OSError
        A folder cannot be listed: what is in it is not known.
    """

    def fail(error: OSError) -> None:
        raise error

    start = len(str(root))
    for folder, _, names in os.walk(root, onerror=fail):
        inside = folder[start:].replace(os.sep, "/").strip("/")
        yield from (f"{inside}/{name}" for name in names) if inside else names


def _is_there(path: Path) -> bool:
    """Whether there is a file; a drive that does not tell raises OSError."""
    try:
        path.stat()
    except ABSENT:
        return False
    return True


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


def _axes(scales: Mapping[str, Any], folder: Path) -> _Axes:
    """Axes as metadata have them: records (0.4 and later), names (0.3), or none (before)."""
    records = [
        {"name": axis} if isinstance(axis, str) else axis for axis in scales.get("axes", "tczyx")
    ]
    axes = _Axes(
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


def _level(folder: Path, dataset: Mapping[str, Any], axes: _Axes) -> ZarrLevel:
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
    there = at_second_try(folder, lambda: [file for file in files if _is_there(file)])
    return fingerprint_files(
        there, more="\n\n".join(level.incomplete() for level in levels).strip()
    )
