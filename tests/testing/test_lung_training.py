"""Training scenes: what a network is shown."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fociquant.testing.lung import TrainingScene, draw_recipe, training_scene
from fociquant.testing.lung.randomise import MIN_SNR

N, SHAPE = 40, (128, 144)


@pytest.fixture(scope="module")
def scenes() -> list[TrainingScene]:
    return [training_scene(np.random.default_rng(seed), SHAPE) for seed in range(N)]


def test_arrays_are_as_promised(scenes: list[TrainingScene]) -> None:
    for scene in scenes:
        assert scene.image.shape == (4, *SHAPE) and scene.image.dtype == np.float32
        assert scene.labels.shape == SHAPE and scene.labels.dtype == np.int32
        assert scene.ignore.shape == SHAPE and scene.ignore.dtype == bool
        assert scene.image.min() >= 0 and scene.image.max() < 2**scene.recipe.camera.bits
        np.testing.assert_array_equal(scene.image, np.rint(scene.image))
        assert not np.signbit(scene.image).any()


def test_labels_have_no_gaps_and_keep_off_ignored_cells(scenes: list[TrainingScene]) -> None:
    for scene in scenes:
        assert list(np.unique(scene.labels[scene.labels > 0])) == list(
            range(1, scene.labels.max() + 1)
        )
        assert not (scene.ignore & (scene.labels > 0)).any()


def test_the_same_state_gives_the_same_scene() -> None:
    a, b = (training_scene(np.random.default_rng(3), (96, 96)) for _ in range(2))
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.labels, b.labels)


def test_scenes_differ_in_what_they_hold(scenes: list[TrainingScene]) -> None:
    counts = np.array([scene.labels.max() for scene in scenes])
    assert 2 <= (counts == 0).sum() <= N // 2
    assert (counts >= 5).sum() >= N // 4
    assert any(scene.ignore.any() for scene in scenes)
    diameters = [s.recipe.cells.diameter_um / s.pixel_size_um for s in scenes]
    assert 7.9 < min(diameters) < 15 and 33 < max(diameters) < 60.1


def test_dense_foci_touch(scenes: list[TrainingScene]) -> None:
    touching = 0
    for scene in scenes:
        left, right = scene.labels[:, :-1], scene.labels[:, 1:]
        touching += int(((left > 0) & (right > 0) & (left != right)).any())
    assert touching >= N // 4


def test_no_channel_is_blind(scenes: list[TrainingScene]) -> None:
    for scene in scenes:
        full = 2**scene.recipe.camera.bits - 1
        saturated = (scene.image >= full).mean(axis=(1, 2))
        assert saturated.max() < 0.5
        assert (scene.image.std(axis=(1, 2)) > 0).all()


def test_cells_stand_out_from_air(scenes: list[TrainingScene]) -> None:
    """Most cells are brighter in the marker than the darkest tenth of their scene, plus noise."""
    seen = total = 0
    for scene in scenes:
        if not scene.labels.max():
            continue
        marker = scene.image[0]
        level = ndimage.mean(marker, scene.labels, np.arange(1, scene.labels.max() + 1))
        dark = marker[marker <= np.percentile(marker, 10)]
        seen += int((level > dark.mean() + 2 * dark.std()).sum())
        total += len(level)
    assert seen > 0.9 * total


@pytest.mark.parametrize("infected", [True, False])
def test_recipes_obey_infection_and_signal(infected: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        recipe = draw_recipe(rng, infected)
        light = recipe.light
        assert (recipe.tissue.consolidated_fraction > 0) == infected
        background = light.tissue_af_e * light.tissue_spectrum[0] + light.glass_e[0]
        assert light.marker_e >= MIN_SNR * np.sqrt(background)


def test_brightness_covers_two_decades() -> None:
    rng = np.random.default_rng(2)
    marker = [draw_recipe(rng).light.marker_e for _ in range(300)]
    assert max(marker) / min(marker) > 50
