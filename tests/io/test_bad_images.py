"""Files that are damaged, hostile, huge or not images: a clear error, or only kilobytes read."""

import io
import itertools
import json
import os
import struct
import sys
import time
import warnings

import numpy as np
import pytest
import tifffile
import zarr

from fociquant.errors import (
    ChannelError,
    CorruptImageError,
    ImageError,
    ImageFormatError,
    PixelSizeError,
)
from fociquant.io import files, open_image, write_ome_tiff
from fociquant.io.tile_cache import TileCache
from fociquant.model import Box
from fociquant.testing.readers import check_refuses
from fociquant.units import PixelSize

NAMES = ("HER2", "DAPI", "dapi", "2")


@pytest.fixture
def image():
    return np.random.default_rng(3).integers(0, 60000, (4, 150, 117), dtype="uint16")


@pytest.fixture
def good(tmp_path, image):
    path = tmp_path / "good.ome.tif"
    write_ome_tiff(path, image, channel_names=NAMES, pixel_size=None, tile_px=32)
    return path


def group(folder, attributes, **arrays):
    root = zarr.open_group(folder, mode="w", zarr_format=2)
    root.attrs.update(attributes)
    for name, shape in arrays.items():
        root.create_array(name, shape=shape, chunks=shape, dtype="uint16")
    return folder


def multiscales(axes="cyx", path="full"):
    axes = [{"name": axis} for axis in axes]
    return {"multiscales": [{"axes": axes, "datasets": [{"path": path}]}]}


def test_missing_folder_text_and_empty_files(tmp_path):
    check_refuses(open_image, tmp_path / "absent.tif", words="no such file")
    (tmp_path / "folder").mkdir()
    check_refuses(open_image, tmp_path / "folder", ImageFormatError, words="a folder")
    for name in ("text.tif", "text.png"):
        (tmp_path / name).write_text("mouse,group\n1,PBS\n")
        check_refuses(open_image, tmp_path / name, ImageFormatError, words="not one")
    (tmp_path / "empty.tif").touch()
    check_refuses(open_image, tmp_path / "empty.tif", CorruptImageError, words="empty")


@pytest.mark.parametrize("name", ["a.czi", "a.ND2", "a.lif", "a.jpg", "a", "a.zarr"])
def test_other_formats_name_the_cure(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x89PNG....")
    check_refuses(open_image, tmp_path / name, ImageFormatError, words="OME-TIFF")


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0,
                    reason="permissions do not bind this user")  # fmt: skip
def test_no_permission(good):
    good.chmod(0)
    check_refuses(open_image, good, words="permission")


def test_permission_errors_are_told(good, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    check_refuses(open_image, good, words="permission")
    # All that Windows says of a file which the microscope's program still writes.
    check_refuses(open_image, good, words="another program holds it")


@pytest.mark.parametrize("keep", [4, 8, 100, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["ome", "raw", "strips"])
def test_truncated_files_are_found_at_opening(tmp_path, image, good, keep, kind):
    path = good
    if kind != "ome":
        path = tmp_path / "plain.tif"
        compression = "zlib" if kind == "strips" else None
        tifffile.imwrite(path, image, photometric="minisblack", compression=compression)
    data = path.read_bytes()
    path.write_bytes(data[: keep if keep > 1 else int(len(data) * keep)])
    with pytest.raises(CorruptImageError, match=path.name):
        open_image(path)


def test_a_damaged_tile_says_where_it_is(good, image):
    with tifffile.TiffFile(good) as file:
        page = file.pages[1]
        offset, count = page.dataoffsets[6], page.databytecounts[6]
    data = bytearray(good.read_bytes())
    data[offset : offset + count] = b"\xff" * count
    good.write_bytes(data)
    with open_image(good) as opened:
        np.testing.assert_array_equal(opened.read(Box(0, 0, 150, 117), [0]), image[:1])
        with pytest.raises(CorruptImageError, match=r"good.ome.tif: level 0.* \(32, 64\) px"):
            opened.read(Box(0, 0, 150, 117), [1])


def test_a_damaged_chunk_says_where_it_is(tmp_path):
    folder = group(tmp_path / "a.zarr", multiscales(), full=(1, 600, 600))
    zarr.open_array(folder / "full", mode="r+")[...] = 7
    chunk = next(file for file in (folder / "full").rglob("*") if file.name.startswith("0"))
    chunk = chunk if chunk.is_file() else next(f for f in chunk.rglob("*") if f.is_file())
    chunk.write_bytes(chunk.read_bytes()[:20])
    check_refuses(open_image, folder, CorruptImageError, words="level 0, the tile at (0, 0) px")


def test_random_damage_never_escapes_as_another_error(tmp_path, good, image):
    """Bytes of the directory and the metadata changed at random: an image or an ImageError."""
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, image[0], tile=(32, 32), compression="zlib", byteorder=">")
    rng = np.random.default_rng(11)
    for path in (good, plain):
        data = path.read_bytes()
        places = np.r_[0:1500, len(data) - 200 : len(data)]
        for _ in range(150):
            bad = bytearray(data)
            for place in rng.choice(places, rng.integers(1, 4)):
                bad[place] = rng.integers(256)
            (tmp_path / "bad.tif").write_bytes(bad)
            try:
                with open_image(tmp_path / "bad.tif") as opened:
                    height, width = min(opened.shape[1], 200), min(opened.shape[2], 200)
                    opened.read(Box(0, 0, height, width), [0])
            except ImageError:
                continue


def test_damaged_zarr_metadata_never_escape_as_another_error(tmp_path):
    folder = group(tmp_path / "a.zarr", multiscales(), full=(2, 30, 30))
    for name in (".zattrs", "full/.zarray"):
        text = (folder / name).read_text()
        for bad in ("", "{", "[]", '"x"', text.replace("full", "../a.zarr/full"),
                    text.replace('"cyx"'[1:2], "q"), text.replace("30", "-3"),
                    text.replace("30", '"a"'), text.replace("<u2", "|O"),
                    '{"multiscales": {}}', '{"multiscales": [{"datasets": [{}]}]}',
                    '{"multiscales": [7]}'):  # fmt: skip
            if bad == text:
                continue
            (folder / name).write_text(bad)
            with pytest.raises(ImageError):
                open_image(folder)
        (folder / name).write_text(text)
    open_image(folder).close()


def huge_header(path, *, compression, side):
    """A directory that claims one strip of side² pixels, in a file of a few hundred bytes."""
    entries = [(256, 4, side), (257, 4, side), (258, 3, 16), (259, 3, compression), (262, 3, 1),
               (273, 4, 200), (277, 3, 1), (278, 4, side), (279, 4, 100)]  # fmt: skip
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    path.write_bytes((head + body + bytes(4)).ljust(300, b"\0"))


@pytest.mark.parametrize(("compression", "words"), [(8, "decoded whole"), (1, "truncated")])
def test_a_header_that_claims_a_tera_pixel_allocates_nothing(tmp_path, compression, words):
    huge_header(tmp_path / "huge.tif", compression=compression, side=10**6)
    check_refuses(open_image, tmp_path / "huge.tif", ImageError, words=words)


def test_entities_in_ome_xml_are_not_expanded(tmp_path):
    bomb = '<?xml version="1.0"?><!DOCTYPE o [<!ENTITY a "aaaa">]><OME><Image>&a;</Image></OME>'
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((4, 4), "u1"), description=bomb,
                     metadata=None)  # fmt: skip
    check_refuses(open_image, tmp_path / "a.ome.tif", ImageFormatError, words="OME-XML")


@pytest.mark.parametrize("axes", ["ZCYX", "TCYX", "ZYX"])
def test_stacks_and_movies_say_what_to_do(tmp_path, axes):
    image = np.zeros((2, 3, 20, 30)[-len(axes) :], "uint16")
    if axes == "ZYX":
        image = np.zeros((5, 20, 30), "uint16")
    for name, options in (("a.ome.tif", {}), ("b.tif", {"imagej": True}), ("c.tif", {})):
        tifffile.imwrite(tmp_path / name, image, photometric="minisblack",
                         metadata={"axes": axes}, **options)  # fmt: skip
        check_refuses(open_image, tmp_path / name, ImageFormatError, words="projection")


def test_an_image_without_pixels(tmp_path):
    with warnings.catch_warnings(action="ignore"):
        tifffile.imwrite(tmp_path / "a.tif", shape=(0, 5), dtype="u1")
    check_refuses(open_image, tmp_path / "a.tif", ImageError)


def write_images(path, *images):
    """An OME-TIFF with an image for each (name, side, px), filled with its side."""
    with tifffile.TiffWriter(path) as writer:
        for name, side in images:
            writer.write(np.full((side, side), side % 251, "u1"),
                         metadata={"axes": "YX", "Name": name})  # fmt: skip


def test_several_sections_in_one_file(tmp_path):
    write_images(tmp_path / "a.ome.tif", ("scene 1", 300), ("scene 2", 280), ("macro image", 200))
    check_refuses(open_image, tmp_path / "a.ome.tif", ImageFormatError, words="scene 2")


def test_a_macro_image_beside_the_section_is_skipped(tmp_path):
    write_images(tmp_path / "a.ome.tif", ("label", 40), ("section", 300), ("macro", 200), ("", 50))
    with open_image(tmp_path / "a.ome.tif") as opened:
        assert opened.shape == (1, 300, 300)
        assert opened.read(Box(0, 0, 1, 1), [0]).item() == 300 % 251


@pytest.mark.parametrize("name", ["Macrophage depletion m3", "HER2-labelled.czi #1", "prelabeled"])
def test_a_section_whose_name_has_the_letters_of_a_side_image(tmp_path, name):
    write_images(tmp_path / "a.ome.tif", (name, 300), ("preview", 50))
    with open_image(tmp_path / "a.ome.tif") as opened:
        assert opened.shape == (1, 300, 300)


def test_two_sections_of_which_one_has_such_letters(tmp_path):
    write_images(tmp_path / "a.ome.tif", ("Macrophages m1", 300), ("m2", 280))
    check_refuses(open_image, tmp_path / "a.ome.tif", ImageFormatError, words="Macrophages m1")


@pytest.mark.parametrize("name", ["MacroImage", "slide_label2", "Thumbnails", "overview (2x)"])
def test_side_images_by_name(tmp_path, name):
    write_images(tmp_path / "a.ome.tif", (name, 300), ("section", 200))
    with open_image(tmp_path / "a.ome.tif") as opened:
        assert opened.shape == (1, 200, 200)


@pytest.mark.parametrize("name", ["absent.tif", "../good.ome.tif", "/etc/passwd", "a\\b.tif"])
def test_parts_that_are_missing_or_outside_the_folder(tmp_path, good, name):
    folder = tmp_path / "set"
    folder.mkdir()
    xml = (
        '<OME><Image ID="I"><Pixels SizeX="4" SizeY="4" SizeZ="1" SizeC="1" SizeT="1">'
        f'<TiffData IFD="0"><UUID FileName="{name}">u</UUID></TiffData></Pixels></Image></OME>'
    )
    tifffile.imwrite(folder / "a.ome.tif", np.zeros((4, 4), "u1"), description=xml, metadata=None)
    check_refuses(open_image, folder / "a.ome.tif", CorruptImageError, words="part of the image")


@pytest.mark.parametrize(
    ("attributes", "arrays", "words"),
    [
        ({}, {}, "without an OME image"),
        (multiscales("zyx"), {"full": (2, 30, 30)}, "focal planes"),
        (multiscales("tyx"), {"full": (2, 30, 30)}, "time points"),
        (multiscales("ayx"), {"full": (2, 30, 30)}, "axes"),
        (multiscales("yx"), {"full": (2, 30, 30)}, "3 axes"),
        (multiscales(path="../b"), {"full": (2, 30, 30)}, "outside"),
        (multiscales(path="absent"), {"full": (2, 30, 30)}, "level"),
        ({"multiscales": [{"datasets": []}]}, {}, "no resolution level"),
        (multiscales(), {"full": (0, 30, 30)}, "no pixels"),
    ],
)
def test_zarr_folders_that_are_no_section(tmp_path, attributes, arrays, words):
    folder = tmp_path / "a.zarr"
    shapes = {name: shape for name, shape in arrays.items() if 0 not in shape}
    group(folder, attributes, **shapes)
    if "no pixels" in words:
        zarr.create_array(folder / "full", shape=(0, 30, 30), chunks=(1, 30, 30), dtype="u2",
                          zarr_format=2)  # fmt: skip
    check_refuses(open_image, folder, ImageError, words=words)


def test_several_images_in_a_zarr_folder_are_named(tmp_path):
    folder = group(tmp_path / "a.zarr", {"bioformats2raw.layout": 3})
    for name, side in (("0", 30), ("1", 28)):
        group(folder / name, multiscales(), full=(1, side, side))
    message = check_refuses(open_image, folder, ImageFormatError, words="(0, 1)")
    assert "a.zarr/0" in message
    with open_image(folder / "1") as opened:
        assert opened.shape == (1, 28, 28)


def test_huge_zarr_chunks_are_refused_before_reading(tmp_path):
    folder = group(tmp_path / "a.zarr", multiscales(), full=(1, 30, 30))
    text = (folder / "full" / ".zarray").read_text()
    record = json.loads(text) | {"shape": [1, 10**6, 10**6], "chunks": [1, 10**6, 10**6]}
    (folder / "full" / ".zarray").write_text(json.dumps(record))
    check_refuses(open_image, folder, ImageFormatError, words="decoded whole")


def test_channels_by_name_index_and_digits(good):
    with open_image(good) as opened:
        found = [
            opened.channel_index(key) for key in ("HER2", "her2 ", "dapi", "DAPI", "2", 2, "0")
        ]
        assert found == [0, 0, 2, 1, 3, 2, 0]
        for unknown in ("Dapi", "GFP", 4, -1, "", "²"):
            with pytest.raises(ChannelError, match="0: 'HER2', 1: 'DAPI'"):
                opened.channel_index(unknown)


def test_an_unknown_pixel_size_says_what_to_write(good):
    with open_image(good) as opened:
        with pytest.raises(PixelSizeError, match="pixel_size_um"):
            opened.level_pixel_size(0)
        assert opened.level_pixel_size(1, PixelSize.square(0.5)) == PixelSize.square(1.0)


def test_a_changed_file_has_another_fingerprint_and_is_not_unpickled(tmp_path, good):
    import pickle

    with open_image(good) as opened:
        before, pickled = opened.fingerprint, pickle.dumps(opened)
    data = good.read_bytes()
    os.utime(good, (1, 1))
    with open_image(good) as opened:
        assert opened.fingerprint == before
    for changed in (data + b"\0", data[:-1] + bytes([data[-1] ^ 1])):
        good.write_bytes(changed)
        with open_image(good) as opened:
            assert opened.fingerprint != before
    with pytest.raises(ImageError, match="changed"):
        pickle.loads(pickled)


@pytest.mark.parametrize("bad_times", [1, 2])
def test_a_drive_that_does_not_give_the_samples_is_said(good, monkeypatch, bad_times):
    """Once is an accident; an unreadable spot fails the section, not the run."""
    with open_image(good) as opened:
        before = opened.fingerprint
    real, bad = files.open_binary, itertools.count()

    class Bad:
        def __init__(self, handle):
            self.handle = handle

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.handle.close()

        def seek(self, *args):
            return self.handle.seek(*args)

        def read(self, size):
            raise OSError(5, "Input/output error")

    def opening(path):
        return Bad(real(path)) if next(bad) < bad_times else real(path)

    with open_image(good) as opened:
        monkeypatch.setattr(files, "open_binary", opening)
        if bad_times == 1:
            assert opened.fingerprint == before
        else:
            with pytest.raises(ImageError, match=r"Input/output error.*Check the drive"):
                _ = opened.fingerprint


def test_the_cache_keeps_its_budget_and_the_newest_tile():
    cache = TileCache(100)
    for index in range(20):
        cache.put((index,), np.zeros(30, "u1"))
    assert [cache.get((index,)) is not None for index in (16, 17, 18, 19)] == [
        False,
        True,
        True,
        True,
    ]
    cache.put((99,), np.zeros(500, "u1"))
    assert cache.get((99,)) is not None and cache.get((19,)) is None


class CountingFile(io.FileIO):
    """A file that counts what is read of it."""

    total = 0

    def readinto(self, buffer):
        got = super().readinto(buffer)
        CountingFile.total += got
        return got

    def read(self, size=-1):
        got = super().read(size)
        CountingFile.total += len(got)
        return got


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(CountingFile, "total", 0)
    opener = lambda path: io.BufferedReader(CountingFile(path, "rb"))  # noqa: E731
    for module in ("files", "registry", "ome_tiff"):
        monkeypatch.setattr(f"fociquant.io.{module}.open_binary", opener)
    return CountingFile


def sparse_slide(path, *, tile=512):
    """A slide of 4 × 46 000 × 54 000 px uint16 (20 GB) with levels, its tiles never written."""
    tile_bytes = tile * tile * 2
    sides = [(-(-46000 // 2**k), -(-54000 // 2**k)) for k in range(7)]
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for number, (height, width) in enumerate(sides):
            count = 4 * -(-height // tile) * -(-width // tile)
            options = {"subifds": 6, "description": "a slide"} if number == 0 else {}
            writer.write(iter([(b"", tile_bytes)] * count), shape=(4, height, width),
                         dtype="uint16", tile=(tile, tile), photometric="minisblack",
                         metadata=None, **options)  # fmt: skip
    with path.open("r+b") as handle:
        handle.truncate(20 * 10**9)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="files may not be sparse there")
def test_opening_a_slide_of_20_gb_reads_kilobytes(tmp_path, counted):
    path = tmp_path / "slide.tif"
    sparse_slide(path)
    start = time.perf_counter()
    with open_image(path) as opened:
        seconds, read = time.perf_counter() - start, counted.total
        assert opened.shape == (4, 46000, 54000) and len(opened.levels) == 7
        assert len(opened.fingerprint) == 64
        opened.read(Box(20000, 20000, 20010, 20010), [3])
    assert read < 900_000 and seconds < 5
    assert counted.total - read < 1_200_000  # the fingerprint's samples, and one tile of 512 KiB


def test_only_the_tiles_of_the_box_are_read(tmp_path, counted, image):
    tifffile.imwrite(tmp_path / "t.tif", image, tile=(16, 16), photometric="minisblack")
    tifffile.imwrite(tmp_path / "s.tif", image, photometric="minisblack")
    for name, most in (("t.tif", 9000), ("s.tif", 150 * 117 * 2 + 9000)):
        with open_image(tmp_path / name) as opened:
            before = counted.total
            opened.read(Box(40, 40, 44, 44), [2])
            first = counted.total - before
            opened.read(Box(41, 41, 44, 44), [2])
        assert 0 < first <= most and counted.total - before == first


def test_files_are_closed_even_when_opening_fails(tmp_path, good):
    """Otherwise Windows could neither move nor delete them, and warnings are errors here."""
    data = good.read_bytes()
    good.write_bytes(data[: len(data) // 2])
    for _ in range(3):
        with pytest.raises(CorruptImageError):
            open_image(good)
    assert not _open_files(good)


def _open_files(path):
    import psutil

    return [entry for entry in psutil.Process().open_files() if entry.path == str(path)]


def test_companions_must_be_plain_names(tmp_path):
    with pytest.raises(CorruptImageError, match="part of the image"):
        files.companion(tmp_path, "..", tmp_path / "a.tif")
