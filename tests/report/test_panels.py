"""Every figure of the page draws, or says in words why not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from fociquant.counts import poisson_upper
from fociquant.report import Crops, ReportExtras, write_report
from fociquant.report import _extras as extras_module
from fociquant.report._checklist import checklists
from fociquant.report._methods import methods
from fociquant.report._panels import CAPTIONS, draw_all
from fociquant.report._quality import assess, seams_in_words
from fociquant.settings import Settings, load_profile

CLASSES = load_profile("chia2025").model_dump(mode="json")["classes"]
COLUMNS = [one["column"] for one in CLASSES]


def study(mice_per_group: int = 3, groups=("PBS", "IAV"), days=(3.0, 15.0), *, zero: bool = False):
    """Tables of a small study: one section per mouse, and one negative control."""
    mice, sections, foci = [], [], []
    for day in days:
        for group in groups:
            for number in range(mice_per_group):
                cells = 0 if zero else (number + 1) * (40 if group == "IAV" else 1)
                base = {"mouse": f"m{number}", "group": group, "dpi": day, "tissue_mm2": 2.0,
                        "cells": cells, "control": "", "Ki67_positive": cells // 2}  # fmt: skip
                name = f"{group}-{day:g}-{number}"
                more = {"image": f"{name}.tif", "status": "done", "reason": "", "warnings": ""}
                sections.append(base | more | {"section": name, "foci": min(cells, 3)})
                counts = dict.fromkeys(COLUMNS, 0) | {
                    "solitary": min(cells, 2),
                    "clusters": cells // 9,
                }
                mice.append(base | counts | {
                    "sections": 1, "sections_failed": 0, "cells_per_mm2": cells / 2.0,
                    "Ki67_pct": 50.0 if cells else None, "reviewed": "no"})  # fmt: skip
                foci += [
                    {"section": name, "mouse": f"m{number}", "cells": size, "area_um2": 90.0 * size}
                    for size in range(1, 1 + min(cells, 3))
                ]
    return (pd.DataFrame(mice), pd.DataFrame(sections),
            pd.DataFrame(foci, columns=["section", "mouse", "cells", "area_um2"]))  # fmt: skip


def comparison(**changes) -> pd.DataFrame:
    row = {"group": "IAV", "reference": "PBS", "dpi": 3.0, "rate_ratio": 40.0, "ratio_low": 10.0,
           "ratio_high": 160.0, "p_model": 0.001, "p_holm": 0.002, "p_rank": 0.1,
           "p_rank_smallest": 0.1, "mice": 3, "mice_reference": 3, "comparison_note": "",
           "offset": "tissue_mm2", "cv_between_mice": 0.5}  # fmt: skip
    return pd.DataFrame([row | changes])


def draw(tmp_path, tables, **changes):
    mice, sections, foci = tables
    options = {
        "comparisons": comparison(), "classes": CLASSES, "class_columns": COLUMNS,
        "run": {"phenotypes": ["Ki67"], "study": {"reference_group": "PBS"}},
        "extras": ReportExtras(candidates=candidates(sections)),
    }  # fmt: skip
    return draw_all(tmp_path, mice=mice, sections=sections, foci=foci, **(options | changes))


def candidates(sections: pd.DataFrame) -> pd.DataFrame:
    rows = [
        (name, flags, positive, number)
        for name in sections["section"]
        for flags, positive, number in (("", True, 5), ("edge", True, 1), ("uncertain", False, 9),
                                        ("no_nucleus;uncertain;from_a_plugin", False, 3))
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["section", "flags", "positive", "candidates"])


def test_a_usual_study_has_every_figure_as_svg_and_png(tmp_path):
    drawn = draw(tmp_path, study())
    without = {"gate_sweep", "link_sweep", "counts_compared", "immune_bands"}
    assert {name for name, one in drawn.panels.items() if one.reason} == without
    for name in set(CAPTIONS) - without:
        assert {p.name for p in drawn.panels[name].paths} == {f"{name}.png", f"{name}.svg"}
    assert "IAV at 15 dpi: mean 80, n = 3" in drawn.panels["time_course"].alt


def empty(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[:0]


def failed(tables):
    mice, sections, foci = tables
    numbers = ["cells", "tissue_mm2", "cells_per_mm2", *COLUMNS, "Ki67_positive", "Ki67_pct"]
    mice = mice.assign(sections=0, sections_failed=1, **dict.fromkeys(numbers, np.nan))
    return mice, sections.assign(status="failed", cells=np.nan, tissue_mm2=np.nan), empty(foci)


STUDIES = {
    "all zero": study(zero=True),
    "one mouse": study(1, groups=("IAV",), days=(3.0,)),
    "one group": study(groups=("only",)),
    "all failed": failed(study()),
    "no mouse": tuple(empty(frame) for frame in study()),
    "all controls": tuple(
        frame.assign(control="negative") if "control" in frame else frame for frame in study()
    ),
    "no tissue": tuple(
        frame.assign(tissue_mm2=0.0, **({"cells_per_mm2": np.nan} if "Ki67_pct" in frame else {}))
        if "tissue_mm2" in frame else frame for frame in study()
    ),
    "many groups": study(1, groups=tuple(f"g{n}" for n in range(11))),
    "odd names": study(groups=("<script>$x^{", "_hidden")),
    "many days": study(1, days=tuple(float(n) for n in range(1, 30))),
}  # fmt: skip


@pytest.fixture()
def quick(monkeypatch):
    """Draws figures, but coarsely and without fitting their parts to each other."""

    def save(figure, stem):
        figure.set_layout_engine("none")
        figure.set_dpi(20)
        FigureCanvasAgg(figure).draw()
        stem.parent.mkdir(parents=True, exist_ok=True)
        path = stem.with_name(f"{stem.name}.svg")
        path.write_text("<svg/>", encoding="utf-8")
        return [path]

    monkeypatch.setattr(extras_module, "save", save)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("number", range(len(STUDIES)))
def test_no_study_is_so_poor_that_the_page_fails(tmp_path, number):
    mice, sections, foci = list(STUDIES.values())[number]
    compared = [None, comparison().iloc[:0], comparison()][number % 3]
    if compared is not None and len(compared) and len(mice):
        compared = compared.assign(group=mice["group"].iloc[-1])
    run = {"phenotypes": ["Ki67", "absent"], "study": {"name": "<i>s", "reference_group": "PBS"},
           "profile": {"name": "chia2025", "classes": CLASSES}}  # fmt: skip
    path = write_report(
        tmp_path, mice=mice, sections=sections, groups=pd.DataFrame(), run=run, foci=foci,
        comparisons=compared, extras=ReportExtras(candidates=candidates(sections)),
    )  # fmt: skip
    page = path.read_text(encoding="utf-8")
    assert "<script" not in page and "<i>s" not in page
    reasons = page.count('<p class="none">')
    assert reasons + page.count("<img ") >= len(CAPTIONS)
    assert "NaN" not in page and ">nan<" not in page and ">inf<" not in page


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("name", "panel", "words"),
    [
        ("all zero", "class_composition", "No mouse has a focus"),
        ("all zero", "foci_sizes", "No focus was found"),
        ("all zero", "phenotypes", "Ki67: not estimable in any mouse"),
        ("all failed", "density", "No tissue was found"),
        ("all failed", "rejections", "No counted section has tissue"),
        ("no tissue", "rejections", "No counted section has tissue"),
        ("no mouse", "time_course", "There is no mouse"),
        ("all controls", "class_composition", "no composition"),
    ],
)
def test_the_reason_is_told_in_plain_words(tmp_path, name, panel, words):
    assert words in draw(tmp_path, STUDIES[name]).panels[panel].reason


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "changes",
    [{"rate_ratio": np.nan, "ratio_low": np.nan, "ratio_high": np.nan},
     {"rate_ratio": np.nan, "ratio_high": np.nan}, {"rate_ratio": np.nan, "ratio_low": np.nan},
     {"ratio_low": np.nan, "ratio_high": np.nan}, {"ratio_low": 0.0}, {"group": "not in mice"}],
)  # fmt: skip
def test_bounds_and_gaps_of_ratios_are_drawn(tmp_path, changes):
    one = draw(tmp_path, study(), comparisons=comparison(**changes)).panels["rate_ratios"]
    unknown = all(np.isnan(changes.get(n, 1.0)) for n in ("rate_ratio", "ratio_low", "ratio_high"))
    assert bool(one.reason) == unknown


def test_phenotypes_that_the_table_lacks_are_left_out(tmp_path):
    run = {"phenotypes": ["Ki67", "EpCAM"], "study": {}}
    one = draw(tmp_path, study(), run=run).panels["phenotypes"]
    text = one.paths[1].read_text(encoding="utf-8")
    assert "Ki67+" in text and "EpCAM" not in text


def test_sweeps_are_drawn_where_their_tables_are(tmp_path):
    mice, _, _ = study()
    rows = [
        {"property": "marker", "threshold": at, "state": state, "group": group, "dpi": 3.0,
         "mean": 9.0 / at, "rate_ratio": 2.0, "ratio_low": 1.0, "ratio_high": 4.0}
        for group in ("PBS", "IAV") for at, state in ((2.0, "in use"), (4.0, "raised"))
    ]  # fmt: skip
    link = pd.concat([mice.assign(link_um=at) for at in (5.0, 20.0, 60.0)])
    tables = {"gate_sweep": pd.DataFrame(rows), "link_sweep": link[["link_um", "group", *COLUMNS]]}
    drawn = draw(tmp_path, study(), extras=ReportExtras(tables=tables))
    for name in ("gate_sweep", "link_sweep"):
        assert drawn.panels[name].reason == "" and drawn.panels[name].paths
    odd = {"gate_sweep": pd.DataFrame({"a": ["x"]}), "link_sweep": pd.DataFrame({"link_um": [1.0]})}
    drawn = draw(tmp_path, study(), extras=ReportExtras(tables=odd))
    assert "The table of the sweep lacks dpi, group" in drawn.panels["gate_sweep"].reason
    assert "none of the profile" in drawn.panels["link_sweep"].reason
    assert not (tmp_path / "gate_sweep.png").exists()


@pytest.mark.usefixtures("quick")
def test_figures_of_an_earlier_report_go_and_other_files_stay(tmp_path):
    for name in ("phenotypes.png", "cells_9_counted.png", "mine.png", "cells_notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    draw(tmp_path, study(), run={"study": {}})
    left = {path.name for path in tmp_path.iterdir()}
    assert {"mine.png", "cells_notes.txt"} <= left
    assert not {"phenotypes.png", "cells_9_counted.png"} & left


def pictures(sections: pd.DataFrame) -> tuple[dict[str, Crops], pd.DataFrame]:
    tiles = np.full((2, 2, 64, 64), 90, np.uint8)
    outline = np.array([[20, 20], [20, 40], [40, 40]], np.float32)
    one = Crops("k", ("marker", "nucleus"), ("HER2", "DAPI"), 42.0, (1, 2), (outline,) * 2, tiles)
    rows = [
        (n, c, c == 1, "" if c == 1 else "uncertain") for n in sections["section"] for c in (1, 2)
    ]
    names = ["section", "cell", "positive", "flags"]
    return dict.fromkeys(sections["section"], one), pd.DataFrame(rows, columns=names)


@pytest.mark.usefixtures("quick")
def test_every_arm_has_a_sheet_of_counted_and_of_rejected_cells(tmp_path):
    mice, sections, foci = study()
    sections.loc[sections["section"] == "IAV-15-0", "control"] = "negative"
    crops, shown = pictures(sections)
    extras = ReportExtras(candidates=candidates(sections), crops=crops, shown=shown)
    drawn = draw(tmp_path, (mice, sections, foci), extras=extras)
    assert [title for title, _ in drawn.sheets] == [
        "PBS: counted", "PBS: rejected", "IAV: counted", "IAV: rejected",
        "IAV, negative control: counted", "IAV, negative control: rejected",
    ]  # fmt: skip
    for _, one in drawn.sheets:
        assert one.paths[0].is_file() and one.suffix == ".jpg" and len(one.content) > 1000
    assert "IAV-15-0 cell 2 uncertain" in drawn.sheets[-1][1].alt
    none = shown.assign(positive=False)
    extras = ReportExtras(candidates=candidates(sections), crops=crops, shown=none)
    drawn = draw(tmp_path, (mice, sections, foci), extras=extras)
    assert drawn.sheets[0][1].reason == "No cell of this arm was counted."
    assert not (tmp_path / "cells_1_counted.png").exists()


def test_rejections_are_counted_by_arm():
    _, sections, _ = study()
    sections.loc[sections["section"] == "IAV-15-0", "control"] = "negative"
    sections.loc[sections["section"] == "IAV-15-0", "cells"] = 4
    found = assess(sections, candidates(sections))
    arms = found.arms.set_index("arm")
    assert list(arms.index) == ["PBS", "IAV", "IAV, negative control"]
    assert arms.loc["PBS", "uncertain per mm²"] == pytest.approx(12 * 6 / 12.0)
    assert arms.loc["IAV", "no_nucleus per mm²"] == pytest.approx(3 / 2.0)
    assert arms.loc["IAV", "counted per mm²"] == pytest.approx(3.0)
    assert arms.loc["PBS", "at the image's border"] == 6
    assert found.flags == ("no_nucleus", "uncertain")
    row = found.controls.iloc[-1]
    assert (row["false cells"], row["per mm²"]) == (4, 2.0)
    assert row["at most, per mm² (95 %)"] == pytest.approx(9.1535 / 2.0, rel=1e-4)


def test_zero_false_cells_have_an_upper_limit():
    assert poisson_upper(0, 1.0) == pytest.approx(2.9957, rel=1e-4)
    assert poisson_upper(0, 150.0) < 0.02
    assert np.isnan(poisson_upper(3, 0.0)) and np.isnan(poisson_upper(0, float("nan")))


@pytest.mark.parametrize(
    ("rows", "words"),
    [([], "Not recorded"), ([(0.0, 0, 0, 0)], "No section is so large"),
     ([(4.0, 20, 24, 0), (1.0, 5, 6, 1)], "away from borders 30: a difference that chance "
     "explains"),
     ([(4.0, 20, 90, 0)], "MORE THAN CHANCE EXPLAINS")],
)  # fmt: skip
def test_borders_are_judged_against_control_lines(rows, words):
    columns = ["length_mm", "objects", "control_objects", "repeats"]
    assert words in seams_in_words(pd.DataFrame(rows, columns=columns))


def test_clumps_of_cells_at_a_border_are_chance():
    """Foci put ten candidates at a line, or none: the sections of a study tell how much."""
    clumped = [(1.2, 26, 36, 0), (1.2, 21, 7, 0), (1.2, 9, 19, 0), (1.2, 0, 11, 0), (1.2, 5, 0, 0),
               (1.3, 0, 8, 0), (1.2, 18, 21, 0), (1.2, 23, 24, 0), (1.2, 4, 7, 0), (1.2, 0, 6, 0),
               (1.2, 7, 11, 0), (1.2, 0, 5, 0), (1.2, 14, 15, 0)]  # fmt: skip
    columns = ["length_mm", "objects", "control_objects", "repeats"]
    assert "chance explains" in seams_in_words(pd.DataFrame(clumped, columns=columns))
    lost = [(12.0, 12, 24, 0)] * 12
    assert "MORE THAN CHANCE" in seams_in_words(pd.DataFrame(lost, columns=columns))
    small = [(1.2, 12, 24, 0)] * 12  # the only border passes by the lung's edge, the control within
    words = seams_in_words(pd.DataFrame(small, columns=columns))
    assert "MORE THAN CHANCE" not in words and "so small that" in words


def record() -> dict:
    return {
        "fociquant": "1.2.3", "python": "3.11", "packages": {"cellpose": "4.2", "torch": "absent"},
        "model": {"name": "compact", "sha256": "ab" * 32, "device": "cpu", "precision": "float32"},
        "settings": Settings().model_dump(mode="json"), "phenotypes": ["Ki67"],
        "channel_names": {"marker": "HER2", "nucleus": "DAPI", "autofluorescence": "AF"},
        "profile": load_profile("chia2025").model_dump(mode="json"),
        "images": {"s": {"pixel_size_um": [0.325, 0.325]}},
        "sections": [{"extra": {"sex": "f", "genotype": "wt"}}],
    }  # fmt: skip


def test_methods_say_what_was_done_with_its_numbers():
    mice, sections, _ = study()
    text = "\n".join(methods(record(), mice, sections, comparison()))
    for words in (
        "fociquant 1.2.3 (Python 3.11, cellpose 4.2) in 12 lung sections of 12 mice",
        "Images had 0.325 µm per pixel", "HER2 and DAPI channels", "model 'compact'", "abababab",
        "cell diameter of 12 µm", "1.8 times what the unstained channel (AF)", "32 to 1200 µm²",
        "no negative-control sections", "positive for Ki67", "at most 20 µm apart",
        "micrometastasis, below 0.03 mm²", "negative binomial", "not corrected by hand",
        "What AF explained of the marker's light", "taken off for segmentation, not for",
    ):  # fmt: skip
        assert words in text
    as_it_is = record()
    as_it_is["settings"]["prepare"]["subtract_autofluorescence"] = False
    assert "taken off" not in "\n".join(methods(as_it_is, mice, sections, comparison()))
    controls = sections.assign(control="negative", threshold_source="controls")
    raised = record() | {"gate": {"raised_by_controls": {"A": ["marker"]}}}
    assert "raised per" not in "\n".join(methods(record(), mice, controls, None))
    text = "\n".join(methods(raised, mice.assign(reviewed="yes"), controls, None))
    assert "12 negative-control sections (24 mm² of tissue) 492 cells were counted" in text
    assert "raised per staining batch" in text and "12 of 12 mice were reviewed" in text
    assert "negative binomial" not in text


def test_methods_tell_only_what_was_compared():
    mice, sections, _ = study()
    nothing = dict.fromkeys(("rate_ratio", "ratio_low", "ratio_high", "p_model", "p_holm"), np.nan)
    absent = comparison(**nothing, p_rank=np.nan, p_rank_smallest=np.nan, mice_reference=0)
    text = "\n".join(methods(record(), mice, sections, absent))
    assert "The mouse was the experimental unit" in text and "Groups were not compared." in text
    for words in ("negative binomial", "Mann-Whitney", "Holm", "interval"):
        assert words not in text
    single = comparison(**(nothing | {"rate_ratio": 40.0}), p_rank=0.5, mice=1)
    text = "\n".join(methods(record(), mice, sections, single))
    assert "negative binomial" in text and "Mann-Whitney" in text
    assert "Holm" not in text and "interval" not in text


def test_methods_of_a_record_that_says_nothing_invent_nothing():
    mice, sections, _ = study()
    text = "\n".join(methods({}, mice, sections.assign(status="failed"), None))
    assert "12 of the sections could not be analysed" in text
    for word in ("None", "Ki67", "nan", "chia2025", "HER2"):
        assert word not in text


def test_the_checklist_tells_every_mouse_that_was_left_out():
    mice, sections, _ = study()

    def said(mice, sections):
        arrive, _ = checklists(record(), mice, sections, has_power=False)
        return arrive.set_index("item").loc["3 Inclusion and exclusion", "from this study"]

    assert said(mice, sections) == "No section was excluded; no mouse was left out."
    bare = mice["mouse"].eq("m0") & mice["dpi"].eq(3.0) & mice["group"].eq("PBS")
    without = mice.assign(
        tissue_mm2=mice["tissue_mm2"].mask(bare, 0.0), cells=mice["cells"].mask(bare, 0)
    )
    assert said(without, sections) == (
        "No section was excluded; 1 mouse left out of means and comparisons: 1 without tissue."
    )
    lost = mice.assign(sections_failed=bare.astype(int))
    failed = sections.assign(status=["failed"] + ["done"] * (len(sections) - 1))
    assert said(lost, failed).startswith("1 section could not be analysed, with reasons in")
    assert said(lost, failed).endswith(": 1 with a section that could not be analysed.")


def test_checklists_name_what_is_missing():
    mice, sections, _ = study()
    arrive, images = checklists(record(), mice, sections, has_power=True)
    assert len(arrive) == 10
    table = arrive.set_index("item")
    assert table.loc["4 Randomisation", "from this study"] == "to be written by you"
    assert "PBS 3 dpi: 3; IAV 3 dpi: 3" in table.loc["2 Sample size", "from this study"]
    assert "sex, genotype" in table.loc["8 Experimental animals", "from this study"]
    assert "compact" in images.set_index("item").loc["Model", "from this study"]
    assert "P values" in table.loc["7 Statistical methods", "from this study"]
    alone, _ = checklists(record(), mice, sections, has_power=True, compared=False)
    said = alone.set_index("item").loc["7 Statistical methods", "from this study"]
    assert said.endswith("no group was compared.")
    bare = checklists({}, mice.iloc[:0], sections.iloc[:0], has_power=False)
    assert all(len(table) == 10 for table in bare)
