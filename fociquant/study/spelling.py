"""Near spellings, for the cures in messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_CUTOFF = 0.6
"""Similarity (difflib ratio) from which a name is worth suggesting."""

_SHORTEST_HELD = 3
"""A shorter name inside a longer text is chance (``AF`` in ``safe``)."""


def nearest(value: str, known: Iterable[str]) -> str | None:
    """The known name that `value` was probably meant to be.

    Parameters
    ----------
    value : str
        What the user wrote.
    known : iterable of str
        What could have been meant.

    Returns
    -------
    str or None
        The most similar name without regard to case; None if none is similar.
    """
    by_folded = {name.casefold(): name for name in sorted(known, reverse=True)}
    folded = value.strip().casefold()
    if folded in by_folded:
        return by_folded[folded]
    close = difflib.get_close_matches(folded, by_folded, n=1, cutoff=_CUTOFF)
    if close:
        return by_folded[close[0]]
    held = [name for name in by_folded if len(name) >= _SHORTEST_HELD and name in folded]
    return by_folded[max(held, key=len)] if held else None


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """``Did you mean 'x'? `` with a trailing space, or an empty text."""
    name = nearest(value, known)
    return "" if name is None else f"Did you mean {name!r}? "


def listed(names: Iterable[str], *, limit: int = 12) -> str:
    """Names in quotes with commas; beyond `limit` their number only.

    Parameters
    ----------
    names : iterable of str
        Shown in the order given.
    limit : int
        At most this many are spelled out.
    """
    every = list(names)
    shown = ", ".join(repr(name) for name in every[:limit])
    return shown if len(every) <= limit else f"{shown} and {len(every) - limit} more"
