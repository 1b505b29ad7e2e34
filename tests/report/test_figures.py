"""Figures: what is drawn, where, and that the same table gives the same bytes."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator
from PIL import Image

from fociquant.report._dots import dot_panel, label_small_ticks, legend_entries, zero_log_axis
from fociquant.report._figures import foci_classes, time_course
from fociquant.report._foci_figures import foci_sizes
from fociquant.report._outcome_figures import rate_ratios
from fociquant.report._style import GROUP_COLOURS, figure_style, fitting, group_styles, save


def mice(rows: list[tuple]) -> pd.DataFrame:
    names = ["mouse", "group", "dpi", "cells", "sections_failed", "control"]
    table = pd.DataFrame(rows, columns=names).astype({"cells": "Int64"})
    for column in ("solitary", "clusters", "micrometastases", "macrometastases"):
        table[column] = table["cells"]
    return table


ROWS = [
    ("a", "PBS", 3, 0, 0, ""), ("b", "PBS", 3, 4, 0, ""), ("c", "IAV", 3, 100, 0, ""),
    ("d", "IAV", 3, 300, 0, ""), ("e", "IAV", 3, 7, 1, ""), ("f", "IAV", 9, None, 3, ""),
    ("g", "PBS", 9, 3, 0, ""), ("h", "WT", 9, 2, 0, "negative"),
]  # fmt: skip


CLASSES = ("solitary", "clusters", "micrometastases", "macrometastases")


def write(table: pd.DataFrame, out_dir, *, classes=CLASSES) -> list:
    """The two oldest figures as files; a reason instead of a figure is a string."""
    groups = sorted(dict.fromkeys(table["group"]), key=lambda group: group != "PBS")
    styles = group_styles(groups, "PBS")
    written = []
    with figure_style():
        for name, drawn in (
            ("time_course", time_course(table, styles)),
            ("foci_classes", foci_classes(table, styles, classes)),
        ):
            written += [drawn] if isinstance(drawn, str) else save(drawn, out_dir / name)
    return written


def panel(table: pd.DataFrame):
    styles = group_styles(list(dict.fromkeys(table["group"])), "PBS")
    with figure_style():
        ax = Figure().add_subplot()
        dot_panel(ax, table, value="cells", styles=styles)
    return ax, styles


def dots(ax) -> list[float]:
    return sorted(float(y) for c in ax.collections for _, y in _points(c))


def _points(collection):
    return collection.get_offsets() if hasattr(collection, "get_sizes") and len(
        collection.get_sizes()) else []  # fmt: skip


def test_every_mouse_with_a_count_is_one_dot():
    ax, _ = panel(mice(ROWS))
    assert dots(ax) == [0, 2, 3, 4, 7, 100, 300]


def test_zero_has_its_place_below_one_on_a_logarithmic_axis():
    ax, _ = panel(mice(ROWS))
    assert ax.get_yscale() == "symlog"
    zero, one, ten, hundred = (ax.transData.transform((0, v))[1] for v in (0, 1, 10, 100))
    assert zero < one < ten
    assert hundred - ten == pytest.approx(ten - one)
    assert ax.get_ylim()[0] < 0
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels[:3] == ["0", "1", "10"]


def test_means_leave_out_incomplete_mice_and_controls():
    ax, _ = panel(mice(ROWS))
    means = sorted(float(y) for line in ax.lines for y in line.get_ydata() if len(
        line.get_xdata()) and line.get_color() in {"#000000", *GROUP_COLOURS})  # fmt: skip
    assert means == [2.0, 3.0, 200.0]


def test_a_blank_control_column_read_from_a_file_marks_no_control():
    ax, styles = panel(mice(ROWS).assign(control=np.nan))
    labels = [
        label.strip() for label in legend_entries(mice(ROWS).assign(control=np.nan), styles)[1]
    ]
    assert "negative control; not in the mean" not in labels
    assert dots(ax) == [0, 2, 3, 4, 7, 100, 300]


def test_the_reference_is_black_and_groups_differ_in_colour_and_shape():
    styles = group_styles(["IAV", "PBS", "KO"], "PBS")
    assert styles["PBS"] == ("#000000", "o")
    assert len({colour for colour, _ in styles.values()}) == 3
    assert len({marker for _, marker in styles.values()}) == 3


def test_the_legend_explains_only_what_is_drawn():
    _, styles = panel(mice(ROWS))
    labels = [label.strip() for label in legend_entries(mice(ROWS), styles)[1]]
    assert labels[:3] == ["PBS", "IAV", "WT"]
    assert "a section failed, or no tissue; not in the mean" in labels
    assert "negative control; not in the mean" in labels
    assert len(legend_entries(mice(ROWS[:2]), {"PBS": ("#000000", "o")})[1]) == 2


def test_files_are_written_and_the_same_every_time(tmp_path):
    first = write(mice(ROWS), tmp_path / "a")
    again = write(mice(ROWS), tmp_path / "b" / "c")
    names = ["time_course.png", "time_course.svg", "foci_classes.png", "foci_classes.svg"]
    assert [path.name for path in first] == names
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(names)
    with Image.open(first[0]) as image:
        image.load()
        assert np.asarray(image.convert("L")).std() > 10


def test_the_users_matplotlib_settings_neither_matter_nor_change(tmp_path):
    plain = write(mice(ROWS), tmp_path / "a")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        styled = write(mice(ROWS), tmp_path / "b")
        assert dict(matplotlib.rcParams) == before
    assert [p.read_bytes() for p in plain] == [p.read_bytes() for p in styled]


@pytest.mark.parametrize("name", ["<b>&", "$x^{", "_hidden", "=1+1", "Größe", "ヒト", "a\\b%"])
def test_any_group_name_is_text(tmp_path, name):
    rows = [("m", name, 3, 5, 0, ""), ("n", "PBS", 3, 5, 0, "")]
    paths = write(mice(rows), tmp_path)
    texts = [node.text for node in ET.parse(paths[1]).iter("{http://www.w3.org/2000/svg}text")]
    assert f"n {name}" in texts
    assert name in [str(text).strip() for text in texts]


@pytest.mark.parametrize(
    "rows", [[("a", "PBS", 3, None, 3, "")], [("a", "PBS", 0.5, 0, 0, "")]], ids=len
)
def test_mice_without_a_count_are_still_a_figure(tmp_path, rows):
    assert write(mice(rows), tmp_path)[0].stat().st_size > 1000


def test_no_mouse_is_said_in_words(tmp_path):
    first, second = write(mice([]), tmp_path)
    assert first == "There is no mouse to draw."
    assert "no foci to draw" in second


def test_classes_of_another_profile_can_be_drawn(tmp_path):
    table = mice(ROWS).assign(lesions=1, clusters=pd.NA)
    paths = write(table, tmp_path, classes=["clusters", "lesions", "no"])
    text = paths[-1].read_text(encoding="utf-8")
    assert "lesions" in text and "clusters" not in text


@pytest.mark.parametrize(
    ("largest", "lowest", "labels"),
    [(0.0, 0, ["0", "1", "10", "100"]), (35.0, -2, ["0", "0.01", "0.10", "1", "10", "100"]),
     (2e-6, -6, ["0", "1e-6", "1e-5", "0.0001"])],
)  # fmt: skip
def test_rates_have_a_zero_too_whatever_their_size(largest, lowest, labels):
    with figure_style():
        ax = Figure().add_subplot()
        zero_log_axis(ax, largest, lowest=lowest)
    texts = [tick.get_text() for tick in ax.get_yticklabels()]
    assert [t.rstrip("0").rstrip(".") if "." in t else t for t in texts] == [
        t.rstrip("0").rstrip(".") if "." in t else t for t in labels
    ]
    assert ax.get_ylim()[0] < 0 < 10.0**lowest < ax.get_ylim()[1]


@pytest.mark.parametrize("which", ["x", "y"])
@pytest.mark.parametrize(("largest", "lowest"), [(3.0, 0), (35.0, -2), (812.0, 0), (4e6, 0)])
def test_small_ticks_are_those_of_matplotlib_to_the_pixel(which, largest, lowest):
    pictures = []
    with figure_style():
        for own in (True, False):
            figure = Figure(figsize=(3.0, 2.6), dpi=150, layout="constrained")
            ax = figure.add_subplot()
            zero_log_axis(ax, largest, lowest=lowest, which=which)
            if not own:
                for line in [line for line in ax.lines if line.get_linestyle() == "None"]:
                    places = line.get_ydata() if which == "y" else line.get_xdata()
                    axis = ax.yaxis if which == "y" else ax.xaxis
                    axis.set_minor_locator(FixedLocator(places))
                    line.remove()
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            pictures.append(np.asarray(canvas.buffer_rgba()).copy())
    np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (13.0, 195.0, ["20", "50"]),  # 100 alone: no scale to read by
        (9.0, 195.0, []),
        (0.25, 4.0, ["0.5", "2"]),
        (12.0, 40.0, ["20"]),
        (12.0, 8000.0, []),
    ],
)
def test_small_ticks_have_plain_numbers_where_powers_of_ten_do_not_do(low, high, labels):
    with figure_style():
        figure = Figure()
        FigureCanvasAgg(figure)
        ax = figure.add_subplot()
        ax.set_xscale("log")
        label_small_ticks(ax.xaxis)
        ax.set_xlim(low, high)
        figure.canvas.draw()
        texts = [label.get_text() for label in ax.get_xticklabels(minor=True)]
        places = ax.get_xticks(minor=True)
    inside = [text for place, text in zip(places, texts, strict=True) if low <= place <= high]
    assert [text for text in inside if text] == labels


def test_comparisons_that_a_figure_has_no_room_for_are_told():
    row = {"dpi": 3.0, "group": "IAV", "reference": "PBS", "rate_ratio": 4.0, "ratio_low": 2.0,
           "ratio_high": 8.0}  # fmt: skip
    many = pd.DataFrame([row] * 100)
    ax = rate_ratios(many, group_styles(["PBS", "IAV"], "PBS")).axes[0]
    assert ax.get_title(loc="left") == "the first 80 of 100 comparisons; the table has all"
    assert len(ax.get_yticks()) == 80
    assert not rate_ratios(many[:54], group_styles(["PBS"], "PBS")).axes[0].get_title(loc="left")


def test_groups_that_share_a_colour_are_told_apart_beside_the_sizes_of_foci():
    groups = [f"g{i}" for i in range(len(GROUP_COLOURS) + 3)]
    table = mice([(g, g, 3, 4, 0, "") for g in groups])
    sections = pd.DataFrame({"section": groups, "mouse": groups, "group": groups, "dpi": 3,
                             "status": "done", "control": ""})  # fmt: skip
    foci = pd.DataFrame({"section": groups, "cells": 2, "area_um2": 90.0})
    figure = foci_sizes(foci, table, sections, group_styles(groups, "g0"), [])
    looks = [(h.get_color(), h.get_marker()) for h in figure.legends[0].legend_handles]
    assert len(set(looks)) == len(groups)


@pytest.mark.parametrize(("ratio", "low", "high"), [(1.4, 0.5, 3.0), (14.0, 2.7, 83.0)])
def test_no_formula_on_the_axis_of_rate_ratios(tmp_path, ratio, low, high):
    row = {"group": "IAV", "reference": "PBS", "dpi": 3, "rate_ratio": ratio}
    table = pd.DataFrame([row | {"ratio_low": low, "ratio_high": high, "p_model": 0.3}])
    with figure_style():
        save(rate_ratios(table, group_styles(["PBS", "IAV"], "PBS")), tmp_path / "r")
    assert "mathdefault" not in (tmp_path / "r.svg").read_text(encoding="utf-8")


def test_no_formula_on_the_axes_of_the_sizes_of_foci(tmp_path):
    table = mice([("a", "PBS", 3, 1, 0, ""), ("c", "IAV", 3, 2, 0, "")])
    sections = pd.DataFrame(
        {"section": ["s", "t"], "status": "done", "mouse": ["a", "c"], "group": ["PBS", "IAV"],
         "dpi": 3, "control": ""}
    )  # fmt: skip
    foci = pd.DataFrame({"section": ["s", "t"], "cells": [1, 2], "area_um2": [150.0, 330.0]})
    classes = [{"max_cells": 1}, {"max_cells": 9}, {"below_mm2": 0.03}, {}]
    styles = group_styles(["PBS", "IAV"], "PBS")
    with figure_style():
        save(foci_sizes(foci, table, sections, styles, classes), tmp_path / "f")
    assert "mathdefault" not in (tmp_path / "f.svg").read_text(encoding="utf-8")


LONG = "IAV + anti-CD4 depletion GK1.5 twice weekly"


@pytest.mark.parametrize(
    ("name", "lines", "shown"),
    [
        ("IAV,  two  spaces", 2, "IAV,  two  spaces"),
        (LONG, 2, "IAV + anti-CD4 depletion\n GK1.5 twice weekly"),
        (LONG, 1, "IAV + anti-CD4 dep…ce weekly"),
    ],
)
def test_a_name_fits_beside_a_panel(name, lines, shown):
    assert fitting(name, lines=lines) == shown


def test_a_long_name_leaves_room_for_the_dots(tmp_path):
    long = [(a, LONG if group == "IAV" else group, *rest) for a, group, *rest in ROWS[:4]]
    table = mice(long)
    figure = time_course(table, group_styles(["PBS", LONG], "PBS"))
    with figure_style():
        save(figure, tmp_path / "t")  # a layout that fails is a warning, an error in tests
    assert figure.axes[0].get_position().width > 0.3
