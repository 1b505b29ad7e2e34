"""Every kind of file that is read, against the truth it was made from."""

import itertools
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.errors import CorruptImageError, ImageError
from fociquant.io import open_image, write_labels, write_ome_tiff
from fociquant.io.metadata import is_reduced, reduction
from fociquant.io.pieces import LOOKS_UNDER, lacking_pieces
from fociquant.model import Box
from fociquant.testing.readers import ConformanceError, ExpectedImage, check_reader
from fociquant.units import PixelSize

RNG = np.random.default_rng(7)
NAMES = ("HER2", "DAPI", "Ki67")


def pixels(shape=(3, 150, 117), dtype="uint16"):
    kind = np.dtype(dtype).kind
    if kind == "b":
        return RNG.random(shape) > 0.5
    if kind == "f":
        made = RNG.normal(0, 50, shape).astype(dtype)
        made.flat[:5] = [np.nan, np.inf, -np.inf, 0, 1]
        return made
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def halved(image):
    return np.ascontiguousarray(image[..., ::2, ::2])


def fallback(count):
    return tuple(f"channel {index}" for index in range(count))


def ome(path, image, axes="CYX", names=None, size=None, **options):
    metadata = {"axes": axes}
    if names:
        metadata["Channel"] = {"Name": list(names)}
    metadata.update(size or {})
    tifffile.imwrite(path, image, ome=True, metadata=metadata, photometric="minisblack", **options)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32",
                                   "int64", "uint64", "float16", "float32", "float64"])  # fmt: skip
@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 7}, {"tile": (32, 48)},
                                    {"tile": (32, 32), "compression": "zlib", "predictor": True},
                                    {"rowsperstrip": 20, "compression": "zlib"}])  # fmt: skip
def test_every_dtype_layout_and_byte_order(tmp_path, dtype, layout, byteorder):
    if "predictor" in layout and dtype in ("bool", "float16", "int64", "uint64"):
        layout = {key: value for key, value in layout.items() if key != "predictor"}
    image = pixels((2, 67, 85), dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, byteorder=byteorder, photometric="minisblack", **layout)
    with open_image(path) as opened:
        assert opened.dtype == image.dtype and opened.dtype.isnative
        whole = opened.read(Box(0, 0, 67, 85), [0, 1])
        part = opened.read(Box(30, 11, 66, 85), [1])
    np.testing.assert_array_equal(whole, image)
    np.testing.assert_array_equal(part, image[1:, 30:66, 11:85])


@pytest.mark.parametrize("layout", [{}, {"tile": (32, 32)}, {"rowsperstrip": 9},
                                    {"tile": (16, 32), "compression": "lzw"}])  # fmt: skip
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_colour_images(tmp_path, layout, planar, bigtiff):
    image = pixels((3, 150, 117), "uint8")
    stored = np.moveaxis(image, 0, -1) if planar == "contig" else image
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar,
                     bigtiff=bigtiff, **layout)  # fmt: skip
    truth = ExpectedImage((image,), ("Red", "Green", "Blue"))
    check_reader(open_image, tmp_path / "a.tif", truth)


@pytest.mark.parametrize("compression", ["zstd", "lzma", "packbits", "jpeg2000"])
def test_other_compressions(tmp_path, compression):
    image = pixels((2, 90, 70))
    options = {"compressionargs": {"level": 0}} if compression == "jpeg2000" else {}
    tifffile.imwrite(tmp_path / "a.tif", image, compression=compression, tile=(32, 32),
                     photometric="minisblack", **options)  # fmt: skip
    check_reader(open_image, tmp_path / "a.tif", ExpectedImage((image,), fallback(2)))


def test_jpeg_tiles_are_decoded_to_red_green_and_blue(tmp_path):
    """As slide scanners store them: YCbCr, with shared tables."""
    smooth = np.linspace(0, 255, 128 * 96 * 3).reshape(128, 96, 3).astype("uint8")
    tifffile.imwrite(tmp_path / "a.tif", smooth, photometric="rgb", compression="jpeg",
                     tile=(32, 32))  # fmt: skip
    truth = np.moveaxis(tifffile.imread(tmp_path / "a.tif"), -1, 0)
    assert np.abs(truth.astype(int) - np.moveaxis(smooth, -1, 0)).max() < 40
    check_reader(open_image, tmp_path / "a.tif", ExpectedImage((truth,), ("Red", "Green", "Blue")))


def test_twelve_bits_are_unpacked(tmp_path):
    image = pixels((2, 40, 51)) >> 4
    tifffile.imwrite(tmp_path / "a.tif", image, bitspersample=12, photometric="minisblack")
    check_reader(open_image, tmp_path / "a.tif", ExpectedImage((image,), fallback(2)))


@pytest.mark.parametrize(
    ("full", "reduced", "level"),
    [((1001, 2002), (501, 1001), True), ((1001, 2002), (500, 1001), True),
     ((1001, 2002), (250, 500), True), ((1000, 2000), (500, 900), False),
     ((1000, 2000), (1000, 2000), False), ((1000, 2000), (2000, 1000), False),
     ((50000, 61500), (391, 481), False), ((60000, 160000), (469, 1250), True),
     ((10, 10), (0, 0), False)],
)  # fmt: skip
def test_what_counts_as_a_level(full, reduced, level):
    assert is_reduced(full, reduced) is level


@given(st.integers(1, 100_000), st.integers(1, 10), st.booleans())
def test_whole_factors_are_found_from_rounded_sides(size, power, up):
    factor = 2 ** min(power, 6)
    reduced = -(-size // factor) if up else size // factor
    if reduced > 20 * factor:
        assert reduction(size, reduced) == factor


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("CYX", (3, 150, 117)), ("YX", (150, 117)), ("ZCYX", (1, 3, 150, 117)),
     ("TCYX", (1, 3, 150, 117)), ("TZCYX", (1, 1, 3, 150, 117)), ("CZYX", (3, 1, 150, 117))],
)  # fmt: skip
def test_axes_of_ome_tiff(tmp_path, axes, shape):
    image = pixels(shape)
    ome(tmp_path / "a.ome.tif", image, axes=axes)
    truth = image.reshape(-1, 150, 117)
    check_reader(open_image, tmp_path / "a.ome.tif", ExpectedImage((truth,), fallback(len(truth))))


def test_colour_ome_tiff(tmp_path):
    image = pixels((150, 117, 3), "uint8")
    tifffile.imwrite(tmp_path / "a.ome.tif", image, photometric="rgb", metadata={"axes": "YXS"})
    truth = ExpectedImage((np.moveaxis(image, -1, 0),), ("Red", "Green", "Blue"))
    check_reader(open_image, tmp_path / "a.ome.tif", truth)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_samples_of_named_pages_belong_to_their_page(tmp_path, planar):
    """One name per page: its samples are no further channels of other names."""
    image = pixels((2, 40, 50, 2))
    if planar == "separate":
        image = np.ascontiguousarray(np.moveaxis(image, -1, 1))
    ome(tmp_path / "a.tif", image, "CYXS" if planar == "contig" else "CSYX", names=("A", "B"),
        planarconfig=planar)  # fmt: skip
    with open_image(tmp_path / "a.tif") as opened:
        assert opened.channel_names == ("A 0", "A 1", "B 0", "B 1")
        found = opened.read(Box(0, 0, 40, 50), range(4)).reshape(2, 2, 40, 50)
    samples = image if planar == "separate" else np.moveaxis(image, -1, 1)
    np.testing.assert_array_equal(found, samples)


def test_our_own_pyramid(tmp_path):
    image = pixels()
    size = PixelSize(0.5, 0.325)
    write_ome_tiff(tmp_path / "a.tif", image, channel_names=NAMES, pixel_size=size, tile_px=32)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        levels = tuple(level.asarray() for level in file.series[0].levels)
    assert len(levels) == 4
    check_reader(open_image, tmp_path / "a.tif", ExpectedImage(levels, NAMES, size))
    with open_image(tmp_path / "a.tif") as opened:
        assert opened.format == "OME-TIFF"
        assert opened.level_pixel_size(3) == PixelSize(4.0, 2.6)


def test_pyramid_of_pages_among_other_pages(tmp_path):
    """As in slides of several vendors: thumbnail, levels, label and macro image in a row."""
    image = pixels((120, 96, 3), "uint8")
    levels = [image, image[::2, ::2], image[::4, ::4]]
    thumbnail, label = image[::3, ::3], pixels((40, 90, 3), "uint8")
    grey = pixels((60, 48), "uint8")
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in (levels[0], thumbnail, levels[1], grey, levels[2], label):
            colour = "rgb" if page.ndim == 3 else "minisblack"
            writer.write(page, photometric=colour, tile=(32, 32), metadata=None)
    found = [levels[0], levels[1], thumbnail, levels[2]]
    truth = ExpectedImage(
        tuple(np.moveaxis(level, -1, 0) for level in found), ("Red", "Green", "Blue")
    )
    check_reader(open_image, tmp_path / "a.tif", truth)


def test_pyramid_of_page_runs(tmp_path):
    image = pixels((4, 120, 96))
    levels = (image, halved(image), halved(halved(image)))
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for level in levels:
            for plane in level:
                writer.write(plane, metadata=None)
    check_reader(open_image, tmp_path / "a.tif", ExpectedImage(levels, fallback(4)))


def test_levels_whose_metadata_lie_are_sized_by_shape(tmp_path):
    image = pixels((1, 128, 96))
    cm = {"resolution": (1e4 / 0.5, 1e4 / 0.5), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(image[0], subifds=1, metadata=None, **cm)
        writer.write(halved(image)[0], subfiletype=1, metadata=None, **cm)
    truth = ExpectedImage((image, halved(image)), fallback(1), PixelSize.square(0.5))
    check_reader(open_image, tmp_path / "a.tif", truth)
    with open_image(tmp_path / "a.tif") as opened:
        assert opened.level_pixel_size(1) == PixelSize.square(1.0)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"resolution": (4.0, 2.0), "resolutionunit": "CENTIMETER"}, None),
        ({"resolution": (40000.0, 20000.0), "resolutionunit": "CENTIMETER"}, PixelSize(0.5, 0.25)),
        ({"resolution": (50800.0, 50800.0), "resolutionunit": "INCH"}, PixelSize.square(0.5)),
        ({"resolution": (72.0, 72.0), "resolutionunit": "INCH"}, None),
        ({"resolution": (300.0, 300.0), "resolutionunit": "INCH"}, None),
        ({"resolution": (28.346, 28.346), "resolutionunit": "CENTIMETER"}, None),
        ({"resolution": (2.0, 2.0), "resolutionunit": "NONE"}, None),
        ({}, None),
    ],
)
def test_resolution_tags(tmp_path, options, size):
    image = pixels((1, 20, 30))
    tifffile.imwrite(tmp_path / "a.tif", image[0], metadata=None, **options)
    with open_image(tmp_path / "a.tif") as opened:
        if size is None:
            assert opened.pixel_size is None
        else:
            got = opened.pixel_size.y, opened.pixel_size.x
            assert got == pytest.approx((size.y, size.x))


@pytest.mark.parametrize(
    ("value", "unit", "um"),
    [(325, "nm", 0.325), (0.000325, "mm", 0.325), (0.325, "µm", 0.325), (0.325, None, 0.325),
     (1e-5, "in", 0.254), (3250, "Å", 0.325), (1, "pixel", None), (1, "reference frame", None),
     (352.8, "µm", None), (0, "µm", None)],
)  # fmt: skip
def test_ome_units(tmp_path, value, unit, um):
    size = {f"PhysicalSize{axis}": value for axis in "XY"}
    if unit:
        size |= {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    ome(tmp_path / "a.ome.tif", pixels(), names=NAMES, size=size)
    with open_image(tmp_path / "a.ome.tif") as opened:
        assert opened.channel_names == NAMES
        if um is None:
            assert opened.pixel_size is None
        else:
            assert (opened.pixel_size.y, opened.pixel_size.x) == pytest.approx((um, um))


@pytest.mark.parametrize("unit", ["micron", "um", "µm", "\\u00B5m", "mm", "nm", "inch", "pixel"])
def test_imagej_hyperstack(tmp_path, unit):
    image = pixels((3, 150, 117))
    um = {"mm": 1e3, "nm": 1e-3, "inch": 25400, "pixel": None}.get(unit, 1.0)
    per_unit = 2.0 if um is None else um / 0.325
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, resolution=(per_unit, per_unit),
                     metadata={"axes": "CYX", "unit": unit.replace("µ", "\\u00B5"),
                               "Labels": ["c:1/3 - HER2", "c:2/3 - DAPI", "Ki67"]})  # fmt: skip
    size = None if um is None else PixelSize.square(0.325)
    check_reader(open_image, tmp_path / "a.tif", ExpectedImage((image,), NAMES, size))


def test_imagej_stack_with_one_directory(tmp_path):
    """ImageJ writes stacks above 4 GB as one directory and the planes behind each other."""
    image = pixels((3, 40, 50))
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        text = "ImageJ=1.54f\nimages=3\nchannels=3\nhyperstack=true\n"
        writer.write(image[0], metadata=None, description=text)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        offset = file.pages[0].dataoffsets[0]
    data = bytearray((tmp_path / "a.tif").read_bytes()[:offset])
    (tmp_path / "a.tif").write_bytes(bytes(data) + image.tobytes())
    check_reader(open_image, tmp_path / "a.tif", ExpectedImage((image,), fallback(3)))


def multi_file(folder, image, *, companion):
    """One file per channel; the OME-XML in each file, or in a companion."""
    names = [f"part{index}.tif" for index in range(len(image))]
    planes = "".join(
        f'<TiffData IFD="0" FirstC="{index}" PlaneCount="1"><UUID FileName="{name}">u{index}</UUID>'
        "</TiffData>" for index, name in enumerate(names)
    )  # fmt: skip
    channels = "".join(f'<Channel ID="C:{i}" Name="{name}"/>' for i, name in enumerate(NAMES))
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="I:0"><Pixels '
        f'ID="P:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{image.shape[2]}" '
        f'SizeY="{image.shape[1]}" SizeC="{len(image)}" SizeZ="1" SizeT="1">{channels}{planes}'
        "</Pixels></Image></OME>"
    )
    binary_only = '<OME><BinaryOnly MetadataFile="set.companion.ome" UUID="u0"/></OME>'
    for name, plane in zip(names, image, strict=True):
        text = binary_only if companion else xml
        tifffile.imwrite(folder / name, plane, description=text, metadata=None)
    if companion:
        (folder / "set.companion.ome").write_text(xml)
    return [folder / name for name in names]


@pytest.mark.parametrize("companion", [False, True])
def test_multi_file_ome_tiff(tmp_path, companion):
    image = pixels()
    parts = multi_file(tmp_path, image, companion=companion)
    parts += [tmp_path / "set.companion.ome"] * companion
    for path in (parts[0], parts[-1]):
        check_reader(open_image, path, ExpectedImage((image,), NAMES), parts=parts)


def identified(folder, name, image, *, files, own):
    """An OME-TIFF as Bio-Formats writes it: its block says which file, by name and identifier."""
    planes = "".join(
        f'<TiffData IFD="{directory}" FirstC="{index}" PlaneCount="1">'
        f'<UUID FileName="{file}">urn:uuid:{uuid}</UUID></TiffData>'
        for index, (directory, file, uuid) in enumerate(files)
    )
    xml = (
        f'<OME UUID="urn:uuid:{own}"><Image ID="I:0"><Pixels ID="P:0" DimensionOrder="XYZCT" '
        f'Type="uint16" SizeX="{image.shape[2]}" SizeY="{image.shape[1]}" SizeC="{len(files)}" '
        f'SizeZ="1" SizeT="1">{planes}</Pixels></Image></OME>'
    )
    with tifffile.TiffWriter(folder / name) as writer:
        for number, plane in enumerate(image):
            text = xml if number == 0 else None
            writer.write(plane, description=text, metadata=None, contiguous=False)


def test_a_renamed_file_is_read_from_itself_whoever_has_its_old_name(tmp_path):
    first, second = pixels(), pixels()
    for name, uuid, image in (("a.tif", "aa-1", first), ("b.tif", "bb-2", second)):
        files = [(index, name, uuid.upper()) for index in range(len(image))]
        identified(tmp_path, name, image, files=files, own=uuid)
    (tmp_path / "a.tif").rename(tmp_path / "mouse7.tif")
    (tmp_path / "b.tif").rename(tmp_path / "a.tif")
    for name, image in (("mouse7.tif", first), ("a.tif", second)):
        path = tmp_path / name
        expected = ExpectedImage((image,), fallback(3))
        check_reader(open_image, path, expected, parts=[path])


@pytest.mark.parametrize("opened", ["part0.tif", "part1.tif"])
def test_parts_that_exchanged_their_names_are_not_mixed_up(tmp_path, opened):
    image = pixels()[:2]
    files = [(0, f"part{index}.tif", f"u{index}") for index in range(2)]
    for index, plane in enumerate(image):
        identified(tmp_path, f"part{index}.tif", plane[None], files=files, own=f"u{index}")
    expected = ExpectedImage((image,), fallback(2))
    parts = [tmp_path / f"part{index}.tif" for index in range(2)]
    check_reader(open_image, parts[0], expected, parts=parts)
    parts[0].rename(tmp_path / "away.tif")
    parts[1].rename(parts[0])
    (tmp_path / "away.tif").rename(parts[1])
    with pytest.raises(CorruptImageError, match=r"now another image.*old names"):
        open_image(tmp_path / opened)


def test_a_part_without_identifiers_of_its_own_is_known_by_its_name(tmp_path):
    image = pixels()[:2]
    files = [(0, f"part{index}.tif", f"u{index}") for index in range(2)]
    identified(tmp_path, "part0.tif", image[:1], files=files, own="u0")
    tifffile.imwrite(tmp_path / "part1.tif", image[1], metadata=None)
    parts = [tmp_path / f"part{index}.tif" for index in range(2)]
    expected = ExpectedImage((image,), fallback(2))
    check_reader(open_image, parts[0], expected, parts=parts)


AXES_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def ome_zarr(folder, levels, *, version, axes="cyx", unit="micrometer", um=0.5, names=NAMES,
             chunks=32, shards=None):  # fmt: skip
    """A multiscale group, its metadata written by hand from the specification."""
    fmt = 2 if version == "0.4" else 3
    group = zarr.open_group(folder, mode="w", zarr_format=fmt)
    full = dict(zip("cyx", levels[0].shape, strict=True))
    datasets = []
    for number, level in enumerate(levels):
        order = ["cyx".index(axis) for axis in axes if axis in "cyx"]
        sizes = iter(np.array(level.shape)[order])
        shape = [next(sizes) if axis in "cyx" else 1 for axis in axes]
        stored = level[0] if "c" not in axes else level
        order = [["cyx", "yx"]["c" not in axes].index(axis) for axis in axes if axis in "cyx"]
        chunk = [chunks if axis in "yx" else 2 for axis in axes]
        options = {"shards": [4 * side for side in chunk]} if shards else {}
        array = group.create_array(str(number), shape=shape, chunks=chunk, dtype=level.dtype,
                                   **options)  # fmt: skip
        array[...] = stored.transpose(order).reshape(shape)
        scale = [um * full[axis] / shape[i] if axis in "yx" else 1.0
                 for i, axis in enumerate(axes)]  # fmt: skip
        datasets.append(
            {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    records = [{"name": axis, "type": AXES_TYPES[axis]} for axis in axes]
    for record in records:
        if record["type"] == "space" and unit:
            record["unit"] = unit
    attributes = {"multiscales": [{"version": version, "axes": records, "datasets": datasets}],
                  "omero": {"channels": [{"label": name} for name in names]}}  # fmt: skip
    group.attrs.update(attributes if version == "0.4" else {"ome": attributes})
    return folder


@pytest.mark.parametrize(
    ("version", "axes"), [("0.4", "cyx"), ("0.4", "tczyx"), ("0.5", "cyx"), ("0.5", "tczyx"),
                          ("0.4", "zcyx"), ("0.5", "yxc"), ("0.4", "xcy")])  # fmt: skip
def test_ome_zarr(tmp_path, version, axes):
    image = pixels()
    levels = (image, halved(image))
    folder = ome_zarr(tmp_path / "a.zarr", levels, version=version, axes=axes)
    check_reader(open_image, folder, ExpectedImage(levels, NAMES, PixelSize.square(0.5)), boxes=5)


def test_ome_zarr_shards_and_one_plane(tmp_path):
    image = pixels((1, 150, 117), "float32")
    folder = ome_zarr(tmp_path / "a", (image,), version="0.5", axes="yx", shards=True, names=())
    check_reader(open_image, folder, ExpectedImage((image,), fallback(1), PixelSize.square(0.5)))


@pytest.mark.parametrize(("unit", "um"), [("nanometer", 1e-3), ("millimeter", 1e3), (None, None)])
def test_ome_zarr_units(tmp_path, unit, um):
    folder = ome_zarr(tmp_path / "a", (pixels(),), version="0.4", unit=unit,
                      um=0.5 / um if um else 0.5)  # fmt: skip
    with open_image(folder) as opened:
        if um is None:
            assert opened.pixel_size is None
        else:
            assert opened.pixel_size.y == pytest.approx(0.5)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_levels_listed_coarsest_first_have_the_pixel_size_of_the_finest(tmp_path, version):
    image = pixels()
    levels = (image, halved(image))
    folder = ome_zarr(tmp_path / "a.zarr", levels, version=version)
    group = zarr.open_group(folder, mode="r+")
    attributes = dict(group.attrs)
    attributes.get("ome", attributes)["multiscales"][0]["datasets"].reverse()
    group.attrs.update(attributes)
    check_reader(open_image, folder, ExpectedImage(levels, NAMES, PixelSize.square(0.5)), boxes=5)


@pytest.mark.parametrize("bad_times", [1, 2])
def test_a_folder_that_cannot_be_listed_makes_no_other_image(tmp_path, monkeypatch, bad_times):
    folder = ome_zarr(tmp_path / "a.zarr", (pixels(),), version="0.4")
    with open_image(folder) as opened:
        before = opened.fingerprint
    real, seen = os.scandir, itertools.count()

    def scandir(path="."):
        if str(path) == str(folder / "0") and next(seen) < bad_times:
            raise OSError(5, "Input/output error")
        return real(path)

    with open_image(folder) as opened:
        monkeypatch.setattr(os, "scandir", scandir)
        if bad_times == 1:
            assert opened.fingerprint == before
        else:
            with pytest.raises(ImageError, match=r"cannot be read.*Check the drive"):
                _ = opened.fingerprint
    assert next(seen) >= 2


def test_odd_transformations_of_reduced_levels_are_not_asked_for(tmp_path):
    image = pixels()
    levels = (image, halved(image))
    folder = ome_zarr(tmp_path / "a.zarr", levels, version="0.4")
    group = zarr.open_group(folder, mode="r+")
    attributes = dict(group.attrs)
    attributes["multiscales"][0]["datasets"][1]["coordinateTransformations"] = ["x", None]
    group.attrs.update(attributes)
    check_reader(open_image, folder, ExpectedImage(levels, NAMES, PixelSize.square(0.5)), boxes=3)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_ome_zarr_that_goes_away_while_it_is_read_is_not_empty(tmp_path, version):
    """A drive that is pulled: chunks that are not there would be zeros."""
    folder = ome_zarr(tmp_path / "a.zarr", (pixels((3, 150, 1200)),), version=version)
    with open_image(folder) as opened:
        assert opened.read(Box(0, 0, 150, 100), [0]).any()
        folder.rename(tmp_path / "unplugged")
        with pytest.raises(ImageError, match=r"not there any more\. Check the drive"):
            opened.read(Box(0, 1000, 150, 1200), [0])
        (tmp_path / "unplugged").rename(folder)
        assert opened.read(Box(0, 1000, 150, 1200), [0]).any()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_bioformats2raw_and_plate_layouts_with_one_image(tmp_path, version):
    image = pixels()
    fmt = 2 if version == "0.4" else 3
    truth = ExpectedImage((image,), NAMES, PixelSize.square(0.5))
    root = zarr.open_group(tmp_path / "raw.zarr", mode="w", zarr_format=fmt)
    root.attrs.update({"bioformats2raw.layout": 3})
    ome_zarr(tmp_path / "raw.zarr" / "0", (image,), version=version)
    check_reader(open_image, tmp_path / "raw.zarr", truth, boxes=2)
    plate = zarr.open_group(tmp_path / "plate.zarr", mode="w", zarr_format=fmt)
    attributes = {"plate": {"wells": [{"path": "A/1"}]}}
    plate.attrs.update(attributes if version == "0.4" else {"ome": attributes})
    well = plate.create_group("A/1")
    attributes = {"well": {"images": [{"path": "0"}]}}
    well.attrs.update(attributes if version == "0.4" else {"ome": attributes})
    ome_zarr(tmp_path / "plate.zarr" / "A" / "1" / "0", (image,), version=version)
    check_reader(open_image, tmp_path / "plate.zarr", truth, boxes=2)


def test_constant_and_nan_images_are_read_as_they_are(tmp_path):
    for name, value in (("a.tif", 0.0), ("b.tif", np.nan)):
        image = np.full((1, 40, 50), value, "float32")
        write_ome_tiff(tmp_path / name, image, channel_names=["x"], pixel_size=None)
        check_reader(open_image, tmp_path / name, ExpectedImage((image,), ("x",)))


def test_label_images_are_read_back(tmp_path):
    labels = pixels((1, 150, 117), "uint32")
    write_labels(tmp_path / "l.tif", labels[0], pixel_size=PixelSize.square(0.5))
    truth = ExpectedImage((labels,), fallback(1), PixelSize.square(0.5))
    check_reader(open_image, tmp_path / "l.tif", truth)


def test_sparse_tiles_are_zeros(tmp_path):
    image = pixels((1, 64, 64))
    image[0, :32, 32:] = 0
    tiles = [image[0, :32, :32], None, image[0, 32:, :32], image[0, 32:, 32:]]
    tifffile.imwrite(tmp_path / "a.tif", iter(tiles), shape=(64, 64), dtype="uint16",
                     tile=(32, 32))  # fmt: skip
    check_reader(open_image, tmp_path / "a.tif", ExpectedImage((image,), fallback(1)))


@pytest.fixture(scope="module")
def three_kinds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    image = pixels((3, 150, 117))
    write_ome_tiff(folder / "a.tif", image, channel_names=NAMES, pixel_size=None, tile_px=16,
                   levels=1)  # fmt: skip
    tifffile.imwrite(folder / "b.tif", image, rowsperstrip=7, photometric="minisblack")
    ome_zarr(folder / "c.zarr", (image,), version="0.5", chunks=13)
    opened = [open_image(folder / name) for name in ("a.tif", "b.tif", "c.zarr")]
    yield image, opened
    for one in opened:
        one.close()


@settings(max_examples=40, deadline=None)
@given(ys=st.tuples(st.integers(0, 150), st.integers(0, 150)),
       xs=st.tuples(st.integers(0, 117), st.integers(0, 117)),
       channels=st.lists(st.integers(0, 2), max_size=4))  # fmt: skip
def test_any_box_is_the_truth_for_every_reader(three_kinds, ys, xs, channels):
    image, opened = three_kinds
    (y0, y1), (x0, x1) = sorted(ys), sorted(xs)
    truth = image[channels, y0:y1, x0:x1] if channels else image[:0, y0:y1, x0:x1]
    for one in opened:
        np.testing.assert_array_equal(one.read(Box(y0, x0, y1, x1), channels), truth)


def test_outlines_of_levels_are_those_of_their_dask_arrays(three_kinds):
    for one in three_kinds[1]:
        assert len(one.level_outlines) == len(one.levels)
        for outline, array in zip(one.level_outlines, one.levels, strict=True):
            assert outline.shape == array.shape
            assert outline.dtype == array.dtype
            assert outline.chunksize == array.chunksize


def test_dask_levels_slice_like_numpy(three_kinds):
    image, opened = three_kinds
    for one in opened:
        level = one.levels[0]
        for key in (np.s_[1, 5:80:3, ::-1], np.s_[:, 7, 3:9], np.s_[::2, 10:10], np.s_[-1]):
            np.testing.assert_array_equal(level[key].compute(scheduler="synchronous"), image[key])


def test_the_suite_finds_a_reader_that_is_wrong(tmp_path):
    image = pixels((2, 40, 50))
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack")
    other = image.copy()
    other[1, 39, 49] ^= 1
    with pytest.raises(ConformanceError, match="wrong pixels"):
        check_reader(open_image, tmp_path / "a.tif", ExpectedImage((other,), fallback(2)))
    with pytest.raises(ConformanceError, match=r"channel_names.*\n.*pixel_size"):
        truth = ExpectedImage((image,), ("a", "b"), PixelSize.square(1))
        check_reader(open_image, tmp_path / "a.tif", truth)


def test_an_ome_zarr_written_to_disk_is_what_the_specification_says(tmp_path):
    """Guards the helper above: version 0.5 nests its metadata below ``ome``."""
    folder = ome_zarr(tmp_path / "a.zarr", (pixels(),), version="0.5")
    assert "multiscales" in json.loads((folder / "zarr.json").read_text())["attributes"]["ome"]


@pytest.mark.parametrize(("version", "shards"), [("0.4", None), ("0.5", None), ("0.5", True)])
def test_a_chunk_lost_in_one_channel_is_known(tmp_path, version, shards):
    image = pixels((3, 300, 260))
    ome_zarr(tmp_path / "z.zarr", [image], version=version, shards=shards)
    with open_image(tmp_path / "z.zarr") as opened:
        assert opened.missing_pieces([0, 1, 2]) == {}
    array = zarr.open_group(tmp_path / "z.zarr", mode="r")["0"]
    side = 128 if shards else 32
    pieces = -(-300 // side) * -(-260 // side)
    last = 0 if shards else 1  # channels are stored in pairs, in a shard all together
    for y, x in ((0, 0), (1, 1)):
        (tmp_path / "z.zarr" / "0" / array.metadata.encode_chunk_key((last, y, x))).unlink()
    with open_image(tmp_path / "z.zarr") as opened:
        found = opened.missing_pieces([0, 1, 2])
        # What no channel has was never scanned.
        assert found == ({} if shards else {2: (2, pieces)})
        assert opened.missing_pieces([2]) == {}


@pytest.mark.parametrize(("version", "shards"), [("0.4", None), ("0.5", None), ("0.5", True)])
@pytest.mark.parametrize("level", [0, 1])
def test_a_copy_that_is_completed_later_is_another_image(tmp_path, version, shards, level):
    image = pixels((3, 300, 260))
    folder = ome_zarr(tmp_path / "z.zarr", [image, halved(image)], version=version, shards=shards)
    array = zarr.open_group(folder, mode="r")[str(level)]
    chunk = folder / str(level) / array.metadata.encode_chunk_key((0, 0, 1))
    prints = []
    for name in (".DS_Store", "Thumbs.db"):  # what other programs leave behind is no chunk
        (folder / str(level) / name).write_bytes(b"x")
    for state in ("whole", "a chunk is missing", "whole again"):
        if state == "a chunk is missing":
            content = chunk.read_bytes()
            chunk.unlink()
        elif state == "whole again":
            chunk.write_bytes(content)
        with open_image(folder) as opened:
            prints.append(opened.fingerprint)
    assert prints[0] == prints[2] != prints[1]


@pytest.mark.parametrize(("version", "shards"), [("0.4", None), ("0.5", None), ("0.5", True)])
def test_a_reduced_level_that_lacks_chunks_is_known(tmp_path, version, shards):
    image = pixels((3, 300, 260))
    folder = ome_zarr(tmp_path / "z.zarr", [image, halved(image)], version=version, shards=shards)

    def lose(level, *place):
        array = zarr.open_group(folder, mode="r")[str(level)]
        (folder / str(level) / array.metadata.encode_chunk_key(place)).unlink()

    def lacking():
        with open_image(folder) as opened:
            found = [opened.level_outlines[1].lacking_pieces(channel) for channel in range(3)]
            for box in itertools.chain(*found):
                assert opened.read(box, [0]).any()
            return [bool(boxes) for boxes in found]

    assert lacking() == [False] * 3
    lose(1, 0, 1, 1)
    # Channels are stored in pairs, in a shard all together.
    assert lacking() == [True, True, bool(shards)]
    for y, x in [(2, 2)] if shards else [(2, 2), (2, 3), (3, 2), (3, 3)]:
        lose(0, 0, y, x)
    assert lacking() == [False] * 3  # what is below is not there either: never scanned


def test_several_stored_pieces_are_named_for_each_that_a_level_lacks():
    """The first may be the empty edge of what was scanned."""

    def level(side, stored):
        return SimpleNamespace(
            shape=(1, side, side), tile_shape=(128, 128), place=lambda channel: (0, channel),
            stored=lambda group: np.array(stored),
        )  # fmt: skip

    full, reduced = level(1024, np.ones((8, 8), bool)), level(256, [[True, False], [True, True]])
    found = lacking_pieces(reduced, full, 0)
    assert found[0] == Box(0, 512, 128, 640) and found[-1] == Box(384, 896, 512, 1024)
    assert len(set(found)) == LOOKS_UNDER
    assert all(Box(0, 512, 512, 1024).contains(box) for box in found)


def test_a_tile_never_written_in_one_channel_is_known(tmp_path):
    image = pixels((3, 64, 80))
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number, plane in enumerate(image):
            tiles = [plane[y : y + 32, x : x + 32] for y in (0, 32) for x in (0, 32, 64)]
            tiles = [np.pad(tile, ((0, 0), (0, 32 - tile.shape[1]))).tobytes() for tile in tiles]
            holes = (0,) if number != 1 else (0, 4)
            data = [b"" if index in holes else tile for index, tile in enumerate(tiles)]
            writer.write(iter(data), shape=(64, 80), dtype="uint16", tile=(32, 32),
                         photometric="minisblack", metadata=None, contiguous=False)  # fmt: skip
    with open_image(tmp_path / "a.tif") as opened:
        assert opened.missing_pieces([0, 1, 2]) == {1: (1, 5)}
        assert opened.missing_pieces([0, 2]) == opened.missing_pieces([]) == {}


def test_strips_are_all_there(tmp_path):
    how = {"photometric": "minisblack", "rowsperstrip": 7}
    tifffile.imwrite(tmp_path / "a.tif", pixels(), **how)
    tifffile.imwrite(tmp_path / "b.tif", pixels(), **how, compression=8)
    for name in ("a.tif", "b.tif"):
        with open_image(tmp_path / name) as opened:
            assert opened.missing_pieces(range(3)) == {}
