"""PNG: one picture, grey or in colour, without a pyramid; what programs export by default."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np

from fociquant.errors import CorruptImageError, ImageFormatError
from fociquant.io.files import SharedFile, fingerprint_files
from fociquant.io.level import MAX_SEGMENT_BYTES
from fociquant.io.metadata import RGB_NAMES, pixel_size_from_resolution, unique_names
from fociquant.io.section import SectionImage
from fociquant.units import PixelSize

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""First bytes of every PNG file (ISO/IEC 15948, section 5.2)."""

CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
"""Colour type to channels; opacity is left out, and a palette gives its colours."""

END = b"IEND"
"""Name of the chunk that is the last of every whole file."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What stands before the pixels."""

    height: int
    width: int
    channels: int
    dtype: np.dtype
    pixel_size: PixelSize | None


class PngLevel:
    """The picture as the only tile of its only level (see ``fociquant.io.level.Level``)."""

    def __init__(self, file: SharedFile, header: _Header) -> None:
        self._file = file
        self.shape = (header.channels, header.height, header.width)
        self.dtype = header.dtype
        self.tile_shape = (header.height, header.width)

    def place(self, channel: int) -> tuple[int, int]:
        """All channels are in one group."""
        return 0, channel

    def decode(self, group: int, row: int, column: int) -> np.ndarray:
        """The whole picture, shape (C, Y, X)."""
        data = self._file.read_at(0, self._file.size)
        pixels = np.atleast_3d(imagecodecs.png_decode(data))
        if pixels.shape[:2] != self.shape[1:] or pixels.dtype != self.dtype:
            raise ValueError("the pixels are not those that the header announces")
        return np.ascontiguousarray(np.moveaxis(pixels[..., : self.shape[0]], -1, 0))

    def stored(self, group: int) -> np.ndarray:
        """The file is whole, or is not opened."""
        return np.ones((1, 1), bool)


def accepts(path: Path, head: bytes) -> bool:
    """Any PNG."""
    return head.startswith(SIGNATURE)


def open_png(path: Path) -> SectionImage:
    """Open a PNG of 1 to 16 bits.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    SectionImage
        ``uint8``, or ``uint16`` for 16 bits. Opacity is left out.

    Raises
    ------
    ImageError
        Truncated, or larger than what can be decoded at once.
    """
    file = SharedFile(path)
    try:
        header = _header(file)
        if END not in file.read_at(max(file.size - 64, 0), min(file.size, 64)):
            raise CorruptImageError(f"{path}: the PNG is truncated. Copy or export it again.")
    except EOFError as error:
        file.close()
        raise CorruptImageError(f"{path}: the PNG is truncated. Copy it again.") from error
    except (CorruptImageError, ImageFormatError):
        file.close()
        raise
    names = RGB_NAMES[: header.channels] if header.channels > 1 else []
    return SectionImage(
        path=path,
        format="PNG",
        channel_names=unique_names(names, header.channels),
        pixel_size=header.pixel_size,
        pyramid=(PngLevel(file, header),),
        closers=(file.close,),
        make_fingerprint=lambda: fingerprint_files([path]),
    )


def _header(file: SharedFile) -> _Header:
    kind, width, height, bits, colour = struct.unpack(">4sIIBB", file.read_at(12, 14))
    if kind != b"IHDR" or colour not in CHANNELS or not (width and height):
        raise CorruptImageError(f"{file.path}: the PNG's header is damaged. Export it again.")
    dtype = np.dtype(np.uint16 if bits == 16 else np.uint8)
    # As many samples as the decoder may give, opacity included.
    if width * height * (CHANNELS[colour] + 1) * dtype.itemsize > MAX_SEGMENT_BYTES:
        raise ImageFormatError(
            f"{file.path}: a PNG of {width} × {height} px is decoded whole, which takes too much "
            "memory. Save it as a tiled OME-TIFF."
        )
    return _Header(height, width, CHANNELS[colour], dtype, _pixel_size(file))


def _pixel_size(file: SharedFile) -> PixelSize | None:
    """From the ``pHYs`` chunk, where it is no print resolution."""
    place = len(SIGNATURE)
    while place + 12 <= file.size:
        length, kind = struct.unpack(">I4s", file.read_at(place, 8))
        if kind == b"pHYs" and length == 9:
            x, y, unit = struct.unpack(">IIB", file.read_at(place + 8, 9))
            return pixel_size_from_resolution(y / 100, x / 100, "cm" if unit == 1 else None)
        if kind in (b"IDAT", END):
            break
        place += length + 12
    return None
