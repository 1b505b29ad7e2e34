"""A run under uneven light: one answer however the work is cut, told in the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fociquant.model import SHADING_POWERS, Shading
from fociquant.prepare import lighting
from fociquant.testing.studies import write_study

LOSS = 0.5


def towards_the_left(loss=LOSS, corrected=True) -> Shading:
    """Light that falls from right to left over one field as wide as the image."""
    terms = [0.0] * len(SHADING_POWERS)
    steep = -np.log(1 - loss) / 2
    terms[SHADING_POWERS.index((0, 0))] = -steep
    terms[SHADING_POWERS.index((0, 1))] = steep
    return Shading((0.0, 330.0), (0.0, 0.0), tuple(terms), 0.0, np.inf, loss, corrected)


@pytest.fixture()
def lit(monkeypatch):
    """``lit(shading)``: this is what is found in the marker of every section."""

    def pretend(found):
        monkeypatch.setattr(lighting, "find_shading", lambda *_, **__: {"marker": found})

    return pretend


def cells_of(out):
    return pd.read_parquet(out / "cells.parquet")


def test_blocks_and_threads_do_not_show_under_corrected_light(run, lit, tables, tmp_path):
    study = write_study(tmp_path / "s", {"a": 25}, shape=(300, 330))
    run(study, tmp_path / "plain")
    lit(towards_the_left())
    run(study, tmp_path / "one", block_px=64, threads=1, fresh=True)
    run(study, tmp_path / "many", block_px=256, threads=3, fresh=True)
    assert tables(tmp_path / "one") == tables(tmp_path / "many")
    plain, evened = cells_of(tmp_path / "plain"), cells_of(tmp_path / "one")
    name = next(column for column in plain if column.endswith("_mean"))
    left = [one.loc[one["x_um"] < one["x_um"].median(), name].median() for one in (plain, evened)]
    assert left[1] > 1.2 * left[0]
    row = pd.read_csv(tmp_path / "one" / "sections.csv").iloc[0]
    assert row["shading_pct"] == pytest.approx(100 * LOSS)
    assert "was made good: marker 50 %" in row["warnings"]


def test_little_shading_is_told_and_changes_nothing_else(run, lit, tmp_path):
    study = write_study(tmp_path / "s", {"a": 6}, shape=(200, 200))
    run(study, tmp_path / "plain")
    lit(towards_the_left(0.1, corrected=False))
    run(study, tmp_path / "told")
    assert cells_of(tmp_path / "plain").equals(cells_of(tmp_path / "told"))
    row = pd.read_csv(tmp_path / "told" / "sections.csv").iloc[0]
    assert row["shading_pct"] == pytest.approx(10.0)
    assert pd.isna(pd.read_csv(tmp_path / "plain" / "sections.csv")["shading_pct"].iloc[0])
