"""Camera fields lit unevenly: found, evened out, and left alone where there are none."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fociquant.gate.standout import out_of_place
from fociquant.model import SHADING_POWERS, Box, Shading
from fociquant.prepare import corrected, prepare_section
from fociquant.prepare.flatfield import FlatReader, flattened, light
from fociquant.prepare.repeats import repeats_itself
from fociquant.prepare.shading import CORRECTED_FROM, find_shading, shading_warnings
from fociquant.settings import GateSettings, PrepareSettings
from fociquant.store import facts_of, facts_to_json
from fociquant.testing.lung import Artefacts, LungRecipe, SectionScene
from fociquant.units import PixelSize

OVERVIEW_UM = 8.0
DARK, FIELD = 200.0, 40
ROLES = ("marker", "nucleus", "autofluorescence")


class Reader:
    def __init__(self, *levels):
        self.levels = levels

    def read(self, box: Box, channels, level=0):
        return self.levels[level][(slice(None), *box.slices)][list(channels)]


def lens(shape, *, loss, period=(FIELD, FIELD), origin=(7.3, 11.1), gain=0.0, seed=0):
    """Relative light: a dome over each field, and the field's own gain."""
    y, x = (
        ((np.arange(size) + 0.5 - start) / width)
        for size, width, start in zip(shape, period, origin, strict=True)
    )
    v, u = (2 * (turn - np.floor(turn)) - 1 for turn in (y, x))
    dome = 1 - loss / 2 * (v * v)[:, None] - loss / 2 * (u * u)[None, :]
    number = [np.floor(turn).astype(int) + 1 for turn in (y, x)]
    steps = np.random.default_rng(seed).normal(1, gain, [n.max() + 1 for n in number])
    return dome * steps[np.ix_(*number)]


def tissue(seed, shape=(320, 360)):
    """Uneven light of lung on an overview: fine, coarse, and some bright foci; counts."""
    rng = np.random.default_rng(seed)
    slow = sum(s * ndimage.gaussian_filter(rng.standard_normal(shape), s) for s in (6, 25))
    planes = {}
    for role in ROLES:
        fine = ndimage.gaussian_filter(rng.standard_normal(shape), 0.6)
        planes[role] = 60 + 250 * np.exp(0.6 * slow + fine)
        for y, x in rng.integers(0, min(shape), (12, 2)):
            planes[role][y : y + 6, x : x + 6] *= 6
    return planes


def shaded(seed, **options):
    planes = tissue(seed)
    over = lens(planes["marker"].shape, **options)
    return {role: (DARK + plane * over).astype(np.float32) for role, plane in planes.items()}


def find(planes, outline=None, **options):
    outline = np.ones(planes["marker"].shape, bool) if outline is None else outline
    settings_ = {"pixel_um": OVERVIEW_UM, "factor": 12, "tops": dict.fromkeys(planes, math.inf)}
    return find_shading(planes, outline, **settings_ | options)


def dome(loss=0.4, **changes) -> Shading:
    """Light 1 - loss/2 (y² + x²), as far as the terms can say it."""
    axis = np.linspace(-1, 1, 21)
    y, x = (part.ravel() for part in np.meshgrid(axis, axis))
    design = np.stack([y**i * x**j for i, j in SHADING_POWERS], axis=1)
    terms = np.linalg.lstsq(design, np.log(1 - loss / 2 * (y * y + x * x)), rcond=None)[0]
    return replace(
        Shading((240.0, 240.0), (30.5, 200.0), tuple(terms.tolist()), DARK, 65535.0, loss, True),
        **changes,
    )


@pytest.mark.parametrize("gain", [0.0, 0.15])
def test_a_vignette_of_40_percent_is_found_whatever_the_gain_of_the_fields(gain):
    planes = shaded(1, loss=0.4, gain=gain)
    found = find(planes)
    assert set(found) == set(ROLES)
    for one in found.values():
        assert one.corrected
        assert one.period_px == pytest.approx((FIELD * 12, FIELD * 12), rel=0.01)
        assert one.loss == pytest.approx(0.4, abs=0.14)
        whole = light(one, Box.of_shape(planes["marker"].shape), (12.0, 12.0))
        truth = lens(planes["marker"].shape, loss=0.4)
        assert np.median(np.abs(whole / truth - 1)) < 0.05


def test_strips_of_a_line_scanner_are_found_along_one_axis():
    found = find(shaded(2, loss=0.6, period=(1e9, 30), origin=(-5e8, 4.0)))
    assert set(found) == set(ROLES)
    assert all(one.period_px[0] == 0.0 for one in found.values())
    assert found["marker"].period_px[1] == pytest.approx(360, rel=0.01)


@pytest.mark.parametrize("seed", range(6))
def test_tissue_alone_has_no_fields(seed):
    planes = {role: (DARK + plane).astype(np.float32) for role, plane in tissue(seed).items()}
    assert find(planes) == {}


def test_gain_steps_alone_are_no_shading():
    assert find(shaded(3, loss=0.0, gain=0.15)) == {}


def test_little_shading_is_told_and_left_alone():
    found = find(shaded(4, loss=0.11))
    assert all(not one.corrected and one.loss < CORRECTED_FROM for one in found.values())
    image = Reader(np.zeros((3, 8, 8), np.uint16))
    assert corrected(image, {"marker": 0}, found) is image
    assert shading_warnings(found, PixelSize.square(0.65)) == []


@pytest.mark.parametrize("outline", ["none", "few fields", "a strip"])
def test_too_little_lung_proves_nothing(outline):
    planes = shaded(5, loss=0.4)
    mask = np.zeros(planes["marker"].shape, bool)
    if outline == "few fields":
        mask[:90, :90] = True
    elif outline == "a strip":
        mask[:, 100:110] = True
    assert find(planes, mask) == {}


@given(
    value=st.sampled_from([0.0, 3.0, 65535.0]), shape=st.sampled_from([(1, 1), (3, 200), (90, 90)])
)
@settings(max_examples=12, deadline=None)
def test_images_without_any_structure(value, shape):
    planes = dict.fromkeys(ROLES, np.full(shape, value, np.float32))
    assert find(planes, np.ones(shape, bool)) == {}


@given(
    y0=st.integers(0, 300), x0=st.integers(0, 300), height=st.integers(1, 60),
    width=st.integers(1, 60), dtype=st.sampled_from(["u1", "u2", "f4"]),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_a_pixel_does_not_depend_on_what_is_read_with_it(y0, x0, height, width, dtype):
    image = np.random.default_rng(1).integers(0, 256, (2, 400, 400)).astype(dtype)
    one = dome(dark=20.0, top=255.0 if dtype == "u1" else math.inf)
    flat = FlatReader(Reader(image), {1: one})
    whole = flat.read(Box.of_shape((400, 400)), [0, 1])
    box = Box(y0, x0, y0 + height, x0 + width)
    part = flat.read(box, [1, 0])
    assert part.dtype == image.dtype
    assert np.array_equal(part[0], whole[1][box.slices])
    assert np.array_equal(part[1], image[0][box.slices])


@given(loss=st.floats(0.15, 0.8), level=st.integers(0, 65535))
@settings(max_examples=40, deadline=None)
def test_light_is_only_raised_and_only_saturated_pixels_are_saturated(loss, level):
    one = dome(loss)
    share = light(one, Box.of_shape((300, 300)))
    assert share.dtype == np.float32
    assert share.max() <= 1.0 and share.min() >= np.float32(1.0 - loss)
    flat = flattened(np.full((300, 300), level, np.uint16), one, share)
    assert flat.dtype == np.uint16
    assert (flat >= min(level, 65534)).all()
    assert ((flat == 65535) == (level == 65535)).all()


def test_evened_light_is_even():
    truth = np.random.default_rng(0).uniform(100, 900, (480, 480))
    one = dome()
    share = light(one, Box.of_shape(truth.shape))
    image = np.rint(DARK + truth * share).astype(np.uint16)
    flat = FlatReader(Reader(image[None]), {0: one}).read(Box.of_shape(truth.shape), [0])[0]
    assert np.abs(flat - DARK - truth).max() < 3.0


def test_reduced_levels_are_evened_alike():
    even = np.full((1, 480, 480), 1000.0, np.float32)
    one = dome(dark=0.0)
    image = even * light(one, Box.of_shape((480, 480)))
    small = image.reshape(1, 120, 4, 120, 4).mean(axis=(2, 4))
    flat = FlatReader(Reader(image, small), {0: one}).read(Box.of_shape((120, 120)), [0], 1)
    assert np.abs(np.median(flat) / 1000.0 - 1) < 0.005
    assert np.mean(np.abs(flat / 1000.0 - 1) < 0.02) > 0.9  # but for pixels across a border


def test_pixels_that_are_not_finite_stay_so():
    image = np.full((1, 50, 50), 500.0, np.float32)
    image[0, 3, 4], image[0, 5, 6] = np.nan, np.inf
    flat = FlatReader(Reader(image), {0: dome(top=math.inf)}).read(Box.of_shape((50, 50)), [0])[0]
    assert np.isnan(flat[3, 4]) and np.isinf(flat[5, 6])
    assert np.isfinite(flat).sum() == 2498


def scene(shading, gain, size=1200):
    """Wide-open lung at 2 µm per pixel, fields of 200 µm."""
    recipe = replace(LungRecipe(), artefacts=Artefacts(debris_per_mm2=0.0))
    camera = replace(recipe.camera, shading=shading, gain_step=gain, field_px=150)
    return SectionScene(
        replace(recipe, camera=camera), shape_px=(size, size), pixel_size_um=2.0, seed=3,
        outline="none",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["added", "multiplied"])
def test_slow_background_is_no_shading_and_hides_no_cell(kind):
    recipe = replace(LungRecipe(), artefacts=Artefacts(debris_per_mm2=0.0))
    drawn = SectionScene(
        recipe, shape_px=(700, 700), pixel_size_um=0.65, seed=4, focus_sizes=[1] * 12 + [8],
        outline="none",
    )  # fmt: skip
    image = drawn.render(drawn.box).astype(np.float64)
    slope = np.linspace(0, 1, 700)[:, None] * np.ones(700)
    slow = image + 600 * slope if kind == "added" else DARK + (image - DARK) * (0.5 + slope)
    slow = np.clip(np.rint(slow), 0, 65535).astype(np.uint16)
    roles = {"marker": 0, "nucleus": 1, "autofluorescence": 2}
    even, uneven = (
        prepare_section(Reader(one), roles, PixelSize.square(0.65), PrepareSettings()).facts
        for one in (image.astype(np.uint16), slow)
    )
    assert uneven.shading == {}
    assert uneven.tissue_mm2 == pytest.approx(even.tissue_mm2, rel=0.02)
    cells = drawn.truth().cells[["y_um", "x_um"]]
    assert len(cells) == 20
    assert not out_of_place(cells, uneven.marker_map, GateSettings()).any()


@pytest.fixture(scope="module")
def prepared():
    """Facts and warnings by scene and whether shading was looked for."""
    roles = {"marker": 0, "nucleus": 1, "autofluorescence": 2}
    found = {}
    for name, how in {"even": (0.0, 0.0), "bad": (0.4, 0.15)}.items():
        drawn = scene(*how)
        image = Reader(drawn.render(drawn.box))
        for looked in (True, False):
            # At 2 µm per pixel focus cannot be judged.
            chosen = PrepareSettings(correct_shading=looked, mask_out_of_focus=False)
            found[name, looked] = prepare_section(image, roles, PixelSize.square(2.0), chosen)
    return found


def test_facts_of_a_shaded_section_are_those_of_the_same_section_lit_evenly(prepared):
    even, bad = prepared["even", True], prepared["bad", True]
    assert even.facts.shading == {} and even.warnings == ()
    assert set(bad.facts.shading) == set(ROLES)
    text, steps = bad.warnings
    assert "from one camera field" in steps
    assert text.startswith("Camera fields of ")
    width = float(text.removeprefix("Camera fields of ").split()[0])
    assert width == pytest.approx(300, rel=0.01)
    assert bad.facts.tissue_mm2 == pytest.approx(even.facts.tissue_mm2, rel=0.01)
    assert bad.facts.parenchyma_mm2 == pytest.approx(even.facts.parenchyma_mm2, rel=0.05)
    for role in ROLES:
        mine, true = bad.facts.stats[role], even.facts.stats[role]
        assert mine.background - DARK == pytest.approx(true.background - DARK, rel=0.12)
        assert mine.high - DARK == pytest.approx(true.high - DARK, rel=0.25)


def test_switched_off_nothing_is_looked_for(prepared):
    found = prepared["bad", False]
    assert found.facts.shading == {}
    assert not any("Camera fields" in text for text in found.warnings)


def test_an_evenly_lit_section_has_the_facts_it_would_have_without_looking(prepared):
    looked, not_looked = (facts_to_json(prepared["even", on].facts) for on in (True, False))
    assert looked == not_looked


def test_shading_survives_storing(prepared):
    facts = prepared["bad", True].facts
    assert facts_of(facts_to_json(facts)).shading == facts.shading


def mosaic(seed, *, mirrored, edge=72):
    """One scene of tissue, many times; a cell here and there differs."""
    scene = {role: plane[:edge, :edge] for role, plane in tissue(seed).items()}
    out = {}
    for role, plane in scene.items():
        turned = [[plane, plane[:, ::-1]], [plane[::-1], plane[::-1, ::-1]]]
        block = np.block(turned) if mirrored else np.block([[plane, plane], [plane, plane]])
        out[role] = (DARK + np.tile(block, (2, 2))).astype(np.float32)
        rng = np.random.default_rng(seed)
        for y, x in rng.integers(0, 4 * edge - 4, (5, 2)):
            out[role][y : y + 2, x : x + 2] *= 3
    return out


@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_copies_of_one_scene_are_no_camera_fields(mirrored, seed):
    planes = mosaic(seed, mirrored=mirrored)
    inside = np.ones(planes["marker"].shape, bool)
    assert repeats_itself(planes["marker"], inside)
    assert find(planes) == {}
    inside[:40] = inside[:, :60] = False  # glass around it
    assert repeats_itself(planes["marker"], inside)


@pytest.mark.parametrize("loss", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_tissue_does_not_repeat_itself_whatever_the_light(loss, seed):
    planes = shaded(seed, loss=loss, gain=0.1)
    inside = np.ones(planes["marker"].shape, bool)
    assert not any(repeats_itself(plane, inside) for plane in planes.values())
    noise = np.random.default_rng(seed).normal(500, 20, (300, 310))
    assert not repeats_itself(noise, inside[:300, :310])
    assert not repeats_itself(np.full((90, 90), 7.0), np.ones((90, 90), bool))
    assert not repeats_itself(noise, np.zeros(noise.shape, bool))
