"""Plain TIFF: pages as channels, ImageJ hyperstacks, pyramids through pages or SubIFDs."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import tifffile

from fociquant.errors import CorruptImageError, ImageFormatError
from fociquant.io.damage import READ_ERRORS, damaged
from fociquant.io.files import SharedFile, fingerprint_files
from fociquant.io.metadata import (
    RGB_NAMES,
    pixel_size_from_resolution,
    unique_names,
)
from fociquant.io.ome_xml import check_flat
from fociquant.io.section import SectionImage
from fociquant.io.tiff_level import PageRef, pyramid
from fociquant.units import PixelSize

MAX_PAGES = 4096
"""More directories than this are a stack or a movie, not a section."""

MAX_PLAIN_CHANNELS = 128
"""More pages of one size, with nothing that says they are channels, are refused."""

COLOUR = (2, 6)
"""Photometric interpretations RGB and YCbCr (decoded to RGB)."""

RESOLUTION_UNITS = {2: "inch", 3: "cm"}
"""ResolutionUnit tag values that are lengths."""

PLANE_LABEL = re.compile(r"^(?:[czt]:\d+/\d+\s*)+(?:-\s*(?P<name>.+))?$")
"""Slice labels of Bio-Formats, such as ``c:1/3 z:1/1 - DAPI``."""


def is_tiff(head: bytes) -> bool:
    """Whether a file begins like a TIFF or BigTIFF."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class OpenTiff:
    """An open TIFF and its first directories; a context manager."""

    def __init__(self, file: SharedFile, parsed: tifffile.TiffFile) -> None:
        self.file, self._parsed = file, parsed
        self._pages: dict[int, tifffile.TiffPage] = {}

    @classmethod
    def open(cls, path: Path) -> OpenTiff:
        """Read the first directory.

        Raises
        ------
        ImageError
            No such file, no permission, or damaged.
        """
        file = SharedFile(path)
        try:
            parsed = tifffile.TiffFile(file.handle, _multifile=False)
            opened = cls(file, parsed)
            opened.page(0)
        except READ_ERRORS as error:
            file.close()
            raise damaged(path, "the TIFF's first directory", error) from error
        except CorruptImageError:
            file.close()
            raise
        return opened

    def page(self, index: int) -> tifffile.TiffPage:
        """A directory by number.

        Raises
        ------
        CorruptImageError
            There is no such directory, or it is damaged.
        """
        try:
            return self._parse(max(index, 0))
        except READ_ERRORS as error:
            raise damaged(self.file.path, f"directory {index} of the TIFF", error) from error

    def _parse(self, index: int) -> tifffile.TiffPage:
        if index not in self._pages:  # tifffile would read it again each time
            self._pages[index] = self._parsed.pages[index]
        return self._pages[index]

    @property
    def description(self) -> str:
        """Text of the first directory, ``""`` if it has none."""
        return str(self.page(0).description or "")

    def pages(self) -> Iterator[tifffile.TiffPage]:
        """All directories in order.

        Raises
        ------
        ImageFormatError
            More than ``MAX_PAGES``.
        """
        for index in range(MAX_PAGES + 1):
            try:
                page = self._parse(index)
            except IndexError:
                self._check_chain(self._pages[index - 1])
                return
            except READ_ERRORS as error:
                raise damaged(self.file.path, f"directory {index} of the TIFF", error) from error
            yield page
        raise ImageFormatError(
            f"{self.file.path}: has more than {MAX_PAGES} pages: a stack or a movie. "
            "Save the section as an OME-TIFF of its own."
        )

    def _check_chain(self, last: tifffile.TiffPage) -> None:
        """Refuse a chain of directories that is cut: the planes behind it would just be missing."""
        big, order = self._parsed.is_bigtiff, self._parsed.byteorder
        count, entry, offset = ("Q", 20, "Q") if big else ("H", 12, "I")
        entries = self._number(order + count, last.offset)
        end = last.offset + struct.calcsize(order + count) + entries * entry
        following = self._number(order + offset, end)
        if following not in {0, *(page.offset for page in self._pages.values())}:
            raise CorruptImageError(
                f"{self.file.path}: after page {last.index} another should be at byte {following} "
                f"of {self.file.size}, but is not there: the file is truncated. "
                "Copy it again from its source."
            )

    def _number(self, code: str, offset: int) -> int:
        (value,) = struct.unpack(code, self.file.read_at(offset, struct.calcsize(code)))
        return int(value)

    def imagej_labels(self) -> list[str | None]:
        """Names in ImageJ's slice labels; None where a label only counts planes."""
        try:
            labels = (self._parsed.imagej_metadata or {}).get("Labels") or []
        except READ_ERRORS:
            return []  # only names are lost
        matches = [(PLANE_LABEL.match(str(label)), str(label)) for label in labels]
        return [match["name"] if match else label for match, label in matches]

    def __enter__(self) -> OpenTiff:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()


def accepts(path: Path, head: bytes) -> bool:
    """Any TIFF."""
    return is_tiff(head)


def open_tiff(path: Path) -> SectionImage:
    """Open a TIFF without OME metadata.

    Pages of the size of the first one are channels, as far as they follow each other; smaller
    ones are levels if they are as many and have the same shape.

    Raises
    ------
    ImageError
        Damaged, a stack or movie, or a pixel type that cannot be read.
    """
    with ExitStack() as stack:
        tiff = stack.enter_context(OpenTiff.open(path))
        imagej = _imagej_values(tiff.description)
        groups = _groups([PageRef(page, tiff.file) for page in tiff.pages()])
        channels = _channels(groups[0], tiff, imagej)
        levels = pyramid([channels, *sub_directories(channels), *groups[1:]])
        return SectionImage(
            path=path,
            format="TIFF",
            channel_names=_names(channels[0].page, tiff, levels[0].shape[0]),
            pixel_size=pixel_size_from_tags(channels[0].page, imagej.get("unit")),
            pyramid=levels,
            closers=(stack.pop_all().close,),
            make_fingerprint=lambda: fingerprint_files([path]),
        )


def sub_directories(pages: Sequence[PageRef]) -> list[list[PageRef]]:
    """Lists of the pages' first SubIFDs, second SubIFDs and so on.

    Raises
    ------
    CorruptImageError
        A SubIFD is damaged.
    """
    try:
        count = min(len(ref.page.subifds or ()) for ref in pages)
        return [
            [PageRef(ref.page.pages[index], ref.file, ref.shift) for ref in pages]
            for index in range(min(count, 64))
        ]
    except READ_ERRORS as error:
        raise damaged(pages[0].file.path, "a pyramid level of the TIFF", error) from error


def is_colour(page: tifffile.TiffPage) -> bool:
    """Whether the samples of a page are red, green and blue."""
    return page.photometric in COLOUR and page.samplesperpixel >= 3


def pixel_size_from_tags(page: tifffile.TiffPage, unit: str | None = None) -> PixelSize | None:
    """From the resolution tags, if they have a unit of length and are no print resolution.

    Parameters
    ----------
    page : tifffile.TiffPage
    unit : str, optional
        ImageJ's unit, which stands in the description.
    """
    values = [page.tags.valueof(code) for code in (283, 282)]
    try:
        y, x = (float(value[0]) / float(value[1]) for value in values)
        unit = unit or RESOLUTION_UNITS.get(int(page.tags.valueof(296)))
    except (TypeError, ValueError, LookupError, ArithmeticError):
        return None
    return pixel_size_from_resolution(y, x, unit) if math.isfinite(y * x) else None


def _groups(pages: Sequence[PageRef]) -> list[list[PageRef]]:
    """Runs of consecutive pages of one size and kind."""
    return [list(run) for _, run in groupby(pages, key=lambda ref: (ref.size, ref.kind))]


def _imagej_values(description: str) -> dict[str, str]:
    """The ``key=value`` lines that ImageJ writes; empty for other files."""
    if not description.startswith("ImageJ="):
        return {}
    lines = (line.partition("=") for line in description.splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def _channels(pages: list[PageRef], tiff: OpenTiff, imagej: dict[str, str]) -> list[PageRef]:
    """The pages of level 0, after what the description says of their axes."""
    path = tiff.file.path
    if imagej:
        return _imagej_channels(pages, path, imagej)
    check_flat(path, *_shaped_stack(tiff.description))
    if len(pages) > MAX_PLAIN_CHANNELS:
        raise ImageFormatError(
            f"{path}: has {len(pages)} pages of one size and does not say what they are. "
            "Save the section as an OME-TIFF of its own."
        )
    return pages


def _imagej_channels(pages: list[PageRef], path: Path, imagej: dict[str, str]) -> list[PageRef]:
    try:
        sizes = {key: int(imagej.get(key, 1)) for key in ("images", "channels", "slices", "frames")}
    except ValueError as error:
        raise damaged(path, "ImageJ's description", error) from error
    check_flat(path, sizes["slices"], sizes["frames"])
    count = max(sizes["channels"], 1)
    if len(pages) >= max(count, sizes["images"]):
        return pages
    if len(pages) > 1:
        raise CorruptImageError(
            f"{path}: says {sizes['images']} planes but has {len(pages)}: it is truncated. "
            "Copy it again from its source."
        )
    return _planes_behind(pages[0], sizes["images"])


def _planes_behind(ref: PageRef, count: int) -> list[PageRef]:
    """Planes that ImageJ stores one after the other with a single directory (above 4 GB)."""
    page = ref.page
    plane = page.imagelength * page.imagewidth * page.samplesperpixel
    plane_bytes = int(plane) * np.dtype(page.dtype).itemsize
    if page.compression != 1 or len(page.dataoffsets) != 1 or count > MAX_PLAIN_CHANNELS:
        raise CorruptImageError(
            f"{ref.file.path}: says {count} planes but has one. Copy or export it again."
        )
    return [PageRef(page, ref.file, index * plane_bytes) for index in range(count)]


def _shaped_stack(description: str) -> tuple[int, int]:
    """Sizes of Z and T in the JSON description that tifffile writes; 1 where it says nothing."""
    if not description.startswith("{"):
        return 1, 1
    try:
        shaped: Any = json.loads(description)
        sizes = dict(zip(shaped["axes"], shaped["shape"], strict=True))
        return int(sizes.get("Z", 1)), int(sizes.get("T", 1))
    except (ValueError, TypeError, LookupError, RecursionError):
        return 1, 1


def _names(page: tifffile.TiffPage, tiff: OpenTiff, count: int) -> tuple[str, ...]:
    if is_colour(page):
        return unique_names(RGB_NAMES[:count], count)
    labels = tiff.imagej_labels() if tiff.description.startswith("ImageJ=") else []
    return unique_names(labels, count) if len(labels) == count else unique_names([], count)
