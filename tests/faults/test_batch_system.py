"""Jobs of a batch system through dask-jobqueue; its programs are stand-ins that start processes."""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="batch systems run on Linux"),
]

SBATCH = """#!/bin/bash
echo handed in >> "$SLURM/calls"
if [ -n "$REFUSED" ]; then echo "sbatch: error: invalid partition: normal" >&2; exit 1; fi
number=$$
cp "${@: -1}" "$SLURM/$number.sh"
( sleep "$QUEUED"; exec setsid bash "$SLURM/$number.sh" ) > "$SLURM/$number.log" 2>&1 < /dev/null &
echo $! > "$SLURM/$number.pid"
echo "Submitted batch job $number"
"""

SCANCEL = """#!/bin/bash
echo "cancelled $1" >> "$SLURM/calls"
kill -TERM $(cat "$SLURM/$1.pid")
"""


class Slurm:
    """A batch system; its jobs run at once unless they are `queued` for some seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name, script in (("sbatch", SBATCH), ("scancel", SCANCEL)):
            program = folder / name
            program.write_text(script)
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def cluster_file(self, jobs: int) -> Path:
        preload = Path(__file__).with_name("stand_in.py")
        path = self.folder / "cluster.yaml"
        path.write_text(
            f"kind: slurm\njobs: {jobs}\nwait_s: 300\n"
            "options: {queue: normal, cores: 1, processes: 1, memory: 2GB, walltime: '00:30:00',\n"
            f"  interface: lo, local_directory: {self.folder},\n"
            f"  worker_extra_args: [--preload, {preload}]}}\n"
        )
        return path

    def environment(self, *, queued: float = 0.0, **others: str) -> dict[str, str]:
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        home = {"HOME": str(self.folder), "DASK_CONFIG": str(self.folder / "dask")}
        return {"PATH": path, "SLURM": str(self.folder), "QUEUED": str(queued)} | home | others

    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def jobs(self) -> list[psutil.Process]:
        numbers = [int(file.read_text()) for file in self.folder.glob("*.pid")]
        return [psutil.Process(number) for number in numbers if psutil.pid_exists(number)]

    def end_jobs(self) -> None:
        """As at the end of the walltime, but without the moment before."""
        for job in self.jobs():
            for process in (*job.children(recursive=True), job):
                process.kill()


@pytest.fixture()
def slurm(tmp_path):
    batch = Slurm(tmp_path / "slurm")
    yield batch
    batch.end_jobs()


def test_jobs_that_end_are_handed_in_again(slurm, processes, study, tmp_path, tables, undisturbed):
    run = processes.run(
        study, tmp_path / "r", "--scheduler", slurm.cluster_file(2),
        **slurm.environment(SLOW="0.1", ENDED="4"),
    )  # fmt: skip
    processes.wait_for_blocks(tmp_path / "r", run)
    ours = [psutil.Process(run.pid), *(p for job in slurm.jobs() for p in job.children(True))]
    for process in ours:
        listening = [c for c in process.net_connections("inet") if c.status == "LISTEN"]
        assert {c.laddr.ip for c in listening} <= {"127.0.0.1"}
    slurm.end_jobs()
    code, _, err = processes.finished(run)
    assert code == 0, err
    assert "jobs had ended and are handed in again" in err and "Traceback" not in err
    assert "dask worker" not in err  # whoever hands in jobs starts no workers
    assert tables(tmp_path / "r") == undisturbed
    calls = slurm.calls()
    assert calls.count("handed in") >= 4
    assert len([call for call in calls if call.startswith("cancelled")]) >= 2
    assert not (slurm.folder / "dask").exists()
    assert not (slurm.folder / ".config" / "dask").exists()


def test_what_the_batch_system_says_is_told_at_once(slurm, processes, study, tmp_path):
    began = time.monotonic()
    run = processes.run(
        study, tmp_path / "r", "--scheduler", slurm.cluster_file(2),
        **slurm.environment(REFUSED="1"),
    )  # fmt: skip
    code, _, err = processes.finished(run)
    assert code == 2 and "Traceback" not in err
    assert "sbatch: error: invalid partition: normal" in err
    assert len(err.strip().splitlines()) == 1
    assert time.monotonic() - began < 100  # not `wait_s`


@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM"])
def test_a_run_that_is_ended_in_the_queue_withdraws_its_jobs(
    ending, slurm, processes, study, tmp_path
):
    run = processes.run(
        study, tmp_path / "r", "--scheduler", slurm.cluster_file(2),
        **slurm.environment(queued=300.0),
    )  # fmt: skip
    processes.wait_until(lambda: slurm.calls().count("handed in") == 2, run)
    processes.wait_until(lambda: len(slurm.jobs()) == 2, run)
    time.sleep(1.0)
    run.send_signal(getattr(signal, ending))
    code, _, err = processes.finished(run)
    assert code == 130 and "Traceback" not in err, err
    assert len({call for call in slurm.calls() if call.startswith("cancelled")}) == 2
