"""Training scenes: what a network is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from fociquant.testing.lung import TrainingScene, draw_recipe, training_scene
from fociquant.testing.lung.optics import blur
from fociquant.testing.lung.randomise import MIN_SNR, _dim
from fociquant.testing.lung.recipe import Camera
from fociquant.testing.lung.training import GRANULAR

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


def test_haze_spreads_light_and_keeps_it() -> None:
    planes = np.zeros((4, 101, 101), np.float32)
    planes[:, 50, 50] = 1000.0
    camera = Camera(psf_um=(0.3, 0.3, 0.3, 0.3), haze=0.25, haze_um=4.0)
    hazy = blur(planes.copy(), camera, px_um=0.5)
    clear = blur(planes.copy(), replace(camera, haze=0.0), px_um=0.5)
    np.testing.assert_allclose(hazy.sum(axis=(1, 2)), 1000.0, rtol=1e-3)
    near = (slice(None), slice(46, 55), slice(46, 55))
    assert clear[near].sum() > 3990
    assert 0.75 < hazy[near].sum() / 4000 < 0.85


def test_dim_recipes_are_hardly_brighter_than_tissue() -> None:
    share, hazy = [], 0
    for seed in range(200):
        recipe = _dim(np.random.default_rng(seed), draw_recipe(np.random.default_rng(seed)))
        light = recipe.light
        tissue = light.tissue_af_e * light.tissue_spectrum[0] + light.marker_unspecific_e
        share.append(light.marker_e / tissue)
        hazy += recipe.camera.haze > 0
        assert light.marker_e / np.sqrt(tissue) > MIN_SNR
    assert hazy == 200 and min(share) > 0.79 and np.median(share) < 2.5


def test_macrophages_are_negatives_unless_cells_look_like_them(
    scenes: list[TrainingScene],
) -> None:
    for scene in scenes:
        if scene.recipe.cells.puncta <= GRANULAR:
            assert not scene.ignore.any()
