"""The sheet's own columns beside those that the tables make themselves."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from fociquant.cohort._compare import SMALLER_UNITS
from fociquant.errors import StudyError
from fociquant.io import write_ome_tiff
from fociquant.review import ReviewSession
from fociquant.run.audit import audit_settings, draw
from fociquant.run.preflight import check_study
from fociquant.run.provenance import inputs_of
from fociquant.run.start import require_runnable
from fociquant.run.study import recount
from fociquant.run.table_reading import read_tables
from fociquant.store import read_json
from fociquant.study.taken import made_columns, taken_names
from fociquant.testing.segmenters import cones
from fociquant.testing.studies import grid_of_cells, write_study
from fociquant.units import PixelSize

SHAPE = (160, 200)
PROFILE = """name: mine
source: nobody
classes:
  - {name: solitary, column: solitary, max_cells: 1}
  - {name: large, column: large_lesions}
"""
STUDY = """name: t
reference_group: PBS
channels:
  marker: HER2
  nucleus: DAPI
  phenotype: {Ki67: Ki67, CD8: {channel: CD8, immune: true}}
foci: {profile: mine.yaml}
"""


def write(folder):
    """Two mice; phenotype, immune marker, a profile and columns of the user's own."""
    places, rng = grid_of_cells(SHAPE, 6), np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    for name in "ab":
        planes = [cones(SHAPE, places, d) for d in (24.0, 12.0, 12.0, 10.0)]
        pixels = np.stack(planes) + rng.normal(100, 6, (4, *SHAPE))
        write_ome_tiff(folder / f"images/{name}.ome.tif", pixels.round().astype(np.uint16),
                       channel_names=["HER2", "DAPI", "Ki67", "CD8"],
                       pixel_size=PixelSize.square(0.5), tile_px=64)  # fmt: skip
    (folder / "samples.csv").write_text(
        "image,mouse,group,dpi,section,sex,note\n"
        "images/a.ome.tif,a,PBS,3,a,f,ran away\nimages/b.ome.tif,b,IAV,3,b,m,\n"
    )
    (folder / "mine.yaml").write_text(PROFILE)
    study = folder / "study.yaml"
    study.write_text(STUDY)
    return study


@pytest.fixture(scope="module")
def results(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    run(write(folder / "study"), folder / "r", threads=1)
    return folder / "r"


def test_every_column_of_every_table_is_known_as_taken(results):
    draw(results, seed=1, settings=audit_settings(results))
    with ReviewSession.open(results, "a", "ana") as session:
        session.reject(int(session.cell[session.positive][0]))
        session.sign_off()
    recount(results)
    tables = {path.name: pd.read_csv(path, nrows=0).columns for path in results.glob("*.csv")}
    tables["cells.parquet"] = pd.read_parquet(results / "cells.parquet").columns
    profile = inputs_of(read_json(results / "run.json"), results).profile
    made = made_columns(
        channels=("HER2", "DAPI", "Ki67", "CD8"), phenotypes=("Ki67",), immune=True, profile=profile
    )
    assert set(tables) == set(made)
    for name, columns in tables.items():
        own = {"sex", "note"} if name in ("mice.csv", "sections.csv") else set()
        assert set(columns) - made[name] == own, name
        assert made[name] <= set(columns), name
    assert set(SMALLER_UNITS) <= taken_names(made)


def with_column(study, name):
    sheet = study.parent / "samples.csv"
    head, *rows = sheet.read_text().splitlines()
    sheet.write_text("\n".join([f"{head},{name}", *(f"{row},7x" for row in rows)]) + "\n")
    return study


@pytest.mark.parametrize(
    "name",
    ["warnings", "Candidates", "screened", "marker_threshold", "threshold_note", "cells_lumen",
     "shading_pct", "review", "artefact_mm2", "excluded_mm2", "cells_per_mm2_upper",
     "field", "Ki67_positive", "Ki67_spill_over", "Ki67_note", "large_lesions"],
)  # fmt: skip
def test_a_column_that_a_table_makes_is_refused_before_anything_is_counted(tmp_path, name):
    study = with_column(write(tmp_path), name)
    (problem,) = check_study(study)
    assert f"column {name!r} has the name of a column of the results" in problem.what
    meant = "Did you mean 'excluded'? " if name == "excluded_mm2" else ""
    assert (problem.where, problem.cure) == ("samples.csv, header", f"{meant}Rename it.")
    with pytest.raises(StudyError, match=name):
        require_runnable(study)


@pytest.mark.parametrize(
    "name",
    [
        "comment",
        "CD8_pct",
        "genotype",
        "cells_by_hand",
        "score",
        "total",
        "mean",
        "Max",
        "reference",
        "ring",
        "HER2_mean",
        "decision",
    ],
)
def test_a_column_of_ones_own_is_free(tmp_path, name):
    assert check_study(with_column(write(tmp_path), name)) == []


def test_a_column_that_passes_the_check_is_carried(run, tmp_path):
    study = write_study(tmp_path / "s", {"p": 2, "i": 5})
    # The check does not know what the file calls its second channel.
    study.write_text(study.read_text().replace("nucleus: DAPI", "nucleus: 1"))
    run(with_column(study, "DAPI_mean"), tmp_path / "r", threads=1)
    for name in ("mice.csv", "sections.csv"):
        assert pd.read_csv(tmp_path / "r" / name)["DAPI_mean"].tolist() == ["7x", "7x"]


def test_results_of_earlier_versions_keep_what_was_found(run, tmp_path, folder):
    run(write_study(tmp_path / "s", {"p": 2, "i": 5}), tmp_path / "r", threads=1)
    before = (tmp_path / "r/sections.csv").read_bytes(), (tmp_path / "r/mice.csv").read_bytes()
    record = json.loads((tmp_path / "r/run.json").read_text())
    for section in record["sections"]:
        section["extra"] = {"warnings": "none", "candidates": "7x", "review": "no"}
    (tmp_path / "r/run.json").write_text(json.dumps(record))
    recount(tmp_path / "r")
    after = (tmp_path / "r/sections.csv").read_bytes(), (tmp_path / "r/mice.csv").read_bytes()
    assert after == before


def test_a_column_called_like_one_of_another_table_is_carried_and_is_no_number(
    run, tmp_path, folder
):
    run(with_column(write_study(tmp_path / "s", {"p": 2, "i": 5}), "mean"), tmp_path / "r")
    for name in ("mice.csv", "sections.csv"):
        assert pd.read_csv(tmp_path / "r" / name)["mean"].tolist() == ["7x", "7x"]
    there = folder(tmp_path / "r")
    groups = read_tables(there, inputs_of(read_json(there.run), there)).groups
    assert groups["mean"].tolist() == [2, 5]
