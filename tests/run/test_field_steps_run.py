"""Steps between camera fields on their way to the tables; results that know nothing of them."""

from __future__ import annotations

import pandas as pd
import pytest

from fociquant.model import FieldSteps
from fociquant.prepare import lighting
from fociquant.run import plan
from fociquant.run.study import recount
from fociquant.store import read_json, write_json
from fociquant.testing.studies import write_study

STEPS = FieldSteps((120.0, 0.0), (3.5, 0.0), 14, {"marker": 12.3456, "nucleus": 2.0},
                   {"marker": 1.0, "nucleus": 1.0})  # fmt: skip
COLUMNS = ["field_step_pct", "field_step_borders"]


@pytest.fixture()
def stepped(monkeypatch):
    """``stepped(found)``: this is what is found in every section."""

    def pretend(found):
        monkeypatch.setattr(lighting, "find_steps", lambda *_, **__: found)

    return pretend


def sections_of(out):
    return pd.read_csv(out / "sections.csv")


def state_of(out):
    (path,) = out.glob("sections/*/section.json")
    return path, read_json(path)


def test_steps_are_told_whatever_blocks_and_threads(run, stepped, tables, tmp_path):
    study = write_study(tmp_path / "s", {"a": 8}, shape=(200, 200))
    stepped(STEPS)
    run(study, tmp_path / "one", block_px=64, threads=1, fresh=True)
    run(study, tmp_path / "many", block_px=256, threads=3, fresh=True)
    assert tables(tmp_path / "one") == tables(tmp_path / "many")
    row = sections_of(tmp_path / "one").iloc[0]
    assert row[COLUMNS].tolist() == [12.35, 14]
    assert "jumps by typically 12 % from one camera field" in row["warnings"]
    assert ",12.35,14," in (tmp_path / "one" / "sections.csv").read_text()
    cells = (tmp_path / "one" / "cells.parquet").read_bytes()
    stepped(None)
    run(study, tmp_path / "none")
    assert (tmp_path / "none" / "cells.parquet").read_bytes() == cells
    row = sections_of(tmp_path / "none").iloc[0]
    assert row[COLUMNS].isna().all()
    assert "camera field" not in str(row["warnings"])


def test_results_of_an_earlier_version_are_read(run, tables, stepped, tmp_path):
    study = write_study(tmp_path / "s", {"a": 5}, shape=(200, 200))
    stepped(None)
    run(study, tmp_path / "r")
    before = tables(tmp_path / "r")
    path, state = state_of(tmp_path / "r")
    holders = [part for part in (state, *state.values())
               if isinstance(part, dict) and "field_steps" in part]  # fmt: skip
    assert holders
    for part in holders:
        del part["field_steps"]
    write_json(path, state)
    recount(tmp_path / "r")
    assert tables(tmp_path / "r") == before


def test_facts_of_an_earlier_version_are_found_again_and_cells_are_not(
    run, stepped, monkeypatch, tmp_path
):
    study = write_study(tmp_path / "s", {"a": 5}, shape=(200, 200))
    stepped(None)
    with monkeypatch.context() as before:
        before.setattr(plan, "FACTS", plan.FACTS - 1)
        run(study, tmp_path / "r")
    assert run.seen > 0
    stepped(STEPS)
    run(study, tmp_path / "r")
    assert run.seen == 0
    assert sections_of(tmp_path / "r").iloc[0][COLUMNS].tolist() == [12.35, 14]
