"""Decoding gives Cellpose's labels to the last number, whatever the shape and the steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cellpose import dynamics as cellpose_dynamics
from cellpose import utils as cellpose_utils
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fociquant.segment import dynamics, seeds
from fociquant.segment.decode import decode
from fociquant.segment.devices import single_threaded

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    single_threaded()


def landscape(shape, *, grain: float, seed: int, foreground: float = 0.6) -> np.ndarray:
    """Network output with basins about `grain` px wide: flows uphill of a smooth surface."""
    rng = np.random.default_rng(seed)
    surface = ndimage.gaussian_filter(rng.normal(size=shape), grain / 3, mode="reflect")
    slope = np.stack(np.gradient(surface))
    slope *= 5.0 / np.maximum(np.hypot(*slope), 1e-12)
    noise = ndimage.gaussian_filter(rng.normal(size=shape), 2.0)
    level = np.quantile(noise, 1.0 - foreground)
    return np.concatenate([slope, (noise - level)[None] * 20]).astype(np.float32)


@pytest.fixture(autouse=True, scope="module")
def order_of_equal_seeds():
    """Cellpose leaves the order of equal seeds to the processor: here as fociquant has it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "argsort", lambda counts: torch.argsort(counts, stable=True))
        yield


def cellpose_labels(output: np.ndarray, *, steps=100, min_area_px=15, flow_threshold=0.0):
    with torch.inference_mode(), torch.sparse.check_sparse_tensor_invariants(enable=False):
        labels = cellpose_dynamics.compute_masks(
            np.ascontiguousarray(output[:2]),
            output[2],
            niter=steps,
            cellprob_threshold=0.0,
            flow_threshold=flow_threshold or None,
            min_size=min_area_px,
            max_size_fraction=1.0,
            device=CPU,
        )
    return np.asarray(labels, np.int32)


def own_labels(output: np.ndarray, *, steps=100, min_area_px=15, flow_threshold=0.0):
    return decode(
        output,
        cellprob_threshold=0.0,
        flow_threshold=flow_threshold,
        min_area_px=min_area_px,
        steps=steps,
    )


@pytest.mark.parametrize("steps", [10, 22, 23, 34, 57, 100, 201])
@pytest.mark.parametrize("grain", [5, 12, 40])
def test_labels_are_those_of_cellpose_bit_for_bit(steps, grain):
    output = landscape((150, 210), grain=grain, seed=steps)
    expected = cellpose_labels(output, steps=steps)
    assert expected.max() > 3
    np.testing.assert_array_equal(own_labels(output, steps=steps), expected)


@given(
    height=st.integers(16, 80),
    width=st.integers(16, 80),
    grain=st.floats(3, 30),
    foreground=st.floats(0.05, 0.99),
    min_area_px=st.integers(1, 60),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=25, deadline=None)
def test_labels_are_those_of_cellpose_for_any_shape(
    height, width, grain, foreground, min_area_px, seed
):
    output = landscape((height, width), grain=grain, seed=seed, foreground=foreground)
    np.testing.assert_array_equal(
        own_labels(output, min_area_px=min_area_px),
        cellpose_labels(output, min_area_px=min_area_px),
    )


@pytest.mark.parametrize("threshold", [0.2, 0.4, 1.0])
def test_the_flow_check_is_that_of_cellpose(threshold):
    output = landscape((120, 120), grain=14, seed=5)
    expected = cellpose_labels(output, flow_threshold=threshold)
    np.testing.assert_array_equal(own_labels(output, flow_threshold=threshold), expected)


def test_ends_do_not_depend_on_how_points_are_bundled(monkeypatch):
    output = landscape((90, 130), grain=12, seed=1)
    foreground = output[2] > 0
    whole = dynamics.end_points(output[:2], foreground, 100, CPU)
    with torch.inference_mode():
        expected = cellpose_dynamics.follow_flows(
            output[:2] * foreground / 5.0, inds=np.nonzero(foreground), niter=100, device=CPU
        ).int()
    assert torch.equal(whole, expected)
    for chunk, first, circle in ((1000, 22, 12), (37, 3, 5), (10**6, 99, 1), (4096, 100, 200)):
        monkeypatch.setattr(dynamics, "CHUNK_POINTS", chunk)
        monkeypatch.setattr(dynamics, "FIRST_PAUSE", first)
        monkeypatch.setattr(dynamics, "CIRCLE", circle)
        assert torch.equal(dynamics.end_points(output[:2], foreground, 100, CPU), whole)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=200))
@settings(max_examples=50, deadline=None)
def test_merged_points_give_all_points_back(pairs):
    points = torch.tensor(pairs, dtype=torch.float32)
    kept, link = dynamics._merge(points)
    assert torch.equal(kept[link], points) and len(kept) <= len(points)


def test_equal_points_are_merged():
    points = torch.rand(500, 2).repeat(40, 1)
    kept, _ = dynamics._merge(points)
    assert len(kept) < 2000


@given(seed=st.integers(0, 10**6), objects=st.integers(1, 12), smallest=st.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_holes_and_small_objects_are_treated_as_by_cellpose(seed, objects, smallest):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, objects + 1, (12, 12))
    labels = np.kron(blocks, np.ones((3, 3), np.int64))
    labels[rng.random(labels.shape) < 0.1] = 0
    labels[0] = 0  # Cellpose takes the lowest value for the background
    labels = seeds._renumbered(labels.ravel()).reshape(labels.shape)
    expected = cellpose_utils.fill_holes_and_remove_small_masks(labels.copy(), min_size=smallest)
    np.testing.assert_array_equal(seeds.tidy(labels, smallest), expected)


def test_what_lies_in_a_hole_becomes_part_of_the_object_around_it():
    labels = np.zeros((40, 40), np.int32)
    labels[2:30, 3:28], labels[5:20, 6:20], labels[9:15, 9:14] = 1, 0, 2
    labels[32:38, 30:39] = 3
    done = seeds.tidy(labels, 5)
    expected = np.zeros((40, 40), np.int32)
    expected[2:30, 3:28], expected[32:38, 30:39] = 1, 2
    np.testing.assert_array_equal(done, expected)


def test_an_open_ring_keeps_its_inside():
    labels = np.zeros((20, 20), np.int32)
    labels[4:16, 4:16], labels[7:13, 7:13], labels[9, 4:8] = 1, 0, 0
    np.testing.assert_array_equal(seeds.tidy(labels.copy(), 1), labels)


def test_image_full_of_one_object_is_one_object():
    labels = seeds.tidy(np.ones((20, 30), np.int32), 15)
    assert (labels == 1).all()


def test_pixels_that_meet_nowhere_are_no_objects():
    output = np.zeros((3, 60, 60), np.float32)
    output[2] = 1.0
    assert not own_labels(output).any()


def test_no_pixels_no_objects():
    assert not seeds.tidy(np.zeros((5, 5), np.int32), 9).any()
    ends = np.empty((2, 0), np.int32)
    assert not seeds.labels_from_ends(ends, np.zeros((5, 5), bool)).any()
