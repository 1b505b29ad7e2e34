"""Foci one by one: every decision changes the count, the list and, after a recount, the tables."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

BUSY = "cut-mouse-bravo"


def settle(bench, qtbot):
    """Wait until the foci were found again after a decision."""
    with qtbot.waitSignal(bench.desk.foci_changed, timeout=20_000):
        pass


def draw(bench, points, qtbot):
    """Draw on the slide as a hand does: the layer of drawing gets a shape."""
    layer = bench.viewer.layers["Draw here"]
    kind = "line" if layer.mode == "add_line" else "polygon"
    layer.add(np.asarray(points, float), shape_type=kind)
    qtbot.waitUntil(lambda: "Draw here" not in bench.viewer.layers, timeout=5_000)


def test_a_whole_review_from_the_first_focus_to_the_tables(bench, results, qtbot):
    bench.open(results, BUSY)
    desk, queue = bench.desk, bench.queue
    session, first_table = desk.section.session, pd.read_csv(results / "sections.csv")
    before, foci = session.reviewed_cells, len(desk.section.foci)

    # reject the largest focus
    queue.next_item(1)
    largest = queue.selected()[0]
    queue.act("reject")
    settle(bench, qtbot)
    assert session.reviewed_cells == before - len(largest.rows)
    assert len(desk.section.foci) == foci - 1
    assert queue.model.state(0) == "rejected"

    # split the next one
    item = queue.selected()[0]
    assert item.rows.tolist() != largest.rows.tolist()
    queue.act("split")
    x = float(np.median(session.x_um[item.rows]))
    draw(bench, [[item.y_um - 60, x], [item.y_um + 60, x]], qtbot)
    settle(bench, qtbot)
    assert len(desk.section.foci) == foci

    # merge the two parts again
    rows = set(item.rows.tolist())
    queue.table.clearSelection()
    for place, one in enumerate(queue.model.items):
        if rows & set(one.rows.tolist()):
            queue.select(place)
    assert len(queue.selected()) == 2
    queue.act("merge")
    settle(bench, qtbot)
    assert len(desk.section.foci) == foci - 1

    # another class
    cell = min(rows)
    desk.view.clicked.emit(session.y_um[cell], session.x_um[cell])
    assert cell in queue.selected()[0].rows
    queue.classes.textActivated.emit("macrometastasis")
    settle(bench, qtbot)
    assert desk.section.focus_at(cell).kind == "macrometastasis"

    # a missed cell, by a click far from every candidate
    y, x = empty_place(desk.section)
    queue.act("add")
    desk.view.clicked.emit(y, x)
    queue.act("add")
    assert session.counts.added == 1
    assert len(desk.section.outlines.ends) == len(session.cell)
    settle(bench, qtbot)

    # leave out a region, with a reason
    counted = session.reviewed_cells
    queue.act("exclude")
    draw(bench, [[0, 0], [0, 120], [120, 120], [120, 0]], qtbot)
    assert queue.exclude.isVisibleTo(queue)
    queue.exclude.reason.setCurrentText("fold")
    queue.exclude.commit()
    assert "Excluded regions" in bench.viewer.layers
    gone = session.excluded & (session.y_um < 120) & (session.x_um < 120)
    assert session.excluded.sum() == gone.sum()
    assert session.reviewed_cells <= counted
    assert session.history[-1].reason == "fold"

    # and back again
    desk.undo()
    assert session.reviewed_cells == counted
    assert "Excluded regions" not in bench.viewer.layers
    desk.redo()

    # sign off, recount, export
    bench.queue.sign_off.click()
    assert session.signed_off
    expected = session.reviewed_cells
    with qtbot.waitSignal(desk.results_changed, timeout=600_000):
        bench.study.sections.recount()
    row = pd.read_csv(results / "sections.csv").set_index("section").loc[BUSY]
    assert row["cells"] == expected
    assert first_table.set_index("section").loc[BUSY, "cells"] == before
    cells = pd.read_parquet(results / "cells.parquet")
    assert int(cells[cells["section"] == BUSY]["positive"].sum()) == expected
    regions = pd.read_csv(results / "foci.csv")
    assert (regions["class"] == "macrometastasis").any()


def empty_place(section):
    """A place inside the image that is far from every candidate."""
    rng = np.random.default_rng(3)
    extent = np.array(section.shape) * (section.pixel.y, section.pixel.x)
    places = rng.uniform(30, extent - 30, (500, 2))
    session = section.session
    cells = np.stack([session.y_um, session.x_um], axis=1)
    far = np.linalg.norm(places[:, None] - cells[None], axis=2).min(axis=1)
    return (float(one) for one in places[far.argmax()])


def test_a_region_whose_line_crosses_itself_is_said_and_can_be_taken_whole(bench, results, qtbot):
    bench.open(results, BUSY)
    queue, session = bench.queue, bench.desk.section.session
    queue.act("exclude")
    draw(bench, [[0, 0], [100, 100], [0, 100], [100, 0]], qtbot)
    assert "crosses itself" in queue.exclude.text.text()
    queue.exclude.reason.setCurrentText("bubble")
    queue.exclude.commit()
    assert len(session.regions) == 1
    assert any("crossed itself" in notice for notice in bench.desk.notices)


def test_a_region_needs_a_reason(bench, results, qtbot):
    bench.open(results, BUSY)
    queue, session = bench.queue, bench.desk.section.session
    queue.act("exclude")
    draw(bench, [[0, 0], [0, 120], [120, 120], [120, 0]], qtbot)
    queue.exclude.commit()
    assert not session.regions
    assert "needs a reason" in bench.desk.notices[-1]
    assert queue.exclude.isVisibleTo(queue)  # what was drawn is still there


def test_what_was_decided_is_there_again_in_another_window(bench, results, qtbot):
    bench.open(results, BUSY)
    bench.queue.next_item(1)
    bench.queue.act("reject")
    count = bench.desk.section.session.reviewed_cells
    bench.desk.close_section()
    assert "Cells" not in bench.viewer.layers
    bench.open(results, BUSY)
    assert bench.desk.section.session.reviewed_cells == count
    logs = list((results / "review" / "decisions").glob("*.jsonl"))
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    assert {line["action"] for line in lines} == {"open", "reject"}


def test_a_class_without_a_focus_is_said_and_not_shown_as_given(bench, results, qtbot):
    bench.open(results, BUSY)
    box = bench.queue.classes
    box.setCurrentIndex(2)
    box.textActivated.emit(box.currentText())
    assert bench.desk.notices[-1].endswith("Select a focus first.")
    assert box.currentIndex() == 0
    assert not bench.desk.section.session.history


def test_the_end_of_adding_is_said_in_place_of_what_asked_for_clicks(bench, results, qtbot):
    bench.open(results, BUSY)
    bench.queue.act("add")
    bench.queue.act("add")
    assert bench.desk.notices[-1] == "A click adds no cell any more."
