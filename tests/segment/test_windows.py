"""The window cache computes once, forgets in time, and hides no error."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fociquant.model import Box
from fociquant.segment.windows import FlowField, WindowCache
from fociquant.testing.segmenters import UphillSegmenter
from fociquant.tiling import Lattice

WINDOW = np.zeros((3, 8, 8), np.float16)


class Counted:
    def __init__(self, *, fail: Exception | None = None) -> None:
        self.calls: list = []
        self.lock, self.fail = threading.Lock(), fail

    def __call__(self, windows):
        with self.lock:
            self.calls += windows
        threading.Event().wait(0.01)
        if self.fail:
            raise self.fail
        return [np.full_like(WINDOW, row * 10 + column) for row, column in windows]


def test_a_window_wanted_by_many_threads_is_computed_once():
    cache, compute = WindowCache(10**6), Counted()
    wanted = [[(i % 4, j) for j in range(3)] for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda w: cache.get("a", w, compute), wanted))
    assert sorted(compute.calls) == sorted({w for windows in wanted for w in windows})
    for windows, outputs in zip(wanted, results, strict=True):
        assert [int(out[0, 0, 0]) for out in outputs] == [r * 10 + c for r, c in windows]


def test_sections_do_not_share_windows():
    cache, compute = WindowCache(10**6), Counted()
    for section in ("a", "b", "a"):
        cache.get(section, [(0, 0)], compute)
    assert compute.calls == [(0, 0), (0, 0)]


def test_a_window_named_twice_in_one_request_is_computed_once():
    compute = Counted()
    first, second = WindowCache(10**6).get("a", [(1, 1), (1, 1)], compute)
    assert first is second and compute.calls == [(1, 1)]


def test_what_is_held_stays_within_the_limit_and_the_oldest_goes_first():
    cache, compute = WindowCache(3 * WINDOW.nbytes), Counted()
    for column in range(5):
        cache.get("a", [(0, column)], compute)
        assert cache._held <= 3 * WINDOW.nbytes
    cache.get("a", [(0, 4), (0, 3), (0, 2)], compute)
    assert len(compute.calls) == 5
    cache.get("a", [(0, 0)], compute)
    assert len(compute.calls) == 6


def test_a_cache_without_room_still_answers():
    outputs = WindowCache(0).get("a", [(0, 1), (0, 2)], Counted())
    assert [int(out[0, 0, 0]) for out in outputs] == [1, 2]


def test_an_error_reaches_every_waiter_and_is_not_kept():
    cache, broken = WindowCache(10**6), Counted(fail=RuntimeError("a bad tile"))
    barrier = threading.Barrier(4)

    def ask(_):
        barrier.wait()
        with pytest.raises(RuntimeError, match="a bad tile"):
            cache.get("a", [(0, 0), (0, 1)], broken)
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))
    (again, _) = cache.get("a", [(0, 0), (0, 1)], Counted())
    assert int(again[0, 0, 0]) == 0


def test_too_few_outputs_are_an_error_not_a_wait_for_ever():
    cache = WindowCache(10**6)
    with pytest.raises(ValueError, match="1 outputs for 2 windows"):
        cache.get("a", [(0, 0), (0, 1)], lambda _: [WINDOW])
    assert len(cache.get("a", [(0, 0)], Counted())) == 1


def field_of(image, *, batch=1, cache_bytes=10**8, core=64, fixed=False, scales=((0, 2000), None)):
    segmenter = UphillSegmenter(window_core_px=core, batch=batch, fixed_window=fixed)
    lattice = Lattice(image.shape, core, 32, fixed)

    def read(box, /):
        return np.stack([image[box.slices], np.zeros(box.shape)]).astype(np.float32)

    return FlowField("s", read, lattice, scales, segmenter, WindowCache(cache_bytes)), segmenter


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (63, 65), (130, 200), (31, 31)])
@pytest.mark.parametrize("fixed", [False, True])
def test_flows_do_not_depend_on_the_box_or_the_batch(shape, fixed):
    image = np.random.default_rng(0).normal(900, 300, shape)
    whole = field_of(image, fixed=fixed)[0].over(Box.of_shape(shape))
    field, _ = field_of(image, batch=3, cache_bytes=0, fixed=fixed)
    rng = np.random.default_rng(1)
    for _ in range(5):
        y, x = (np.sort(rng.choice(size + 1, 2, replace=False)) for size in shape)
        box = Box(int(y[0]), int(x[0]), int(y[1]), int(x[1]))
        np.testing.assert_array_equal(field.over(box), whole[(slice(None), *box.slices)])


def test_flows_of_small_windows_are_those_of_the_whole_image():
    image = np.random.default_rng(0).normal(900, 300, (150, 170))
    tiled = field_of(image)[0].over(Box.of_shape(image.shape))
    whole = field_of(image, core=512)[0].over(Box.of_shape(image.shape))
    np.testing.assert_array_equal(tiled, whole)


def test_windows_are_seen_once_while_they_are_kept():
    field, segmenter = field_of(np.ones((128, 128)))
    field.over(Box(0, 0, 128, 128))
    field.over(Box(10, 10, 120, 120))
    assert segmenter.windows == 4


def test_wild_values_reach_the_network_as_finite_numbers():
    image = np.full((32, 32), 500.0)
    image[3, 4], image[5, 6], image[7, 8], image[9, 9] = np.nan, np.inf, -np.inf, 3e38
    seen = []

    class Looking(UphillSegmenter):
        def flows(self, windows):
            seen.append(windows)
            return super().flows(windows)

    read = lambda box: np.stack([image[box.slices]] * 2).astype(np.float32)  # noqa: E731
    field = FlowField(
        "s", read, Lattice((32, 32)), ((0, 1), (0, 1e-3)), Looking(), WindowCache(10**7)
    )
    assert np.isfinite(field.over(Box(0, 0, 32, 32))).all()
    assert np.isfinite(seen[0]).all() and np.abs(seen[0]).max() < 10


def test_a_stop_ends_the_work_before_the_next_window():
    class StopError(Exception):
        pass

    def stop():
        raise StopError

    segmenter = UphillSegmenter()
    field = FlowField(
        "s", lambda box: np.zeros((2, *box.shape), np.float32), Lattice((64, 64)), (None, None),
        segmenter, WindowCache(10**6), check=stop,
    )  # fmt: skip
    with pytest.raises(StopError):
        field.over(Box(0, 0, 9, 9))
    assert segmenter.windows == 0


def test_threads_that_want_the_same_windows_share_them_in_portions():
    cache, barrier, shares = WindowCache(10**6), threading.Barrier(2, timeout=30), []
    wanted = [(0, column) for column in range(8)]

    def ask(_):
        mine = []

        def compute(windows):
            if not mine:
                barrier.wait()  # both hold a portion before either goes on
            mine.extend(windows)
            return [np.full_like(WINDOW, column) for _, column in windows]

        outputs = cache.get("a", wanted, compute, at_once=2)
        shares.append(mine)
        return [int(out[0, 0, 0]) for out in outputs]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, range(2))) == [list(range(8))] * 2
    assert all(len(share) >= 2 for share in shares)
    assert sorted(shares[0] + shares[1]) == wanted
