"""The command line with small lattices and a stand-in for the network; workers load it too.

As a script it is ``fociquant``; worker processes of ``--workers`` import it again under another
name, those of ``dask worker`` with ``--preload``. The environment says how it behaves: SLOW, s
per window; POISON, the section of which the first block kills the process that counts it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import fociquant.run.desk as desk
import fociquant.run.jobs as jobs
import fociquant.run.plan as plan
import fociquant.run.study as corridor
from fociquant.run.blocks import count_cell
from fociquant.testing.segmenters import UphillSegmenter
from fociquant.tiling import Lattice


def deadly(plan, stats, flows, cell, settings):
    if plan.section.name == os.environ.get("POISON") and cell == (0, 0):
        os._exit(9)
    return count_cell(plan, stats, flows, cell, settings)


def load(*_, **__):
    return UphillSegmenter(window_core_px=64, delay_s=float(os.environ.get("SLOW", "0")))


corridor.load_segmenter = desk.load_segmenter = load
jobs.count_cell = deadly
corridor.report = lambda *_: None
jobs.write_overview = lambda path, *_, **__: Path(path).write_bytes(b"PNG")
plan.lattice_for = lambda grid, model: Lattice(
    grid.shape, 64, 32, decode_core_px=128, decode_halo_px=48
)

if __name__ == "__main__":
    from fociquant.cli import main

    print("ready", flush=True)
    main(sys.argv[1:])
