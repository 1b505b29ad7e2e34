"""Sections to mice."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from fociquant.cohort import mice_table, natural_key
from fociquant.errors import InputError
from fociquant.model import MOUSE_COLUMNS
from fociquant.settings import FociClass, FociProfile, load_profile

PROFILE = load_profile("chia2025")


def section(name: str, mouse: str, **changes) -> dict:
    row = {
        "section": name, "image": f"{name}.tif", "mouse": mouse, "group": "IAV", "dpi": 6,
        "status": "done", "reason": "", "tissue_mm2": 2.0, "parenchyma_mm2": 1.5, "cells": 4,
        "foci": 2, "Ki67_positive": 1, "control": "", "batch": "b1", "sex": "f",
    }  # fmt: skip
    return row | changes


def failed(name: str, mouse: str, **changes) -> dict:
    empty = dict.fromkeys(("tissue_mm2", "parenchyma_mm2", "cells", "foci", "Ki67_positive"))
    return section(name, mouse, status="failed", reason="truncated", **empty) | changes


def foci(rows: list[tuple[str, str, int, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["section", "class", "cells", "area_um2"])
    return table.astype({"section": "str", "class": "str"})


def mice(sections: list[dict], rows: list = (), **options) -> pd.DataFrame:
    options = {"reference_group": "PBS", "extras": ["sex"]} | options
    return mice_table(pd.DataFrame(sections), foci(list(rows)), PROFILE, ["Ki67"], **options)


def test_sections_are_summed_over_a_mouse():
    rows = [("a", "solitary", 1, 100.0), ("a", "cluster", 3, 400.5), ("b", "cluster", 4, 500.25)]
    both = [
        section("a", "m1", artefact_mm2=0.75),
        section("b", "m1", cells=5, tissue_mm2=0.5, artefact_mm2=0.0),
    ]
    table = mice(both, rows)
    expected = {
        "mouse": "m1", "group": "IAV", "dpi": 6, "sections": 2, "sections_failed": 0,
        "tissue_mm2": 2.5, "parenchyma_mm2": 3.0, "cells": 9, "cells_per_mm2": 3.6,
        "solitary": 1, "clusters": 2, "micrometastases": 0, "macrometastases": 0,
        "foci_area_mm2": 0.00100075, "reviewed": "no", "Ki67_positive": 2, "Ki67_pct": 22.2222,
        "Ki67_cells": 9, "Ki67_note": "", "cells_per_mm2_upper": 6.282087,
        "zero_note": "", "artefact_mm2": 0.75, "artefact_pct": 23.0769,
        "control": "", "sections_control": 0, "batch": "b1", "excluded": "", "sex": "f",
    }  # fmt: skip
    assert table.to_dict("records") == [expected]
    assert tuple(table.columns[: len(MOUSE_COLUMNS)]) == MOUSE_COLUMNS


def test_masked_area_is_a_share_of_all_tissue_and_of_no_denominator():
    own = section("a", "m1", artefact_mm2=0.5, excluded_mm2=0.5, tissue_mm2=1.0)
    row = mice([own, failed("b", "m1", artefact_mm2=None, excluded_mm2=None)]).iloc[0]
    assert row["artefact_mm2"] == 0.5 and row["artefact_pct"] == 25.0
    assert row["tissue_mm2"] == 1.0 and row["cells_per_mm2"] == 4.0


def test_masked_area_is_empty_where_it_is_not_known():
    table = mice([section("a", "m1"), failed("b", "m2")])
    assert table[["artefact_mm2", "artefact_pct"]].isna().all(axis=None)


def test_zero_is_a_result():
    row = mice([section("a", "m1", cells=0, foci=0, Ki67_positive=0)]).iloc[0]
    assert row["cells"] == 0 and row["cells_per_mm2"] == 0 and row["foci_area_mm2"] == 0
    assert row["solitary"] == 0
    assert math.isnan(row["Ki67_pct"])


def test_a_share_of_few_cells_is_not_told():
    sections = [section("a", "m1", cells=9, Ki67_positive=3), section("b", "m2", cells=10)]
    few, enough = mice(sections, min_cells=10).to_dict("records")
    assert math.isnan(few["Ki67_pct"]) and (few["Ki67_positive"], few["Ki67_cells"]) == (3, 9)
    assert few["Ki67_note"] == "not estimable: 9 cells, at least 10 are asked for"
    assert enough["Ki67_pct"] == 10.0 and enough["Ki67_note"] == ""


def test_sections_without_the_phenotype_are_in_neither_part_of_its_share():
    lacking = section("b", "m1", cells=96, Ki67_positive=np.nan)
    row = mice([section("a", "m1"), lacking]).iloc[0]
    assert row["cells"] == 100
    assert (row["Ki67_positive"], row["Ki67_cells"], row["Ki67_pct"]) == (1, 4, 25.0)
    assert row["Ki67_note"] == "from 1 of 2 sections: the others lack its channel"
    only = mice([lacking]).iloc[0]
    assert only[["Ki67_positive", "Ki67_cells", "Ki67_pct"]].isna().all()
    assert only["Ki67_note"] == "no section has its channel" and only["cells"] == 96


def test_zero_says_what_it_still_allows():
    empty = {"cells": 0, "foci": 0, "Ki67_positive": 0}
    row = mice([section("a", "m1", **empty), section("b", "m1", **empty)]).iloc[0]
    assert row["cells_per_mm2_upper"] == pytest.approx(-math.log(0.05) / 4, abs=1e-6)
    assert row["zero_note"] == (
        "no cell in 2 sections: up to 1.5 per section (0.75 per mm²) cannot be excluded "
        "(one-sided 95 %)"
    )
    bare = mice([section("a", "m1", tissue_mm2=0.0, **empty)]).iloc[0]
    assert math.isnan(bare["cells_per_mm2_upper"]) and "no observation" in bare["zero_note"]


def test_areas_and_rates_are_rounded_once_and_at_the_end():
    thirds = [section(name, "m1", tissue_mm2=1 / 3, parenchyma_mm2=2 / 9) for name in "abc"]
    row = mice(thirds[:2]).iloc[0]
    assert (row["tissue_mm2"], row["parenchyma_mm2"]) == (0.66666667, 0.44444444)
    assert row["cells_per_mm2"] == 12.0
    assert mice(thirds).iloc[0]["tissue_mm2"] == 1.0


def test_no_tissue_leaves_the_density_empty_not_infinite():
    assert math.isnan(mice([section("a", "m1", tissue_mm2=0.0)])["cells_per_mm2"].item())


def test_a_failed_section_shows_and_the_rest_is_summed():
    rows = [("a", "solitary", 1, 1.0), ("b", "solitary", 1, 1.0)]
    row = mice([section("a", "m1"), failed("b", "m1")], rows).iloc[0]
    assert (row["sections"], row["sections_failed"], row["cells"], row["solitary"]) == (1, 1, 4, 1)


def test_a_mouse_without_a_done_section_has_empty_counts():
    table = mice([failed("a", "m1"), section("b", "m2")])
    row = table.iloc[0]
    assert (row["sections"], row["sections_failed"]) == (0, 1)
    empty = ["cells", "tissue_mm2", "parenchyma_mm2", "cells_per_mm2", "solitary", "clusters",
             "foci_area_mm2", "Ki67_positive", "Ki67_pct"]  # fmt: skip
    assert row[empty].isna().all()
    # and the others stay whole numbers in the file
    assert table.to_csv(index=False).splitlines()[2].startswith("m2,IAV,6,1,0,2.0,1.5,4,2.0,0,")


@pytest.mark.parametrize("name", ["007", "1E5", "3-1", "=1+1", "Maus ä"])
def test_text_names_survive(name):
    assert mice([section("a", name, sex="01")])[["mouse", "sex"]].iloc[0].tolist() == [name, "01"]


def test_rows_are_in_time_group_and_natural_order():
    plan = [(6, "IAV", "m10"), (6, "IAV", "m9"), (28, "PBS", "m1"), (6, "ZZ", "m1"),
            (6, "PBS", "m2"), (6, "IAV", "M9"), (6, "IAV", "m9b")]  # fmt: skip
    rows = [section(str(i), m, group=g, dpi=d) for i, (d, g, m) in enumerate(plan)]
    table = mice(rows)
    expected = [(6, "PBS", "m2"), (6, "IAV", "M9"), (6, "IAV", "m9"), (6, "IAV", "m9b"),
                (6, "IAV", "m10"), (6, "ZZ", "m1"), (28, "PBS", "m1")]  # fmt: skip
    assert list(table[["dpi", "group", "mouse"]].itertuples(index=False, name=None)) == expected
    pd.testing.assert_frame_equal(table, mice(rows[::-1]), check_exact=True)


def test_numbers_are_ordered_as_numbers_and_text_breaks_ties():
    names = ["m10", "7", "m2", "007", "10", "", "²", "m²"]
    expected = ["", "007", "7", "10", "m2", "m10", "m²", "²"]
    assert sorted(names, key=natural_key) == expected


def test_two_mice_of_one_name_in_two_groups_stay_two():
    table = mice([section("a", "1"), section("b", "1", group="PBS", cells=0)])
    assert table[["group", "cells"]].to_numpy().tolist() == [["PBS", 0], ["IAV", 4]]


def test_control_sections_are_no_part_of_the_sum():
    rows = [("a", "solitary", 1, 1.0), ("b", "solitary", 1, 1.0)]
    table = mice([section("a", "m1"), section("b", "m1", control="negative", cells=50)], rows)
    assert table[["sections", "sections_control", "cells", "solitary", "control"]].to_numpy(
    ).tolist() == [[1, 1, 4, 1, ""]]  # fmt: skip


def test_a_mouse_of_controls_only_is_kept_and_marked():
    table = mice([section("a", "m1"), section("c", "wt", control="negative", cells=1)])
    assert table[["mouse", "control", "sections", "cells"]].to_numpy().tolist() == [
        ["m1", "", 1, 4], ["wt", "negative", 1, 1],
    ]  # fmt: skip


def test_values_that_differ_within_a_mouse_are_joined():
    rows = [section("a", "m", batch="b10"), section("b", "m", batch="b2"), failed("c", "m", sex="")]
    assert mice(rows)[["batch", "sex"]].iloc[0].tolist() == ["b1|b2|b10", "|f"]


def test_a_study_without_sections_and_a_sheet_without_options():
    empty = mice([section("a", "m")])
    none = mice_table(
        pd.DataFrame([section("a", "m")]).iloc[:0], foci([]), PROFILE, ["Ki67"], extras=["sex"]
    )
    assert list(none.columns) == list(empty.columns)
    assert len(none) == 0
    bare = pd.DataFrame([section("a", "m")]).drop(columns=["control", "batch", "sex"])
    table = mice_table(bare, foci([]), PROFILE, [])
    assert table[["control", "sections_control"]].to_numpy().tolist() == [["", 0]]


def test_another_profile_adds_its_columns_and_leaves_the_others_empty():
    profile = FociProfile(
        name="two",
        classes=(
            FociClass(name="solitary", column="solitary", max_cells=1),
            FociClass(name="lesion", column="lesions"),
        ),
    )
    rows = foci([("a", "lesion", 5, 1.0), ("a", "solitary", 1, 1.0)])
    table = mice_table(pd.DataFrame([section("a", "m")]), rows, profile, [])
    assert table[["solitary", "lesions"]].to_numpy().tolist() == [[1, 1]]
    assert table["clusters"].isna().all()
    with pytest.raises(ValueError, match="no class cluster"):
        mice_table(pd.DataFrame([section("a", "m")]), foci([("a", "cluster", 2, 1.0)]), profile, [])


def test_a_sheet_column_may_not_hide_a_result():
    with pytest.raises(InputError, match=r"'cells' is a column.*Rename it in samples\.csv"):
        mice([section("a", "m")], extras=["cells"])


def test_blank_columns_read_from_a_file_are_empty_text():
    table = mice([section("a", "m", control=np.nan, batch=np.nan, sex=None)])
    assert table[["control", "batch", "sex"]].iloc[0].tolist() == ["", "", ""]
    assert table["cells"].tolist() == [4]


def test_dpi_keeps_its_type():
    assert mice([section("a", "m", dpi=6)])["dpi"].dtype == np.int64
    assert mice([section("a", "m", dpi=0.5)])["dpi"].tolist() == [0.5]
