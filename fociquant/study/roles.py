"""The ``channels`` of a study file: which channel plays which part."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, get_args

from fociquant.errors import Problem
from fociquant.model import Channels, Compartment, PhenotypeRule
from fociquant.study.document import Document, Key
from fociquant.study.spelling import did_you_mean, listed

FIXED_ROLES: tuple[str, ...] = ("marker", "nucleus", "autofluorescence")
"""Roles with one channel each."""

_KEYS = (*FIXED_ROLES, "phenotype")

NUCLEAR_ANTIGENS = frozenset(
    {"ki67", "mki67", "pcna", "mcm2", "edu", "brdu", "phh3", "ph3", "h3s10p", "p21", "p27", "p53"}
)  # fmt: skip
"""Markers of the cell cycle that are in the nucleus: letters and digits of their names."""

_PHENOTYPE_KEYS = ("channel", "compartment", "immune", "controls")

COMPARTMENTS: tuple[str, ...] = get_args(Compartment)

_PHENOTYPE_NAME = re.compile(r"[^\W_][\w .+/()-]*")
"""A phenotype's name begins columns of the results: it starts with a letter or digit
(never a formula) and holds no separator."""


def channel_problems(document: Document) -> Iterator[Problem]:
    """Everything wrong with the ``channels`` of a study file, in the order of the file."""
    channels = document.values.get("channels")
    if not isinstance(channels, dict):
        what = "is missing." if channels is None else f"is {channels!r}, not a group of keys."
        cure = "Write 'channels:' and, indented below it, 'marker: HER2' and 'nucleus: DAPI'."
        yield Problem(document.where("channels"), what, cure)
        return
    for key in channels:
        if key not in _KEYS:
            cure = f"{did_you_mean(key, _KEYS)}Known are {listed(_KEYS)}; others are phenotypes."
            yield Problem(document.where("channels", key), f"unknown key {key!r}.", cure)
    for role in FIXED_ROLES:
        yield from _channel_problem(document, ("channels", role), required=role == "marker")
    yield from _phenotype_problems(document)
    yield from _immune_problems(document)
    yield from _shared_channels(document)


def read_channels(document: Document) -> Channels | None:
    """The channels of a study file, or None if :func:`channel_problems` finds any."""
    if any(channel_problems(document)):
        return None
    marker, nucleus, autofluorescence = (_channel(document, "channels", r) for r in FIXED_ROLES)
    written = document.values["channels"].get("phenotype") or {}
    phenotype = {name: _channel(document, *_key_of(name, value)) for name, value in written.items()}
    rules = {name: _rule(name, value) for name, value in written.items()}
    return Channels(
        marker="" if marker is None else marker,
        nucleus=nucleus,
        autofluorescence=autofluorescence,
        phenotype=MappingProxyType({k: v for k, v in phenotype.items() if v is not None}),
        rules=MappingProxyType(rules),
    )


def _key_of(name: str, value: object) -> Key:
    """Where the channel of a phenotype stands: short form, or under ``channel``."""
    key = ("channels", "phenotype", name)
    return (*key, "channel") if isinstance(value, dict) else key


def _rule(name: str, value: object) -> PhenotypeRule:
    """What the study file says of a phenotype; where in the cell it is, else, by its name."""
    given = dict(value) if isinstance(value, dict) else {}
    given.pop("channel", None)
    plain = "".join(filter(str.isalnum, name.lower()))
    usual = {"compartment": "nuclear"} if plain in NUCLEAR_ANTIGENS else {}
    return PhenotypeRule(**(usual | given))


def _channel(document: Document, *key: str) -> str | int | None:
    """An unquoted whole number is an index; anything else is the name as written."""
    value: object = document.values
    for part in key:
        value = value.get(part) if isinstance(value, dict) else None
    return value if type(value) is int else document.text(*key)


def _channel_problem(document: Document, key: Key, *, required: bool) -> Iterator[Problem]:
    role = key[-1]
    channel = _channel(document, *key)
    value = document.values["channels"].get(role) if len(key) == 2 else None
    if isinstance(value, dict | list):
        cure = f"Write one name or index, for example '{role}: HER2'."
        yield Problem(document.where(*key), f"{value!r} is not one channel.", cure)
    elif channel is None and required:
        what = "no channel is named."
        yield Problem(document.where(*key), what, f"Write its name or index, as '{role}: HER2'.")
    elif isinstance(channel, str) and not channel.strip():
        yield Problem(document.where(*key), "is empty text.", "Write a channel, or null.")
    elif isinstance(channel, int) and channel < 0:
        what = f"{channel} is no channel index."
        yield Problem(document.where(*key), what, "Indices begin at 0; a name may be quoted.")


def _phenotype_problems(document: Document) -> Iterator[Problem]:
    phenotype = document.values["channels"].get("phenotype")
    if phenotype is None:
        return
    if not isinstance(phenotype, dict):
        what = f"{phenotype!r} is not a group of 'name: channel'."
        cure = "Write, for example, 'phenotype: {Ki67: Ki67}'."
        yield Problem(document.where("channels", "phenotype"), what, cure)
        return
    for name, value in phenotype.items():
        key = ("channels", "phenotype", name)
        if name in (*FIXED_ROLES, "phenotype") or not _PHENOTYPE_NAME.fullmatch(name):
            what = f"{name!r} cannot name a phenotype."
            yield Problem(document.where(*key), what, "Use letters, digits, '-', '+', as 'Ki67'.")
        if isinstance(value, list):
            cure = f"Write one name or index, for example '{name}: Ki67'."
            yield Problem(document.where(*key), f"{value!r} is not one channel.", cure)
            continue
        if isinstance(value, dict):
            yield from _rule_problems(document, key, value)
        yield from _channel_problem(document, _key_of(name, value), required=True)


def _immune_problems(document: Document) -> Iterator[Problem]:
    """Immune markers without a nuclear stain: an immune cell is a nucleus with its marker."""
    phenotype = document.values["channels"].get("phenotype")
    if not isinstance(phenotype, dict) or _channel(document, "channels", "nucleus") is not None:
        return
    for name, value in phenotype.items():
        if isinstance(value, dict) and value.get("immune") is True:
            where = document.where("channels", "phenotype", name, "immune")
            cure = "Name the nuclear stain, as 'nucleus: DAPI', or write 'immune: false'."
            yield Problem(where, "immune cells are found by their nucleus.", cure)


def _rule_problems(document: Document, key: Key, value: dict[str, Any]) -> Iterator[Problem]:
    """What is wrong with the long form of a phenotype, its channel apart."""
    for name, content in value.items():
        where = document.where(*key, name)
        if name not in _PHENOTYPE_KEYS:
            cure = f"{did_you_mean(name, _PHENOTYPE_KEYS)}Known are {listed(_PHENOTYPE_KEYS)}."
            yield Problem(where, f"unknown key {name!r}.", cure)
        elif name == "compartment" and content not in COMPARTMENTS:
            what = f"{content!r} is no compartment."
            yield Problem(where, what, f"Write one of {listed(COMPARTMENTS)}.")
        elif name in ("immune", "controls") and not isinstance(content, bool):
            yield Problem(
                where, f"{content!r} is neither true nor false.", f"Write '{name}: true'."
            )
        elif name == "channel" and isinstance(content, dict | list):
            cure = "Write one name or index, for example 'channel: Ki67'."
            yield Problem(where, f"{content!r} is not one channel.", cure)


def _shared_channels(document: Document) -> Iterator[Problem]:
    """Two of the fixed roles on one channel; a phenotype may use any."""
    first: dict[str | int, str] = {}
    for role in FIXED_ROLES:
        channel = _channel(document, "channels", role)
        if channel is not None and channel in first:
            what = f"{channel!r} is already the {first[channel]}."
            cure = "Each of these roles needs its own channel; write null for one that is absent."
            yield Problem(document.where("channels", role), what, cure)
        elif channel is not None:
            first[channel] = role
