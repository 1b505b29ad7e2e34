"""What an earlier run left in the results folder, and why it is not used any more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fociquant import __version__
from fociquant.errors import ResultsError
from fociquant.run.plan import EXHAUSTIVE, PlannedSection
from fociquant.run.progress import Progress
from fociquant.run.provenance import FORMAT
from fociquant.segment.contract import ModelInfo
from fociquant.store import ResultsFolder, read_json
from fociquant.study import Study

COUNTING_ROOMS = ("prepare", "segment", "measure")
"""Rooms whose settings decide which objects there are."""

KEEP = "Stop and choose another folder with --out to keep the earlier results."


def changes(
    folder: ResultsFolder,
    study: Study,
    model: ModelInfo,
    planned: Sequence[PlannedSection],
    progress: Progress,
) -> None:
    """Say why sections that an earlier run counted will be counted again.

    Parameters
    ----------
    folder : ResultsFolder
    study : Study
    model : ModelInfo
    planned : sequence of PlannedSection
    progress : Progress
        Is told, one line per reason.

    Raises
    ------
    ResultsError
        If a newer version made the folder.
    """
    record = read_json(folder.run)
    if record is None:
        return
    made_by = record.get("format")
    if isinstance(made_by, int) and made_by > FORMAT:
        raise ResultsError(
            f"{folder.root} was made by a newer version ({record.get('fociquant')}). "
            "Update fociquant, or choose another folder with --out."
        )
    reasons = [*_reasons(record, study, model), *_other_pixels(record, study, planned)]
    if reasons:
        progress.say(f"sections are counted again: {'; '.join(reasons)}. {KEEP}")
    images = record.get("images")
    earlier = images if isinstance(images, dict) else {}
    for section in planned:
        entry = earlier.get(section.name)
        if isinstance(entry, dict) and entry.get("fingerprint") != section.fingerprint:
            progress.note(section.name, ["the image has changed since the last run; counted again"])


def _reasons(record: Mapping[str, Any], study: Study, model: ModelInfo) -> Iterator[str]:
    if record.get("fociquant") != __version__:
        yield f"the folder was made by version {record.get('fociquant')}, this is {__version__}"
    now = study.settings.model_dump(mode="json")
    for room in COUNTING_ROOMS:
        before = (record.get("settings") or {}).get(room) or {}
        for name, value in now[room].items():
            was = before.get(name, value)
            if (room, name) == ("segment", "model"):  # weights are known by their sha256
                was, value = Path(str(was)).name, Path(value).name
            if was != value:
                yield f"{room}.{name} was {was}, is {value}"
    earlier = record.get("model") or {}
    if earlier.get("sha256") not in (None, model.sha256):
        yield f"the weights of {earlier.get('name')} were others"
    elif earlier.get("precision") not in (None, model.precision):
        yield f"the network computed in {earlier['precision']}, now in {model.precision}"


def _other_pixels(
    record: Mapping[str, Any], study: Study, planned: Sequence[PlannedSection]
) -> Iterator[str]:
    """What else decides which pixels are looked at, and how."""
    before = record.get("study") or {}
    earlier = before.get("channels") or {}
    now: dict[str, Any] = json.loads(json.dumps(dict(study.channels.roles())))
    for role in dict.fromkeys([*earlier, *now]):
        if earlier.get(role) != now.get(role):
            yield f"channels.{role} was {_named(earlier, role)}, is {_named(now, role)}"
    size = [study.pixel_size.y, study.pixel_size.x] if study.pixel_size else None
    if "pixel_size_um" in before and before["pixel_size_um"] != size:
        told = [value or "that of the files" for value in (before["pixel_size_um"], size)]
        yield f"pixel_size_um was {told[0]}, is {told[1]}"
    exhaustive = any(section.keys.screen == EXHAUSTIVE for section in planned)
    if planned and exhaustive != bool((record.get("compute") or {}).get("exhaustive")):
        yield "--exhaustive is given now" if exhaustive else "--exhaustive is no longer given"


def _named(channels: Mapping[str, Any], role: str) -> str:
    return str(channels[role]) if role in channels else "not given"
