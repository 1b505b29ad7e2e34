"""Classes at other linking distances: the same as finding the foci anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fociquant.foci import _sensitivity, find_foci, link_sensitivity
from fociquant.settings import FociClass, FociProfile, load_profile

PROFILE = load_profile("chia2025")


def squares(places, edge=10.0):
    """Square cells of this edge, µm, by their upper left corners."""
    y, x = np.asarray(places, float).reshape(-1, 2).T
    outlines = np.stack([y, x, y, x + edge, y + edge, x + edge, y + edge, x], axis=1)
    return pd.DataFrame(
        {"cell": np.arange(1, len(y) + 1), "y_um": y + edge / 2, "x_um": x + edge / 2,
         "positive": True, "outline": list(outlines.astype(np.float32))}
    )  # fmt: skip


def crowd(seed, n=400):
    rng = np.random.default_rng(seed)
    return squares(rng.uniform(0, 720, (n, 2)))


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_what_finding_foci_anew_gives(seed):
    cells = crowd(seed)
    cells.loc[::7, "positive"] = False
    table = link_sensitivity(cells, link_um=20.0, profile=PROFILE)
    assert table["link_um"].tolist() == [10.0, 15.0, 20.0, 30.0, 40.0]
    for row in table.to_dict("records"):
        found = find_foci(cells, link_um=row["link_um"], profile=PROFILE, phenotypes=()).foci
        for one in PROFILE.classes:
            assert row[one.column] == (found["class"] == one.name).sum()
    assert table[[one.column for one in PROFILE.classes]].to_numpy().any(axis=0).all()


def test_the_order_of_cells_changes_nothing():
    cells = crowd(5)
    pd.testing.assert_frame_equal(
        link_sensitivity(cells, link_um=20.0, profile=PROFILE),
        link_sensitivity(cells.sample(frac=1, random_state=1), link_um=20.0, profile=PROFILE),
    )


def test_no_cell_is_no_focus_at_any_distance():
    table = link_sensitivity(crowd(1).iloc[:0], link_um=20.0, profile=PROFILE)
    assert len(table) == 5 and not table.drop(columns="link_um").to_numpy().any()


def test_distance_zero_is_one_row():
    cells = squares([(0, 0), (0, 10), (0, 40)])
    table = link_sensitivity(cells, link_um=0.0, profile=PROFILE)
    assert table.to_dict("records") == [
        {"link_um": 0.0, "solitary": 1, "clusters": 1, "micrometastases": 0, "macrometastases": 0}
    ]


def test_a_section_with_too_many_cells_is_left_out(monkeypatch):
    monkeypatch.setattr(_sensitivity, "MOST_CELLS", 3)
    assert link_sensitivity(crowd(1, n=4), link_um=20.0, profile=PROFILE) is None


@given(st.integers(0, 10_000), st.integers(0, 300), st.sampled_from([0.0, 4.0, 20.0, 30.0]))
@settings(max_examples=15, deadline=None)
def test_areas_that_are_not_measured_would_have_given_the_same_class(seed, n, link_um):
    rng = np.random.default_rng(seed)
    cells = squares(rng.uniform(0, rng.uniform(50, 400), (n, 2)), edge=rng.uniform(4, 14, n))
    limits = FociProfile(
        name="areas",
        classes=(
            FociClass(name="solitary", column="solitary", max_cells=1),
            FociClass(name="small", column="small", below_mm2=0.0008),
            FociClass(name="middle", column="middle", below_mm2=0.004),
            FociClass(name="large", column="large"),
        ),
    )
    for row in link_sensitivity(cells, link_um=link_um, profile=limits).to_dict("records"):
        found = find_foci(cells, link_um=row["link_um"], profile=limits, phenotypes=()).foci
        for one in limits.classes:
            assert row[one.column] == (found["class"] == one.name).sum()


def test_the_pages_name_the_largest_section_that_is_worked_out():
    most = f"{_sensitivity.MOST_CELLS:,}".replace(",", " ")
    pages = Path(__file__).resolve().parents[2] / "docs"
    for page in ("results_folder.md", "foci.md"):
        assert f"{most} counted cells" in (pages / page).read_text(encoding="utf-8")
