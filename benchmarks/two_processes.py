"""How much faster two worker processes are than one, where the network is what takes time.

    python benchmarks/two_processes.py [--size 8192] [--slide dense] [--json two.json]

Each run counts every block of one simulated slide (``--exhaustive``), with one thread per worker.
Rates are blocks per second between the first and the last block that is told of, so that the
start of the processes, the preparation of the section and the report are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from slides import KINDS, make_slide

TOLD = re.compile(r": block (\d+)/(\d+)")


def blocks_per_s(study: Path, workers: int, block_px: int) -> dict[str, float]:
    """One run: its rate in the middle, and seconds in all."""
    began, told = time.perf_counter(), []
    with tempfile.TemporaryDirectory(dir=study) as folder:
        command = [
            sys.executable, "-m", "fociquant", "run", str(study / "study.yaml"), "--exhaustive",
            "--out", f"{folder}/r", "--workers", str(workers), "--threads", str(workers),
            "--block", str(block_px), "--device", "cpu",
        ]  # fmt: skip
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        ) as process:  # fmt: skip
            for line in process.stderr or ():
                if found := TOLD.search(line):
                    told.append((time.perf_counter(), int(found[1])))
                last = line
    if process.returncode:
        raise SystemExit(f"--workers {workers} ended with {process.returncode}: {last}")
    if len(told) < 2:
        raise SystemExit("too few blocks to tell a rate: give a larger --size or a smaller --block")
    (first_s, first), (last_s, final) = told[0], told[-1]
    return {
        "workers": workers, "blocks_per_s": (final - first) / (last_s - first_s),
        "blocks": final - first, "wall_s": time.perf_counter() - began,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--slide", choices=list(KINDS), default="dense")
    parser.add_argument("--block", type=int, default=1024)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "slides")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    study, _ = make_slide(chosen.slide, chosen.size, chosen.folder)
    runs = [blocks_per_s(study, workers, chosen.block) for workers in (1, 2)]
    for run in runs:
        print(f"{run['workers']} worker(s): {run['blocks_per_s']:.3f} blocks/s over "
              f"{run['blocks']} blocks, {run['wall_s']:.0f} s in all")  # fmt: skip
    ratio = runs[1]["blocks_per_s"] / runs[0]["blocks_per_s"]
    print(f"two are {ratio:.2f} times as fast as one")
    if chosen.json:
        chosen.json.write_text(json.dumps({"runs": runs, "ratio": ratio}, indent=2))


if __name__ == "__main__":
    main()
