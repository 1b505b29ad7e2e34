"""Decisions change the tables of a real run, and taking them back restores them byte for byte."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from fociquant.review import Reviewer, ReviewFolder, ReviewSession, review_marks
from fociquant.run.study import recount
from fociquant.store import (
    ResultsFolder,
    read_csv,
    read_json,
    read_objects,
    write_objects,
    write_sealed,
)

TABLES = ("cells.parquet", "foci.csv", "groups.csv", "mice.csv", "sections.csv")
ANA, BO = Reviewer("ana", "desk-1"), Reviewer("bo", "desk-2")


def tables(folder):
    return {name: (folder / name).read_bytes() for name in TABLES}


def square(y, x, half=6.0):
    return np.array([(y - half, x - half), (y - half, x + half), (y + half, x + half),
                     (y + half, x - half)])  # fmt: skip


def mice(folder):
    return read_csv(folder / "mice.csv", text=("mouse", "group", "reviewed")).set_index("mouse")


def cells(folder, section):
    table = pd.read_parquet(folder / "cells.parquet")
    return table[table["section"] == section].reset_index(drop=True)


def test_without_decisions_the_reviewed_columns_are_empty(results):
    recount(results)
    row = mice(results).loc["a"]
    assert row["cells"] == row["cells_automatic"] == 4 and row["reviewed"] == "no"
    assert pd.isna(row["cells_reviewed"]) and pd.isna(row["cells_corrected"])
    assert not (results / "review").exists()


def test_a_rejected_cell_does_not_count_and_keeps_its_row(results):
    recount(results)
    with ReviewSession.open(results, "s0", ANA) as session:
        session.reject(int(session.cell[session.positive][0]), reason="macrophage")
    recount(results)
    row = mice(results).loc["a"]
    assert (row["cells"], row["cells_automatic"]) == (3, 4)
    rejected = cells(results, "s0").query("decision == 'rejected'").iloc[0]
    assert not rejected["positive"] and rejected["positive_automatic"] and rejected["focus"] == 0
    said = read_csv(results / "review" / "decisions.csv")
    assert said[["outcome", "found", "reason"]].values.tolist() == [
        ["applied", "same", "macrophage"]
    ]


def test_an_added_cell_is_a_row_with_what_was_measured(results):
    recount(results)
    before = len(cells(results, "s1"))
    with ReviewSession.open(results, "s1", ANA) as session:
        session.add(square(70.0, 12.0), measured={"HER2_mean": 123.5, "nonsense": 1.0})
    recount(results)
    added = cells(results, "s1").query("decision == 'added'").iloc[0]
    assert (added["y_um"], added["x_um"], added["area_um2"]) == (70.0, 12.0, 144.0)
    assert added["HER2_mean"] == 123.5 and pd.isna(added["DAPI_mean"])
    assert added["positive"] and not added["positive_automatic"] and added["focus"] > 0
    assert len(cells(results, "s1")) == before + 1
    assert mice(results).loc["b", "cells"] == 7
    section = read_csv(results / "sections.csv").set_index("section").loc["s1"]
    assert section["candidates"] == before


def test_a_cell_added_where_there_is_no_candidate_counts(results):
    folder = ResultsFolder(results)
    state, objects = read_json(folder.state("s0")), folder.objects("s0")
    write_objects(objects, read_objects(objects).iloc[:0], key=state["objects_key"])
    recount(results)
    assert mice(results).loc["a", "cells"] == 0
    with ReviewSession.open(results, "s0", ANA) as session:
        session.add(square(70.0, 12.0))
    recount(results)
    assert mice(results).loc["a", "cells"] == 1
    assert cells(results, "s0")[["decision", "flags"]].values.tolist() == [["added", ""]]


def test_a_cell_added_where_a_channel_is_missing_stops_nothing(with_ki67):
    with ReviewSession.open(with_ki67, "s0", ANA) as session:
        session.add(square(100.0, 12.0), measured={"Ki67_positive": True})
    recount(with_ki67)
    table = read_csv(with_ki67 / "sections.csv").set_index("section")
    assert table.loc["s0", "cells"] == 5 and pd.isna(table.loc["s0", "Ki67_cells"])
    added = cells(with_ki67, "s0").query("decision == 'added'").iloc[0]
    assert pd.isna(added["Ki67_positive"])


def test_a_cell_that_nobody_judged_is_in_no_share(with_ki67):
    """Unknown is not negative."""
    recount(with_ki67)
    before = mice(with_ki67).loc["b"]
    spill = read_csv(with_ki67 / "sections.csv")["Ki67_spill_over"].tolist()
    assert before["Ki67_cells"] == 6
    far = [square(100.0 + 14 * number, 12.0) for number in range(3)]
    with ReviewSession.open(with_ki67, "s1", ANA) as session:
        session.add(far[0], measured={"Ki67_mean": 300.0})
        session.add(far[1], measured={"Ki67_positive": True})
        session.add(far[2], measured={"Ki67_positive": False})
    recount(with_ki67)
    row = mice(with_ki67).loc["b"]
    assert row["cells"] == 9
    assert (row["Ki67_positive"], row["Ki67_cells"]) == (before["Ki67_positive"] + 1, 8)
    assert "without 1 cell added by reviewers, not judged for it" in row["Ki67_note"]
    table = cells(with_ki67, "s1").query("decision == 'added'").sort_values("y_um")
    assert table["Ki67_positive"].isna().tolist() == [True, False, False]
    assert table["Ki67_positive"].tolist()[1:] == [True, False]
    np.testing.assert_equal(read_csv(with_ki67 / "sections.csv")["Ki67_spill_over"].tolist(), spill)
    foci = read_csv(with_ki67 / "foci.csv").query("section == 's1'")
    assert foci["Ki67_positive"].sum() == row["Ki67_positive"]


def test_an_excluded_region_leaves_the_denominator_too(results):
    recount(results)
    automatic = mice(results).loc["a"]
    with ReviewSession.open(results, "s0", ANA) as session:
        y, x = float(session.y_um[0]), float(session.x_um[0])
        session.exclude(square(y, x, 8.0), reason="fold")
    recount(results)
    row = mice(results).loc["a"]
    assert row["cells"] == 3
    assert row["excluded_mm2"] == pytest.approx(256e-6, abs=1e-6)
    assert row["tissue_mm2"] == pytest.approx(automatic["tissue_mm2"] - 256e-6, abs=2e-6)
    assert row["cells_per_mm2"] == pytest.approx(3 / row["tissue_mm2"], rel=1e-3)
    assert cells(results, "s0").query("decision == 'excluded'")["positive"].tolist() == [False]


def test_excluding_everything_is_an_honest_zero(results):
    with ReviewSession.open(results, "s0", ANA) as session:
        session.exclude(np.array([(-9, -9), (-9, 999), (999, 999), (999, -9)]), reason="burnt")
    recount(results)
    row = mice(results).loc["a"]
    assert row["cells"] == 0 and row["tissue_mm2"] == 0 and pd.isna(row["cells_per_mm2"])


def test_foci_are_merged_split_and_named(results):
    recount(results)
    automatic = read_csv(results / "foci.csv").query("section == 's1'")
    assert automatic["class"].tolist() == ["cluster"]
    with ReviewSession.open(results, "s1", ANA) as session:
        numbers = session.cell[session.positive].tolist()
        session.split([[numbers[0]], [numbers[-1]]], reason="two arteries")
    recount(results)
    split = read_csv(results / "foci.csv").query("section == 's1'")
    assert split["cells"].sum() == 6 and split["edited"].tolist() == ["split", "split"]
    with ReviewSession.open(results, "s1", ANA) as session:
        session.merge([numbers[0], numbers[-1]])
        session.set_class(numbers[:1], "micrometastasis")
    recount(results)
    merged = read_csv(results / "foci.csv").query("section == 's1'")
    assert merged["cells"].tolist() == [6] and merged["class"].tolist() == ["micrometastasis"]
    assert merged["edited"].tolist() == ["merged;split;class"]


def test_a_class_that_the_profile_does_not_have_is_said_and_stops_nothing(results):
    with ReviewSession.open(results, "s1", ANA) as session:
        session.set_class(session.cell[session.positive][:1].tolist(), "gigametastasis")
    recount(results)
    section = read_csv(results / "sections.csv").set_index("section").loc["s1"]
    assert "gigametastasis" in section["warnings"]


def test_a_mouse_is_reviewed_when_all_its_sections_are_signed_off(results):
    with ReviewSession.open(results, "s0", ANA) as session:
        session.reject(int(session.cell[session.positive][0]))
        session.sign_off()
    recount(results)
    table = mice(results)
    assert table["reviewed"].tolist() == ["yes", "no"]
    assert table.loc["a", "cells_reviewed"] == 3 and pd.isna(table.loc["b", "cells_reviewed"])
    with ReviewSession.open(results, "s0", ANA) as session:
        session.reject(int(session.cell[session.positive][0]))
    recount(results)
    assert mice(results).loc["a", "reviewed"] == "no"


def test_undoing_everything_gives_the_automatic_tables_byte_for_byte(results):
    recount(results)
    before = tables(results)
    with ReviewSession.open(results, "s0", ANA) as session:
        session.reject(session.cell[session.positive].tolist())
        session.add(square(70.0, 12.0))
        session.exclude(square(20.0, 20.0, 15.0), reason="fold")
        session.merge(session.cell[:2].tolist())
    recount(results)
    assert tables(results) != before
    with ReviewSession.open(results, "s0", ANA) as session:
        while session.undo() is not None:
            pass
    recount(results)
    assert tables(results) == before


@pytest.mark.parametrize("name", ["{} - Copy.jsonl", "{} (ana's conflicted copy).jsonl"])
def test_a_copy_of_a_log_changes_nothing(results, name):
    with ReviewSession.open(results, "s0", ANA) as session:
        session.reject(session.cell[session.positive][:2].tolist())
        session.exclude(square(20.0, 20.0, 15.0), reason="fold")
        path = ReviewFolder(results).log("s0", ANA)
        shutil.copy(path, path.with_name(name.format(path.stem)))
        session.undo()
        session.add(square(70.0, 12.0))
        session.sign_off()
    recount(results)
    review = results / "review"
    beside = (
        tables(results),
        *((review / file).read_bytes() for file in ("decisions.csv", "reviewers.csv")),
    )
    assert review_marks(results)[0].decisions == 3
    path.with_name(name.format(path.stem)).unlink()
    recount(results)
    assert beside == (tables(results), *(
        (review / file).read_bytes() for file in ("decisions.csv", "reviewers.csv")
    ))  # fmt: skip
    assert review_marks(results)[0].decisions == 3


def test_replaying_twice_gives_the_same_bytes(results):
    with ReviewSession.open(results, "s0", ANA) as session:
        session.add(square(70.0, 12.0))
        session.reject(int(session.cell[session.positive][0]))
    recount(results)
    first = tables(results), (results / "review" / "decisions.csv").read_bytes()
    recount(results)
    assert first == (tables(results), (results / "review" / "decisions.csv").read_bytes())


def test_reviewers_who_differ_are_listed(results, clock):
    with ReviewSession.open(results, "s0", ANA, clock=clock) as session:
        cell = int(session.cell[session.positive][0])
        session.reject(cell)
        session.sign_off()
    with ReviewSession.open(results, "s0", BO, clock=clock) as session:
        assert session.positive[session.cell == cell].all(), "bo does not see what ana decided"
        session.accept(cell)
        session.sign_off()
    recount(results)
    conflict = read_csv(results / "review" / "conflicts.csv").iloc[0]
    assert conflict["verdicts"] == "ana rejected, bo accepted" and conflict["result"] == "accepted"
    assert mice(results).loc["a", "cells"] == 4
    agreement = read_csv(results / "review" / "agreement.csv").set_index("comparison")
    assert agreement.loc["reviewers", "bias"] == 1.0 and agreement.loc["reviewers", "mice"] == 1


def test_decisions_about_objects_that_are_gone_are_said_and_not_applied(results):
    with ReviewSession.open(results, "s0", ANA) as session:
        session.reject(int(session.cell[session.positive][0]))
    log = next((results / "review" / "decisions").glob("*.jsonl"))
    with ReviewSession.open(results, "s1", BO) as session:
        session.reject(int(session.cell[session.positive][0]))
    # Another section's places: as if everything had been found elsewhere after a new run.
    lines = log.read_text()
    assert '"y_um"' in lines
    from fociquant.review.chain import to_line
    from fociquant.review.read_log import read_log

    header, entry = read_log(log).entries
    content = dict(entry.content)
    content["object"] = {"y_um": 5000.0, "x_um": 5000.0, "cell": 1, "results": "other"}
    moved = type(entry)(1, entry.time, entry.action, content, "", header.hash)
    log.write_text(to_line(header)[0] + to_line(moved)[0])
    recount(results)
    section = read_csv(results / "sections.csv").set_index("section").loc["s0"]
    assert "1 decisions of reviewers are about objects that are no longer there" in str(
        section["warnings"]
    )
    assert mice(results).loc["a", "cells"] == 4
    said = read_csv(results / "review" / "decisions.csv").set_index("section").loc["s0"]
    assert said["outcome"] == "object gone" and said["found"] == "not found"


def another_image(results, section):
    """The section has been counted again, from another file of its name."""
    path = results / "sections" / section / "section.json"
    write_sealed(path, read_json(path) | {"image_fingerprint": "f" * 64})


def test_decisions_made_on_another_image_are_not_applied_and_can_be_adopted(results):
    recount(results)
    automatic = tables(results)
    with ReviewSession.open(results, "s1", ANA) as session:
        session.add(square(70.0, 12.0))
        session.exclude(square(30.0, 30.0, 20.0), reason="fold")
        session.undo(session.reject(int(session.cell[0]))[0])
        session.sign_off()
    recount(results)
    assert mice(results).loc["b", "reviewed"] == "yes"
    another_image(results, "s1")
    recount(results)
    assert (results / "cells.parquet").read_bytes() == automatic["cells.parquet"]
    row = mice(results).loc["b"]
    assert (row["cells"], row["reviewed"], row["excluded_mm2"]) == (6, "no", 0)
    section = read_csv(results / "sections.csv").set_index("section").loc["s1"]
    assert "5 entries were made on another image" in section["warnings"]
    said = read_csv(results / "review" / "decisions.csv")
    assert said["outcome"].tolist() == ["not trusted"] * 5
    with ReviewSession.open(results, "s1", ANA) as session:
        assert not session.history and "another image" in session.notices[0]
        # What was taken back, and the signature, are not offered again.
        assert [entry.action for entry in session.adoptable] == ["add", "exclude"]
        session.adopt_untrusted()
        assert session.adoptable == []
    recount(results)
    row = mice(results).loc["b"]
    assert row["cells_automatic"] == 6 and row["excluded_mm2"] > 0
    assert "added" in cells(results, "s1")["decision"].tolist()


def test_the_same_image_again_has_its_decisions_again(results):
    state = results / "sections" / "s1" / "section.json"
    before = state.read_text()
    with ReviewSession.open(results, "s1", ANA) as session:
        session.reject(int(session.cell[session.positive][0]))
    another_image(results, "s1")
    with ReviewSession.open(results, "s1", ANA) as session:
        session.reject(session.cell[session.positive][:3].tolist())
    recount(results)
    assert mice(results).loc["b", "cells"] == 3
    state.write_text(before)
    recount(results)
    assert mice(results).loc["b", "cells"] == 5


def test_decisions_of_versions_that_noted_no_image_are_applied(results):
    with (
        ReviewSession.open(results, "s1", ANA) as session,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(session._writer, "_image", "")
        session.reject(int(session.cell[session.positive][0]))
    another_image(results, "s1")
    recount(results)
    assert mice(results).loc["b", "cells"] == 5
