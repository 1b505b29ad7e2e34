import dask.array as da
import numpy as np
import pytest
import tifffile

from fociquant.io import write_labels, write_ome_tiff
from fociquant.io.pyramid_writer import halve
from fociquant.units import PixelSize

NAMES = ("HER2", "DAPI", "µ & <AF>")


class CountingSource:
    """An array that is not one: sliced lazily, every request recorded."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.asked = []

    def __getitem__(self, key):
        self.asked.append(key)
        return self.array[key]


def image(shape=(3, 301, 215), dtype="uint16", seed=0):
    pixels = np.random.default_rng(seed).integers(0, 200, shape)
    return (pixels - 100 if np.dtype(dtype).kind == "i" else pixels).astype(dtype)


def expected_levels(pixels, count):
    levels = [pixels]
    while len(levels) < count:
        levels.append(np.stack([halve(plane, pixels.dtype) for plane in levels[-1]]))
    return levels


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "float32"])
@pytest.mark.parametrize("lazy", [False, True])
def test_levels_names_and_pixel_size_survive(tmp_path, dtype, lazy):
    pixels = image(dtype=dtype)
    source = CountingSource(pixels) if lazy else pixels
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(path, source, channel_names=NAMES, pixel_size=PixelSize(0.5, 0.25), tile_px=64,
                   block_px=100)  # fmt: skip
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        assert file.is_ome and series.axes == "CYX" and len(series.levels) == 4
        for level, truth in zip(series.levels, expected_levels(pixels, 4), strict=True):
            np.testing.assert_array_equal(level.asarray(), truth)
        ome = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert [channel["Name"] for channel in ome["Channel"]] == list(NAMES)
    assert (ome["PhysicalSizeX"], ome["PhysicalSizeY"]) == (0.25, 0.5)
    assert [child.name for child in tmp_path.iterdir()] == ["a.ome.tif"]


def test_a_lazy_source_is_asked_once_for_every_pixel(tmp_path):
    source = CountingSource(image())
    write_ome_tiff(tmp_path / "a.tif", source, channel_names=NAMES, pixel_size=None, tile_px=64,
                   block_px=128)  # fmt: skip
    asked = np.zeros((301, 215), int)
    for _, rows, columns in source.asked:
        asked[rows, columns] += 1
        assert rows.stop - rows.start <= 128 and columns.stop - columns.start <= 128
    assert (asked == 1).all()


def test_dask_source_and_same_bytes_twice(tmp_path):
    pixels = image()
    for name, source in (("a.tif", da.from_array(pixels, chunks=50)), ("b.tif", pixels)):
        write_ome_tiff(tmp_path / name, source, channel_names=NAMES, pixel_size=None, tile_px=64)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize("compression", [None, "zstd", "lzw"])
def test_other_compressions_and_a_fixed_number_of_levels(tmp_path, compression):
    pixels = image((1, 40, 33))
    path = tmp_path / "a.tif"
    write_ome_tiff(path, pixels, channel_names=["x"], pixel_size=None, tile_px=16, levels=2,
                   compression=compression)  # fmt: skip
    with tifffile.TiffFile(path) as file:
        assert len(file.series[0].levels) == 2
        np.testing.assert_array_equal(file.asarray(), pixels[0])


def test_bool_becomes_bytes(tmp_path):
    write_ome_tiff(tmp_path / "a.tif", image((1, 20, 20)) > 90, channel_names=["x"],
                   pixel_size=None)  # fmt: skip
    assert set(np.unique(tifffile.imread(tmp_path / "a.tif"))) == {0, 1}


@pytest.mark.parametrize(
    ("source", "names", "match"),
    [
        (np.zeros((4, 4)), ["a"], "non-empty"),
        (np.zeros((1, 0, 4)), ["a"], "non-empty"),
        (np.zeros((2, 4, 4)), ["a", "a"], "unique channel names"),
        (np.zeros((1, 4, 4), complex), ["a"], "convert to one of"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path, source, names, match):
    with pytest.raises(ValueError, match=match):
        write_ome_tiff(tmp_path / "a.tif", source, channel_names=names, pixel_size=None)
    assert not list(tmp_path.iterdir())


def test_a_source_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"old")

    class Failing(CountingSource):
        def __getitem__(self, key):
            raise RuntimeError("no more pixels")

    with pytest.raises(RuntimeError, match="no more pixels"):
        write_ome_tiff(path, Failing(image()), channel_names=NAMES, pixel_size=None)
    assert path.read_bytes() == b"old"
    assert [child.name for child in tmp_path.iterdir()] == ["a.tif"]


def test_halving_means_what_exists_at_an_odd_border():
    got = halve(np.array([[0, 2, 7], [4, 6, 9], [1, 2, 5]], np.uint8), np.dtype(np.uint8))
    np.testing.assert_array_equal(got, [[3, 8], [2, 5]])
    assert np.isnan(halve(np.array([[np.nan, 1.0], [1, 1]]), np.dtype(float)))[0, 0]


@pytest.mark.parametrize(("largest", "dtype"), [(65535, "uint16"), (65536, "uint32"), (0, "uint16"),
                                                (2**32 - 1, "uint32")])  # fmt: skip
def test_labels_never_wrap(tmp_path, largest, dtype):
    labels = np.zeros((700, 900), np.uint32)
    labels[3:9, 5:7] = largest
    labels[600:] = min(largest, 5)
    written = write_labels(tmp_path / "l.tif", CountingSource(labels), pixel_size=PixelSize(1, 1))
    with tifffile.TiffFile(tmp_path / "l.tif") as file:
        assert not file.pages[0].is_tiled
        got = file.asarray()
    assert got.dtype == written == np.dtype(dtype)
    np.testing.assert_array_equal(got, labels)


def test_labels_in_bands_smaller_than_a_strip(tmp_path, monkeypatch):
    labels = np.arange(97 * 31).reshape(97, 31)
    for budget in (1, 5000, 10**9):
        monkeypatch.setattr("fociquant.io.label_writer.BAND_BYTES", budget)
        monkeypatch.setattr("fociquant.io.label_writer.STRIP_BYTES", 1000)
        write_labels(tmp_path / "l.tif", labels)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "l.tif"), labels)


@pytest.mark.parametrize(
    ("labels", "options", "match"),
    [
        (np.array([[-1]]), {}, "negative"),
        (np.array([[2**32]]), {}, "32-bit"),
        (np.array([[7]]), {"max_label": 5}, "max_label"),
        (np.zeros((2, 2)), {}, "integers"),
        (np.zeros((0, 2), int), {}, "non-empty"),
    ],
)
def test_labels_that_cannot_be_kept_are_refused(tmp_path, labels, options, match):
    with pytest.raises(ValueError, match=match):
        write_labels(tmp_path / "l.tif", labels, **options)
    assert not list(tmp_path.iterdir())
