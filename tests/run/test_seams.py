"""The seam report sees what is lost or doubled at borders, and nothing where all is well."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fociquant.run.seams import looked_at, seam_columns, seam_report
from fociquant.store import read_json
from fociquant.testing.studies import write_study
from fociquant.tiling import Lattice
from fociquant.units import PixelSize

LATTICE = Lattice((3000, 4000))
EVERYWHERE = np.ones(LATTICE.cells, bool)
PIXEL = PixelSize.square(0.5)


def boxes(centres, edge=20):
    y0, x0 = (np.asarray(centres, float).T - edge / 2).astype(np.int64)
    cells = (y0 + edge // 2) // 1024 * LATTICE.cells[1] + (x0 + edge // 2) // 1024
    return pd.DataFrame(
        {"decode_cell": cells, "mask_y0": y0, "mask_x0": x0, "mask_height": edge,
         "mask_width": edge}
    )  # fmt: skip


def spread(count, seed=0):
    return np.random.default_rng(seed).uniform(20, (2980, 3980), (count, 2))


def report(objects, mask=EVERYWHERE):
    return seam_report(objects, LATTICE, mask, PIXEL)


def test_objects_without_regard_to_borders_are_as_many_at_both():
    found = report(boxes(spread(20000)))
    # Two borders along x of 4000 px and three along y of 3000 px.
    assert found["length_mm"] == pytest.approx((2 * 4000 + 3 * 3000) * 0.5e-3)
    expected = 20000 * (17000 * 48) / (2960 * 3960)
    for name in ("objects", "control_objects"):
        assert abs(found[name] - expected) < 5 * np.sqrt(expected)


def test_lost_objects_show():
    centres = spread(20000)
    near = np.abs((centres + 512) % 1024 - 512).min(axis=1) < 10
    found = report(boxes(centres[~near]))
    assert found["objects"] < 0.8 * found["control_objects"]


def test_doubled_objects_show():
    once = boxes([(1024, x) for x in range(100, 900, 50)])
    again = once.assign(decode_cell=once["decode_cell"] - 4, mask_y0=once["mask_y0"] - 4)
    assert report(once)["repeats"] == 0
    assert report(pd.concat([once, again], ignore_index=True))["repeats"] == len(once)


def test_touching_neighbours_are_no_repeats():
    found = report(boxes([(1013, 500), (1034, 500)]))
    assert found["repeats"] == 0 and found["objects"] == 2


def test_only_borders_between_counted_pieces_count():
    mask = np.zeros(LATTICE.cells, bool)
    mask[0, :2] = True
    found = report(boxes([(500, 1024), (500, 2048), (1024, 500), (500, 640)]), mask)
    assert found == {
        "length_mm": 0.512, "objects": 1, "control_objects": 1, "repeats": 0
    }  # fmt: skip


@pytest.mark.parametrize("edge", [6, 44])
def test_objects_are_at_a_line_by_their_centre(edge):
    # 12 µm are 24 px; the control line behind the border at 1024 lies at 1664.
    for line, name in ((1024, "objects"), (1664, "control_objects")):
        near = [report(boxes([(line + by, 500)], edge))[name] for by in (-25, -23, 23, 25)]
        assert near == [0, 1, 1, 0]


def test_the_last_border_is_one_of_its_own():
    mask = np.zeros(LATTICE.cells, bool)
    mask[1:, 0] = True
    found = report(boxes([(1024, 500), (2048, 500), (2048, 500), (2048, 1500)]), mask)
    assert (found["length_mm"], found["objects"]) == (0.512, 2)
    mask = np.zeros(LATTICE.cells, bool)
    mask[0, 2:] = True
    found = report(boxes([(500, 2048), (500, 3072), (1500, 3072)]), mask)
    assert (found["length_mm"], found["objects"]) == (0.512, 1)


@pytest.mark.parametrize("shape", [(100, 100), (1, 5000), (5000, 1), (0, 0)])
def test_sections_with_few_or_no_borders(shape):
    lattice = Lattice(shape)
    found = seam_report(boxes(np.zeros((0, 2))), lattice, np.ones(lattice.cells, bool), PIXEL)
    assert found["objects"] == found["repeats"] == 0
    rate = seam_columns({"seams": found, "screened": 0.0})["seam_rate"]
    assert np.isnan(rate) == (max(shape) <= 1024)


def test_columns_of_a_section_that_was_not_counted_are_empty():
    assert all(np.isnan(value) for value in seam_columns(None).values())


def test_what_was_looked_at_is_summed_and_told_per_section():
    seams = {"length_mm": 3.0, "objects": 10, "control_objects": 5, "repeats": 1}
    cells = {"all": 12, "counted": 3}
    found = looked_at(
        [("a", {"screened": 0.75, "decode_cells": cells, "seams": seams}), ("failed", None),
         ("b", {"screened": 0.0, "decode_cells": {"all": 1, "counted": 1},
                "seams": dict.fromkeys(seams, 0)})]
    )  # fmt: skip
    assert list(found["sections"]) == ["a", "b"]
    a, b = found["sections"].values()
    assert (a["screened"], a["decode_cells"], a["decode_cells_counted"]) == (0.75, 12, 3)
    assert (a["seams"]["rate_per_mm"], a["seams"]["control_rate_per_mm"]) == (3.3333, 1.6667)
    assert b["seams"]["rate_per_mm"] is None
    assert (found["all"]["decode_cells"], found["all"]["decode_cells_counted"]) == (13, 4)
    assert found["all"]["seams"]["repeats"] == 1 and found["all"]["seams"]["rate_per_mm"] == 3.3333


@pytest.mark.parametrize("states", [[], [("a", None)], [("a", {})]])
def test_nothing_looked_at_is_told_too(states):
    found = looked_at(states)
    assert found["all"]["seams"]["length_mm"] == 0.0
    assert found["all"]["seams"]["control_rate_per_mm"] is None


def test_every_run_says_what_it_looked_at(run, tmp_path):
    study = write_study(tmp_path / "study", {"a": 9}, shape=(190, 230))
    run(study, tmp_path / "r", block_px=64, threads=1)
    told = read_json(tmp_path / "r" / "run.json")["looked_at"]
    section = told["sections"]["s0"]
    assert section["decode_cells"] == 12 and section["seams"]["length_mm"] > 0
    assert 0 < section["decode_cells_counted"] <= 12
    assert told["all"]["seams"] == section["seams"]
