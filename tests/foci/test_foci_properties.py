"""Properties of foci on random sections."""

from __future__ import annotations

import numpy as np
import pandas as pd
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fociquant.foci import find_foci
from fociquant.foci._link import LINK_TOLERANCE_UM, link, link_exhaustively
from fociquant.foci._outlines import Outlines, read_outlines
from fociquant.settings import load_profile

PROFILE = load_profile("chia2025")
LINKS = st.sampled_from([0.0, 1.0, 5.0, 20.0, 60.0])


@st.composite
def sections(draw: st.DrawFn) -> pd.DataFrame:
    """Up to 40 cells on a lattice of 1/8 µm, from rounded to self-crossing, with ties."""
    n = draw(st.integers(0, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = draw(st.sampled_from([30.0, 150.0, 800.0]))
    outlines = []
    for _ in range(n):
        points = int(rng.integers(3, 12))
        angle = np.sort(rng.uniform(0, 2 * np.pi, points))
        if rng.random() < 0.2:
            rng.shuffle(angle)
        radius = rng.choice([0.0, 3.0, 6.0, 40.0], p=[0.05, 0.3, 0.6, 0.05])
        centre = rng.uniform(0, width, 2)
        yx = centre + radius * np.column_stack((np.sin(angle), np.cos(angle)))
        outlines.append((np.round(yx * 8) / 8).astype(np.float32).ravel())
    centres = np.array([o.reshape(-1, 2).mean(axis=0) for o in outlines]).reshape(-1, 2)
    return pd.DataFrame(
        {
            "cell": rng.permutation(n).astype(np.int64) + 1,
            "y_um": np.round(centres[:, 0], 2),
            "x_um": np.round(centres[:, 1], 2),
            "positive": rng.random(n) < 0.85,
            "outline": pd.Series(outlines, dtype=object),
            "Ki67_positive": rng.random(n) < 0.5,
        }
    )


def find(cells: pd.DataFrame, link_um: float):
    return find_foci(cells, link_um=link_um, profile=PROFILE, phenotypes=["Ki67"])


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == one).tolist()) for one in np.unique(labels)}


def outlines_of(cells: pd.DataFrame) -> Outlines:
    return read_outlines(cells["outline"].to_list(), cells=cells["cell"].to_numpy())


@given(sections(), LINKS)
@settings(deadline=None, max_examples=60)
def test_linkage_equals_the_distances_of_all_pairs(cells, link_um):
    outlines = outlines_of(cells)
    polygons = outlines.polygons(np.arange(len(cells)))
    near = shapely.distance(polygons[:, None], polygons[None]) <= link_um + LINK_TOLERANCE_UM
    brute = connected_components(coo_array(near), directed=False)[1] if len(cells) else np.zeros(0)
    assert partition(link(outlines, link_um=link_um)) == partition(brute)
    assert partition(link_exhaustively(polygons, link_um=link_um)) == partition(brute)


@given(sections(), LINKS, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_the_order_of_rows_changes_nothing(cells, link_um, random):
    order = list(range(len(cells)))
    random.shuffle(order)
    one, other = find(cells, link_um), find(cells.iloc[order], link_um)
    pd.testing.assert_frame_equal(one.foci, other.foci, check_exact=True)
    assert one.focus[order].tolist() == other.focus.tolist()


@given(sections(), LINKS, st.tuples(st.integers(0, 4000), st.integers(0, 4000)))
@settings(deadline=None, max_examples=40)
def test_moving_the_section_moves_the_foci(cells, link_um, by):
    # On a grid of 1/1024 µm, so that float32 holds the moved outlines without rounding.
    outlines = [np.round(o * 1024) / np.float32(1024) for o in cells["outline"]]
    cells = cells.assign(outline=pd.Series(outlines, dtype=object, index=cells.index))
    moved = cells.assign(y_um=cells["y_um"] + by[0], x_um=cells["x_um"] + by[1])
    moved["outline"] = pd.Series(
        [(o.reshape(-1, 2) + np.float32(by)).ravel() for o in cells["outline"]],
        dtype=object,
        index=cells.index,
    )
    one, other = find(cells, link_um), find(moved, link_um)
    assert partition(one.focus) == partition(other.focus)
    ordered = ["cells", "area_um2"]
    left = one.foci[ordered].sort_values(ordered).to_numpy()
    right = other.foci[ordered].sort_values(ordered).to_numpy()
    np.testing.assert_allclose(left, right, atol=0.02)


@given(sections(), st.tuples(LINKS, LINKS))
@settings(deadline=None, max_examples=40)
def test_a_longer_link_only_joins_foci(cells, links):
    short, long = (find(cells, link_um).focus for link_um in sorted(links))
    for group in partition(short):
        assert len({long[index] for index in group}) == 1


@given(sections(), LINKS)
@settings(deadline=None, max_examples=40)
def test_every_positive_cell_is_in_one_focus_and_the_sums_agree(cells, link_um):
    result = find(cells, link_um)
    positive = cells["positive"].to_numpy()
    assert ((result.focus > 0) == positive).all()
    assert result.foci["focus"].tolist() == list(range(1, len(result.foci) + 1))
    counted = np.bincount(result.focus, minlength=len(result.foci) + 1)[1:]
    assert result.foci["cells"].tolist() == counted.tolist()
    both = positive & cells["Ki67_positive"].to_numpy()
    assert result.foci["Ki67_positive"].sum() == both.sum()
    places = list(result.foci[["y_um", "x_um"]].itertuples(index=False, name=None))
    assert places == sorted(places)
