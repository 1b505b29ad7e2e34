"""``fociquant segment`` on the images people have."""

from __future__ import annotations

import json
import shutil

import imagecodecs
import numpy as np
import pytest
import tifffile

import fociquant.segment as segment_room
from fociquant.cli import main
from fociquant.io import write_ome_tiff
from fociquant.testing.segmenters import UphillSegmenter, cones
from fociquant.units import PixelSize

PLACES = np.array([(30.0, 30.0), (30, 80), (30, 130), (80, 40), (80, 100)])


@pytest.fixture()
def uphill(monkeypatch):
    segmenter = UphillSegmenter()
    loads = []

    def load(name, *, device="auto"):
        loads.append((name, device))
        return segmenter

    monkeypatch.setattr(segment_room, "load_segmenter", load)
    return loads


@pytest.fixture()
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def call(capsys, *args):
    with pytest.raises(SystemExit) as left:
        main(["segment", *map(str, args)])
    printed = capsys.readouterr()
    return int(left.value.code or 0), printed.out, printed.err


def image_of(diameter=24.0, dtype=np.uint16, shape=(110, 160)):
    image = cones(shape, PLACES, diameter)
    return (image // 11).astype(np.uint8) if dtype == np.uint8 else image.astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("diameter", [24.0, 16.0, 36.0])
def test_objects_of_a_plain_image_are_found_at_the_given_diameter(
    uphill, folder, tmp_path, capsys, dtype, diameter
):
    image = image_of(diameter, dtype)
    tifffile.imwrite(folder / "a.tif", image)
    out = tmp_path / "labels.tif"
    code, printed, _ = call(capsys, folder / "a.tif", "--out", out, "--diameter", diameter)
    labels = tifffile.imread(out)
    assert code == 0 and "5 objects" in printed
    assert labels.shape == image.shape and labels.dtype == np.uint16
    np.testing.assert_array_equal(np.unique(labels), range(6))
    truth = image > image.min()
    agreement = (truth & (labels > 0)).sum() / (truth | (labels > 0)).sum()
    assert agreement > (0.99 if diameter == 24 else 0.8)


def test_a_1_bit_image_is_segmented(folder, tmp_path, capsys):
    tifffile.imwrite(folder / "a.tif", image_of() > 100)
    code, _, _ = call(capsys, folder / "a.tif", "--out", tmp_path / "l.tif", "--diameter", 24,
                      "--device", "cpu")  # fmt: skip
    labels = tifffile.imread(tmp_path / "l.tif")
    assert code == 0
    assert len({int(labels[int(y), int(x)]) for y, x in PLACES} - {0}) == 5


def test_without_a_diameter_objects_are_found_too(uphill, folder, tmp_path, capsys):
    tifffile.imwrite(folder / "a.tif", image_of(20.0))
    code, printed, _ = call(capsys, folder / "a.tif", "--out", tmp_path / "l.tif", "--json")
    (row,) = json.loads(printed)
    assert code == 0 and row["objects"] == 5 and 15 < row["diameter_px"] < 26


def test_a_pixel_size_gives_the_diameter(uphill, folder, tmp_path, capsys):
    write_ome_tiff(folder / "a.ome.tif", image_of()[None], channel_names=["x"],
                   pixel_size=PixelSize.square(0.5), tile_px=64)  # fmt: skip
    code, printed, _ = call(capsys, folder / "a.ome.tif", "--out", tmp_path / "out", "--json")
    (row,) = json.loads(printed)
    assert code == 0 and row["diameter_px"] == 24.0
    assert (tmp_path / "out" / "a.tif").exists()


def test_a_folder_is_segmented_with_one_model_and_keeps_its_names(uphill, folder, tmp_path, capsys):
    for name in ("b.tif", "A.TIF", "c.ome.tif", "c_labels.tif", "d.tiff", "notes.txt"):
        tifffile.imwrite(folder / name, image_of()) if "tif" in name.lower() else None
    (folder / "notes.txt").write_text("no image")
    out = tmp_path / "out"
    code, _, _ = call(capsys, folder, "--out", out, "--diameter", 24, "--device", "cpu")
    assert code == 0 and uphill == [("compact", "cpu")]
    assert sorted(path.name for path in out.iterdir()) == ["A.tif", "b.tif", "c.tif", "d.tif"]


def test_channels_by_name_or_index(uphill, folder, tmp_path, capsys):
    stack = np.stack([np.full((110, 160), 5, np.uint16), image_of()])
    write_ome_tiff(folder / "a.ome.tif", stack, channel_names=["DAPI", "HER2"],
                   pixel_size=None, tile_px=64)  # fmt: skip
    for marker, count in (("HER2", 5), ("1", 5), ("0", 0)):
        code, printed, _ = call(capsys, folder, "--out", tmp_path / "o", "--marker", marker,
                                "--nucleus", "DAPI", "--diameter", 24, "--json")  # fmt: skip
        assert code == 0 and json.loads(printed)[0]["objects"] == count
    code, _, err = call(capsys, folder, "--out", tmp_path / "o", "--marker", "GFP")
    assert code == 2 and "no channel 'GFP'" in err and "1: 'HER2'" in err


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 900)])
@pytest.mark.parametrize("value", [0, 700])
def test_odd_and_empty_images_give_an_empty_label_image(
    uphill, folder, tmp_path, capsys, shape, value
):
    tifffile.imwrite(folder / "a.tif", np.full(shape, value, np.uint16))
    code, _, _ = call(capsys, folder / "a.tif", "--out", tmp_path / "l.tif")
    assert code == 0
    labels = tifffile.imread(tmp_path / "l.tif")
    assert labels.size == np.prod(shape) and not labels.any()


def test_text_named_like_an_image_is_wrong_input(uphill, folder, tmp_path, capsys):
    (folder / "a.tif").write_text("dear diary")
    code, _, err = call(capsys, folder / "a.tif", "--out", tmp_path / "l.tif")
    assert code == 2 and "its content is not one" in err and not (tmp_path / "l.tif").exists()


def test_one_bad_image_among_good_ones(uphill, folder, tmp_path, capsys):
    (folder / "a.tif").write_text("dear diary")
    tifffile.imwrite(folder / "b.tif", image_of())
    code, printed, _ = call(capsys, folder, "--out", tmp_path / "o", "--diameter", 24, "--json")
    first, second = json.loads(printed)
    assert code == 1 and "error" in first and second["objects"] == 5


@pytest.mark.parametrize(
    ("make", "arguments", "match"),
    [
        (lambda f: None, ["in", "--out", "o"], "no image in"),
        (lambda f: None, ["in/none.tif", "--out", "o"], "does not exist"),
        (lambda f: tifffile.imwrite(f / "a.tif", image_of()), ["in", "--out", "in"], "replace its"),
        (lambda f: [tifffile.imwrite(f / n, image_of()) for n in ("a.tif", "b.tif")],
         ["in", "--out", "o.tif"], "one file for 2 images"),
        (lambda f: [tifffile.imwrite(f / n, image_of()) for n in ("a.tif", "a.ome.tif")],
         ["in", "--out", "o"], "same name"),
    ],
)  # fmt: skip
def test_wrong_input_is_said_before_anything_is_loaded(
    uphill, folder, tmp_path, capsys, monkeypatch, make, arguments, match
):
    make(folder)
    monkeypatch.chdir(tmp_path)
    code, _, err = call(capsys, *arguments)
    assert code == 2 and match in err and not uphill


@pytest.mark.parametrize(
    ("option", "value"), [("--diameter", "0"), ("--model", "cyto2"), ("--device", "tpu")]
)
def test_wrong_options_exit_2(folder, tmp_path, capsys, option, value):
    tifffile.imwrite(folder / "a.tif", image_of())
    code, _, err = call(capsys, folder, "--out", tmp_path / "o", option, value)
    assert code == 2 and value in err


def test_an_output_that_cannot_be_written_is_one_line(uphill, folder, tmp_path, capsys):
    tifffile.imwrite(folder / "a.tif", image_of())
    (tmp_path / "o").write_text("a file")
    code, _, err = call(capsys, folder, "--out", tmp_path / "o", "--diameter", 24)
    assert code == 1 and "cannot be written" in err and "Traceback" not in err


def test_threads_change_nothing(uphill, folder, tmp_path, capsys):
    rng = np.random.default_rng(0)
    tifffile.imwrite(folder / "a.tif", cones((1300, 1100), rng.uniform(0, 1100, (300, 2)), 24))
    for threads in (1, 3):
        call(capsys, folder / "a.tif", "--out", tmp_path / f"{threads}.tif", "--diameter", 24,
             "--threads", threads)  # fmt: skip
    assert (tmp_path / "1.tif").read_bytes() == (tmp_path / "3.tif").read_bytes()


def test_the_embedded_network_finds_bright_discs(folder, tmp_path, capsys):
    noise = np.random.default_rng(0).normal(0, 20, (110, 160))
    image = np.clip(np.where(image_of() > 100, 1500, 200) + noise, 0, None).astype(np.uint16)
    tifffile.imwrite(folder / "a.tif", image)
    code, _, _ = call(capsys, folder / "a.tif", "--out", tmp_path / "l.tif", "--diameter", 24,
                      "--device", "cpu")  # fmt: skip
    labels = tifffile.imread(tmp_path / "l.tif")
    assert code == 0
    assert len({int(labels[int(y), int(x)]) for y, x in PLACES} - {0}) == 5
    shutil.rmtree(folder)


def test_what_autofluorescence_explains_is_no_object(uphill, folder, tmp_path, capsys):
    objects = image_of().astype(np.float64)
    y, x = np.mgrid[:110, :160]
    light = 700.0 * (1.0 + np.sin(x / 13.0) * np.sin(y / 17.0))
    image = np.stack([objects + light, light + 100.0]).round().astype(np.uint16)
    write_ome_tiff(folder / "a.ome.tif", image, channel_names=["HER2", "AF"],
                   pixel_size=PixelSize.square(0.5), tile_px=64)  # fmt: skip
    found = []
    for extra in ((), ("--autofluorescence", "AF")):
        out = tmp_path / f"labels{len(extra)}.tif"
        code, _, _ = call(
            capsys, folder / "a.ome.tif", "--out", out, "--diameter", 24, "--marker", "HER2", *extra
        )
        assert code == 0
        found.append(tifffile.imread(out))
    assert found[0].max() != len(PLACES) and found[1].max() == len(PLACES)
    assert all(found[1][int(y), int(x)] > 0 for y, x in PLACES)


def test_an_unstained_channel_that_is_not_there_is_named(uphill, folder, tmp_path, capsys):
    tifffile.imwrite(folder / "a.tif", image_of())
    code, _, told = call(
        capsys, folder / "a.tif", "--out", tmp_path / "l.tif", "--autofluorescence", "AF"
    )
    assert code == 2 and "AF" in told


def test_pictures_beside_the_images_are_not_left_out_silently(uphill, folder, tmp_path, capsys):
    for name in ("a.JPG", "c.czi", "notes.txt"):
        (folder / name).write_bytes(b"picture")
    code, _, err = call(capsys, folder, "--out", tmp_path / "o")
    assert code == 2 and "no image in" in err and "2 such as a.JPG. Convert them to TIFF" in err
    tifffile.imwrite(folder / "d.tif", image_of())
    (folder / "b.png").write_bytes(b"picture")
    code, out, err = call(capsys, folder, "--out", tmp_path / "o", "--diameter", 24)
    assert code == 0 and out.startswith("d.tif: 5 objects")
    assert "left out, of a format that is not read: a.JPG, c.czi. Convert" in err
    assert "left out, as previews of the other images: b.png. Name them" in err
    code, _, err = call(capsys, folder / "b.png", "--out", tmp_path / "o")
    assert code == 2 and err.startswith("b.png: named like a PNG, but its content is not one")


def test_pictures_are_segmented_where_there_is_nothing_else(uphill, folder, tmp_path, capsys):
    pixels = image_of().astype(np.uint16)
    (folder / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    tifffile.imwrite(folder / "a_masks.tif", np.zeros((9, 9), np.uint16))  # of an earlier call
    tifffile.imwrite(tmp_path / "same.tif", pixels)
    assert call(capsys, folder, "--out", tmp_path / "o", "--diameter", 24)[0] == 0
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["a.tif"]
    call(capsys, tmp_path / "same.tif", "--out", tmp_path / "l.tif", "--diameter", 24)
    found = tifffile.imread(tmp_path / "o" / "a.tif")
    assert found.max() == 5
    assert np.array_equal(found, tifffile.imread(tmp_path / "l.tif"))


def test_which_channel_is_taken_is_told_where_there_are_several(uphill, folder, tmp_path, capsys):
    colour = np.stack([image_of()] * 3, axis=-1).astype(np.uint16)
    for name in "ab":
        tifffile.imwrite(folder / f"{name}.tif", colour, photometric="rgb")
    tifffile.imwrite(folder / "c.tif", image_of())
    asked = (folder, "--out", tmp_path / "o", "--diameter", 24)
    code, _, err = call(capsys, *asked)
    assert code == 0
    told = "no --marker: objects of the first channel, Red, are looked for; there are also"
    assert err.count(told) == err.count("--marker") == 1 and f"{told} Green, Blue." in err
    code, out, err = call(capsys, folder / "a.tif", *asked[1:], "--marker", "green", "--json")
    assert code == 0 and err == "" and json.loads(out)[0]["marker"] == "Green"
