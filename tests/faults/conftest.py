"""Real processes: the command line, a Dask scheduler, its workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from fociquant.testing.studies import write_study

TABLES = ("cells.parquet", "foci.csv", "groups.csv", "mice.csv", "sections.csv")
SCRIPT = Path(__file__).with_name("stand_in.py")


class Processes:
    """Starts processes, and ends them with everything they started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[subprocess.Popen] = []

    def start(self, *command: object, **environment: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        )  # fmt: skip
        self._started.append(process)
        return process

    def run(self, study: Path, out: Path, *options: object, **environment: str):
        """``fociquant run`` with blocks of one decode cell."""
        return self.start(
            SCRIPT, "run", study, "--out", out, "--block", "256", *options, **environment
        )

    def scheduler(self) -> tuple[str, subprocess.Popen]:
        file = self._folder / f"scheduler{len(self._started)}.json"
        process = self.start(
            "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
            "--dashboard-address", "127.0.0.1:0", "--no-show", "--scheduler-file", file,
        )  # fmt: skip
        self.wait_until(file.exists, process)
        return json.loads(file.read_text())["address"], process

    def worker(self, address: str, preload: Path = SCRIPT, **environment: str) -> subprocess.Popen:
        return self.start(
            "-m", "distributed.cli.dask_worker", address, "--host", "127.0.0.1", "--no-nanny",
            "--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--preload", preload,
            "--local-directory", self._folder, "--death-timeout", "60", **environment,
        )  # fmt: skip

    def wait_until(self, condition, process: subprocess.Popen, *, limit_s: float = 600.0) -> None:
        until = time.monotonic() + limit_s
        while not condition():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until, "waited too long"
            time.sleep(0.02)

    def wait_for_blocks(self, out: Path, process: subprocess.Popen, least: int = 1) -> None:
        """Until so many blocks are stored."""
        blocks = lambda: list(out.glob("sections/*/blocks/*.parquet"))  # noqa: E731
        self.wait_until(lambda: len(blocks()) >= least, process)

    def finished(self, process: subprocess.Popen) -> tuple[int, str, str]:
        """Exit code, output and errors."""
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err

    def workers_of(self, process: subprocess.Popen) -> list[psutil.Process]:
        """Worker processes that a run started, oldest first."""
        children = psutil.Process(process.pid).children()
        found = [one for one in children if "spawn_main" in " ".join(one.cmdline())]
        return sorted(found, key=lambda one: one.create_time())

    def close(self) -> None:
        for process in self._started:
            kill_tree(process)


def kill_tree(process: subprocess.Popen) -> None:
    try:
        tree = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        tree = []
    if process.poll() is None:
        process.kill()
    for child in tree:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    process.wait()


def read_tables(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


@pytest.fixture(scope="session")
def tables():
    """Bytes of every table of a results folder."""
    return read_tables


@pytest.fixture()
def processes(tmp_path):
    started = Processes(tmp_path)
    yield started
    started.close()


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return write_study(folder, {"a": 30, "b": 7, "c": 12}, shape=(520, 540))


@pytest.fixture(scope="session")
def undisturbed(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    started = Processes(folder)
    code, _, err = started.finished(started.run(study, folder / "r", "--threads", "1"))
    assert code == 0, err
    return read_tables(folder / "r")
