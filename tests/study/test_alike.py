"""The same problem in many lines of the sheet is told once, and no line is lost."""

import re

from hypothesis import given
from hypothesis import strategies as st

from fociquant.errors import Problem
from fociquant.study.alike import MANY, told_once


def empty(line, column="mouse"):
    return Problem(f"samples.csv, line {line}, column {column!r}", "the cell is empty.", "Fill it.")


def test_many_lines_are_one_problem_at_the_place_of_the_first():
    other = Problem("study.yaml, line 3, key 'channels'", "no marker.", "Name one.")
    rows = [one for line in range(2, 42) for one in (empty(line), empty(line, "group"))]
    told = told_once([other, *rows, Problem("samples.csv", "is odd.", "Look.")])
    assert [one.where for one in told] == [
        "study.yaml, line 3, key 'channels'",
        "samples.csv, lines 2 to 41, column 'mouse'",
        "samples.csv, lines 2 to 41, column 'group'",
        "samples.csv",
    ]
    assert told[1].what == "the cell is empty." and told[1].cure == "Fill it."


def test_a_few_lines_and_unlike_problems_stay_as_they_are():
    few = [empty(line) for line in range(2, 2 + MANY)]
    unlike = [
        Problem(f"samples.csv, line {n}, column 'dpi'", f"'{n}x' is no number.", "Write days.")
        for n in range(2, 30)
    ]
    same = [Problem("samples.csv", "is odd.", "Look.")] * 9
    assert told_once([*few, *unlike, *same]) == [*few, *unlike, *same]


@given(st.sets(st.integers(2, 60), min_size=MANY + 1))
def test_every_line_is_there(lines):
    [told] = told_once(empty(line) for line in sorted(lines))
    listed = re.match(r"samples\.csv, lines (.+), column 'mouse'$", told.where)[1]
    back = set()
    for run in listed.split(", "):
        first, _, last = run.partition(" to ")
        back |= set(range(int(first), int(last or first) + 1))
    assert back == lines
