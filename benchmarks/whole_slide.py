"""One slide, one network: ours, Cellpose's ways to do a slide, and the limit that reading sets.

Contenders, each in a process of its own, its children counted in:

* ``decode``: every channel decoded once with tifffile, the limit;
* ``screened``, ``exhaustive``: ``fociquant run``, process start and report included;
* ``eval``: ``CellposeModel.eval`` with our network and our settings in it, on the largest crop
  that fits into ``--eval-gb`` and survives, scaled by area;
* ``eval-defaults``: the same with Cellpose's own settings, on a crop of at most 2048²;
* ``distributed``: Cellpose's ``distributed_eval`` with our network in it (whole slide);
* ``patchworks``: that package with our network in it (whole slide).

The last two need ``pip install '.[bench]'``. What fails or takes longer than ``--limit-s`` is
reported as such, and the others go on. Where both are measured, the cells of ``exhaustive`` and
of ``eval`` are compared: as they are, and where ``eval`` gets the same arrays as our decode cells.
Times are told as wall and as processor seconds: on a busy machine only
the second means anything. Slides are simulated (see ``slides.py``)::

    python benchmarks/whole_slide.py [--size 8192] [--slides dormant,awakened,dense]
        [--contenders decode,screened,exhaustive,eval] [--threads 2] [--json out.json]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import contenders
import numpy as np
import psutil
from agreement import IOU, agreement_of, same_in_arrays
from slides import KINDS, make_slide

ORDER = (
    "decode", "screened", "exhaustive", "eval", "eval-defaults", "distributed", "patchworks",
)  # fmt: skip
EVAL_BYTES_PER_PX = 110
"""Measured for Cellpose 4.2 on float32 planes."""
SMALLEST_CROP_PX = 512
DEFAULTS_CROP_PX = 2048
"""Cellpose's flow check takes several seconds per megapixel: no larger crop with its defaults."""
COMPARED_ARRAYS = 4
"""Decode cells whose own array ``eval`` gets."""
NEEDED = {"distributed": "cellpose.contrib.distributed_segmentation", "patchworks": "patchworks"}


class Failed(Exception):  # noqa: N818 - a result, said in the table
    """A contender ended with an error, or not in time."""


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


def run_ours(study: Path, chosen: argparse.Namespace, *, exhaustive: bool) -> dict[str, Any]:
    """``fociquant run`` in a new process, from its start to its end."""
    import pandas as pd

    with tempfile.TemporaryDirectory(dir=study) as folder:
        out = Path(folder) / "r"
        command = [sys.executable, "-m", "fociquant", "run", str(study / "study.yaml"),
                   "--out", str(out), "--threads", str(chosen.threads), "--quiet"]  # fmt: skip
        answer = _watched(command + ["--exhaustive"] * exhaustive, chosen.limit_s)
        row = pd.read_csv(out / "sections.csv").iloc[0]
        answer |= {"counted": int(row["cells"]), "objects": int(row["candidates"]),
                   "skipped": float(row["screened"])}  # fmt: skip
        seams = ("seam_rate", "seam_control_rate", "seam_repeats")
        answer |= {name: float(row[name]) for name in seams if pd.notna(row[name])}
        cells = pd.read_parquet(out / "cells.parquet")
        counted = cells[cells["positive"]]
        answer["places"] = counted[["y_um", "x_um", "area_um2"]].to_numpy().tolist()
        if exhaustive:
            shutil.rmtree(study / "labels", ignore_errors=True)
            next(out.glob("sections/*/labels*")).rename(study / "labels")
            np.save(study / "labels" / "counted.npy", counted["cell"].to_numpy())
    return answer


def _watched(command: list[str], limit_s: float) -> dict[str, Any]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        watch = Watch(psutil.Process(process.pid))
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failed(f"stopped after {limit_s:.0f} s, {watch.peak / 1e9:.2f} GB") from None
        finally:
            watch.stop()
        took = time.perf_counter() - begin
        out.seek(0)
        lines = out.read().strip().splitlines()
    if code:
        last = lines[-1][-300:] if lines else "nothing said"
        raise Failed(f"ended with {code}, {watch.peak / 1e9:.2f} GB: {last}")
    told = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    measured = {
        "wall_s": took, "cpu_s": sum(watch.cpu.values()), "peak_gb": watch.peak / 1e9,
    }  # fmt: skip
    return measured | told


def _inside(name: str, study: Path, chosen: argparse.Namespace, **options: Any) -> dict[str, Any]:
    """One of :mod:`contenders` in a process of its own."""
    told = json.dumps({"threads": chosen.threads, **options})
    here = [sys.executable, __file__, "--inside", name, str(study / "slide.ome.tif"), told]
    return _watched(here, chosen.limit_s)


def _scale(study: Path, chosen: argparse.Namespace) -> list[list[float]]:
    """Black and white of the channels over the whole slide; found once."""
    known = study / "scales.json"
    if not known.is_file():
        known.write_text(json.dumps(_inside("scales", study, chosen)["scales"]))
    return json.loads(known.read_text())


def measure(name: str, study: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """One contender on one slide; ``failed`` says why there is nothing else."""
    try:
        if name in NEEDED:
            importlib.import_module(NEEDED[name])
        if name in ("screened", "exhaustive"):
            return run_ours(study, chosen, exhaustive=name == "exhaustive")
        if name == "decode":
            return _inside(name, study, chosen)
        scale = _scale(study, chosen)
        if name == "eval":
            return _largest_crop(study, chosen, scale)
        if name == "eval-defaults":
            edge = min(chosen.size, DEFAULTS_CROP_PX)
            found = _inside("eval", study, chosen, edge=edge, scale=scale, own_settings=True)
            return _for_the_slide(found, edge, chosen)
        # Half of a small slide: one block alone is no test, and distributed_eval fails on it.
        block = min(contenders.BLOCK_PX, chosen.size // 2)
        return _inside(name, study, chosen, scale=scale, block=block)
    except ImportError as error:
        return {"failed": f"not installed ({error})"}
    except Failed as error:
        return {"failed": str(error)}


def _largest_crop(
    study: Path, chosen: argparse.Namespace, scale: list[list[float]]
) -> dict[str, Any]:
    """``eval`` on the largest crop that it survives, in seconds for the slide."""
    edge = int((chosen.eval_gb * 1e9 / EVAL_BYTES_PER_PX) ** 0.5) // 256 * 256
    edge = max(min(chosen.size, edge), SMALLEST_CROP_PX)
    keep = study / "eval.npz"
    while True:
        try:
            answer = _inside("eval", study, chosen, edge=edge, scale=scale, keep=str(keep))
            break
        except Failed:
            edge //= 2
            if edge < SMALLEST_CROP_PX:
                raise
    answer = _for_the_slide(answer, edge, chosen)
    if (study / "labels").is_dir():
        answer["same_cells"] = agreement_of(study / "labels", keep)
        arrays = study / "arrays.npz"
        _inside("arrays", study, chosen, scale=scale, keep=str(arrays), count=COMPARED_ARRAYS)
        answer["same_in_arrays"] = same_in_arrays(study / "labels", arrays, keep)
    return answer


def _for_the_slide(answer: dict[str, Any], edge: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """Times of a crop, scaled by area."""
    factor = (chosen.size / edge) ** 2
    return answer | {key: answer[key] * factor for key in ("wall_s", "cpu_s")}


def show(name: str, true_cells: int, answers: dict[str, dict[str, Any]]) -> None:
    """The table of one slide, as ratios to decoding."""
    limit = answers.get("decode", {})
    print(f"\n{name}: {true_cells} true cells")
    print(f"{'':12}{'wall s':>9}{'cpu s':>9}{'wall/dec':>10}{'cpu/dec':>9}{'GB':>7}"
          f"{'objects':>9}{'counted':>9}")  # fmt: skip
    for contender, answer in answers.items():
        if "failed" in answer:
            print(f"{contender:12}  FAILED: {answer['failed']}")
            continue
        ratios = [answer[k] / limit.get(k, float("nan")) for k in ("wall_s", "cpu_s")]
        note = f"  skipped {answer['skipped']:.0%}" if "skipped" in answer else ""
        note += f"  scaled from {answer['crop_px']}²" if "crop_px" in answer else ""
        print(
            f"{contender:12}{answer['wall_s']:9.1f}{answer['cpu_s']:9.1f}{ratios[0]:10.2f}"
            f"{ratios[1]:9.2f}{answer.get('peak_gb', 0.0):7.2f}"
            f"{answer.get('objects', '-'):>9}{answer.get('counted', '-'):>9}{note}"
        )
    _show_comparisons(answers)


def _show_comparisons(answers: dict[str, dict[str, Any]]) -> None:
    places = [answers.get(key, {}).get("places") for key in ("screened", "exhaustive")]
    if None not in places:
        same = places[0] == places[1]
        print("screened and exhaustive count " + ("the same cells" if same else "OTHER CELLS"))
    same = answers.get("eval", {}).get("same_cells")
    if same:
        shares = {
            key: "none" if same[key] is None else f"{same[key]:.2%}"
            for key in ("same_counted", "same_ours", "same_theirs")
        }
        print(
            f"in exhaustive and eval alike, IoU >= {IOU}: {shares['same_counted']} of "
            f"{same['counted']} counted cells, {shares['same_ours']} of {same['ours']} objects of "
            f"ours, {shares['same_theirs']} of {same['theirs']} of eval's"
        )
        if iou := same.get("counted_iou"):
            print(
                f"IoU of counted cells: median {iou['median']:.3f}, 99 % have more than "
                f"{iou['first_percentile']:.3f}"
            )
    if arrays := answers.get("eval", {}).get("same_in_arrays"):
        print(
            f"eval on the arrays of our decode cells, {arrays['cells']} counted cells alike: "
            f"{arrays['own']:.2%} with its tiles as they are, {arrays['half']:.2%} where they "
            f"overlap by half, {arrays['one']:.2%} with one tile"
        )
        if "itself" in arrays:
            print(f"eval on these and eval on the crop, both its own: {arrays['itself']:.2%} alike")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--slides", default=",".join(KINDS))
    parser.add_argument("--contenders", default=",".join(ORDER))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--eval-gb", type=float, default=2.0)
    parser.add_argument("--limit-s", type=float, default=12 * 3600.0, help="per contender")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "slides")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        contenders.main(*chosen.inside)
        return
    report: dict[str, Any] = {"size": chosen.size, "threads": chosen.threads, "slides": {}}
    for name in chosen.slides.split(","):
        study, true_cells = make_slide(name, chosen.size, chosen.folder)
        shutil.rmtree(study / "labels", ignore_errors=True)  # of an earlier version
        answers: dict[str, dict[str, Any]] = {}
        for one in chosen.contenders.split(","):
            answers[one] = measure(one, study, chosen)
            kept = {
                key: {name: value for name, value in answer.items() if name != "places"}
                for key, answer in answers.items()
            }
            report["slides"][name] = {"true_cells": true_cells, **kept}
            if chosen.json:
                chosen.json.write_text(json.dumps(report, indent=2))
        show(name, true_cells, answers)


if __name__ == "__main__":
    main()
