"""Noise, shapes and packing: the parts sections are made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from fociquant.model import Box
from fociquant.testing.lung.canvas import Canvas
from fociquant.testing.lung.cells import draw_cells, focus_labels, pack
from fociquant.testing.lung.epithelium import lining_marker
from fociquant.testing.lung.noise import (
    TEXTURE_PX,
    hash01,
    hash_columns,
    noise_at,
    noise_grid,
    texture_window,
)
from fociquant.testing.lung.recipe import CellLook, Light, LungRecipe, TissueLook
from fociquant.testing.lung.tissue import Outline, Tissue


def test_hashes_are_uniform_and_depend_on_every_part() -> None:
    i, j = np.mgrid[-100:100, -100:100]
    values = hash01(7, i, j)
    assert values.shape == i.shape and values.min() >= 0 and values.max() < 1
    assert values.mean() == pytest.approx(0.5, abs=0.01)
    assert values.std() == pytest.approx(12**-0.5, abs=0.01)
    for other in (hash01(8, i, j), hash01(7, j, i + 1), hash_columns(7, 1, i.ravel(), j.ravel())):
        assert abs(np.corrcoef(values.ravel(), other.ravel())[0, 1]) < 0.02


def test_noise_is_the_same_on_a_grid_and_at_points() -> None:
    ys, xs = np.linspace(-50, 90, 23), np.linspace(-10, 300, 31)
    y, x = np.meshgrid(ys, xs, indexing="ij")
    grid = noise_grid(ys, xs, 13.0, 5)
    np.testing.assert_allclose(grid.ravel(), noise_at(y.ravel(), x.ravel(), 13.0, 5), atol=1e-5)


def test_noise_has_the_documented_spread() -> None:
    field = noise_grid(np.arange(0, 4000, 5.0), np.arange(0, 4000, 5.0), 20.0, 1)
    assert field.mean() == pytest.approx(0.5, abs=0.02)
    assert field.std() == pytest.approx(0.2, abs=0.02)
    assert field.min() >= 0 and field.max() <= 1


@given(y=st.integers(-2000, 2000), x=st.integers(-2000, 2000), n=st.sampled_from([5, 200, 300]))
def test_texture_windows_are_periodic(y: int, x: int, n: int) -> None:
    window = texture_window(y, x, (n, n), scale_px=2)
    np.testing.assert_array_equal(
        window, texture_window(y + TEXTURE_PX, x - TEXTURE_PX, (n, n), scale_px=2)
    )
    np.testing.assert_array_equal(
        window[1:, 2:], texture_window(y + 1, x + 2, (n - 1, n - 2), scale_px=2)
    )


@given(
    y=st.integers(-3000, 3000),
    x=st.integers(-3000, 3000),
    px_um=st.sampled_from([0.1, 0.325, 0.5, 1.0, 4.0]),
)
def test_a_canvas_holds_its_box_on_the_coarse_lattice(y: int, x: int, px_um: float) -> None:
    box = Box(y, x, y + 37, x + 5)
    canvas = Canvas.around(box, px_um=px_um, margin_um=7.0)
    assert canvas.box.contains(box.expand(int(7.0 / px_um)))
    assert canvas.box.y0 % canvas.step == canvas.box.x0 % canvas.step == 0
    assert canvas.shape[0] % canvas.step == canvas.shape[1] % canvas.step == 0


def test_upsampling_is_linear_between_nodes() -> None:
    canvas = Canvas.around(Box(0, 0, 40, 50), px_um=0.325, margin_um=3)
    plane = 2 * canvas.node_y[:, None] - canvas.node_x[None, :]
    full = canvas.upsample(plane)
    y = (canvas.box.y0 + np.arange(canvas.shape[0]) + 0.5) * 0.325
    x = (canvas.box.x0 + np.arange(canvas.shape[1]) + 0.5) * 0.325
    np.testing.assert_allclose(full, 2 * y[:, None] - x[None, :], atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 7, 60, 500])
def test_packed_cells_are_many_close_and_not_on_each_other(n: int) -> None:
    places = pack(np.random.default_rng(n), n, spacing_um=10.0, lobes=0.25)
    assert places.shape == (n, 2)
    if n > 1:
        nearest = cKDTree(places).query(places, k=2)[0][:, 1]
        assert nearest.min() > 4.0
        assert np.median(nearest) == pytest.approx(9.3, abs=1.5 if n > 2 else 4)


def test_cells_of_a_focus_share_borders_and_have_their_size() -> None:
    look, rng = CellLook(), np.random.default_rng(5)
    places = pack(rng, 60, spacing_um=look.packing * look.diameter_um, lobes=0.2)
    labels, _, cells = focus_labels(draw_cells(rng, look, places), look, px_um=0.5)
    assert len(np.unique(labels)) - 1 == len(cells) >= 57
    area = np.bincount(labels.ravel())[1:] * 0.25
    full = np.pi / 4 * look.diameter_um**2
    assert 0.6 * full < np.median(area) < 1.05 * full
    left, right = labels[:, :-1], labels[:, 1:]
    neighbours = {
        (a, b) for a, b in zip(left.ravel(), right.ravel(), strict=True) if a and b and a != b
    }
    assert len(neighbours) > 60


def lining_of(border: float, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Marker of the lining, and the depth in it, of a lung full of airways."""
    look = TissueLook(airway_spacing_um=260.0, airway_probability=1.0)
    recipe = LungRecipe(tissue=look, light=Light(marker_epithelium_border=border))
    tissue = Tissue(look, seed=5, outline=Outline())
    canvas = Canvas.around(box, px_um=0.5, margin_um=0.0)
    epithelium = tissue.maps(canvas).epithelium
    assert epithelium is not None
    return lining_marker(recipe, tissue, canvas, epithelium), canvas.upsample(epithelium)


def test_cells_of_an_airway_lining_are_brighter_where_they_touch() -> None:
    box = Box(400, 400, 1400, 1400)
    even, depth = lining_of(0.0, box)
    striped, _ = lining_of(1.0, box)
    inside = depth > 2.0  # away from the apical and the basal border
    assert inside.sum() > 5000
    assert even[inside].std() == 0.0
    assert not striped[depth < -2.5].any() and not even[depth < -2.5].any()
    low, high = np.percentile(striped[inside], [10, 98])
    assert high > 2 * low
    share = np.mean(striped[inside] > 0.6)
    assert 0.1 < share < 0.45  # two borders of 0.7 µm to a cell some 6 µm wide


def test_an_airway_lining_is_the_same_in_every_window() -> None:
    whole, _ = lining_of(0.7, Box(400, 400, 1400, 1400))
    part, _ = lining_of(0.7, Box(800, 700, 1100, 1200))
    step = Canvas.around(Box(0, 0, 9, 9), px_um=0.5, margin_um=0.0).step
    corner = [edge // step * step for edge in (800, 700)]
    origin = [edge // step * step for edge in (400, 400)]
    y, x = (a - b for a, b in zip(corner, origin, strict=True))
    same = whole[y : y + part.shape[0], x : x + part.shape[1]]
    np.testing.assert_allclose(part, same, atol=1e-5)
