"""A cluster of jobs of a batch system, described in a YAML file; needs dask-jobqueue."""

from __future__ import annotations

import importlib
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fociquant.errors import ClusterError
from fociquant.settings import read_yaml, validation_problems

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


def start_jobs(jobs: BatchJobs) -> Any:
    """Hand the jobs in.

    Returns
    -------
    dask_jobqueue.JobQueueCluster
        Its scheduler runs in this process and listens to the network, as the jobs must reach it.

    Raises
    ------
    ClusterError
        If dask-jobqueue is not installed, or does not take the options.
    """
    try:
        with _handlers_kept():
            module = importlib.import_module("dask_jobqueue")
    except ImportError as error:
        raise ClusterError(
            "dask-jobqueue is not installed. Install it: pip install 'fociquant[slurm]'."
        ) from error
    try:
        cluster = getattr(module, CLASSES[jobs.kind])(**jobs.options)
        cluster.scale(jobs=jobs.jobs)
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise ClusterError(
            f"the {jobs.kind} jobs cannot be handed in: {error}. Correct 'options' in the file."
        ) from error
    return cluster


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Imported, dask-jobqueue makes Ctrl-C an exit with code 0, for the whole process."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
