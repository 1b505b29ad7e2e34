"""Signing a section off: what was signed, and whether it still is so."""

from __future__ import annotations

import hashlib

import numpy as np

from fociquant.review.decisions import Action, Entry
from fociquant.review.state import SectionState

SHAPING = (Action.MERGE, Action.SPLIT, Action.CLASS, Action.EXCLUDE)
"""Decisions that change foci or area, though not which cells count."""


def signature(state: SectionState) -> str:
    """What a sign-off stands for, as 16 hex digits.

    sha256 over the places of all counted cells, to 0.1 µm, and the decisions about foci
    and regions that hold.
    """
    counted = state.positive
    places = np.round(np.column_stack([state.y_um[counted], state.x_um[counted]]) * 10)
    ordered = places[np.lexsort(places.T[::-1])].astype("<i8")
    digest = hashlib.sha256(ordered.tobytes())
    for entry in state.active():
        if entry.action in SHAPING and not entry.is_repeat:
            digest.update(entry.hash.encode())
    return digest.hexdigest()[:16]


def last_signature(state: SectionState) -> Entry | None:
    """The last sign-off that was not taken back; None if there is none."""
    held = (entry for entry in reversed(state.active()) if entry.action is Action.SIGN_OFF)
    return next(held, None)


def signature_of(state: SectionState) -> Entry | None:
    """The sign-off that holds: the section is as it was when it was signed; else None."""
    entry = last_signature(state)
    if entry is None or entry.content.get("state") != signature(state):
        return None
    return entry
