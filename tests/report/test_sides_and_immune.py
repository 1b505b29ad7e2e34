"""Counts side by side, and immune cells around foci: what the page says and draws."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from fociquant.report._extras import ReportExtras
from fociquant.report._immune import group_bands, immune_figure, mouse_bands
from fociquant.report._panels import immune_mice
from fociquant.report._sides import group_sides, has_sides, mouse_sides, sides, sides_section
from fociquant.report._style import figure_style, group_styles, save

STYLES = group_styles(["PBS", "IAV"], "PBS")
NAN = math.nan


def mice(**changes):
    table = pd.DataFrame({
        "mouse": ["a", "b", "c"], "group": ["PBS", "IAV", "IAV"], "dpi": 9.0, "control": "",
        "sections_failed": 0, "cells": [3, 90, 50], "cells_automatic": [3, 100, 50],
        "cells_reviewed": [3.0, 90.0, NAN], "cells_corrected": [3.4, 95.0, 55.0],
        "cells_corrected_low": [1.0, 80.0, 40.0], "cells_corrected_high": [9.0, 120.0, 70.0],
    })  # fmt: skip
    return table.assign(**changes)


NO_AUDIT = dict.fromkeys(("cells_corrected", "cells_corrected_low", "cells_corrected_high"), NAN)


def test_the_three_counts_of_a_mouse_stand_side_by_side():
    table = mouse_sides(mice()).set_index("mouse")
    assert table.loc["b"].tolist()[2:] == ["100", "90", "95 (80 to 120)"]
    assert table.loc["c", "reviewed"] == "not reviewed"
    begun = mouse_sides(mice(cells=[3, 90, 48])).set_index("mouse")
    assert begun.loc["c", "reviewed"] == "not signed off; 48 so far"
    assert set(mouse_sides(mice(**NO_AUDIT))["corrected (95 %)"]) == {"no audit"}


def test_the_means_of_a_group_stand_side_by_side():
    groups = pd.DataFrame({
        "group": ["PBS", "IAV"], "dpi": 9.0, "mice": [1, 2], "mean_automatic": [3, 75],
        "mean_reviewed": [3, NAN], "mean_corrected": [3.4, 75.0],
        "mean_corrected_low": [1.0, 20.0], "mean_corrected_high": [9.0, 300.0],
    })  # fmt: skip
    table = group_sides(groups).set_index("group")
    assert table.loc["IAV"].tolist()[1:] == [2, "75", "not all reviewed", "75 (20 to 300)"]
    before, after = sides_section(mice(), groups)
    assert "75 (20 to 300)" in "".join(before) and "not reviewed" in "".join(after)


def test_without_review_and_audit_the_page_says_so():
    automatic = mice(cells=[3, 100, 50], cells_reviewed=NAN, **NO_AUDIT)
    assert not has_sides(automatic)
    before, after = sides_section(automatic, pd.DataFrame())
    assert "nobody has reviewed" in before[0] and after == []
    assert "nobody has reviewed" in str(sides(automatic, STYLES))
    assert has_sides(automatic.assign(cells=[3, 99, 50]))


@pytest.mark.parametrize("changes", [{}, NO_AUDIT, {"cells_reviewed": NAN}, {"group": "new"}])
def test_the_figure_of_counts_can_be_drawn(tmp_path, changes):
    with figure_style():
        figure = sides(mice(**changes), STYLES)
        paths = save(figure, tmp_path / "x")
    assert all(path.stat().st_size > 1000 for path in paths)


def bands(mouse, section, near, area=0.1, *, beyond=5, group="IAV", kind="all", marker="CD8"):
    edges = np.arange(6) * 20.0
    return pd.DataFrame({
        "section": section, "mouse": mouse, "group": group, "dpi": 9.0, "marker": marker,
        "class": kind, "inner_um": edges, "outer_um": [*edges[1:], NAN],
        "area_mm2": [area] * 5 + [2.0], "cells": pd.array([*near, beyond], dtype="Int64"),
    })  # fmt: skip


def test_sections_of_a_mouse_are_summed_before_they_are_divided():
    table = pd.concat([
        bands("a", "s1", [10, 5, 1, 1, 1]), bands("a", "s2", [0, 1, 1, 1, 1], area=0.3),
        bands("a", "s2", [9, 9, 9, 9, 9], kind="cluster"),
        bands("b", "s3", [0] * 5, area=0.0), bands("c", "s4", [7] * 5, group="PBS"),
    ])  # fmt: skip
    found = mouse_bands(table, left_out=frozenset(["s4"])).set_index(["mouse", "inner_um"])
    assert found.loc[("a", 0.0), "cells_per_mm2"] == pytest.approx(10 / 0.4)
    assert found.loc[("a", 100.0), "cells_per_mm2"] == pytest.approx(10 / 4.0)
    assert "c" not in found.index.get_level_values("mouse")
    assert found.loc["b"].index.tolist() == [100.0]  # no focus: only what lies beyond
    means = group_bands(found.reset_index())
    assert means.loc[0, "mice"] == 1
    assert means.loc[0, "beyond 100 µm"] == pytest.approx((2.5 + 2.5) / 2)


def test_controls_and_excluded_mice_are_in_no_mean_of_bands():
    table = pd.concat([bands(name, f"s{name}", [5] * 5) for name in "abc"])
    sections = pd.DataFrame({
        "section": ["sa", "sb", "sc"], "control": ["", "negative", ""],
        "excluded": ["", "", "died at 2 dpi"],
    })  # fmt: skip
    found = immune_mice(ReportExtras(tables={"immune_bands": table}), sections)
    assert set(found["mouse"]) == {"a"}


def test_bands_are_drawn_or_excused(tmp_path):
    table = pd.concat([
        bands(f"m{k}", f"s{k}", [40 - k, 20, 9, 4, 0], group=group, marker=marker)
        for k, group in enumerate(["PBS", "IAV", "IAV"]) for marker in ("CD4", "CD8")
    ])  # fmt: skip
    with figure_style():
        paths = save(immune_figure(mouse_bands(table), STYLES), tmp_path / "x")
    assert all(path.stat().st_size > 1000 for path in paths)
    for nothing in (pd.DataFrame(), mouse_bands(bands("a", "s", [0] * 5, area=0.0))):
        assert "No mouse" in str(immune_figure(nothing, STYLES))
    unknown = bands("a", "s", [0] * 5).assign(cells=pd.array([pd.NA] * 6, dtype="Int64"))
    assert len(mouse_bands(unknown)) == 0
