"""Simulated whole slides with truth, made quickly: a few scenes, mirrored side by side.

The middle of a slide is lung without an edge: one scene, mirrored so that tissue and
airways continue, in which some places show the same scene with cancer cells. Around it is
glass: scenes of it, or a narrow frame. Every pixel is simulated once and stored as a pyramidal
OME-TIFF of four channels with zlib tiles, as a scanner's export has them.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fociquant.io import write_ome_tiff
from fociquant.model import Box
from fociquant.testing.lung.recipe import CHANNELS, LungRecipe, infect
from fociquant.testing.lung.scene import SectionScene
from fociquant.units import PixelSize

PIXEL_UM = 0.5
SCENE_PX = 2048
"""Edge of one scene, px."""

FRAME_SHARE = 1 / 32
"""Of the slide's edge, on each side: the glass around a lung that fills its slide."""

CELLS_PER_MM2 = 5 / 3 / 75
"""Dormant lungs: five cells in three whole sections of 75 mm²."""

STUDY = """\
name: whole-slide-benchmark
samples: samples.csv
preset: her2_if
reference_group: G
channels:
  marker: HER2
  nucleus: DAPI
  autofluorescence: AF
  phenotype: {Ki67: Ki67}
"""


@dataclass(frozen=True)
class Kind:
    """One kind of slide.

    Parameters
    ----------
    consolidated : float
        Part of the lung that is consolidated; 0: not infected.
    foci : tuple of int
        Cells of the foci in a scene with cancer.
    share : float
        Part of the scenes with cancer; 0: as few as a dormant lung has.
    fills : bool
        Whether the lung fills the slide but for a narrow frame, instead of its middle.
    """

    consolidated: float
    foci: tuple[int, ...]
    share: float
    fills: bool = False


DENSE_FOCI = (5, 9, 20, 40, 80, 120, 160, 240, 300, 400, 500, 600, 700)
"""With 36 solitary cells 3210 in a square millimetre: foci cover a third of the lung."""

KINDS = {
    "dormant": Kind(0.0, (1,), 0.0),
    "awakened": Kind(0.3, (1, 1, 1, 2, 4, 7, 12, 25), 0.25),
    "dense": Kind(0.4, (1,) * 36 + DENSE_FOCI, 1.0, fills=True),
}


class Mosaic:
    """A slide as an array that is put together where it is sliced."""

    def __init__(self, kind: Kind, size: int, scenes: list[np.ndarray], cells: np.ndarray) -> None:
        self.shape, self.dtype = (len(CHANNELS), size, size), np.dtype(np.uint16)
        self._scenes = scenes
        self._glass = _glass()
        self._lung = Box(0, 0, size, size).expand(-round(size * FRAME_SHARE) * kind.fills)
        count = -(-size // SCENE_PX)
        inside = range(1, count - 1) if count > 2 and not kind.fills else range(count)
        places = [(row, column) for row in inside for column in inside]
        rng = np.random.default_rng(5)
        lung_mm2 = len(places) * (SCENE_PX * PIXEL_UM / 1000) ** 2
        wanted = round(kind.share * len(places)) or max(round(CELLS_PER_MM2 * lung_mm2), 1)
        chosen = rng.choice(len(places), min(wanted, len(places)), replace=False)
        self._variant = dict.fromkeys(places, 0) | {places[i]: 1 for i in chosen}
        self.true_cells = sum(self._on_slide(cells, *places[i]) for i in chosen)

    def _on_slide(self, cells: np.ndarray, row: int, column: int) -> int:
        """How many of a scene's cells, (n, 2) px, are on the slide: outer scenes may be cut."""
        where = [SCENE_PX - part if odd else part for part, odd in
                 zip(cells.T, (row % 2, column % 2), strict=True)]  # fmt: skip
        y, x = where[0] + row * SCENE_PX, where[1] + column * SCENE_PX
        lung = self._lung
        return int(((y >= lung.y0) & (y < lung.y1) & (x >= lung.x0) & (x < lung.x1)).sum())

    def __getitem__(self, key: tuple[slice, slice, slice]) -> np.ndarray:
        """Pixels of whole scenes' parts: the writer asks for blocks of one scene."""
        channels, rows, columns = key
        y0, y1, _ = rows.indices(self.shape[1])
        x0, x1, _ = columns.indices(self.shape[2])
        out = np.empty((len(CHANNELS), y1 - y0, x1 - x0), self.dtype)
        for y in range(y0 // SCENE_PX * SCENE_PX, y1, SCENE_PX):
            for x in range(x0 // SCENE_PX * SCENE_PX, x1, SCENE_PX):
                whole = Box(y, x, y + SCENE_PX, x + SCENE_PX).intersect(Box(y0, x0, y1, x1))
                scene = self._scene(y // SCENE_PX, x // SCENE_PX)
                for pixels, part in ((self._glass, whole), (scene, whole.intersect(self._lung))):
                    source, target = part.shift(-y, -x).slices, part.shift(-y0, -x0).slices
                    out[:, target[0], target[1]] = pixels[:, source[0], source[1]]
        return out[channels]

    def _scene(self, row: int, column: int) -> np.ndarray:
        if (row, column) not in self._variant:
            return self._glass
        scene = self._scenes[self._variant[row, column]]
        return scene[:, :: -1 if row % 2 else 1, :: -1 if column % 2 else 1]


def _glass() -> np.ndarray:
    """Light of the bare slide with its noise, as the simulator's camera would show it."""
    recipe = LungRecipe()
    rng = np.random.default_rng(3)
    out = np.empty((len(CHANNELS), SCENE_PX, SCENE_PX), np.uint16)
    for channel, electrons in enumerate(recipe.light.glass_e):
        counted = rng.poisson(electrons, out.shape[1:]) + rng.normal(
            0.0, recipe.camera.read_noise_e, out.shape[1:]
        )
        out[channel] = np.clip(counted + recipe.camera.offset_counts, 0, 65535)
    return out


def _draw(kind: Kind, foci: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of a scene, and where its cells lie, (n, 2) px."""
    from dataclasses import replace

    recipe = LungRecipe()
    if kind.consolidated:
        recipe = infect(recipe, fraction=kind.consolidated)
    recipe = replace(recipe, camera=replace(recipe.camera, counts_per_e=(1.0,) * 4))
    scene = SectionScene(
        recipe, shape_px=(SCENE_PX, SCENE_PX), pixel_size_um=PIXEL_UM, seed=8,
        focus_sizes=list(foci), outline="none",
    )  # fmt: skip
    cells = scene.truth().cells[["y_um", "x_um"]].to_numpy() / PIXEL_UM
    return scene.render(scene.box), cells


def make_slide(name: str, size: int, folder: Path) -> tuple[Path, int]:
    """A study of one slide: its folder, and how many cells are truly on it.

    Parameters
    ----------
    name : str
        Of :data:`KINDS`.
    size : int
        Edge, px.
    folder : Path
        Slides stay here and are not made twice, unless what their kind means has changed.
    """
    study, kind = folder / f"{name}-{size}", KINDS[name]
    truth = study / "truth.json"
    known = json.loads(truth.read_text()) if truth.is_file() else {}
    if known.get("kind") == repr(kind):
        return study, int(known["cells"])
    shutil.rmtree(study, ignore_errors=True)
    study.mkdir(parents=True)
    (empty, _), (filled, cells) = (_draw(kind, foci) for foci in ((), kind.foci))
    mosaic = Mosaic(kind, size, [empty, filled], cells)
    write_ome_tiff(
        study / "slide.ome.tif", mosaic, channel_names=list(CHANNELS),
        pixel_size=PixelSize.square(PIXEL_UM),
    )  # fmt: skip
    (study / "samples.csv").write_text("image,mouse,group,dpi\nslide.ome.tif,m1,G,15\n")
    (study / "study.yaml").write_text(STUDY)
    truth.write_text(json.dumps({"cells": mosaic.true_cells, "kind": repr(kind)}))
    return study, mosaic.true_cells
