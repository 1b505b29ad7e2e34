"""What does not fit between a study and its images: channels, pixel sizes, copies, regions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fociquant.errors import (
    ImageError,
    Problem,
    RegionError,
)
from fociquant.io import open_image
from fociquant.prepare import find_outline, region_mask
from fociquant.run.image_facts import ImageFacts, of_file, stains_of
from fociquant.study import Inspection
from fociquant.study.roles import FIXED_ROLES
from fociquant.study.spelling import did_you_mean, listed
from fociquant.study.wrapped import as_problems
from fociquant.units import PixelSize

SIZE_TOLERANCE = 0.01
"""Pixel sizes that differ by less, relative, are the same: files round them."""


_SIZE_CURE = (
    "Write the microscope's µm per pixel in study.yaml, for example 'pixel_size_um: 0.325'."
)


def image_problems(
    inspection: Inspection, images: Sequence[ImageFacts], unreadable: list[Problem]
) -> Iterator[Problem]:
    """Why a run of these images would fail; of damaged slides also into `unreadable`."""
    yield from _channel_problems(inspection, images)
    yield from _size_problems(inspection, images)
    yield from _copies(images)
    yield from _region_problems(inspection, images, unreadable)


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
                with open_image(facts.path, stains=stains_of(inspection)) as image:
                    outlines[facts.path] = find_outline(image, roles, size, settings.prepare)
            region_mask(facts.region, *outlines[facts.path])
        except RegionError as error:
            where = facts.where.replace("column 'image'", "column 'region'")
            yield from as_problems(error, where, path=str(facts.path))
        except ImageError as error:
            yield from of_file(error, facts.where, facts.path, unreadable)
        except ValueError:
            continue  # not a region at all: told with the sheet


def notes(inspection: Inspection, images: Sequence[ImageFacts]) -> Iterator[Problem]:
    """What looks wrong but may be meant."""
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
                f"{in_um(override)} µm is used, though the file says {in_um(said)} µm in "
                f"{_sections(other, len(images))}."
            )
            yield Problem(where, what, "Write null to use what the files say.")
    elif any(not _alike(size, sized[0][1]) for _, size in sized):
        counts = Counter(in_um(size) for _, size in sized)
        each = ", ".join(f"{um} µm ({n})" for um, n in sorted(counts.items()))
        cure = "Each section is measured with its own; check that the files are right."
        yield Problem(inspection.sheet, f"sections differ in pixel size: {each}.", cure)


def _alike(one: PixelSize, other: PixelSize) -> bool:
    pairs = ((one.y, other.y), (one.x, other.x))
    return all(abs(a - b) <= SIZE_TOLERANCE * max(a, b) for a, b in pairs)


def in_um(size: PixelSize) -> str:
    """One number where pixels are square, else height × width; µm."""
    return f"{size.y:.4g}" if size.y == size.x else f"{size.y:.4g} × {size.x:.4g}"
