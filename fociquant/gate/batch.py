"""What a batch of sections has, and the gate that it gets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from fociquant.gate.likeness import Usual, score_of_pigment
from fociquant.gate.pattern import FULL_SCORE, score_with_rim

FROM_CONTROLS, FROM_SECTION = "controls", "section"
"""Values of ``threshold_source``."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What an object must exceed beyond the floor of its section; by default nothing.

    Parameters
    ----------
    marker : float
        Marker that neither surroundings nor autofluorescence explain, counts: sections of a
        batch are stained and scanned alike, while the noise is that of each section.
    score : float
        Mean cell logit of the network.
    ring : float
        1 - core / edge of the marker: 1 for a membrane around an empty cell, 0 for an evenly
        filled one.
    ring_least, ring_most : float
        What certain cells of the batch have, without an unstained channel; see also
        :meth:`lacks_rim`.
    rim_score : float
        Likewise: what :func:`~fociquant.gate.pattern.score_with_rim` must exceed.
    on_nucleus : float
        Likewise: marker that they have on their nuclei at least, in multiples of the rest.
    glow, elsewhere : float
        Likewise: the most autofluorescence, in multiples of common tissue; without an unstained
        channel light of a nuclear phenotype's channel outside the nucleus, per light of the marker.
        Infinite where that is not known.
    pigment : float
        How much redder pigment is than tissue; NaN where that is not known.
    usual : Usual
        What the certain cells are like, beside an unstained channel.
    """

    marker: float = -math.inf
    score: float = -math.inf
    ring: float = -math.inf
    ring_least: float = -math.inf
    ring_most: float = math.inf
    rim_score: float = -math.inf
    on_nucleus: float = -math.inf
    glow: float = math.inf
    elsewhere: float = math.inf
    pigment: float = math.nan
    usual: Usual = field(default_factory=Usual)

    @property
    def ring_asked(self) -> float:
        """The ring that controls or certain cells ask for, whichever is more."""
        return max(self.ring, self.ring_least)

    def lacks_rim(self, score: np.ndarray, ring: np.ndarray) -> np.ndarray:
        """Which objects have too little of a rim for a cell of the batch, bool (n,)."""
        sure = score_with_rim(score, ring)
        return ((ring <= self.ring_least) & (sure <= FULL_SCORE)) | (sure <= self.rim_score)

    @property
    def raised(self) -> bool:
        """Whether anything is asked for beyond the floor."""
        return max(self.marker, self.score, self.ring) > -math.inf


@dataclass(frozen=True, slots=True)
class Passing:
    """What passes the gate at its floor in one section.

    Parameters
    ----------
    section : str
    batch : str
        ``""`` if the sheet names none.
    control : bool
        Marked ``negative`` in the sheet.
    tissue_mm2 : float
    values : numpy.ndarray of float64, shape (n, 3)
        Unexplained marker (counts), score and ring of the objects that pass.
    places_um : numpy.ndarray of float64, shape (n, 2)
        Their centres.
    unstained : bool
        Whether autofluorescence was told by a channel of its own.
    looks : pandas.DataFrame, optional
        Of the same objects, from :func:`~fociquant.gate.looks.looks_of`.
    pigment : float
        Slope of pigment over that of tissue; NaN if unknown.
    saturated : numpy.ndarray of bool, shape (n,), optional
        Which of them are too bright to tell a rim from a filled cell; default: none.
    counted : bool
        False for a section that failed, of which nothing is known.
    missed : numpy.ndarray of float64, shape (m, 3), optional
        Like `values`, of objects of a control that pass only where others do not: the other
        halves of what was cut in two. They raise the gate, and say nothing else of the section.
    """

    section: str
    batch: str
    control: bool
    tissue_mm2: float
    values: np.ndarray
    places_um: np.ndarray
    unstained: bool = True
    looks: pd.DataFrame | None = None
    pigment: float = math.nan
    saturated: np.ndarray | None = None
    counted: bool = True
    missed: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)

    def left_by(self, gate: Gate) -> Passing:
        """Only what looks as the certain cells of a batch do; without `looks`."""
        score, ring = self.values[:, 1:].T
        kept = ~gate.lacks_rim(score, ring) & (ring < gate.ring_most)
        if self.saturated is not None:  # the gate asks them for no pattern
            kept |= self.saturated
        if self.looks is not None:
            kept &= score > score_of_pigment(self.looks, ring, gate.usual)
        return replace(
            self, values=self.values[kept], places_um=self.places_um[kept], looks=None,
            saturated=None,
        )  # fmt: skip

    def with_missed(self) -> Passing:
        """All that the gate of a batch must keep from counting in a control."""
        if self.missed is None:
            return self
        return replace(self, values=np.concatenate([self.values, self.missed]), missed=None)


@dataclass(frozen=True, slots=True)
class BatchThreshold:
    """The gate of one batch, and what it rests on.

    Parameters
    ----------
    batch : str
    gate : Gate
        ``-inf`` for what was not raised: there the floor of each section holds.
    source : str
        `FROM_CONTROLS` or `FROM_SECTION`.
    controls : tuple of str
        Control sections used.
    refused : mapping of str to str
        Control sections not used, and why.
    control_mm2 : float
        Tissue of the controls used.
    false_at_floor, false_left : int
        False cells in them, before and after raising the gate.
    false_per_mm2, false_per_mm2_upper : float
        After raising, and its one-sided 95 % upper bound, 1/mm²; NaN without controls.
    warnings : tuple of str
        Plain sentences.
    """

    batch: str
    gate: Gate
    source: str
    controls: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    control_mm2: float = 0.0
    false_at_floor: int = 0
    false_left: int = 0
    false_per_mm2: float = math.nan
    false_per_mm2_upper: float = math.nan
    warnings: tuple[str, ...] = ()


def values_of(passing: Sequence[Passing]) -> np.ndarray:
    """Marker, score and ring of all that passes in some sections; float64, shape (n, 3)."""
    return np.concatenate([np.empty((0, 3)), *(p.values for p in passing)])


def area_of(passing: Sequence[Passing]) -> float:
    """Tissue of some sections, mm²."""
    return math.fsum(p.tissue_mm2 for p in passing)


def passes(values: np.ndarray, gate: Gate) -> np.ndarray:
    """Which rows (n, 3) exceed all three thresholds; bool (n,)."""
    return np.asarray((values > (gate.marker, gate.score, gate.ring)).all(axis=1))
