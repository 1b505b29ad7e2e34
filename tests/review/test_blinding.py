"""Blinding: codes say nothing, order is random, unblinding is written down."""

from __future__ import annotations

import json

import pytest

from fociquant.errors import ResultsError
from fociquant.review import (
    Reviewer,
    ReviewFolder,
    is_blinded,
    make_blinding,
    open_blinding,
    unblind,
)

NAMES = [f"IAV_m{i}_s1" for i in range(12)]


def study(folder, names=NAMES):
    sections = [
        {"name": name, "image": f"slides/{name}.ome.tif", "mouse": f"mouse-{i}", "group": "IAV",
         "extra": {"genotype": "IL6-KO", "cage": "7"}, "batch": "day1"}
        for i, name in enumerate(names)
    ]  # fmt: skip
    (folder / "run.json").write_text(json.dumps({"sections": sections}))
    return folder


def test_codes_are_unique_short_and_drawn_from_the_seed():
    blinding = make_blinding(NAMES, seed=5)
    assert blinding == make_blinding(NAMES[::-1], seed=5), "the order given does not matter"
    assert blinding.views != make_blinding(NAMES, seed=6).views
    codes = [view.code for view in blinding.views]
    assert len(set(codes)) == 12 and {len(code) for code in codes} == {4}
    assert sorted(view.section for view in blinding.views) == sorted(NAMES)
    assert [view.section for view in blinding.views] != sorted(NAMES)


def test_both_ways():
    blinding = make_blinding(NAMES, seed=5)
    assert blinding.section_of(blinding.code_of(NAMES[3])) == NAMES[3]
    with pytest.raises(KeyError):
        blinding.section_of("nope")


def test_second_looks_have_codes_of_their_own_and_come_late():
    views = make_blinding(NAMES, seed=5, repeats=3).views
    again = [i for i, view in enumerate(views) if view.repeat]
    assert len(again) == 3 and len({view.code for view in views}) == 15
    for i in again:
        first = next(k for k, v in enumerate(views) if v.section == views[i].section)
        assert not views[first].repeat and i - first > 3


def test_a_blinding_is_stored_once_and_grows_with_the_study(tmp_path):
    first = open_blinding(study(tmp_path), seed=11)
    assert first.seed == 11 and open_blinding(tmp_path) == first
    grown = open_blinding(study(tmp_path, [*NAMES, "IAV_m99_s1"]))
    assert grown.views[:12] == first.views and grown.views[12].section == "IAV_m99_s1"


def test_a_seed_is_drawn_and_recorded(tmp_path):
    seed = open_blinding(study(tmp_path)).seed
    assert json.loads((tmp_path / "review" / "blinding.json").read_text())["seed"] == seed


def test_messages_lose_every_word_that_unblinds(tmp_path):
    blinding = open_blinding(study(tmp_path), seed=1)
    text = ("IAV_m1_s1--ana.jsonl: slides/IAV_m1_s1.ome.tif of mouse-1 (IAV, IL6-KO, day1) "
            "at 7 mm, IAV_m11_s1 too")  # fmt: skip
    clean = blinding.redact(text)
    for word in ("IAV", "m1", "mouse", "IL6", "day1", "slides"):
        assert word not in clean
    assert blinding.code_of("IAV_m1_s1") in clean and blinding.code_of("IAV_m11_s1") in clean
    assert "ana.jsonl" in clean and "at 7 mm" in clean


def test_unblinding_is_written_down_per_reviewer_and_for_good(tmp_path):
    study(tmp_path)
    assert is_blinded(tmp_path, Reviewer("ana", "x"))
    entry = unblind(tmp_path, Reviewer("ana", "x"), reason="figure for the paper")
    assert entry.reason == "figure for the paper"
    assert not is_blinded(tmp_path, Reviewer("ana", "x"))
    assert is_blinded(tmp_path, Reviewer("bo", "x"))


def test_a_damaged_blinding_says_what_to_do(tmp_path):
    open_blinding(study(tmp_path))
    (tmp_path / "review" / "blinding.json").write_text("[]")
    with pytest.raises(ResultsError, match=r"damaged.*Remove it"):
        open_blinding(tmp_path)
    with pytest.raises(ResultsError, match=r"run\.json"):
        open_blinding(tmp_path / "review")


def test_who_unblinded_after_the_first_log_broke_is_not_blind(tmp_path):
    results = study(tmp_path)
    unblind(results, "ana", reason="end")
    [path] = ReviewFolder(results).logs.glob("_study--*")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0].replace(b'"open"', b'"undo"'))
    assert is_blinded(results, "ana")
    unblind(results, "ana", reason="again")
    assert len(list(ReviewFolder(results).logs.glob("_study--*"))) == 2
    assert not is_blinded(results, "ana")


def test_a_section_that_left_the_study_is_hidden_in_messages(tmp_path):
    results = study(tmp_path)
    open_blinding(results, seed=1)
    path = results / "run.json"
    record = json.loads(path.read_text())
    gone = record["sections"].pop(0)["name"]
    path.write_text(json.dumps(record))
    blinding = open_blinding(results)
    assert gone not in blinding.redact(f"{gone}--ana-1.jsonl: line 3 is torn")
    assert blinding.code_of(gone)
