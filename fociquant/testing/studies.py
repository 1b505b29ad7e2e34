"""Small studies on disk whose counts are known exactly, for :class:`UphillSegmenter`.

A section is a few bright cones with a nucleus each on dim, uneven ground. It looks
like nothing a microscope makes: what is tested with it is the way from files to tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from fociquant.io import write_ome_tiff
from fociquant.testing.segmenters import cones
from fociquant.units import PixelSize

CHANNELS = ("HER2", "DAPI")
"""Of every section."""

DIAMETER_UM = 12.0
"""Of every cell."""


def write_section(
    path: Path,
    shape: tuple[int, int],
    cells: np.ndarray,
    *,
    pixel_um: float = 0.5,
    seed: int = 0,
) -> None:
    """Write one section of cones.

    Parameters
    ----------
    path : pathlib.Path
        OME-TIFF to make; its folder is made.
    shape : (int, int)
        Height and width, px.
    cells : numpy.ndarray, shape (n, 2)
        (y, x) of the cells, px.
    pixel_um : float
        Pixel size, µm.
    seed : int
        Of the noise.
    """
    diameter = DIAMETER_UM / pixel_um
    marker = cones(shape, cells, diameter)
    nucleus = cones(shape, cells, diameter / 2)
    ground = _ground(shape, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_ome_tiff(
        path,
        np.stack([marker, nucleus]) + ground,
        channel_names=CHANNELS,
        pixel_size=PixelSize.square(pixel_um),
        tile_px=64,
    )


def _ground(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Uneven enough to be taken for tissue, far below the cells; uint16 (2, height, width)."""
    rng = np.random.default_rng(seed)
    tissue = gaussian_filter(rng.normal(size=shape), 6.0, mode="reflect") * 200.0 + 60.0
    noisy = tissue + rng.normal(size=(2, *shape)) * 6.0
    return np.clip(np.round(noisy), 0, None).astype(np.uint16)


def grid_of_cells(shape: tuple[int, int], count: int, *, gap_px: float = 40.0) -> np.ndarray:
    """`count` places on a regular grid, far enough apart that no two cells touch.

    Raises
    ------
    ValueError
        If they do not fit.
    """
    rows, columns = (np.arange(gap_px / 2, size - gap_px / 2, gap_px) for size in shape)
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    if len(places) < count:
        raise ValueError(f"only {len(places)} cells fit into {shape}")
    return places[:count]


def write_study(
    folder: Path,
    counts: Mapping[str, int],
    *,
    shape: tuple[int, int] = (160, 200),
    pixel_um: float = 0.5,
    extra: str = "",
) -> Path:
    """Write a study of one section per mouse.

    Parameters
    ----------
    folder : pathlib.Path
        Made if it is not there.
    counts : mapping of str to int
        Mouse to the number of cells in its section.
    shape : (int, int)
        Of every section, px.
    pixel_um : float
        Pixel size, µm.
    extra : str
        Further lines of ``study.yaml``.

    Returns
    -------
    pathlib.Path
        ``study.yaml``.
    """
    lines = ["image,mouse,group,dpi,section"]
    for number, (mouse, count) in enumerate(counts.items()):
        cells = grid_of_cells(shape, count, gap_px=40.0 * 0.5 / pixel_um)
        image = f"images/s{number}.ome.tif"
        write_section(folder / image, shape, cells, pixel_um=pixel_um, seed=number)
        group = "IAV" if number % 2 else "PBS"
        lines.append(f"{image},{mouse},{group},{3 + 6 * (number // 2)},s{number}")
    (folder / "samples.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    study = folder / "study.yaml"
    study.write_text(
        "name: cones\nsamples: samples.csv\nreference_group: PBS\n"
        "channels: {marker: HER2, nucleus: DAPI}\n" + extra,
        encoding="utf-8",
    )
    return study
