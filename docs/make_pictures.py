"""Make the pictures of the README and the guide from the results of ``fociquant demo``.

Run ``fociquant demo --out demo_results``, then
``python docs/make_pictures.py demo_results`` from the folder of the project. With the
results of ``fociquant demo --design paper-small --out paper_demo`` as a second argument
(``paper_demo/results``) the pictures of the report are taken from there. All pictures
show simulated sections.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from fociquant.io import open_image
from fociquant.model import Box
from fociquant.store import read_parquet

SECTION = "IAV-15d-1-s1"
CHANNELS = {"HER2": (0.1, 1.0, 0.45), "DAPI": (0.3, 0.45, 1.0), "AF": (0.9, 0.4, 0.05)}
"""Channel of the sample images to its colour."""

SCALE_BAR_UM = 50.0
TARGET = Path(__file__).resolve().parent / "images"
IMAGES = TARGET.parent.parent / "sample_images" / "images"


FROM_REPORT = {
    "time_course.png": "time_course.png",
    "cells_2_counted.png": "report_cells.png",
    "rejections.png": "report_rejections.png",
}
"""Figure of a report to its name here; the second arm is the infected one."""


def main(results: Path, report_from: Path) -> None:
    """Write ``section.png`` and the pictures of a report into ``docs/images``."""
    TARGET.mkdir(exist_ok=True)
    mpl.rcParams["font.size"] = 9
    with open_image(IMAGES / f"{SECTION}.ome.tif") as image:
        picture, pixel_um = composite(image), image.pixel_size.mean
    cells = read_parquet(results / "cells.parquet")
    figure = draw(picture, cells[cells["section"] == SECTION], pixel_um)
    save(figure, TARGET / "section.png")
    for source, name in FROM_REPORT.items():
        with Image.open(report_from / "figures" / source) as picture:
            save_few_colours(picture, TARGET / name)


def composite(image) -> np.ndarray:
    """Colours added up, float, shape (h, w, 3), 0 to 1."""
    planes = image.read(
        Box.of_shape(image.shape[1:]), [image.channel_index(name) for name in CHANNELS]
    )
    picture = np.zeros((*planes.shape[1:], 3))
    for plane, colour in zip(planes, CHANNELS.values(), strict=True):
        low, high = np.percentile(plane, (1.0, 99.7))
        picture += np.clip((plane - low) / (high - low), 0.0, 1.0)[:, :, None] * np.array(colour)
    return np.clip(picture, 0.0, 1.0)


def draw(picture: np.ndarray, cells: pd.DataFrame, pixel_um: float) -> Figure:
    """The section as it is, and with the outlines of counted and rejected candidates."""
    figure = Figure(figsize=(7.6, 4.15), layout="constrained")
    extent = (0.0, picture.shape[1] * pixel_um, picture.shape[0] * pixel_um, 0.0)
    for axes, title in zip(figure.subplots(1, 2), ("simulated section", "outlines"), strict=True):
        axes.imshow(picture if title != "outlines" else 0.6 * picture, extent=extent)
        axes.set_axis_off()
        axes.set_title(title)
    right = figure.axes[1]
    for row in cells.itertuples():
        y, x = np.reshape(row.outline, (-1, 2)).T
        colour = "white" if row.positive else "#ff5cc8"
        right.fill(x, y, fill=False, edgecolor=colour, linewidth=0.8)
    both = "counted (white), not counted (pink)"
    right.set_title("outlines of the counted cells" if cells["positive"].all() else both)
    left = figure.axes[0]
    end = extent[1] - 12.0
    left.plot([end - SCALE_BAR_UM, end], [extent[2] - 12.0] * 2, color="white", linewidth=3)
    left.text(end - SCALE_BAR_UM / 2, extent[2] - 16.0, f"{SCALE_BAR_UM:g} µm", color="white",
              ha="center", va="bottom")  # fmt: skip
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write as PNG of few colours, which is a third of the size."""
    figure.savefig(path, dpi=105)
    with Image.open(path) as picture:
        save_few_colours(picture, path)


def save_few_colours(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG of 192 colours."""
    few = picture.convert("RGB").quantize(
        192, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    few.save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[-1]))
