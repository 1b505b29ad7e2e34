"""Sections of any size: position decides a pixel, and truth is what is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fociquant.model import Box
from fociquant.testing.lung import Artefacts, LungRecipe, SectionScene, infect

SHAPE, PX_UM, SIZES = (700, 620), 0.8, (1, 1, 1, 1, 2, 3, 5, 30, 80)


@pytest.fixture(scope="module")
def scene() -> SectionScene:
    recipe = infect(LungRecipe(), fraction=0.4)
    artefacts = Artefacts(debris_per_mm2=20, folds_per_mm2=2, out_of_focus_per_mm2=2)
    recipe = replace(recipe, artefacts=artefacts)
    return SectionScene(recipe, shape_px=SHAPE, pixel_size_um=PX_UM, seed=5, focus_sizes=SIZES)


@pytest.fixture(scope="module")
def whole(scene: SectionScene) -> np.ndarray:
    return scene.render(scene.box)


@pytest.fixture(scope="module")
def labels(scene: SectionScene) -> np.ndarray:
    return scene.labels(scene.box)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    ys = sorted(draw(st.tuples(*[st.integers(0, SHAPE[0])] * 2)))
    xs = sorted(draw(st.tuples(*[st.integers(0, SHAPE[1])] * 2)))
    return Box(ys[0], xs[0], ys[1], xs[1])


@given(box=boxes())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_box_shows_the_same_pixels(
    scene: SectionScene, whole: np.ndarray, labels: np.ndarray, box: Box
) -> None:
    rows, cols = box.slices
    np.testing.assert_array_equal(scene.render(box), whole[:, rows, cols])
    np.testing.assert_array_equal(scene.labels(box), labels[rows, cols])


def test_a_new_scene_of_the_same_seed_is_the_same(scene: SectionScene, whole: np.ndarray) -> None:
    again = SectionScene(
        scene.recipe, shape_px=SHAPE, pixel_size_um=PX_UM, seed=5, focus_sizes=SIZES
    )
    part = Box(480, 0, 700, 330)
    np.testing.assert_array_equal(again.render(part), whole[:, 480:, :330])


@pytest.mark.parametrize("box", [Box(470, 100, 560, 300), Box(3, 460, 200, 570)])
def test_tiles_meet_without_a_seam(scene: SectionScene, box: Box) -> None:
    """What lies left and right of a tile border is what one drawing shows there."""
    once = scene.expected(box)
    if box.y1 > 512:
        parts = [Box(box.y0, box.x0, 512, box.x1), Box(512, box.x0, box.y1, box.x1)]
        twice = np.concatenate([scene.expected(part) for part in parts], axis=1)
    else:
        parts = [Box(box.y0, box.x0, box.y1, 512), Box(box.y0, 512, box.y1, box.x1)]
        twice = np.concatenate([scene.expected(part) for part in parts], axis=2)
    np.testing.assert_allclose(twice, once, rtol=2e-3, atol=0.1)


def test_truth_is_what_the_labels_show(scene: SectionScene, labels: np.ndarray) -> None:
    cells = scene.truth().cells
    n = int(labels.max())
    assert list(cells["cell"]) == list(range(1, n + 1)) == sorted(set(np.unique(labels)) - {0})
    area = np.bincount(labels.ravel())[1:] * PX_UM**2
    np.testing.assert_allclose(cells["area_um2"], area)
    centre = np.array(ndimage.center_of_mass(labels > 0, labels, np.arange(1, n + 1)))
    np.testing.assert_allclose(cells[["y_um", "x_um"]], (centre + 0.5) * PX_UM)


def test_every_cell_is_one_piece(labels: np.ndarray) -> None:
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        assert ndimage.label(labels[place] == number)[1] == 1


def test_linking_at_twenty_um_finds_the_planned_foci(
    scene: SectionScene, labels: np.ndarray
) -> None:
    truth = scene.truth()
    assert sorted(truth.foci["cells"]) == sorted(SIZES)
    near = ndimage.distance_transform_edt(labels == 0) * PX_UM <= 10.0
    groups, count = ndimage.label(near)
    assert count == len(SIZES)
    group_of_cell = ndimage.maximum(groups, labels, truth.cells["cell"])
    pairs = set(zip(truth.cells["focus"], group_of_cell, strict=True))
    assert len(pairs) == len(SIZES)


def test_classes_follow_the_profile(scene: SectionScene) -> None:
    foci = scene.truth().foci.set_index("cells")
    assert set(foci.loc[[1], "class"]) == {"solitary"}
    assert set(foci.loc[[2, 3, 5], "class"]) == {"cluster"}
    assert foci.loc[30, "class"] == "micrometastasis"


def test_cells_keep_off_the_border_and_shine(
    scene: SectionScene, whole: np.ndarray, labels: np.ndarray
) -> None:
    for edge in (labels[:12], labels[-12:], labels[:, :12], labels[:, -12:]):
        assert not edge.any()
    marker, nuclear = whole[0].astype(float), whole[1].astype(float)
    inside, tissue = labels > 0, labels == 0
    assert np.median(marker[inside]) > np.percentile(marker[tissue], 95)
    dark = scene.recipe.camera.offset_counts
    assert np.median(nuclear[inside]) - dark > 2 * (np.median(nuclear[tissue]) - dark)


def test_ki67_is_in_the_positive_nuclei_only(
    scene: SectionScene, whole: np.ndarray, labels: np.ndarray
) -> None:
    cells = scene.truth().cells
    level = ndimage.mean(whole[3].astype(float), labels, cells["cell"])
    positive = cells["Ki67_positive"].to_numpy()
    assert 0 < positive.sum() < len(cells)
    assert np.median(level[positive]) > 2 * np.median(level[~positive])


def test_a_section_without_cancer_has_empty_tables() -> None:
    scene = SectionScene(LungRecipe(), shape_px=(200, 180), pixel_size_um=1.0, seed=1)
    truth = scene.truth()
    assert len(truth.cells) == len(truth.foci) == 0
    assert "Ki67_positive" in truth.cells and "class" in truth.foci
    assert not scene.labels(scene.box).any()
    assert scene.render(scene.box).shape == (4, 200, 180)


def test_a_lobe_lies_on_glass() -> None:
    scene = SectionScene(
        LungRecipe(), shape_px=(300, 400), pixel_size_um=4.0, seed=2, outline="lobe"
    )
    nuclear = scene.render(scene.box)[1] - scene.recipe.camera.offset_counts
    corners = np.concatenate([nuclear[:25, :25].ravel(), nuclear[-25:, -25:].ravel()])
    assert corners.mean() < 0.3 * nuclear[100:200, 150:250].mean()
    assert 0.5 < scene.lung_mm2 / (300 * 400 * 16e-6) < 0.95


def test_what_finds_no_room_is_left_out_of_truth_too() -> None:
    scene = SectionScene(
        LungRecipe(), shape_px=(200, 200), pixel_size_um=0.5, seed=3, focus_sizes=[400]
    )
    assert len(scene.truth().cells) == len(np.unique(scene.labels(scene.box))) - 1 < 400


def test_a_box_must_lie_in_the_section(scene: SectionScene) -> None:
    with pytest.raises(ValueError, match="leaves the section"):
        scene.render(Box(0, 0, SHAPE[0] + 1, 10))


def test_an_unknown_outline_is_refused() -> None:
    with pytest.raises(ValueError, match="outline"):
        SectionScene(LungRecipe(), shape_px=(64, 64), pixel_size_um=1, seed=1, outline="star")  # type: ignore[arg-type]
