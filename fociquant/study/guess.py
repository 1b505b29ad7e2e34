"""First guesses for new study files, from the names of channels and images."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from fociquant.study.naming import image_suffix

_NUCLEUS = r"\b(dapi|hoechst|draq ?[57]|to ?pro ?[13]|sytox|nucle(us|i|ar))"
_AUTOFLUORESCENCE = r"\baf\b(?! ?\d)|auto ?fl|\bunstained\b"
"""``AF488`` and ``AF 647`` are Alexa Fluor dyes."""

_MARKERS = {
    r"\b(c ?)?(her2|erbb2)|\bneu\b": "her2_if",
    r"pymt": None,
    r"gfp\b|zsgreen": "gfp_if",
    r"td ?tomato|mcherry|\brfp\b": "tdtomato_if",
    r"luciferase|\bluc2?\b": None,
}
"""Pattern of a cancer-cell label to the preset made for it; the first that fits is taken."""

_PHENOTYPES = {
    r"\bm?ki ?67\b": "Ki67",
    r"\bvim(entin)?\b": "vimentin",
    r"\bepcam\b": "EpCAM",
    r"\be ?cad(herin)?\b": "E-cadherin",
    r"\bp?p?h+3\b": "pH3",
    r"\bedu\b": "EdU",
    r"\bbrdu\b": "BrdU",
    r"\bp27\b": "p27",
    r"\bnr2f1\b": "NR2F1",
    r"caspase ?3|\bcc3\b": "caspase3",
    r"\bcd4\b": "CD4",
    r"\bcd8a?\b": "CD8",
    r"\bcd45\b": "CD45",
    r"\bly6g\b": "Ly6G",
    r"\bf4 80\b": "F4-80",
    r"\bp ?stat3\b": "pSTAT3",
}
"""Pattern of a channel's name to the phenotype it measures."""

IMMUNE: tuple[str, ...] = ("CD4", "CD8", "CD45", "Ly6G", "F4-80")
"""Those of them that mark immune cells, not cancer cells."""

MEMBRANE: tuple[str, ...] = ("EpCAM", "E-cadherin")
"""Those of them that sit in the membrane, which touching cells share: the brightest part of a
negative cell may be its neighbour's."""

_JOINED = (
    (re.compile(r"(?<![a-z])(mouse|animal|dpi|day|section|slice)[_\s-]+(?=\d)", re.I), r"\1"),
    (re.compile(r"(?<![a-z\d.,])(\d+)[_\s-]+(?=dpi(?![a-z]))", re.I), r"\1"),
)
_DPI = re.compile(
    r"(\d+(?:[.,]\d+)?)(?:dpi|days?)|(?:dpi|day|d)(\d+)|(\d\d+|[014-9])d", re.IGNORECASE
)
"""Days; ``2d`` and ``3d`` are more often dimensions of an image."""
_MOUSE = re.compile(r"(?:m|ms|mouse|animal)\d+[a-z]?", re.IGNORECASE)
_SECTION = re.compile(r"(?:s|sec|section|sl|slice|slide)\d+[a-z]?", re.IGNORECASE)
_GROUP = re.compile(r"[A-Za-z][A-Za-z0-9+]*")


@dataclass(frozen=True, slots=True)
class Roles:
    """Channels by the part they probably play.

    Parameters
    ----------
    marker, nucleus, autofluorescence : str or None
        Channel name; None if no name suggests it.
    phenotype : mapping of str to str
        Phenotype to channel name.
    preset : str or None
        The preset made for that marker.
    """

    marker: str | None = None
    nucleus: str | None = None
    autofluorescence: str | None = None
    phenotype: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    preset: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A row for the sheet; ``""`` where the file's name does not say.

    Parameters
    ----------
    image : str
        Relative path with ``/``.
    mouse, group, dpi : str
        Texts for the cells.
    """

    image: str
    mouse: str = ""
    group: str = ""
    dpi: str = ""


def guess_roles(channels: Sequence[str], markers: Sequence[str] = ()) -> Roles:
    """Roles of the channels by their names.

    Parameters
    ----------
    channels : sequence of str
        Names in the order of the file.
    markers : sequence of str
        Names of the cancer cells' label, best first; they go before the guess.

    Returns
    -------
    Roles
        Each channel in one role at most.
    """
    left = list(channels)
    given = [name for wanted in markers for name in left if name.casefold() == wanted.casefold()]
    marker = given[0] if given else None
    if marker is not None:
        left.remove(marker)
    nucleus = _take(left, _NUCLEUS)
    autofluorescence = _take(left, _AUTOFLUORESCENCE)
    phenotype = {name: channel for pattern, name in _PHENOTYPES.items()
                 if (channel := _take(left, pattern))}  # fmt: skip
    if marker is None:
        marker = next((name for pattern in _MARKERS if (name := _take(left, pattern))), None)
    preset = next((p for pattern, p in _MARKERS.items() if marker and _says(marker, pattern)), None)
    return Roles(marker, nucleus, autofluorescence, MappingProxyType(phenotype), preset)


def stained_roles() -> Roles:
    """Roles in transmitted light: the stains of the preset ``dab_ihc``."""
    return Roles(marker="DAB", nucleus="haematoxylin", preset="dab_ihc")


def _says(channel: str, pattern: str) -> bool:
    return re.search(pattern, re.sub(r"[^a-z0-9]+", " ", channel.lower())) is not None


def _take(channels: list[str], pattern: str) -> str | None:
    """Remove and return the first channel whose name fits; None without one."""
    found = next((name for name in channels if _says(name, pattern)), None)
    if found is not None:
        channels.remove(found)
    return found


def guess_samples(images: Sequence[str]) -> tuple[Sample, ...]:
    """Mouse, group and dpi where the names of all images follow one clear pattern.

    ``IAV_15dpi_m03_s2.ome.tif`` is clear. Mice and groups are only named if every
    name holds a mouse and every part of it is understood, since a wrong guess
    would merge mice. A mouse
    number that comes back in another group or at another time is another mouse:
    its name then holds all three.

    Parameters
    ----------
    images : sequence of str
        Relative paths with ``/``.

    Returns
    -------
    tuple of Sample
        In the order given.
    """
    parsed = [_tokens(image) for image in images]
    named = all(mouse for mouse, *_ in parsed)
    groups = _groups([rest for *_, rest in parsed]) if named else [None] * len(parsed)
    samples = []
    for image, (mouse, dpi, _), group in zip(images, parsed, groups, strict=True):
        days = _DPI.fullmatch(dpi)
        told = next(filter(None, days.groups())) if days else ""
        number = f"{float(told.replace(',', '.')):g}" if told else ""
        clear = group is not None
        samples.append(Sample(image, mouse if clear else "", group or "", number))
    return _distinct(samples)


def _tokens(image: str) -> tuple[str, str, tuple[str, ...]]:
    """The mouse's and the time's token (``""`` if not exactly one), and what is left."""
    suffix = image_suffix(image)
    text = image[: -len(suffix)] if suffix else image
    for pattern, replacement in _JOINED:
        text = pattern.sub(replacement, text)
    tokens = [token for token in re.split(r"[\s_/\\-]+", text) if token]
    mice = {token for token in tokens if _MOUSE.fullmatch(token)}
    days = {token for token in tokens if _DPI.fullmatch(token)}
    sections = {token for token in tokens if _SECTION.fullmatch(token)}
    once = [found if len(found) == 1 else set() for found in (mice, days, sections)]
    rest = tuple(token for token in tokens if not any(token in found for found in once))
    return next(iter(once[0]), ""), next(iter(once[1]), ""), rest


def _groups(rests: Sequence[tuple[str, ...]]) -> list[str | None]:
    """The group of each image: ``""`` if no token is left, None if it is not clear."""
    unclear: list[str | None] = [None] * len(rests)
    if len({len(rest) for rest in rests}) != 1:
        return unclear
    columns = list(zip(*rests, strict=True))
    varying = [column for column in columns if len(set(column)) > 1]
    if len(varying) > 1 or (not varying and len(columns) > 1):
        return unclear
    chosen = (varying or columns or [("",) * len(rests)])[0]
    understood = all(not token or _GROUP.fullmatch(token) for token in chosen)
    return list(chosen) if understood else unclear


def _distinct(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Samples whose mice each have one group and one time."""
    every = tuple(samples)
    arms: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for sample in every:
        arms[sample.mouse].add((sample.group, sample.dpi))
    return tuple(
        sample
        if not sample.mouse or len(arms[sample.mouse]) == 1
        else Sample(sample.image, _long_name(sample), sample.group, sample.dpi)
        for sample in every
    )


def _long_name(sample: Sample) -> str:
    days = f"{sample.dpi}dpi" if sample.dpi else ""
    return "_".join(part for part in (sample.group, days, sample.mouse) if part)


def guess_reference(groups: Iterable[str]) -> str | None:
    """The group that others are probably compared with, by its name; None if unclear."""
    by_folded = {name.casefold(): name for name in groups}
    usual = ("pbs", "mock", "control", "ctrl", "vehicle", "saline", "naive", "uninfected")
    return next((by_folded[word] for word in usual if word in by_folded), None)
