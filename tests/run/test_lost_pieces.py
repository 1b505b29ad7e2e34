"""What was lost or damaged in a results folder after counting is made again by the next run."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from fociquant.atomic import write_bytes
from fociquant.io import SectionImage
from fociquant.run import jobs
from fociquant.run.sections import Ledger
from fociquant.run.study import recount
from fociquant.store import objects
from fociquant.store.facts import NEEDED
from fociquant.testing.studies import grid_of_cells, write_section, write_study


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


def test_a_drive_that_answers_badly_once_makes_no_section_empty(
    study, run, tables, tmp_path, monkeypatch
):
    """Whichever look at the stored objects fails, they are neither lost nor taken for none."""
    out = tmp_path / "r"
    run(study, out)
    before, real = tables(out), objects.pq.read_schema
    for bad in range(1, 4):
        (out / "sections" / "s0" / "overview.png").unlink()  # so that the section is gone through
        looks = 0

        def once_bad(path, *args, _bad=bad, **kwargs):
            nonlocal looks
            looks += "s0" in str(path) and str(path).endswith("objects.parquet")
            if looks == _bad:
                raise OSError(5, "Input/output error")
            return real(path, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(objects.pq, "read_schema", once_bad)
            run(study, out)
        assert tables(out) == before


def test_fewer_blocks_than_were_asked_for_are_no_result(study, run, tables, tmp_path, monkeypatch):
    out, parts = tmp_path / "r", Ledger.parts

    def fewer(ledger, *args):
        found = parts(ledger, *args)
        return found[:-1] if ledger.planned.name == "s0" else found

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "parts", fewer)
        outcome = run(study, out, block_px=64)
    assert outcome.failed == ("s0",)
    assert outcome.tables.sections["reason"].str.contains("decode cells of s0 were counted").any()
    run(study, tmp_path / "whole")
    run(study, out)
    assert tables(out) == tables(tmp_path / "whole")


def somewhere(text, inside, seed):
    """The text with one digit or letter changed that lies behind `inside`."""
    rng, start = np.random.default_rng(seed), text.index(inside) + len(inside)
    places = [at for at in range(start, len(text)) if text[at].isalnum()]
    at = int(rng.choice(places))
    return text[:at] + ("1" if text[at] != "1" else "2") + text[at + 1 :]


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        *itertools.product(("facts.json", "section.json"), ('"seal"', '"peaks"', '"stats"')),
        ("screen.json", '"seal"'), ("screen.json", '"runs"'),
    ],
)  # fmt: skip
def test_one_changed_character_is_found_out_and_mended(name, inside, study, run, tables, tmp_path):
    out = tmp_path / "r"
    run(study, out)
    before, path = tables(out), out / "sections" / "s0" / name
    whole = path.read_text()
    for seed in range(3):
        path.write_text(somewhere(whole, inside, seed))
        if name != "section.json":  # else nothing is asked of it
            (out / "sections" / "s0" / "section.json").unlink()
        run(study, out)
        assert tables(out) == before
        assert path.read_text() == whole


def test_a_damaged_map_without_a_seal_is_found_again(study, run, tables, tmp_path):
    """Facts of an earlier version have none."""
    out = tmp_path / "r"
    run(study, out)
    before, path = tables(out), out / "sections" / "s0" / "facts.json"
    facts = json.loads(path.read_text())
    del facts["seal"]
    facts["marker_map"]["peaks"] = "AAAA" + facts["marker_map"]["peaks"][4:]
    path.write_text(json.dumps(facts))
    (out / "sections" / "s0" / "section.json").unlink()
    run(study, out)
    assert tables(out) == before


def test_no_picture_of_another_image_stays_beside_a_count(study, run, tmp_path, monkeypatch):
    """The image was replaced, the run ended in between, and the first image came back."""
    monkeypatch.setattr(
        jobs, "overview_png",
        lambda planes, **_: str(float(next(iter(planes.values())).mean())).encode(),
    )  # fmt: skip
    out, image = tmp_path / "r", tmp_path / "study" / "images" / "s0.ome.tif"
    picture, first = out / "sections" / "s0" / "overview.png", image.read_bytes()
    run(study, out)
    drawn = picture.read_bytes()

    class PowerCut(BaseException):
        pass

    def before_the_mask(_ledger):
        raise PowerCut

    def after_the_picture(target, content):
        write_bytes(target, content)
        raise PowerCut

    cuts = {
        "fociquant.run.sections.Ledger.mask": before_the_mask,
        "fociquant.run.sections.write_bytes": after_the_picture,
    }
    for place, cut in cuts.items():
        write_section(image, (120, 160), grid_of_cells((120, 160), 1), seed=9)
        with monkeypatch.context() as patch:
            patch.setattr(place, cut)
            with pytest.raises(PowerCut):
                run(study, out)
        assert picture.read_bytes() != drawn
        image.write_bytes(first)
        run(study, out)
        assert picture.read_bytes() == drawn


def test_a_piece_lost_in_one_channel_is_a_warning_of_its_section(study, run, tmp_path, monkeypatch):
    lost = {0: (2, 9)}
    monkeypatch.setattr(SectionImage, "missing_pieces", lambda self, channels: lost)
    sections = run(study, tmp_path / "r").tables.sections
    assert sections["warnings"].str.contains("2 of 9 pieces of channel HER2 are not in").all()
