"""Decisions that were made with one key: written together, taken back together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import dropwhile

from fociquant.review.decisions import Draft, Entry

KEY = "together"
"""Of an entry's content: ``[i, n]``, it is number `i`, from 0, of `n` that were made at once."""


def made_together(drafts: Sequence[Draft]) -> list[Draft]:
    """The same decisions, each saying its place among them; one alone says nothing."""
    number = len(drafts)
    if number < 2:
        return list(drafts)
    return [
        replace(draft, content=dict(draft.content) | {KEY: [place, number]})
        for place, draft in enumerate(drafts)
    ]


def same_act(history: Sequence[Entry], last: Entry) -> list[Entry]:
    """An entry and those before it that were made with it, the latest first.

    Parameters
    ----------
    history : sequence of Entry
        Of one reviewer and section, in order; lines may be missing where a log is damaged.
    last : Entry
        One of them.
    """
    found = []
    place, number = _place(last)
    place += 1
    for entry in dropwhile(lambda one: one.hash != last.hash, reversed(history)):
        before, of = _place(entry)
        if of != number or before >= place:
            break
        found.append(entry)
        place = before
    return found


def _place(entry: Entry) -> tuple[int, int]:
    """Place and number as written; (0, 1) for a decision made alone."""
    match entry.content.get(KEY):
        case [int(place), int(number)]:
            return place, number
    return 0, 1
