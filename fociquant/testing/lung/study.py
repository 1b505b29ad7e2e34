"""A whole simulated study on disk: sheet, settings, images, truth; all from one seed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from fociquant.atomic import put_in_place
from fociquant.errors import InputError
from fociquant.io import write_labels, write_ome_tiff
from fociquant.model import Box
from fociquant.settings import load_profile
from fociquant.testing.lung.design import Design, Stage, partition, section_counts, stage_of
from fociquant.testing.lung.recipe import CHANNELS, LungRecipe, infect
from fociquant.testing.lung.scene import SectionScene
from fociquant.units import PixelSize

FORMAT = 1
"""Version of the simulator's output for a seed; raised when the same seed looks different."""

STUDY_YAML = """\
# Simulated by 'fociquant simulate': not real mice. Truth lies in truth/.
name: {name}
samples: samples.csv
preset: her2_if
reference_group: {reference}
channels:
  marker: HER2
  nucleus: DAPI
{autofluorescence}  phenotype: {{Ki67: Ki67}}
"""


@dataclass(frozen=True)
class PlannedSection:
    """One section before it is drawn.

    Parameters
    ----------
    section, mouse, group : str
        Names.
    dpi : float
        Days post infection.
    control : str
        ``negative`` or nothing.
    consolidated : float
        Part of the parenchyma planned as consolidated.
    scene : SectionScene
        The section itself.
    """

    section: str
    mouse: str
    group: str
    dpi: float
    control: str
    consolidated: float
    scene: SectionScene


@dataclass(frozen=True)
class StudyTruth:
    """Truth of a study: the four tables that are written to ``truth/``."""

    cells: pd.DataFrame
    foci: pd.DataFrame
    sections: pd.DataFrame
    mice: pd.DataFrame


def plan_study(design: Design, *, seed: int) -> Iterator[PlannedSection]:
    """All sections of a study in the order of the sheet, one at a time, nothing drawn yet.

    Every mouse and section has its own seed, made from `seed` and its place in the
    design, so that a study with more mice begins with the same ones.
    """
    for dpi in design.dpi:
        for group in design.groups:
            for number in range(1, design.mice_on(dpi) + 1):
                yield from _mouse(design, seed, group, dpi, number, control=False)
    for number in range(1, design.controls + 1):
        yield from _mouse(design, seed, "IAV", design.dpi[-1], number, control=True)


def _mouse(
    design: Design, seed: int, group: str, dpi: float, number: int, *, control: bool
) -> Iterator[PlannedSection]:
    arm = 1 + ("PBS", "IAV").index(group)
    key = np.random.SeedSequence([seed, arm, round(dpi * 24), number, int(control)])
    rng = np.random.Generator(np.random.Philox(key))
    stage = stage_of(group, dpi)
    base, consolidated = _mouse_recipe(rng, design, stage)
    sections = 1 if control else design.sections
    area = (design.size_px * design.pixel_size_um) ** 2 * 1e-6
    counts = section_counts(rng, stage, areas_mm2=[area] * sections, enrichment=design.enrichment)
    mouse = f"{'WT-' if control else ''}{group}-{dpi:02g}d-{number}"
    for index, cells in enumerate(counts, start=1):
        section_key = np.random.SeedSequence(
            [seed, arm, round(dpi * 24), number, int(control), index]
        )
        yield PlannedSection(
            f"{mouse}-s{index}", mouse, group, dpi, "negative" if control else "", consolidated,
            SectionScene(
                base, shape_px=(design.size_px, design.size_px), pixel_size_um=design.pixel_size_um,
                seed=int(section_key.generate_state(1, np.uint64)[0] >> 2),
                focus_sizes=[] if control else partition(rng, stage, cells),
            ),
        )  # fmt: skip


def _mouse_recipe(
    rng: np.random.Generator, design: Design, stage: Stage
) -> tuple[LungRecipe, float]:
    """The default look with the spread of staining and infection between mice."""
    recipe = LungRecipe()
    stain, unstained, unspecific = np.exp(rng.standard_normal(3) * (0.15, 0.18, 0.3))
    light = replace(
        recipe.light,
        marker_e=recipe.light.marker_e * float(stain),
        tissue_af_e=recipe.light.tissue_af_e * float(unstained),
        bright_af_e=recipe.light.bright_af_e * float(unstained),
        marker_unspecific_e=recipe.light.marker_unspecific_e * float(unspecific),
    )
    recipe = replace(recipe, light=light, cells=replace(recipe.cells, ki67_fraction=stage.ki67))
    per_e = design.counts_per_e
    recipe = replace(
        recipe,
        camera=replace(recipe.camera, counts_per_e=(per_e, per_e, per_e, per_e)),
        artefacts=replace(recipe.artefacts, folds_per_mm2=0.12, out_of_focus_per_mm2=0.08),
    )
    fraction = float(np.clip(stage.consolidated * np.exp(0.3 * rng.standard_normal()), 0, 0.8))
    return (infect(recipe, fraction=fraction), fraction) if fraction > 0 else (recipe, 0.0)


def study_truth(design: Design, *, seed: int) -> StudyTruth:
    """Truth tables of a study without drawing its images."""
    return _tables(_section_truth(planned, design) for planned in plan_study(design, seed=seed))


def simulate_study(
    out: Path,
    design: Design,
    *,
    seed: int,
    labels: bool = False,
    on_section: Callable[[str, int, int], None] | None = None,
) -> StudyTruth:
    """Write a study.

    Parameters
    ----------
    out : Path
        Folder to make; must not exist, or be empty.
    design : Design
        See :data:`~fociquant.testing.lung.design.DESIGNS`.
    seed : int
        The same design and seed give the same files.
    labels : bool
        Also write true outlines to ``truth/labels/<section>.tif``.
    on_section : callable, optional
        Called with (section, done, total) after each section.

    Returns
    -------
    StudyTruth
        As written to ``truth/``.

    Raises
    ------
    InputError
        If the folder holds something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty. Give a new folder, or empty this one first.")
    for folder in ("images", "truth", "truth/labels") if labels else ("images", "truth"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    total = sum(1 for _ in _rows(design))
    parts = []
    for done, planned in enumerate(plan_study(design, seed=seed), start=1):
        _write_section(out, planned, design, labels=labels)
        parts.append(_section_truth(planned, design))
        if on_section is not None:
            on_section(planned.section, done, total)
    truth = _tables(iter(parts))
    _write_text(out, design, seed, truth)
    return truth


def ensure_study(
    out: Path,
    design: Design,
    *,
    seed: int,
    on_section: Callable[[str, int, int], None] | None = None,
) -> bool:
    """Write a study unless it is there already, whole.

    Parameters
    ----------
    out : Path
        Its folder. It appears when everything is written: an interrupted simulation
        leaves only a folder beside it whose name begins with a dot.
    design, seed, on_section
        As for :func:`simulate_study`.

    Returns
    -------
    bool
        Whether it was written now.

    Raises
    ------
    InputError
        If the folder holds anything but this study.
    """
    recipe = out / "truth" / "recipe.json"
    if recipe.is_file() and recipe.read_text(encoding="utf-8") == _recipe_text(design, seed):
        return False
    if out.exists():
        raise InputError(
            f"{out} holds something else than this simulated study (another design, size or "
            "seed?). Give another --out."
        )
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    simulate_study(partial, design, seed=seed, on_section=on_section)
    put_in_place(partial, out)
    return True


def _rows(design: Design) -> Iterator[int]:
    for dpi in design.dpi:
        yield from range(len(design.groups) * design.mice_on(dpi) * design.sections)
    yield from range(design.controls)


class _Drawing:
    """A section as an array that is drawn where it is sliced."""

    def __init__(self, scene: SectionScene, channels: list[int]) -> None:
        self._scene, self._channels = scene, channels
        self.shape = (len(channels), *scene.shape_px)
        self.dtype = np.dtype(np.uint16)

    def __getitem__(self, key: tuple[slice, slice, slice]) -> np.ndarray:
        c, rows, cols = key
        y0, y1, _ = rows.indices(self.shape[1])
        x0, x1, _ = cols.indices(self.shape[2])
        return self._scene.render(Box(y0, x0, y1, x1))[self._channels[c]]


def channel_names(design: Design) -> list[str]:
    """Channels of the files, in order."""
    return [name for name in CHANNELS if design.autofluorescence or name != "AF"]


def _write_section(out: Path, planned: PlannedSection, design: Design, *, labels: bool) -> None:
    names = channel_names(design)
    size = PixelSize.square(design.pixel_size_um)
    drawing = _Drawing(planned.scene, [CHANNELS.index(name) for name in names])
    write_ome_tiff(
        out / "images" / f"{planned.section}.ome.tif", drawing, channel_names=names, pixel_size=size
    )
    if labels:
        truth = planned.scene.labels(planned.scene.box)
        write_labels(out / "truth" / "labels" / f"{planned.section}.tif", truth, pixel_size=size)


def _section_truth(
    planned: PlannedSection, design: Design
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, object]]:
    truth = planned.scene.truth()
    cells, foci = truth.cells.copy(), truth.foci.copy()
    cells.insert(0, "section", planned.section)
    foci.insert(0, "section", planned.section)
    foci.insert(1, "mouse", planned.mouse)
    row = {
        "section": planned.section,
        "image": f"images/{planned.section}.ome.tif",
        "mouse": planned.mouse,
        "group": planned.group,
        "dpi": planned.dpi,
        "control": planned.control,
        "cells": len(cells),
        "foci": len(foci),
        "Ki67_positive": int(cells["Ki67_positive"].sum()),
        "tissue_mm2": planned.scene.lung_mm2,
        "consolidated_fraction": planned.consolidated,
        "size_px": design.size_px,
        "pixel_size_um": design.pixel_size_um,
        "seed": planned.scene.seed,
    }
    return cells, foci, row


def _tables(parts: Iterator[tuple[pd.DataFrame, pd.DataFrame, dict[str, object]]]) -> StudyTruth:
    cells, foci, rows = zip(*parts, strict=True)
    sections = pd.DataFrame(list(rows))
    all_cells = pd.concat(cells, ignore_index=True)
    all_foci = pd.concat(foci, ignore_index=True)
    return StudyTruth(all_cells, all_foci, sections, _mice(sections, all_foci))


def _mice(sections: pd.DataFrame, foci: pd.DataFrame) -> pd.DataFrame:
    """One row per mouse in the order of the sheet; negative controls included."""
    profile = load_profile("chia2025")
    rows = []
    for mouse, own in sections.groupby("mouse", sort=False):
        mine = foci[foci["mouse"] == mouse]
        counts = {c.column: int((mine["class"] == c.name).sum()) for c in profile.classes}
        cells, positive = int(own["cells"].sum()), int(own["Ki67_positive"].sum())
        rows.append(
            {
                "mouse": mouse,
                "group": own["group"].iloc[0],
                "dpi": own["dpi"].iloc[0],
                "control": own["control"].iloc[0],
                "sections": len(own),
                "tissue_mm2": own["tissue_mm2"].sum(),
                "cells": cells,
                **counts,
                "foci_area_mm2": mine["area_um2"].sum() * 1e-6,
                "Ki67_positive": positive,
                "Ki67_pct": 100 * positive / cells if cells else np.nan,
            }
        )
    return pd.DataFrame(rows)


def write_truth(folder: Path, truth: StudyTruth) -> None:
    """The four tables as CSV, three decimals of a µm."""
    for name in ("cells", "foci", "sections", "mice"):
        table: pd.DataFrame = getattr(truth, name)
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")


def _write_text(out: Path, design: Design, seed: int, truth: StudyTruth) -> None:
    sheet = truth.sections[["image", "mouse", "group", "dpi", "section", "control"]].copy()
    sheet["dpi"] = sheet["dpi"].map("{:g}".format)
    sheet.to_csv(out / "samples.csv", index=False, lineterminator="\n")
    unstained = "  autofluorescence: AF\n" if design.autofluorescence else ""
    reference = "PBS" if "PBS" in set(truth.sections["group"]) else truth.sections["group"].iloc[0]
    text = STUDY_YAML.format(
        name=f"simulated-{design.name}", reference=reference, autofluorescence=unstained
    )
    (out / "study.yaml").write_text(text, encoding="utf-8")
    write_truth(out / "truth", truth)
    recipe = out / "truth" / "recipe.json"
    recipe.write_text(_recipe_text(design, seed), encoding="utf-8", newline="\n")


def _recipe_text(design: Design, seed: int) -> str:
    """What a study was made from, as JSON."""
    made = {"simulator_format": FORMAT, "seed": seed, "design": asdict(design)}
    return json.dumps(made, indent=2) + "\n"
