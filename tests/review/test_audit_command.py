"""``fociquant audit`` and ``fociquant review`` on a real run."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import shapely
from click.testing import CliRunner

from fociquant.cli import audit, group, review
from fociquant.errors import InputError, ResultsError
from fociquant.review import Reviewer, ReviewSession, read_design
from fociquant.review.regions import to_geometry
from fociquant.run import audit as run_audit
from fociquant.run.study import recount
from fociquant.store import read_csv, read_json, write_csv
from fociquant.store.records import write_sealed


def run(command, *arguments):
    words = [command.name, *(str(one) for one in arguments)]
    outcome = CliRunner().invoke(group, words, standalone_mode=False, catch_exceptions=True)
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


def sheet_of(path):
    return read_csv(path, text=("item", "code", "what", "verdict", "draw"))


def test_from_the_draw_to_corrected_counts_in_the_tables(results, tmp_path):
    recount(results)
    sheet = tmp_path / "audit.csv"
    said = run(audit.command, results, "--draw", "--seed", 4, "--fields", 2, "--sheet", sheet)
    assert "2 arms, seed 4" in said.output
    design = read_design(results)
    assert {item.kind for item in design.items if item.kind != "rejected"} == {"accepted", "tissue"}
    table = sheet_of(sheet)
    assert len(table) == len(design.items) and set(table["code"]).isdisjoint({"s0", "s1"})
    for word in ("accepted", "rejected", "PBS", "IAV"):
        assert word not in sheet.read_text()
    kinds = {item.id: item.kind for item in design.items}
    # One of the counted cells of mouse b is none; nothing else is wrong.
    wrong = next(i.id for i in design.items if (i.kind, i.mouse) == ("accepted", "b"))
    table["verdict"] = [
        "1" if kinds[item] == "accepted" and item != wrong else "0" for item in table["item"]
    ]
    write_csv(sheet, table)
    said = run(audit.command, results, "--verdicts", sheet, "--reviewer", "ana")
    assert f"{len(table)} verdicts taken in" in said.output and "Groups" in said.output
    again = run(audit.command, results, "--verdicts", sheet, "--reviewer", "ana")
    assert "0 verdicts taken in" in again.output
    estimate = json.loads(run(audit.command, results, "--json").output)
    assert [row["cells_corrected"] for row in estimate["mice"]] == [5.0, 4.0]
    recount(results)
    mice = read_csv(results / "mice.csv", text=("mouse",)).set_index("mouse")
    assert mice["cells_corrected"].tolist() == [4, 5] and mice["cells"].tolist() == [4, 6]
    assert (mice["cells_corrected_low"] <= mice["cells_corrected"]).all()
    assert (mice["cells_corrected_high"] >= mice["cells_corrected"]).all()
    groups = read_csv(results / "groups.csv").set_index("group")
    assert groups.loc["IAV", "mean_corrected"] == 5
    assert groups.loc["IAV", "mean_corrected_low"] < 5 < groups.loc["IAV", "mean_corrected_high"]
    found = read_csv(results / "review" / "audit.csv")
    assert found.query("kind == 'accepted'")["cancer_cells"].tolist() == [5, 4]


def judged(results, tmp_path):
    sheet = tmp_path / "audit.csv"
    run(audit.command, results, "--draw", "--seed", 4, "--fields", 2, "--sheet", sheet)
    kinds = {item.id: item.kind for item in read_design(results).items}
    table = sheet_of(sheet)
    table["verdict"] = ["1" if kinds[item] == "accepted" else "0" for item in table["item"]]
    write_csv(sheet, table)
    run(audit.command, results, "--verdicts", sheet, "--reviewer", "ana")


def corrected(results):
    recount(results)
    mice = read_csv(results / "mice.csv", text=("mouse",)).set_index("mouse")["cells_corrected"]
    return {mouse: None if np.isnan(value) else value for mouse, value in mice.items()}


def test_a_sample_of_another_image_corrects_nothing(results, tmp_path):
    recount(results)
    judged(results, tmp_path)
    assert corrected(results) == {"a": 4, "b": 6}
    design = json.loads((results / "review" / "audit.json").read_text())
    before = json.dumps(design)
    design["images"]["s1"] = "another"
    (results / "review" / "audit.json").write_text(json.dumps(design))
    assert corrected(results) == {"a": 4, "b": None}
    said = run(audit.command, results).output
    assert "has no corrected count: s1 shows another image since" in said
    design = json.loads(before)
    del design["sections"]["s0"], design["images"]["s0"]
    (results / "review" / "audit.json").write_text(json.dumps(design))
    assert corrected(results) == {"a": None, "b": 6}
    assert "s0 was not counted then" in run(audit.command, results).output
    del design["images"]  # as earlier versions wrote it
    design["sections"]["s0"] = "k"
    (results / "review" / "audit.json").write_text(json.dumps(design))
    assert corrected(results) == {"a": 4, "b": 6}


def test_a_mouse_without_tissue_is_in_no_corrected_mean_as_it_is_in_no_mean(results, tmp_path):
    recount(results)
    correct_the_sheet(results, {"s0": A, "s1": B | {"group": "PBS"}})
    state = read_json(results / "sections" / "s0" / "section.json")
    assert state is not None
    without = dict(state) | {"tissue_mm2": 0.0, "parenchyma_mm2": 0.0}
    write_sealed(results / "sections" / "s0" / "section.json", without)
    with ReviewSession.open(results, "s0", Reviewer("ana", "x")) as session:
        session.reject(session.cell[session.positive].tolist())
    recount(results)
    judged(results, tmp_path)
    assert corrected(results)["b"] == 6
    groups = read_csv(results / "groups.csv").iloc[0]
    assert groups["mean"] == 6 and groups["mean_corrected"] == 6
    assert run_audit.estimate(results).groups["mean_corrected"].tolist() == [6]


def correct_the_sheet(results, sections):
    """What a run with the corrected sample sheet leaves: its sections in ``run.json``."""
    record = json.loads((results / "run.json").read_text())
    now = {entry["name"]: entry for entry in record["sections"]}
    record["sections"] = [now[name] | new for name, new in sections.items()]
    (results / "run.json").write_text(json.dumps(record))


A, B = ({"mouse": "a", "group": "PBS"}, {"mouse": "b", "group": "IAV"})


@pytest.mark.parametrize(
    ("sections", "named", "means"),
    [
        ({"s0": B, "s1": A}, ["a (PBS", "b (IAV"], {}),
        ({"s0": A, "s1": B | {"group": "PBS"}}, ["b (IAV", "b (PBS"], {"PBS": 4}),
        ({"s0": A, "s1": B | {"dpi": 30.0}}, ["b (IAV, 3 ", "b (IAV, 30"], {"PBS": 4}),
        ({"s0": A, "s1": A}, ["a (PBS", "b (IAV"], {}),
        ({"s0": A, "s1": B | {"control": "negative"}}, ["b (IAV"], {"PBS": 4}),
        ({"s0": A}, ["b (IAV"], {"PBS": 4}),
    ],
    ids=["swapped", "group", "day", "one mouse", "control", "gone"],
)
def test_a_mouse_whose_sections_the_sheet_gives_otherwise_has_no_corrected_count(
    results, tmp_path, sections, named, means
):
    recount(results)
    judged(results, tmp_path)
    correct_the_sheet(results, sections)
    mice = corrected(results)
    assert mice["a"] == means.get("PBS") and mice.get("b") is None
    groups = read_csv(results / "groups.csv", text=("group",)).set_index("group")
    assert groups["mean_corrected"].dropna().to_dict() == means
    assert run_audit.estimate(results).groups["mean_corrected"].dropna().tolist() == [
        *means.values()
    ]
    notes = [text for text in run_audit.estimate(results).notes if "no corrected count" in text]
    assert len(notes) == len(named) and all(map(str.startswith, notes, named))


def test_a_section_that_was_a_control_at_the_draw_is_not_in_the_sample(results, tmp_path):
    recount(results)
    correct_the_sheet(results, {"s0": A | {"control": "negative"}, "s1": A | {"group": "IAV"}})
    recount(results)
    judged(results, tmp_path)
    assert read_design(results).owners == {"s1": ("a", "IAV", 3.0)}
    correct_the_sheet(results, {"s0": A | {"group": "IAV", "control": ""}, "s1": {}})
    assert corrected(results) == {"a": None}
    assert "s0 was not counted then" in run_audit.estimate(results).notes[-1]


def test_a_section_without_a_drawn_unit_that_leaves_the_study_is_missed(results, tmp_path):
    recount(results)
    correct_the_sheet(results, {"s0": B, "s1": B})
    recount(results)
    judged(results, tmp_path)
    path = results / "review" / "audit.json"
    design = json.loads(path.read_text())
    design["items"] = [item for item in design["items"] if item["section"] == "s1"]
    path.write_text(json.dumps(design))
    correct_the_sheet(results, {"s1": B})
    assert corrected(results) == {"b": None}
    assert "s0 is no longer in the study" in run_audit.estimate(results).notes[-1]


def test_the_design_of_an_earlier_version_is_asked_for_what_it_tells(results, tmp_path):
    recount(results)
    judged(results, tmp_path)
    path = results / "review" / "audit.json"
    design = json.loads(path.read_text())
    del design["owners"]
    path.write_text(json.dumps(design))
    assert corrected(results) == {"a": 4, "b": 6}
    correct_the_sheet(results, {"s0": B, "s1": A})
    assert corrected(results) == {"a": None, "b": None}
    correct_the_sheet(results, {"s0": {"mouse": "c"}, "s1": B})
    design["items"] = []
    path.write_text(json.dumps(design))
    assert corrected(results) == {"b": None, "c": None}
    notes = run_audit.estimate(results).notes
    assert any("the study has no section of it any more" in text for text in notes)


def test_a_second_draw_needs_to_be_asked_for(results):
    recount(results)
    run(audit.command, results, "--draw", "--seed", 1)
    with pytest.raises(InputError, match=r"holds an audit already.*--again"):
        run(audit.command, results, "--draw", "--seed", 2)
    run(audit.command, results, "--draw", "--seed", 2, "--again")
    assert read_design(results).seed == 2


def test_a_sheet_of_another_draw_is_refused(results, tmp_path):
    recount(results)
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    run(audit.command, results, "--draw", "--seed", 1, "--sheet", old)
    run(audit.command, results, "--draw", "--again", "--seed", 2, "--sheet", new)
    table = sheet_of(old)
    assert sheet_of(new)["item"].tolist() == table["item"].tolist()
    cure = rf"another draw.*write a sheet of this one \(fociquant audit {results} --sheet"
    for columns in (list(table), [name for name in table if name != "draw"], ["item", "verdict"]):
        write_csv(old, table.assign(verdict="0")[columns])
        with pytest.raises(InputError, match=cure) as error:
            run(audit.command, results, "--verdicts", old, "--reviewer", "ana")
        assert "\n" not in str(error.value)
    assert not list((results / "review" / "decisions").glob("*.jsonl"))
    # A sheet of this draw that an earlier version wrote is taken in by codes and places.
    write_csv(new, sheet_of(new).assign(verdict="0").drop(columns="draw"))
    said = run(audit.command, results, "--verdicts", new, "--reviewer", "ana")
    assert f"{len(table)} verdicts taken in" in said.output


def test_everything_wrong_with_a_sheet_is_said_at_once_and_nothing_is_taken_in(results, tmp_path):
    recount(results)
    sheet = tmp_path / "audit.csv"
    run(audit.command, results, "--draw", "--seed", 1, "--sheet", sheet)
    with pytest.raises(InputError, match="has no verdict yet"):
        run(audit.command, results, "--verdicts", sheet, "--reviewer", "ana")
    table = sheet_of(sheet)
    objects = table.index[table["what"].str.startswith("Is this")]
    table.loc[objects[0], "verdict"] = "yes"
    table.loc[objects[1], "verdict"] = "2"
    table.loc[objects[2], "item"] = "A9999"
    table.loc[objects[2], "verdict"] = "1"
    write_csv(sheet, table)
    with pytest.raises(InputError) as error:
        run(audit.command, results, "--verdicts", sheet, "--reviewer", "ana")
    text = str(error.value)
    assert text.count("\n") == 2 and "no item 'A9999'" in text and "'yes'" in text
    assert not list((results / "review" / "decisions").glob("*.jsonl"))
    pd.DataFrame({"a": [1]}).to_csv(sheet, index=False)
    with pytest.raises(InputError, match="no columns 'item' and 'verdict'"):
        run(audit.command, results, "--verdicts", sheet, "--reviewer", "ana")


def test_excluded_regions_and_their_cells_are_not_drawn(results):
    recount(results)
    with ReviewSession.open(results, "s1", Reviewer("ana", "x")) as session:
        session.exclude([(-9, -9), (-9, 999), (999, 999), (999, -9)], reason="burnt")
    recount(results)
    run(audit.command, results, "--draw", "--seed", 1)
    assert {item.section for item in read_design(results).items} == {"s0"}


def test_cells_of_other_sections_on_the_slide_and_in_artefacts_are_not_drawn(slide, tmp_path):
    recount(slide)
    judged(slide, tmp_path)
    design = read_design(slide)
    objects = {(one.mouse, one.kind): one.units for one in design.strata if one.kind != "tissue"}
    assert objects == {("l", "accepted"): 9, ("r", "accepted"): 6}
    assert corrected(slide) == {"l": 9, "r": 6}
    # In a field all 20 have outlines, and what is not of the section is not asked for.
    [field] = [item for item in design.items if item.is_field and item.mouse == "l"]
    assert len(field.outlines) == 20
    left_out = to_geometry([np.array(ring).reshape(-1, 2) for ring in field.left_out])
    expected = shapely.union_all([shapely.box(65, 0, 115, 95), shapely.box(0, 60, 65, 95)])
    assert left_out.symmetric_difference(expected).area < 0.1 * expected.area


def test_a_section_that_is_another_part_of_the_slide_since_corrects_nothing(slide, tmp_path):
    recount(slide)
    judged(slide, tmp_path)
    correct_the_sheet(slide, {"left": {"region": "0, 0, 95, 65"}, "right": {"region": "1"}})
    assert corrected(slide) == {"l": 9, "r": None}
    assert "right shows another part of its image since" in run_audit.estimate(slide).notes[-1]


def test_a_candidate_elsewhere_that_a_person_accepts_is_drawn(slide):
    cells = pd.read_parquet(slide / "cells.parquet").query("section == 'left' and not positive")
    assert cells["flags"].str.contains("outside_region").sum() == 8
    with ReviewSession.open(slide, "left", Reviewer("ana", "x")) as session:
        session.accept([int(cells["cell"].iloc[0])])
    recount(slide)
    run(audit.command, slide, "--draw", "--seed", 1)
    [accepted] = [one.units for one in read_design(slide).strata
                  if (one.mouse, one.kind) == ("l", "accepted")]  # fmt: skip
    assert accepted == 10


def test_an_audit_of_nothing_says_what_to_do(results, tmp_path):
    with pytest.raises(InputError, match="no audit was drawn"):
        run(audit.command, results)
    with pytest.raises(ResultsError, match=r"run\.json"):
        run(audit.command, tmp_path)


def test_review_without_a_viewer_says_what_to_install(results, monkeypatch):
    monkeypatch.setattr(review, "find_viewer", lambda: None)
    said = run(review.command, results)
    assert said.return_value == 2
    assert said.stderr.splitlines() == [
        "error: the viewer is not installed. Install it: pip install "
        '"./plugins/napari-fociquant[all]", in the folder of fociquant\'s source'
    ]


class Viewer:
    def __init__(self, launch):
        self.launch = launch

    def load(self):
        if self.launch is None:
            raise ImportError("No Qt bindings could be found")
        return self.launch


def test_review_hands_the_folder_to_the_viewer(results, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(review, "find_viewer", lambda: Viewer(opened.append))
    assert run(review.command, results).return_value == 0 and opened == [results]
    with pytest.raises(ResultsError, match=r"run\.json"):
        run(review.command, tmp_path)
    monkeypatch.setattr(review, "find_viewer", lambda: Viewer(None))
    said = run(review.command, results)
    assert said.return_value == 2 and "No Qt bindings" in said.stderr
