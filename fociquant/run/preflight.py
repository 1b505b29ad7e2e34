"""Everything that can be wrong with a study, its images included, before hours are spent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fociquant.errors import (
    ChannelError,
    CorruptImageError,
    ImageError,
    ImageFormatError,
    Problem,
    RegionError,
    SettingsError,
)
from fociquant.io import Stains, is_transmitted_light, open_image
from fociquant.prepare import find_outline, region_mask
from fociquant.segment import check_model_name
from fociquant.study import Inspection, Study, inspect_study
from fociquant.study.arms import arm_notes, mice_by_arm
from fociquant.study.roles import FIXED_ROLES
from fociquant.study.spelling import did_you_mean, listed
from fociquant.study.wrapped import as_problems
from fociquant.units import PixelSize

SIZE_TOLERANCE = 0.01
"""Pixel sizes that differ by less, relative, are the same: files round them."""

_SIZE_CURE = (
    "Write the microscope's µm per pixel in study.yaml, for example 'pixel_size_um: 0.325'."
)

_DAMAGED = (CorruptImageError, ImageFormatError)
"""Errors of one file that is there: the sections of the others can be counted."""

StudyCheck = Callable[[Study], Iterable[Problem]]
"""A further check, for example of what a laboratory asks for."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a file says of its image; no pixel is read.

    Parameters
    ----------
    section : str
        The section's name.
    where : str
        Sheet and line, for messages.
    shape : tuple of int
        (C, Y, X), px.
    dtype : str
        NumPy name of the pixels' type.
    channel_names : tuple of str
        In the order of the file.
    roles : mapping of str to (int or None)
        Role to index of its channel; None if the file has no such channel.
    pixel_size : PixelSize or None
        As the file says it.
    fingerprint : str
        Equal for copies of one file.
    path : Path or None
        Where the file lies.
    region : str
        The part of the slide that the row means, ``""`` for all of it.
    transmitted : bool
        A colour picture of a bright field; only looked at by :func:`first_facts`.
    """

    section: str
    where: str
    shape: tuple[int, int, int]
    dtype: str
    channel_names: tuple[str, ...]
    roles: Mapping[str, int | None]
    pixel_size: PixelSize | None
    fingerprint: str
    path: Path | None = None
    region: str = ""
    transmitted: bool = False


@dataclass(frozen=True)
class Preflight:
    """The outcome of looking before running.

    Parameters
    ----------
    study : Study or None
        None if the study's two files have problems.
    problems : tuple of Problem
        Why a run would fail; empty if it can start.
    notes : tuple of Problem
        What looks wrong but may be meant.
    images : tuple of ImageFacts
        Of every image that opened, in the order of the sheet.
    unreadable : tuple of Problem
        Those of `problems` that are of one file alone: it is there, but damaged or of no
        known format. The other sections can be counted.
    """

    study: Study | None
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    images: tuple[ImageFacts, ...]
    unreadable: tuple[Problem, ...] = ()

    @property
    def blocking(self) -> tuple[Problem, ...]:
        """Why nothing can be started: every problem, but for single files among good ones."""
        if not self.images:
            return self.problems
        return tuple(problem for problem in self.problems if problem not in self.unreadable)

    def summary(self) -> dict[str, Any]:
        """What a run would count, as plain values for a program; empty without a study."""
        return {} if self.study is None else _summary(self.study, self.images)


def check_study(path: Path, *, open_images: bool = True) -> list[Problem]:
    """Everything that would keep a study from being run.

    Parameters
    ----------
    path : Path
        The study file, or a folder that holds ``study.yaml``.
    open_images : bool
        Also open every image (a few kilobytes of each are read).

    Returns
    -------
    list of Problem
        Empty if a run can start.
    """
    return list(preflight(path, open_images=open_images).problems)


def preflight(
    path: Path,
    *,
    open_images: bool = True,
    checks: Sequence[StudyCheck] = (),
    any_model: bool = False,
) -> Preflight:
    """Check a study and its images, and collect what a run would count.

    Images are looked at even if the study's files have problems, so that one
    call finds everything.

    Parameters
    ----------
    path : Path
        The study file, or a folder that holds ``study.yaml``.
    open_images : bool
        Also open every image (a few kilobytes of each are read).
    checks : sequence of callables
        Further checks; called with the study if its files have no problem.
    any_model : bool
        Not to look whether there is such a model: another may be given in its place.

    Returns
    -------
    Preflight
        Never raises for anything that the user wrote.
    """
    inspection = inspect_study(path)
    problems, notes = list(inspection.problems), list(inspection.notes)
    problems += [] if any_model else _model_problems(inspection)
    images: list[ImageFacts] = []
    unreadable: list[Problem] = []
    if open_images:
        images = list(_open_all(inspection, problems, unreadable))
        problems += _channel_problems(inspection, images)
        problems += _size_problems(inspection, images)
        problems += _copies(images)
        problems += _region_problems(inspection, images, unreadable)
        notes += _notes(inspection, images)
    if inspection.study is not None:
        notes += arm_notes(inspection.study, inspection.sheet)
        for check in checks:
            problems += check(inspection.study)
    return Preflight(
        inspection.study, tuple(problems), tuple(notes), tuple(images), tuple(unreadable)
    )


def first_facts(paths: Iterable[Path]) -> ImageFacts | None:
    """Facts of the first image that opens, without roles; None if none does."""
    for path in paths:
        try:
            facts = _facts(path, path.name, path.name, {})
            with open_image(path) as image:
                return replace(facts, transmitted=is_transmitted_light(image))
        except ImageError:
            continue
    return None


def _model_problems(inspection: Inspection) -> list[Problem]:
    """A model that a run would refuse."""
    settings = inspection.config.settings
    if settings is None:
        return []
    try:
        check_model_name(settings.segment.model)
    except SettingsError as error:
        return as_problems(error, inspection.document.where("segment", "model"))
    return []


def _open_all(
    inspection: Inspection, problems: list[Problem], unreadable: list[Problem]
) -> Iterator[ImageFacts]:
    channels = inspection.config.channels
    roles = channels.roles() if channels else {}
    for row in inspection.rows:
        if row.image is None:
            continue
        where = f"{inspection.sheet}, line {row.line}, column 'image'"
        try:
            facts = _facts(row.image, row.name, where, roles, _stains(inspection))
            yield replace(facts, region=row.region)
        except ImageError as error:
            problems += _of_file(error, where, row.image, unreadable)


def _of_file(error: ImageError, where: str, path: Path, unreadable: list[Problem]) -> list[Problem]:
    """The problems of one file, also among the unreadable ones if it is damaged."""
    found = as_problems(error, f"{where}, {path.name}", path=str(path))
    unreadable += found if isinstance(error, _DAMAGED) else []
    return found


def _stains(inspection: Inspection) -> Stains | None:
    settings = inspection.config.settings
    if settings is None:
        return None
    return Stains.of(settings.prepare.stains, settings.prepare.white_rgb)


def _facts(
    path: Path,
    section: str,
    where: str,
    roles: Mapping[str, str | int],
    stains: Stains | None = None,
) -> ImageFacts:
    with open_image(path, stains=stains) as image:
        found: dict[str, int | None] = {}
        for role, channel in roles.items():
            try:
                found[role] = image.channel_index(channel)
            except ChannelError:
                found[role] = None
        return ImageFacts(
            section=section,
            where=where,
            shape=image.shape,
            dtype=str(image.dtype),
            channel_names=tuple(image.channel_names),
            roles=found,
            pixel_size=image.pixel_size,
            fingerprint=image.fingerprint,
            path=path,
        )


def _channel_problems(inspection: Inspection, images: Sequence[ImageFacts]) -> Iterator[Problem]:
    """Channels that images lack or that two roles share; one problem for alike images."""
    channels = inspection.config.channels
    for role, channel in (channels.roles() if channels else {}).items():
        lacking: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for image in images:
            if image.roles[role] is None:
                lacking[image.channel_names].append(image.section)
        if _only_some_lack(role, images):
            continue  # told by a note
        for names, sections in lacking.items():
            what = f"no channel {channel!r} in {_sections(sections, len(images))}."
            cure = f"{did_you_mean(str(channel), names)}There the channels are {listed(names)}."
            yield Problem(_role_key(inspection, role), what, cure)
    yield from _shared_channels(inspection, images)


def _only_some_lack(role: str, images: Sequence[ImageFacts]) -> bool:
    """Whether a phenotype's channel is in some images: it is then unknown in the others."""
    return role not in FIXED_ROLES and any(image.roles[role] is not None for image in images)


def _phenotype_notes(inspection: Inspection, images: Sequence[ImageFacts]) -> Iterator[Problem]:
    """Phenotypes whose channel some images lack."""
    channels = inspection.config.channels
    for role, channel in (channels.phenotype if channels else {}).items():
        lacking = [image.section for image in images if image.roles[role] is None]
        if lacking and _only_some_lack(role, images):
            what = f"no channel {channel!r} in {_sections(lacking, len(images))}."
            cure = f"Their cells are left out of the share of {role}; is the name right?"
            yield Problem(_role_key(inspection, role), what, cure)


def _shared_channels(inspection: Inspection, images: Sequence[ImageFacts]) -> Iterator[Problem]:
    """One channel under two roles: a name and an index that mean the same."""
    shared: dict[tuple[str, str], list[str]] = defaultdict(list)
    for image in images:
        first: dict[int, str] = {}
        for role in FIXED_ROLES:
            index = image.roles.get(role)
            if index is not None and first.setdefault(index, role) != role:
                shared[role, first[index]].append(image.section)
    for (role, other), sections in shared.items():
        what = f"is the channel of {other!r} in {_sections(sections, len(images))}."
        yield Problem(_role_key(inspection, role), what, "Each of these roles needs its own.")


def _role_key(inspection: Inspection, role: str) -> str:
    key = (role,) if role in FIXED_ROLES else ("phenotype", role)
    return inspection.document.where("channels", *key)


def _sections(names: Sequence[str], total: int) -> str:
    if len(names) == total and total > 1:
        return f"any of the {total} images"
    return f"{'section' if len(names) == 1 else 'sections'} {listed(names, limit=5)}"


def _size_problems(inspection: Inspection, images: Sequence[ImageFacts]) -> Iterator[Problem]:
    if inspection.document.values.get("pixel_size_um") is not None:
        return
    unknown = [image.section for image in images if image.pixel_size is None]
    if unknown:
        what = f"no pixel size in {_sections(unknown, len(images))}, and none in the study."
        yield Problem(inspection.document.where("pixel_size_um"), what, _SIZE_CURE)


def _copies(images: Sequence[ImageFacts]) -> Iterator[Problem]:
    first: dict[str, ImageFacts] = {}
    for image in images:
        other = first.setdefault(image.fingerprint, image)
        regions = image.path == other.path and image.region and other.region
        if other is not image and not regions:
            what = f"the file is a copy of that of section {other.section!r} ({other.where})."
            yield Problem(image.where, what, "Each image is counted once: name the right file.")


def _region_problems(
    inspection: Inspection, images: Sequence[ImageFacts], unreadable: list[Problem]
) -> Iterator[Problem]:
    """Regions that a slide does not show; its overview is read for this, and may be damaged."""
    config = inspection.config
    settings = config.settings
    outlines: dict[Path, tuple[np.ndarray, PixelSize]] = {}
    for facts in images:
        size = config.pixel_size or facts.pixel_size
        roles = {role: index for role, index in facts.roles.items() if index is not None}
        if not facts.region or facts.path is None or settings is None or size is None or not roles:
            continue
        try:
            if facts.path not in outlines:
                with open_image(facts.path, stains=_stains(inspection)) as image:
                    outlines[facts.path] = find_outline(image, roles, size, settings.prepare)
            region_mask(facts.region, *outlines[facts.path])
        except RegionError as error:
            where = facts.where.replace("column 'image'", "column 'region'")
            yield from as_problems(error, where, path=str(facts.path))
        except ImageError as error:
            yield from _of_file(error, facts.where, facts.path, unreadable)
        except ValueError:
            continue  # not a region at all: told with the sheet


def _notes(inspection: Inspection, images: Sequence[ImageFacts]) -> Iterator[Problem]:
    document = inspection.document
    if inspection.config.channels is None and images:
        common = Counter(image.channel_names for image in images).most_common(1)[0][0]
        cure = "Write these names, or their indices from 0."
        yield Problem(document.where("channels"), f"the images have {listed(common)}.", cure)
    yield from _phenotype_notes(inspection, images)
    yield from _size_notes(inspection, images)
    dtypes = sorted({image.dtype for image in images})
    if len(dtypes) > 1:
        what = f"images of different types: {', '.join(dtypes)}."
        yield Problem(inspection.sheet, what, "Check that all were exported in the same way.")


def _size_notes(inspection: Inspection, images: Sequence[ImageFacts]) -> Iterator[Problem]:
    where = inspection.document.where("pixel_size_um")
    override = inspection.config.pixel_size
    sized = [(image, image.pixel_size) for image in images if image.pixel_size is not None]
    if override is not None:
        other = [image.section for image, size in sized if not _alike(size, override)]
        if other:
            said = next(size for _, size in sized if not _alike(size, override))
            what = (
                f"{_um(override)} µm is used, though the file says {_um(said)} µm in "
                f"{_sections(other, len(images))}."
            )
            yield Problem(where, what, "Write null to use what the files say.")
    elif any(not _alike(size, sized[0][1]) for _, size in sized):
        counts = Counter(_um(size) for _, size in sized)
        each = ", ".join(f"{um} µm ({n})" for um, n in sorted(counts.items()))
        cure = "Each section is measured with its own; check that the files are right."
        yield Problem(inspection.sheet, f"sections differ in pixel size: {each}.", cure)


def _alike(one: PixelSize, other: PixelSize) -> bool:
    pairs = ((one.y, other.y), (one.x, other.x))
    return all(abs(a - b) <= SIZE_TOLERANCE * max(a, b) for a, b in pairs)


def _um(size: PixelSize) -> str:
    return f"{size.y:.4g}" if size.y == size.x else f"{size.y:.4g} × {size.x:.4g}"


def _summary(study: Study, images: Sequence[ImageFacts]) -> dict[str, Any]:
    override = study.pixel_size
    sizes = [override or image.pixel_size for image in images]
    arms, counted = (mice_by_arm(study, controls=with_them) for with_them in (True, False))
    order = {group: rank for rank, group in enumerate(study.groups)}
    ranked = sorted(arms, key=lambda arm: (order[arm[0]], arm[1]))
    return {
        "name": study.name,
        "mice": len(study.mice),
        "sections": len(study.sections),
        "negative_controls": sum(section.negative_control for section in study.sections),
        "groups": list(study.groups),
        "reference_group": study.reference_group,
        "arms": [
            {
                "group": group,
                "dpi": dpi,
                "mice": len(counted[group, dpi]),
                "control_mice": len(arms[group, dpi] - counted[group, dpi]),
            }
            for group, dpi in ranked
        ],
        "channels": study.channels.roles(),
        "pixel_sizes_um": sorted({_um(size) for size in sizes if size is not None}),
        "megapixels": round(sum(i.shape[1] * i.shape[2] for i in images) / 1e6, 3),
        "preset": study.preset,
        "model": study.settings.segment.model,
        "nucleus_asked_for": study.channels.nucleus is not None
        and study.settings.gate.nucleus_fraction > 0,
        "link_um": study.settings.foci.link_um,
        "profile": study.profile.name,
        "classes": [one.name for one in study.profile.classes],
    }
