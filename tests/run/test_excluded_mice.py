"""Mice that the sample sheet excludes: counted and shown, in no mean and no comparison."""

from __future__ import annotations

import pandas as pd

from fociquant.export import write_prism
from fociquant.report._caveats import caveats
from fociquant.report._checklist import checklists
from fociquant.report._methods import methods
from fociquant.run.provenance import inputs_of
from fociquant.run.study import recount
from fociquant.run.table_reading import read_tables
from fociquant.store import read_json
from fociquant.testing.studies import write_study

WHY = "died at 12 dpi"
SAID = f"m3, PBS, 3 dpi: {WHY}"


def write_sheet(study, *reasons: str) -> None:
    """One arm and day of mice m1, m2, …, each with the reason why it is excluded."""
    lines = ["image,mouse,group,dpi,section,excluded"]
    lines += [f"images/s{n}.ome.tif,m{n + 1},PBS,3,s{n},{why}" for n, why in enumerate(reasons)]
    (study.parent / "samples.csv").write_text("\n".join(lines) + "\n")


def table(out, name: str) -> pd.DataFrame:
    return pd.read_csv(out / name, dtype={"excluded": "str"}, keep_default_na=False)


def test_an_excluded_mouse_keeps_its_counts_and_is_in_no_mean(run, tmp_path, folder, tables):
    study = write_study(tmp_path / "study", {"m1": 4, "m2": 9, "m3": 2})
    write_sheet(study, "", "", "")
    run(study, tmp_path / "r", threads=1)
    before = table(tmp_path / "r", "mice.csv").set_index("mouse")
    write_sheet(study, "", "", WHY)
    run(study, tmp_path / "r", threads=1)
    assert run.seen == 0  # no pixel was looked at again

    after = table(tmp_path / "r", "mice.csv").set_index("mouse")
    assert after["excluded"].to_dict() == {"m1": "", "m2": "", "m3": WHY}
    assert after.drop(columns="excluded").equals(before.drop(columns="excluded"))
    assert table(tmp_path / "r", "sections.csv")["excluded"].tolist().count(WHY) == 1
    (group,) = table(tmp_path / "r", "groups.csv").to_dict("records")
    kept = before.loc[["m1", "m2"], "cells"]
    assert (group["mice"], group["mice_incomplete"]) == (2, 1)
    assert (group["mean"], group["min"]) == (kept.mean(), kept.min())

    written = tables(tmp_path / "r")
    recount(tmp_path / "r")
    assert tables(tmp_path / "r") == written

    record = read_json(folder(tmp_path / "r").run)
    read = read_tables(folder(tmp_path / "r"), inputs_of(record, folder(tmp_path / "r")))
    words = caveats(read.mice, read.sections, has_autofluorescence=True, profile_name="p")
    assert sum(SAID in line for line in words) == 1
    arrive, _ = checklists(record, read.mice, read.sections, has_power=False)
    assert sum(f"1 excluded by hand ({SAID})" in line for line in arrive.astype(str).sum(axis=1))
    assert any(SAID in line for line in methods(record, read.mice, read.sections, None))
    prism = write_prism(tmp_path / "m.pzfx", read.mice, values=["cells"]).read_text("utf-8")
    assert prism.count('Excluded="1"') == 1
