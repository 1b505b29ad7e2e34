"""Megapixels per second of the compact network on dense cells, against Cellpose's own way.

One image, one network, one process, printed as ratios:

* ours: windows, network, decoding and labels as ``fociquant segment`` does them;
* Cellpose's way: the same network in Cellpose's tiling and ``compute_masks`` with its
  defaults (tiles of 256 px that overlap by 10 %, 200 steps, flow check at 0.4).

Seconds of processor time say what is needed where the machine has other work to do; for
megapixels per second run it on an otherwise idle machine::

    python benchmarks/segment_speed.py [--size 2048] [--threads 2] [--repeat 3] [--ours-only]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from cellpose import core, dynamics

from fociquant.segment import load_segmenter
from fociquant.segment.compact import load_compact
from fociquant.segment.contract import Segmenter
from fociquant.segment.decode import decode
from fociquant.segment.devices import single_threaded
from fociquant.segment.late import embedded_weights
from fociquant.segment.objects import corrected, decode_cell
from fociquant.segment.scaling import compress, to_unit
from fociquant.segment.second_look import second_look_for
from fociquant.segment.windows import FlowField, WindowCache
from fociquant.settings import SegmentSettings
from fociquant.tiling import Lattice

SMALLEST_PX = 15
"""Smaller objects are dropped, as by default in Cellpose."""


def dense_nuclei(size: int, *, spacing: float = 26.0, seed: int = 0) -> np.ndarray:
    """A field of about `size` squared px packed with 20-px nuclei, raw counts, float32."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size), 200.0, np.float32)
    grid = np.arange(spacing / 2, size, spacing)
    reach = np.arange(-14, 15)
    for y in grid:
        for x in grid:
            cy, cx = np.array([y, x]) + rng.uniform(-3.0, 3.0, 2)
            ry, rx = rng.uniform(8.0, 11.5, 2)
            rows, columns = int(cy) + reach, int(cx) + reach
            rows = rows[(rows >= 0) & (rows < size)]
            columns = columns[(columns >= 0) & (columns < size)]
            inside = ((rows[:, None] - cy) / ry) ** 2 + ((columns[None, :] - cx) / rx) ** 2
            patch = 1500.0 * rng.uniform(0.6, 1.2) / (1.0 + np.exp(8.0 * (inside - 1.0)))
            image[np.ix_(rows, columns)] += patch
    return image + rng.normal(0.0, 25.0, image.shape).astype(np.float32)


@cache
def _network() -> Segmenter:
    """Loaded once: megapixels per second are those of a long run."""
    return load_segmenter("compact", device="cpu")


def flow_field(image: np.ndarray) -> tuple[FlowField, Lattice]:
    """The network's output over `image`, nothing computed yet."""
    segmenter = _network()
    info = segmenter.info
    lattice = Lattice(image.shape, info.window_core_px, info.window_margin_px, info.fixed_window)

    def read(box, /):
        rows, columns = box.slices
        return np.stack([image[rows, columns], np.zeros(box.shape, np.float32)])

    scale = (float(np.percentile(image, 2)), float(np.percentile(image, 99.8)))
    cache = WindowCache(256 * 2**20)
    return FlowField("dense", read, lattice, [scale, None], segmenter, cache), lattice


def ours(image: np.ndarray, threads: int) -> int:
    """Objects found by fociquant's path."""
    field, lattice = flow_field(image)
    cells = [cell for block in lattice.blocks(1) for cell in block.cells]
    look = second_look_for(_network().info)

    def count(cell) -> int:
        settings = SegmentSettings()
        found = decode_cell(field, lattice, cell, settings=settings, min_area_px=SMALLEST_PX)
        if look is not None:
            found = corrected(found, lattice.cell_core(cell), look)
        return len(found.reported)

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(count, cells))


class _AsCellpose(torch.nn.Module):
    """The compact network with the call and the attributes that Cellpose's tiling expects."""

    def __init__(self) -> None:
        super().__init__()
        self.net = load_compact(embedded_weights())
        self.device, self.dtype = torch.device("cpu"), torch.float32

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.net(x), torch.zeros(len(x), 256)


def cellpose_way(image: np.ndarray, threads: int) -> int:
    """Objects found by the same network in Cellpose's tiling and decoding."""
    torch.set_num_threads(threads)
    low, high = np.percentile(image, 2), np.percentile(image, 99.8)
    planes = np.stack([compress(to_unit(image, low, high)), np.zeros_like(image)], axis=-1)
    output, _ = core.run_net(_AsCellpose(), planes[None], bsize=256, batch_size=8)
    flows = np.ascontiguousarray(output[0, :, :, :2].transpose(2, 0, 1))
    with torch.sparse.check_sparse_tensor_invariants(enable=False):
        labels = dynamics.compute_masks(flows, output[0, :, :, 2], niter=200, flow_threshold=0.4)
    return int(labels.max())


class Time(NamedTuple):
    """Seconds on the clock and of all processors, and objects of one run."""

    clock_s: float
    processor_s: float
    objects: int


def timed(work: Callable[[np.ndarray, int], int], image: np.ndarray, threads: int) -> Time:
    """One run, timed."""
    begin, used = time.perf_counter(), time.process_time()
    found = work(image, threads)
    return Time(time.perf_counter() - begin, time.process_time() - used, found)


def phases(image: np.ndarray) -> dict[str, float]:
    """Processor seconds per megapixel of the parts of our path, on one thread."""
    field, lattice = flow_field(image)
    cells = [cell for block in lattice.blocks(1) for cell in block.cells]
    begin = time.thread_time()
    field.over(lattice.image)
    network = time.thread_time()
    regions = [field.over(lattice.cell_region(cell)) for cell in cells]
    assembled = time.thread_time()
    found = [
        decode(
            region, cellprob_threshold=0.0, flow_threshold=0.0, min_area_px=SMALLEST_PX, steps=100
        )
        for region in regions
    ]
    decoded = time.thread_time()
    look = second_look_for(_network().info)
    for labels, region in zip(found, regions, strict=True):
        if look is not None:
            look(labels, region)
    looked = time.thread_time()
    parts = {
        "windows and network": network - begin, "assembly": assembled - network,
        "dynamics and labels": decoded - assembled, "second look": looked - decoded,
    }  # fmt: skip
    return {name: round(1e6 * seconds / image.size, 3) for name, seconds in parts.items()}


def summary(name: str, runs: list[Time], megapixels: float) -> dict[str, float]:
    """Median rate and best processor time of several runs."""
    clock = statistics.median(run.clock_s for run in runs)
    return {
        f"{name}_megapixels_per_s": round(megapixels / clock, 3),
        f"{name}_processor_s_per_megapixel": round(
            min(run.processor_s for run in runs) / megapixels, 3
        ),
        f"{name}_objects": runs[0].objects,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--ours-only", action="store_true")
    chosen = parser.parse_args()
    single_threaded()
    image = dense_nuclei(chosen.size)
    megapixels = image.size / 1e6
    timed(ours, image, chosen.threads)
    mine = [timed(ours, image, chosen.threads) for _ in range(chosen.repeat)]
    answer: dict[str, object] = {
        "megapixels": round(megapixels, 2),
        "threads": chosen.threads,
        "precision": load_segmenter("compact", device="cpu").info.precision,
        "phases_processor_s_per_megapixel": phases(image),
        **summary("ours", mine, megapixels),
    }
    if not chosen.ours_only:
        peer = timed(cellpose_way, image, chosen.threads)
        answer |= summary("cellpose_way", [peer], megapixels)
        ours_s = statistics.median(run.clock_s for run in mine)
        answer["ratio"] = round(peer.clock_s / ours_s, 2)
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
