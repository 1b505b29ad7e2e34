"""Results to review: made by hand, and by a real run with the uphill segmenter."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from fociquant.review import ReviewSession

if TYPE_CHECKING:
    from fociquant.run.study import Outcome

RADIUS = 6.0


def disc(y: float, x: float, radius: float = RADIUS) -> np.ndarray:
    """Flat outline of a disc, float32."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    points = np.column_stack([y + radius * np.sin(turn), x + radius * np.cos(turn)])
    return points.astype(np.float32).ravel()


def write_results(folder: Path, places: np.ndarray, positive: np.ndarray, *, key: str = "a" * 64,
                  radius: float = RADIUS, order: np.ndarray | None = None) -> Path:  # fmt: skip
    """What a session needs of a results folder with one section, ``s1``."""
    places, positive = np.asarray(places, float).reshape(-1, 2), np.asarray(positive, bool)
    order = np.arange(len(places)) if order is None else order
    frame = pd.DataFrame({
        "section": "s1", "cell": np.arange(1, len(places) + 1),
        "y_um": places[order, 0], "x_um": places[order, 1], "positive": positive[order],
        "flags": "", "score": 3.0, "outline": [disc(y, x, radius) for y, x in places[order]],
    }).astype({"cell": "int64", "section": "str", "flags": "str"})  # fmt: skip
    (folder / "sections" / "s1").mkdir(parents=True, exist_ok=True)
    frame.to_parquet(folder / "cells.parquet")
    (folder / "sections" / "s1" / "section.json").write_text(json.dumps({"key": key}))
    (folder / "run.json").write_text(json.dumps({"sections": [{"name": "s1"}]}))
    return folder


def grid(number: int, gap: float = 30.0) -> np.ndarray:
    """Places of cells on a square grid, µm."""
    side = int(np.ceil(np.sqrt(number)))
    return np.array([(gap * (i // side + 1), gap * (i % side + 1)) for i in range(number)])


@pytest.fixture()
def made(tmp_path):
    """Results with 12 candidates, every third of them counted."""
    return write_results(tmp_path / "results", grid(12), np.arange(12) % 3 == 0)


@pytest.fixture()
def remake():
    """Write results again, see :func:`write_results`."""
    return write_results


class Clock:
    """Times one second apart."""

    def __init__(self, start: int = 0) -> None:
        self.seconds = start

    def __call__(self) -> str:
        self.seconds += 1
        return f"2026-03-01T00:{self.seconds // 60:02d}:{self.seconds % 60:02d}.000Z"


@pytest.fixture()
def clock():
    return Clock()


@pytest.fixture()
def opened(made, clock):
    """A session of ana on the results made by hand."""
    with ReviewSession.open(made, "s1", "ana", clock=clock) as session:
        yield session


def all_tissue(*args, **options):
    from fociquant.prepare import prepare_section

    found = prepare_section(*args, **options)
    everywhere = np.ones_like(found.facts.outline)
    # Sections of 160 x 200 px of 0.5 µm: 0.008 mm², all of it lung.
    facts = dataclasses.replace(
        found.facts, outline=everywhere, artefact=~everywhere, tissue_mm2=0.008
    )
    return dataclasses.replace(found, facts=facts)


def count_cones(study: Path, target: Path, prepare: Callable[..., Any]) -> Outcome:
    """A real run of a study of cones, with `prepare` in place of ``prepare_section``."""
    from fociquant.run import jobs
    from fociquant.run import study as corridor
    from fociquant.run.start import require_runnable
    from fociquant.settings import ComputeSettings
    from fociquant.testing.segmenters import UphillSegmenter

    segmenter = UphillSegmenter(window_core_px=64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corridor, "load_segmenter", lambda *_, **__: segmenter)
        patch.setattr(corridor, "report", lambda *_: None)
        patch.setattr(jobs, "overview_png", lambda *_, **__: b"PNG")
        patch.setattr(jobs, "prepare_section", prepare)
        outcome = corridor.run_study(
            require_runnable(study), target, compute=ComputeSettings(threads=1)
        )
    assert outcome.failed == ()
    return outcome


@pytest.fixture(scope="session")
def counted(tmp_path_factory):
    """A real run: mice a (PBS) with 4 cells and b (IAV) with 6."""
    from fociquant.testing.studies import write_study

    folder = tmp_path_factory.mktemp("counted")
    study = write_study(folder / "study", {"a": 4, "b": 6})
    outcome = count_cones(study, folder / "results", all_tissue)
    assert outcome.tables.mice["cells"].tolist() == [4, 6]
    return folder / "results"


@pytest.fixture(scope="session")
def stained(tmp_path_factory):
    """A real run of a study with Ki67, which the image of mouse a lacks."""
    from fociquant.io import open_image, write_ome_tiff
    from fociquant.model import Box
    from fociquant.testing.studies import write_study

    folder = tmp_path_factory.mktemp("stained")
    study = write_study(folder / "study", {"a": 4, "b": 6})
    roles = "nucleus: DAPI, phenotype: {Ki67: Ki67}}"
    study.write_text(study.read_text().replace("nucleus: DAPI}", roles))
    image = folder / "study" / "images" / "s1.ome.tif"
    with open_image(image) as opened:
        pixel, box = opened.pixel_size, Box.of_shape(opened.shape[1:])
        planes = opened.read(box, [opened.channel_index(name) for name in ("HER2", "DAPI")])
    more = np.concatenate([planes, planes[1:] // 2])
    write_ome_tiff(image, more, channel_names=("HER2", "DAPI", "Ki67"), pixel_size=pixel)
    count_cones(study, folder / "results", all_tissue)
    return folder / "results"


def burnt_region(*args, **options):
    """All of the region is lung; what is lower than 60 µm is masked."""
    from fociquant.prepare import prepare_section

    found = prepare_section(*args, **options)
    region = found.facts.region
    assert region is not None
    artefact = np.zeros_like(region)
    artefact[round(60 / found.facts.overview_px.y) :] = True
    facts = dataclasses.replace(found.facts, outline=region, artefact=artefact & region)
    return dataclasses.replace(found, facts=facts)


@pytest.fixture()
def slide(tmp_path, monkeypatch):
    """A real run: 20 cells on a slide of 95 x 115 µm, of mouse l to 65 µm from the left, else of r.

    The last row is masked: 9 cells of l count, and 6 of r; 3 and 2 lie in the mask.
    """
    from fociquant.run import study as corridor
    from fociquant.testing.studies import write_study

    study = write_study(tmp_path / "study", {"l": 20}, shape=(190, 230))
    (tmp_path / "study" / "samples.csv").write_text(
        "image,mouse,group,dpi,section,region\n"
        'images/s0.ome.tif,l,PBS,3,left,"0,0,95,65"\n'
        'images/s0.ome.tif,r,PBS,3,right,"0,65,95,115"\n'
    )
    outcome = count_cones(study, tmp_path / "slide", burnt_region)
    assert outcome.tables.mice["cells"].tolist() == [9, 6]
    monkeypatch.setattr(corridor, "report", lambda *_: None)
    return tmp_path / "slide"


@pytest.fixture()
def results(counted, tmp_path, monkeypatch):
    """A copy of the real run, to be reviewed; reports are not drawn."""
    from fociquant.run import study as corridor

    monkeypatch.setattr(corridor, "report", lambda *_: None)
    shutil.copytree(counted, tmp_path / "r")
    return tmp_path / "r"


@pytest.fixture()
def with_ki67(stained, tmp_path, monkeypatch):
    """A copy of the run with Ki67, to be reviewed."""
    from fociquant.run import study as corridor

    monkeypatch.setattr(corridor, "report", lambda *_: None)
    shutil.copytree(stained, tmp_path / "k")
    return tmp_path / "k"
