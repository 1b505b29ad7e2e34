"""Channels that are cut into pieces in different ways, as parts of several files often are."""

import itertools
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.io import open_image
from fociquant.model import Box

SHAPE = (150, 117)
CODECS = (None, "zlib", "lzw")


@st.composite
def layouts(draw):
    """How one page is cut and packed."""
    how = {"compression": draw(st.sampled_from(CODECS))}
    if draw(st.booleans()):
        sides = st.sampled_from((16, 32, 48, 64, 128, 256))
        return how | {"tile": (draw(sides), draw(sides))}
    return how | {"rowsperstrip": draw(st.sampled_from((1, 7, 16, 60, 150)))}


def planes(count, seed=3):
    return np.random.default_rng(seed).integers(0, 60_000, (count, *SHAPE), dtype=np.uint16)


def one_file(path, image, how):
    with tifffile.TiffWriter(path) as writer:
        for plane, layout in zip(image, how, strict=True):
            writer.write(plane, photometric="minisblack", metadata=None, contiguous=False, **layout)
    return path


def file_per_channel(folder, image, how):
    places = "".join(
        f'<TiffData IFD="0" FirstC="{number}" PlaneCount="1"><UUID FileName="{number}.ome.tif">'
        f"u{number}</UUID></TiffData>" for number in range(len(image))
    )  # fmt: skip
    channels = "".join(f'<Channel ID="C:{number}"/>' for number in range(len(image)))
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="I:0"><Pixels '
        f'ID="P:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{SHAPE[1]}" SizeY="{SHAPE[0]}" '
        f'SizeC="{len(image)}" SizeZ="1" SizeT="1">{channels}{places}</Pixels></Image></OME>'
    )
    for number, (plane, layout) in enumerate(zip(image, how, strict=True)):
        path = folder / f"{number}.ome.tif"
        tifffile.imwrite(path, plane, description=xml, metadata=None, **layout)
    return folder / "0.ome.tif"


def read_in_boxes(opened, count):
    """The whole image from uneven boxes, so that most begin inside a piece."""
    out = np.zeros((count, *SHAPE), opened.dtype)
    for y in range(0, SHAPE[0], 37):
        for x in range(0, SHAPE[1], 53):
            box = Box(y, x, min(y + 37, SHAPE[0]), min(x + 53, SHAPE[1]))
            out[(slice(None), *box.slices)] = opened.read(box, range(count))
    return out


@settings(max_examples=60, deadline=None)
@given(how=st.lists(layouts(), min_size=2, max_size=3))
def test_every_channel_is_read_as_it_is_cut(tmp_path_factory, how):
    folder, image = tmp_path_factory.mktemp("unlike"), planes(len(how))
    for path in (one_file(folder / "a.tif", image, how), file_per_channel(folder, image, how)):
        with open_image(path) as opened:
            np.testing.assert_array_equal(read_in_boxes(opened, len(how)), image)
            assert opened.missing_pieces(range(len(how))) == {}


def drop_strips(path, page, dropped):
    """Set the offset and the length of some strips of a page to zero: they are not stored."""
    with tifffile.TiffFile(path) as file:
        tags = [file.pages[page].tags[code] for code in (273, 279)]
        places = [(tag.valueoffset, 4 if int(tag.dtype) == 4 else 2) for tag in tags]
    with path.open("r+b") as file:
        for start, size in places:
            for strip in dropped:
                file.seek(start + strip * size)
                file.write(struct.pack("<I" if size == 4 else "<H", 0))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_strips_that_are_not_stored_are_zeros(tmp_path, compression):
    image, path = planes(2), tmp_path / "a.tif"
    one_file(path, image, [{"rowsperstrip": 16, "compression": compression}] * 2)
    drop_strips(path, 1, (2, 5))
    image[1, 32:48] = image[1, 80:96] = 0
    with open_image(path) as opened:
        np.testing.assert_array_equal(read_in_boxes(opened, 2), image)
        assert opened.missing_pieces([0, 1]) == {1: (2, 10)}


def pyramid(path, image, *, rows):
    """Channels in strips, each with a level of half the size."""
    with tifffile.TiffWriter(path) as writer:
        for plane in image:
            writer.write(plane, rowsperstrip=rows[0], subifds=1, photometric="minisblack")
            writer.write(plane[::2, ::2], rowsperstrip=rows[1], subfiletype=1)


@pytest.mark.parametrize(("dropped", "lacks"), [((), False), ((1, 2), True)])
def test_strips_lost_in_a_reduced_level_are_known(tmp_path, dropped, lacks):
    path = tmp_path / "a.tif"
    pyramid(path, planes(2), rows=(16, 12))
    with tifffile.TiffFile(path) as file:
        tags = [file.pages[1].pages[0].tags[code] for code in (273, 279)]
    with path.open("r+b") as file:
        for tag, strip in itertools.product(tags, dropped):
            size = 4 if int(tag.dtype) == 4 else 2
            file.seek(tag.valueoffset + strip * size)
            file.write(bytes(size))
    with open_image(path) as opened:
        assert len(opened.level_outlines) == 2
        whole, half = opened.level_outlines
        assert [bool(half.lacking_pieces(channel)) for channel in (0, 1)] == [False, lacks]
        assert all(box.shape == (16, SHAPE[1]) for box in half.lacking_pieces(1))
        assert whole.lacking_pieces(0) == whole.lacking_pieces(1) == []


def test_pieces_lost_in_a_channel_that_is_cut_otherwise_are_known(tmp_path):
    """Counted in the largest pieces that any channel has."""
    image, path = planes(2), tmp_path / "a.tif"
    one_file(path, image, [{"rowsperstrip": 16}, {"tile": (64, 64), "compression": "zlib"}])
    drop_strips(path, 0, (0, 1, 9))
    with open_image(path) as opened:
        assert opened.missing_pieces([0, 1]) == {0: (2, 3)}
