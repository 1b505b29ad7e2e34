"""Rows of cells: values on known objects, and the promise that they never depend on the array."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import draw, measure

from fociquant.flags import CellFlag
from fociquant.measure import measure_cells, reach_px
from fociquant.settings import MeasureSettings
from fociquant.units import PixelSize

HALF = PixelSize.square(0.5)
ROLES = ("marker", "nucleus", "autofluorescence", "Ki67")


def run(labels, planes=None, owned=None, **over):
    """`measure_cells` with the usual arguments, far from the image's border."""
    labels = np.asarray(labels, np.int32)
    if planes is None:
        planes = {"marker": np.full(labels.shape, 100, np.float32)}
    owned = np.unique(labels[labels > 0]) if owned is None else owned
    defaults = {
        "origin_px": (1000, 2000),
        "pixel_size": HALF,
        "image_shape": (9000, 9000),
        "saturation": {"marker": 65535.0},
        "settings": MeasureSettings(),
    }
    return measure_cells(labels, owned, planes, **(defaults | over))


def disc_labels(shape, *discs):
    labels = np.zeros(shape, np.int32)
    for number, (y, x, radius) in enumerate(discs, 1):
        labels[draw.disk((y, x), radius, shape=shape)] = number
    return labels


def same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Equal to the last bit, labels apart."""
    numbers = [name for name in a if name not in ("label", "outline")]
    return (
        list(a.columns) == list(b.columns)
        and a[numbers].equals(b[numbers])
        and all(np.array_equal(p, q) for p, q in zip(a["outline"], b["outline"], strict=True))
    )


def scattered(seed, shape=(150, 170), count=12):
    """Random ellipses, some touching, and noisy planes with all roles."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for number in range(1, count + 1):
        y, x = rng.uniform(30, shape[0] - 30), rng.uniform(30, shape[1] - 30)
        a, b = rng.uniform(2, 9, 2)
        rows, columns = draw.ellipse(y, x, a, b, shape=shape, rotation=rng.uniform(0, 3))
        free = labels[rows, columns] == 0
        labels[rows[free], columns[free]] = number
    planes = {role: rng.gamma(3.0, 120.0, shape).astype(np.float32) for role in ROLES}
    return labels, planes


@given(st.integers(0, 10_000), st.tuples(*[st.integers(0, 40)] * 4))
@settings(max_examples=25, deadline=None)
def test_row_is_the_same_in_any_array_that_holds_the_object_and_its_ring(seed, margins):
    labels, planes = scattered(seed)
    whole = run(labels, planes)
    reach = reach_px(MeasureSettings(), HALF)
    label = int(whole["label"].iloc[len(whole) // 2])
    ys, xs = np.nonzero(labels == label)
    y0 = max(ys.min() - reach - margins[0], 0)
    x0 = max(xs.min() - reach - margins[1], 0)
    y1, x1 = ys.max() + 1 + reach + margins[2], xs.max() + 1 + reach + margins[3]
    crop = np.s_[y0:y1, x0:x1]
    other_names = np.where(labels[crop] > 0, labels[crop] + 77, 0)
    part = run(
        other_names,
        {role: np.ascontiguousarray(plane[crop]) for role, plane in planes.items()},
        owned=np.array([label + 77]),
        origin_px=(1000 + y0, 2000 + x0),
    )
    assert same(part, whole[whole["label"] == label].reset_index(drop=True))


def test_disc_has_its_position_area_and_shape():
    row = run(disc_labels((80, 80), (40, 35, 10))).iloc[0]
    assert (row.y_um, row.x_um) == ((1000 + 40.5) * 0.5, (2000 + 35.5) * 0.5)
    assert row.area_um2 == pytest.approx(np.pi * 25, rel=0.05)
    assert row.solidity > 0.97
    assert row.eccentricity < 0.1


def test_shape_agrees_with_moments_and_scikit_image():
    labels, _ = scattered(5)
    ours = run(labels)
    theirs = measure.regionprops(labels)
    axes = [  # a pixel is a square: 1/12 px² of its own
        np.linalg.eigvalsh(np.cov(region.coords.T, bias=True) + np.eye(2) / 12) for region in theirs
    ]
    np.testing.assert_allclose(
        ours["eccentricity"], [np.sqrt(1 - minor / major) for minor, major in axes]
    )
    np.testing.assert_allclose(ours["area_um2"], [region.area * 0.25 for region in theirs])
    centres = [(np.add(region.centroid, (1000.5, 2000.5))) * 0.5 for region in theirs]
    np.testing.assert_allclose(ours[["y_um", "x_um"]], centres)


def test_rectangle_is_convex_and_an_airway_lining_is_not():
    labels = np.zeros((120, 120), np.int32)
    labels[10:20, 10:40] = 1
    labels[draw.disk((80, 80), 20)] = 2
    labels[draw.disk((80, 80), 16)] = 0
    table = run(labels)
    assert table["solidity"].iloc[0] > 0.99
    assert table["solidity"].iloc[1] < 0.5


def test_anisotropic_pixels_give_micrometres():
    labels = np.zeros((60, 60), np.int32)
    labels[20:30, 20:40] = 1  # 10 x 2 by 20 x 1 µm: a square
    row = run(labels, pixel_size=PixelSize(2.0, 1.0), origin_px=(0, 0)).iloc[0]
    assert row.area_um2 == 400
    assert row.eccentricity < 0.1
    assert (row.y_um, row.x_um) == (50.0, 30.0)


def test_rows_are_in_order_of_label_and_only_of_owned_ones():
    labels = disc_labels((60, 100), (30, 20, 6), (30, 50, 6), (30, 80, 6))
    assert run(labels, owned=np.array([3, 1])).label.tolist() == [1, 3]


def test_large_label_numbers():
    labels = disc_labels((60, 60), (30, 30, 6)) * 2_000_000_000
    assert run(labels).label.tolist() == [2_000_000_000]


def test_no_object_gives_every_column_with_its_dtype():
    labels = np.zeros((50, 50), np.int32)
    planes = {role: np.ones((50, 50), np.float32) for role in ROLES}
    empty = run(labels, planes)
    full = run(disc_labels((50, 50), (25, 25, 5)), planes)
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_array_without_pixels():
    assert len(run(np.zeros((0, 0), np.int32))) == 0


def test_means_ring_and_peak():
    labels = disc_labels((90, 120), (45, 40, 10), (45, 70, 10))
    plane = np.full(labels.shape, 50, np.float32)
    plane[labels == 1] = 300
    plane[labels == 2] = 9000  # a bright neighbour inside the ring of cell 1
    nucleus = np.where(labels == 1, np.arange(plane.size).reshape(plane.shape), 0)
    planes = {"marker": plane, "nucleus": nucleus.astype(np.float32)}
    row = run(labels, planes).iloc[0]
    assert (row.marker_mean, row.marker_ring) == (300, 50)
    inside = nucleus[labels == 1].astype(np.float32)
    assert row.nucleus_mean == pytest.approx(inside.mean(dtype=float))
    assert row.nucleus_p90 == pytest.approx(np.percentile(inside, 90))


def test_ring_is_where_the_distance_says():
    labels = disc_labels((81, 81), (40, 40, 8))
    distance = ndimage.distance_transform_edt(labels == 0, sampling=0.5) - 0.25
    expected = (labels == 0) & (distance > 2.0) & (distance <= 8.0)
    plane = np.where(expected, 10, 5000).astype(np.float32)
    row = run(labels, {"marker": plane}).iloc[0]
    assert row.ring_px == expected.sum()
    plane[expected] = np.arange(expected.sum())
    assert run(labels, {"marker": plane}).iloc[0].marker_ring == (expected.sum() - 1) / 2


def test_in_a_crowd_the_ring_falls_back_and_says_so():
    labels = np.zeros((120, 120), np.int32)
    labels[5:115, 5:115] = np.kron(np.arange(1, 122).reshape(11, 11), np.ones((10, 10), int))
    plane = np.random.default_rng(0).uniform(200, 300, labels.shape).astype(np.float32)
    table = run(labels, {"marker": plane}).set_index("label")
    assert table.ring_px[61] == 0
    assert 200 <= table.marker_ring[61] < 210
    assert table.ring_px[1] > 0


def test_an_object_filling_the_array_still_gives_finite_numbers():
    row = run(np.ones((12, 12), np.int32), image_shape=(9000, 9000)).iloc[0]
    assert np.isfinite(row.drop("outline").to_numpy(float)).all()
    assert row.ring_px == 0


def test_membrane_stain_is_brighter_at_the_edge():
    labels = disc_labels((80, 80), (40, 40, 12))
    depth = ndimage.distance_transform_edt(labels > 0, sampling=0.5) - 0.25
    shell = (labels > 0) & (depth <= 2.0)
    plane = np.where(shell, 700, 100).astype(np.float32)
    row = run(labels, {"marker": plane}).iloc[0]
    assert (row.marker_edge_mean, row.marker_core_mean) == (700, 100)


def test_an_object_without_core_repeats_its_edge():
    row = run(disc_labels((60, 60), (30, 30, 2))).iloc[0]
    assert row.marker_core_mean == row.marker_edge_mean == 100


def test_pixels_larger_than_shell_and_ring():
    labels = disc_labels((60, 60), (30, 30, 6))
    row = run(labels, pixel_size=PixelSize.square(20.0)).iloc[0]
    assert row.ring_px == 0
    assert row.marker_ring == row.marker_edge_mean == 100


def test_correlation_of_marker_and_autofluorescence():
    labels = disc_labels((60, 140), (30, 30, 9), (30, 70, 9), (30, 110, 9))
    noise = np.random.default_rng(1).normal(500, 50, labels.shape).astype(np.float32)
    marker = np.where(labels == 3, 200, noise).astype(np.float32)
    af = np.where(labels == 2, 1000 - noise, 2 * noise).astype(np.float32)
    table = run(labels, {"marker": marker, "autofluorescence": af})
    np.testing.assert_allclose(table.correlation, [1, -1, 0], atol=1e-4)
    assert run(labels, {"marker": marker}).correlation.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ((0, 0), CellFlag.EDGE),
        ((0, 5), CellFlag.EDGE | CellFlag.OVERSIZE),
        ((5, 5), CellFlag.OVERSIZE),
    ],
)
def test_border_flags(origin, expected):
    labels = np.zeros((60, 60), np.int32)
    labels[0:9, 0:9] = 1
    labels[30:39, 30:39] = 2
    assert run(labels, origin_px=origin)["flags"].tolist() == [expected, 0]


def test_border_flags_at_the_far_end():
    labels = np.zeros((60, 60), np.int32)
    labels[50:60, 20:30] = 1
    assert run(labels, image_shape=(1060, 9000))["flags"].tolist() == [CellFlag.EDGE]
    assert run(labels, image_shape=(1061, 9000))["flags"].tolist() == [CellFlag.OVERSIZE]


def test_more_than_one_percent_saturated():
    labels = np.zeros((60, 120), np.int32)
    labels[20:30, 20:30], labels[20:30, 60:70] = 1, 2
    plane = np.full(labels.shape, 10, np.float32)
    plane[20, 20] = plane[20, 60:62] = 255
    assert run(labels, {"marker": plane}, saturation={"marker": 255.0})["flags"].tolist() == [
        0,
        CellFlag.SATURATED,
    ]
    assert run(labels, {"marker": plane}, saturation={"marker": np.inf})["flags"].tolist() == [0, 0]


def test_pixels_that_are_not_finite_are_left_out():
    labels = disc_labels((80, 80), (40, 40, 9))
    planes = {role: np.full(labels.shape, 100, np.float32) for role in ROLES}
    clean = run(labels, planes)
    for plane in planes.values():
        plane[35:40, 35:38] = np.nan
        plane[20:26, 40] = np.inf
    spoilt = run(labels, planes)
    assert same(clean, spoilt)
    for plane in planes.values():
        plane[:] = np.nan
    nothing = run(labels, planes).iloc[0].drop("outline").to_numpy(float)
    assert np.isfinite(nothing).all()


def test_outline_in_micrometres_encloses_the_cell():
    labels = disc_labels((80, 80), (40, 35, 10))
    table = run(labels)
    outline = table["outline"].iloc[0]
    assert outline.dtype == np.float32
    polygon = shapely.Polygon(outline.reshape(-1, 2))
    assert polygon.area == pytest.approx(table.area_um2.iloc[0] - 0.125, abs=0.01)
    assert polygon.centroid.x == pytest.approx(table.y_um.iloc[0], abs=0.01)
    assert polygon.centroid.y == pytest.approx(table.x_um.iloc[0], abs=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"owned": np.array([9])}, "label 9"),
        ({"owned": np.array([0])}, "label 0"),
        ({"planes": {"nucleus": np.ones((50, 50), np.float32)}}, "marker"),
        ({"planes": {"marker": np.ones((4, 4), np.float32)}}, "marker"),
    ],
)
def test_arguments_that_contradict_each_other(change, message):
    with pytest.raises(ValueError, match=message):
        run(disc_labels((50, 50), (25, 25, 5)), **change)
