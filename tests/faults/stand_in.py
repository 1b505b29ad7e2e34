"""The command line with small lattices and a stand-in for the network; workers load it too.

As a script it is ``fociquant``; worker processes of ``--workers`` import it again under another
name, those of ``dask worker`` with ``--preload``. The environment says how slow it is (SLOW, s per
window), and which decode cell ends the process that counts it (POISON, ``section:row,column``), as
the system does for want of memory. ENDED is how long workers of a job are missed, s.
"""

from __future__ import annotations

import os
import signal
import sys

import fociquant.run.desk as desk
import fociquant.run.jobqueue as jobqueue
import fociquant.run.jobs as jobs
import fociquant.run.plan as plan
import fociquant.run.study as corridor
from fociquant.testing.segmenters import UphillSegmenter
from fociquant.tiling import Lattice


def load(*_, **__):
    return UphillSegmenter(window_core_px=64, delay_s=float(os.environ.get("SLOW", "0")))


def count_cell(plan, stats, flows, cell, *rest, original=jobs.count_cell, **named):
    if os.environ.get("POISON") == f"{plan.section.name}:{cell[0]},{cell[1]}":
        os.kill(os.getpid(), signal.SIGKILL)
    return original(plan, stats, flows, cell, *rest, **named)


jobs.count_cell = count_cell
jobqueue.ENDED_S = float(os.environ.get("ENDED", jobqueue.ENDED_S))
corridor.load_segmenter = desk.load_segmenter = load
corridor.report = lambda *_: None
jobs.overview_png = lambda *_, **__: b"PNG"
plan.lattice_for = lambda grid, model: Lattice(
    grid.shape, 64, 32, decode_core_px=128, decode_halo_px=48
)

if __name__ == "__main__":
    from fociquant.cli import main

    print("ready", flush=True)
    main(sys.argv[1:])
