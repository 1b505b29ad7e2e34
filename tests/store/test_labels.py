"""Label images, painted piece by piece, are those painted at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant import atomic
from fociquant.errors import DiskError
from fociquant.model import Box
from fociquant.store import PaintedLabels, ResultsFolder, write_labels_zarr
from fociquant.store import labels as labels_module
from fociquant.store.folder import DEEPEST
from fociquant.store.labels import mask_columns, pack_mask, paint, unpack_mask
from fociquant.tiling import AnalysisGrid, Lattice
from fociquant.units import PixelSize


def objects_of(labels: np.ndarray, lattice: Lattice) -> pd.DataFrame:
    """Every object of a label image as a row; it belongs to the cell of its box's middle."""
    numbers = np.unique(labels[labels > 0])
    rows = mask_columns(labels, numbers, (0, 0))
    table = pd.DataFrame(rows)
    y = (table["mask_y0"] + table["mask_height"] // 2) // lattice.decode_core_px
    x = (table["mask_x0"] + table["mask_width"] // 2) // lattice.decode_core_px
    return table.assign(cell=numbers.astype(np.int64), decode_cell=y * lattice.cells[1] + x)


def random_labels(seed: int, shape: tuple[int, int], n: int = 60) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for number in range(1, n + 1):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        h, w = rng.integers(1, 20, 2)
        patch = labels[y : y + h, x : x + w]
        patch[rng.random(patch.shape) < 0.7] = number
    return labels


def lattice_of(shape):
    return Lattice(shape, decode_core_px=64, decode_halo_px=32)


@given(mask=st.integers(1, 30).flatmap(
    lambda h: st.integers(1, 30).flatmap(
        lambda w: st.lists(st.booleans(), min_size=h * w, max_size=h * w).map(
            lambda bits: np.array(bits).reshape(h, w)))))  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_masks_come_back_from_their_bits(mask):
    bits = pack_mask(mask.astype(np.int32) * 7, 7, Box.of_shape(mask.shape))
    np.testing.assert_array_equal(unpack_mask(bits, *mask.shape), mask)


@given(seed=st.integers(0, 1000), shape=st.tuples(st.integers(1, 200), st.integers(1, 200)))
@settings(max_examples=25, deadline=None)
def test_any_box_is_painted_like_the_whole(seed, shape):
    labels = random_labels(seed, shape)
    objects = objects_of(labels, lattice_of(shape)).sample(frac=1, random_state=seed)
    np.testing.assert_array_equal(paint(objects, Box.of_shape(shape)), labels)
    rng = np.random.default_rng(seed)
    y, x = (np.sort(rng.integers(0, size + 1, 2)) for size in shape)
    box = Box(int(y[0]), int(x[0]), int(y[1]), int(x[1]))
    np.testing.assert_array_equal(paint(objects, box), labels[box.slices])


def test_the_lower_number_has_a_pixel_that_two_claim():
    rows = {"mask_y0": [0, 0], "mask_x0": [0, 1], "mask_height": [1, 1], "mask_width": [2, 2],
            "mask_bits": [b"\xc0", b"\xc0"], "cell": [5, 3]}  # fmt: skip
    np.testing.assert_array_equal(paint(pd.DataFrame(rows), Box(0, 0, 1, 4)), [[5, 3, 3, 0]])


@pytest.mark.parametrize("shape", [(1, 1), (1, 150), (150, 1), (64, 64), (130, 200), (1100, 70)])
def test_the_pyramid_holds_the_whole_label_image(tmp_path, shape):
    labels = random_labels(3, shape)
    lattice = lattice_of(shape)
    write_labels_zarr(tmp_path / "l", objects_of(labels, lattice), lattice, PixelSize(0.5, 0.25))
    group = zarr.open_group(tmp_path / "l", mode="r")
    np.testing.assert_array_equal(group["0"][:], labels)
    levels = group.attrs["multiscales"][0]["datasets"]
    for level, dataset in enumerate(levels):
        step = 1 << level
        np.testing.assert_array_equal(group[dataset["path"]][:], labels[::step, ::step])
        scale = dataset["coordinateTransformations"][0]["scale"]
        assert scale == [0.5 * step, 0.25 * step]
    assert max(group[levels[-1]["path"]].shape) <= 1024


def test_empty_chunks_are_not_stored_and_an_old_image_is_replaced(tmp_path):
    lattice = lattice_of((640, 640))
    labels = np.zeros((640, 640), np.int32)
    for place in (10, 500):
        labels[:] = 0
        labels[place : place + 5, 10:20] = 1
        write_labels_zarr(tmp_path / "l", objects_of(labels, lattice), lattice, PixelSize(1, 1))
    assert [p.name for p in (tmp_path / "l" / "0").rglob("*") if p.name.isdigit() and p.is_file()]
    assert len([p for p in (tmp_path / "l" / "0").rglob("[0-9]*") if p.is_file()]) == 1
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "l", mode="r")["0"][:], labels)
    assert json.loads((tmp_path / "l" / ".zattrs").read_text())["image-label"]


@given(
    step=st.floats(0.3, 4.0),
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_labels_in_image_pixels_have_the_pixel_under_each_centre(step, shape, seed):
    grid = AnalysisGrid(shape, step, step)
    labels = random_labels(seed, grid.shape, 8)
    lattice = lattice_of(grid.shape)
    painted = PaintedLabels(objects_of(labels, lattice), lattice, grid)
    assert painted.shape == shape
    places = [
        np.minimum(((np.arange(n) + 0.5) / step).astype(int), m - 1)
        for n, m in zip(shape, grid.shape, strict=True)
    ]
    expected = labels[np.ix_(*places)]
    np.testing.assert_array_equal(painted[:, :], expected)
    half = shape[0] // 2
    np.testing.assert_array_equal(painted[half:, 0:1], expected[half:, 0:1])


def test_the_deepest_path_of_a_section_is_known(tmp_path, monkeypatch):
    """Windows takes 259 characters of a path: what has more is refused before work begins."""
    opened, written = Path.open, []
    monkeypatch.setattr(
        Path, "open", lambda path, *a, **k: (written.append(path), opened(path, *a, **k))[1]
    )
    core = 64
    # In the 101st row and column of pieces: slides that have a thousand are not made.
    objects = pd.DataFrame(mask_columns(np.ones((2, 2), np.int32), [1], (100 * core, 100 * core)))
    lattice = lattice_of((100 * core + 2, 100 * core + 2))
    objects = objects.assign(cell=1, decode_cell=100 * lattice.cells[1] + 100)
    section = ResultsFolder(tmp_path).section("a")
    write_labels_zarr(section / "labels.ome.zarr", objects, lattice, PixelSize.square(0.5))
    assert max(len(str(path)) for path in written) - len(str(section)) == DEEPEST


def test_an_earlier_image_that_is_in_use_for_a_moment_is_replaced(tmp_path, monkeypatch):
    """On Windows a folder is empty only when a scanner has let go of what was removed from it."""
    monkeypatch.setattr(atomic, "WAIT_S", (0.0,) * 5)
    lattice = lattice_of((90, 90))
    objects = objects_of(random_labels(1, (90, 90)), lattice)
    target, refusals, rmtree = tmp_path / "labels.ome.zarr", [], shutil.rmtree

    def busily(path, *args, **kwargs):
        if path == target and len(refusals) < 3:
            refusals.append(OSError(41, "The directory is not empty"))
            refusals[-1].winerror = 145
            raise refusals[-1]
        rmtree(path, *args, **kwargs)

    write_labels_zarr(target, objects[:1], lattice, PixelSize.square(0.5))
    monkeypatch.setattr(shutil, "rmtree", busily)
    write_labels_zarr(target, objects, lattice, PixelSize.square(0.5))
    assert len(refusals) == 3 and [path.name for path in tmp_path.iterdir()] == [target.name]


def test_windows_refuses_to_rename_what_a_scanner_looks_at(tmp_path, monkeypatch):
    """What Zarr writes is new, not replaced; what is refused all the same is tried again."""
    monkeypatch.setattr(atomic, "WAIT_S", (0.0,) * 5)
    lattice = lattice_of((90, 90))
    objects = objects_of(random_labels(1, (90, 90)), lattice)
    replace, replaced, refusals = Path.replace, [], []

    def renamed(path, target):
        if path.suffix == ".partial" and len(refusals) < 3:
            refusals.append(PermissionError(13, "Access is denied", str(path)))
            refusals[-1].winerror = 5
            raise refusals[-1]
        replaced.extend([target] if Path(target).exists() else [])
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", renamed)
    write_labels_zarr(tmp_path / "labels.ome.zarr", objects, lattice, PixelSize.square(0.5))
    stored = zarr.open_group(tmp_path / "labels.ome.zarr", mode="r")
    np.testing.assert_array_equal(stored["0"][:], paint(objects, Box(0, 0, 90, 90)))
    assert len(refusals) == 3 and not replaced
    assert [path.name for path in tmp_path.iterdir()] == ["labels.ome.zarr"]


def test_a_folder_that_went_away_while_zarr_wrote_is_not_left_behind(tmp_path, monkeypatch):
    """Zarr makes every folder on the way, also on the mount point of a drive that was taken off."""
    root, away, write = tmp_path / "mount" / "r", tmp_path / "away", labels_module._write_levels
    section = root / "sections" / "s"
    section.mkdir(parents=True)
    (root / "mark").touch()

    def take_off(*args):
        root.rename(away)
        write(*args)

    monkeypatch.setattr(labels_module, "_write_levels", take_off)
    lattice = lattice_of((90, 90))
    objects = objects_of(random_labels(1, (90, 90)), lattice)
    with (
        atomic.known_by(root, [root / "mark"]),
        pytest.raises(DiskError, match="is not there any more"),
    ):
        write_labels_zarr(section / "l", objects, lattice, PixelSize.square(0.5))
    assert not list((tmp_path / "mount").iterdir())
    assert (away / "sections" / "s").is_dir()
