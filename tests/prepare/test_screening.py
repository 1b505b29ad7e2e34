"""The map of unexplained marker: what stands out, from which pixels it is made."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fociquant.gate.standout import bar, countable_places, out_of_place
from fociquant.io.pyramid_writer import halve
from fociquant.model import MAP_STEPS, ChannelStats, MarkerMap, SectionFacts
from fociquant.prepare import screening
from fociquant.prepare.linings import remove_linings
from fociquant.prepare.sampling import lattice
from fociquant.prepare.screening import map_factor, map_marker
from fociquant.prepare.soundness import PROBE_TILES, ProbedReader
from fociquant.settings import GateSettings
from fociquant.units import PixelSize

PIXEL = PixelSize.square(0.5)
NOISE = 10.0


class Pixels:
    """An opened image, in memory; remembers which levels were read."""

    def __init__(self, *levels: np.ndarray) -> None:
        self.levels = levels
        self.seen: list[int] = []

    def read(self, box, channels, level=0):
        self.seen.append(level)
        return self.levels[level][:, box.y0 : box.y1, box.x0 : box.x1][list(channels)]


class Believed(ProbedReader):
    """An image of which every level is taken for sound."""

    def is_sound(self, channels, level, reduction):
        return True


def facts_of(shape: tuple[int, int], *, slope: float | None = 0.5) -> SectionFacts:
    """Facts of a section that is tissue everywhere, with a background of 300 counts."""
    stats = ChannelStats(280.0, 900.0, 300.0, 2 * NOISE, NOISE, 65535.0)
    overview = (-(-shape[0] // 16), -(-shape[1] // 16))
    roles = ("marker",) if slope is None else ("marker", "autofluorescence")
    return SectionFacts(
        dict.fromkeys(roles, stats), 1.0, 1.0, np.ones(overview, bool), np.zeros(overview, bool),
        PixelSize.square(8.0), slope,
    )  # fmt: skip


def noise(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return 300.0 + NOISE * np.random.default_rng(seed).normal(size=(2, *shape))


def disc(shape: tuple[int, int], y: float, x: float, diameter: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows + 0.5 - y, columns + 0.5 - x) <= diameter / 2


def mapped(planes: np.ndarray, *coarser: np.ndarray, slope: float | None = 0.5) -> MarkerMap:
    image = Pixels(planes.astype(np.uint16), *(level.astype(np.uint16) for level in coarser))
    roles = {"marker": 0} if slope is None else {"marker": 0, "autofluorescence": 1}
    return map_marker(image, roles, facts_of(planes.shape[1:], slope=slope), pixel_size=PIXEL)


def place(found: MarkerMap, y_px: float, x_px: float) -> tuple[int, int]:
    return int(y_px * 0.5 // found.edge_um[0]), int(x_px * 0.5 // found.edge_um[1])


def test_squares_are_four_micrometres_or_less_and_fit_pyramids():
    sizes = [0.11, 0.325, 0.5, 0.65, 1.0, 3.0, 5.0]
    assert [map_factor(PixelSize.square(um)) for um in sizes] == [32, 8, 8, 4, 4, 1, 1]


def test_nothing_stands_out_of_noise():
    found = mapped(noise((700, 600)))
    assert found.peaks.shape == (11, 10)
    assert found.edge_um == (32.0, 32.0)
    assert bar(found, GateSettings()) == 1.0
    assert not countable_places(found, GateSettings()).any()


@settings(max_examples=25, deadline=None)
@example(y=0.0, x=0.75, diameter=23.0, strength=4.0, gradient=0.0, offset=0.0, seed=1)
@given(
    y=st.floats(0.0, 1.0), x=st.floats(0.0, 1.0), diameter=st.floats(17.0, 40.0),
    strength=st.floats(5.0, 100.0), gradient=st.floats(0.0, 100.0), offset=st.floats(0.0, 20_000.0),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_a_cell_stands_out_wherever_it_lies(y, x, diameter, strength, gradient, offset, seed):
    # Below twice `marker_snr`, 4, it depends on what else stands out; the bar is never higher.
    shape = (330, 290)
    centre = (y * shape[0], x * shape[1])
    planes = noise(shape, seed) + offset
    planes += gradient * np.arange(shape[1]) / shape[1]
    planes[0] += strength * NOISE * disc(shape, *centre, diameter)
    found = mapped(planes)
    at = min(centre[0], shape[0] - 0.5), min(centre[1], shape[1] - 0.5)
    if disc(shape, *centre, diameter).sum() >= 200:
        assert countable_places(found, GateSettings())[place(found, *at)]


def test_what_autofluorescence_explains_does_not_stand_out():
    planes = noise((400, 400))
    glow = 40 * NOISE * disc((400, 400), 200, 200, 30)
    planes += np.stack([0.5 * glow, glow])
    assert not countable_places(mapped(planes), GateSettings()).any()
    planes[0] += 0.9 * glow
    assert countable_places(mapped(planes), GateSettings())[place(mapped(planes), 200, 200)]


def test_without_an_unstained_channel_brightness_alone_decides():
    planes = noise((400, 400))
    planes[0] += 5 * NOISE * disc((400, 400), 100, 300, 24)
    found = mapped(planes, slope=None)
    places = countable_places(found, GateSettings())
    assert places[place(found, 100, 300)]
    assert places.sum() == 9


def test_a_cell_in_solid_bright_tissue_is_compared_with_it():
    planes = noise((512, 512))
    planes += np.array([0.5, 1.0])[:, None, None] * 30 * NOISE
    planes[0] += 4 * NOISE * disc((512, 512), 256, 256, 26)
    found = mapped(planes)
    assert countable_places(found, GateSettings())[place(found, 256, 256)]


@pytest.mark.parametrize("ratio", [1.0, 1.3])
def test_neither_tissue_nor_the_air_in_it_stands_out(ratio):
    # A third of a tile is air; unspecific stain can add to the marker that the slope predicts.
    planes = noise((512, 512))
    glow = np.where(disc((512, 512), 128, 128, 166), 0.0, 400.0)
    planes += np.stack([ratio * 0.5 * glow, glow])
    found = mapped(planes)
    assert not countable_places(found, GateSettings()).any()
    planes[0] += 4 * NOISE * disc((512, 512), 128, 128, 26)
    assert countable_places(mapped(planes), GateSettings())[place(found, 128, 128)]


def test_the_same_map_whatever_the_pieces(monkeypatch):
    planes = noise((900, 700), 3)
    planes[0] += 8 * NOISE * disc((900, 700), 257, 511, 24)
    whole = mapped(planes)
    monkeypatch.setattr(screening, "PIECE_TILES", 1)
    monkeypatch.setattr(screening, "MAX_THREADS", 1)
    pieces = mapped(planes)
    assert np.array_equal(whole.peaks, pieces.peaks)


def pyramid(planes: np.ndarray) -> list[np.ndarray]:
    levels = [planes.astype(np.uint16)]
    while len(levels) < 4:
        levels.append(np.stack([halve(plane, np.dtype(np.uint16)) for plane in levels[-1]]))
    return levels


def test_a_level_of_averages_is_read_instead_of_the_full_resolution():
    planes = noise((1024, 1024), 5)
    planes[0] += 9 * NOISE * disc((1024, 1024), 700, 300, 24)
    levels = pyramid(planes)
    image = Pixels(*levels)
    roles = {"marker": 0, "autofluorescence": 1}
    found = map_marker(image, roles, facts_of((1024, 1024)), pixel_size=PIXEL)
    assert image.seen[-1] == 3
    full = mapped(planes)
    assert np.abs(found.peaks.astype(int) - full.peaks).max() <= 3


def cut_down(planes: np.ndarray, n: int) -> np.ndarray:
    """Means over n x n pixels; what is left over at the far borders is dropped, as by many."""
    height, width = (side // n for side in planes.shape[1:])
    blocks = planes[:, : height * n, : width * n].reshape(2, height, n, width, n)
    return blocks.mean(axis=(2, 4))


@settings(max_examples=25, deadline=None)
@example(height=520, width=513, factors=[8], far=True)
@example(height=514, width=519, factors=[2], far=True)
@given(
    height=st.integers(300, 530), width=st.integers(300, 530),
    factors=st.lists(st.sampled_from([2, 4, 8]), min_size=1, unique=True).map(sorted),
    far=st.booleans(),
)  # fmt: skip
def test_a_level_that_was_rounded_down_shows_the_same(height, width, factors, far):
    planes = noise((height, width), 4)
    centre = (height - 16, width - 20) if far else (150, 130)
    planes[0] += 9 * NOISE * disc((height, width), *centre, 24)
    full, found = mapped(planes), mapped(planes, *(cut_down(planes, n) for n in factors))
    assert found.peaks.shape == full.peaks.shape
    whole = tuple(slice(0, side // 64) for side in (height, width))
    assert np.abs(found.peaks.astype(int) - full.peaks)[whole].max() <= 3
    assert countable_places(found, GateSettings())[place(found, *centre)]


def test_levels_that_are_blank_or_every_nth_pixel_are_not_believed():
    planes = noise((1024, 1024), 6)
    planes[0] += 9 * NOISE * disc((1024, 1024), 700, 300, 24)
    full = mapped(planes)
    blank = [np.zeros_like(level) for level in pyramid(planes)[1:]]
    nearest = [planes[:, :: 1 << n, :: 1 << n] for n in (1, 2, 3)]
    assert np.array_equal(mapped(planes, *blank).peaks, full.peaks)
    assert np.array_equal(mapped(planes, *nearest).peaks, full.peaks)


def test_where_a_level_shows_nothing_the_full_resolution_is_asked():
    shape = (2048, 2048)
    probed = {(box.y0, box.x0) for box in lattice(shape, PROBE_TILES)}
    y, x = next(at for at in np.ndindex(8, 8) if (at[0] * 256, at[1] * 256) not in probed)
    planes = noise(shape, 7)
    planes[0] += 9 * NOISE * disc(shape, 256 * y + 100, 256 * x + 130, 24)
    levels = pyramid(planes)
    for n, level in enumerate(levels[1:], start=1):  # one tile that was never written
        level[:, 256 * y >> n : 256 * (y + 1) >> n, 256 * x >> n : 256 * (x + 1) >> n] = 0
    image = Pixels(*levels)
    roles = {"marker": 0, "autofluorescence": 1}
    found = map_marker(image, roles, facts_of(shape), pixel_size=PIXEL)
    assert image.seen[-2:] == [3, 0]
    assert countable_places(found, GateSettings())[place(found, 256 * y + 100, 256 * x + 130)]


def with_low(facts: SectionFacts, low: float) -> SectionFacts:
    return replace(facts, stats={role: replace(one, low=low) for role, one in facts.stats.items()})


@pytest.mark.parametrize("rows", [(68, 96), (64, 84), (70, 90), (66, 94)])
@pytest.mark.parametrize("low", [280.0, 0.0])
def test_where_a_level_is_blank_in_a_part_of_a_tile_the_full_resolution_is_asked(rows, low):
    planes = noise((1024, 1024), 8)
    middle = 8 * sum(rows) // 2
    for y, x in itertools.product((middle - 40, middle, middle + 40), range(60, 1024, 100)):
        planes[0] += 9 * NOISE * disc((1024, 1024), y, x, 24)
    levels = pyramid(planes)
    levels[3][:, rows[0] : rows[1]] = 0
    roles = {"marker": 0, "autofluorescence": 1}
    facts = with_low(facts_of((1024, 1024)), low)
    image = Pixels(*levels)
    found = map_marker(Believed(image), roles, facts, pixel_size=PIXEL)
    assert image.seen[-1] == 0
    places = countable_places(found, GateSettings())
    for y, x in itertools.product((middle - 40, middle, middle + 40), range(60, 1024, 100)):
        assert places[place(found, y, x)]


@pytest.mark.parametrize(("low", "lung"), [(0.0, True), (280.0, False)])
def test_zeros_of_air_and_zeros_beside_the_lung_are_not_asked_for_again(low, lung):
    y, x = np.mgrid[:1024, :1024]
    air = (y % 120 < 90) & (x % 120 < 90)  # half of the slide in air spaces of 45 um
    planes = np.where(air, 0.0, noise((1024, 1024), 9))
    image = Pixels(*pyramid(planes))
    facts = with_low(facts_of((1024, 1024)), low)
    facts = replace(facts, outline=np.full_like(facts.outline, lung))
    roles = {"marker": 0, "autofluorescence": 1}
    map_marker(Believed(image), roles, facts, pixel_size=PIXEL)
    assert (image.levels[3] == 0).mean() > 0.3
    assert image.seen == [3]


def test_pixels_that_are_not_finite_stand_out_of_nothing():
    planes = noise((300, 300)).astype(np.float32)
    planes[0, 100:140, 100:140] = np.nan
    planes[1, 200:240, 200:240] = np.inf
    image = Pixels(planes)
    roles = {"marker": 0, "autofluorescence": 1}
    found = map_marker(image, roles, facts_of((300, 300)), pixel_size=PIXEL)
    assert not countable_places(found, GateSettings()).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (3, 5), (257, 64)])
def test_small_and_narrow_images(shape):
    found = mapped(noise(shape))
    assert found.peaks.shape == tuple(-(-side // 64) for side in shape)


def ring(radius: float, thickness: float, value: float, shape=(80, 80)) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    away = np.hypot(rows - 40, columns - 40)
    return np.where(np.abs(away - radius) <= thickness / 2, value * MAP_STEPS, 0).astype(np.uint8)


@pytest.mark.parametrize(
    ("steps", "removed"),
    [
        (ring(20, 4, 8), True),
        (ring(20, 4, 8) * (np.arange(80) < 58), False),  # open: cut by the border of the image
        (ring(20, 4, 29), False),  # as bright as labelled cells
        (ring(20, 12, 8), False),  # as thick as a focus
        (ring(4, 3, 8), False),  # no lumen to speak of
    ],
)
def test_only_thin_dim_closed_rings_are_airway_lining(steps, removed):
    left = steps.copy()
    remove_linings(left, square_um=4.0)
    assert left.any() != removed
    assert removed or np.array_equal(left, steps)


def test_a_bright_cell_on_an_airway_stays():
    steps = ring(20, 4, 8)
    steps[38:41, 59:62] = 30 * MAP_STEPS
    remove_linings(steps, square_um=4.0)
    assert (steps == 30 * MAP_STEPS).sum() == 9
    assert np.count_nonzero(steps) == 9


def test_a_net_of_septa_is_no_airway_lining():
    net = np.full((90, 90), 5 * MAP_STEPS, np.uint8)
    for y, x in itertools.product(range(4, 90, 18), repeat=2):
        net[y : y + 14, x : x + 14] = 0
    whole = net.copy()
    remove_linings(whole, square_um=4.0)
    np.testing.assert_array_equal(whole, net)


def test_what_is_at_the_end_of_the_map_s_scale_stays_on_any_ring():
    # Two and a half times the ring's median is more than the map can tell.
    steps = ring(12.0, 3.0, 14 * MAP_STEPS).astype(np.uint8)
    steps[27:30, 39:42] = 255
    remove_linings(steps, square_um=4.0)
    assert (steps[27:30, 39:42] == 255).all() and (steps[50:53, 39:42] == 0).all()


def test_a_dim_cell_beside_an_airway_stays():
    steps = ring(20, 4, 8)
    rows, columns = np.ogrid[:80, :80]
    cell = np.hypot(rows - 40, columns - 64) <= 2.2
    steps[cell] = 5 * MAP_STEPS
    remove_linings(steps, square_um=4.0)
    assert np.count_nonzero(steps) >= 6
    assert steps[40, 65] == 5 * MAP_STEPS
    assert not steps[:, :55].any()


def bar_of(peaks: np.ndarray) -> float:
    return bar(MarkerMap(peaks.astype(np.uint8), (32.0, 32.0)), GateSettings(marker_snr=2.0))


def test_the_bar_follows_the_section_within_limits_of_the_gate():
    texture = np.arange(40_000).reshape(200, 200) * 24 // 40_000
    assert bar_of(np.zeros((200, 200))) == 1.0
    assert bar_of(texture) == pytest.approx(23 / MAP_STEPS)
    cells = texture.copy()
    cells[:30, :30] = 200
    assert bar_of(cells) == 4.0
    cells[:80, :80] = 200  # so full that looking everywhere costs little more
    assert bar_of(cells) == 1.0


@pytest.mark.parametrize("side", [5, 40, 150])
def test_a_single_dim_cell_does_not_set_the_bar_that_it_has_to_pass(side):
    peaks = np.full((side, side), 3, np.uint8)
    peaks[2:4, 2:4] = 14
    found = MarkerMap(peaks, (32.0, 32.0))
    assert bar(found, GateSettings(marker_snr=2.0)) == 1.0
    assert countable_places(found, GateSettings(marker_snr=2.0))[2, 2]
    assert bar_of(np.full((1, 2), 14)) == 1.0


def test_a_looser_rule_for_autofluorescence_than_the_map_s_own_leaves_every_place():
    found = mapped(noise((300, 300)))
    assert countable_places(found, GateSettings(autofluorescence_ratio=1.2)).all()


def test_objects_out_of_place_are_those_far_from_what_stands_out():
    peaks = np.zeros((10, 10), np.uint8)
    peaks[4, 4] = 200
    found = MarkerMap(peaks, (32.0, 32.0))
    objects = pd.DataFrame({"y_um": [140.0, 97.0, 95.0, 400.0], "x_um": [140.0, 97.0, 140.0, 9.0]})
    answer = out_of_place(objects, found, GateSettings())
    assert answer.tolist() == [False, False, True, True]
    assert not out_of_place(objects, None, GateSettings()).any()
