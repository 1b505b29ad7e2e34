"""The marker gate of a batch, anchored to its negative-control sections.

A control section holds no labelled cell, so whatever passes the gate in it is false. The
gate of its batch is raised until no more than a chosen number per mm² pass. It is never
lowered: below the section-based floor (``gate.marker_snr``) empty areas were not looked at,
and nothing is known about them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import chi2

from fociquant.settings import GateSettings

CONFIDENCE = 0.95
"""One-sided, of upper bounds on a rate of false cells."""

STRENGTH_DECIMALS = 4
"""Thresholds are rounded up to what ``sections.csv`` shows, so that they can be checked."""

FEW = 5
"""Fewer false cells in a control say nothing about a section full of cells."""

MANY = 20
"""Cells of the other sections from which on their loss is a share worth the name."""

FROM_CONTROLS, FROM_SECTION = "controls", "section"
"""Values of ``threshold_source``."""


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
    strengths : numpy.ndarray of float64, shape (n,)
        Marker above what surroundings and autofluorescence explain, in standard
        deviations of the pixel noise; of the objects that pass.
    """

    section: str
    batch: str
    control: bool
    tissue_mm2: float
    strengths: np.ndarray


@dataclass(frozen=True, slots=True)
class BatchThreshold:
    """The marker gate of one batch, and what it rests on.

    Parameters
    ----------
    batch : str
    threshold : float
        An object is counted if its marker strength is above; at least `floor`.
    floor : float
        ``gate.marker_snr``.
    source : str
        `FROM_CONTROLS` or `FROM_SECTION`.
    controls : tuple of str
        Control sections used.
    refused : mapping of str to str
        Control sections not used, and why.
    control_mm2 : float
        Tissue of the controls used.
    passing_at_floor, passing : int
        False cells in them, before and after raising the gate.
    false_per_mm2, false_per_mm2_upper : float
        After raising, and its one-sided 95 % upper bound; NaN without controls.
    warnings : tuple of str
        Plain sentences.
    """

    batch: str
    threshold: float
    floor: float
    source: str
    controls: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    control_mm2: float = 0.0
    passing_at_floor: int = 0
    passing: int = 0
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
        Exposure, > 0.

    Returns
    -------
    float
        Per unit of `area`; infinite for an area of 0.
    """
    if area <= 0:
        return math.inf
    return float(chi2.ppf(CONFIDENCE, 2 * (count + 1))) / 2 / area


def batch_thresholds(
    passing: Sequence[Passing], *, settings: GateSettings
) -> dict[str, BatchThreshold]:
    """The marker gate of every batch.

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
    batches = dict.fromkeys(one.batch for one in passing)
    anywhere = any(one.control for one in passing)
    return {
        batch: _of_batch(
            batch, [p for p in passing if p.batch == batch], anywhere=anywhere, settings=settings
        )
        for batch in batches
    }


def _of_batch(
    batch: str, passing: Sequence[Passing], *, anywhere: bool, settings: GateSettings
) -> BatchThreshold:
    floor = settings.marker_snr
    others = np.concatenate([np.empty(0), *(p.strengths for p in passing if not p.control)])
    controls = [p for p in passing if p.control]
    reasons = {p.section: _unfit(p, others, settings) for p in controls}
    refused = {name: reason for name, reason in reasons.items() if reason}
    used = [p for p in controls if p.section not in refused]
    warnings = [
        f"control section {name} is not used as a control: {reason}"
        for name, reason in refused.items()
    ]
    if not used:
        warnings.append(_without_controls(batch, bool(controls), anywhere))
        return BatchThreshold(
            batch, floor, floor, FROM_SECTION, refused=refused, warnings=tuple(warnings)
        )
    area = math.fsum(p.tissue_mm2 for p in used)
    strengths = np.concatenate([p.strengths for p in used])
    threshold = _raised(strengths, area, settings)
    left = int((strengths > threshold).sum())
    bound = upper_bound(left, area)
    if threshold > floor:
        warnings.append(_cost(batch, threshold, floor, others))
    if bound > settings.control_false_positives_per_mm2:
        warnings.append(_too_small(batch, area, bound, settings))
    return BatchThreshold(
        batch, threshold, floor, FROM_CONTROLS, tuple(p.section for p in used), refused, area,
        len(strengths), left, left / area, bound, tuple(warnings),
    )  # fmt: skip


def _raised(strengths: np.ndarray, area: float, settings: GateSettings) -> float:
    """The lowest threshold, not below the floor, at which controls show few enough false cells.

    As many may pass as still keep the upper bound of their rate at the wanted one; where the
    controls are too small to show that rate at all, none may.
    """
    wanted = settings.control_false_positives_per_mm2
    allowed = 0
    while upper_bound(allowed + 1, area) <= wanted and allowed < len(strengths):
        allowed += 1
    if len(strengths) <= allowed:
        return settings.marker_snr
    strongest = np.sort(strengths)[::-1]
    scale = 10.0**STRENGTH_DECIMALS
    return max(settings.marker_snr, math.ceil(float(strongest[allowed]) * scale) / scale)


def _unfit(control: Passing, others: np.ndarray, settings: GateSettings) -> str:
    """Why a section cannot serve as a control, or nothing."""
    found = len(control.strengths)
    if control.tissue_mm2 <= 0:
        return "no tissue was found in it."
    density = found / control.tissue_mm2
    if found >= FEW and density > settings.control_max_positives_per_mm2:
        return (
            f"{found} candidates in it pass the gate, {density:.3g} per mm². That is a section "
            "with labelled cells; a threshold above them would reject everything. "
            "Is the right section marked in the sheet?"
        )
    if not found or len(others) < MANY:
        return ""
    lost = float((others <= _raised(control.strengths, control.tissue_mm2, settings)).mean())
    if lost <= settings.control_max_loss_fraction:
        return ""
    return (
        f"{_some(found, 'candidate')} in it pass the gate and are as bright as cells: the "
        f"threshold above them would reject {100 * lost:.0f} % of the cells of this batch. Either "
        "it has labelled cells, or false cells here cannot be told from true ones by their "
        "brightness. Look at both."
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
        f"{why}: the marker threshold rests on each section's own background, and the number of "
        "false cells per mm² is not known."
    )


def _cost(batch: str, threshold: float, floor: float, others: np.ndarray) -> str:
    what = f"of batch {batch!r} " if batch else ""
    lost = int((others <= threshold).sum())
    return (
        f"the controls raise the marker threshold {what}from {floor:g} to {threshold:g}: "
        f"{lost} of {_some(len(others), 'candidate')} of the other sections are no longer counted."
    )


def _some(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _too_small(batch: str, area: float, bound: float, settings: GateSettings) -> str:
    what = f"of batch {batch!r} " if batch else ""
    wanted = settings.control_false_positives_per_mm2
    return (
        f"the controls {what}are {area:.3g} mm² of tissue: they show that there are fewer than "
        f"{bound:.2g} false cells per mm² (95 %), not fewer than {wanted:g}. "
        f"That takes {upper_bound(0, 1.0) / wanted:.3g} mm² of them without a false cell."
    )
