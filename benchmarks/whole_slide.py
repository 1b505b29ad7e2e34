"""One slide, one network: ours, Cellpose's ways to do a slide, and the limit that reading sets.

Contenders, each in a process of its own, its children counted in:

* ``decode``: every channel decoded once with tifffile, the limit;
* ``screened``, ``exhaustive``: ``fociquant run``, process start and report included;
* ``eval``: ``CellposeModel.eval`` with our network in it, on the largest crop that fits
  into ``--eval-gb``, scaled by area;
* ``distributed``: Cellpose's ``distributed_eval`` with our network in it, if it can be imported;
* ``patchworks``: only if that package can be imported.

Times are told as wall and as processor seconds: on a busy machine only the second means
anything. Slides are simulated (see ``slides.py``)::

    python benchmarks/whole_slide.py [--size 8192] [--slides dormant,awakened,dense]
        [--contenders decode,screened,exhaustive,eval] [--threads 2] [--json out.json]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from slides import KINDS, make_slide

CONTENDERS = ("decode", "screened", "exhaustive", "eval", "distributed", "patchworks")
EVAL_BYTES_PER_PX = 110
"""Measured for Cellpose 4.2 on float32 planes."""
NEEDED = {"distributed": "cellpose.contrib.distributed_segmentation", "patchworks": "patchworks"}


def decode(image: Path, threads: int) -> dict[str, Any]:
    """Every page of the full resolution, once; the clock starts after the imports."""
    import tifffile

    begin, used = time.perf_counter(), time.process_time()
    with tifffile.TiffFile(image) as file:
        for page in file.series[0].pages:
            page.asarray(maxworkers=threads)
    return {
        "wall_s": time.perf_counter() - begin, "cpu_s": time.process_time() - used, "found": None,
    }  # fmt: skip


def our_network() -> Any:
    """A ``CellposeModel`` whose network is ours; nothing is downloaded."""
    import torch
    from cellpose.models import CellposeModel

    from fociquant.segment.compact import embedded_weights, load_compact

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = load_compact(embedded_weights())
            self.device, self.dtype = torch.device("cpu"), torch.float32

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.net(x[:, :2]), torch.zeros(len(x), 256)

    model = CellposeModel.__new__(CellposeModel)
    model.net, model.device, model.gpu = Net(), torch.device("cpu"), False
    model.backbone, model.pretrained_model = "sam_vitl", "fociquant-compact"
    return model


def crop_of(image: Path, edge: int) -> Any:
    """Marker and nucleus of the middle of a slide, (h, w, 3) float32."""
    import numpy as np

    from fociquant.io import open_image
    from fociquant.model import Box

    with open_image(image) as opened:
        height, width = opened.shape[1:]
        y, x = (height - edge) // 2, (width - edge) // 2
        planes = opened.read(Box(y, x, y + edge, x + edge), [0, 1])
    return np.stack([*planes.astype(np.float32), np.zeros((edge, edge), np.float32)], axis=-1)


def cellpose_eval(image: Path, threads: int, edge: int) -> dict[str, Any]:
    """``CellposeModel.eval`` on a crop, in seconds for that crop."""
    import torch

    torch.set_num_threads(threads)
    model, pixels = our_network(), crop_of(image, edge)
    begin, used = time.perf_counter(), time.process_time()
    labels = model.eval(pixels, channel_axis=-1, batch_size=8, diameter=None)[0]
    return {
        "wall_s": time.perf_counter() - begin, "cpu_s": time.process_time() - used,
        "found": int(labels.max()), "crop_px": edge,
    }  # fmt: skip


def cellpose_distributed(image: Path, threads: int) -> dict[str, Any]:
    """Cellpose's ``distributed_eval`` on threads of this process, with our network in it."""
    import cellpose.models
    import distributed
    import numpy as np
    import zarr
    from cellpose.contrib import distributed_segmentation as contrib

    from fociquant.io import open_image
    from fociquant.model import Box

    model = our_network()
    cellpose.models.CellposeModel = lambda **_: model
    begin, used = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder, open_image(image) as opened:
        height, width = opened.shape[1:]
        source = zarr.open(
            f"{folder}/in.zarr", mode="w", shape=(height, width), chunks=(2048, 2048), dtype="f4"
        )
        for y in range(0, height, 2048):
            for x in range(0, width, 2048):
                box = Box(y, x, min(y + 2048, height), min(x + 2048, width))
                source[box.slices] = opened.read(box, [0])[0]
        with distributed.LocalCluster(
            n_workers=1, threads_per_worker=threads, processes=False, dashboard_address=None
        ) as cluster:
            cluster.client = distributed.Client(cluster)
            _, boxes = contrib.distributed_eval(
                source, blocksize=(2048, 2048), write_path=f"{folder}/out.zarr", cluster=cluster,
                model_kwargs={}, eval_kwargs={"diameter": None}, temporary_directory=folder,
            )  # fmt: skip
    found = int(np.size(boxes) if boxes is None else len(boxes))
    return {
        "wall_s": time.perf_counter() - begin, "cpu_s": time.process_time() - used, "found": found,
    }  # fmt: skip


class Watch:
    """Memory and processor time of a process and its children, seen every 50 ms."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self.peak, self.cpu = process, 0, {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.wait(0.05):
            total = 0
            try:
                for one in (self._process, *self._process.children(recursive=True)):
                    times = one.cpu_times()
                    self.cpu[one.pid] = times.user + times.system
                    total += one.memory_info().rss
            except psutil.Error:
                continue
            self.peak = max(self.peak, total)

    def stop(self) -> None:
        """Look no more."""
        self._end.set()
        self._thread.join()


def run_ours(study: Path, threads: int, *, exhaustive: bool) -> dict[str, Any]:
    """``fociquant run`` in a new process, from its start to its end."""
    with tempfile.TemporaryDirectory(dir=study) as folder:
        command = [sys.executable, "-m", "fociquant", "run", str(study / "study.yaml"),
                   "--out", folder + "/r", "--threads", str(threads), "--quiet"]  # fmt: skip
        answer = _watched(command + ["--exhaustive"] * exhaustive)
        state = Path(folder) / "r" / "sections.csv"
        import pandas as pd

        row = pd.read_csv(state).iloc[0]
        answer |= {"found": int(row["cells"]), "skipped": float(row["screened"])}
        cells = pd.read_parquet(Path(folder) / "r" / "cells.parquet")
        counted = cells[cells["positive"]]
        answer["places"] = counted[["y_um", "x_um", "area_um2"]].to_numpy().tolist()
    return answer


def _watched(command: list[str]) -> dict[str, Any]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        watch = Watch(psutil.Process(process.pid))
        code = process.wait()
        watch.stop()
        out.seek(0)
        text = out.read()
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with {code}: {text[-800:]}")
    last = text.strip().splitlines()[-1:] or [""]
    told = json.loads(last[0]) if last[0].startswith("{") else {}
    measured = {
        "wall_s": time.perf_counter() - begin, "cpu_s": sum(watch.cpu.values()),
        "peak_gb": watch.peak / 1e9,
    }  # fmt: skip
    return measured | told


def measure(contender: str, study: Path, chosen: argparse.Namespace) -> dict[str, Any] | None:
    """One contender on one slide; None where a package is absent."""
    if contender in NEEDED and not _importable(NEEDED[contender]):
        return None
    if contender in ("screened", "exhaustive"):
        return run_ours(study, chosen.threads, exhaustive=contender == "exhaustive")
    edge = min(chosen.size, int((chosen.eval_gb * 1e9 / EVAL_BYTES_PER_PX) ** 0.5) // 256 * 256)
    here = [sys.executable, __file__, "--inside", contender, str(study / "slide.ome.tif"),
            "--threads", str(chosen.threads), "--edge", str(edge)]  # fmt: skip
    answer = _watched(here)
    if "crop_px" in answer:
        factor = (chosen.size / answer["crop_px"]) ** 2
        answer |= {key: answer[key] * factor for key in ("wall_s", "cpu_s")}
    return answer


def _importable(name: str) -> bool:
    try:
        if importlib.util.find_spec(name.split(".")[0]) is None:
            return False
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def inside(chosen: argparse.Namespace) -> None:
    """What a child process does."""
    contender, image = chosen.inside
    work = {
        "decode": lambda: decode(Path(image), chosen.threads),
        "eval": lambda: cellpose_eval(Path(image), chosen.threads, chosen.edge),
        "distributed": lambda: cellpose_distributed(Path(image), chosen.threads),
    }
    if contender not in work:
        raise SystemExit(f"{contender}: its interface is not known to this benchmark")
    print(json.dumps(work[contender]()))


def show(name: str, true_cells: int, answers: dict[str, dict[str, Any] | None]) -> None:
    """The table of one slide, as ratios to decoding."""
    limit = answers.get("decode")
    print(f"\n{name}: {true_cells} true cells")
    print(f"{'':12}{'wall s':>9}{'cpu s':>9}{'wall/dec':>10}{'cpu/dec':>9}{'GB':>7}{'found':>8}")
    for contender, answer in answers.items():
        if answer is None:
            print(f"{contender:12}  not installed")
            continue
        ratios = [answer[k] / limit[k] if limit else float("nan") for k in ("wall_s", "cpu_s")]
        note = f"  skipped {answer['skipped']:.0%}" if "skipped" in answer else ""
        note += f"  scaled from {answer['crop_px']}²" if "crop_px" in answer else ""
        print(
            f"{contender:12}{answer['wall_s']:9.1f}{answer['cpu_s']:9.1f}{ratios[0]:10.2f}"
            f"{ratios[1]:9.2f}{answer.get('peak_gb', 0.0):7.2f}{answer['found'] or '-':>8}{note}"
        )
    both = [answers.get(key) for key in ("screened", "exhaustive")]
    if all(both):
        same = both[0]["places"] == both[1]["places"]
        print("screened and exhaustive count " + ("the same cells" if same else "OTHER CELLS"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--slides", default=",".join(KINDS))
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--eval-gb", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "slides")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--edge", type=int, default=1024, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        inside(chosen)
        return
    report: dict[str, Any] = {"size": chosen.size, "threads": chosen.threads, "slides": {}}
    for name in chosen.slides.split(","):
        study, true_cells = make_slide(name, chosen.size, chosen.folder)
        answers = {one: measure(one, study, chosen) for one in chosen.contenders.split(",")}
        show(name, true_cells, answers)
        kept = {
            one: answer and {key: value for key, value in answer.items() if key != "places"}
            for one, answer in answers.items()
        }
        report["slides"][name] = {"true_cells": true_cells, **kept}
        if chosen.json:
            chosen.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
