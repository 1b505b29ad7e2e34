"""``fociquant run`` in real processes: exit codes, Ctrl-C, and kills at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from fociquant.cli import main
from fociquant.testing.studies import write_study

TABLES = ("cells.parquet", "foci.csv", "groups.csv", "mice.csv", "sections.csv")

CHILD = """
import sys
import time
import fociquant.run.plan as plan
import fociquant.run.study as corridor
import fociquant.run.tables as run_tables
import fociquant.run.jobs as jobs
from fociquant.cli import main
from fociquant.testing.segmenters import UphillSegmenter
from fociquant.tiling import Lattice

delay, while_writing, arguments = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
write_tables = run_tables.write_tables
run_tables.write_tables = lambda *a: (time.sleep(while_writing), write_tables(*a))[1]
corridor.load_segmenter = lambda *_, **__: UphillSegmenter(window_core_px=64, delay_s=delay)
corridor.report = lambda *_: None
jobs.overview_png = lambda *_, **__: b"PNG"
plan.lattice_for = lambda grid, model: Lattice(
    grid.shape, 64, 32, decode_core_px=256, decode_halo_px=48
)
print("ready", flush=True)
main(arguments)
"""
"""The command line with small lattices and a segmenter that takes its time."""


def start(
    study: Path,
    out: Path,
    *,
    delay: float = 0.0,
    while_writing_tables: float = 0.0,
    ignoring: Sequence[signal.Signals] = (),
) -> subprocess.Popen:
    arguments = ["run", str(study), "--out", str(out), "--threads", "2", "--block", "256"]
    # A process begins with the signals ignored that the one before ignores.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignoring}
    try:
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, str(delay), str(while_writing_tables), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    finally:
        for number, how in before.items():
            signal.signal(number, how)


def finished(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def tables(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"), {"a": 30, "b": 7}, shape=(520, 540))


@pytest.fixture(scope="module")
def undisturbed(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "r"
    code, printed, _ = finished(start(study, out))
    assert code == 0 and "mouse group dpi" in printed and str(out / "mice.csv") in printed
    return tables(out)


def some_block(out: Path, process: subprocess.Popen) -> None:
    """Wait until a block is stored."""
    until = time.monotonic() + 60
    while not list(out.glob("sections/*/blocks/*.parquet")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow()
@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_who_asks_a_run_to_end_finds_it_resumable(ending, study, tmp_path, undisturbed):
    """Ctrl-C, a batch system, a terminal that closes."""
    if not hasattr(signal, ending):
        pytest.skip("this system has no such signal")
    process = start(study, tmp_path / "r", delay=0.15)
    some_block(tmp_path / "r", process)
    asked = time.monotonic()
    process.send_signal(getattr(signal, ending))
    code, _, err = finished(process)
    assert code == 130 and "the same command again continues" in err
    assert time.monotonic() - asked < 10
    assert "not counted yet" in (tmp_path / "r" / "sections.csv").read_text()
    assert finished(start(study, tmp_path / "r"))[0] == 0
    assert tables(tmp_path / "r") == undisturbed


@pytest.mark.slow()
@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_tables_that_were_not_finished_are_not_shown_beside_other_settings(
    ending, study, tmp_path, undisturbed
):
    if not hasattr(signal, ending):
        pytest.skip("this system has no such signal")
    root = tmp_path / "r"
    assert finished(start(study, root))[0] == 0
    process = start(study, root, while_writing_tables=60.0)
    until = time.monotonic() + 60
    while '"unfinished"' not in (root / "run.json").read_text():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(getattr(signal, ending))
    code, _, err = finished(process)
    assert code == 130 and "the same command again continues" in err
    for command in (["report"], ["export", "--to", "prism"]):
        line = [sys.executable, "-m", "fociquant", *command, root]
        told = subprocess.run(line, capture_output=True, text=True, check=False)
        assert told.returncode == 2 and "fociquant recount" in told.stderr
    line = [sys.executable, "-m", "fociquant", "recount", root]
    subprocess.run(line, capture_output=True, check=True)
    assert tables(root) == undisturbed
    assert '"unfinished"' not in (root / "run.json").read_text()


@pytest.mark.slow()
@pytest.mark.skipif(os.name == "nt", reason="Windows has neither nohup nor this signal")
def test_what_was_started_to_outlive_its_terminal_does(study, tmp_path, undisturbed):
    process = start(study, tmp_path / "r", delay=0.05, ignoring=(signal.SIGHUP, signal.SIGINT))
    some_block(tmp_path / "r", process)
    process.send_signal(signal.SIGHUP)  # as `nohup` and a shell's `&` start it
    process.send_signal(signal.SIGINT)
    code, _, err = finished(process)
    assert code == 0, err
    assert tables(tmp_path / "r") == undisturbed


@pytest.mark.slow()
def test_a_killed_run_continues_as_if_nothing_had_been(study, tmp_path, undisturbed):
    chance = random.Random(7)
    for _ in range(2):
        process = start(study, tmp_path / "r", delay=0.03)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.3, 3.0))
        process.kill()
        process.communicate()
    assert finished(start(study, tmp_path / "r"))[0] == 0
    assert tables(tmp_path / "r") == undisturbed
    assert not list((tmp_path / "r").rglob(".*.tmp"))


@pytest.mark.slow()
def test_a_real_network_from_the_real_command(tmp_path):
    study = write_study(tmp_path / "s", {"007": 3, "m2": 0}, shape=(150, 170))
    bad = study.parent / "images" / "s1.ome.tif"
    bad.write_bytes(bad.read_bytes()[:900])
    command = [sys.executable, "-m", "fociquant"]
    ran = subprocess.run(
        [*command, "run", study.parent, "--out", tmp_path / "r", "--json", "--quiet",
         "--device", "cpu"], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stderr
    answer = json.loads(ran.stdout)
    assert answer["failed"] == ["s1"] and answer["interrupted"] is False
    assert [row["mouse"] for row in answer["mice"]] == ["007", "m2"]
    assert answer["mice"][1]["cells"] is None
    assert (tmp_path / "r" / "report.html").exists()
    again = subprocess.run(
        [*command, "recount", tmp_path / "r"], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1 and "1 section not counted" in again.stderr
    assert "Traceback" not in ran.stderr + again.stderr


def code_of(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main([str(arg) for arg in args])
    return int(left.value.code or 0), capsys.readouterr().err


@pytest.fixture()
def small(tmp_path):
    return write_study(tmp_path / "small", {"a": 0, "b": 0}, shape=(40, 40))


def test_an_absent_study_is_wrong_input(tmp_path, capsys):
    code, err = code_of(capsys, "run", tmp_path / "none.yaml", "--out", tmp_path / "r")
    assert code == 2 and "none.yaml" in err


def test_every_problem_of_the_input_exits_2_and_starts_nothing(small, tmp_path, capsys):
    sheet = small.parent / "samples.csv"
    sheet.write_text(sheet.read_text() + "images/absent.tif,c,PBS,3,s0\n")
    small.write_text(small.read_text().replace("nucleus: DAPI", "nucleus: DAPY") + "typo: 1\n")
    code, err = code_of(capsys, "run", small, "--out", tmp_path / "r")
    assert code == 2 and not (tmp_path / "r").exists()
    for word in ("absent.tif", "DAPY", "typo", "s0"):
        assert word in err


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--model", "cyto3", "unknown model 'cyto3'. Known: compact"),
        ("--device", "gpu", "--device 'gpu' is unknown"),
        ("--block", "10", "10"),
        ("--threads", "-1", "-1"),
    ],
)
def test_a_wrong_option_exits_2(small, tmp_path, capsys, option, value, word):
    code, err = code_of(capsys, "run", small, "--out", tmp_path / "r", option, value)
    assert code == 2 and word in err and not (tmp_path / "r").exists()


def test_a_results_folder_with_other_files_exits_2(small, capsys):
    code, err = code_of(capsys, "run", small, "--out", small.parent)
    assert code == 2 and "holds other files" in err
    assert sorted(path.name for path in small.parent.iterdir()) == [
        "images", "samples.csv", "study.yaml"
    ]  # fmt: skip


def test_weights_that_are_none_exit_2(small, tmp_path, capsys):
    (tmp_path / "w.pt").write_bytes(b"not weights")
    code, err = code_of(capsys, "run", small, "--out", tmp_path / "r", "--model", tmp_path / "w.pt")
    assert code == 2 and "w.pt is not a weights file" in err


@pytest.mark.parametrize("command", ["recount", "report"])
def test_a_folder_without_results_exits_2(tmp_path, capsys, command):
    code, err = code_of(capsys, command, tmp_path)
    assert code == 2 and "holds no run.json" in err
