"""Many sections to go: where one is, what comes next, what stays as it was set."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QItemSelectionModel

from napari_fociquant._layers import contrast
from napari_fociquant._qt import finding

BUSY = "cut-mouse-bravo"
QUIET = "cut-mouse-alpha"


@pytest.fixture
def open_busy(bench, results):
    bench.open(results, BUSY)
    return bench


def codes(bench):
    return [view.code for view in bench.desk.views()]


def test_the_list_stays_at_the_section_that_is_open(bench, results, qtbot):
    assert bench.desk.open_results(results)
    table = bench.study.sections.table
    for place in (1, 0):
        bench.study.sections.open_row(place)
        assert table.currentRow() == place
        assert [index.row() for index in table.selectionModel().selectedRows()] == [place]
        bench.desk.sign_off()
        assert table.currentRow() == place


def test_a_key_opens_the_next_section_and_the_one_before(bench, results, qtbot):
    assert bench.desk.open_results(results)
    first, second = codes(bench)
    bench.desk.open_section(first)
    assert bench.gallery.act("next_section")
    assert bench.desk.section.code == second
    assert bench.queue.act("next_section")
    assert bench.desk.section.code == second
    assert "last section" in bench.desk.notices[-1]
    assert bench.queue.act("previous_section")
    assert bench.desk.section.code == first
    bench.desk.close_section()
    bench.queue.act("next_section")
    assert bench.desk.section.code == first


def test_a_key_signs_off(open_busy, qtbot):
    assert open_busy.gallery.act("sign_off")
    assert open_busy.desk.section.session.signed_off


def test_contrast_and_channels_stay_as_they_were_set(open_busy, qtbot):
    layers = open_busy.viewer.layers
    layers["HER2"].contrast_limits = (111.0, 2222.0)
    layers["HER2"].gamma = 0.7
    layers["AF"].visible = True
    open_busy.gallery.boxes[1].setChecked(False)
    open_busy.desk.open_section(open_busy.desk.blinding.code_of(QUIET))
    assert list(layers["HER2"].contrast_limits) == [111.0, 2222.0]
    assert layers["HER2"].gamma == pytest.approx(0.7)
    assert layers["AF"].visible and layers["DAPI"].visible
    untouched = contrast(open_busy.desk.section.facts.stats["nucleus"])
    assert tuple(layers["DAPI"].contrast_limits) == untouched  # as this section needs it
    assert [box.isChecked() for box in open_busy.gallery.boxes][:3] == [True, False, True]
    assert open_busy.gallery.model.shown[:3] == [True, False, True]


def test_one_key_shows_the_unstained_channel_and_puts_it_away(open_busy, qtbot):
    layer = open_busy.viewer.layers["AF"]
    before = layer.visible
    assert open_busy.queue.act("unstained")
    assert layer.visible is not before
    place = list(open_busy.desk.section.roles).index("autofluorescence")
    assert open_busy.gallery.model.shown[place]
    open_busy.gallery.act("unstained")
    assert not open_busy.gallery.model.shown[place]
    open_busy.gallery.act("unstained")
    assert open_busy.gallery.model.shown[place]


def test_a_cell_is_found_by_its_number(open_busy, qtbot, monkeypatch):
    session, gallery, queue = open_busy.desk.section.session, open_busy.gallery, open_busy.queue
    row = int(np.flatnonzero(session.positive)[-1])
    number = int(session.cell[row])
    monkeypatch.setattr(finding, "ask_for_cell", lambda *_: number)
    gallery.filter.setCurrentText("not counted")
    gallery.act("find")
    assert [tile.row for tile in gallery.selected()] == [row]
    centre = open_busy.viewer.scene.camera.center[-2:]
    assert np.allclose(centre, (session.y_um[row], session.x_um[row]))
    queue.act("find")
    assert row in queue.selected()[0].rows
    monkeypatch.setattr(finding, "ask_for_cell", lambda *_: 10**6)
    queue.act("find")
    assert "no cell 1000000" in open_busy.desk.notices[-1]


def test_undo_goes_back_to_what_was_decided(open_busy, qtbot):
    gallery, queue = open_busy.gallery, open_busy.queue
    gallery.grid.setCurrentIndex(gallery.model.index(2))
    first = gallery.selected()
    for _ in range(4):
        gallery.act("reject")
    for _ in range(4):
        gallery.act("undo")
    assert gallery.selected() == first
    # several that were decided together
    for place in (4, 6):
        gallery.grid.selectionModel().select(
            gallery.model.index(place), QItemSelectionModel.SelectionFlag.Select
        )
    several = gallery.selected()
    gallery.act("accept")
    assert gallery.selected() != several
    gallery.act("undo")
    assert gallery.selected() == several
    queue.next_item(1)
    focus = queue.selected()[0]
    queue.act("accept")
    assert queue.selected()[0] is not focus
    queue.act("undo")
    assert queue.selected()[0] is focus


def test_the_gallery_tells_how_far_one_is_and_is_walked_through_by_keys(open_busy, qtbot):
    gallery = open_busy.gallery
    number = len(gallery.model.tiles)  # with those that are shown twice
    assert gallery.title.text().endswith(f": 0 of {number} candidates decided")
    gallery.act("reject")
    gallery.act("next")
    assert gallery.grid.currentIndex().row() == 2
    gallery.act("previous")
    assert gallery.grid.currentIndex().row() == 1
    assert gallery.title.text().endswith(f": 1 of {number} candidates decided")
    gallery.act("sign_off")
    assert gallery.title.text().endswith("decided, signed off")


def test_a_second_look_that_is_taken_back_does_not_lead_to_the_first(open_busy, qtbot):
    gallery = open_busy.gallery
    place = int(np.flatnonzero(gallery.model.tiles.repeats)[0])
    gallery.grid.setCurrentIndex(gallery.model.index(place))
    gallery.act("reject")
    assert gallery.title.text().split(": ")[1].startswith("1 of")
    gallery.act("undo")
    assert gallery.grid.currentIndex().row() == place
    assert [tile.repeat for tile in gallery.selected()] == [True]
