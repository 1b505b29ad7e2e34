"""What was lost or damaged in a results folder after counting is made again by the next run."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from fociquant import reading
from fociquant.atomic import write_bytes
from fociquant.errors import DiskError, UnreadableError
from fociquant.io import SectionImage
from fociquant.run import jobs
from fociquant.run import tables as run_tables
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


def bad_reads(patch, name, times):
    """Reading files of this name fails so many times, then the drive is well again."""
    real, left = Path.read_bytes, [times]

    def read_bytes(path):
        if path.name == name and left[0]:
            left[0] -= 1
            raise OSError(5, "Input/output error", str(path))
        return real(path)

    patch.setattr(Path, "read_bytes", read_bytes)
    patch.setattr(reading, "WAITS_S", (0.0, 0.0))


@pytest.fixture()
def controlled(tmp_path):
    """A study whose negative control decides about the thresholds, and so about its counts."""
    study = write_study(tmp_path / "study", {"m1": 9, "m2": 12, "m3": 2}, shape=(160, 200))
    image = tmp_path / "study" / "images" / "s2.ome.tif"
    write_section(image, (160, 200), grid_of_cells((160, 200), 2), seed=2)
    sheet = study.parent / "samples.csv"
    head, *lines = sheet.read_text().splitlines()
    if "control" not in head:
        head, lines = f"{head},control", [f"{line}," for line in lines]
        lines[2] += "negative"
    sheet.write_text("\n".join([head, *lines]) + "\n")
    return study


def test_a_bad_moment_of_the_drive_changes_no_count(controlled, run, tables, tmp_path, monkeypatch):
    """Whichever look at a section's state fails: tables walk over the states several times."""
    out = tmp_path / "r"
    run(controlled, out)
    before, real, looks = tables(out), Path.read_bytes, []
    monkeypatch.setattr(reading, "WAITS_S", (0.0, 0.0))
    for bad in range(100):
        looks.clear()

        def once_bad(path, _bad=bad):
            looks.append(path) if path.name == "section.json" else None
            if path.name == "section.json" and len(looks) == _bad + 1:
                raise OSError(5, "Input/output error")
            return real(path)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", once_bad)
            assert recount(out).failed == ()
        assert tables(out) == before
        if bad >= len(looks):
            break
    assert 6 <= bad < 100  # three states, at least twice


def test_a_state_that_cannot_be_read_ends_a_recount_in_one_line(
    study, run, tmp_path, tables, monkeypatch
):
    out = tmp_path / "r"
    run(study, out)
    before = tables(out)
    with monkeypatch.context() as patch:
        bad_reads(patch, "section.json", 100)
        with pytest.raises(UnreadableError, match=r"section\.json cannot be read: Input.*again"):
            recount(out)
    assert tables(out) == before
    assert recount(out).failed == () and tables(out) == before


@pytest.mark.parametrize("name", ["section.json", "facts.json", "screen.json"])
def test_a_piece_that_cannot_be_read_is_not_written_over(
    name, study, run, tables, tmp_path, monkeypatch
):
    """Its section fails, with the reason; what is stored may be well, and is there next time."""
    out = tmp_path / "r"
    run(study, out)
    before, place = tables(out), out / "sections" / "s0"
    if name != "section.json":
        (place / "section.json").unlink()
    stored = (place / name).read_bytes()
    with monkeypatch.context() as patch:
        real = Path.read_bytes

        def bad(path):
            if path.name == name and path.parent == place:
                raise OSError(5, "Input/output error", str(path))
            return real(path)

        patch.setattr(Path, "read_bytes", bad)
        patch.setattr(reading, "WAITS_S", (0.0,))
        if name == "section.json":  # without which there are no thresholds
            with pytest.raises(UnreadableError):
                run(study, out)
        else:
            assert run(study, out).failed == ("s0",)
    reason = json.loads((place / "failure.json").read_text())["reason"]
    assert f"{name} cannot be read: Input/output error" in reason
    assert (place / name).read_bytes() == stored
    run(study, out)
    assert tables(out) == before


def test_objects_that_cannot_be_read_for_a_moment_are_not_counted_again(
    study, run, tables, tmp_path, monkeypatch
):
    out = tmp_path / "r"
    run(study, out)
    before, real, left = tables(out), objects.pq.read_schema, [2]

    def twice_bad(path, *args, **kwargs):
        if left[0]:
            left[0] -= 1
            raise OSError(5, "Input/output error")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(objects.pq, "read_schema", twice_bad)
    monkeypatch.setattr(reading, "WAITS_S", (0.0, 0.0))
    run(study, out)
    assert run.seen == 0 and tables(out) == before


@pytest.mark.parametrize("name", ["overview.png", "labels.ome.zarr"])
def test_an_entry_that_cannot_be_looked_at_fails_its_section_alone(
    name, study, run, tables, tmp_path, monkeypatch
):
    """A run of all sections: one is counted anew, the other has an entry without an answer."""
    out = tmp_path / "r"
    run(study, out)
    before, bad, real = tables(out), out / "sections" / "s0" / name, Path.stat
    (out / "sections" / "s1" / "section.json").unlink()

    def stat(path, **kwargs):
        if path == bad:
            raise OSError(5, "Input/output error", str(path))
        return real(path, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", stat)
        patch.setattr(reading, "WAITS_S", (0.0,))
        run(study, out)
    assert (out / "sections" / "s1" / "section.json").exists()
    failure = out / "sections" / "s0" / "failure.json"
    assert f"{name} cannot be read: Input/output error" in failure.read_text()
    assert tables(out) == before  # what is counted of it is as it was
    run(study, out)
    assert tables(out) == before and not failure.exists()


def test_a_table_that_the_disk_keeps_is_told_in_one_line(study, run, tmp_path, monkeypatch):
    """Without immune markers there is no table of bands; an earlier one has to go."""
    out, real = tmp_path / "r", Path.unlink
    run(study, out)
    (out / "immune_bands.csv").write_text("earlier\n")

    def unlink(path, **kwargs):
        if path.name == "immune_bands.csv":
            raise OSError(5, "Input/output error", str(path))
        real(path, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        with pytest.raises(DiskError, match=r"immune_bands\.csv cannot be written: Input"):
            recount(out)
    recount(out)
    assert not (out / "immune_bands.csv").exists()


def test_a_missing_block_is_told_as_missing_and_named_from_the_results_folder(
    study, run, tables, tmp_path, monkeypatch
):
    out, finish = tmp_path / "r", Ledger.finish

    def without_one(ledger, *args):
        if ledger.planned.name == "s0":
            next((out / "sections" / "s0" / "blocks").iterdir()).unlink()
        finish(ledger, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "finish", without_one)
        outcome = run(study, out, block_px=64)
    assert outcome.failed == ("s0",)
    [reason] = outcome.tables.sections.query("section == 's0'")["reason"]
    assert reason.startswith("sections/s0/blocks/") and "parquet is missing. Run" in reason
    assert str(tmp_path) not in (out / "sections.csv").read_text()
    run(study, tmp_path / "whole", block_px=64)
    run(study, out, block_px=64)
    assert tables(out) == tables(tmp_path / "whole")


@pytest.mark.parametrize("blocks", [1, 9])
def test_nothing_is_written_where_the_drive_of_the_results_was(
    blocks, study, run, tables, tmp_path, monkeypatch
):
    """Its mount point is there and can be written."""
    run(study, tmp_path / "whole")
    out, away, keep = tmp_path / "mount" / "r", tmp_path / "away", Ledger.keep
    out.parent.mkdir()
    done = itertools.count(1)

    def take_off(ledger, part, content):
        keep(ledger, part, content)
        if next(done) == blocks:
            out.rename(away)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "keep", take_off)
        with pytest.raises(DiskError, match=r"results folder .* is not there any more.*continues"):
            run(study, out, threads=1, block_px=64)
    assert not list(out.parent.iterdir())
    away.rename(out)
    run(study, out)
    assert tables(out) == tables(tmp_path / "whole")


def test_a_recount_writes_nothing_into_an_empty_mount_point(
    study, run, tables, tmp_path, monkeypatch
):
    out, away = tmp_path / "r", tmp_path / "away"
    run(study, out)
    before, find = tables(out), run_tables.find_gating

    def take_off(folder, inputs):
        found = find(folder, inputs)
        out.rename(away)
        out.mkdir()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(run_tables, "find_gating", take_off)
        with pytest.raises(DiskError, match="is not there any more"):
            recount(out)
    assert not list(out.iterdir())
    out.rmdir()
    away.rename(out)
    recount(out)
    assert tables(out) == before
