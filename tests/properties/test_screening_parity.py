"""A screened section counts exactly what an exhaustive one counts, whatever is on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from fociquant.gate import gate_objects
from fociquant.model import Section
from fociquant.prepare import prepare_section
from fociquant.run.blocks import count_cell, flow_field, no_rows
from fociquant.run.merging import merge
from fociquant.run.plan import Keys, SectionPlan, screening_settings
from fociquant.run.screening import asked_places, cells_worth_counting, places_of
from fociquant.segment.windows import WindowCache
from fociquant.settings import Settings
from fociquant.testing.segmenters import UphillSegmenter
from fociquant.tiling import AnalysisGrid, Lattice
from fociquant.units import PixelSize

PIXEL = PixelSize.square(1.0)
SETTINGS = Settings()


class Pixels:
    """An opened image, in memory."""

    def __init__(self, planes: np.ndarray) -> None:
        self.levels = [planes]
        self.shape = planes.shape

    def read(self, box, channels, level=0):
        return self.levels[level][:, box.y0 : box.y1, box.x0 : box.x1][list(channels)]


@dataclass(frozen=True)
class Scene:
    shape: tuple[int, int]
    cells: tuple[tuple[float, float, float, float], ...]
    """(y, x) as parts of the shape, diameter px, marker in noises."""
    noise: float
    background: float
    gradient: float
    texture: float
    glow: tuple[tuple[float, float, float], ...]
    level: float
    unstained: bool
    saturated: bool
    floats: bool
    seed: int


def unit() -> st.SearchStrategy[float]:
    return st.floats(0.0, 1.0)


SCENES = st.builds(
    Scene,
    shape=st.tuples(st.integers(40, 420), st.integers(40, 420)),
    cells=st.lists(
        st.tuples(unit(), unit(), st.floats(4.0, 40.0), st.floats(1.0, 200.0)), max_size=3
    ).map(tuple),
    noise=st.floats(1.0, 20.0),
    background=st.floats(0.0, 20_000.0),
    gradient=st.floats(0.0, 50.0),
    texture=st.floats(0.0, 6.0),
    glow=st.lists(st.tuples(unit(), unit(), st.floats(5.0, 60.0)), max_size=2).map(tuple),
    level=st.floats(0.2, 0.9),
    unstained=st.booleans(),
    saturated=st.booleans(),
    floats=st.booleans(),
    seed=st.integers(0, 99),
)


def paint(scene: Scene) -> np.ndarray:
    """Marker and autofluorescence of a scene."""
    rng = np.random.default_rng(scene.seed)
    y, x = np.mgrid[: scene.shape[0], : scene.shape[1]].astype(float)

    def disc(cy: float, cx: float, diameter: float) -> np.ndarray:
        away = np.hypot(y - cy * scene.shape[0], x - cx * scene.shape[1])
        return np.clip(diameter / 2 - away + 0.5, 0.0, 1.0) * (2.0 - away / diameter)

    light = gaussian_filter(rng.normal(size=scene.shape), 4.0)
    light = scene.texture * light / max(light.std(), 1e-9) + scene.gradient * x / scene.shape[1]
    for cy, cx, diameter in scene.glow:
        light += 60.0 * disc(cy, cx, diameter)
    marker = 0.6 * light
    for cy, cx, diameter, strength in scene.cells:
        marker = marker + strength * disc(cy, cx, diameter)
    planes = np.stack([marker, light]) * scene.noise + scene.background
    planes += rng.normal(size=planes.shape) * scene.noise
    if scene.saturated:
        planes = np.minimum(planes, np.percentile(planes, 99.0))
    planes = np.clip(planes, 0, 65535)
    planes = planes.astype(np.float32) if scene.floats else planes.astype(np.uint16)
    if scene.saturated and not scene.floats:
        planes[planes == planes.max()] = 65535
    return planes


def planned(planes: np.ndarray, *, unstained: bool) -> SectionPlan:
    roles = {"marker": 0} | ({"autofluorescence": 1} if unstained else {})
    shape = planes.shape[1:]
    return SectionPlan(
        Section("s", Path("s.tif"), "s.tif", "m", "g", 1.0), Pixels(planes), roles,
        {role: role for role in roles}, PIXEL, AnalysisGrid(shape, 1.0, 1.0),
        Lattice(shape, window_core_px=64, decode_core_px=64, decode_halo_px=48),
        Keys("", "", "", ""),
    )  # fmt: skip


def rows_of(
    plan: SectionPlan, facts, segmenter, *, near: np.ndarray | None = None
) -> dict[tuple[int, int], pd.DataFrame]:
    """Measured objects of every decode cell, those near the places that are asked for."""
    cache = WindowCache(2**26)
    flows = flow_field(plan, facts.stats, facts.unmixing, segmenter, cache, check=lambda: None)
    lattice = plan.lattice
    return {
        cell: count_cell(
            plan, facts.stats, flows, cell, SETTINGS,
            places=places_of(near, facts, lattice, [cell], pixel=PIXEL),
        )
        for cell in np.ndindex(*lattice.cells)
    }  # fmt: skip


def counted(plan: SectionPlan, facts, rows, mask: np.ndarray) -> pd.DataFrame:
    """The counted objects of the decode cells in `mask`."""
    parts = [part for cell, part in rows.items() if mask[cell]]
    objects = merge(parts or [no_rows(plan.roles, PIXEL, SETTINGS)], plan.lattice)
    gated = gate_objects(
        objects, facts, phenotypes=(), settings=SETTINGS.gate, pixel_area_um2=PIXEL.area_um2
    )
    positive = gated[gated["positive"]].drop(columns=["cell"])
    for name in ("outline", "mask_bits"):
        positive[name] = [np.asarray(value).tobytes() for value in positive[name]]
    return positive.reset_index(drop=True)


def compare(scene: Scene) -> tuple[np.ndarray, pd.DataFrame]:
    plan = planned(paint(scene), unstained=scene.unstained)
    facts = prepare_section(plan.image, plan.roles, PIXEL, SETTINGS.prepare).facts
    assert facts.marker_map is not None
    segmenter = UphillSegmenter(level=scene.level, window_core_px=64)
    rows = rows_of(plan, facts, segmenter)
    seen = screening_settings(SETTINGS)
    mask = cells_worth_counting(plan, facts, seen, check=lambda: None)
    every = np.ones(plan.lattice.cells, bool)
    exhaustive = counted(plan, facts, rows, every)
    near = asked_places(facts, seen)
    screened = counted(plan, facts, rows_of(plan, facts, segmenter, near=near), mask)
    same_kinds = len(exhaustive) > 0  # a column of no values has no kind
    pd.testing.assert_frame_equal(screened, exhaustive, check_exact=True, check_dtype=same_kinds)
    return mask, exhaustive


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCENES)
def test_screened_sections_count_the_same_rows(scene):
    compare(scene)


DIM = Scene(
    shape=(450, 460), cells=((0.31, 0.52, 12.0, 6.0),), noise=10.0, background=400.0,
    gradient=3.0, texture=3.0, glow=((0.8, 0.2, 20.0), (0.5, 0.8, 30.0)), level=0.35,
    unstained=True, saturated=False, floats=False, seed=4,
)  # fmt: skip


def test_one_dim_cell_is_counted_and_most_of_the_section_is_skipped():
    mask, positive = compare(DIM)
    assert len(positive) == 1
    assert positive.loc[0, "y_um"] == pytest.approx(0.31 * 450, abs=2.0)
    assert mask.mean() < 0.5


def test_a_section_of_noise_needs_no_decode_cell():
    mask, positive = compare(replace(DIM, cells=(), glow=(), texture=0.0, gradient=0.0))
    assert not mask.any()
    assert positive.empty
