"""The gate of a batch, anchored to its negative-control sections.

A control section holds no labelled cell, so whatever passes the gate in it is false. The
gate of its batch is raised until no more than a chosen number per mm² pass. It is never
lowered: the section-based floor is what every section is judged by, and where nothing
reaches it, areas were never looked at, so nothing is known about what lies below.

Three properties can be raised: the marker's strength, the network's score, and how much the
marker forms a ring (macrophages are bright, but filled). One bright speck in a control would
cost most dim cells if the marker alone were raised; so of all gates that keep the controls
clean the one is taken that keeps most candidates of the batch's other sections. Groups and
days play no part in that choice. Without an unstained channel the ring is raised before, with
controls or without, where :mod:`fociquant.gate.pattern` says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from fociquant.counts import poisson_upper, several
from fociquant.gate.grouping import largest_groups
from fociquant.gate.likeness import Usual, score_of_pigment
from fociquant.gate.looks import ELSEWHERE, GLOW, LOOKS, ON_NUCLEUS
from fociquant.gate.pattern import (
    EXPECTED_ELSEWHERE,
    EXPECTED_NUCLEUS,
    EXPECTED_RIM,
    elsewhere_allowed,
    glow_allowed,
    nucleus_asked,
    tells,
    usual_ring,
)
from fociquant.settings import GateSettings

THRESHOLD_DECIMALS = 4
"""Thresholds are rounded up to what ``sections.csv`` shows, so that they can be checked."""

LEVELS = 16
"""Values that a threshold may take, per property: quantiles of what the controls show."""

FEW = 5
"""Fewer false cells in a control say nothing about a section full of cells."""

MANY = 20
"""Cells of the other sections from which on their loss is a share worth the name."""

FOCUS_CELLS = 10
"""So many candidates in one group are a focus, not false cells."""

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
        What certain cells of the batch have, without an unstained channel.
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
    on_nucleus: float = -math.inf
    glow: float = math.inf
    elsewhere: float = math.inf
    pigment: float = math.nan
    usual: Usual = field(default_factory=Usual)

    @property
    def ring_asked(self) -> float:
        """The ring that controls or certain cells ask for, whichever is more."""
        return max(self.ring, self.ring_least)

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

    def __len__(self) -> int:
        return len(self.values)

    def left_by(self, gate: Gate) -> Passing:
        """Only what looks as the certain cells of a batch do; without `looks`."""
        marker, score, ring = self.values.T
        kept = (ring > gate.ring_least) & (ring < gate.ring_most)
        if self.looks is not None:
            kept &= score > score_of_pigment(self.looks, marker=marker, ring=ring, usual=gate.usual)
        return replace(self, values=self.values[kept], places_um=self.places_um[kept], looks=None)


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


def upper_bound(count: int, area: float) -> float:
    """Exact one-sided 95 % upper bound of a Poisson rate: 3.0 / area for a count of zero.

    Parameters
    ----------
    count : int
        >= 0.
    area : float
        Exposure.

    Returns
    -------
    float
        Per unit of `area`; infinite for an area of 0.
    """
    return poisson_upper(count, area) if area > 0 else math.inf


def batch_thresholds(
    passing: Sequence[Passing], *, settings: GateSettings
) -> dict[str, BatchThreshold]:
    """The gate of every batch.

    Parameters
    ----------
    passing : sequence of Passing
        One per counted section of the study, controls included.
    settings : GateSettings

    Returns
    -------
    dict of str to BatchThreshold
        By batch, in the order in which batches first appear.
    """
    anywhere = any(one.control for one in passing)
    return {
        batch: _of_batch(
            batch, [p for p in passing if p.batch == batch], anywhere=anywhere, settings=settings
        )
        for batch in dict.fromkeys(one.batch for one in passing)
    }


def _of_batch(
    batch: str, passing: Sequence[Passing], *, anywhere: bool, settings: GateSettings
) -> BatchThreshold:
    stained = [p for p in passing if not p.control]
    counted = [p for p in passing if len(p) or p.tissue_mm2 > 0]
    unstained = any(p.unstained for p in counted) or not counted
    seen = _pattern_of(stained, unstained=unstained, expected=settings.expected_pattern)
    known = [p.pigment for p in passing if math.isfinite(p.pigment)]
    if known:
        seen = replace(seen, pigment=float(np.median(known)))
    others = [p.left_by(seen) for p in stained]
    controls = [p.left_by(seen) for p in passing if p.control]
    reasons = {p.section: _unfit(p, others, settings) for p in controls}
    refused = {name: reason for name, reason in reasons.items() if reason}
    used = [p for p in controls if p.section not in refused]
    warnings = [
        f"control section {name} is not used as a control: {reason}"
        for name, reason in refused.items()
    ]
    if not unstained and not tells(_values(stained)[:, 1]):
        if _expected(settings.expected_pattern) != Gate():
            warnings.append(_few(batch, settings.expected_pattern))
    elif seen.ring_least > -math.inf or seen.ring_most < math.inf:
        warnings.append(_pattern(batch, seen.ring_least > -math.inf, stained, others))
    if not used:
        warnings.append(_without_controls(batch, bool(controls), anywhere))
        return BatchThreshold(
            batch,
            seen,
            FROM_SECTION,
            refused=refused,
            warnings=tuple(warnings),
        )
    gate = _raised(used, others, settings)
    area = _area(used)
    left = int(_passes(_values(used), gate).sum())
    bound = upper_bound(left, area)
    if gate.raised:
        warnings.append(_cost(batch, gate, _values(others)))
    if bound > settings.control_false_positives_per_mm2:
        warnings.append(_too_small(batch, area, left, bound, settings))
    gate = replace(seen, marker=gate.marker, score=gate.score, ring=gate.ring)
    return BatchThreshold(
        batch, gate, FROM_CONTROLS, tuple(p.section for p in used), refused, area,
        len(_values(used)), left, left / area, bound, tuple(warnings),
    )  # fmt: skip


def _pattern_of(stained: Sequence[Passing], *, unstained: bool, expected: str) -> Gate:
    """What the certain cells of a batch ask of the others; with too few, what is expected."""
    values = _values(stained)
    told = [p.looks for p in stained if p.looks is not None]
    looks = pd.concat(told) if told else None
    if looks is None or len(looks) != len(values):
        looks = pd.DataFrame(np.nan, index=range(len(values)), columns=list(LOOKS))
    glow, on_nucleus, elsewhere = looks[[GLOW, ON_NUCLEUS, ELSEWHERE]].to_numpy(np.float64).T
    scores, rings = values[:, 1:].T
    if unstained:
        known = np.isfinite(glow)
        usual = Usual.of_batch(values, glow)
        return Gate(glow=glow_allowed(scores[known], glow[known]), usual=usual)
    if not tells(scores):
        return replace(_expected(expected), elsewhere=EXPECTED_ELSEWHERE)
    least, most = usual_ring(scores, rings)
    usual = (rings > least) & (rings < most)
    return Gate(
        ring_least=least,
        ring_most=most,
        on_nucleus=nucleus_asked(scores[usual], rings[usual], on_nucleus[usual]),
        elsewhere=elsewhere_allowed(scores[usual], elsewhere[usual]),
    )


def _expected(pattern: str) -> Gate:
    """What is asked where the batch does not tell."""
    if pattern == "membrane":
        return Gate(ring_least=EXPECTED_RIM)
    return Gate(on_nucleus=EXPECTED_NUCLEUS) if pattern == "full" else Gate()


def _few(batch: str, pattern: str) -> str:
    what = f"batch {batch!r}" if batch else "this study"
    asked = "a rim" if pattern == "membrane" else "a nucleus as bright as the rest"
    return (
        f"there is no unstained channel, and {what} has few certain cells: by "
        f"gate.expected_pattern ({pattern}) {asked} is asked of all candidates, as macrophages "
        "do not have it."
    )


def _values(passing: Sequence[Passing]) -> np.ndarray:
    return np.concatenate([np.empty((0, 3)), *(p.values for p in passing)])


def _area(passing: Sequence[Passing]) -> float:
    return math.fsum(p.tissue_mm2 for p in passing)


def _passes(values: np.ndarray, gate: Gate) -> np.ndarray:
    """Which rows (n, 3) exceed all three thresholds; bool (n,)."""
    return np.asarray((values > (gate.marker, gate.score, gate.ring)).all(axis=1))


def _allowed(area: float, settings: GateSettings) -> int:
    """How many false cells may pass in controls of this area.

    As many as keep the upper bound of their rate at the wanted one; none where the controls
    are too small to show that rate at all.
    """
    allowed = 0
    while upper_bound(allowed + 1, area) <= settings.control_false_positives_per_mm2:
        allowed += 1
    return allowed


def _raised(controls: Sequence[Passing], others: Sequence[Passing], settings: GateSettings) -> Gate:
    """The gate that lets few enough of the controls pass and keeps most of the others.

    All combinations of `LEVELS` thresholds per property are looked at. Of equal ones the
    lowest ring wins, then the lowest score: what is left to choose is raised in the marker.
    """
    false = _values(controls)
    allowed = _allowed(_area(controls), settings)
    if len(false) <= allowed:
        return Gate()
    levels = [_levels(false[:, k]) for k in range(false.shape[1])]
    clean = _kept(false, levels) <= allowed
    kept = np.where(clean, _kept(_values(others), levels), -1)
    ring, score, marker = np.unravel_index(int(np.argmax(kept.T)), kept.T.shape)
    return Gate(float(levels[0][marker]), float(levels[1][score]), float(levels[2][ring]))


def _levels(values: np.ndarray) -> np.ndarray:
    """Not raised, then quantiles of `values` up to their largest, rounded up; increasing."""
    scale = 10.0**THRESHOLD_DECIMALS
    steps = np.quantile(values, np.linspace(0, 1, LEVELS), method="higher")
    return np.concatenate([[-math.inf], np.unique(np.ceil(steps * scale) / scale)])


def _kept(values: np.ndarray, levels: Sequence[np.ndarray]) -> np.ndarray:
    """How many rows (n, 3) exceed each combination of levels; int64, one axis per property."""
    # A row exceeds as many levels as lie strictly below it.
    below = [np.searchsorted(one, values[:, k], side="left") for k, one in enumerate(levels)]
    counts = np.zeros([len(one) + 1 for one in levels], np.int64)
    np.add.at(counts, tuple(below), 1)
    for axis in range(counts.ndim):
        counts = np.flip(np.cumsum(np.flip(counts, axis), axis=axis), axis)
    return counts[1:, 1:, 1:]


def _unfit(control: Passing, others: Sequence[Passing], settings: GateSettings) -> str:
    """Why a section cannot serve as a control, or nothing."""
    found = len(control)
    if control.tissue_mm2 <= 0:
        return "no tissue was found in it."
    density = found / control.tissue_mm2
    if found >= FEW and density > settings.control_max_positives_per_mm2:
        return (
            f"{found} candidates in it pass the gate, {density:,.0f} per mm². That is a section "
            "with labelled cells; a threshold above them would reject everything. "
            "Is the right section marked in the sheet?"
        )
    largest = largest_groups(control.places_um)[:1].sum()
    if largest >= FOCUS_CELLS:
        return (
            f"{found} candidates in it pass the gate, {largest} of them in one group like a "
            "focus. That is a section with labelled cells; a threshold above them would reject "
            "everything. Is the right section marked in the sheet?"
        )
    return _loss(control, others, settings) if found else ""


def _loss(control: Passing, others: Sequence[Passing], settings: GateSettings) -> str:
    """Whether a gate that keeps this control clean would cost most true cells of the batch."""
    candidates = _values(others)
    density = len(control) / control.tissue_mm2
    true = len(candidates) - density * _area(others)
    if true < MANY:  # the other sections show no more than false cells: nothing is lost
        return ""
    kept = int(_passes(candidates, _raised([control], others, settings)).sum())
    lost = 1.0 - kept / true
    if lost <= settings.control_max_loss_fraction:
        return ""
    return (
        f"{several(len(control), 'candidate')} in it pass the gate and look like cells: a "
        f"threshold above them would reject some {100 * min(lost, 1.0):.0f} % of the cells of this "
        "batch. Either it has labelled cells, or false cells here cannot be told from true ones. "
        "Look at both."
    )


def _without_controls(batch: str, refused: bool, anywhere: bool) -> str:
    what = f"batch {batch!r}" if batch else "this study"
    if refused:
        why = f"no control section of {what} could be used"
    elif anywhere and batch:
        why = f"{what} has no section marked 'control: negative' (another batch has)"
    elif anywhere:
        why = "the sections without a batch have none marked 'control: negative'"
    else:
        why = f"{what} has no section marked 'control: negative'"
    return (
        f"{why}: thresholds rest on each section's own background, and the number of "
        "false cells per mm² is not known."
    )


def _pattern(batch: str, rims: bool, stained: Sequence[Passing], others: Sequence[Passing]) -> str:
    what = f"batch {batch!r}" if batch else "this study"
    left_out = sum(map(len, stained)) - sum(map(len, others))
    number = several(left_out, "candidate")
    verb = "is" if left_out == 1 else "are"
    why = "there is no unstained channel, and the certain cells of"
    if rims:
        return (
            f"{why} {what} wear the marker as a rim: {number} evenly filled with it, as "
            f"macrophages are, {verb} not counted."
        )
    return (
        f"{why} {what} are full of the marker: {number} with a dark middle, as macrophages have, "
        f"{verb} not counted."
    )


def _cost(batch: str, gate: Gate, others: np.ndarray) -> str:
    what = f"the gate of batch {batch!r}" if batch else "the gate"
    asked = (("marker", gate.marker, " counts"), ("score", gate.score, ""), ("ring", gate.ring, ""))
    parts = [f"{what} above {at:g}{unit}" for what, at, unit in asked if at > -math.inf]
    lost = len(others) - int(_passes(others, gate).sum())
    return (
        f"the controls raise {what} ({', '.join(parts)}): {lost} of "
        f"{several(len(others), 'candidate')} of the other sections are no longer counted."
    )


def _too_small(batch: str, area: float, left: int, bound: float, settings: GateSettings) -> str:
    what = f"of batch {batch!r} " if batch else ""
    wanted = settings.control_false_positives_per_mm2
    return (
        f"the controls {what}are {area:.3g} mm² of tissue with {several(left, 'false cell')}: they "
        f"show that there are fewer than {bound:.2g} per mm² (95 %), not fewer than {wanted:g}. "
        f"That takes {upper_bound(0, 1.0) / wanted:.3g} mm² of them without a false cell."
    )
