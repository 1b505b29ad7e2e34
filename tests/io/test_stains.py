"""Colour images as stain channels: known densities come back, at every level."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from fociquant.errors import ChannelError, SettingsError
from fociquant.io import Stains, open_image, write_ome_tiff
from fociquant.io.stains import glass_colour
from fociquant.model import Box
from fociquant.settings import load_settings
from fociquant.units import PixelSize

SETTINGS = load_settings("dab_ihc", {}).prepare
DAB = Stains.of(SETTINGS.stains, SETTINGS.white_rgb)
WHITE = np.array([240.0, 236.0, 244.0])


def coloured(brown, blue, dtype=np.uint8):
    """RGB of glass with these densities of DAB and haematoxylin (h, w)."""
    dyes = [np.array(vector) / np.linalg.norm(vector) for vector in SETTINGS.stains.values()]
    density = np.multiply.outer(brown, dyes[0]) + np.multiply.outer(blue, dyes[1])
    scale = np.iinfo(dtype).max / 255
    return np.clip(np.rint(scale * WHITE * 10.0**-density), 1, None).astype(dtype)


def scan(path, rgb, **options):
    tifffile.imwrite(path, rgb, photometric="rgb", tile=(128, 128), resolution=(20000, 20000),
                     resolutionunit="CENTIMETER", **options)  # fmt: skip
    return path


@pytest.fixture
def densities():
    brown, blue = np.zeros((300, 400)), np.zeros((300, 400))
    brown[50:90, 60:120] = 0.7
    blue[150:200, 200:300] = 0.5
    brown[220:260, 30:60], blue[220:260, 30:60] = 0.4, 0.3
    return brown, blue


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_densities_come_back(tmp_path, densities, dtype):
    path = scan(tmp_path / "scan.tif", coloured(*densities, dtype))
    with open_image(path, stains=DAB) as image:
        assert image.channel_names == ("DAB", "haematoxylin")
        assert image.dtype == np.uint16
        assert image.pixel_size == PixelSize.square(0.5)
        pixels = image.read(Box(0, 0, 300, 400), [0, 1])
    found = (pixels.astype(float) - 1000) / 10_000
    np.testing.assert_allclose(found, np.stack(densities), atol=0.02)


@given(st.floats(0, 0.8), st.floats(0, 0.8))
def test_any_mixture_is_taken_apart(brown, blue):
    rgb = coloured(np.array([[brown]]), np.array([[blue]]), np.uint16)
    light = (rgb.reshape(3) + 0.5) / (WHITE * 257 + 0.5)
    assert -np.log10(light) @ DAB.unmixing() == pytest.approx([brown, blue], abs=2e-3)


def test_pieces_are_cut_from_the_same_pixels(tmp_path, densities):
    path = scan(tmp_path / "scan.tif", coloured(*densities))
    with open_image(path, stains=DAB) as image:
        whole = image.read(Box(0, 0, 300, 400), [1, 0])
        part = image.read(Box(40, 100, 260, 390), [1, 0])
        lazy = image.levels[0][:, 40:260, 100:390].compute()
    np.testing.assert_array_equal(part, whole[:, 40:260, 100:390])
    np.testing.assert_array_equal(lazy[::-1], part)


def test_planar_colours_and_their_pyramid(tmp_path, densities):
    rgb = np.moveaxis(coloured(*densities), -1, 0)
    path = tmp_path / "scan.ome.tif"
    write_ome_tiff(path, np.tile(rgb, (1, 4, 4)), channel_names=["Red", "Green", "Blue"],
                   pixel_size=PixelSize.square(0.5))  # fmt: skip
    with open_image(path, stains=DAB) as image:
        assert len(image.levels) > 1
        reduced = image.read(Box(0, 0, 600, 800), [0, 1], level=1).astype(float)
        full = image.read(Box(0, 0, 1200, 1600), [0, 1]).astype(float)
    means = full.reshape(2, 600, 2, 800, 2).mean(axis=(2, 4))
    assert np.abs(reduced - means).max() < 50  # borders of the patches lie on even pixels


def test_parts_never_scanned_stay_zero_and_do_not_make_the_white(tmp_path, densities):
    rgb = coloured(*densities)
    rgb[:, 330:] = 0
    with open_image(scan(tmp_path / "scan.tif", rgb), stains=DAB) as image:
        pixels = image.read(Box(0, 0, 300, 400), [0, 1])
    assert (pixels[:, :, 330:] == 0).all()
    assert pixels[:, 10, 10].astype(int) == pytest.approx([1000, 1000], abs=60)


def test_a_copy_from_a_pickle_is_the_same_image(tmp_path, densities):
    with open_image(scan(tmp_path / "scan.tif", coloured(*densities)), stains=DAB) as image:
        copy = pickle.loads(pickle.dumps(image))
        assert copy.fingerprint == image.fingerprint
        box = Box(50, 50, 100, 100)
        np.testing.assert_array_equal(copy.read(box, [0, 1]), image.read(box, [0, 1]))
        copy.close()


def test_other_dyes_are_another_image(tmp_path, densities):
    path = scan(tmp_path / "scan.tif", coloured(*densities))
    given_white = Stains(DAB.vectors, (255.0, 255.0, 255.0))
    prints = set()
    for stains in (None, DAB, given_white):
        with open_image(path, stains=stains) as image:
            prints.add(image.fingerprint)
    assert len(prints) == 3


def test_fluorescence_is_refused_in_words(tmp_path):
    path = tmp_path / "if.ome.tif"
    write_ome_tiff(path, np.zeros((2, 64, 64), np.uint16), channel_names=["HER2", "DAPI"],
                   pixel_size=PixelSize.square(0.5))  # fmt: skip
    with pytest.raises(ChannelError, match="colour images only, but its channels are 'HER2'"):
        open_image(path, stains=DAB)


def test_colour_of_the_glass():
    rng = np.random.default_rng(0)
    tissue = rng.uniform(60, 180, (3, 5000))
    glass = np.tile(WHITE[:, None], 500) + rng.normal(0, 2, (3, 500))
    samples = np.concatenate([tissue, glass, np.zeros((3, 900))], axis=1).astype(np.uint8)
    assert glass_colour(samples) == pytest.approx(WHITE, abs=1.5)
    assert (glass_colour(np.zeros((3, 4), np.uint8)) == 255).all()


@pytest.mark.parametrize(
    ("stains", "said"),
    [
        ({"DAB": [0.3, 0.6, 0.8]}, "two or three stains"),
        ({"a": [0.3, 0.6, 0.8], "b": [0.6, 1.2, 1.6]}, "same colour"),
        ({"a": [0.3, 0.6], "b": [1, 0, 0]}, "three numbers"),
        ({"a": [0, 0, 0], "b": [1, 0, 0]}, "0 or more"),
    ],
)
def test_stains_that_cannot_be_separated(stains, said):
    with pytest.raises(SettingsError, match=said):
        load_settings(None, {"prepare": {"stains": stains}})
