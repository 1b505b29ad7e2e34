"""A job that kills workers is found out and becomes a status; those beside it are done."""

from __future__ import annotations

import pytest

from fociquant.run import study as corridor
from fociquant.run.jobs import Count, Desk, perform
from fociquant.run.lanes import Ended, Lost
from fociquant.segment.windows import WindowCache
from fociquant.testing.studies import write_study


class Mortal:
    """Two places with two jobs each; some jobs take their place and all in its hands with them."""

    def __init__(self, segmenter, deadly):
        self.desk, self.deadly, self.info = Desk(segmenter, WindowCache(10**7)), deadly, None
        self.info = segmenter.info
        self.names, self.hands, self.ended, self.deaths = ["a", "b"], {}, [], 0
        self.segmenter = None

    def places(self):
        return dict.fromkeys(self.names, 2)

    def submit(self, place, number, job):
        self.hands[number] = (place, job)

    def next(self, timeout_s):
        if not self.ended and self.hands:
            self._work(next(iter(self.hands)))
        return self.ended.pop(0) if self.ended else None

    def _work(self, number):
        place, job = self.hands.pop(number)
        if not self.deadly(job):
            self.ended.append(Ended(number, perform(job, self.desk)))
            return
        self.deaths += 1
        taken = [n for n, (where, _) in self.hands.items() if where == place]
        self.ended += [Ended(n, Lost(place)) for n in (number, *taken)]
        for one in taken:
            del self.hands[one]
        self.names[self.names.index(place)] = f"{place}'"

    def notes(self):
        return []

    def stop(self):
        self.desk.stop.set()

    def close(self):
        self.desk.images.close()


@pytest.fixture()
def lanes(run, monkeypatch):
    """``lanes(deadly)`` makes runs use mortal places; returns a list with them."""

    def use(deadly):
        made = []

        def make(*_):
            made.append(Mortal(run.segmenter, deadly))
            return made[-1]

        monkeypatch.setattr(corridor, "_lanes", make)
        return made

    return use


@pytest.fixture()
def study(tmp_path):
    return write_study(tmp_path / "study", {"a": 9, "b": 5}, shape=(190, 230))


def is_first_block(job):
    return isinstance(job, Count) and job.planned.name == "s1" and job.cells[0] == (0, 0)


def test_a_block_that_always_kills_fails_its_section_alone(run, study, tmp_path, lanes):
    made = lanes(is_first_block)
    outcome = run(study, tmp_path / "r", block_px=64)
    assert outcome.failed == ("s1",) and made[0].deaths == 3
    sections = outcome.tables.sections
    assert sections["cells"][0] == 9
    reason = sections["reason"][1]
    assert "3 worker processes in a row died over the block at (0, 0) px" in reason
    assert "--memory" in reason


def test_preparing_that_always_kills_is_a_status_too(run, study, tmp_path, lanes):
    lanes(lambda job: not isinstance(job, Count) and job.planned.name == "s0")
    outcome = run(study, tmp_path / "r", block_px=64)
    assert outcome.failed == ("s0",)
    assert "died over preparing this section" in outcome.tables.sections["reason"][0]


@pytest.mark.parametrize("every", [3, 7])
def test_accidents_leave_no_trace(run, study, tmp_path, tables, lanes, every):
    run(study, tmp_path / "whole", block_px=64)
    jobs = iter(range(1, 10**6))
    once: set[object] = set()

    def accident(job):
        name = (job.planned.name, getattr(job, "cells", type(job)))
        if name in once or next(jobs) % every:
            return False
        once.add(name)
        return True

    made = lanes(accident)
    outcome = run(study, tmp_path / "r", block_px=64)
    assert outcome.failed == () and made[0].deaths >= 2
    assert tables(tmp_path / "r") == tables(tmp_path / "whole")
