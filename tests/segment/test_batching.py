"""Windows of many threads fill batches of one size; a device short of memory gets smaller ones."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from fociquant.errors import ModelError
from fociquant.model import Box
from fociquant.segment import devices, load_segmenter
from fociquant.segment.batching import BatchingSegmenter
from fociquant.segment.windows import FlowField, WindowCache
from fociquant.testing.segmenters import UphillSegmenter, check_segmenter
from fociquant.tiling import Lattice


class Device(UphillSegmenter):
    """A GPU that is none: notes its batches, and has memory for some windows only."""

    def __init__(self, *, batch: int = 4, holds: int = 99, error: Exception | None = None) -> None:
        super().__init__(window_core_px=32, batch=batch, fixed_window=True)
        self.batches: list[int] = []
        self.holds, self.error = holds, error
        self.busy, self.most_busy = 0, 0

    def flows(self, windows):
        with self._lock:
            self.batches.append(len(windows))
            self.busy += 1
            self.most_busy = max(self.busy, self.most_busy)
        time.sleep(0.005)
        try:
            if self.error:
                raise self.error
            if len(windows) > self.holds:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")
            return super().flows(windows)
        finally:
            with self._lock:
                self.busy -= 1


def random_windows(number: int, edge: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((number, 2, edge, edge), dtype=np.float32)


def ask_in_threads(segmenter, requests):
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(segmenter.flows, requests))


def test_windows_of_many_threads_fill_one_batch():
    device = Device()
    windows = random_windows(16)
    answers = ask_in_threads(BatchingSegmenter(device, linger_s=5.0), windows[:, None])
    np.testing.assert_array_equal(np.concatenate(answers), UphillSegmenter().flows(windows))
    assert device.batches == [4] * 4


@pytest.mark.parametrize("sizes", [(1,), (9,), (3, 1, 6), (2,) * 7])
def test_every_batch_has_the_same_size(sizes):
    device = Device()
    requests = [random_windows(size, seed=size) for size in sizes]
    answers = ask_in_threads(BatchingSegmenter(device), requests)
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(answer, UphillSegmenter().flows(request))
    assert set(device.batches) == {4} and len(device.batches) <= sum(sizes)


def test_two_batches_are_under_way_at_once_and_no_more():
    device = Device(batch=1)
    ask_in_threads(BatchingSegmenter(device), list(random_windows(30)[:, None]))
    assert device.most_busy == 2


def test_windows_of_different_shapes_are_not_mixed():
    requests = [random_windows(3, edge) for edge in (16, 32, 48, 16, 32)]
    answers = ask_in_threads(BatchingSegmenter(Device()), requests)
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(answer, UphillSegmenter().flows(request))


@pytest.mark.parametrize("holds", [1, 2, 3, 5])
def test_a_batch_that_does_not_fit_is_halved_and_the_work_goes_on(holds, caplog):
    device = Device(batch=8, holds=holds)
    segmenter = BatchingSegmenter(device)
    requests = [random_windows(5, seed=seed) for seed in range(6)]
    answers = ask_in_threads(segmenter, requests)
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(answer, UphillSegmenter().flows(request))
    fitting = {1: 1, 2: 2, 3: 2, 5: 4}[holds]
    assert segmenter.info.batch == fitting and device.batches[-1] == fitting
    assert f"short of memory: batches of {fitting}." in caplog.text


def test_a_device_without_room_for_one_window_is_an_error_for_all():
    segmenter = BatchingSegmenter(Device(holds=0))

    def ask(window):
        with pytest.raises(ModelError, match=r"does not hold one window.*--device cpu"):
            segmenter.flows(window)
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, random_windows(6)[:, None]))


def test_an_error_reaches_everybody_and_the_next_batch_is_computed():
    device = Device(error=RuntimeError("the device fell off the bus"))
    segmenter = BatchingSegmenter(device, linger_s=0.5)
    barrier = threading.Barrier(4, timeout=30)

    def ask(window):
        barrier.wait()
        with pytest.raises(RuntimeError, match="fell off the bus"):
            segmenter.flows(window)
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, random_windows(4)[:, None]))
    device.error = None
    assert segmenter.flows(random_windows(1)).shape == (1, 3, 32, 32)


def test_the_contract_of_segmenters_is_kept():
    check_segmenter(BatchingSegmenter(Device()), windows=3)


def test_sections_share_batches_and_get_their_own_flows():
    images = [np.random.default_rng(seed).normal(900, 300, (100, 130)) for seed in range(3)]
    lattice = Lattice((100, 130), 32, 32, True)

    def field(image, segmenter):
        def read(box, /):
            return np.stack([image[box.slices], np.zeros(box.shape)]).astype(np.float32)

        name = str(id(image))
        return FlowField(name, read, lattice, ((0, 2000), None), segmenter, WindowCache(10**8))

    device = Device(batch=8)
    segmenter = BatchingSegmenter(device, linger_s=0.05)
    whole = Box(0, 0, 100, 130)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda image: field(image, segmenter).over(whole), images))
    for image, flows in zip(images, found, strict=True):
        np.testing.assert_array_equal(flows, field(image, UphillSegmenter()).over(whole))
    assert set(device.batches) == {8} and len(device.batches) <= 12  # 3 × 20 windows


@pytest.mark.parametrize(
    ("gigabytes", "expected"), [(0.1, 1), (0.5, 1), (1, 2), (4, 8), (8, 16), (140, 16)]
)
def test_batches_follow_the_memory_of_the_device(monkeypatch, gigabytes, expected):
    monkeypatch.setattr(devices, "_memory_bytes", lambda _: int(gigabytes * 1e9))
    cuda = torch.device("cuda")
    assert devices.batch_size(cuda, window_bytes=100_000_000, largest=16) == expected


def test_a_cpu_computes_windows_one_by_one():
    assert devices.batch_size(torch.device("cpu"), window_bytes=1, largest=16) == 1


def test_what_counts_as_short_of_memory():
    assert devices.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert devices.is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated …)"))
    assert not devices.is_out_of_memory(RuntimeError("CUDA error: an illegal memory access"))
    devices.free_memory("cpu")


def test_a_network_on_a_device_gets_whole_windows_in_full_batches(monkeypatch):
    # "meta" has shapes and no numbers: what a device is given can be seen without one.
    monkeypatch.setattr(devices, "resolve_device", lambda _: torch.device("meta"))
    monkeypatch.setattr(devices, "_memory_bytes", lambda _: 4 * 10**9)
    segmenter = load_segmenter("compact", device="cuda")
    assert isinstance(segmenter, BatchingSegmenter)
    assert segmenter.info.fixed_window and segmenter.info.batch == 8


def test_a_network_on_a_cpu_is_called_without_detour():
    segmenter = load_segmenter("compact", device="cpu")
    assert not isinstance(segmenter, BatchingSegmenter)
    assert not segmenter.info.fixed_window and segmenter.info.batch == 1
