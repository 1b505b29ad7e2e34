"""A study from images to tables and report; resumable."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fociquant.errors import ClusterLostError, DiskError, ImageError, UnreadableError
from fociquant.io import Stains, open_image
from fociquant.model import Section
from fociquant.run import sections as life
from fociquant.run.ahead import loading_ahead
from fociquant.run.corridor import Corridor
from fociquant.run.endings import asked_to_end
from fociquant.run.history import changes
from fociquant.run.jobs import Desk
from fociquant.run.lanes import Lanes, ThreadLanes
from fociquant.run.memory import share_arenas, shares
from fociquant.run.plan import PlannedSection, plan_section
from fociquant.run.progress import Progress
from fociquant.run.provenance import (
    UNFINISHED,
    inputs_of,
    open_results,
    require_tables,
    run_record,
)
from fociquant.run.reporting import picture_cells, report
from fociquant.run.seams import looked_at
from fociquant.segment import load_segmenter
from fociquant.segment.contract import ModelInfo
from fociquant.segment.windows import WindowCache
from fociquant.settings import ComputeSettings
from fociquant.store import ResultsFolder, write_json
from fociquant.store.lock import locked
from fociquant.study import Study

if TYPE_CHECKING:
    # What works on tables is loaded while the first pixels are read, see `fociquant.run.ahead`.
    from fociquant.run.table_inputs import TableInputs, Tables


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
    ClusterError
        If the workers cannot be used, or the scheduler went away (tables are written before).
    ResultsError
        If the folder cannot be used, is used by another process, or cannot be written any more.
    """
    how = compute or ComputeSettings()
    reporter = progress or Progress()
    began = time.monotonic()
    with _telling_what_is_kept(), closing(_lanes(study, how, reporter)) as lanes:
        folder = ResultsFolder(out)
        folder.prepare()
        folder.require_short(section.name for section in study.sections)
        with locked(folder.root):
            if how.fresh:
                folder.prepare(fresh=True)
            planned = _plan_all(study, lanes.info, folder, reporter, exhaustive=how.exhaustive)
            changes(folder, study, lanes.info, planned, reporter)
            info, lost = lanes.info, None
            try:
                complete = _count_all(planned, folder, study, lanes, reporter, how=how)
            except ClusterLostError as error:
                complete, lost = False, error
            lanes.close()
            outcome = _conclude(
                study, folder, info, planned, how, began, complete=complete, progress=reporter
            )
    if lost is not None:
        raise lost
    return outcome


@contextmanager
def _telling_what_is_kept() -> Iterator[None]:
    """A disk that takes no more, after hours of work: nothing of these is lost."""
    try:
        yield
    except DiskError as error:
        again = "What is counted is kept: then the same command again continues."
        raise DiskError(f"{error} {again}") from error


def _lanes(study: Study, how: ComputeSettings, progress: Progress) -> Lanes:
    """Where the work is done."""
    model = study.settings.segment.model
    if how.workers or how.scheduler is not None:
        from fociquant.run.cluster import open_cluster

        images = [section.image for section in study.sections]
        return open_cluster(model, how, images=images, progress=progress)
    share_arenas()
    share = shares(how)
    segmenter = load_segmenter(model, device=how.device)
    return ThreadLanes(Desk(segmenter, WindowCache(share.window_cache_bytes)), share.lanes)


def _conclude(
    study: Study,
    folder: ResultsFolder,
    model: ModelInfo,
    planned: Sequence[PlannedSection],
    how: ComputeSettings,
    began: float,
    *,
    complete: bool,
    progress: Progress,
) -> Outcome:
    """Tables and report of what is counted."""
    from fociquant.run.immune import find_immune
    from fociquant.run.table_reading import read_tables
    from fociquant.run.tables import write_tables

    inputs = table_inputs(study, planned)
    record = run_record(study, model, how, planned, inputs)
    _write_record(folder, record | UNFINISHED)
    if complete:
        find_immune(folder, study, inputs, progress)
    tables = write_tables(folder, inputs)
    folder.tidy()
    record |= found_record(folder, inputs, tables)
    record["timings_s"] = {"total": round(time.monotonic() - began, 3)}
    _write_record(folder, record)
    if complete:
        picture_cells(folder, study, inputs, progress)
        report(folder, read_tables(folder, inputs), record)
    return Outcome(folder, tables, tuple(tables.uncounted), interrupted=not complete)


def _write_record(folder: ResultsFolder, record: Mapping[str, Any]) -> None:
    # Not sorted: channels and the columns of the sheet have an order, which `recount` needs again.
    write_json(folder.run, record, sort_keys=False)


def found_record(folder: ResultsFolder, inputs: TableInputs, tables: Tables) -> dict[str, Any]:
    """For ``run.json``: the thresholds and what they rest on; what was looked at, its seams."""
    from fociquant.run.gating import stored_sections

    states = ((section.name, state) for section, state in stored_sections(folder, inputs))
    return {
        "gate": tables.gating.record() if tables.gating is not None else {},
        "looked_at": looked_at(states),
    }


def table_inputs(study: Study, plans: Sequence[PlannedSection]) -> TableInputs:
    """What the tables need, from the study and the channel names of its first files."""
    from fociquant.run.table_inputs import TableInputs

    wanted = study.channels.roles()
    first: dict[str, str] = {}
    for plan in plans:  # one file may lack a phenotype
        first = {**plan.names, **first}
    names = {role: first.get(role, str(channel)) for role, channel in wanted.items()}
    return TableInputs(
        sections=study.sections,
        settings=study.settings,
        profile=study.profile,
        names=names,
        phenotypes=tuple(
            name
            for name in study.channels.phenotype
            if name not in study.channels.rules or not study.channels.rules[name].immune
        ),
        reference_group=study.reference_group,
        keys={plan.name: plan.keys.section for plan in plans},
        rules=dict(study.channels.rules),
    )


def _plan_all(
    study: Study,
    model: ModelInfo,
    folder: ResultsFolder,
    progress: Progress,
    *,
    exhaustive: bool,
) -> list[PlannedSection]:
    """Look into every image; one that cannot be opened fails its section alone."""
    planned: list[PlannedSection] = []
    for section in study.sections:
        try:
            planned.append(_plan(section, study, model, exhaustive=exhaustive))
        except ImageError as error:
            life.record_failure(section, error, folder, progress)
    return planned


def _plan(section: Section, study: Study, model: ModelInfo, *, exhaustive: bool) -> PlannedSection:
    prepare = study.settings.prepare
    stains = Stains.of(prepare.stains, prepare.white_rgb)
    with open_image(section.image, stains=stains) as image:
        plan = plan_section(section, image, study, model, exhaustive=exhaustive)
        return PlannedSection.of(plan)


def _count_all(
    planned: Sequence[PlannedSection],
    folder: ResultsFolder,
    study: Study,
    lanes: Lanes,
    progress: Progress,
    *,
    how: ComputeSettings,
) -> bool:
    """Count what is not counted yet; whether every section has come to its end."""
    todo = []
    for section in planned:
        if _is_counted(section, folder, study):
            life.settle(folder, section.name)
        else:
            todo.append(section)
    sizes = {section.name: section.lattice.image.area for section in todo}
    progress.start(sizes)
    stop = threading.Event()
    corridor = Corridor(folder, study.settings, lanes, progress, stop=stop, block_px=how.block_px)
    try:
        ahead = loading_ahead(lanes.segmenter, list(sizes.values()), every_cell=how.exhaustive)
        with asked_to_end(stop), ahead:
            return corridor.run(todo)
    finally:
        progress.close()


def _is_counted(section: PlannedSection, folder: ResultsFolder, study: Study) -> bool:
    try:
        return life.Ledger(folder, section, study.settings).is_counted()
    except UnreadableError:
        return False  # it is looked at again in its turn, and fails if that is still so


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
    from fociquant.run.table_reading import read_tables
    from fociquant.run.tables import write_tables

    folder, record = open_results(root)
    with locked(folder.root):
        inputs = inputs_of(record, folder)
        _write_record(folder, record | UNFINISHED)
        tables = write_tables(folder, inputs)
        record |= found_record(folder, inputs, tables)
        record.pop("tables", None)
        _write_record(folder, record)
        report(folder, read_tables(folder, inputs), record)
    return Outcome(folder, tables, tuple(tables.uncounted), interrupted=False)


def redraw(root: Path) -> Path:
    """Figures and ``report.html`` again from the tables on disk.

    Raises
    ------
    ResultsError
        If the folder holds no results of this version.
    """
    from fociquant.run.table_reading import read_tables

    folder, record = open_results(root)
    require_tables(record, folder)
    report(folder, read_tables(folder, inputs_of(record, folder)), record)
    return folder.root / "report.html"
