"""Worker processes and schedulers come, go and die; the tables are those of one thread."""

from __future__ import annotations

import signal

import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_two_workers_of_which_one_is_killed(processes, study, tmp_path, tables, undisturbed):
    run = processes.run(study, tmp_path / "r", "--workers", "2", SLOW="0.03")
    processes.wait_for_blocks(tmp_path / "r", run)
    workers = processes.workers_of(run)
    assert len(workers) == 2
    for process in (psutil.Process(run.pid), *workers):
        listening = [c for c in process.net_connections("inet") if c.status == "LISTEN"]
        assert {c.laddr.ip for c in listening} <= {"127.0.0.1"}
    workers[0].kill()
    code, _, err = processes.finished(run)
    assert code == 0, err
    assert "is gone; its blocks are done again" in err and "Traceback" not in err
    assert tables(tmp_path / "r") == undisturbed


@pytest.mark.parametrize("ending", [n for n in ("SIGINT", "SIGHUP") if hasattr(signal, n)])
def test_an_end_from_the_terminal_keeps_what_is_done(
    ending, processes, study, tmp_path, tables, undisturbed
):
    """Ctrl-C, or its window is closed."""
    run = processes.run(study, tmp_path / "r", "--workers", "1", SLOW="0.05")
    processes.wait_for_blocks(tmp_path / "r", run, 2)
    for process in (psutil.Process(run.pid), *processes.workers_of(run)):
        process.send_signal(getattr(signal, ending))  # as a terminal does: to all of them
    code, _, err = processes.finished(run)
    assert code == 130, err
    assert "the same command again continues" in err and "Traceback" not in err
    again = processes.run(study, tmp_path / "r", "--threads", "2")
    assert processes.finished(again)[0] == 0
    assert tables(tmp_path / "r") == undisturbed


def test_a_scheduler_whose_workers_die_and_return(processes, study, tmp_path, tables, undisturbed):
    address, scheduler = processes.scheduler()
    workers = [processes.worker(address, SLOW="0.03") for _ in range(2)]
    run = processes.run(study, tmp_path / "r", "--scheduler", address)
    processes.wait_for_blocks(tmp_path / "r", run)
    workers[0].kill()
    processes.wait_for_blocks(tmp_path / "r", run, 3)
    workers[1].kill()
    processes.worker(address)
    code, _, err = processes.finished(run)
    assert code == 0, err
    assert err.count("is gone; its blocks are done again") == 2
    assert tables(tmp_path / "r") == undisturbed
    assert scheduler.poll() is None


def test_a_scheduler_that_dies_loses_nothing(processes, study, tmp_path, tables, undisturbed):
    address, scheduler = processes.scheduler()
    processes.worker(address, SLOW="0.5")
    run = processes.run(study, tmp_path / "r", "--scheduler", address)
    processes.wait_for_blocks(tmp_path / "r", run, 2)
    scheduler.kill()
    code, _, err = processes.finished(run)
    assert code == 1 and "the Dask scheduler went away" in err and "Traceback" not in err
    assert "not counted yet" in (tmp_path / "r" / "sections.csv").read_text()
    assert list((tmp_path / "r").glob("sections/*/blocks/*.parquet"))
    again = processes.run(study, tmp_path / "r", "--threads", "2")
    assert processes.finished(again)[0] == 0
    assert tables(tmp_path / "r") == undisturbed
