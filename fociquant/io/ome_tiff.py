"""OME-TIFF: one file, or several of one folder that name each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from fociquant.errors import CorruptImageError, ImageFormatError
from fociquant.io.files import companion, fingerprint_files, open_binary
from fociquant.io.metadata import RGB_NAMES, unique_names
from fociquant.io.ome_xml import (
    MAX_XML_CHARS,
    OmeBlock,
    OmeImage,
    StoredPlane,
    choose_image,
    looks_like_ome,
    parse_ome,
)
from fociquant.io.section import SectionImage
from fociquant.io.tiff import (
    OpenTiff,
    is_colour,
    is_tiff,
    pixel_size_from_tags,
    sub_directories,
)
from fociquant.io.tiff_level import PageRef, pyramid
from fociquant.units import PixelSize


def accepts(path: Path, head: bytes) -> bool:
    """A TIFF whose first description is OME-XML, or a ``.companion.ome`` file."""
    if is_tiff(head):
        with OpenTiff.open(path) as tiff:
            return looks_like_ome(tiff.description)
    return head.lstrip()[:1] == b"<" and b"OME" in head


def open_ome_tiff(path: Path) -> SectionImage:
    """Open the section of an OME-TIFF.

    Parameters
    ----------
    path : Path
        The file, any file of a multi-file set, or its ``.companion.ome``.

    Raises
    ------
    ImageError
        Damaged, several sections in one file, a stack or movie, a missing part.
    """
    with ExitStack() as stack:
        files = _Files(path, stack)
        image = choose_image(files.images(), path)
        files.know(image.planes.values())
        planes = [files.page(_plane(image, path, channel)) for channel in _channels(image, files)]
        _check_size(image, planes[0], path)
        levels = pyramid([planes, *sub_directories(planes)])
        return SectionImage(
            path=path,
            format="OME-TIFF",
            channel_names=_names(image, planes[0], levels[0].shape[0]),
            pixel_size=_pixel_size(image, planes[0]),
            pyramid=levels,
            closers=(stack.pop_all().close,),
            make_fingerprint=lambda: fingerprint_files(files.paths),
        )


class _Files:
    """The files of one image, opened when a plane of theirs is asked for.

    A file is known by its identifier, where blocks tell it: names change, and another file may
    have the old one since.
    """

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._first, self._stack = path, stack
        self._open: dict[Path, OpenTiff] = {}
        self._texts: list[Path] = []
        self._own = self._block(path)
        self._by_uuid = False

    @property
    def paths(self) -> list[Path]:
        """The file asked for, then the others by name."""
        others = {*self._open, *self._texts} - {self._first}
        return [self._first, *sorted(others)]

    def images(self) -> tuple[OmeImage, ...]:
        """From the file itself, or from the companion it refers to."""
        if self._own.images or self._own.companion is None:
            return self._own.images
        return self._block(companion(self._first.parent, self._own.companion, self._first)).images

    def know(self, planes: Iterable[StoredPlane]) -> None:
        """Where the planes of the image are: whether this file's identifier is one of theirs."""
        self._by_uuid = any(plane.uuid == self._own.uuid for plane in planes if plane.uuid)

    def page(self, plane: StoredPlane) -> PageRef:
        """The directory of a plane.

        Raises
        ------
        CorruptImageError
            Its file is missing, or another one has its name.
        """
        path = self._first if self._is_here(plane) else self._beside(plane)
        tiff = self._tiff(path)
        return PageRef(tiff.page(plane.directory), tiff.file)

    def _is_here(self, plane: StoredPlane) -> bool:
        if plane.uuid is not None and self._by_uuid:
            return plane.uuid == self._own.uuid
        return plane.file_name in (None, self._first.name)

    def _beside(self, plane: StoredPlane) -> Path:
        path = companion(self._first.parent, plane.file_name or "", self._first)
        if plane.uuid is not None and self._is_another(path, plane):
            raise CorruptImageError(
                f"{self._first}: a part of the image was {plane.file_name!r}, but the file of that "
                "name is now another image. Give the parts their old names, or export the image "
                "again as one OME-TIFF."
            )
        return path

    def _is_another(self, path: Path, plane: StoredPlane) -> bool:
        """Whether a file says that it is not the one with the plane's identifier."""
        description = self._tiff(path).description
        if not looks_like_ome(description):
            return False
        block = parse_ome(description, path)
        own = [block.uuid] if block.uuid else [
            one.uuid for image in block.images for one in image.planes.values()
            if one.file_name == plane.file_name and one.uuid
        ]  # fmt: skip
        return bool(own) and plane.uuid not in own

    def _tiff(self, path: Path) -> OpenTiff:
        if path not in self._open:
            self._open[path] = self._stack.enter_context(OpenTiff.open(path))
        return self._open[path]

    def _block(self, path: Path) -> OmeBlock:
        with open_binary(path) as handle:
            if is_tiff(handle.read(8)):
                return parse_ome(self._tiff(path).description, path)
        self._texts.append(path)
        with open_binary(path) as handle:
            return parse_ome(handle.read(MAX_XML_CHARS + 1), path)


def _channels(image: OmeImage, files: _Files) -> range:
    """Numbers of the stored planes: a colour plane holds several channels."""
    first = files.page(image.planes.get(0, StoredPlane(0)))
    samples = max(1, int(first.page.samplesperpixel))
    if image.size_c < 1 or image.size_c % samples:
        raise ImageFormatError(
            f"{files.paths[0]}: its OME-XML says {image.size_c} channels, but a plane has "
            f"{samples} samples. Export the image again."
        )
    return range(image.size_c // samples)


def _plane(image: OmeImage, path: Path, channel: int) -> StoredPlane:
    if not image.planes:
        return StoredPlane(channel)
    if channel not in image.planes:
        raise CorruptImageError(
            f"{path}: its OME-XML does not say where channel {channel} is stored. "
            "Export the image again."
        )
    return image.planes[channel]


def _check_size(image: OmeImage, plane: PageRef, path: Path) -> None:
    if (image.size_y, image.size_x) != plane.size:
        raise CorruptImageError(
            f"{path}: its OME-XML says {image.size_y} × {image.size_x} px, but the image has "
            f"{plane.size[0]} × {plane.size[1]}. Export the image again."
        )


def _names(image: OmeImage, plane: PageRef, count: int) -> tuple[str, ...]:
    names: list[str | None] = list(image.channel_names)
    if is_colour(plane.page):
        samples = RGB_NAMES[: plane.page.samplesperpixel]
        if len(names) <= 1:
            return unique_names(samples, count)
        names = _of_samples(names, samples)
    elif len(names) < count == len(names) * plane.page.samplesperpixel:  # one name per page
        names = _of_samples(names, [str(k) for k in range(plane.page.samplesperpixel)])
    return unique_names(names, count)


def _of_samples(names: Sequence[str | None], samples: Sequence[str]) -> list[str | None]:
    """A name for each sample of each page."""
    return [f"{name or index} {sample}" for index, name in enumerate(names) for sample in samples]


def _pixel_size(image: OmeImage, plane: PageRef) -> PixelSize | None:
    return image.pixel_size or pixel_size_from_tags(plane.page)
