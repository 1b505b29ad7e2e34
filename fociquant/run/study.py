"""The corridor: every section of a study through every room, resumable."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dask
from dask.delayed import Delayed

from fociquant.errors import DiskError, ImageError, ResultsError
from fociquant.io import open_image
from fociquant.model import Section
from fociquant.report import write_report
from fociquant.run import sections as life
from fociquant.run.plan import SectionPlan, plan_section
from fociquant.run.progress import Progress, Silent
from fociquant.run.provenance import inputs_of, run_record
from fociquant.run.tables import TableInputs, Tables, read_tables, write_tables
from fociquant.segment import load_segmenter
from fociquant.segment.contract import Segmenter
from fociquant.segment.windows import WindowCache
from fociquant.settings import ComputeSettings
from fociquant.store import ResultsFolder, read_json, write_json
from fociquant.study import Study
from fociquant.tiling import Block

WINDOW_CACHE_BYTES = 256 * 2**20
"""Network output kept for neighbouring decode cells."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Parameters
    ----------
    folder : ResultsFolder
    tables : Tables
    failed : tuple of str
        Names of sections that could not be counted.
    interrupted : bool
        Stopped before all sections were looked at.
    """

    folder: ResultsFolder
    tables: Tables
    failed: tuple[str, ...]
    interrupted: bool


def run_study(
    study: Study,
    out: Path,
    *,
    compute: ComputeSettings | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Count a study; the same call again continues where the last one ended.

    Parameters
    ----------
    study : Study
    out : pathlib.Path
        Results folder, see the contract.
    compute : ComputeSettings, optional
        How to schedule the work; changes no result.
    progress : Progress, optional
        Default: silent.

    Returns
    -------
    Outcome

    Raises
    ------
    SettingsError, ModelError
        Before anything is started.
    ResultsError
        If the folder cannot be used, or cannot be written any more.
    """
    how = compute or ComputeSettings()
    reporter = progress or Silent()
    began = time.monotonic()
    segmenter = load_segmenter(study.settings.segment.model, device=how.device)
    folder = ResultsFolder(out)
    folder.prepare(fresh=how.fresh)
    cache = WindowCache(WINDOW_CACHE_BYTES)
    work = life.Work(folder, study.settings, segmenter, cache, reporter)
    plans, failed = _open_all(study, segmenter, folder, reporter)
    try:
        interrupted = _count_all(plans, work, how)
    finally:
        for plan in plans:
            plan.image.close()
    inputs = table_inputs(study, plans)
    record = run_record(study, segmenter.info, how, plans, inputs)
    write_json(folder.run, record)
    tables = write_tables(folder, inputs)
    folder.tidy()
    record["timings_s"] = {"total": round(time.monotonic() - began, 3)}
    write_json(folder.run, record)
    if not interrupted:
        report(folder, tables, record)
    failed += tables.uncounted
    return Outcome(folder, tables, tuple(dict.fromkeys(failed)), interrupted)


def report(folder: ResultsFolder, tables: Tables, record: Mapping[str, Any]) -> None:
    """Figures and ``report.html`` from the tables."""
    write_report(
        folder.root, mice=tables.mice, sections=tables.sections, groups=tables.groups, run=record,
        comparisons=tables.comparisons, power=tables.power,
    )  # fmt: skip


def table_inputs(study: Study, plans: Sequence[SectionPlan]) -> TableInputs:
    """What the tables need, from the study and the channel names of its first file."""
    wanted = study.channels.roles()
    first = dict(plans[0].names) if plans else {}
    names = {role: first.get(role, str(channel)) for role, channel in wanted.items()}
    return TableInputs(
        sections=study.sections,
        settings=study.settings,
        profile=study.profile,
        names=names,
        phenotypes=tuple(study.channels.phenotype),
        reference_group=study.reference_group,
        keys={plan.section.name: plan.key for plan in plans},
    )


def _open_all(
    study: Study, segmenter: Segmenter, folder: ResultsFolder, progress: Progress
) -> tuple[list[SectionPlan], list[str]]:
    """Open every image; one that cannot be opened fails its section alone."""
    plans: list[SectionPlan] = []
    failed: list[str] = []
    for section in study.sections:
        try:
            plans.append(_plan(section, study, segmenter))
        except ImageError as error:
            failed.append(section.name)
            life.record_failure(section, error, folder, progress)
    return plans, failed


def _plan(section: Section, study: Study, segmenter: Segmenter) -> SectionPlan:
    image = open_image(section.image)
    try:
        return plan_section(section, image, study, segmenter.info)
    except ImageError:
        image.close()
        raise


def _count_all(plans: Sequence[SectionPlan], work: life.Work, how: ComputeSettings) -> bool:
    """Count what is not counted yet; True if interrupted before every section had its end."""
    todo: list[SectionPlan] = []
    for plan in plans:
        if life.is_counted(work.folder, plan.section.name, plan.key):
            life.settle(work.folder, plan.section.name)
        else:
            todo.append(plan)
    work.progress.start({plan.section.name: plan.lattice.image.area for plan in todo})
    tasks = [_section_task(plan, work, how.block_px) for plan in todo]
    try:
        with _stop_on_interrupt(work.stop):
            # A configuration of the user's own for Dask is not touched: all is said in the call.
            (settled,) = dask.compute(
                tasks,
                scheduler="threads",
                num_workers=how.threads or os.cpu_count() or 1,
                optimize_graph=False,
            )
    finally:
        work.progress.close()
    return not all(settled)


def _section_task(plan: SectionPlan, work: life.Work, block_px: int) -> Delayed:
    """The graph of one section: prepare → its blocks → finish."""
    blocks = plan.lattice.blocks(block_px)
    prepared = dask.delayed(partial(_prepare, plan, work), pure=False)()
    counted = [dask.delayed(partial(_count, block, work), pure=False)(prepared) for block in blocks]
    return dask.delayed(partial(_finish, blocks, plan, work), pure=False)(prepared, counted)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Stands in the graph for a result that could not be had."""

    error: Exception


def _attempt(work: life.Work, step: Any, *args: Any) -> Any:
    """The one place where any error of a section becomes a value instead of ending the run."""
    try:
        return step(*args)
    except DiskError as error:
        work.stop.set()  # what is computed from now on could not be kept
        return _Failure(error)
    except Exception as error:  # noqa: BLE001 - law 4: a failed section is a row, not a lost night
        return _Failure(error)


def _prepare(plan: SectionPlan, work: life.Work) -> life.Prepared | _Failure:
    result: life.Prepared | _Failure = _attempt(work, life.prepare, plan, work)
    return result


def _count(block: Block, work: life.Work, prepared: life.Prepared | _Failure) -> _Failure | None:
    if isinstance(prepared, _Failure):
        return prepared
    result: _Failure | None = _attempt(work, life.count, prepared, block, work)
    return result


def _finish(
    blocks: list[Block],
    plan: SectionPlan,
    work: life.Work,
    prepared: life.Prepared | _Failure,
    counted: list[_Failure | None],
) -> bool:
    """Whether the section has come to its end, counted or failed."""
    failures = [part for part in [prepared, *counted] if isinstance(part, _Failure)]
    if not failures and isinstance(prepared, life.Prepared):
        outcome = _attempt(work, life.finish, prepared, blocks, work)
        failures = [outcome] if isinstance(outcome, _Failure) else []
    real = [f.error for f in failures if not isinstance(f.error, life.InterruptedRun)]
    disk = [error for error in real if isinstance(error, DiskError)]
    if disk:
        raise disk[0]
    if real:
        life.fail(plan, real[0], work)
    elif not failures:
        work.progress.done(plan.section.name)
    return bool(real) or not failures


@contextmanager
def _stop_on_interrupt(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C lets running blocks end and starts no more; the second is Python's own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def recount(root: Path) -> Outcome:
    """Tables again from the stored objects and what ``run.json`` says; no pixels are read.

    Parameters
    ----------
    root : pathlib.Path
        Results folder of an earlier run.

    Raises
    ------
    ResultsError
        If the folder holds no results of this version.
    """
    folder, record = _opened(root)
    tables = write_tables(folder, inputs_of(record, folder))
    report(folder, tables, record)
    return Outcome(folder, tables, tuple(tables.uncounted), interrupted=False)


def redraw(root: Path) -> Path:
    """Figures and ``report.html`` again from the tables on disk.

    Raises
    ------
    ResultsError
        If the folder holds no results of this version.
    """
    folder, record = _opened(root)
    report(folder, read_tables(folder, inputs_of(record, folder)), record)
    return folder.root / "report.html"


def _opened(root: Path) -> tuple[ResultsFolder, dict[str, Any]]:
    folder = ResultsFolder(root)
    record = read_json(folder.run)
    if record is None:
        raise ResultsError(f"{root} holds no run.json. Give the results folder of 'fociquant run'.")
    return folder, record
