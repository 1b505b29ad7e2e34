"""Candidates in a grid: rejected one or many at a time, and taken back."""

from __future__ import annotations

import numpy as np

BUSY = "cut-mouse-bravo"


def test_rejecting_the_first_tile_takes_its_cell_out_of_the_count(bench, results, qtbot):
    bench.open(results, BUSY)
    session = bench.desk.section.session
    bench.gallery.filter.setCurrentText("counted")
    before = session.reviewed_cells
    tile = bench.gallery.selected()[0]
    bench.gallery.act("reject")
    assert session.reviewed_cells == before - 1
    assert session.verdict[tile.row] == 2
    assert bench.desk.section.outlines.codes[tile.row] == 5


def test_many_tiles_are_rejected_together_and_taken_back_together(bench, results, qtbot):
    bench.open(results, BUSY)
    session, gallery = bench.desk.section.session, bench.gallery
    gallery.filter.setCurrentText("counted")
    before = session.reviewed_cells
    gallery.grid.selectAll()
    tiles = gallery.selected()
    gallery.act("reject")
    assert session.reviewed_cells == 0
    assert len(tiles) > before  # some are shown a second time, unannounced
    assert session.second_looks
    bench.desk.undo()  # one key: with those that were shown a second time
    assert not session.second_looks
    assert session.reviewed_cells == before
    bench.desk.redo()
    assert session.reviewed_cells == 0 and session.second_looks


def test_a_reason_goes_into_the_log_once_and_the_section_is_signed_off(bench, results, qtbot):
    bench.open(results, BUSY)
    session, gallery = bench.desk.section.session, bench.gallery
    gallery.reason.setCurrentText("macrophage")
    gallery.act("reject")
    gallery.act("reject")
    assert [entry.reason for entry in session.history] == ["macrophage", ""]
    bench.queue.next_item(1)
    bench.queue.reason.setCurrentText("red blood cell")
    bench.queue.act("reject")
    assert {entry.reason for entry in session.history[2:]} == {"red blood cell"}
    gallery.sign_off.click()
    assert session.signed_off


def test_hidden_repeats_change_no_count(bench, results, qtbot):
    bench.open(results, BUSY)
    session, gallery = bench.desk.section.session, bench.gallery
    place = next(i for i, tile in enumerate(gallery.model.tiles) if tile.repeat)
    before = np.array(session.positive)
    gallery.grid.setCurrentIndex(gallery.model.index(place))
    gallery.act("accept" if not before[gallery.model.tiles[place].row] else "reject")
    assert (session.positive == before).all()
    assert session.history[-1].is_repeat


def test_crops_are_read_in_the_background(bench, results, qtbot):
    bench.open(results, BUSY)
    bench.viewer.window._qt_window.show()
    model = bench.gallery.model
    tile = model.tiles[0]
    assert model.pixmap(tile) is None
    qtbot.waitUntil(lambda: model.pixmap(tile) is not None, timeout=10_000)
    image = model.pixmap(tile).toImage()
    colours = {image.pixel(x, y) for x in range(0, image.width(), 5) for y in range(0, 60, 5)}
    assert len(colours) > 20
