"""What an OME-XML block says about its images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from fociquant.errors import ImageFormatError
from fociquant.io.metadata import pixel_size_from
from fociquant.units import PixelSize

MAX_XML_CHARS = 64 * 2**20
"""A larger block is no microscope's."""

MAX_CHANNELS = 4096
"""More channels than this are a damaged block."""

SIDE_IMAGES = frozenset({"label", "macro", "thumbnail", "overview"})
"""Images whose name has one of these words are not the section: the word, not its letters in
``Macrophages`` or ``HER2-labelled``."""

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
"""A word of a name, also in ``MacroImage`` and ``slide_label2``."""

CLEARLY_LARGER = 16
"""An image this many times larger (in pixels) than every other one is the section."""


@dataclass(frozen=True)
class StoredPlane:
    """Where a channel's plane is.

    Parameters
    ----------
    directory : int
        Number of the TIFF directory.
    file_name : str or None
        Name that the file had when the block was written; None: this file.
    uuid : str or None
        Identifier of that file, which a renamed file keeps; None if it is not told.
    """

    directory: int
    file_name: str | None = None
    uuid: str | None = None


@dataclass(frozen=True)
class OmeImage:
    """One ``Image`` element.

    Parameters
    ----------
    name : str
    size_y, size_x, size_c, size_z, size_t : int
        ``size_c`` counts the samples of colour planes.
    pixel_size : PixelSize or None
        None if missing, without a unit of length, or implausible.
    channel_names : tuple of (str or None)
        One per ``Channel`` element.
    planes : mapping of int to StoredPlane
        By channel; empty: in order.
    """

    name: str
    size_y: int
    size_x: int
    size_c: int
    size_z: int
    size_t: int
    pixel_size: PixelSize | None
    channel_names: tuple[str | None, ...]
    planes: dict[int, StoredPlane]


@dataclass(frozen=True)
class OmeBlock:
    """A whole block.

    Parameters
    ----------
    images : tuple of OmeImage
    companion : str or None
        Name of the file that has the images instead.
    uuid : str or None
        Identifier of the file that the block is in.
    """

    images: tuple[OmeImage, ...]
    companion: str | None
    uuid: str | None


def looks_like_ome(text: str) -> bool:
    """Whether a text is an OME-XML block."""
    return text.lstrip()[:1] == "<" and ("<OME" in text[:4096] or ":OME" in text[:4096])


def parse_ome(text: str | bytes, path: Path) -> OmeBlock:
    """What a block says.

    Raises
    ------
    ImageFormatError
        Not well-formed, or with entities, which could expand without bound.
    """
    if len(text) > MAX_XML_CHARS:
        raise ImageFormatError(f"{path}: its OME-XML is larger than 64 MB. Export it again.")
    try:
        root = fromstring(text)
        images = tuple(
            _image(image, pixels)
            for image in _children(root, "Image")
            for pixels in _children(image, "Pixels")
        )
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise ImageFormatError(
            f"{path}: its OME-XML cannot be read ({str(error)[:160]}). Export the image again."
        ) from error
    companions = [one.get("MetadataFile") for one in _children(root, "BinaryOnly")]
    return OmeBlock(images, companions[0] if companions else None, _uuid(root.get("UUID")))


def _uuid(text: str | None) -> str | None:
    """An identifier as it compares with others."""
    return (text or "").strip().lower().removeprefix("urn:uuid:") or None


def choose_image(images: tuple[OmeImage, ...], path: Path) -> OmeImage:
    """The one image that is the section; labels, macro images and thumbnails are not.

    Raises
    ------
    ImageFormatError
        None, or several that could be; or more than one Z plane or time point.
    """
    candidates = [image for image in images if not _is_beside(image.name)] or list(images)
    if not candidates:
        raise ImageFormatError(f"{path}: its OME-XML describes no image. Export it again.")
    ranked = sorted(candidates, key=lambda image: image.size_y * image.size_x, reverse=True)
    areas = [image.size_y * image.size_x for image in ranked]
    if len(ranked) > 1 and areas[0] < CLEARLY_LARGER * areas[1]:
        names = ", ".join(repr(image.name) for image in candidates[:8])
        raise ImageFormatError(
            f"{path}: holds {len(candidates)} images ({names}). "
            "Export each section as a file of its own."
        )
    check_flat(path, ranked[0].size_z, ranked[0].size_t)
    return ranked[0]


def _is_beside(name: str) -> bool:
    """Whether an image of this name lies beside the section: a label, a macro image."""
    words = (word.lower().removesuffix("image").removesuffix("s") for word in WORD.findall(name))
    return not SIDE_IMAGES.isdisjoint(words)


def check_flat(path: Path, size_z: int, size_t: int) -> None:
    """Refuse stacks and movies, which have no one pixel per place.

    Raises
    ------
    ImageFormatError
        More than one Z plane or time point.
    """
    for size, what in ((size_z, "focal planes (Z)"), (size_t, "time points (T)")):
        if size > 1:
            raise ImageFormatError(
                f"{path}: has {size} {what}; fociquant counts in one plane. Save a maximum "
                "projection, or the plane you want, as OME-TIFF "
                "(Fiji: Image > Stacks > Z Project…, or Image > Duplicate…)."
            )


def _children(element: Element, name: str) -> Iterator[Element]:
    return (child for child in element if child.tag.rsplit("}")[-1] == name)


def _image(image: Element, pixels: Element) -> OmeImage:
    size = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in "XYCZT"}
    if not 1 <= size["C"] <= MAX_CHANNELS:
        raise ValueError(f"SizeC is {size['C']}")
    names = tuple(channel.get("Name") for channel in _children(pixels, "Channel"))
    return OmeImage(
        image.get("Name") or image.get("ID") or "",
        size["Y"],
        size["X"],
        size["C"],
        size["Z"],
        size["T"],
        _pixel_size(pixels),
        names,
        _planes(pixels, size["C"]),
    )


def _pixel_size(pixels: Element) -> PixelSize | None:
    y, x = pixels.get("PhysicalSizeY"), pixels.get("PhysicalSizeX")
    units = {pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "YX"}
    if y is None or x is None or len(units) != 1:
        return None
    return pixel_size_from(float(y), float(x), units.pop())


def _planes(pixels: Element, size_c: int) -> dict[int, StoredPlane]:
    """By channel; valid for one Z plane and time point only."""
    planes: dict[int, StoredPlane] = {}
    for data in _children(pixels, "TiffData"):
        file = next(_children(data, "UUID"), None)
        name, uuid = (None, None) if file is None else (file.get("FileName"), _uuid(file.text))
        first, directory = int(data.get("FirstC", 0)), int(data.get("IFD", 0))
        default = 1 if "IFD" in data.attrib else size_c
        count = min(int(data.get("PlaneCount", default)), size_c - first)
        for step in range(count):
            planes[first + step] = StoredPlane(directory + step, name, uuid)
    return planes
