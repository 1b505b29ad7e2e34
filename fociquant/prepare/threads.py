"""Work on pixels in threads; what is found never depends on which was first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

MAX_THREADS = 4
"""Pieces of work at once: each holds some megabytes."""

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")
_One = TypeVar("_One")
_Other = TypeVar("_Other")


def each(work: Callable[[_Item], _Found], items: Iterable[_Item]) -> list[_Found]:
    """What `work` finds for every item, in their order.

    Parameters
    ----------
    work : callable
        Called by several threads at once.
    items : iterable

    Returns
    -------
    list
    """
    return list(in_turn(work, items))


def in_turn(
    work: Callable[[_Item], _Found], items: Iterable[_Item], *, at_most: int = MAX_THREADS
) -> Iterator[_Found]:
    """The same one by one: what was taken need not be kept. `at_most` threads work."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, at_most)) as pool:
        yield from pool.map(work, items)


def both(one: Callable[[], _One], other: Callable[[], _Other]) -> tuple[_One, _Other]:
    """What two pieces of work find that need nothing of each other.

    An error of either is raised when both have ended.
    """
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(one)
        found = other()
        return beside.result(), found
