"""Quality flags of a segmented object: the one registry.

A flag says why an object should be looked at, or why it was not counted. Flags
are combined bitwise in memory and written as names joined by ``;`` (empty: none).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag

import numpy as np


class CellFlag(IntFlag):
    """What is special about one segmented object.

    Attributes
    ----------
    EDGE
        Touches the border of the image; its area is a lower bound.
    OVERSIZE
        Reaches the end of the halo it was decoded in; its outline may be cut.
    SATURATED
        More than 1 % of its marker pixels are at the largest value of the dtype.
    OFF_TISSUE
        Its centre lies outside the tissue outline; counted all the same.
    IN_ARTEFACT
        Its centre lies in a masked artefact (fold, bubble, out of focus, debris).
    NO_NUCLEUS
        No nucleus on it: the nuclear stain is not above its surroundings.
    DIM_MARKER
        Marker not above its surroundings by more than the noise explains.
    AUTOFLUORESCENT
        Marker explained by the autofluorescence channel.
    TOO_SMALL
        Smaller than the smallest cell of the settings.
    TOO_LARGE
        Larger than the largest cell of the settings.
    ELONGATED
        A fibre or an airway lining by shape, not a cell.
    UNCERTAIN
        The network itself is not sure that this is a cell.
    LINING
        Barely certain, and among uncertain candidates: a row of airway lining.
    SPILL_OVER
        A phenotype marker on it is explained by light of the cell marker; not counted for it.
    FILLED
        Less of a marker ring than the controls or the certain cells of its batch have.
    OUTSIDE_REGION
        Its centre lies on a part of the slide that is another section.
    HOLLOW
        A dark middle, where the certain cells of its batch are full of marker.
    HALF
        Too near to a counted object for another cell, or no membrane between: the same cell.
    """

    NONE = 0
    EDGE = 1
    OVERSIZE = 2
    SATURATED = 4
    OFF_TISSUE = 8
    IN_ARTEFACT = 16
    NO_NUCLEUS = 32
    DIM_MARKER = 64
    AUTOFLUORESCENT = 128
    TOO_SMALL = 256
    TOO_LARGE = 512
    ELONGATED = 1024
    UNCERTAIN = 2048
    LINING = 4096
    SPILL_OVER = 8192
    FILLED = 16384
    OUTSIDE_REGION = 32768
    HOLLOW = 65536
    HALF = 131072


REJECTING = (
    CellFlag.IN_ARTEFACT
    | CellFlag.NO_NUCLEUS
    | CellFlag.DIM_MARKER
    | CellFlag.AUTOFLUORESCENT
    | CellFlag.TOO_SMALL
    | CellFlag.TOO_LARGE
    | CellFlag.ELONGATED
    | CellFlag.UNCERTAIN
    | CellFlag.LINING
    | CellFlag.FILLED
    | CellFlag.HOLLOW
    | CellFlag.HALF
    | CellFlag.OUTSIDE_REGION
)
"""An object with any of these is kept in the table but not counted.

``OFF_TISSUE`` is not among them: the outline is found at low resolution and can miss lung,
and what has marker, a nucleus and the looks of a cell is worth more than that."""


def flag_names(flags: int) -> str:
    """Names of the set bits in registry order, lower case, joined by ``;``.

    Raises
    ------
    ValueError
        If a bit is set that no flag owns.
    """
    value = int(flags)
    known = [flag for flag in CellFlag if flag and value & flag]
    if sum(known) != value:
        raise ValueError(f"unknown flag bits in {value}")
    return ";".join(str(flag.name).lower() for flag in known)


def carrying(texts: Iterable[str], wanted: CellFlag) -> np.ndarray:
    """Which of many texts of :func:`flag_names` have any of some flags, bool (n,)."""
    texts = list(texts)
    known = {text: bool(parse_flags(text) & wanted) for text in set(texts)}
    return np.array([known[text] for text in texts], bool)


def parse_flags(text: str) -> CellFlag:
    """The inverse of :func:`flag_names`.

    Raises
    ------
    ValueError
        If a name is not in the registry.
    """
    result = CellFlag.NONE
    for name in filter(None, text.split(";")):
        try:
            result |= CellFlag[name.upper()]
        except KeyError:
            raise ValueError(f"unknown flag {name!r}") from None
    return result
