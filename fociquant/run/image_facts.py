"""What the file of each section says of its image, and what is wrong with single files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fociquant.errors import (
    ChannelError,
    CorruptImageError,
    ImageError,
    ImageFormatError,
    Problem,
)
from fociquant.io import Stains, is_transmitted_light, open_image
from fociquant.study import Inspection
from fociquant.study.wrapped import as_problems
from fociquant.units import PixelSize

_DAMAGED = (CorruptImageError, ImageFormatError)
"""Errors of one file that is there: the sections of the others can be counted."""


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


def first_facts(paths: Iterable[Path], wanted: Sequence[str] = ()) -> ImageFacts | None:
    """Facts, without roles, of the first image that opens and has a channel of `wanted`.

    Where none has one, of the first that opens; None if none does. Without `wanted` any will do.
    """
    first = None
    names = {name.casefold() for name in wanted}
    for facts in _each(paths):
        if not names or names & {name.casefold() for name in facts.channel_names}:
            return facts
        first = first or facts
    return first


def _each(paths: Iterable[Path]) -> Iterator[ImageFacts]:
    """Facts of the images that open, one after the other."""
    for path in paths:
        try:
            facts = _facts(path, path.name, path.name, {})
            with open_image(path) as image:
                facts = replace(facts, transmitted=is_transmitted_light(image))
        except ImageError:
            continue
        yield facts


def open_all(
    inspection: Inspection, problems: list[Problem], unreadable: list[Problem]
) -> Iterator[ImageFacts]:
    """Facts of every image that opens; of the others their problems, into the lists."""
    channels = inspection.config.channels
    roles = channels.roles() if channels else {}
    for row in inspection.rows:
        if row.image is None:
            continue
        where = f"{inspection.sheet}, line {row.line}, column 'image'"
        try:
            facts = _facts(row.image, row.name, where, roles, stains_of(inspection))
            yield replace(facts, region=row.region)
        except ImageError as error:
            problems += of_file(error, where, row.image, unreadable)


def of_file(error: ImageError, where: str, path: Path, unreadable: list[Problem]) -> list[Problem]:
    """The problems of one file, also among the unreadable ones if it is damaged."""
    found = as_problems(error, f"{where}, {path.name}", path=str(path))
    unreadable += found if isinstance(error, _DAMAGED) else []
    return found


def stains_of(inspection: Inspection) -> Stains | None:
    """Stains of the study, None if its settings are wrong."""
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
