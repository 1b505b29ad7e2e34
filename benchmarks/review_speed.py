"""How long a review waits: opening a large section, one decision, moving the slide.

On a computer that is busy with other work, look at the CPU times.

    python benchmarks/review_speed.py [--cells 100000] [--edge 32768]

Makes a results folder of one section with so many cells, and a sparse OME-Zarr pyramid of
that edge with two channels; opens it in napari and measures. Needs the plugin
(``pip install -e "plugins/napari-fociquant[all]"``) and a screen, for example
``xvfb-run -a -s "-screen 0 1920x1200x24" python benchmarks/review_speed.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zarr

PIXEL_UM = 0.5
POSITIVE = 0.2
"""Share of the candidates that are counted."""


def write_slide(path: Path, edge: int) -> None:
    """A pyramid of two channels; only a few chunks of each level are stored."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    rng = np.random.default_rng(0)
    datasets, side, number = [], edge, 0
    while True:
        array = group.create_array(
            str(number), shape=(2, side, side), chunks=(1, min(512, side), min(512, side)),
            dtype="uint16", chunk_key_encoding={"name": "v2", "separator": "/"},
        )  # fmt: skip
        part = min(side, 2048)
        array[:, :part, :part] = rng.integers(100, 600, (2, part, part), dtype=np.uint16)
        scale = [1.0, PIXEL_UM * 2**number, PIXEL_UM * 2**number]
        datasets.append(
            {"path": str(number),
             "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )  # fmt: skip
        if side <= 1024:
            break
        side, number = side // 2, number + 1
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    channels = [{"label": "HER2"}, {"label": "DAPI"}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    group.attrs["omero"] = {"channels": channels}


def write_results(root: Path, cells: int, edge: int) -> Path:
    """A results folder as ``fociquant run`` leaves it, of cells thrown at random."""
    from fociquant.io import open_image
    from fociquant.settings import Settings, load_profile
    from fociquant.store import ResultsFolder, facts_to_json, write_json

    folder = ResultsFolder(root / "results")
    image = root / "slide.ome.zarr"
    write_slide(image, edge)
    with open_image(image) as opened:
        fingerprint = opened.fingerprint
    write_json(folder.run, {
        "format": 1, "fociquant": "0.1.0", "settings": Settings().model_dump(mode="json"),
        "profile": load_profile("chia2025").model_dump(mode="json"), "phenotypes": [],
        "channel_names": {"marker": "HER2", "nucleus": "DAPI"},
        "study": {"name": "speed", "reference_group": None},
        "sections": [{"name": "slide", "image": "slide.ome.zarr", "mouse": "m1", "group": "PBS",
                      "dpi": 3.0, "control": "", "batch": "", "extra": {}}],
        "images": {"slide": {"key": "k" * 64, "fingerprint": fingerprint,
                             "shape": [2, edge, edge], "pixel_size_um": [PIXEL_UM, PIXEL_UM]}},
    })  # fmt: skip
    state = facts_to_json(_facts(edge)) | {"key": "k" * 64, "warnings": []}
    write_json(folder.state("slide"), state)
    table = _cells(cells, edge)
    pq.write_table(table, folder.cells)
    row = {"section": "slide", "image": "slide.ome.zarr", "mouse": "m1", "group": "PBS", "dpi": 3,
           "status": "done", "reason": "", "tissue_mm2": 100, "cells": 1, "foci": 1}  # fmt: skip
    pd.DataFrame([row]).to_csv(folder.sections, index=False)
    _write_foci(folder.foci, table)
    return folder.root


def _facts(edge: int):
    from fociquant.model import ChannelStats, SectionFacts
    from fociquant.units import PixelSize

    side = round(edge * PIXEL_UM / 8.0)
    stats = ChannelStats(100.0, 600.0, 120.0, 10.0, 5.0, 65535.0)
    mask = np.ones((side, side), bool)
    return SectionFacts({"marker": stats, "nucleus": stats}, 100.0, 60.0, mask, ~mask,
                        PixelSize.square(8.0))  # fmt: skip


def _cells(number: int, edge: int) -> pa.Table:
    rng = np.random.default_rng(1)
    extent = edge * PIXEL_UM
    centre = rng.uniform(10, extent - 10, (number, 2))
    centre = centre[np.lexsort(centre.T[::-1])]
    angle = np.linspace(0, 2 * np.pi, 33)[:-1]
    radius = rng.uniform(4.0, 7.0, number)
    ring = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    outline = (centre[:, None] + radius[:, None, None] * ring).astype(np.float32)
    positive = rng.random(number) < POSITIVE
    return pa.table({
        "section": pa.array(["slide"] * number), "cell": np.arange(1, number + 1),
        "y_um": centre[:, 0], "x_um": centre[:, 1], "area_um2": np.pi * radius**2,
        "focus": np.where(positive, np.cumsum(positive), 0), "positive": positive,
        "flags": pa.array(np.where(positive, "", "uncertain").tolist()),
        "score": rng.normal(3.0, 2.0, number), "mouse": pa.array(["m1"] * number),
        "outline": pa.ListArray.from_arrays(
            np.arange(0, number * 64 + 1, 64, dtype=np.int32), outline.ravel()),
    })  # fmt: skip


def _write_foci(path: Path, table: pa.Table) -> None:
    """One solitary focus per counted cell: a benchmark of the window, not of linking."""
    counted = table.to_pandas()
    counted = counted[counted["positive"]]
    pd.DataFrame({
        "section": "slide", "mouse": "m1", "focus": counted["focus"], "class": "solitary",
        "cells": 1, "area_um2": counted["area_um2"], "y_um": counted["y_um"],
        "x_um": counted["x_um"],
    }).to_csv(path, index=False)  # fmt: skip


def measure(results: Path, decisions: int = 40) -> dict[str, float]:
    """Open, decide, move; seconds and milliseconds."""
    from vispy.gloo import glir

    glir.GlirProgram.delete = lambda self: None
    from qtpy.QtWidgets import QApplication

    from napari_fociquant._launch import open_viewer

    viewer = open_viewer(results)
    _, gallery = viewer.window.add_plugin_dock_widget("napari-fociquant", "Gallery review")
    QApplication.processEvents()
    desk = gallery.desk
    code = desk.blinding.views[0].code
    start, spent = time.perf_counter(), time.process_time()
    if not desk.open_section(code):
        raise SystemExit(desk.notices)
    QApplication.processEvents()
    opened, worked = time.perf_counter() - start, time.process_time() - spent
    returned = np.array([_timed(lambda: gallery.act("reject")) for _ in range(decisions)])
    centre = viewer.scene.camera.center
    frames = []
    for step in range(20):
        begun = time.perf_counter()
        viewer.scene.camera.center = (0.0, centre[-2] + 20.0 * step, centre[-1])
        QApplication.processEvents()
        frames.append(1e3 * (time.perf_counter() - begun))
    desk.leave()
    viewer.close()
    return {
        "open_s": round(opened, 2),
        "open_cpu_s": round(worked, 2),
        "decision_median_ms": round(float(np.median(returned[:, 0])), 1),
        "decision_worst_ms": round(float(np.max(returned[:, 0])), 1),
        "decision_cpu_median_ms": round(float(np.median(returned[:, 1])), 1),
        "frame_median_ms": round(float(np.median(frames)), 1),
    }


def _timed(action) -> tuple[float, float]:
    """Milliseconds until it returns, and those that this process worked."""
    from qtpy.QtWidgets import QApplication

    begun, worked = time.perf_counter(), time.process_time()
    action()
    spent = 1e3 * (time.perf_counter() - begun), 1e3 * (time.process_time() - worked)
    QApplication.processEvents()
    return spent


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--edge", type=int, default=32_768)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        os.environ["NAPARI_CONFIG"] = str(root / "napari.yaml")
        os.environ["NAPARI_FOCIQUANT_CONFIG"] = str(root / "settings.json")
        (root / "settings.json").write_text('{"reviewer": "speed"}', encoding="utf-8")
        figures = measure(write_results(root, given.cells, given.edge))
    print(json.dumps({"cells": given.cells, "edge_px": given.edge, **figures}, indent=2))


if __name__ == "__main__":
    main()
