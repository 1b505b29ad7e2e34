"""A cluster of jobs of a batch system, described in a YAML file; needs dask-jobqueue."""

from __future__ import annotations

import asyncio
import importlib
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import dask.config
from distributed import Status
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fociquant.errors import ClusterError, ClusterLostError
from fociquant.settings import read_yaml, validation_problems

ENDED_S = 120.0
"""A job none of whose workers has been there for so long has ended, s. One that was only started
again by its nanny is back before, even where packages are read over a slow network."""

AGAIN_S = 60.0
"""How long it is waited after jobs were not taken, s."""

WITHOUT_PAGES = ("--dashboard-address", "127.0.0.1:0", "--no-dashboard")
"""What ``dask worker`` is told, so that it serves browsers on its own computer only: nothing."""

RENEWALS = 3
"""How often jobs are handed in again without a worker that can be used in between."""

CLASSES = {
    "slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster",
}  # fmt: skip
"""Batch system to the class of dask-jobqueue."""


class BatchJobs(BaseModel):
    """The content of a cluster file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["slurm", "pbs", "sge", "lsf"]
    """The batch system."""
    jobs: int = Field(ge=1, le=10000)
    """How many jobs to ask for."""
    wait_s: float = Field(3600.0, ge=0.0)
    """How long the first may stand in the queue, s."""
    options: dict[str, Any]
    """Of dask-jobqueue: ``queue``, ``cores``, ``memory``, ``walltime`` …"""


def read_batch_jobs(path: Path) -> BatchJobs:
    """Read a cluster file.

    Raises
    ------
    SettingsError
        If it cannot be read.
    ClusterError
        If a key is unknown or a value impossible; one line each.
    """
    try:
        return BatchJobs.model_validate(read_yaml(path))
    except ValidationError as error:
        lines = [str(problem) for problem in validation_problems(error, str(path))]
        raise ClusterError("\n".join(lines)) from error


class BatchQueue:
    """Jobs of a batch system, handed in; those that end are handed in again.

    The scheduler of their workers runs in this process and listens to the network, as the jobs
    must reach it; what shows its state to browsers does not, unless `options` ask for it.

    Parameters
    ----------
    jobs : BatchJobs

    Raises
    ------
    ClusterError
        If dask-jobqueue is not installed, or does not take the options.
    """

    def __init__(self, jobs: BatchJobs) -> None:
        module = _dask_jobqueue()
        self._jobs, self._seen, self._ended = jobs, dict[str, float](), set[str]()
        self._renewal: Future[None] | None = None
        self._not_before, self._renewed = 0.0, 0
        try:
            self.cluster = getattr(module, CLASSES[jobs.kind])(**_quiet_options(jobs))
        except (TypeError, ValueError, OSError, RuntimeError) as error:
            reason, _, _ = str(error).partition(" Very likely")  # all options follow
            raise ClusterError(
                f"the {jobs.kind} jobs cannot be handed in: {_in_one_line(reason)}. "
                "Correct 'options' in the file."
            ) from error

    def hand_in(self) -> None:
        """Hand all jobs in.

        Raises
        ------
        ClusterError
            If the batch system does not take them, with what it said.
        """
        try:
            self.cluster.sync(self._hand_in)
        except (OSError, RuntimeError, ValueError) as error:
            raise ClusterError(
                f"the {self._jobs.kind} jobs cannot be handed in: {_said(error)}. Hand in jobs "
                "where the batch system lets you, and correct 'options' in the file."
            ) from error

    async def _hand_in(self) -> None:
        # Not `scale`, which returns before and keeps to itself what was said to it.
        for _ in range(self._jobs.jobs):
            self.cluster.worker_spec.update(self.cluster.new_worker_spec())
        await self._hand_in_missing()

    async def _hand_in_missing(self) -> None:
        try:
            await self.cluster
        finally:
            for job in self.cluster.workers.values():
                if job.status is Status.created:
                    job.status = Status.failed  # else the cluster cannot be closed

    def keep_up(self, *, usable: bool) -> Iterator[str]:
        """Hand in again what has ended, as at the end of its walltime; what there is to say.

        Parameters
        ----------
        usable : bool
            Whether there is a worker that can be used.

        Raises
        ------
        ClusterLostError
            If jobs end again and again before there is one.
        """
        now_s = time.monotonic()
        if usable:
            self._renewed = 0
        if self._renewal is not None:
            yield from self._renewed_jobs(now_s)
            return
        self._seen |= dict.fromkeys(self._with_workers(), now_s)
        self._ended |= {job for job, last_s in self._seen.items() if now_s - last_s > ENDED_S}
        if not self._ended or now_s < self._not_before:
            return
        if self._renewed == RENEWALS:
            raise ClusterLostError(
                f"the {self._jobs.kind} jobs ended {RENEWALS + 1} times before a worker could be "
                "used. Look into their logs. What was done is kept; the same command continues."
            )
        self._renewal = asyncio.run_coroutine_threadsafe(
            self._renew(sorted(self._ended)), self.cluster.loop.asyncio_loop
        )

    def _with_workers(self) -> set[str]:
        """Jobs of which a worker is there; one of several processes has names for each."""
        workers = {str(worker.name) for worker in list(self.cluster.scheduler.workers.values())}
        return {
            job
            for job in list(self.cluster.worker_spec)
            if any(name == job or name.startswith(f"{job}-") for name in workers)
        }

    async def _renew(self, jobs: Sequence[str]) -> None:
        for job in jobs:
            before = self.cluster.workers.pop(job, None)
            if before is not None:
                await before.close()
        await self._hand_in_missing()

    def _renewed_jobs(self, now_s: float) -> Iterator[str]:
        if self._renewal is None or not self._renewal.done():
            return
        error = self._renewal.exception()
        self._renewal = None
        if error is not None:
            self._not_before = now_s + AGAIN_S
            yield f"jobs that ended cannot be handed in again: {_said(error)}. It is tried again."
            return
        yield f"{len(self._ended)} of {self._jobs.jobs} jobs had ended and are handed in again"
        self._seen = {job: seen for job, seen in self._seen.items() if job not in self._ended}
        self._ended.clear()
        self._renewed += 1

    @property
    def cure(self) -> str:
        """What to do where no worker comes."""
        return (
            f"The {self._jobs.kind} jobs stand in the queue, or end before a worker is there: look "
            "at the queue, and into the jobs' logs."
        )


def _quiet_options(jobs: BatchJobs) -> Mapping[str, Any]:
    """Those of the file; no pages for browsers, on all interfaces by default, unless asked for."""
    options = dict(jobs.options)
    served = _option(options, jobs.kind, "scheduler_options") or {}
    if isinstance(served, Mapping) and "dashboard_address" not in served:
        unseen = {"dashboard_address": "127.0.0.1:0", "dashboard": False}
        options["scheduler_options"] = {**unseen, **served}
    extra = [str(one) for one in _option(options, jobs.kind, "worker_extra_args") or ()]
    if not any(one.startswith("--dashboard") for one in extra):
        options["worker_extra_args"] = [*extra, *WITHOUT_PAGES]
    return options


def _option(options: Mapping[str, Any], kind: str, name: str) -> Any:
    """One of the file, else of the user's configuration."""
    if options.get(name) is not None:
        return options[name]
    return dask.config.get(f"jobqueue.{kind}.{name.replace('_', '-')}", None)


def _said(error: BaseException) -> str:
    """What the program of the batch system said, of all that is told of its failure."""
    if isinstance(error, FileNotFoundError):
        return f"there is no program {str(error.filename)!r} here"
    text = str(error)
    return _in_one_line(text.partition("stderr:")[2].strip() or text)


def _in_one_line(what: object) -> str:
    return " ".join(str(what).split()).rstrip(".")


def _dask_jobqueue() -> ModuleType:
    """The package, without what its import does to others.

    It makes Ctrl-C an exit with code 0, for the whole process, and writes its defaults into the
    user's configuration of Dask.
    """
    try:
        with _handlers_kept(), _configuration_kept():
            return importlib.import_module("dask_jobqueue")
    except ImportError as error:
        raise ClusterError(
            "dask-jobqueue is not installed. Install it: pip install dask-jobqueue"
        ) from error


@contextmanager
def _handlers_kept() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


@contextmanager
def _configuration_kept() -> Iterator[None]:
    before = dask.config.PATH
    with tempfile.TemporaryDirectory(prefix="fociquant-") as elsewhere:
        dask.config.PATH = elsewhere
        try:
            yield
        finally:
            dask.config.PATH = before
