"""Colours of channels and of states, told apart also by people who do not see red and green.

From the palette of Okabe and Ito (Color Universal Design, 2008), with blue and orange
brightened for a black background. No meaning rests on red against green.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

import numpy as np

MARKER, NUCLEUS, AUTOFLUORESCENCE = "#F0E442", "#3C8CFF", "#CC79A7"
"""Yellow, blue, pink: what is autofluorescent turns from yellow to orange."""

PHENOTYPES = ("#56E0E0", "#E69F00", "#FFFFFF", "#B0A0FF")
"""Cyan, orange, white, lilac, in the order of the study file; then again."""


class Shown(IntEnum):
    """How an object is drawn; a larger number lies above a smaller one."""

    NOTHING = 0
    CANDIDATE = 1
    EXCLUDED = 2
    COUNTED = 3
    ACCEPTED = 4
    REJECTED = 5
    ADDED = 6


COLOURS: dict[Shown, str] = {
    Shown.CANDIDATE: "#9A9A9A",
    Shown.EXCLUDED: "#7A6FB0",
    Shown.COUNTED: "#56B4E9",
    Shown.ACCEPTED: "#00F0FF",
    Shown.REJECTED: "#D55E00",
    Shown.ADDED: "#FFFFFF",
}
"""Colour of each state."""

MEANINGS: dict[Shown, str] = {
    Shown.COUNTED: "counted",
    Shown.ACCEPTED: "accepted",
    Shown.ADDED: "added",
    Shown.REJECTED: "rejected",
    Shown.EXCLUDED: "in an excluded region",
    Shown.CANDIDATE: "candidate, not counted",
}
"""Words for the legend, in its order."""

SIGNS: dict[Shown, str] = {
    Shown.CANDIDATE: "", Shown.EXCLUDED: "–", Shown.COUNTED: "", Shown.ACCEPTED: "✓",
    Shown.REJECTED: "✕", Shown.ADDED: "+",
}  # fmt: skip
"""A sign beside the colour, so that colour is never all there is."""

CLASS_COLOURS = ("#FFFFFF", "#B0A0FF", "#E69F00", "#F0E442", "#CC79A7", "#8FB35A")
"""Focus classes from the smallest to the largest; none has the colour of a state."""


def class_colour(place: int) -> str:
    """The colour of a class by its place in the profile, from 0; the last goes on."""
    return CLASS_COLOURS[min(place, len(CLASS_COLOURS) - 1)]


def rgb(colour: str) -> np.ndarray:
    """(red, green, blue), 0 to 1, float32."""
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)


def role_colours(roles: Iterable[str]) -> dict[str, str]:
    """A colour for each role; phenotypes in their order."""
    fixed = {"marker": MARKER, "nucleus": NUCLEUS, "autofluorescence": AUTOFLUORESCENCE}
    names = list(roles)
    others = [name for name in names if name not in fixed]
    turns = {name: PHENOTYPES[i % len(PHENOTYPES)] for i, name in enumerate(others)}
    return {name: fixed.get(name) or turns[name] for name in names}
