"""Which reader opens which file: decided by content, explained by suffix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fociquant.errors import CorruptImageError, FociquantError, ImageError, ImageFormatError, said
from fociquant.io import ome_tiff, ome_zarr, png, tiff
from fociquant.io.damage import READ_ERRORS, damaged
from fociquant.io.files import open_binary
from fociquant.io.section import SectionImage
from fociquant.io.stains import Stains, separate_stains

HEAD_BYTES = 4096
"""Bytes of a file that readers see when they are asked."""

VENDOR_FORMATS = {
    ".czi": "Zeiss CZI", ".lsm": "Zeiss LSM", ".nd2": "Nikon ND2", ".lif": "Leica LIF",
    ".scn": "Leica SCN", ".ndpi": "Hamamatsu NDPI", ".vsi": "Olympus VSI", ".oib": "Olympus OIB",
    ".oif": "Olympus OIF", ".mrxs": "3DHISTECH MRXS", ".ims": "Imaris", ".bif": "Ventana BIF",
    ".stk": "MetaMorph STK", ".dcm": "DICOM",
}  # fmt: skip
"""Formats that are refused by name, whatever they contain."""

NAMED_LIKE = {**dict.fromkeys((".tif", ".tiff", ".btf", ".tf2", ".tf8"), "TIFF"), ".png": "PNG"}
"""Endings of formats that are read: with another content the file is damaged."""

READABLE = "OME-TIFF, TIFF, OME-Zarr (0.4, 0.5) and PNG"
"""The formats that work, for messages."""


@dataclass(frozen=True)
class Reader:
    """One format.

    Parameters
    ----------
    name : str
        As in ``SectionImage.format``.
    accepts : callable (path, head) -> bool
        Whether this reader opens it; `head` has the first bytes, ``b""`` for a folder.
    open : callable (path) -> SectionImage
        Must raise an :class:`~fociquant.errors.ImageError` for a file it cannot use, and pass
        :mod:`fociquant.testing.readers`.
    """

    name: str
    accepts: Callable[[Path, bytes], bool]
    open: Callable[[Path], SectionImage]


READERS: tuple[Reader, ...] = (
    Reader("OME-Zarr", ome_zarr.accepts, ome_zarr.open_ome_zarr),
    Reader("OME-TIFF", ome_tiff.accepts, ome_tiff.open_ome_tiff),
    Reader("TIFF", tiff.accepts, tiff.open_tiff),
    Reader("PNG", png.accepts, png.open_png),
)
"""Asked in this order; the first that accepts opens the file."""


def open_image(path: Path, *, stains: Stains | None = None) -> SectionImage:
    """Open a section image lazily: kilobytes are read, no pixels.

    Parameters
    ----------
    path : Path
        An OME-TIFF, TIFF or PNG file, or an OME-Zarr folder; recognised by content, not by name.
    stains : Stains, optional
        Dyes of a colour image; its channels are then these, see :mod:`fociquant.io.stains`.

    Returns
    -------
    SectionImage
        To be closed, or used as a context manager.

    Raises
    ------
    ImageError
        Missing, not readable, not an image, of an unsupported format, damaged, or holding more
        than one section; the message has the file and the cure.

    Examples
    --------
    >>> with open_image(Path("section.ome.tif")) as image:  # doctest: +SKIP
    ...     print(image.shape, image.channel_names, image.pixel_size)
    """
    image = _open(Path(path).absolute())
    if stains is None:
        return image
    try:
        return separate_stains(image, stains)
    except FociquantError:
        image.close()
        raise


def _open(path: Path) -> SectionImage:
    vendor = VENDOR_FORMATS.get(path.suffix.lower())
    if vendor is not None:
        raise ImageFormatError(_refusal(path, f"{vendor} is not supported."))
    head = _head(path)
    try:
        for reader in READERS:
            if reader.accepts(path, head):
                return reader.open(path)
    except FociquantError:
        raise
    except READ_ERRORS as error:
        raise damaged(path, "the image", error) from error
    raise ImageFormatError(_not_an_image(path, head))


def _head(path: Path) -> bytes:
    """The first bytes; ``b""`` for a folder.

    Raises
    ------
    ImageError
        No such file, no permission, or empty.
    """
    if path.is_dir():
        return b""
    with open_binary(path) as handle:
        try:
            head = handle.read(HEAD_BYTES)
        except OSError as error:
            raise ImageError(f"{path}: cannot be read ({said(error)}). Check the drive.") from error
    if not head:
        raise CorruptImageError(f"{path}: the file is empty (0 bytes). Copy it again.")
    return head


def _not_an_image(path: Path, head: bytes) -> str:
    if path.is_dir():
        return (
            f"{path}: a folder, not an image. Give the image files in it; the only folders that "
            "are images are OME-Zarr."
        )
    kind = NAMED_LIKE.get(path.suffix.lower())
    if kind is not None:
        return (
            f"{path}: named like a {kind}, but its content is not one (it begins with {head[:8]!r}"
            "). Export the image again."
        )
    return _refusal(path, f"a {path.suffix or 'nameless'} file is not an image that can be read.")


def _refusal(path: Path, why: str) -> str:
    return (
        f"{path}: {why} fociquant reads {READABLE}. Convert to OME-TIFF first, for example with "
        "QuPath (File > Export images) or Fiji (File > Save As > OME-TIFF)."
    )
