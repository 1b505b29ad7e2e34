"""OME-TIFF: one file, or several of one folder that name each other."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from fociquant.errors import CorruptImageError, ImageFormatError
from fociquant.io.files import companion, fingerprint_files, open_binary
from fociquant.io.metadata import RGB_NAMES, unique_names
from fociquant.io.ome_xml import MAX_XML_CHARS, OmeImage, choose_image, looks_like_ome, parse_ome
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
        image = choose_image(_images(path, files), path)
        planes = [files.page(*_plane(image, path, channel)) for channel in _channels(image, files)]
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
    """The files of one image, opened when a plane of theirs is asked for."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._first, self._stack = path, stack
        self._open: dict[Path, OpenTiff] = {}
        self._texts: list[Path] = []

    @property
    def paths(self) -> list[Path]:
        """The file asked for, then the others by name."""
        others = {*self._open, *self._texts} - {self._first}
        return [self._first, *sorted(others)]

    def tiff(self, name: str | None) -> OpenTiff:
        path = self._first if name in (None, self._first.name) else self._beside(name)
        if path not in self._open:
            self._open[path] = self._stack.enter_context(OpenTiff.open(path))
        return self._open[path]

    def _beside(self, name: str | None) -> Path:
        return companion(self._first.parent, name or "", self._first)

    def page(self, directory: int, name: str | None) -> PageRef:
        tiff = self.tiff(name)
        return PageRef(tiff.page(directory), tiff.file)

    def text(self, path: Path) -> bytes:
        self._texts.append(path)
        with open_binary(path) as handle:
            return handle.read(MAX_XML_CHARS + 1)


def _images(path: Path, files: _Files) -> tuple[OmeImage, ...]:
    """From the file itself, or from the companion it refers to."""
    with open_binary(path) as handle:
        tiff = is_tiff(handle.read(8))
    text: str | bytes = files.tiff(None).description if tiff else files.text(path)
    images, reference = parse_ome(text, path)
    if images or reference is None:
        return images
    metadata = companion(path.parent, reference, path)
    with open_binary(metadata) as handle:
        tiff = is_tiff(handle.read(8))
    text = files.tiff(reference).description if tiff else files.text(metadata)
    return parse_ome(text, metadata)[0]


def _channels(image: OmeImage, files: _Files) -> range:
    """Numbers of the stored planes: a colour plane holds several channels."""
    directory, name = image.planes.get(0, (0, None))
    samples = max(1, int(files.tiff(name).page(directory).samplesperpixel))
    if image.size_c < 1 or image.size_c % samples:
        raise ImageFormatError(
            f"{files.paths[0]}: its OME-XML says {image.size_c} channels, but a plane has "
            f"{samples} samples. Export the image again."
        )
    return range(image.size_c // samples)


def _plane(image: OmeImage, path: Path, channel: int) -> tuple[int, str | None]:
    if not image.planes:
        return channel, None
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
        names = [
            f"{name or index} {sample}" for index, name in enumerate(names) for sample in samples
        ]
    return unique_names(names, count)


def _pixel_size(image: OmeImage, plane: PageRef) -> PixelSize | None:
    return image.pixel_size or pixel_size_from_tags(plane.page)
