"""Pictures of single cells: which, from where, and back from their file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fociquant.model import Box
from fociquant.report import Crops, choose_cells, cut_crops, read_crops, tile_outline, write_crops
from fociquant.report._contact import SHEET_CELLS, choose_shown, sheet, thumbnails
from fociquant.report._crops import CELLS_EACH, TILE_PX
from fociquant.units import PixelSize


def test_counted_and_rejected_are_drawn_by_lot_and_always_the_same():
    cells, positive = np.arange(1, 2001), np.arange(2000) % 4 == 0
    chosen = choose_cells(cells, positive, section="s1")
    kinds = positive[np.array(chosen) - 1]
    assert len(chosen) == 2 * CELLS_EACH and kinds.sum() == CELLS_EACH
    assert chosen == sorted(set(chosen))
    shuffled = np.random.default_rng(0).permutation(2000)
    assert choose_cells(cells[shuffled], positive[shuffled], section="s1") == chosen
    assert choose_cells(cells, positive, section="s2") != chosen


def test_the_draw_is_fair():
    # Each of 40 cells is among the 6 drawn in 15 % of sections, whatever its number.
    cells, positive = np.arange(1, 41), np.ones(40, bool)
    draws = [choose_cells(cells, positive, section=f"section {n}") for n in range(2000)]
    times = np.bincount(np.concatenate(draws), minlength=41)[1:]
    assert abs(times.mean() - 300) < 1e-9
    assert times.min() > 230 and times.max() < 370


def test_few_and_no_cells_are_taken_as_they_are():
    assert choose_cells(np.array([4, 9]), np.array([True, False]), section="s") == [4, 9]
    assert choose_cells(np.array([], int), np.array([], bool), section="s") == []


def cut(image: np.ndarray, y: float, x: float, **changes) -> np.ndarray:
    size = PixelSize(0.5, 0.5)
    options = {"shape": image.shape[1:], "pixel_size": size, "window_um": 32.0,
               "scales": [(0.0, 100.0)] * len(image)} | changes  # fmt: skip

    def read(box: Box) -> np.ndarray:
        assert Box.of_shape(image.shape[1:]).contains(box)
        return image[:, *box.slices]

    return cut_crops(read, pd.DataFrame({"y_um": [y], "x_um": [x]}), **options)[0]


def test_a_cell_lies_in_the_middle_of_its_picture():
    image = np.zeros((2, 200, 240), np.uint16)
    image[0, 98:102, 118:122] = 400
    image[1, 98:102, 134:138] = 400
    tile = cut(image, 50.0, 60.0)
    assert tile.shape == (2, TILE_PX, TILE_PX)
    bright = np.argwhere(tile[0] > 200).mean(axis=0) + 0.5
    assert bright == pytest.approx([TILE_PX / 2, TILE_PX / 2], abs=0.01)
    # 8 µm to the right of it, in a window of 32 µm
    aside = np.argwhere(tile[1] > 200).mean(axis=0) + 0.5
    assert aside == pytest.approx([TILE_PX / 2, TILE_PX / 2 + TILE_PX / 4], abs=0.01)


@pytest.mark.parametrize("place", [(0.0, 0.0), (100.0, 120.0), (0.0, 120.0), (-40.0, 300.0)])
def test_beyond_the_border_it_is_black(place):
    image = np.full((1, 200, 240), 400, np.uint16)
    tile = cut(image, *place)
    half = TILE_PX // 2
    inside = 0 <= place[0] <= 100 and 0 <= place[1] <= 120
    assert (tile == 0).mean() == pytest.approx(0.75 if inside else 1.0, abs=0.03)
    if place == (0.0, 0.0):
        assert tile[0, half + 2 :, half + 2 :].min() == 255


def test_brightness_is_the_sections_and_rises_with_the_counts():
    levels = np.array([0, 10, 50, 100, 400, 4000])
    tiles = [cut(np.full((1, 100, 100), v, np.uint16), 25.0, 25.0)[0, 32, 32] for v in levels]
    assert tiles[0] == 0 and tiles[-1] == tiles[-2] == 255
    assert (np.diff(np.array(tiles, int)[:-1]) > 10).all()
    odd = np.full((1, 100, 100), np.nan, np.float32)
    assert cut(odd, 25.0, 25.0).max() == 0
    assert cut(np.full((1, 100, 100), 5.0), 25.0, 25.0, scales=[(5.0, 5.0)]).max() == 0


def test_an_image_smaller_than_the_window_and_pixels_that_are_not_square():
    assert cut(np.full((1, 3, 3), 400, np.uint16), 0.75, 0.75).max() == 255
    image = np.zeros((1, 100, 400), np.uint16)
    image[0, 48:52, 192:208] = 400  # a square of 4 µm
    tile = cut(image, 50.0, 50.0, pixel_size=PixelSize(1.0, 0.25))
    high, wide = (np.ptp(np.flatnonzero((tile[0] > 128).any(axis=axis))) for axis in (1, 0))
    assert abs(int(high) - int(wide)) <= 1


def crops(numbers=(3, 8), roles=("marker", "nucleus"), **changes) -> Crops:
    rng = np.random.default_rng(1)
    tiles = rng.integers(0, 255, (len(numbers), len(roles), TILE_PX, TILE_PX), np.uint8)
    outline = tile_outline(np.array([9, 19, 9, 21, 11, 21, 11, 19]), (10.0, 20.0), 32.0)
    names = tuple(f"{role} ü" for role in roles)
    values = {"key": "k", "roles": tuple(roles), "names": names, "window_um": 32.0,
              "cells": tuple(numbers), "outlines": (outline,) * len(numbers),
              "tiles": tiles}  # fmt: skip
    return Crops(**(values | changes))


@pytest.mark.parametrize("numbers", [(3, 8), (5,), ()])
def test_pictures_come_back_from_their_file(tmp_path, numbers):
    one = crops(numbers)
    path = write_crops(tmp_path / "s" / "cells.png", one)
    back = read_crops(path)
    assert back is not None
    assert (back.key, back.roles, back.names, back.cells) == (
        one.key, one.roles, one.names, one.cells)  # fmt: skip
    assert np.array_equal(back.tiles, one.tiles)
    for mine, theirs in zip(one.outlines, back.outlines, strict=True):
        assert np.allclose(mine, theirs, atol=0.05)
    assert write_crops(tmp_path / "again.png", one).read_bytes() == path.read_bytes()
    assert [p.name for p in path.parent.iterdir()] == ["cells.png"]


@pytest.mark.parametrize("damage", ["absent", "text", "cut", "foreign"])
def test_a_damaged_file_is_no_pictures(tmp_path, damage):
    path = write_crops(tmp_path / "cells.png", crops())
    if damage == "absent":
        path.unlink()
    elif damage == "text":
        path.write_text("not a picture", encoding="utf-8")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-300])
    else:
        Image.new("L", (64, 64)).save(path)
    assert read_crops(path) is None


def test_an_outline_is_drawn_where_the_cell_is():
    outline = tile_outline(np.array([9, 19, 9, 21, 11, 21, 11, 19]), (10.0, 20.0), 32.0)
    assert outline.tolist() == [[30, 30], [30, 34], [34, 34], [34, 30]]


def shown(names, positive=True) -> pd.DataFrame:
    rows = [(name, cell, positive, "edge") for name in names for cell in range(1, 9)]
    return pd.DataFrame(rows, columns=["section", "cell", "positive", "flags"])


def test_a_sheet_takes_cells_of_every_section_in_turn():
    names = [f"s{n}" for n in range(12)]
    pictures = {name: crops(range(1, 9)) for name in names}
    chosen = choose_shown(shown(names), pictures, names, positive=True)
    per_section = pd.Series([one.section for one in chosen]).value_counts()
    assert len(chosen) == SHEET_CELLS
    assert set(per_section) == {1, 2} and len(per_section) == 12
    assert chosen == choose_shown(shown(names)[::-1], pictures, names, positive=True)
    assert choose_shown(shown(names), pictures, names, positive=False) == []


def test_cells_without_a_picture_and_sections_of_other_arms_are_not_on_it():
    pictures = {"s1": crops((1, 2)), "s2": crops((1, 2))}
    chosen = choose_shown(shown(["s1", "s2", "s3"]), pictures, ["s1", "s3"], positive=True)
    assert [(one.section, one.cell) for one in chosen] == [("s1", 1), ("s1", 2)]


@pytest.mark.parametrize("roles", [("marker",), tuple(f"r{n}" for n in range(12))], ids=len)
def test_any_number_of_channels_fits_and_any_name_is_written(roles):
    name = "Größe ヒト \x07" + "x" * 300
    pictures = {name: crops((1, 2, 3), roles)}
    chosen = choose_shown(shown([name]), pictures, [name], positive=True)
    picture = sheet(chosen)
    assert picture.width < 1200
    assert np.asarray(picture).std() > 10


def test_thumbnails_are_small_and_damaged_pictures_left_out(tmp_path):
    names = [f"s{n}" for n in range(300)]
    Image.new("RGB", (640, 320), "green").save(tmp_path / "ok.png")
    (tmp_path / "bad.png").write_bytes(b"no")
    paths = {name: tmp_path / ("bad.png" if name == "s0" else "ok.png") for name in names}
    small, left_out = thumbnails(paths, [*names, "absent"])
    assert len(small) == 239 and left_out == 60 and "s0" not in small
    assert all(len(content) < 2000 for content in small.values())
    few, none = thumbnails({"s1": tmp_path / "ok.png"}, ["s1"])
    assert none == 0 and len(few["s1"]) > 300
