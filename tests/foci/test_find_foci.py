"""Foci: linkage, areas, classes, order and faults."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import shapely

from fociquant.foci import find_foci
from fociquant.foci._area import focus_areas
from fociquant.foci._outlines import read_outlines
from fociquant.model import FocusEdit
from fociquant.settings import FociClass, FociProfile, load_profile

PROFILE = load_profile("chia2025")


def square(y: float, x: float, side: float = 10.0) -> list[float]:
    return [y, x, y, x + side, y + side, x + side, y + side, x]


def table(outlines: list[list[float]], *, positive: list[bool] | None = None) -> pd.DataFrame:
    arrays = [np.asarray(outline, dtype=np.float32) for outline in outlines]
    n = len(arrays)
    return pd.DataFrame(
        {
            "cell": np.arange(1, n + 1, dtype=np.int64),
            "y_um": [float(a[0::2].mean()) for a in arrays],
            "x_um": [float(a[1::2].mean()) for a in arrays],
            "area_um2": 100.0,
            "positive": np.array(positive if positive is not None else [True] * n, dtype=bool),
            "outline": pd.Series(arrays, dtype=object),
            "Ki67_positive": np.array([i % 2 == 0 for i in range(n)], dtype=bool),
        }
    )


def find(cells: pd.DataFrame, link_um: float = 20.0, profile: FociProfile = PROFILE):
    return find_foci(cells, link_um=link_um, profile=profile, phenotypes=["Ki67"])


def test_two_near_cells_are_a_cluster_and_a_far_one_is_solitary():
    result = find(table([square(0, 0), square(0, 25), square(200, 0)]))
    assert result.focus.tolist() == [1, 1, 2]
    assert result.foci["class"].tolist() == ["cluster", "solitary"]
    assert result.foci["cells"].tolist() == [2, 1]
    assert result.foci["Ki67_positive"].tolist() == [1, 1]
    # the gap of 15 µm is closed: 10 x 35 µm, less two arcs between the squares' corners
    assert 200 < result.foci["area_um2"][0] < 350
    assert result.foci["area_um2"][1] == 100.0
    assert result.foci["equivalent_diameter_um"][1] == round(2 * math.sqrt(100 / math.pi), 2)
    assert result.foci[["y_um", "x_um"]].to_numpy().tolist() == [[5.0, 17.5], [205.0, 5.0]]
    assert result.foci["nearest_focus_um"].tolist() == [round(math.hypot(200, 12.5), 2)] * 2


@pytest.mark.parametrize(
    ("gap", "foci"), [(19.5, 1), (20.0, 1), (20.01, 2), (20.5, 2)], ids=lambda value: str(value)
)
def test_the_limit_is_inclusive_and_edge_to_edge(gap, foci):
    assert len(find(table([square(0, 0), square(0, 10 + gap)])).foci) == foci


@pytest.mark.parametrize("offset", [0.0, 1234.5, 9999.9, 16_000.3, 31_999.7])
@pytest.mark.parametrize("pixel_um", [0.4, 0.325, 0.2, 0.5])
def test_a_gap_of_exactly_link_um_links_anywhere_in_the_section(offset, pixel_um):
    """50 px of 0.4 µm are 20 µm, whatever float32 makes of the two edges."""
    gap = 50 * pixel_um
    cells = table([square(offset, offset), square(offset, offset + 10 + gap)])
    assert len(find(cells, link_um=gap).foci) == 1


def test_the_diagonal_gap_counts_between_corners():
    near = table([square(0, 0), square(22, 26)])  # corners 12 and 16 apart: 20
    far = table([square(0, 0), square(22.1, 26.1)])
    assert len(find(near).foci) == 1
    assert len(find(far).foci) == 2


def test_linkage_is_a_chain_through_the_section():
    result = find(table([square(0, 30.0 * i) for i in range(50)]))
    assert len(result.foci) == 1
    assert result.foci["class"].tolist() == ["micrometastasis"]


def test_a_cell_that_is_not_positive_neither_links_nor_counts():
    cells = table([square(0, 0), square(0, 25), square(0, 50)], positive=[True, False, True])
    cells.at[1, "outline"] = None
    result = find(cells)
    assert result.focus.tolist() == [1, 0, 2]
    assert result.foci["cells"].tolist() == [1, 1]
    assert result.foci["Ki67_positive"].tolist() == [1, 1]


def test_touching_cells_link_at_zero_distance_and_their_areas_add():
    result = find(table([square(0, 0), square(0, 10), square(0, 20.5)]), link_um=0.0)
    assert result.focus.tolist() == [1, 1, 2]
    assert result.foci["area_um2"].tolist() == [200.0, 100.0]


def test_overlapping_outlines_are_counted_once_in_the_area():
    assert find(table([square(0, 0), square(0, 5)]), link_um=0.0).foci["area_um2"][0] == 150.0


def test_a_ring_of_cells_is_one_focus_with_its_hole_left_open():
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = [square(200 + 100 * math.sin(a), 200 + 100 * math.cos(a)) for a in angles]
    cells = table([*ring, square(200, 200)])
    result = find(cells)
    assert result.foci["cells"].tolist() == [24, 1]  # the centre lies 85 µm from the ring
    assert result.foci["area_um2"][0] < 0.6 * math.pi * 100**2
    assert result.foci["y_um"].tolist() == [205.0, 205.0]  # same centre: lowest cell id first
    assert result.focus[-1] == 2
    assert find(cells.assign(cell=[*range(2, 26), 1])).foci["cells"].tolist() == [1, 24]


def test_a_cell_inside_anothers_outline_touches_it():
    assert len(find(table([square(0, 0, 100), square(40, 40)]), link_um=0.0).foci) == 1


def test_closing_never_leaves_less_than_the_cells():
    rng = np.random.default_rng(3)
    outlines = [square(*rng.uniform(0, 60, 2), side=rng.uniform(4, 12)) for _ in range(30)]
    polygons = shapely.box(*np.array([[o[1], o[0], o[3], o[4]] for o in outlines]).T)
    cells = read_outlines([np.asarray(o) for o in outlines], cells=np.arange(30))
    one = np.zeros(30, dtype=np.int64)
    union = shapely.area(shapely.union_all(polygons))
    areas = [float(focus_areas(cells, one, link_um=d)[0]) for d in (0.0, 2.0, 5.0, 10.0, 20.0)]
    assert areas[0] == pytest.approx(union, abs=0.01)
    assert areas == sorted(areas)
    hull = shapely.area(shapely.union_all(polygons).convex_hull)
    assert areas[-1] <= hull + 0.01


def test_only_chosen_foci_of_several_cells_are_measured():
    outlines = [
        square(0, 0),
        square(0, 10),
        *(square(99, 10 * i) for i in range(3)),
        square(300, 0),
    ]
    cells = read_outlines([np.asarray(o) for o in outlines], cells=np.arange(6))
    focus, chosen = np.array([0, 0, 1, 1, 1, 2]), np.array([True, False, False])
    for some, areas in ((chosen, [200.0, np.nan, 100.0]), (~chosen, [np.nan, 300.0, 100.0])):
        found = focus_areas(cells, focus, link_um=0.0, chosen=some)
        np.testing.assert_array_equal(found, areas)


@pytest.mark.parametrize(
    ("outline", "area"),
    [
        ([0, 0, 10, 10, 0, 10, 10, 0], 50.0),  # bow tie
        ([0, 0, 5, 5, 10, 10], 0.0),  # a line
        ([5, 5, 5, 5, 5, 5], 0.0),  # a point
        ([0, 0, 0, 10, 10, 10, 10, 0, 10, -5, 10, 0], 100.0),  # with a spike
        ([0, 0, 0, 0, 0, 10, 10, 10, 10, 10, 10, 0], 100.0),  # repeated points
    ],
)
def test_degenerate_outlines_are_repaired_and_never_lost(outline, area):
    result = find(table([outline, square(0, 25), square(500, 500)]))
    assert result.focus.tolist() == [1, 1, 2]
    alone = find(table([outline]))
    assert alone.foci[["cells", "class"]].to_numpy().tolist() == [[1, "solitary"]]
    assert alone.foci["area_um2"][0] == area


def test_classes_change_at_their_limits():
    def of(cells: int, side: float) -> str:
        outlines = [square(0, side * i, side) for i in range(cells)]
        return find(table(outlines)).foci["class"].item()

    assert [of(n, 10) for n in (1, 2, 9, 10)] == [
        "solitary", "cluster", "cluster", "micrometastasis",
    ]  # fmt: skip
    # ten squares of side s in a row: 10 s² with no gap to close; 0.03 mm² = 30 000 µm²
    assert of(10, math.sqrt(2999.9)) == "micrometastasis"
    assert of(10, math.sqrt(3000.1)) == "macrometastasis"
    assert of(10, math.sqrt(30_000)) == "macrometastasis"


def test_the_area_limit_is_exclusive():
    profile = FociProfile(
        name="p",
        classes=(
            FociClass(name="small", column="smalls", below_mm2=0.0001),
            FociClass(name="rest", column="rests"),
        ),
    )
    assert find(table([square(0, 0)]), profile=profile).foci["class"].tolist() == ["rest"]
    assert find(table([square(0, 0, 9)]), profile=profile).foci["class"].tolist() == ["small"]


@pytest.mark.parametrize("rows", [0, 3])
def test_no_positive_cell_gives_a_table_without_rows_of_the_same_types(rows):
    cells = table([square(0, 50.0 * i) for i in range(3)], positive=[False] * 3).iloc[:rows]
    result = find(cells)
    full = find(table([square(0, 0)]))
    assert result.focus.tolist() == [0] * rows
    assert result.focus.dtype == np.int64
    assert len(result.foci) == 0
    assert result.foci.dtypes.to_dict() == full.foci.dtypes.to_dict()
    assert math.isnan(full.foci["nearest_focus_um"][0])


def test_the_index_of_the_table_does_not_matter():
    cells = table([square(300, 0), square(0, 0), square(0, 25)])
    cells.index = pd.Index([7, 7, 7])
    assert find(cells).focus.tolist() == [2, 1, 1]


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        ([0, 0, 1, 1], r"cell 2 has no closed outline .* \(1 such cells\)"),
        ([], "cell 2 has no closed outline"),
        ([0, 0, 1, 1, 0, 1, 5], "cell 2 has no closed outline"),
        ([0, 0, 1, float("nan"), 0, 1], "cell 2 has an outline with a coordinate that is not fin"),
        ([0, 0, 1, float("inf"), 0, 1], "cell 2 has an outline with a coordinate that is not fin"),
    ],
)
def test_an_unusable_outline_names_its_cell(outline, message):
    cells = table([square(0, 0), square(0, 0), square(0, 0)])
    cells.at[1, "outline"] = np.asarray(outline, dtype=np.float32)
    with pytest.raises(ValueError, match=message):
        find(cells)


def test_a_table_that_cannot_be_meant_is_refused():
    cells = table([square(0, 0), square(0, 0)])
    with pytest.raises(ValueError, match=r"no column outline, Ki67_positive"):
        find(cells.drop(columns=["outline", "Ki67_positive"]))
    with pytest.raises(ValueError, match="share an id"):
        find(cells.assign(cell=1))
    with pytest.raises(ValueError, match="centre that is not finite"):
        find(cells.assign(y_um=float("nan")))
    for link_um in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="link_um must be"):
            find(cells, link_um=link_um)


def test_an_override_needs_a_class_of_the_profile_and_a_merge_none():
    cells = table([square(0, 0), square(500, 0)])
    options = {"link_um": 20.0, "profile": PROFILE, "phenotypes": []}
    merged = find_foci(cells, edits=[FocusEdit("merge", ((1, 2),))], **options)
    assert merged.foci["cells"].tolist() == [2] and merged.edited.tolist() == ["merged"]
    with pytest.raises(ValueError, match="profile 'chia2025' has no class 'huge'"):
        find_foci(cells, edits=[FocusEdit("class", ((1,),), "huge")], **options)
