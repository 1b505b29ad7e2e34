"""Pieces of tissue on one slide, their numbers, and what a row of the sheet means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fociquant.errors import RegionError
from fociquant.model import parse_region
from fociquant.prepare import find_pieces, region_mask
from fociquant.prepare.regions import pieces_warning
from fociquant.units import PixelSize

PIXEL = PixelSize.square(8.0)


def slide(*discs, shape=(300, 400)):
    """Discs of tissue (y, x, radius), px."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.any([np.hypot(y - cy, x - cx) < r for cy, cx, r in discs], axis=0)


def test_pieces_are_numbered_as_one_reads():
    # Two rows; the right one of the upper row lies a little higher than the left one.
    outline = slide((95, 80, 50), (80, 300, 55), (220, 300, 40), (230, 90, 45))
    found = find_pieces(outline, PIXEL)
    middles = [(round(p.y_um / 8), round(p.x_um / 8)) for p in found]
    assert [p.number for p in found] == [1, 2, 3, 4]
    assert [middle[1] for middle in middles] == pytest.approx([80, 300, 90, 300], abs=2)
    assert found[0].mm2 == pytest.approx(np.pi * 50**2 * 64e-6, rel=0.02)


def test_small_fragments_belong_to_the_nearest_piece_and_take_no_number():
    outline = slide((150, 80, 60), (150, 300, 60), (60, 330, 9))
    pieces = find_pieces(outline, PIXEL)
    assert len(pieces) == 2
    assert pieces[1].territory[60, 330]
    assert not pieces[0].territory[60, 330]


def test_territories_share_the_slide_without_gap_or_overlap():
    outline = slide((95, 80, 50), (80, 300, 55), (220, 200, 60))
    owners = np.sum([piece.territory for piece in find_pieces(outline, PIXEL)], axis=0)
    assert (owners == 1).all()


def test_region_by_number_and_by_box():
    outline = slide((150, 80, 60), (150, 300, 60))
    second = region_mask("2", outline, PIXEL)
    assert (second & outline).sum() == slide((150, 300, 60)).sum()
    box = region_mask("0, 0, 2400, 1600", outline, PIXEL)
    assert box[:300, :200].all()
    assert not box[:, 200:].any()
    assert region_mask("", outline, PIXEL).all()


@pytest.mark.parametrize(
    ("region", "said"),
    [("3", "the slide shows 2: 1 \\(0.7 mm²"), ("9000,0,9100,50", "outside the image of 2400")],
)
def test_a_region_that_is_not_there(region, said):
    with pytest.raises(RegionError, match=said):
        region_mask(region, slide((150, 80, 60), (150, 300, 60)), PIXEL)


def test_no_tissue_has_no_pieces():
    assert find_pieces(np.zeros((5, 5), bool), PIXEL) == []
    with pytest.raises(RegionError, match="no tissue was found"):
        region_mask("1", np.zeros((5, 5), bool), PIXEL)


@pytest.mark.parametrize(
    "text", ["0", "-1", "a", "1.5", "1,2,3", "5,0,5,9", "0,9,5,9", "1,2,3,nan"]
)
def test_what_is_no_region(text):
    with pytest.raises(ValueError, match="is "):
        parse_region(text)


@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=4))
def test_a_box_is_read_as_written(sides):
    y0, x0, y1, x1 = sides
    if y0 < y1 and x0 < x1:
        assert parse_region(f"{y0!r},{x0!r};{y1!r}, {x1!r}") == (y0, x0, y1, x1)


def test_several_large_pieces_are_told_and_fragments_are_not():
    assert "2 separate pieces" in pieces_warning(slide((150, 80, 75), (150, 300, 75)), PIXEL)[0]
    assert pieces_warning(slide((150, 80, 75), (150, 300, 30)), PIXEL) == []
