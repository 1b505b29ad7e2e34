"""PNG: pixels as stored, for every kind that programs write."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from fociquant.errors import CorruptImageError, ImageFormatError
from fociquant.io import open_image
from fociquant.testing.readers import ExpectedImage, check_reader, check_refuses
from fociquant.units import PixelSize

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (41, 57), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (41, 57, 3), dtype=np.uint8)
RGB = ("Red", "Green", "Blue")


def planes(pixels):
    return np.moveaxis(np.atleast_3d(pixels), -1, 0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_grey_and_colour_with_and_without_opacity(tmp_path, dtype, samples):
    most = np.iinfo(dtype).max
    pixels = RNG.integers(0, most, (41, 57, samples), dtype=dtype, endpoint=True)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.squeeze(pixels)))
    shown = planes(pixels)[: 1 if samples < 3 else 3]
    names = ("channel 0",) if samples < 3 else RGB
    check_reader(open_image, tmp_path / "a.png", ExpectedImage((shown,), names))


def test_fewer_bits_and_palettes(tmp_path):
    Image.fromarray(GREY > 99).save(tmp_path / "bits.png")
    with open_image(tmp_path / "bits.png") as image:
        check_reader(
            open_image,
            tmp_path / "bits.png",
            ExpectedImage((planes((GREY > 99).astype(np.uint8) * 255),), ("channel 0",)),
        )
        assert image.format == "PNG"
    picture = Image.fromarray(COLOUR).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    for name, options in (("plain", {}), ("clear", {"transparency": 3})):
        path = tmp_path / f"{name}.png"
        picture.save(path, **options)
        truth = planes(np.asarray(picture.convert("RGB")))
        check_reader(open_image, path, ExpectedImage((truth,), RGB))


@pytest.mark.parametrize(
    ("dpi", "size"), [(None, None), (300, None), (25400 / 0.5, PixelSize.square(0.5))]
)
def test_a_pixel_size_is_taken_where_it_is_no_print_resolution(tmp_path, dpi, size):
    options = {} if dpi is None else {"dpi": (dpi, dpi)}
    Image.fromarray(GREY).save(tmp_path / "a.png", **options)
    with open_image(tmp_path / "a.png") as image:
        assert image.pixel_size == (size and pytest.approx(size))


def png_of(width, height, *, bits=8, colour=0):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def test_damaged_ones_are_refused(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, "PNG")
    whole = buffer.getvalue()
    for length in (9, 20, 40, len(whole) // 2, len(whole) - 20):
        path = tmp_path / f"{length}.png"
        path.write_bytes(whole[:length])
        check_refuses(open_image, path, CorruptImageError, words="PNG")
    for name, data in (("none", png_of(0, 9)), ("kind", png_of(9, 9, colour=5))):
        (tmp_path / f"{name}.png").write_bytes(data)
        check_refuses(open_image, tmp_path / f"{name}.png", CorruptImageError, words="header")
    (tmp_path / "huge.png").write_bytes(png_of(100_000, 100_000))
    check_refuses(open_image, tmp_path / "huge.png", ImageFormatError, words="OME-TIFF")
    (tmp_path / "short.png").write_bytes(png_of(50, 50))
    with open_image(tmp_path / "short.png") as image, pytest.raises(CorruptImageError):
        image.levels[0].compute()
