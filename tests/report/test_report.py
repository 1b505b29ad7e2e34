"""The HTML report: complete, escaped, self-contained, without traces of the machine."""

from __future__ import annotations

from html.parser import HTMLParser

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from fociquant.report import _extras as extras_module
from fociquant.report import write_report
from fociquant.report._caveats import caveats
from fociquant.report._html import cell, text

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def mice(**changes) -> pd.DataFrame:
    rows = [
        {"mouse": "m1", "group": "PBS", "dpi": 3, "sections": 3, "sections_failed": 0, "cells": 0},
        {"mouse": EVIL, "group": "IAV", "dpi": 3, "sections": 2, "sections_failed": 1, "cells": 9},
    ]
    table = pd.DataFrame(rows).assign(solitary=1, reviewed="no", control="", rate=0.12345678)
    return table.assign(**changes)


def sections(**changes) -> pd.DataFrame:
    rows = [
        {"section": "s1", "image": "a/s1.tif", "mouse": "m1", "status": "done", "reason": ""},
        {"section": "s2", "image": "a/s2.tif", "mouse": EVIL, "status": "failed",
         "reason": "/home/jane/study/a/s2.tif: the file ends early & is lost"},
    ]  # fmt: skip
    base = {"group": ["PBS", "IAV"], "dpi": 3.0, "tissue_mm2": [1.5, None], "cells": [0, None]}
    return pd.DataFrame(rows).assign(control="", **(base | changes))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Draws figures coarsely, and without fitting their parts to each other."""

    def save(figure, stem):
        figure.set_layout_engine("none")
        figure.set_dpi(20)
        FigureCanvasAgg(figure).draw()
        paths = [stem.with_name(f"{stem.name}{suffix}") for suffix in (".png", ".svg")]
        stem.parent.mkdir(parents=True, exist_ok=True)
        for path in paths:
            path.write_text("<svg/>", encoding="utf-8")
        return paths

    monkeypatch.setattr(extras_module, "save", save)


def report(tmp_path, **changes) -> str:
    run = {
        "study": {"name": f"study {EVIL}", "reference_group": "PBS", "channels": {"marker": EVIL}},
        "settings": {"foci": {"link_um": 20.0}}, "model": {"path": "C:\\Users\\jane\\w.pt"},
        "packages": {EVIL: "1"}, "phenotypes": [EVIL], "channel_names": {"marker": EVIL},
        "profile": {"name": "chia2025", "none": None, "list": ["/opt/a/x.tif", 2]},
    }  # fmt: skip
    options = {
        "mice": mice(), "sections": sections(), "run": run,
        "groups": pd.DataFrame({"group": ["IAV"], "mean": [9.0]}),
    }  # fmt: skip
    path = write_report(tmp_path / "out", **(options | changes))
    return path.read_text(encoding="utf-8")


def test_the_report_is_one_well_formed_file_that_runs_and_loads_nothing(tmp_path):
    page = report(tmp_path)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    names = {tag for tag, _ in tags.tags}
    assert names.isdisjoint({"script", "link", "iframe", "object"})
    images = [attributes for tag, attributes in tags.tags if tag == "img"]
    assert len(images) >= 3
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in images)
    assert all(len(image["alt"]) > 40 for image in images)
    anchors = {attributes.get("id") for _, attributes in tags.tags}
    links = [attributes["href"] for tag, attributes in tags.tags if tag == "a"]
    assert len(links) > 8 and all(link[0] == "#" and link[1:] in anchors for link in links)
    assert not any(key.startswith("on") for _, attributes in tags.tags for key in attributes)


def test_names_are_escaped_and_folders_left_out(tmp_path):
    page = report(tmp_path)
    assert "<script" not in page and "&lt;script&gt;alert(&#x27;x&#x27;)" in page
    assert "jane" not in page and "/opt" not in page and "tmp" not in page
    assert "s2.tif: the file ends early &amp; is lost" in page
    assert "w.pt" in page
    assert "a/s2.tif" in page


def test_failures_and_settings_are_in_it(tmp_path):
    page = report(tmp_path)
    assert "Sections that could not be counted" in page
    assert page.count('<tr class="bad">') == 2
    assert "<td>settings.foci.link_um</td><td>20.0</td>" in page
    assert "<td>profile.none</td><td></td>" in page
    assert "2 mice, 2 groups, 1 time point; 1 of 2 sections counted, 9 positive cells." in page


def test_a_warning_of_many_sections_is_told_once(tmp_path):
    table = pd.concat([sections().iloc[[0]].assign(section=f"s{i}") for i in range(1, 4)])
    table["warnings"] = ["dim | out of focus", "out of focus", ""]
    page = report(tmp_path, sections=table.assign(status="done"))
    assert "<li>s1: dim</li>" in page
    assert "<li>2 sections: out of focus (s1, s2)</li>" in page


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    assert report(tmp_path / "a") == report(tmp_path / "b")


def test_an_empty_study_has_a_report(tmp_path):
    page = report(tmp_path, mice=mice().iloc[:0], sections=sections().iloc[:0])
    assert "0 mice, 0 groups, 0 time points; 0 of 0 sections counted, 0 positive cells." in page


def test_a_results_folder_gets_figures_and_a_page_from_its_record(tmp_path):
    record = {
        "study": {"name": "time course", "reference_group": "PBS",
                  "channels": {"marker": "HER2", "autofluorescence": "AF"}},
        "profile": {"name": "mine", "classes": [{"column": "solitary", "max_cells": 1},
                                                {"column": "clusters", "max_cells": None}]},
        "fociquant": "0.1.0", "compute": {"threads": 7}, "timings": {"total_s": 12.5},
    }  # fmt: skip
    path = write_report(
        tmp_path, mice=mice(), sections=sections(), groups=pd.DataFrame(), run=record
    )
    page = path.read_text(encoding="utf-8")
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert names == {"time_course", "foci_classes", "class_composition"}
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".png", ".svg"}
    assert "<h1>time course</h1>" in page and "profile &#x27;mine&#x27;" in page
    assert "column solitary max_cells 1, column clusters" in page
    assert "no autofluorescence channel" not in page
    assert "threads" not in page and "12.5" not in page


def lines(mice_table: pd.DataFrame, section_table: pd.DataFrame, *, autofluorescence=True) -> str:
    options = {"has_autofluorescence": autofluorescence, "profile_name": "chia2025"}
    return "\n".join(caveats(mice_table, section_table, **options))


def test_caveats_follow_from_the_study():
    found = lines(mice(), sections(), autofluorescence=False)
    assert found.startswith("The mouse is the unit")
    assert "Nobody has reviewed them" in found
    assert "1 of 2 sections could not be counted" in found
    assert "no autofluorescence channel" in found
    assert "no negative-control sections" in found
    assert "Some groups have 1 mouse on a day" in found
    assert "A count of 0 is not proof of absence" in found


def test_caveats_name_what_cannot_be_trusted_among_controls_and_tissue():
    thresholds = pd.DataFrame({
        "batch": ["A", "B"], "threshold_source": ["controls", "section"],
        "control_sections_refused": ["w1|w2", None],
    })  # fmt: skip
    found = "\n".join(caveats(
        mice(), sections(tissue_mm2=[0.0, None]), has_autofluorescence=True,
        profile_name="chia2025", thresholds=thresholds,
    ))  # fmt: skip
    assert "not used as one: w1, w2" in found
    assert "Batches without usable controls: 'B'" in found
    assert "No tissue was found in 1 section (s1)" in found


def test_controls_that_failed_are_not_taken_for_labelled_ones():
    thresholds = pd.DataFrame({
        "batch": [""], "threshold_source": ["section"], "control_sections_refused": ["s1|s2"],
    })  # fmt: skip
    failed = sections(status="failed").assign(control="negative")
    found = "\n".join(caveats(
        mice(), failed, has_autofluorescence=True, profile_name="chia2025", thresholds=thresholds,
    ))  # fmt: skip
    assert "No negative-control section could be counted" in found
    assert "not used as one" not in found and "There are no negative" not in found


def test_caveats_that_do_not_apply_are_not_there():
    whole = pd.concat([mice(sections_failed=0, sections=3, cells=5, reviewed="yes", mouse=str(i))
                       for i in range(4)])  # fmt: skip
    found = lines(whole, sections(status="done").assign(control="negative"))
    for words in ("reviewed", "could not be", "autofluor", "no negative", "Some groups", "of 0"):
        assert words not in found
    assert "1 of 2 mice were reviewed" in lines(mice(reviewed=["no", "yes"]), sections())
    unequal = mice(sections_failed=0, sections=[3, 2])
    assert "number of sections (2 to 3)" in lines(unequal, sections())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/a b/c.tif", "c.tif"), ("/x/y.tif and a/b", "y.tif and a/b"),
        ("C:\\Users\\Jane Doe\\c.tif", "c.tif"),
        ("/home/jane/c.tif", "c.tif"), ("C:\\x\\y\\c.tif", "c.tif"),
        ("\\\\server\\share\\c.tif", "c.tif"), ("file:///home/j/c.tif", "c.tif"),
        ("in '/data/j/c.tif'", "in &#x27;c.tif&#x27;"), ("images/c.tif", "images/c.tif"),
        ("3/4 and 1 / 2", "3/4 and 1 / 2"), ("µm/px", "µm/px"), ("../x/c.tif", "../x/c.tif"),
    ],
)  # fmt: skip
def test_only_folders_of_absolute_paths_are_left_out(value, shown):
    assert text(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(3, "3"), (3.0, "3"), (0.00001234, "1.2340e-05"), (123456.5, "1.2346e+05"), (float("nan"), ""),
     (pd.NA, ""), (None, ""), ("007", "007"), (True, "True"), (90.12345, "90.12")],
)  # fmt: skip
def test_numbers_are_short_and_text_is_kept(value, shown):
    assert cell(value) == shown


def comparisons(**changes) -> pd.DataFrame:
    row = {
        "group": EVIL, "reference": "PBS", "dpi": 3.0, "mice": 4, "mice_reference": 3,
        "mice_excluded": 1, "total": 173, "total_reference": 11, "rate_ratio": 11.7955,
        "ratio_low": 3.2, "ratio_high": 143.4, "p_model": 0.0023, "p_holm": 0.0046,
        "p_bh": 0.0046, "p_rank": 0.0571, "p_rank_smallest": 0.0571, "cv_between_mice": 0.87,
        "offset": "tissue_mm2", "comparison_note": "",
    }  # fmt: skip
    return pd.DataFrame([row | changes])


def test_a_comparison_is_told_in_words(tmp_path):
    page = report(tmp_path, comparisons=comparisons())
    assert ">Comparison of groups</h2>" in page
    assert (
        ": 12 times the rate of PBS (95 % interval 3.2 to 143; 4 and 3 mice). P = 0.0023, "
        "Holm = 0.0046. Exact rank P = 0.057, the smallest possible with so few mice."
    ) in page
    assert "Rates are per mm² of tissue. Mice of one group and day differ by a CV" in page
    assert "<script>" not in page
    assert "There is nothing to compare" in report(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate_ratio": float("nan"), "ratio_high": float("nan")},
         "at least 3.2 times the rate of PBS (one-sided 95 % bound"),
        ({"rate_ratio": float("nan"), "ratio_low": float("nan")},
         "at most 143 times the rate of PBS (one-sided 95 % bound"),
        ({"ratio_low": float("nan"), "ratio_high": float("nan"), "comparison_note": "no interval"},
         "12 times the rate of PBS, without an interval (4 and 3 mice)."),
        ({"rate_ratio": float("nan"), "ratio_low": float("nan"), "ratio_high": float("nan"),
          "comparison_note": "no complete mouse of PBS at this dpi"},
         "no rate ratio. P = 0.0023, Holm = 0.0046. Exact rank P = 0.057, the smallest possible "
         "with so few mice. Note: no complete mouse of PBS at this dpi."),
        ({"p_model": 1e-4, "p_holm": 0.7, "p_rank": 0.4},
         "P ≤ 0.0001, Holm = 0.7. Exact rank P = 0.4 (the smallest possible is 0.057)."),
        ({"rate_ratio": 4.412e-5, "ratio_low": 1.2e-5, "ratio_high": 0.5},
         "0.000044 times the rate of PBS (95 % interval 0.000012 to 0.5; 4 and 3 mice)."),
        ({"rate_ratio": 0.0624, "ratio_low": 0.0104, "ratio_high": 0.998},
         "0.062 times the rate of PBS (95 % interval 0.01 to 1; 4 and 3 mice)."),
        ({"offset": "none"}, "Rates are per mouse: the area of tissue is not known"),
    ],
)  # fmt: skip
def test_bounds_and_gaps_are_told_in_words(tmp_path, changes, words):
    assert words in report(tmp_path, comparisons=comparisons(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"total_reference": 0}, "cells of the reference group are assumed: PBS has no cell."),
        ({"reference": "", "total_reference": 0}, "assumed: no reference group was named."),
        ({"cv_between_mice": float("nan")}, "The CV is assumed: no group of two mice or more"),
    ],
)
def test_what_the_next_experiment_is_planned_with_and_was_not_seen_is_told(
    tmp_path, changes, words
):
    plan = pd.DataFrame([
        {"fold_change": 5.0, "reference_mean": 1.0, "cv_between_mice": 0.9,
         "mice_per_group": 12, "power": 0.81},
    ])  # fmt: skip
    assert words in report(tmp_path, comparisons=comparisons(**changes), power=plan)


def test_what_the_next_experiment_needs_is_told(tmp_path):
    plan = pd.DataFrame([
        {"fold_change": 5.0, "reference_mean": 20.0, "cv_between_mice": 0.87,
         "mice_per_group": 7, "power": 0.83},
    ])  # fmt: skip
    page = report(tmp_path, comparisons=comparisons(), power=plan)
    assert "mice differ by a CV of 0.87 and a mouse of the reference group has 20 cells" in page
    assert "assumed" not in page
    assert "nothing to compare" in report(tmp_path, comparisons=comparisons().iloc[:0])
