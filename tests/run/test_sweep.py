"""The sweep: counts only fall, stored tables stay as they are, and words follow the numbers."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fociquant.cli import group
from fociquant.errors import ResultsError
from fociquant.review import ReviewSession
from fociquant.run import jobs
from fociquant.run.study import recount
from fociquant.run.sweep import sweep_gate
from fociquant.run.verdict import sentences, verdict
from fociquant.store import read_objects
from fociquant.store.objects import write_objects
from fociquant.testing.studies import write_study


@pytest.fixture(scope="module")
def results(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    counts = {"p1": 1, "i1": 9, "p2": 0, "i2": 12, "p3": 2, "i3": 8}
    study = write_study(folder / "study", counts, extra="gate: {min_score: 2.0}\n")
    sheet = study.parent / "samples.csv"
    rows = [line.split(",") for line in sheet.read_text().splitlines()]
    rows[1:] = [[*row[:3], "3", row[4]] for row in rows[1:]]
    sheet.write_text("\n".join(",".join(row) for row in rows) + "\n")
    run(study, folder / "r", threads=1)
    return folder / "r"


def test_counts_fall_and_begin_with_those_of_the_tables(results):
    sweep = sweep_gate(results)
    mice = pd.read_csv(results / "mice.csv").set_index("mouse")["cells"]
    for _, own in sweep.mice.groupby("property"):
        used = own[own["state"] == "in use"].set_index("mouse")["cells"]
        assert used.reindex(mice.index).tolist() == mice.tolist()
        by_level = own.pivot(index="threshold", columns="mouse", values="cells").sort_index()
        assert (by_level.astype(int).diff().iloc[1:] <= 0).all().all()
        assert by_level.iloc[-1].sum() < by_level.iloc[0].sum()


def test_nothing_stored_is_changed(results, tables, reads):
    before = tables(results), (results / "run.json").read_bytes()
    done = CliRunner().invoke(group, ["gate", str(results), "--sweep"])
    assert done.exit_code == 0, done.output
    assert (tables(results), (results / "run.json").read_bytes()) == before and reads[0] == 0
    written = {path.name for path in (results / "gate_sweep").iterdir()}
    assert written == {"sweep_mice.csv", "sweep_groups.csv", "sweep.txt",
                       "gate_sweep.png", "gate_sweep.svg"}  # fmt: skip
    assert "conclusion" in done.output and "rate ratio to PBS" in done.output


def test_json_has_the_same(results, tmp_path):
    done = CliRunner().invoke(
        group, ["gate", str(results), "--sweep", "--json", "--out", str(tmp_path)]
    )
    content = json.loads(done.output)
    assert {"sentences", "groups", "mice"} == set(content) and content["sentences"]
    shown = json.loads(CliRunner().invoke(group, ["gate", str(results), "--json"]).output)
    assert shown["thresholds"][0]["threshold_source"] == "section"


def test_without_sweep_the_thresholds_are_told(results):
    done = CliRunner().invoke(group, ["gate", str(results)])
    assert "note: this study has no section marked 'control: negative'" in done.output


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(ResultsError, match=r"no run\.json"):
        sweep_gate(tmp_path)


def in_use(results):
    groups = sweep_gate(results).groups
    return groups[(groups["state"] == "in use") & (groups["property"] == "marker")]


def test_excluded_regions_are_counted_with_their_area(results, tmp_path):
    copy = shutil.copytree(results, tmp_path / "r")
    before = in_use(copy)
    for section in ("s1", "s3", "s5"):
        with ReviewSession.open(copy, section, "ana") as session:
            session.exclude([[0, 0], [0, 100], [40, 100], [40, 0]], reason="fold")
    recount(copy)
    mice = pd.read_csv(copy / "mice.csv").set_index("mouse")
    assert (mice.loc[["i1", "i2", "i3"], "excluded_mm2"] > 0).all()
    assert (mice["cells"] < mice["cells_automatic"]).any()
    after = in_use(copy)
    assert after["mean"].tolist() == before["mean"].tolist()
    for name in ("rate_ratio", "ratio_low", "ratio_high"):
        assert after[name].dropna().tolist() == pytest.approx(before[name].dropna(), rel=1e-3)


def wear_rims(path, section):
    """Certain cells with a rim and evenly filled ones; in the control a few uncertain ones."""
    objects = read_objects(path)
    number, ground = np.arange(len(objects)), objects["marker_ring"]
    edge = objects["marker_mean"] - ground
    filled = (number % 3 == 0) & (section != "control")
    objects["score_mean"] = np.where(filled, 4.5, 7.0)
    if section == "control":
        objects["score_mean"] = np.where(number == 0, 4.6, 1.0)
    objects["marker_edge_mean"] = ground + 1.3 * edge
    objects["marker_core_mean"] = ground + np.where(filled, 1.3, 0.3) * edge
    key = pq.read_schema(path).metadata[b"fociquant_key"].decode()
    write_objects(path, objects, key=key)


@pytest.fixture()
def with_control(run, tmp_path, monkeypatch):
    """A batch whose certain cells ask for a rim, and a control that raises its score."""

    def one_mm2(*args, **kwargs):
        found = all_tissue(*args, **kwargs)
        return dataclasses.replace(found, facts=dataclasses.replace(found.facts, tissue_mm2=1.0))

    all_tissue = jobs.prepare_section
    monkeypatch.setattr(jobs, "prepare_section", one_mm2)
    study = write_study(tmp_path / "study", {"p": 40, "i": 40, "wt": 6}, shape=(420, 420))
    (study.parent / "samples.csv").write_text(
        "image,mouse,group,dpi,section,control\n"
        "images/s0.ome.tif,p,PBS,7,a,\nimages/s1.ome.tif,i,IAV,7,b,\n"
        "images/s2.ome.tif,wt,PBS,7,control,negative\n"
    )
    run(study, tmp_path / "r", threads=1)
    for section in ("a", "b", "control"):
        wear_rims(tmp_path / "r" / "sections" / section / "objects.parquet", section)
    recount(tmp_path / "r")
    return study, tmp_path / "r"


def test_the_floor_is_the_study_without_its_controls(run, with_control):
    study, out = with_control
    assert pd.read_csv(out / "thresholds.csv")["score_threshold"].tolist() == [4.6]
    rows = sweep_gate(out).mice.query("property == 'marker'")
    found = {state: own.set_index("mouse")["cells"] for state, own in rows.groupby("state")}
    sheet = study.parent / "samples.csv"
    sheet.write_text(sheet.read_text().replace("negative", ""))
    run(study, out, threads=1)
    alone = pd.read_csv(out / "mice.csv").set_index("mouse")["cells"]
    assert (alone["wt"], alone["p"]) == (1, 26)  # 14 evenly filled ones are out with or without
    assert found["floor"].to_dict() == alone.to_dict()
    assert found["in use"].to_dict() == {**alone.to_dict(), "wt": 0}


def levels(*p_and_ratio):
    states = ["in use", *["raised"] * (len(p_and_ratio) - 1)]
    return pd.DataFrame(
        [
            ("marker", 2.0 + k, state, "IAV", 9.0, ratio, low, p)
            for k, (state, (p, ratio, low)) in enumerate(zip(states, p_and_ratio, strict=True))
        ],
        columns=["property", "threshold", "state", "group", "dpi", "rate_ratio", "ratio_low",
                 "p_holm"],
    )  # fmt: skip


MORE, NONE, FEWER = (0.01, 9.0, 3.0), (0.2, 3.0, 0.5), (0.01, 0.2, 0.1)


def test_a_conclusion_that_holds_is_called_so():
    (text,) = sentences(levels(MORE, MORE, MORE), reference="PBS")
    assert "from 2 to 4: the conclusion does not change. IAV at 9 dpi: more cells than PBS" in text


@pytest.mark.parametrize(("other", "words"), [(NONE, "no shown difference"), (FEWER, "fewer")])
def test_a_conclusion_that_depends_on_the_threshold_is_called_so(other, words):
    (text,) = sentences(levels(MORE, MORE, other), reference="PBS")
    assert "depends on the threshold" in text and f"but {words}" in text
    assert "from 4 up (1 of 3 thresholds)" in text


def test_a_bound_counts_as_a_direction():
    rows = levels((0.01, float("nan"), 12.0), (0.01, float("nan"), float("nan")))
    assert [verdict(row) for row in rows.to_dict("records")] == ["more", "fewer"]


def test_without_a_reference_or_a_test_there_is_nothing_to_conclude():
    assert "No reference group" in next(sentences(levels(MORE), reference=None))
    rows = levels(MORE).assign(p_holm=float("nan"))
    assert "no comparison with PBS can be tested" in next(sentences(rows, reference="PBS"))
