"""The keys of ``study.yaml``: types, spellings, channels, pixel size, settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fociquant.errors import PixelSizeError, Problem, SettingsError
from fociquant.model import Channels
from fociquant.settings import (
    ROOMS,
    FociProfile,
    Settings,
    configs_dir,
    find_config,
    load_profile,
    load_settings,
    preset_names,
    validation_problems,
)
from fociquant.study.document import Document
from fociquant.study.naming import leaves_folder, locate
from fociquant.study.roles import channel_problems, read_channels
from fociquant.study.spelling import did_you_mean, listed
from fociquant.study.wrapped import as_problems
from fociquant.units import PixelSize

TOP_KEYS: tuple[str, ...] = (
    "name", "samples", "preset", "reference_group", "channels", "pixel_size_um", *ROOMS,
)  # fmt: skip
"""Keys that a study file may have."""

_SIZE_CURE = "Write µm per pixel, for example 'pixel_size_um: 0.325', or null to use the file's."


@dataclass(frozen=True, slots=True)
class Config:
    """What the study file says; parts that could not be read are None.

    Parameters
    ----------
    name : str
        The study's name, by default its folder's.
    samples : str
        Path of the sample sheet as written.
    preset : str or None
        Preset as written.
    reference_group : str or None
        Text as written (``007`` stays ``007``).
    channels : Channels or None
        None if there is a problem with them.
    pixel_size : PixelSize or None
        The override; None: from the files.
    settings : Settings or None
        None if there is a problem with them.
    profile : FociProfile or None
        None if there is a problem with it.
    """

    name: str
    samples: str
    preset: str | None
    reference_group: str | None
    channels: Channels | None
    pixel_size: PixelSize | None
    settings: Settings | None
    profile: FociProfile | None


def read_config(document: Document, folder: Path) -> tuple[Config, list[Problem]]:
    """Check the keys of a study file and read what they hold.

    Parameters
    ----------
    document : Document
        The parsed file.
    folder : Path
        Its folder, from which relative paths start.

    Returns
    -------
    config : Config
        As far as it could be read.
    problems : list of Problem
        Everything wrong with the file itself.
    """
    problems = list(_unknown_keys(document))
    for key in ("name", "samples", "preset", "reference_group"):
        problems += _not_text(document, key)
    problems += channel_problems(document)
    pixel_size = _pixel_size(document, problems)
    settings, profile = _settings(document, folder, problems)
    config = Config(
        name=document.text("name") or folder.absolute().name,
        samples=document.text("samples") or "samples.csv",
        preset=document.text("preset"),
        reference_group=document.text("reference_group"),
        channels=read_channels(document),
        pixel_size=pixel_size,
        settings=settings,
        profile=profile,
    )
    return config, problems


def _unknown_keys(document: Document) -> Iterator[Problem]:
    for key in document.values:
        if key not in TOP_KEYS:
            cure = f"{did_you_mean(key, TOP_KEYS)}Known are {listed(TOP_KEYS)}."
            yield Problem(document.where(key), f"unknown key {key!r}.", cure)


def _not_text(document: Document, key: str) -> Iterator[Problem]:
    value = document.values.get(key)
    if isinstance(value, dict | list):
        kind = "a list" if isinstance(value, list) else "a group of keys"
        yield Problem(document.where(key), f"is {kind}, not text.", f"Write '{key}: text'.")
    elif document.text(key) is not None and not (document.text(key) or "").strip():
        yield Problem(document.where(key), "is empty text.", "Write a value, or remove the key.")


def _pixel_size(document: Document, problems: list[Problem]) -> PixelSize | None:
    """The override, or None; a value that is no size is a problem."""
    value = document.values.get("pixel_size_um")
    if value is None:
        return None
    pair = value if isinstance(value, list) else [value, value]
    where = document.where("pixel_size_um")
    if len(pair) != 2 or not all(type(size) in (int, float) for size in pair):
        what = f"{_shown(document, 'pixel_size_um')} is not a number, nor a list [y, x] of two."
        problems.append(Problem(where, what, _SIZE_CURE))
        return None
    try:
        return PixelSize(float(pair[0]), float(pair[1]))
    except (PixelSizeError, OverflowError):
        what = f"{_shown(document, 'pixel_size_um')} µm per pixel is not plausible (0.01 to 100)."
        problems.append(Problem(where, what, _SIZE_CURE))
        return None


def _shown(document: Document, key: str) -> str:
    return repr(document.text(key) or document.values[key])


def _settings(
    document: Document, folder: Path, problems: list[Problem]
) -> tuple[Settings | None, FociProfile | None]:
    """Defaults, preset and overrides; the profile that they name."""
    before = len(problems)
    overrides = _overrides(document, problems)
    preset = _preset(document, folder, problems)
    settings = _merged(preset, overrides, document, folder, problems)
    if settings is None or len(problems) > before:
        settings = None
    profile = _profile(overrides, settings, document, folder, problems)
    return settings and _with_weights_beside(settings, folder), profile


def _with_weights_beside(settings: Settings, folder: Path) -> Settings:
    """The path of a weights file starts from the study's folder, like every other path in it.

    What is no path, or none to a file there, stays as written: a model's name, or a path from the
    current folder.
    """
    written = settings.segment.model
    if not any(sign in written for sign in "./\\") or leaves_folder(written):
        return settings
    path = locate(written, folder)
    if not path.is_file():
        return settings
    segment = settings.segment.model_copy(update={"model": str(path)})
    return settings.model_copy(update={"segment": segment})


def _overrides(document: Document, problems: list[Problem]) -> dict[str, dict[str, Any]]:
    """The rooms of the study file; each must be a group of keys."""
    rooms: dict[str, dict[str, Any]] = {}
    for room in ROOMS:
        value = document.values.get(room)
        if isinstance(value, dict):
            rooms[room] = value
        elif value is not None:
            what = f"{value!r} stands where settings of {room!r} belong."
            cure = f"Write 'key: value' lines, indented below '{room}:'."
            problems.append(Problem(document.where(room), what, cure))
    return rooms


def _preset(document: Document, folder: Path, problems: list[Problem]) -> str | None:
    """The preset's name if it can be loaded by itself."""
    preset = document.text("preset")
    if preset is None or not preset.strip():
        return None
    where = document.where("preset")
    problem = _config_problem(preset, "preset", where)
    if problem is not None:
        problems.append(problem)
        return None
    try:
        load_settings(preset, {}, base=folder)
    except SettingsError as error:
        problems += as_problems(error, where)
        return None
    return preset


def _config_problem(name: str, kind: str, where: str) -> Problem | None:
    """A name that leaves the folder or is not shipped; None if it may be looked up."""
    if name.endswith((".yaml", ".yml")):
        if leaves_folder(name):
            what = f"{name!r} leads out of the study's folder."
            return Problem(where, what, "Move the file, or write its absolute path.")
        return None
    profiles = sorted(path.stem for path in (configs_dir() / "foci").glob("*.yaml"))
    names = profiles if kind == "foci profile" else preset_names()
    if name in names:
        return None
    cure = (
        f"{did_you_mean(name, names)}Known are {listed(names)}; or give the path of a .yaml file."
    )
    return Problem(where, f"unknown {kind} {name!r}.", cure)


def _merged(
    preset: str | None,
    overrides: dict[str, dict[str, Any]],
    document: Document,
    folder: Path,
    problems: list[Problem],
) -> Settings | None:
    found = list(_setting_problems(_type_errors(overrides), document))
    settings: Settings | None = None
    try:
        settings = load_settings(preset, overrides, base=folder)
    except SettingsError as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError):
            found += _setting_problems(validation_problems(cause, ""), document)
        else:
            found += as_problems(error, document.file)
    by_place = {problem.where: problem for problem in reversed(found)}
    problems += reversed(by_place.values())
    return settings


def _type_errors(overrides: dict[str, dict[str, Any]]) -> list[Problem]:
    """Values of the wrong type, which pydantic would otherwise convert (``true`` to 1.0)."""
    try:
        Settings.model_validate(overrides, strict=True)
    except ValidationError as error:
        kinds = [item["type"].endswith("_type") for item in error.errors()]
        every = validation_problems(error, "")
        return [problem for problem, wrong in zip(every, kinds, strict=True) if wrong]
    return []


def _setting_problems(found: Iterable[Problem], document: Document) -> Iterator[Problem]:
    """The same problems with the line of the study file and a near spelling."""
    for problem in found:
        dotted = problem.where.rpartition("key ")[2].strip("'")
        key = tuple(dotted.split("."))
        cure = problem.cure
        if problem.what.startswith("unknown key") and key[-1].isdigit():
            cure = "A comma begins the next key: write decimals with a point, for example 20.5."
        elif problem.what.startswith("unknown key") and len(key) > 1:
            known = type(getattr(Settings(), key[0])).model_fields
            cure = f"{did_you_mean(key[1], known)}Known are {listed(known)}."
        elif problem.what.startswith("Input should be a valid number"):
            cure = "Write a plain number with a decimal point and without quotes, for example 0.5."
        yield Problem(document.where(*key), problem.what, cure)


def _profile(
    overrides: dict[str, dict[str, Any]],
    settings: Settings | None,
    document: Document,
    folder: Path,
    problems: list[Problem],
) -> FociProfile | None:
    """The profile of the foci; a path in a preset file starts from that file's folder."""
    written = overrides.get("foci", {}).get("profile")
    name = written if written is not None else settings.foci.profile if settings else None
    if not isinstance(name, str):
        return None
    where = document.where("foci", "profile")
    problem = _config_problem(name, "foci profile", where)
    if problem is not None:
        problems.append(problem)
        return None
    try:
        return load_profile(name, base=_profile_base(written, document, folder))
    except SettingsError as error:
        problems += as_problems(error, where)
        return None


def _profile_base(written: object, document: Document, folder: Path) -> Path:
    preset = document.text("preset")
    if written is None and preset is not None:
        return find_config(preset, kind="preset", base=folder).parent
    return folder
