"""Thresholds from controls, and phenotypes that some images lack, over a whole run."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import chi2

from fociquant.flags import CellFlag
from fociquant.gate import BatchThreshold, Gate, Passing
from fociquant.io import write_ome_tiff
from fociquant.run import thresholds
from fociquant.run.study import recount
from fociquant.settings import GateSettings
from fociquant.testing.segmenters import UphillSegmenter, cones
from fociquant.testing.studies import grid_of_cells
from fociquant.units import PixelSize

SHAPE = (160, 200)


def write(folder, sections, *, channels="marker: HER2, nucleus: DAPI", extra=""):
    """Sections as {name: (cells, brightness, sheet columns)}; planes HER2, DAPI, Ki67."""
    lines = ["image,mouse,group,dpi,section,control,batch"]
    (folder / "images").mkdir(parents=True)
    for number, (name, (cells, bright, sheet)) in enumerate(sections.items()):
        places = grid_of_cells(SHAPE, cells)
        rng = np.random.default_rng(number)
        planes = [cones(SHAPE, places, 24.0) * bright, cones(SHAPE, places, 12.0)]
        names = ["HER2", "DAPI"]
        if "no Ki67" not in sheet:
            planes.append(cones(SHAPE, places[::2], 12.0) * (0.05 if "dim Ki67" in sheet else 1))
            names.append("Ki67")
        planes = [plane.astype(float) for plane in planes]
        if "fibre" in sheet:
            for plane in planes[1:]:
                plane[40:42] += 20_000.0
        ground = rng.normal(100, 6, (len(planes), *SHAPE))
        pixels = np.clip(np.round(np.stack(planes) + ground), 0, 65535).astype(np.uint16)
        write_ome_tiff(folder / f"images/{name}.ome.tif", pixels, channel_names=names,
                       pixel_size=PixelSize.square(0.5), tile_px=64)  # fmt: skip
        control = "negative" if "control" in sheet else ""
        batch = next((part for part in sheet if part.startswith("b")), "")
        lines.append(f"images/{name}.ome.tif,m-{name},IAV,3,{name},{control},{batch}")
    (folder / "samples.csv").write_text("\n".join(lines) + "\n")
    study = folder / "study.yaml"
    study.write_text(f"name: t\nchannels: {{{channels}}}\n{extra}")
    return study


def read(out, name):
    return pd.read_csv(out / name, keep_default_na=False, dtype={"batch": str}).set_index(
        "batch" if name == "thresholds.csv" else "section"
    )


FALSE = {
    "a": (12, 1.0, ("b1",)),
    "wt": (3, 0.3, ("b1", "control")),
    "c": (12, 1.0, ("b2",)),
}


@pytest.fixture(scope="module")
def results(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gating")
    study = write(folder / "study", FALSE, extra="gate: {min_score: -10, lining_score: -10, "
                  "without_autofluorescence_min_score: -10}\n")  # fmt: skip
    run(study, folder / "r", threads=1)
    return study, folder / "r"


def test_the_gate_of_a_batch_is_raised_by_its_controls(results):
    _, out = results
    sections, batches = read(out, "sections.csv"), read(out, "thresholds.csv")
    assert sections["cells"].tolist() == [12, 0, 12]
    assert sections["candidates"].tolist() == [12, 3, 12]
    assert batches.loc["b1", "threshold_source"] == "controls"
    assert batches.loc["b1", "control_sections"] == "wt"
    assert (batches.loc["b1", "false_at_floor"], batches.loc["b1", "false_cells"]) == (3, 0)
    assert batches.loc["b2", "threshold_source"] == "section"
    assert "batch 'b2' has no section marked" in sections.loc["c", "threshold_note"]
    assert batches["marker_counts"].tolist()[1] == ""
    cells = pd.read_parquet(out / "cells.parquet")
    needed = cells["section"].map(sections["marker_threshold"])
    assert ((cells["marker_strength"] > needed) == cells["positive"]).all()


def wear_rims(path, filled):
    """Stored objects as certain cells with a rim, but for the last few."""
    table = pq.read_table(path)
    n = table.num_rows
    evenly = np.arange(n) >= n - filled
    edge = table["marker_edge_mean"].to_numpy()
    ground = table["marker_ring"].to_numpy()
    core = np.where(evenly, edge, ground + 0.4 * (edge - ground))
    for name, values in {
        "score_mean": np.where(evenly, 4.0, 7.0),
        "marker_core_mean": core,
    }.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(
            place, table.schema.field(place), pa.array(values, table.schema.field(place).type)
        )
    pq.write_table(table, path)


def test_without_an_unstained_channel_the_pattern_is_learnt_from_all_sections(run, tmp_path):
    cells = dict.fromkeys("abc", (12, 1.0, ()))
    gate = "gate: {min_score: 0, lining_score: -10, without_autofluorescence_min_score: 0}\n"
    out = tmp_path / "r"
    run(write(tmp_path / "study", cells, extra=gate), out, threads=1)
    for name, filled in zip("abc", (0, 0, 2), strict=True):
        wear_rims(out / "sections" / name / "objects.parquet", filled)
    recount(out)
    sections = read(out, "sections.csv")
    assert sections["cells"].tolist() == [12, 12, 10]
    assert sections["ring_threshold"].between(0.2, 0.4).all()
    assert "2 candidates evenly filled" in sections.loc["a", "threshold_note"]
    flags = pd.read_parquet(out / "cells.parquet").query("section == 'c'")["flags"]
    assert flags.str.contains("filled").sum() == 2


def test_a_fibre_moves_no_threshold_and_arms_are_asked_for_the_same(run, tmp_path):
    sections = {
        "a": (12, 1.0, ()), "b": (12, 1.0, ("fibre",)), "c": (12, 1.0, ()),
        "d": (12, 1.0, ("dim Ki67",)),
    }  # fmt: skip
    channels = "marker: HER2, nucleus: DAPI, phenotype: {Ki67: Ki67}"
    gate = "gate: {min_score: -10, lining_score: -10, without_autofluorescence_min_score: -10}\n"
    out = tmp_path / "r"
    run(write(tmp_path / "study", sections, channels=channels, extra=gate), out, threads=1)
    found = read(out, "sections.csv")
    assert found["cells"].tolist() == [12] * 4
    # One cell lies on the fibre.
    assert found.loc[["a", "c", "d"], "Ki67_positive"].tolist() == [6, 6, 0]
    assert found.loc["b", "Ki67_positive"] in (6, 7, 8)
    told = found["warnings"].str.contains("give it a batch of its own")
    assert told.tolist() == [False, False, False, True]


def test_what_was_used_is_in_run_json_and_recount_agrees(results, tables):
    _, out = results
    before, record = tables(out), json.loads((out / "run.json").read_text())
    thresholds = (out / "thresholds.csv").read_bytes()
    one = record["gate"]["thresholds"][0]
    assert record["gate"]["raised_by_controls"] == {"b1": ["marker"], "b2": []}
    assert one["batch"] == "b1" and one["false_cells"] == 0 and one["control_sections"] == "wt"
    recount(out)
    assert tables(out) == before and (out / "thresholds.csv").read_bytes() == thresholds
    assert json.loads((out / "run.json").read_text()) == record


def test_taking_a_control_back_reads_no_pixels(run, results, reads):
    study, out = results
    sheet = study.parent / "samples.csv"
    sheet.write_text(sheet.read_text().replace("negative", ""))
    run(study, out, threads=1)
    assert reads[0] == 0 and run.seen == 0
    assert read(out, "sections.csv")["cells"].tolist() == [12, 3, 12]


def test_a_section_full_of_cells_is_refused_as_a_control(run, tmp_path):
    sections = {"a": (12, 1.0, ()), "full": (12, 1.0, ("control",))}
    extra = ("gate: {min_score: -10, lining_score: -10, "
             "without_autofluorescence_min_score: -10}\n")  # fmt: skip
    run(write(tmp_path / "s", sections, extra=extra), tmp_path / "r", threads=1)
    found = read(tmp_path / "r", "sections.csv")
    assert found["cells"].tolist() == [12, 12]
    assert "control section full is not used as a control" in found.loc["a", "threshold_note"]


def test_a_control_that_fails_is_still_one_that_the_sheet_marks(run, tmp_path):
    sections = {"a": (12, 1.0, ("b1",)), "wt": (3, 0.3, ("b1", "control")), "c": (9, 1.0, ("b2",))}
    study = write(tmp_path / "s", sections)
    image = study.parent / "images" / "wt.ome.tif"
    image.write_bytes(image.read_bytes()[:500])
    run(study, tmp_path / "r", threads=1)
    found = read(tmp_path / "r", "sections.csv")
    assert found["status"].tolist() == ["done", "failed", "done"]
    notes = found.loc["a", "threshold_note"].split(" | ")
    assert "control section wt is not used as a control: it was not counted; the reason" in notes[0]
    assert notes[1].startswith("no control section of batch 'b1' could be used")
    assert "no tissue" not in found.loc["a", "threshold_note"]
    assert "has no section marked 'control: negative' (another" in found.loc["c", "threshold_note"]
    batches = read(tmp_path / "r", "thresholds.csv")
    assert batches.loc["b1", "control_sections_refused"] == "wt"
    assert batches.loc["b1", "control_sections"] == "" and batches.loc["b1", "control_mm2"] == 0
    assert set(batches["threshold_source"]) == {"section"}


def test_a_phenotype_that_some_images_lack_is_unknown_there(run, tmp_path):
    sections = {"a": (12, 1.0, ()), "b": (12, 1.0, ("no Ki67",))}
    channels = (
        "marker: HER2, nucleus: DAPI, phenotype: {Ki67: {channel: Ki67, compartment: nuclear}}"
    )
    study = write(tmp_path / "s", sections, channels=channels)
    sheet = study.parent / "samples.csv"
    sheet.write_text(sheet.read_text().replace("m-b", "m-a"))
    out = tmp_path / "r"
    outcome = run(study, out, threads=1)
    assert outcome.failed == ()
    found = read(out, "sections.csv")
    assert found["Ki67_positive"].tolist() == ["6", ""] and found["cells"].tolist() == [12, 12]
    assert "no channel for Ki67" in found.loc["b", "warnings"]
    mice = pd.read_csv(out / "mice.csv").iloc[0]
    assert (mice["cells"], mice["Ki67_positive"], mice["Ki67_cells"]) == (24, 6, 12)
    assert mice["Ki67_pct"] == 50 and "from 1 of 2 sections" in mice["Ki67_note"]
    cells = pd.read_parquet(out / "cells.parquet")
    assert cells[cells["section"] == "b"]["Ki67_positive"].isna().all()
    assert pd.read_csv(out / "foci.csv").query("section == 'b'")["Ki67_positive"].isna().all()


def edit(path, changes):
    """Change columns of stored objects: name to values, whose key stays."""
    table = pq.read_table(path)
    for name, values in changes.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array(values, field.type))
    pq.write_table(table, path)


LOOSE = "gate: {min_score: 0, lining_score: -10, without_autofluorescence_min_score: 0}\n"


def test_saturated_false_cells_raise_the_gate_and_are_told(run, tmp_path):
    """No pattern is asked of what is too bright to show one, in controls as elsewhere."""
    sections = dict.fromkeys("abc", (12, 1.0, ())) | {"wt": (4, 1.0, ("control",))}
    out = tmp_path / "r"
    run(write(tmp_path / "study", sections, extra=LOOSE), out, threads=1)
    for name, filled in (("a", 0), ("b", 0), ("c", 0), ("wt", 4)):
        wear_rims(out / "sections" / name / "objects.parquet", filled)
    edit(out / "sections" / "wt" / "objects.parquet", {"flags": [int(CellFlag.SATURATED)] * 4})
    recount(out)
    cells, batch = read(out, "sections.csv")["cells"], read(out, "thresholds.csv").iloc[0]
    assert batch["false_at_floor"] == 4
    assert cells.tolist() == [12, 12, 12, 0]
    assert batch["false_cells"] == cells["wt"]


def test_the_other_half_of_a_false_cell_is_asked_for_too(run, tmp_path):
    """The gate is raised above the half that counts; then the other one would."""
    sections = {"a": (12, 1.0, ()), "b": (12, 1.0, ()), "wt": (4, 1.0, ("control",))}
    out = tmp_path / "r"
    run(write(tmp_path / "study", sections, extra=LOOSE), out, threads=1)
    path = out / "sections" / "wt" / "objects.parquet"
    found = pq.read_table(path, columns=["y_um", "x_um", "marker_mean", "marker_ring"])
    y, x, mean, ring = (column.to_numpy() for column in found.columns)
    bright = ring + (mean - ring) * (0.3, 0.6, 0, 0)  # the brighter half has the lower score
    edit(path, {"y_um": y[[0, 0, 2, 3]], "x_um": [x[0], x[0] + 6.0, *x[2:]],
                "marker_mean": bright, "score_mean": [4.0, 3.9, -5.0, -5.0]})  # fmt: skip
    for name in "ab":
        edit(out / "sections" / name / "objects.parquet", {"score_mean": [8.0] * 12})
    recount(out)
    cells, batch = read(out, "sections.csv")["cells"], read(out, "thresholds.csv").iloc[0]
    assert cells.tolist() == [12, 12, 0]
    assert batch["false_cells"] == cells["wt"]
    assert batch["false_at_floor"] == 1  # it is one object


class Nuclei(UphillSegmenter):
    """Finds every nucleus, labelled or not."""

    def flows(self, windows):
        return super().flows(np.ascontiguousarray(windows[:, ::-1]))


def test_what_controls_ask_of_a_phenotype_does_not_depend_on_screening(run, tmp_path, monkeypatch):
    """Screening leaves most of a control out."""
    monkeypatch.setattr(run, "segmenter", Nuclei(window_core_px=64))
    shape, folder = (320, 480), tmp_path / "study"
    (folder / "images").mkdir(parents=True)
    places = grid_of_cells(shape, 54)
    for number, name in enumerate(("wt", "a")):
        marked = places[: 40 * number]
        planes = [cones(shape, marked, 24.0) if len(marked) else np.zeros(shape)]
        planes.append(cones(shape, places, 18.0))
        planes.append(np.max([cones(shape, [one], 18.0) * (i % 10) / 10
                              for i, one in enumerate(places)], axis=0))  # fmt: skip
        ground = np.random.default_rng(number).normal(100, 6, (3, *shape))
        pixels = np.clip(np.round(np.stack(planes) + ground), 0, 65535).astype(np.uint16)
        write_ome_tiff(folder / f"images/{name}.ome.tif", pixels, tile_px=64,
                       channel_names=["HER2", "DAPI", "Ki67"],
                       pixel_size=PixelSize.square(0.5))  # fmt: skip
    (folder / "samples.csv").write_text(
        "image,mouse,group,dpi,section,control\nimages/wt.ome.tif,w,PBS,3,wt,negative\n"
        "images/a.ome.tif,m,IAV,3,a,\n"
    )
    roles = "marker: HER2, nucleus: DAPI, phenotype: {Ki67: {channel: Ki67, controls: true}}"
    (folder / "study.yaml").write_text(f"name: t\nchannels: {{{roles}}}\n{LOOSE}")
    found = []
    for exhaustive in (False, True):
        out = tmp_path / f"r{exhaustive}"
        run(folder / "study.yaml", out, threads=1, exhaustive=exhaustive)
        found.append(read(out, "sections.csv").loc["a", ["cells", "Ki67_positive", "Ki67_cells"]])
        notes = read(out, "thresholds.csv")["threshold_note"].iloc[0]
        assert "Ki67 is judged by the sections alone: its negative controls have" in notes
    assert found[0].tolist() == found[1].tolist()
    assert found[0]["cells"] == 40


def test_what_is_left_in_controls_is_told_per_area():
    one = BatchThreshold("b", Gate(), "controls", ("wt1", "wt2"), control_mm2=4.0, warnings=("w",))
    left = {"wt1": {3: (1, 1, 1), 8: (1, 1, 1)}, "wt2": {3: (1, 1, 1)}, "refused": {1: (1, 1, 1)}}
    told = thresholds._told(one, left, {"b": ["n"], "other": ["m"]})
    assert (told.false_left, told.false_per_mm2, told.warnings) == (3, 0.75, ("w", "n"))
    assert told.false_per_mm2_upper == pytest.approx(chi2.ppf(0.95, 2 * 4) / 2 / 4.0)


@pytest.mark.parametrize(("rounds", "marker"), [(0, 5.0), (1, 30.0), (3, 32.0), (9, 32.0)])
def test_thresholds_are_sought_again_three_times_while_any_control_has_news(
    monkeypatch, rounds, marker
):
    def passing(name, strengths, control):
        n = len(strengths)
        values = np.column_stack([strengths, np.full(n, 4.0), np.full(n, 0.5)])
        places = np.column_stack([1000.0 * np.arange(n), np.zeros(n)])
        return Passing(name, "b", control, 10.0, values, places)

    sections = [passing("a", np.linspace(40, 60, 100), False)]
    sections += [passing(name, [5.0], True) for name in ("wt1", "wt2")]
    floor = {name: thresholds._Candidates("b", {1}, {}) for name in ("wt1", "wt2")}
    asked = []

    def left(*_):
        # Object 1 is known; in each round another one comes up, in the first control only.
        news = {100 + len(asked): (30.0 + len(asked), 4.0, 0.5)} if len(asked) < rounds else {}
        asked.append(1)
        return {"wt1": {1: (5.0, 4.0, 0.5)} | news, "wt2": {1: (5.0, 4.0, 0.5)}}

    monkeypatch.setattr(thresholds, "_ranges", lambda *_: {})
    monkeypatch.setattr(thresholds, "_at_the_floor", lambda *_: (sections, floor))
    monkeypatch.setattr(thresholds, "_left_in_controls", left)
    inputs = SimpleNamespace(settings=SimpleNamespace(gate=GateSettings()), phenotypes=(), rules={})
    batch = thresholds.find_gating(None, inputs).batches["b"]
    assert batch.gate.marker == marker and len(asked) == 1 + min(rounds, 3)
    assert batch.false_at_floor == 2


def test_controls_of_a_batch_ask_of_a_phenotype_together():
    strengths = np.linspace(0.1, 3.0, 30)
    found = {
        "a": thresholds._Candidates("b", set(), {"Ki67": strengths[::2]}),
        "b": thresholds._Candidates("b", set(), {"Ki67": strengths[1::2]}),
        "c": thresholds._Candidates("few", set(), {"Ki67": np.r_[strengths[:19], np.nan]}),
    }
    settings = GateSettings(control_phenotype_fraction=0.1)
    inputs = SimpleNamespace(settings=SimpleNamespace(gate=settings))
    asked, notes = thresholds._of_phenotypes(found, inputs)
    # At most 3 of 30 lie above the 28th; 29 steps of 0.1.
    assert asked == {"b": {"Ki67": pytest.approx(2.8)}}
    assert list(notes) == ["few"] and "have 19 candidates, 20 are needed" in notes["few"][0]
