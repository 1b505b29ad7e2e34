"""Megapixels per second of the compact network on dense cells, against Cellpose's own way.

One image, one network, one process, printed as ratios:

* ours: windows, network, decoding and labels as ``fociquant segment`` does them;
* Cellpose's way: the same network in Cellpose's tiling and ``compute_masks`` with its
  defaults (tiles of 256 px that overlap by 10 %, 200 steps, flow check at 0.4).

Run it on an otherwise idle machine::

    python benchmarks/segment_speed.py [--size 2048] [--threads 2] [--repeat 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from cellpose import core, dynamics

from fociquant.segment import load_segmenter
from fociquant.segment.compact import embedded_weights, load_compact
from fociquant.segment.objects import decode_cell
from fociquant.segment.scaling import compress, to_unit
from fociquant.segment.windows import FlowField, WindowCache
from fociquant.settings import SegmentSettings
from fociquant.tiling import Lattice


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


def ours(image: np.ndarray, threads: int) -> int:
    """Objects found by fociquant's path."""
    segmenter = load_segmenter("compact", device="cpu")
    info = segmenter.info
    lattice = Lattice(image.shape, info.window_core_px, info.window_margin_px, info.fixed_window)

    def read(box, /):
        rows, columns = box.slices
        return np.stack([image[rows, columns], np.zeros(box.shape, np.float32)])

    scale = (float(np.percentile(image, 2)), float(np.percentile(image, 99.8)))
    cache = WindowCache(256 * 2**20)
    field = FlowField("dense", read, lattice, [scale, None], segmenter, cache)
    cells = [cell for block in lattice.blocks(1) for cell in block.cells]

    def count(cell) -> int:
        found = decode_cell(field, lattice, cell, settings=SegmentSettings(), min_area_px=15)
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
    labels = dynamics.compute_masks(flows, output[0, :, :, 2], niter=200, flow_threshold=0.4)
    return int(labels.max())


def timed(
    work: Callable[[np.ndarray, int], int], image: np.ndarray, threads: int
) -> tuple[float, int]:
    """Seconds and objects of one run."""
    begin = time.perf_counter()
    found = work(image, threads)
    return time.perf_counter() - begin, found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    chosen = parser.parse_args()
    image = dense_nuclei(chosen.size)
    timed(ours, image[:512, :512], chosen.threads)
    mine = [timed(ours, image, chosen.threads) for _ in range(chosen.repeat)]
    peer = [timed(cellpose_way, image, chosen.threads) for _ in range(max(1, chosen.repeat // 2))]
    megapixels = image.size / 1e6
    seconds = {name: statistics.median(t for t, _ in runs) for name, runs in
               (("ours", mine), ("cellpose", peer))}  # fmt: skip
    answer = {
        "megapixels": round(megapixels, 2),
        "threads": chosen.threads,
        "precision": load_segmenter("compact", device="cpu").info.precision,
        "ours_megapixels_per_s": round(megapixels / seconds["ours"], 3),
        "cellpose_way_megapixels_per_s": round(megapixels / seconds["cellpose"], 3),
        "ratio": round(seconds["cellpose"] / seconds["ours"], 2),
        "objects_ours": mine[0][1],
        "objects_cellpose_way": peer[0][1],
    }
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
