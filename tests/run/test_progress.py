"""What is told while a run works: blocks, rates and what is left, in plain lines or bars."""

from __future__ import annotations

import io

import pytest

from fociquant.run import progress as telling
from fociquant.run.progress import Bars, Lines, Silent, duration, for_terminal


def a_run(progress):
    progress.start({"s0": 4_000_000, "s1": 2_000_000})
    progress.begin("s0")
    progress.note("s0", ["The marker is dim."])
    progress.skip("s0", 2_000_000)
    progress.blocks("s0", 2)
    progress.advance("s0", 1_000_000)
    progress.advance("s0", 1_000_000)
    progress.done("s0")
    progress.begin("s1")
    progress.failed("s1", "images/s1.tif: damaged [x].")
    progress.say("worker tcp://a:1 is gone")
    progress.close()


@pytest.fixture()
def clock(monkeypatch):
    """A clock that goes on 20 s whenever it is looked at."""
    seconds = iter(range(0, 10**6, 20))
    monkeypatch.setattr(telling.time, "monotonic", lambda: float(next(seconds)))


def test_plain_lines_say_sections_blocks_rate_and_what_is_left(clock):
    stream = io.StringIO()
    a_run(Lines(stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "2 sections, 6.0 megapixels"
    assert lines[1] == "s0: note: The marker is dim."
    # Half of the first section was done before: it counts as done, not as fast.
    assert lines[2].startswith("s0: block 1/2  ( 50 %  0/2 sections, 0.0")
    assert "megapixels/s, " in lines[2] and lines[2].endswith("left)")
    assert lines[4].startswith("s0: done  ( 67 %  1/2 sections")
    assert lines[5:] == ["s1: FAILED: images/s1.tif: damaged [x].", "worker tcp://a:1 is gone"]


def test_what_was_screened_just_now_counts_for_the_rate_and_what_is_left(clock):
    stream = io.StringIO()
    progress = Lines(stream)
    progress.start({"s0": 4_000_000, "s1": 4_000_000})
    progress.begin("s0")
    progress.pass_over("s0", 4_000_000)
    progress.blocks("s0", 0)
    progress.done("s0")
    line = stream.getvalue().splitlines()[-1]
    assert line.startswith("s0: done  ( 50 %  1/2 sections, 0.")
    seconds = int(line.split(", ")[2].split(" s left")[0])
    rate = float(line.split(", ")[1].split(" megapixels/s")[0])
    assert seconds == pytest.approx(4.0 / rate, rel=0.2) and seconds < 100


def test_a_run_that_counts_nothing_says_what_it_does():
    stream = io.StringIO()
    Lines(stream).start({})
    assert stream.getvalue() == (
        "no section to count: tables and report are made of what is stored\n"
    )


def test_nothing_is_left_of_a_section_that_failed(clock):
    stream = io.StringIO()
    progress = Lines(stream)
    progress.failed("s9", "images/s9.tif: no image.")  # found before anything is started
    progress.start({"s0": 4_000_000, "s1": 4_000_000})
    progress.begin("s0")
    progress.begin("s1")
    progress.advance("s0", 1_000_000)
    progress.failed("s0", "images/s0.tif: damaged.")
    progress.advance("s1", 4_000_000)
    progress.done("s1")
    line = stream.getvalue().splitlines()[-1]
    assert line.startswith("s1: done  (100 %  1/2 sections, ") and line.endswith(", 0 s left)")


def test_bars_are_drawn_to_the_end(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    a_run(Bars())
    err = capsys.readouterr().err
    assert "damaged [x]." in err and "tcp://a:1 is gone" in err and "The marker is dim." in err


def test_silence_says_nothing(capsys):
    a_run(Silent())
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_there_are_lines():
    assert isinstance(for_terminal(), Lines)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (11100, "3 h 05 min")]
)
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text
