"""Steps of light between camera fields: measured where there are some, and only there."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fociquant.model import FieldSteps
from fociquant.prepare.dark import dark_levels
from fociquant.prepare.shading import find_shading
from fociquant.prepare.steps import find_steps, measure_steps, step_warnings
from fociquant.prepare.stitching import Axis, Fields
from fociquant.testing.lung import Artefacts, LungRecipe, SectionScene
from fociquant.units import PixelSize

ROLES = ("marker", "nucleus", "autofluorescence")
FACTOR, OVERVIEW_UM = 4, 8.0
DARK = 200.0
EDGE = 450
PIXEL = PixelSize.square(OVERVIEW_UM / FACTOR)


def overview(seed, *, size=1200, **camera):
    """Simulated lung on a grid of 8 µm; fields of 300 µm."""
    recipe = replace(LungRecipe(), artefacts=Artefacts(debris_per_mm2=0.0))
    recipe = replace(recipe, camera=replace(recipe.camera, field_px=150, **camera))
    drawn = SectionScene(
        recipe, shape_px=(size, size), pixel_size_um=2.0, seed=seed, outline="none"
    )
    image = drawn.render(drawn.box)
    edge = size // FACTOR
    means = image.reshape(-1, edge, FACTOR, edge, FACTOR).mean(axis=(2, 4), dtype=np.float64)
    return dict(zip(ROLES, means.astype(np.float32), strict=False))


@pytest.fixture(scope="module")
def lung():
    """The same lung without any field."""
    return overview(11, size=EDGE * FACTOR, shading=0.0, gain_step=0.0)


def gains(shape, *, gain=0.15, period=(33.4, 33.4), origin=(7.3, 21.9), seed=0, dome=0.0):
    """Light of each pixel; and the true median step, percent."""
    turns = [
        (np.arange(size) + 0.5 - start) / width
        for size, width, start in zip(shape, period, origin, strict=True)
    ]
    number = [np.floor(turn).astype(int) + 1 for turn in turns]
    v, u = (2 * (turn - np.floor(turn)) - 1 for turn in turns)
    fields = np.random.default_rng(seed).uniform(-1, 1, [n.max() + 1 for n in number])
    fields = 1 + gain * math.sqrt(3) * fields
    logs = [np.abs(np.diff(np.log(fields), axis=axis)).ravel() for axis in (0, 1)]
    light = fields[np.ix_(*number)] * (1 - dome / 2 * ((v * v)[:, None] + (u * u)[None, :]))
    return light, 100 * math.expm1(float(np.median(np.concatenate(logs))))


def lit(lung, light):
    return {r: (DARK + (p - DARK) * light).astype(np.float32) for r, p in lung.items()}


def find(planes, inside=None, shading=None):
    inside = np.ones(planes["marker"].shape, bool) if inside is None else inside
    return find_steps(planes, inside, shading or {}, pixel_um=OVERVIEW_UM, factor=FACTOR)


def close_to(truth):
    """Within a tenth of it or one percentage point."""
    return pytest.approx(truth, rel=0.1, abs=1.0)


@pytest.mark.parametrize(
    ("seed", "gain", "period"),
    [(0, 0.15, 33.4), (1, 0.10, 33.4), (2, 0.2, 33.4), (3, 0.15, 24.7), (4, 0.15, 47.3)],
)
def test_known_steps_are_recovered(lung, seed, gain, period):
    shape = lung["marker"].shape
    light, truth = gains(shape, gain=gain, period=(period, period), seed=seed)
    found = find(lit(lung, light))
    assert found.period_px == pytest.approx((period * FACTOR, period * FACTOR), rel=0.015)
    assert found.percent["marker"] == close_to(truth)
    assert found.borders > 50
    assert all(found.percent[role] == pytest.approx(truth, rel=0.2) for role in ROLES)
    (text,) = step_warnings(found, PIXEL)
    assert f"typically {found.percent['marker']:.0f} %" in text
    assert f"at {found.borders} borders" in text and "fixed exposure" in text


@pytest.mark.parametrize(("seed", "shading"), [(5, 0.0), (6, 0.1)])
def test_steps_of_the_simulators_camera(seed, shading):
    even = overview(seed, shading=shading, gain_step=0.0)
    stepped = overview(seed, shading=shading, gain_step=0.15)
    found = find(stepped)
    edge = np.arange(300) // 37.5
    ratio = (stepped["nucleus"] - DARK) / (even["nucleus"] - DARK)
    fields = np.array(
        [[np.median(ratio[np.ix_(edge == i, edge == j)]) for j in range(8)] for i in range(8)]
    )
    logs = [np.abs(np.diff(np.log(fields), axis=axis)).ravel() for axis in (0, 1)]
    assert found.borders == 112
    assert found.percent["marker"] == close_to(100 * math.expm1(np.median(np.concatenate(logs))))
    assert found.period_px == pytest.approx((150, 150), rel=0.01)


def test_steps_under_a_lens_that_darkens_its_borders(lung):
    light, truth = gains(lung["marker"].shape, gain=0.15, dome=0.4, seed=5)
    planes = lit(lung, light)
    shading = find_shading(planes, np.ones(planes["marker"].shape, bool), pixel_um=OVERVIEW_UM,
                           factor=FACTOR, tops=dict.fromkeys(planes, math.inf))  # fmt: skip
    assert shading
    found = find(planes, shading=shading)
    assert found.percent["marker"] == pytest.approx(truth, rel=0.2)


def test_a_lens_alone_steps_little_and_is_not_warned_of(lung):
    light, _ = gains(lung["marker"].shape, gain=0.0, dome=0.4)
    planes = lit(lung, light)
    shading = find_shading(planes, np.ones(planes["marker"].shape, bool), pixel_um=OVERVIEW_UM,
                           factor=FACTOR, tops=dict.fromkeys(planes, math.inf))  # fmt: skip
    found = find(planes, shading=shading)
    assert found.percent["marker"] < 3.0 and found.borders > 50
    assert step_warnings(found, PIXEL) == []


def test_blended_borders_and_a_lung_that_is_smaller_than_the_slide(lung):
    light, truth = gains(lung["marker"].shape, seed=6)
    planes = lit(lung, ndimage.uniform_filter(light, 3))
    inside = np.zeros(planes["marker"].shape, bool)
    inside[20:410, 40:430] = True
    for plane in planes.values():
        plane[~inside] = 0.0  # never scanned
    found = find(planes, inside)
    assert found.percent["marker"] == pytest.approx(truth, rel=0.15)
    assert found.borders < find(lit(lung, light)).borders


@pytest.mark.parametrize("axis", [0, 1])
def test_every_other_strip_of_a_line_scanner_is_brighter(lung, axis):
    place = np.floor((np.arange(EDGE) + 0.5 - 9.2) / 36.3).astype(int)
    light = np.where(place % 2 == 0, 1.1, 0.95)
    light = light[:, None] if axis == 0 else light[None, :]
    found = find(lit(lung, light * np.ones((EDGE, EDGE))))
    assert found.period_px[axis] == pytest.approx(36.3 * FACTOR, rel=0.015)
    assert found.period_px[1 - axis] == 0.0
    assert found.percent["marker"] == pytest.approx(100 * (1.1 / 0.95 - 1), rel=0.15)
    assert "µm wide" in step_warnings(found, PIXEL)[0]


@pytest.mark.parametrize("seed", [5, 7])
def test_even_light_has_no_steps(seed):
    for camera in ({"shading": 0.0, "gain_step": 0.0}, {}):
        found = find(overview(seed, **camera))
        assert found is None or found.percent["marker"] < 3.0
        assert step_warnings(found, PIXEL) == []


def test_copies_of_one_scene_are_no_camera_fields(lung):
    block = {role: plane[:75, :75] for role, plane in lung.items()}
    for turned in (np.array, np.fliplr):
        rows = {role: np.hstack([p, turned(p), p, turned(p)]) for role, p in block.items()}
        assert find({role: np.vstack([p] * 4) for role, p in rows.items()}) is None


@given(
    value=st.sampled_from([0.0, 3.0, 65535.0]),
    shape=st.sampled_from([(1, 1), (3, 200), (90, 90), (200, 11)]),
    noise=st.sampled_from([0.0, 4.0]), share=st.sampled_from([0.0, 0.5, 1.0]),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_images_without_fields_or_tissue(value, shape, noise, share):
    rng = np.random.default_rng(0)
    plane = (value + noise * rng.standard_normal(shape)).astype(np.float32)
    inside = np.zeros(shape, bool)
    inside[: round(share * shape[0])] = True
    assert find(dict.fromkeys(ROLES, plane), inside) is None


def test_a_known_grid_without_enough_tissue_has_no_step(lung):
    inside = np.zeros((EDGE, EDGE), bool)
    inside[40:44] = True
    grid = Fields(Axis(33.4, 7.3), Axis(33.4, 21.9))
    found = measure_steps(lung, inside, grid, factor=FACTOR, dark={})
    assert (found.borders, found.percent) == (0, {})
    assert step_warnings(found, PIXEL) == []


@given(offset=st.floats(0, 3000), scale=st.floats(0.3, 8))
@settings(max_examples=4, deadline=None)
def test_neither_offset_nor_exposure_of_the_camera_matters(lung, offset, scale):
    light, _ = gains(lung["marker"].shape, seed=8)
    planes = lit(lung, light)
    moved = {role: (offset + scale * plane).astype(np.float32) for role, plane in planes.items()}
    one, other = find(planes), find(moved)
    # Rounding of single precision may move a border by a pixel.
    assert other.period_px == pytest.approx(one.period_px, rel=0.01)
    assert other.borders == pytest.approx(one.borders, abs=30)
    for role in ROLES:
        assert other.percent[role] == pytest.approx(one.percent[role], rel=0.02)


def test_rows_and_columns_are_alike(lung):
    light, _ = gains(lung["marker"].shape, seed=9, period=(41.2, 30.6))
    planes = lit(lung, light)
    one = find(planes)
    other = find({role: np.ascontiguousarray(plane.T) for role, plane in planes.items()})
    assert other.period_px == one.period_px[::-1] and other.borders == one.borders
    assert other.percent == pytest.approx(one.percent, rel=1e-6)


def test_the_dark_level_is_that_of_the_camera(lung):
    light, _ = gains(lung["marker"].shape, seed=10)
    grid = Fields(Axis(33.4, 7.3), Axis(33.4, 21.9))
    found = dark_levels(lit(lung, light), np.ones(light.shape, bool), grid)
    assert set(found) == set(ROLES)
    for role, level in found.items():
        assert level == pytest.approx(DARK, abs=12), role
    assert dark_levels(lit(lung, light), np.zeros(light.shape, bool), grid) == {}


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({}, True),
        ({"borders": 9}, False),
        ({"percent": {"marker": 4.9}}, False),
        ({"percent": {"nucleus": 30.0}}, False),
        ({"tissue_percent": {"marker": 12.0}}, False),
    ],
)
def test_only_steps_that_are_large_and_more_than_chance_are_told(changes, warned):
    steps = FieldSteps((150.0, 120.0), (3.0, 4.0), 10, {"marker": 5.0}, {"marker": 1.0})
    found = step_warnings(replace(steps, **changes), PIXEL)
    assert len(found) == warned
    if warned:
        assert "(300 x 240 µm)" in found[0]
    assert step_warnings(None, PIXEL) == []
