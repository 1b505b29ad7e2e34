"""The log: chained, and honest about every kind of damage; nothing is lost to a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fociquant.errors import DiskError, InputError, ResultsError
from fociquant.review import Action, LogWriter, Reviewer, ReviewFolder, read_log
from fociquant.review.chain import GENESIS, link_hash, to_line
from fociquant.review.decisions import Draft, Entry, active_entries

ANA = Reviewer("ana", "desk-1")


@pytest.fixture()
def folder(tmp_path):
    return ReviewFolder(tmp_path)


def writer(folder, reviewer=ANA, **options):
    return LogWriter(folder, "s1", reviewer, **options)


def said(text):
    return Draft(Action.COMMENT, {}, text)


def words(log):
    return [entry.reason for entry in log.entries[1:]]


def written(folder, *texts):
    with writer(folder) as log:
        for text in texts:
            log.append([said(text)])
        return log.path


def test_a_log_holds_what_was_said_and_every_line_proves_the_one_before(folder):
    path = written(folder, "one", "zwei", "drei µm")
    prev = GENESIS
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        content = json.loads(line)
        digest = content.pop("hash")
        assert content["seq"] == number and content["prev"] == prev
        assert link_hash(prev, content) == digest
        prev = digest
    log = read_log(path)
    assert words(log) == ["one", "zwei", "drei µm"] and log.problems == ()
    assert (log.section, log.reviewer, log.station) == ("s1", "ana", "desk-1")


def test_the_hash_of_a_line_is_stable_over_time():
    entry = Entry(1, "2026-03-01T00:00:00.000Z", Action.REJECT,
                  {"object": {"y_um": 1.5, "x_um": 2.0}}, "µ", "0" * 64)  # fmt: skip
    line, kept = to_line(entry)
    assert kept.hash == "527172b7a769fdfae8cbaeae405c22de2833d15b94c53d462a8896c7564cc575"
    assert line.startswith('{"action":"reject","format":1,"hash":')


def test_opening_again_goes_on(folder):
    written(folder, "one")
    path = written(folder, "two")
    assert words(read_log(path)) == ["one", "two"]


@pytest.mark.parametrize("cut", [1, 7, 60])
def test_a_torn_last_line_is_said_kept_and_the_chain_goes_on(folder, cut):
    path = written(folder, "one", "two")
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    torn = read_log(path)
    if cut > 1:  # only the line feed is missing: the entry is whole
        assert words(torn) == ["one"] and "line 3 is torn" in torn.problems[0]
    written(folder, "three")
    log = read_log(path)
    assert words(log)[-1] == "three" and words(log)[0] == "one"
    assert path.read_bytes().startswith(whole[:-cut]), "nothing is taken out of the file"
    assert not log.broken


def test_zeros_that_a_power_cut_left_are_a_torn_line(folder):
    path = written(folder, "one")
    with path.open("ab") as file:
        file.write(b"\0" * 100)
    written(folder, "two")
    log = read_log(path)
    assert words(log) == ["one", "two"] and "torn" in log.problems[0]


def test_a_torn_first_line_loses_nothing(folder):
    path = written(folder)
    path.write_bytes(path.read_bytes()[:20])
    written(folder, "one")
    log = read_log(path)
    assert words(log) == ["one"] and log.section == "s1" and "torn" in log.problems[0]


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


def test_an_edited_line_is_not_applied_and_what_follows_is(folder):
    path = written(folder, "one", "two", "three")
    lines = lines_of(path)
    lines[2] = lines[2].replace('"two"', '"TWO"')
    path.write_text("".join(lines), encoding="utf-8")
    log = read_log(path)
    assert words(log) == ["one", "three"] and not log.broken
    assert "line 3 was edited" in log.problems[0]
    assert [entry.reason for entry in log.untrusted] == ["TWO"]


def test_an_edited_last_line_is_not_applied_and_the_chain_goes_on(folder):
    path = written(folder, "one", "two")
    path.write_text("".join(lines_of(path)).replace('"two"', '"TWO"'), encoding="utf-8")
    written(folder, "three")
    assert words(read_log(path)) == ["one", "three"]


def test_a_foreign_line_is_not_applied_and_what_follows_is(folder):
    other = written_by(folder, Reviewer("bo", "desk-2"), "from elsewhere")
    path = written(folder, "one", "two")
    lines = lines_of(path)
    lines.insert(2, lines_of(other)[1])
    path.write_text("".join(lines), encoding="utf-8")
    log = read_log(path)
    assert words(log) == ["one", "two"] and "line 3 is foreign" in log.problems[0]
    assert [entry.reason for entry in log.untrusted] == ["from elsewhere"]


def written_by(folder, reviewer, text):
    with writer(folder, reviewer) as log:
        log.append([said(text)])
        return log.path


def test_a_break_is_said_and_nothing_behind_it_is_applied(folder):
    path = written(folder, "one", "two", "three", "four")
    lines = lines_of(path)
    del lines[3]
    path.write_text("".join(lines), encoding="utf-8")
    log = read_log(path)
    # What stands before the gap has no witness any more: it may be the line that was changed.
    assert words(log) == ["one"] and log.broken
    assert "breaks at line 4" in log.problems[0]
    assert [entry.reason for entry in log.untrusted] == ["two", "four"]


def test_a_line_with_a_new_hash_of_its_own_breaks_the_chain(folder):
    path = written(folder, "one", "two", "three")
    lines = lines_of(path)
    entry = read_log(path).entries[2]
    lines[2] = to_line(Entry(2, entry.time, entry.action, {}, "forged", entry.prev))[0]
    path.write_text("".join(lines), encoding="utf-8")
    log = read_log(path)
    assert log.broken and words(log) == ["one"]


def test_after_a_break_the_reviewer_goes_on_in_a_new_file(folder):
    path = written(folder, "one", "two", "three")
    before = lines_of(path)[:2] + lines_of(path)[3:]
    path.write_text("".join(before), encoding="utf-8")
    with writer(folder) as log:
        assert log.path != path and [e.reason for e in log.entries] == []
        assert any("breaks at line 3" in text for text in log.problems)
        log.append([said("four")])
    assert path.read_text(encoding="utf-8") == "".join(before), "the broken file is left alone"
    with writer(folder) as log:
        assert [entry.reason for entry in log.entries] == ["four"]


def test_a_changed_beginning_makes_the_whole_file_untrusted(folder):
    path = written(folder, "one")
    path.write_text(path.read_text().replace('"ana"', '"eve"'), encoding="utf-8")
    log = read_log(path)
    assert log.broken and log.entries == () and log.reviewer == ""


def test_a_log_of_a_newer_version_is_refused(folder):
    path = written(folder, "one")
    path.write_text(path.read_text().replace('"format":1', '"format":99'), encoding="utf-8")
    with pytest.raises(ResultsError, match=r"newer version.*Update"):
        read_log(path)


def test_something_else_in_place_of_a_log_is_no_crash(folder):
    path = written(folder, "one")
    for content in (
        b"",
        b"\xff\xfe\x00",
        b"[1,2]\n",
        b'{"format":1}\n',
        b"{" * 5000 + b"\n",
        b'{"format":1,"seq":0,"time":"","action":"fly","prev":"","hash":""}\n',
    ):
        path.write_bytes(content)
        assert read_log(path).entries == ()


def test_two_people_of_one_name_write_two_files(folder):
    here = written_by(folder, Reviewer("ana", "desk-1"), "mine")
    there = written_by(folder, Reviewer("ana", "desk-2"), "hers")
    assert here != there and words(read_log(here)) == ["mine"]


def test_names_that_look_alike_in_a_path_are_different_files(folder):
    names = ["a/b", "a b", "ä b", "a_b", "A_B"]
    paths = {written_by(folder, Reviewer(name, "x"), name) for name in names}
    assert len({str(path).casefold() for path in paths}) == len(names)
    assert all(path.parent == folder.logs for path in paths)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 61])
def test_a_name_that_cannot_be_one_is_refused(name):
    with pytest.raises(InputError, match="reviewer's name"):
        Reviewer(name)


def test_a_log_under_anothers_name_is_refused(folder):
    mine = written(folder, "one")
    written_by(folder, Reviewer("bo", "desk-2"), "two").replace(mine)
    with pytest.raises(ResultsError, match="holds decisions of 'bo'"):
        writer(folder)


def test_a_full_disk_says_that_the_decision_was_not_saved(folder, monkeypatch):
    log = writer(folder)
    log.append([said("one")])
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:10]) * 0 + full())
    with pytest.raises(DiskError, match=r"was not saved.*No space"):
        log.append([said("two")])
    monkeypatch.undo()
    log.append([said("three")])
    log.close()
    assert words(read_log(log.path)) == ["one", "three"]


def full():
    raise OSError(28, "No space left on device")


def test_a_log_that_was_removed_meanwhile_is_written_again(folder):
    with writer(folder) as log:
        log.append([said("one")])
        log.path.unlink()
        log.append([said("two")])
    assert words(read_log(log.path)) == ["one", "two"]


def test_a_log_whose_lines_went_missing_meanwhile_is_an_error(folder):
    with writer(folder) as log:
        log.append([said("one")])
        log.append([said("two")])
        log.path.write_text("".join(lines_of(log.path)[:2]), encoding="utf-8")
        with pytest.raises(ResultsError, match="changed by another program"):
            log.append([said("three")])


def test_a_closed_log_refuses(folder):
    log = writer(folder)
    log.close()
    with pytest.raises(ResultsError, match="closed"):
        log.append([said("late")])


def test_undo_of_an_undo_brings_back():
    def entry(name, target=""):
        action = Action.UNDO if target else Action.COMMENT
        return Entry(0, "", action, {"target": target} if target else {}, name, "", name)

    a, b = entry("a"), entry("b")
    undo, redo = entry("u", "a"), entry("r", "u")
    assert active_entries([a, b, undo]) == [b]
    assert active_entries([a, b, undo, redo]) == [a, b]
    assert active_entries([a, b, undo, redo, entry("u2", "a")]) == [b]


CHILD = """
import sys
from pathlib import Path
from fociquant.review import Action, LogWriter, Reviewer, ReviewFolder
from fociquant.review.decisions import Draft
folder, tag, number = ReviewFolder(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
with LogWriter(folder, "s1", Reviewer("ana", "desk-1")) as log:
    for i in range(number):
        log.append([Draft(Action.COMMENT, {}, f"{tag}{i}")])
        print(f"{tag}{i}", flush=True)
"""


def start(folder, tag, number):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder.results), tag, str(number)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_a_process_killed_while_deciding_loses_nothing_that_it_reported(folder):
    path = folder.log("s1", ANA)
    for round_ in range(3):
        child = start(folder, f"r{round_}-", 100_000)
        seen = [child.stdout.readline().strip() for _ in range(5 + round_)]
        time.sleep(0.01 * round_)
        os.kill(child.pid, signal.SIGKILL)
        seen += child.stdout.read().split("\n")[:-1]
        child.wait()
        child.stdout.close()
        log = read_log(path)
        assert not log.broken and set(seen) <= set(words(log))
    with writer(folder) as log:
        log.append([said("after")])
    assert words(read_log(path))[-1] == "after" and not read_log(path).broken


def test_two_processes_of_one_reviewer_append_to_one_chain(folder):
    children = [start(folder, tag, 60) for tag in "ab"]
    for child in children:
        child.communicate(timeout=120)
        assert child.returncode == 0
    log = read_log(folder.log("s1", ANA))
    assert not log.broken and log.problems == ()
    for tag in "ab":
        mine = [text for text in words(log) if text.startswith(tag)]
        assert mine == [f"{tag}{i}" for i in range(60)], "each one's order is kept"


def test_what_another_window_wrote_is_told(folder):
    one, other = writer(folder), writer(folder)
    one.append([said("from one")])
    other.append([said("from other")])
    assert other.overtaken == 1
    one.append([])
    assert one.overtaken == 1
    assert [e.reason for e in one.entries] == ["from one", "from other"]
    one.close()
    other.close()
    assert Path(one.path) == other.path
