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
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from fociquant.counts import several
from fociquant.gate.batch import (
    FROM_CONTROLS,
    FROM_SECTION,
    BatchThreshold,
    Gate,
    Passing,
    area_of,
    passes,
    values_of,
)
from fociquant.gate.grouping import largest_groups
from fociquant.gate.likeness import Usual
from fociquant.gate.looks import ELSEWHERE, GLOW, LOOKS, ON_NUCLEUS
from fociquant.gate.pattern import (
    EXPECTED_ELSEWHERE,
    EXPECTED_NUCLEUS,
    EXPECTED_RIM,
    RIM_SCORE,
    elsewhere_allowed,
    glow_allowed,
    nucleus_asked,
    tells,
    usual_ring,
)
from fociquant.gate.raising import raised_gate, upper_bound
from fociquant.gate.told import (
    controls_too_small,
    cost_of,
    few_certain,
    no_controls,
    pattern_asked,
)
from fociquant.settings import GateSettings

NOT_COUNTED = "it was not counted; the reason is in sections.csv."
"""Why a control section that failed is no control."""

FEW = 5
"""Fewer false cells in a control say nothing about a section full of cells."""

MANY = 20
"""Cells of the other sections from which on their loss is a share worth the name."""

FOCUS_CELLS = 10
"""So many candidates in one group are a focus, not false cells."""


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
    if not unstained and not tells(values_of(stained)[:, 1]):
        if _expected(settings.expected_pattern) != Gate():
            warnings.append(few_certain(batch, settings.expected_pattern))
    elif seen.ring_least > -math.inf or seen.ring_most < math.inf:
        warnings.append(pattern_asked(batch, seen.ring_least > -math.inf, stained, others))
    if not used:
        warnings.append(no_controls(batch, bool(controls), anywhere))
        return BatchThreshold(
            batch,
            seen,
            FROM_SECTION,
            refused=refused,
            warnings=tuple(warnings),
        )
    false = [p.with_missed() for p in used]
    gate = raised_gate(false, others, settings)
    area = area_of(used)
    left = int(passes(values_of(false), gate).sum())
    bound = upper_bound(left, area)
    if gate.raised:
        warnings.append(cost_of(batch, gate, values_of(others)))
    if bound > settings.control_false_positives_per_mm2:
        warnings.append(controls_too_small(batch, area, left, bound, settings))
    gate = replace(seen, marker=gate.marker, score=gate.score, ring=gate.ring)
    return BatchThreshold(
        batch, gate, FROM_CONTROLS, tuple(p.section for p in used), refused, area,
        len(values_of(used)), left, left / area, bound, tuple(warnings),
    )  # fmt: skip


def _pattern_of(stained: Sequence[Passing], *, unstained: bool, expected: str) -> Gate:
    """What the certain cells of a batch ask of the others; with too few, what is expected."""
    values = values_of(stained)
    told = [p.looks for p in stained if p.looks is not None]
    looks = pd.concat(told) if told else None
    if looks is None or len(looks) != len(values):
        looks = pd.DataFrame(np.nan, index=range(len(values)), columns=list(LOOKS))
    glow, on_nucleus, elsewhere = looks[[GLOW, ON_NUCLEUS, ELSEWHERE]].to_numpy(np.float64).T
    scores, rings = values[:, 1:].T
    if unstained:
        return Gate(glow=glow_allowed(scores, glow), usual=Usual.of_batch(scores, rings, looks))
    if not tells(scores):
        return replace(_expected(expected), elsewhere=EXPECTED_ELSEWHERE)
    least, most = usual_ring(scores, rings)
    rims = least > -math.inf or (expected == "membrane" and most == math.inf)
    like = (rings > least) & (rings < most)
    return Gate(
        ring_least=least,
        ring_most=most,
        rim_score=RIM_SCORE if rims else -math.inf,
        on_nucleus=nucleus_asked(scores[like], rings[like], on_nucleus[like]),
        elsewhere=elsewhere_allowed(scores[like], elsewhere[like]),
    )


def _expected(pattern: str) -> Gate:
    """What is asked where the batch does not tell."""
    if pattern == "membrane":
        return Gate(ring_least=EXPECTED_RIM, rim_score=RIM_SCORE)
    return Gate(on_nucleus=EXPECTED_NUCLEUS) if pattern == "full" else Gate()


def _unfit(control: Passing, others: Sequence[Passing], settings: GateSettings) -> str:
    """Why a section cannot serve as a control, or nothing."""
    found = len(control)
    if not control.counted:
        return NOT_COUNTED
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
    candidates = values_of(others)
    density = len(control) / control.tissue_mm2
    true = len(candidates) - density * area_of(others)
    if true < MANY:  # the other sections show no more than false cells: nothing is lost
        return ""
    kept = int(passes(candidates, raised_gate([control], others, settings)).sum())
    lost = 1.0 - kept / true
    if lost <= settings.control_max_loss_fraction:
        return ""
    return (
        f"{several(len(control), 'candidate')} in it pass the gate and look like cells: a "
        f"threshold above them would reject some {100 * min(lost, 1.0):.0f} % of the cells of this "
        "batch. Either it has labelled cells, or false cells here cannot be told from true ones. "
        "Look at both."
    )
