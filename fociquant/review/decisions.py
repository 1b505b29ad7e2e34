"""What a reviewer can decide, and how a decision is written down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np

from fociquant.errors import InputError

DECIMALS = 2
"""Positions and outlines are written to 0.01 µm, far below a pixel."""


class Action(StrEnum):
    """The kinds of entries of a log.

    Attributes
    ----------
    OPEN
        First line of every file: whose it is and of which section.
    ACCEPT, REJECT
        A candidate is, or is not, a cancer cell.
    ADD
        A cell that was missed, with its outline.
    MERGE
        The foci of these cells are one focus.
    SPLIT
        The focus of these cells is several: one part each.
    EXCLUDE
        A region that is not to be counted; its area leaves the denominator.
    CLASS
        The focus of these cells is of the class named.
    COMMENT
        Words only.
    UNDO
        Takes back one entry, named by its hash; an undo can be undone.
    SIGN_OFF
        The reviewer has finished the section as it stands.
    UNBLIND
        The reviewer has seen group, day, mouse and path.
    AUDIT
        The verdict on one sampled item; changes no count by itself.
    """

    OPEN = "open"
    ACCEPT = "accept"
    REJECT = "reject"
    ADD = "add"
    MERGE = "merge"
    SPLIT = "split"
    EXCLUDE = "exclude"
    CLASS = "class"
    COMMENT = "comment"
    UNDO = "undo"
    SIGN_OFF = "sign-off"
    UNBLIND = "unblind"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class CellRef:
    """A cell as a reviewer saw it: by place and outline, so that it can be found again.

    Parameters
    ----------
    y_um, x_um : float
        Centre, µm.
    outline : tuple of float
        Flat ``y0, x0, y1, x1, …``, µm, the first point not repeated; empty where only
        the place is known.
    cell : int
        Its number in those results, a hint; 0: none.
    results : str
        Fingerprint of the results in which it had that number, a hint.
    """

    y_um: float
    x_um: float
    outline: tuple[float, ...] = ()
    cell: int = 0
    results: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it is written; positions rounded to 0.01 µm."""
        content: dict[str, Any] = {"y_um": rounded(self.y_um), "x_um": rounded(self.x_um)}
        if self.outline:
            content["outline"] = [rounded(value) for value in self.outline]
        if self.cell:
            content["cell"] = int(self.cell)
        if self.results:
            content["results"] = self.results
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CellRef:
        """The inverse of :meth:`to_json`.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not of that form.
        """
        place = (float(content["y_um"]), float(content["x_um"]))
        outline = tuple(float(value) for value in content.get("outline", ()))
        if not all(map(math.isfinite, (*place, *outline))) or len(outline) % 2:
            raise ValueError("a position is not finite")
        return cls(*place, outline, int(content.get("cell", 0)), str(content.get("results", "")))


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a log.

    Parameters
    ----------
    seq : int
        Number of the line, from 0.
    time : str
        UTC, ISO 8601, for example ``2026-03-01T09:30:00.125Z``.
    action : Action
    content : mapping
        What the action is about: ``object`` or ``objects`` (cells), ``parts`` (lists of
        cells), ``polygons`` (rings), ``value``, ``target`` (hash of an entry), ``repeat``.
    reason : str
        The reviewer's words; may be empty.
    prev, hash : str
        Hash of the entry before, and of this one.
    """

    seq: int
    time: str
    action: Action
    content: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    reason: str = ""
    prev: str = ""
    hash: str = ""

    @property
    def cells(self) -> tuple[CellRef, ...]:
        """The cells the entry is about (of a split: of all its parts, in order)."""
        if "object" in self.content:
            return (CellRef.from_json(self.content["object"]),)
        if "parts" in self.content:
            return tuple(ref for part in self.parts for ref in part)
        return tuple(CellRef.from_json(one) for one in self.content.get("objects", ()))

    @property
    def parts(self) -> tuple[tuple[CellRef, ...], ...]:
        """The parts of a split; empty for other actions."""
        parts = self.content.get("parts", ())
        return tuple(tuple(CellRef.from_json(one) for one in part) for part in parts)

    @property
    def polygons(self) -> tuple[np.ndarray, ...]:
        """Rings of an excluded region, float64 (n, 2) each, (y, x) in µm."""
        rings = self.content.get("polygons", ())
        return tuple(np.asarray(ring, np.float64).reshape(-1, 2) for ring in rings)

    @property
    def value(self) -> Any:
        """The class of a class override, the verdict of an audit; None for other actions."""
        return self.content.get("value")

    @property
    def target(self) -> str:
        """Hash of the entry that an undo takes back; empty for other actions."""
        return str(self.content.get("target", ""))

    @property
    def image(self) -> str:
        """Beginning of the fingerprint of the image it was made on; empty where none was noted."""
        return str(self.content.get("image", ""))

    @property
    def is_repeat(self) -> bool:
        """Whether a hidden repeat was decided: it measures the reviewer, and counts nothing."""
        return bool(self.content.get("repeat", False))


@dataclass(frozen=True, slots=True)
class Draft:
    """A decision not written yet: an :class:`Entry` without number, time and hashes.

    Parameters
    ----------
    action : Action
    content : mapping
    reason : str
    """

    action: Action
    content: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    reason: str = ""


def rounded(value: float) -> float:
    """A coordinate as it is written, µm.

    Raises
    ------
    InputError
        If it is not finite.
    """
    number = round(float(value), DECIMALS)
    if not math.isfinite(number):
        raise InputError(f"a position of {value!r} µm cannot be written. Give finite numbers.")
    return number + 0.0  # no minus zero


def active_entries(entries: Sequence[Entry]) -> list[Entry]:
    """The entries that hold, in order: undone ones and undos left out.

    An undo that was itself undone does not count, so its target holds again.

    Parameters
    ----------
    entries : sequence of Entry
        Of one log, in order.

    Returns
    -------
    list of Entry
    """
    undone: set[str] = set()
    held: list[Entry] = []
    for entry in reversed(entries):
        if entry.hash in undone:
            continue
        if entry.action is Action.UNDO:
            undone.add(entry.target)
        else:
            held.append(entry)
    return held[::-1]
