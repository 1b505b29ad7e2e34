"""What the gate of a batch rests on and what it costs, in plain sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fociquant.counts import several
from fociquant.gate.batch import Gate, Passing, passes
from fociquant.gate.raising import upper_bound
from fociquant.settings import GateSettings


def few_certain(batch: str, pattern: str) -> str:
    """That too few certain cells show how the marker is worn, and what is expected instead."""
    what = _name(batch)
    asked = "a rim" if pattern == "membrane" else "a nucleus as bright as the rest"
    return (
        f"there is no unstained channel, and {what} has few certain cells: by "
        f"gate.expected_pattern ({pattern}) {asked} is asked of all candidates, as macrophages "
        "do not have it."
    )


def no_controls(batch: str, refused: bool, anywhere: bool) -> str:
    """Why no controls are used, and what that means."""
    what = _name(batch)
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


def pattern_asked(
    batch: str, rims: bool, stained: Sequence[Passing], others: Sequence[Passing]
) -> str:
    """How the certain cells wear their marker, and how many candidates that costs."""
    what = _name(batch)
    left_out = sum(map(len, stained)) - sum(map(len, others))
    number = several(left_out, "candidate")
    verb = "is" if left_out == 1 else "are"
    why = "there is no unstained channel, and the certain cells of"
    if rims:
        return (
            f"{why} {what} wear the marker as a rim: {number} evenly filled with it, as "
            f"macrophages are, or nearly so and not certain, {verb} not counted."
        )
    return (
        f"{why} {what} are full of the marker: {number} with a dark middle, as macrophages have, "
        f"{verb} not counted."
    )


def cost_of(batch: str, gate: Gate, others: np.ndarray) -> str:
    """What the controls ask for, and how many candidates of other sections that costs."""
    what = f"the gate of batch {batch!r}" if batch else "the gate"
    asked = (("marker", gate.marker, " counts"), ("score", gate.score, ""), ("ring", gate.ring, ""))
    parts = [f"{what} above {at:g}{unit}" for what, at, unit in asked if at > -math.inf]
    lost = len(others) - int(passes(others, gate).sum())
    return (
        f"the controls raise {what} ({', '.join(parts)}): {lost} of "
        f"{several(len(others), 'candidate')} of the other sections are no longer counted."
    )


def controls_too_small(
    batch: str, area: float, left: int, bound: float, settings: GateSettings
) -> str:
    """That the controls cannot show a rate as low as the wanted one, and what would."""
    what = f"of batch {batch!r} " if batch else ""
    wanted = settings.control_false_positives_per_mm2
    return (
        f"the controls {what}are {area:.3g} mm² of tissue with {several(left, 'false cell')}: they "
        f"show that there are fewer than {bound:.2g} per mm² (95 %), not fewer than {wanted:g}. "
        f"That takes {upper_bound(0, 1.0) / wanted:.3g} mm² of them without a false cell."
    )


def _name(batch: str) -> str:
    return f"batch {batch!r}" if batch else "this study"
