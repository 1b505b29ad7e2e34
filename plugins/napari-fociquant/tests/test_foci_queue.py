"""The queue keeps its order while foci change under it; foci follow decisions."""

from __future__ import annotations

import numpy as np

from fociquant.settings import load_profile
from napari_fociquant._foci import Focus, Snapshot, foci_of, rings_of
from napari_fociquant._picture import Outlines
from napari_fociquant._queue import CONFIRMED, GONE, OPEN, count_open, places_of, renew, state_of


def focus(*rows, y=0.0):
    return Focus("cluster", np.array(rows), y, 0.0)


def test_a_new_queue_begins_with_the_largest_focus():
    foci = [focus(0), focus(1, 2, 3), focus(4, 5)]
    queue = renew([], foci, np.ones(6, bool))
    assert [len(one.rows) for one in queue] == [3, 2, 1]


def test_a_rejected_focus_stays_in_its_place():
    queue = [focus(1, 2), focus(0), focus(3)]
    positive = np.array([False, True, True, True])
    again = renew(queue, [focus(3), focus(1, 2)], positive)
    assert [one.rows.tolist() for one in again] == [[1, 2], [0], [3]]


def test_a_cell_that_was_added_and_taken_back_leaves_the_queue():
    queue = [focus(1, 2), focus(3)]
    positive, exists = np.array([True, False, False, False]), np.array([True, True, True, False])
    again = renew(queue, [focus(0)], positive, exists)
    assert [one.rows.tolist() for one in again] == [[1, 2], [0]]


def test_the_parts_of_a_split_are_both_there():
    again = renew([focus(0, 1, 2)], [focus(1), focus(0, 2)], np.ones(3, bool))
    assert sorted(one.rows.tolist() for one in again) == [[0, 2], [1]]


def test_states_and_their_number():
    positive, verdict = np.array([True, True, False, True]), np.array([1, 1, 2, 0])
    foci = [focus(0, 1), focus(2), focus(3)]
    assert [state_of(one, positive, verdict) for one in foci] == [CONFIRMED, GONE, OPEN]
    assert count_open(foci, positive, verdict) == 1
    assert count_open([], positive, verdict) == 0


def test_places_of_rows():
    assert places_of([focus(2), focus(0, 3)], 5).tolist() == [1, -1, 0, 1, -1]


def test_foci_are_found_from_a_snapshot_and_ringed():
    angle = np.linspace(0, 2 * np.pi, 17)[:-1]
    disc = 6 * np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    centres = np.array([[50.0, 50.0], [50.0, 70.0], [50.0, 300.0], [300.0, 50.0]])
    outlines = Outlines.of_lists([(disc + c).astype(np.float32) for c in centres], [3] * 4)
    snapshot = Snapshot(
        np.arange(1, 5), centres[:, 0], centres[:, 1], np.array([True, True, True, False]),
        outlines, (),
    )  # fmt: skip
    foci = foci_of(snapshot, link_um=20.0, profile=load_profile("chia2025"))
    assert [(one.kind, one.rows.tolist()) for one in foci] == [
        ("cluster", [0, 1]), ("solitary", [2])]  # fmt: skip
    rings = rings_of(foci, outlines, ["solitary", "cluster"])
    assert rings.codes.tolist() == [2]
    assert rings.low[0].tolist() <= [38.1, 38.1]
    assert rings_of([], outlines, []).ends.tolist() == []


def test_the_parts_of_a_split_are_beside_each_other():
    whole = [focus(*range(9)), focus(9, 10, 11, 12), focus(13)]
    positive = np.ones(14, bool)
    queue = renew([], whole, positive)
    parts = [focus(*range(4)), focus(*range(4, 9)), focus(9, 10, 11, 12), focus(13)]
    assert [len(one.rows) for one in renew(queue, parts, positive)] == [5, 4, 4, 1]


def test_what_lies_in_an_excluded_region_was_not_rejected():
    one = focus(0, 1)
    assert state_of(one, np.zeros(2, bool), np.array([0, 2])) == "excluded"
    assert state_of(one, np.zeros(2, bool), np.array([2, 2])) == "rejected"
