"""What made a results folder: ``run.json``, and the way back from it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fociquant import __version__
from fociquant.errors import ResultsError, said
from fociquant.model import PhenotypeRule, Section
from fociquant.run.plan import PlannedSection
from fociquant.segment.contract import ModelInfo
from fociquant.settings import ComputeSettings, FociProfile, Settings
from fociquant.store import ResultsFolder, read_json
from fociquant.study import Study

if TYPE_CHECKING:
    from fociquant.run.table_inputs import TableInputs

FORMAT = 1
"""Of ``run.json``; raised when an older one can no longer be read."""

PACKAGES = ("cellpose", "dask", "distributed", "numpy", "pandas", "pyarrow", "scikit-image",
            "scipy", "shapely", "tifffile", "torch", "zarr")  # fmt: skip


def run_record(
    study: Study,
    model: ModelInfo,
    compute: ComputeSettings,
    plans: Sequence[PlannedSection],
    inputs: TableInputs,
) -> dict[str, Any]:
    """The content of ``run.json``, timings left out."""
    return {
        "format": FORMAT,
        "fociquant": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "model": asdict(model),
        "study": {
            "name": study.name,
            "preset": study.preset,
            "reference_group": study.reference_group,
            "pixel_size_um": [study.pixel_size.y, study.pixel_size.x] if study.pixel_size else None,
            "channels": dict(study.channels.roles()),
            "files_sha256": dict(study.sources),
        },
        "settings": study.settings.model_dump(mode="json"),
        "settings_sha256": study.settings.fingerprint(),
        "profile": study.profile.model_dump(mode="json"),
        "compute": compute.model_dump(mode="json"),
        "channel_names": dict(inputs.names),
        "phenotypes": list(inputs.phenotypes),
        "phenotype_rules": {name: asdict(rule) for name, rule in inputs.rules.items()},
        "sections": [_section_to_json(section) for section in study.sections],
        "images": {
            plan.name: {
                "key": plan.keys.section,
                "fingerprint": plan.fingerprint,
                "format": plan.format,
                "shape": list(plan.image_shape),
                "pixel_size_um": [plan.pixel_size.y, plan.pixel_size.x],
                "analysis_pixel_um": [plan.analysis_pixel.y, plan.analysis_pixel.x],
            }
            for plan in plans
        },
    }


def open_results(root: Path) -> tuple[ResultsFolder, dict[str, Any]]:
    """A results folder and its ``run.json``.

    Raises
    ------
    ResultsError
        If it has none, or a damaged one.
    """
    folder = ResultsFolder(root)
    record = read_json(folder.run)
    if record is None and folder.run.exists():
        raise ResultsError(
            f"{folder.run} is damaged. Run the study again; what is counted is kept."
        )
    if record is None:
        raise ResultsError(f"{root} holds no run.json. Give the results folder of 'fociquant run'.")
    return folder, record


UNFINISHED = {"tables": "unfinished"}
"""In ``run.json`` while tables are written: those in the folder may be of an earlier run."""


def require_tables(record: Mapping[str, Any], folder: ResultsFolder) -> None:
    """Refuse tables that are not those of ``run.json``.

    Raises
    ------
    ResultsError
        If a run or recount ended while it wrote them.
    """
    if record.get("tables") == UNFINISHED["tables"]:
        raise ResultsError(
            f"the tables of {folder.root} are not finished: what wrote them was ended on the way. "
            f"'fociquant recount {folder.root}' makes them again."
        )


def inputs_of(record: Mapping[str, Any], folder: ResultsFolder) -> TableInputs:
    """The table inputs that a ``run.json`` describes.

    Raises
    ------
    ResultsError
        If it is of another version or damaged.
    """
    from fociquant.run.table_inputs import TableInputs

    if record.get("format") != FORMAT:
        raise ResultsError(
            f"{folder.run} is of format {record.get('format')!r}, this version reads {FORMAT}. "
            "Run the study again with this version."
        )
    try:
        return TableInputs(
            sections=tuple(_section_from_json(entry) for entry in record["sections"]),
            settings=Settings.model_validate(record["settings"]),
            profile=FociProfile.model_validate(record["profile"]),
            names=dict(record["channel_names"]),
            phenotypes=tuple(record["phenotypes"]),
            reference_group=record["study"]["reference_group"],
            keys={name: entry.get("key", "") for name, entry in record["images"].items()},
            rules={
                name: PhenotypeRule(**rule)
                for name, rule in record.get("phenotype_rules", {}).items()
            },
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{folder.run} is damaged ({said(error)}). Run the study again."
        ) from error


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _section_to_json(section: Section) -> dict[str, Any]:
    # The absolute path stays out: results do not depend on where the study lies.
    return {
        "name": section.name,
        "image": section.image_text,
        "mouse": section.mouse,
        "group": section.group,
        "dpi": section.dpi,
        "control": "negative" if section.negative_control else "",
        "batch": section.batch,
        "region": section.region,
        "excluded": section.excluded,
        "extra": dict(section.extra),
    }


def _section_from_json(entry: Mapping[str, Any]) -> Section:
    return Section(
        name=entry["name"],
        image=Path(entry["image"]),
        image_text=entry["image"],
        mouse=entry["mouse"],
        group=entry["group"],
        dpi=float(entry["dpi"]),
        negative_control=entry["control"] == "negative",
        batch=entry["batch"],
        region=entry.get("region", ""),
        extra=dict(entry["extra"]),
        excluded=entry.get("excluded", ""),
    )
