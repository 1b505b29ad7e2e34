"""Artefacts of simulated lung: found where they are, nothing where there is none."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from fociquant.model import Box
from fociquant.prepare import prepare_section
from fociquant.prepare.detail import Levels
from fociquant.prepare.folds import find_folds
from fociquant.settings import PrepareSettings
from fociquant.testing.lung import Artefacts, LungRecipe, SectionScene, draw_recipe, infect
from fociquant.testing.lung.damage import blotch, blurred, bubble, dirt, disc
from fociquant.units import PixelSize

SIZE, PIXEL = 900, PixelSize.square(0.65)
ROLES = {"marker": 0, "nucleus": 1, "autofluorescence": 2}
PLAIN = replace(LungRecipe(), artefacts=Artefacts(debris_per_mm2=0.0))


class Reader:
    def __init__(self, image):
        self.levels = (image,)

    def read(self, box: Box, channels, level=0):
        return self.levels[level][(slice(None), *box.slices)][list(channels)]


@cache
def lung(kind="dormant"):
    sizes = {"dormant": [1, 1, 2], "awakened": [1] * 20 + [5, 20, 60], "dense": [300, 200]}[kind]
    recipe = PLAIN if kind == "dormant" else infect(PLAIN, fraction=0.4)
    scene = SectionScene(
        recipe, shape_px=(SIZE, SIZE), pixel_size_um=PIXEL.y, seed=31, focus_sizes=sizes,
        outline="none",
    )  # fmt: skip
    return scene.render(scene.box)


def prepare(image, roles=ROLES, **settings):
    return prepare_section(Reader(image), roles, PIXEL, PrepareSettings(**settings))


def on_overview(mask, facts):
    step = round(facts.overview_px.y / PIXEL.y)
    return mask[step // 2 :: step, step // 2 :: step][: facts.artefact.shape[0]]


@pytest.mark.parametrize("kind", ["dormant", "awakened", "dense"])
@pytest.mark.parametrize("unstained", [True, False])
def test_clean_sections_lose_nothing(kind, unstained):
    roles = ROLES if unstained else {"marker": 0, "nucleus": 1}
    found = prepare(lung(kind), roles)
    assert not found.facts.artefact.any()
    assert found.facts.artefact_mm2 == 0.0
    assert found.warnings == ()


@pytest.mark.parametrize("seed", [1, 3, 9, 13])
def test_cells_of_large_dense_foci_are_never_masked(seed):
    """Whatever stain, tissue and camera: a macrometastasis is bright, crowded and airless."""
    recipe = draw_recipe(np.random.default_rng(seed))
    camera = replace(recipe.camera, field_px=4000)
    recipe = replace(recipe, artefacts=Artefacts(debris_per_mm2=0.0), camera=camera)
    size = 620
    scene = SectionScene(
        recipe, shape_px=(size, size), pixel_size_um=PIXEL.y, seed=seed, outline="none",
        focus_sizes=[350, 60, 5, 1],
    )  # fmt: skip
    facts = prepare(scene.render(scene.box)).facts
    cells = scene.truth().cells[["y_um", "x_um"]].to_numpy()
    assert len(cells) > 300
    places = np.floor(cells / facts.overview_px.mean).astype(int)
    rows, columns = np.minimum(places, np.array(facts.artefact.shape) - 1).T
    assert not facts.artefact[rows, columns].any()


def test_saturated_foci_are_no_artefact():
    image = lung("dense").copy()
    image[0] = np.clip(image[0].astype(np.int64) * 60, 0, 65535).astype(np.uint16)
    image[1] = np.clip(image[1].astype(np.int64) * 60, 0, 65535).astype(np.uint16)
    assert not prepare(image).facts.artefact.any()


@pytest.mark.parametrize("kind", ["dormant", "awakened"])
def test_a_place_out_of_focus_is_masked_and_leaves_the_area(kind):
    clean = prepare(lung(kind)).facts
    patch = disc((SIZE, SIZE), 400, 450, 200)
    found = prepare(blurred(lung(kind), patch, sigma_px=3.0 / PIXEL.y))
    truth = on_overview(patch, found.facts)
    far = ~on_overview(disc((SIZE, SIZE), 400, 450, 270), found.facts)
    assert found.facts.artefact[truth].mean() > 0.8
    assert not found.facts.artefact[far].any()
    together = found.facts.tissue_mm2 + found.facts.artefact_mm2
    assert together == pytest.approx(clean.tissue_mm2, rel=0.01)
    assert found.facts.parenchyma_mm2 < clean.parenchyma_mm2
    assert any("is out of focus" in text for text in found.warnings)


def test_a_switch_turns_a_kind_off():
    image = blurred(lung(), disc((SIZE, SIZE), 400, 450, 200), sigma_px=4.6)
    assert not prepare(image, mask_out_of_focus=False).facts.artefact.any()


def test_a_section_out_of_focus_everywhere_is_told_and_not_masked():
    found = prepare(blurred(lung(), np.ones((SIZE, SIZE), bool), sigma_px=4.6))
    assert found.facts.artefact_mm2 == 0.0
    assert any("whole section seems out of focus" in text for text in found.warnings)


def test_a_bubble_is_told_as_one():
    image = bubble(lung(), 430, 440, 210, sigma_px=6.0, rim_px=8.0)
    found = prepare(image)
    inside = on_overview(disc((SIZE, SIZE), 430, 440, 190), found.facts)
    assert found.facts.artefact[inside].mean() > 0.8
    assert any("bubble" in text for text in found.warnings)


def test_a_blotch_saturated_in_every_channel():
    patch = disc((SIZE, SIZE), 300, 300, 60)
    found = prepare(blotch(lung(), patch))
    assert found.facts.artefact[on_overview(disc((SIZE, SIZE), 300, 300, 50), found.facts)].all()
    assert found.facts.artefact_mm2 == pytest.approx(np.pi * (60 * 0.65) ** 2 * 1e-6, rel=0.6)
    assert any("is saturated" in text for text in found.warnings)


def test_dirt_brighter_than_everything():
    patch = disc((SIZE, SIZE), 600, 300, 25)
    found = prepare(dirt(lung(), patch, brightness=3.0))
    assert found.facts.artefact[on_overview(disc((SIZE, SIZE), 600, 300, 15), found.facts)].all()
    assert any("debris" in text for text in found.warnings)


@pytest.mark.parametrize("kind", ["dormant", "awakened"])
def test_a_fibre_is_masked_and_not_what_lies_beside_it(kind):
    image = lung(kind).copy()
    x = np.arange(120, 780)
    line = np.zeros((SIZE, SIZE), bool)
    line[np.rint(450.0 + 90.0 * np.sin(x / 110.0)).astype(int), x] = True
    away = distance_transform_edt(~line) * PIXEL.y
    tissue = np.percentile(image, 90, axis=(1, 2))
    light = 12.0 * np.exp(-0.5 * (away / 4.0) ** 2)  # bright, smooth, 9 µm wide
    full = image + tissue[:, None, None] * light
    found = prepare(np.clip(full, 0, 65535).astype(image.dtype))
    masked, clean = found.facts.artefact, prepare(image).facts.artefact
    assert not clean.any()
    assert masked[on_overview(away < 2.0, found.facts)].mean() > 0.95
    assert not masked[on_overview(away > 40.0, found.facts)].any()
    assert [text for text in found.warnings if "left out" in text] == [
        text for text in found.warnings if "covered by debris" in text
    ]


def test_a_fold_is_found_and_other_lung_is_not():
    recipe = replace(PLAIN, artefacts=Artefacts(0.0, folds_per_mm2=1.5, fold_width_um=40.0))
    scene = SectionScene(recipe, shape_px=(1500, 1500), pixel_size_um=0.65, seed=5, outline="none")
    found = prepare(scene.render(scene.box))
    assert any("lies in folds" in text for text in found.warnings)
    assert 0.01 < found.facts.artefact.mean() < 0.15


@pytest.mark.parametrize(("lumen", "found"), [(None, True), ("beside", False), ("far", True)])
def test_the_straight_wall_of_an_airway_is_no_fold(lumen, found):
    light, cover = np.full((100, 100), 0.6), np.full((100, 100), 0.7)
    band = np.s_[48:52, 20:80]
    light[band], cover[band] = 3.0, 1.0
    air = {"beside": np.s_[53:75, 15:85], "far": np.s_[70:92, 15:85]}.get(lumen, np.s_[:0])
    light[air] = cover[air] = 0.0
    folds = find_folds(
        {"autofluorescence": light}, {"autofluorescence": Levels(0.0, 1.0)}, cover,
        np.ones(light.shape, bool), np.zeros(light.shape, bool), pixel=PixelSize.square(8.0),
    )  # fmt: skip
    assert folds[band].all() == folds.any() == found


def test_nothing_but_artefact_has_no_area_and_says_so():
    image = np.full((3, 300, 300), 65535, np.uint16)
    image[:, :20] = np.random.default_rng(0).integers(100, 130, (3, 20, 300))
    found = prepare(image)
    assert found.facts.tissue_mm2 < 0.01
    assert found.facts.parenchyma_mm2 <= found.facts.tissue_mm2
