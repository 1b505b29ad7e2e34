"""Other ways to segment a slide, all with our network in them, each run in a process of its own.

Every one gets what ours gets: the section-wide scale of the intensities, the same threshold,
steps of the dynamics and smallest object. What is left is how a slide is cut and put together.
Slides are given to them as they want them (Zarr); making that is not in their time.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

BLOCK_PX = 2048
SURROUNDINGS_PX = 32
"""What taking autofluorescence off the marker looks at beside a pixel, and more."""
OVERLAP_PX = 60
"""Two diameters of 30 px, as Cellpose's ``distributed_eval`` takes it."""

SAME_SETTINGS = {
    "normalize": {"lowhigh": [0.0, 1.0]}, "channel_axis": -1, "cellprob_threshold": 0.0,
    "flow_threshold": 0.0, "niter": 100, "min_size": 48,
}  # fmt: skip
"""Of ``CellposeModel.eval``; the defaults of :mod:`fociquant.settings` at 0.5 µm per pixel."""

OWN_SETTINGS = {name: SAME_SETTINGS[name] for name in ("normalize", "channel_axis")}
"""Cellpose's defaults for the rest: its flow check, 200 steps."""

TILINGS = {"own": 0.1, "half": 0.5, "one": None}
"""Overlap of Cellpose's tiles of 256 px: its default, the most that it takes; None: one tile."""


def decode(image: Path, threads: int, **_: Any) -> dict[str, Any]:
    """Every page of the full resolution, once; the clock starts after the imports."""
    import tifffile

    with tifffile.TiffFile(image) as file, _clock() as took:
        for page in file.series[0].pages:
            page.asarray(maxworkers=threads)
    return took


def scales(image: Path, **_: Any) -> dict[str, Any]:
    """What our runs make of marker and nucleus: black and white, and what is taken off."""
    from fociquant.io import open_image
    from fociquant.prepare import prepare_section
    from fociquant.settings import PrepareSettings

    with open_image(image) as opened:
        names = {"marker": "HER2", "nucleus": "DAPI", "autofluorescence": "AF", "Ki67": "Ki67"}
        roles = {role: opened.channel_index(name) for role, name in names.items()}
        found = prepare_section(opened, roles, opened.pixel_size, PrepareSettings())
    facts = found.facts
    how = facts.unmixing
    stats = facts.stats["marker"], facts.stats["nucleus"]
    black_white = [[one.low, one.high] for one in stats]
    if how is not None:
        black_white[0] = [how.low, how.high]
    unmixing = None if how is None else asdict(how)
    return {"scales": {"black_white": black_white, "unmixing": unmixing}}


def _planes(opened: Any, box: Any, scale: dict[str, Any]) -> np.ndarray:
    """Marker and nucleus as our network gets them, counts, float32 (2, h, w)."""
    from fociquant.model import Unmixing
    from fociquant.prepare import unmixed

    planes = opened.read(box, [0, 1, 2]).astype(np.float32)
    if scale["unmixing"] is not None:
        planes[0] = unmixed(planes[0], planes[2], Unmixing(**scale["unmixing"]))
    return planes[:2]


def cellpose_eval(
    image: Path,
    threads: int,
    *,
    edge: int,
    scale: dict[str, Any],
    keep: Path | None = None,
    own_settings: bool = False,
    **_: Any,
) -> dict[str, Any]:
    """``CellposeModel.eval`` on a crop of the middle, in seconds for that crop."""
    import torch

    from fociquant.io import open_image
    from fociquant.model import Box

    torch.set_num_threads(threads)
    model = our_network()
    with open_image(image) as opened:
        y, x = ((side - edge) // 2 for side in opened.shape[1:])
        planes = _planes(opened, Box(y, x, y + edge, x + edge), scale)
    pixels = as_input(planes, scale)
    del planes
    how = OWN_SETTINGS if own_settings else SAME_SETTINGS
    with _clock() as took:
        labels = model.eval(pixels, batch_size=8, diameter=None, **how)[0]
    if keep is not None:
        np.savez_compressed(keep, labels=labels.astype(np.uint32), origin=np.array([y, x]))
    return took | {"objects": int(labels.max()), "crop_px": edge}


def cellpose_arrays(
    image: Path, *, scale: dict[str, Any], keep: Path, count: int, **_: Any
) -> dict[str, Any]:
    """``CellposeModel.eval`` on the very arrays that some of our decode cells see.

    Cellpose's dynamics look half a pixel to one side at one end of an array and to the other at
    the other end: of two arrays that hold the same cell each gives it another outline.
    """
    from fociquant.io import open_image
    from fociquant.tiling import Lattice

    model, found = our_network(), {}
    model.backbone = "compact"  # tiles of another size are refused for Cellpose's own
    with open_image(image) as opened:
        lattice = Lattice(opened.shape[1:])
        for number, cell in enumerate(_middle(lattice)[:count]):
            region = lattice.cell_region(cell)
            around = region.expand(SURROUNDINGS_PX).intersect(lattice.image)
            inside = region.shift(-around.y0, -around.x0).slices
            pixels = as_input(_planes(opened, around, scale)[(slice(None), *inside)], scale)
            found[f"origin_{number}"] = np.array([region.y0, region.x0])
            for name, overlap in TILINGS.items():
                how = {"bsize": max(region.shape) + 16}  # Cellpose adds 8 px on each side
                if overlap is not None:
                    how = {"bsize": 256, "tile_overlap": overlap}
                labels = model.eval(pixels, batch_size=8, diameter=None, **how, **SAME_SETTINGS)[0]
                found[f"labels_{number}_{name}"] = labels.astype(np.uint32)
    np.savez_compressed(keep, **found)
    return {}


def _middle(lattice: Any) -> list[tuple[int, int]]:
    """Decode cells, those nearest to the middle of the slide first."""
    rows, columns = lattice.cells
    every = [(row, column) for row in range(rows) for column in range(columns)]
    return sorted(
        every, key=lambda at: (2 * at[0] - rows + 1) ** 2 + (2 * at[1] - columns + 1) ** 2
    )


def cellpose_distributed(
    image: Path, threads: int, *, scale: dict[str, Any], block: int = BLOCK_PX, **_: Any
) -> dict[str, Any]:
    """Cellpose's ``distributed_eval`` on threads of this process."""
    import cellpose.models
    import distributed
    import torch
    import zarr
    from cellpose.contrib import distributed_segmentation as contrib

    torch.set_num_threads(1)
    model = our_network()
    cellpose.models.CellposeModel = lambda **_: model
    zarr.open = _open_of_zarr_2(zarr.open)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # it writes logs where it is started
        source = packed_zarr(image, f"{folder}/in.zarr", block, scale)
        steps = [(lambda tile, crop: as_input(unpacked(tile), scale), {})]
        with (
            distributed.LocalCluster(
                n_workers=1, threads_per_worker=threads, processes=False, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as client,
            _clock() as took,
        ):
            cluster.client = client
            segmented, _ = contrib.distributed_eval(
                zarr.open(source, mode="r"), blocksize=(block, block),
                write_path=f"{folder}/out.zarr", cluster=cluster, model_kwargs={},
                preprocessing_steps=steps, temporary_directory=folder,
                eval_kwargs={"diameter": 30, "batch_size": 8, **SAME_SETTINGS},
            )  # fmt: skip
        os.chdir("/")
        return took | {"objects": _count_labels(segmented)}


def patchworks(
    image: Path, threads: int, *, scale: dict[str, Any], block: int = BLOCK_PX, **_: Any
) -> dict[str, Any]:
    """``tile_process`` of patchworks, joining tiles by what both saw of their overlap."""
    import dask.array as da
    import torch
    from patchworks import tile_process

    torch.set_num_threads(1)
    model = our_network()

    def segment(tile: np.ndarray) -> np.ndarray:
        pixels = as_input(unpacked(tile), scale)
        return model.eval(pixels, batch_size=8, diameter=None, **SAME_SETTINGS)[0].astype(np.int32)

    with tempfile.TemporaryDirectory() as folder:
        source = packed_zarr(image, f"{folder}/in.zarr", block, scale)
        with _clock() as took:
            found = tile_process(
                da.from_zarr(source), segment, tile_shape=(block, block),
                overlap=OVERLAP_PX, stitch="iou", max_workers=threads, progress=False,
                write_to=f"{folder}/out.zarr", stage_dir=folder,
            )  # fmt: skip
        return took | {"objects": _count_labels(found)}


CONTENDERS: dict[str, Callable[..., dict[str, Any]]] = {
    "scales": scales,
    "decode": decode,
    "eval": cellpose_eval,
    "arrays": cellpose_arrays,
    "distributed": cellpose_distributed,
    "patchworks": patchworks,
}


def our_network() -> Any:
    """A ``CellposeModel`` whose network is ours, as fast and as exact; nothing is downloaded."""
    import torch
    from cellpose.models import CellposeModel

    from fociquant.segment.compact import load_compact
    from fociquant.segment.devices import resolve_precision
    from fociquant.segment.late import embedded_weights
    from fociquant.segment.network import fuse_batch_norm

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.device, self.dtype = torch.device("cpu"), torch.float32
            # In bfloat16 where we compute in that: rounding moves outlines by some pixels.
            self.inner = {"dtype": resolve_precision(self.device)}
            self.inner["memory_format"] = torch.channels_last
            self.net = fuse_batch_norm(load_compact(embedded_weights())).to(**self.inner)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            output = self.net(x[:, :2].contiguous().to(**self.inner))
            return output.float().contiguous(), torch.zeros(len(x), 256)

    model = CellposeModel.__new__(CellposeModel)
    model.net, model.device, model.gpu = Net(), torch.device("cpu"), False
    model.backbone, model.pretrained_model = "sam_vitl", "fociquant-compact"
    return model


def as_input(planes: np.ndarray, scale: dict[str, Any]) -> np.ndarray:
    """Raw counts (2, h, w) to what the network sees, (h, w, 3) float32."""
    from fociquant.segment.scaling import compress, to_unit

    out = np.zeros((*planes.shape[1:], 3), np.float32)
    for number, (low, high) in enumerate(scale["black_white"]):
        out[..., number] = compress(to_unit(planes[number], low, high))
    return out


def _open_of_zarr_2(newer: Callable[..., Any]) -> Callable[..., Any]:
    """``zarr.open`` with the mode in second place, as Cellpose 4.2 calls it and zarr 3 does not."""
    return lambda store=None, mode=None, **how: newer(store, mode=mode, **how)


def packed_zarr(image: Path, target: str, block: int, scale: dict[str, Any]) -> str:
    """Marker and nucleus as one Zarr array: two 16-bit channels in 32 bits.

    Both programs cut an array of two axes; one that has channels too they take for a volume.
    """
    import zarr

    from fociquant.io import open_image
    from fociquant.model import Box

    with open_image(image) as opened:
        height, width = opened.shape[1:]
        chunks = (block, block)
        array = zarr.open(target, mode="w", shape=(height, width), chunks=chunks, dtype="u4")
        for y in range(0, height, block):
            for x in range(0, width, block):
                box = Box(y, x, min(y + block, height), min(x + block, width))
                planes = np.rint(_planes(opened, box, scale)).clip(0, 65535)
                marker, nucleus = planes.astype(np.uint32)
                array[box.slices] = marker | nucleus << 16
    return target


def unpacked(tile: np.ndarray) -> np.ndarray:
    """The two channels of :func:`packed_zarr`, (2, h, w) uint16."""
    tile = np.asarray(tile)
    return np.stack([tile & 0xFFFF, tile >> 16]).astype(np.uint16)


def _count_labels(array: Any) -> int:
    found: set[int] = set()
    for y in range(0, array.shape[0], BLOCK_PX):
        found.update(np.unique(np.asarray(array[y : y + BLOCK_PX])).tolist())
    return len(found - {0})


@contextmanager
def _clock() -> Any:
    took: dict[str, Any] = {}
    begin, used = time.perf_counter(), time.process_time()
    yield took
    took |= {"wall_s": time.perf_counter() - begin, "cpu_s": time.process_time() - used}


def main(name: str, image: str, options: str) -> None:
    """What a child process does: the answer is its last line."""
    answer = CONTENDERS[name](Path(image), **json.loads(options))
    print(json.dumps(answer), flush=True)
