"""What was lost or damaged in a results folder after counting is made again by the next run."""

from __future__ import annotations

import json

import pytest

from fociquant.io import SectionImage
from fociquant.run.study import recount
from fociquant.store.facts import NEEDED
from fociquant.testing.studies import write_study


@pytest.fixture()
def study(tmp_path):
    return write_study(tmp_path / "study", {"m1": 2, "m2": 5}, shape=(120, 160))


def test_a_lost_picture_is_drawn_again(study, run, tables, tmp_path):
    out = tmp_path / "r"
    run(study, out)
    before, picture = tables(out), out / "sections" / "s0" / "overview.png"
    drawn = picture.read_bytes()
    picture.unlink()
    run(study, out)
    assert picture.read_bytes() == drawn
    assert tables(out) == before


@pytest.mark.parametrize("entry", [*NEEDED, "autofluorescence_slope"])
def test_a_state_that_lost_an_entry_is_no_result(entry, study, run, tables, tmp_path):
    out = tmp_path / "r"
    run(study, out)
    before, path = tables(out), out / "sections" / "s0" / "section.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in state.items() if name != entry}))
    assert recount(out).failed == ("s0",)
    assert "run the same command again" in (out / "sections.csv").read_text()
    run(study, out)
    assert tables(out) == before
    assert json.loads(path.read_text()) == state


def test_a_piece_lost_in_one_channel_is_a_warning_of_its_section(study, run, tmp_path, monkeypatch):
    lost = {0: (2, 9)}
    monkeypatch.setattr(SectionImage, "missing_pieces", lambda self, channels: lost)
    sections = run(study, tmp_path / "r").tables.sections
    assert sections["warnings"].str.contains("2 of 9 pieces of channel HER2 are not in").all()
