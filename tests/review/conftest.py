"""Results to review: made by hand, and by a real run with the uphill segmenter."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fociquant.review import ReviewSession

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


def count(study: Path, out: Path) -> Path:
    """A real run with the uphill segmenter and without figures."""
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
        patch.setattr(jobs, "prepare_section", all_tissue)
        outcome = corridor.run_study(
            require_runnable(study), out, compute=ComputeSettings(threads=1)
        )
    assert outcome.failed == ()
    return out


@pytest.fixture(scope="session")
def counted(tmp_path_factory):
    """A real run: mice a (PBS) with 4 cells and b (IAV) with 6."""
    from fociquant.store import read_csv
    from fociquant.testing.studies import write_study

    folder = tmp_path_factory.mktemp("counted")
    found = count(write_study(folder / "study", {"a": 4, "b": 6}), folder / "results")
    assert read_csv(found / "mice.csv")["cells"].tolist() == [4, 6]
    return found


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
    return count(study, folder / "results")


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
