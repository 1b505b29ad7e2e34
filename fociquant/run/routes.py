"""Which block is next, and where: neighbours in the same place, so that they share windows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Stretch(Generic[T]):
    """Consecutive pieces of one section, visited by one place (None: by nobody yet)."""

    section: str
    pieces: deque[T]
    place: str | None = None


@dataclass(slots=True)
class Routes(Generic[T]):
    """Pieces of work that wait, in stretches.

    A place goes along its stretch; at its end it takes one that nobody visits, or the second
    half of the longest one. Neighbouring blocks share network windows, and a place remembers
    only its own.
    """

    _stretches: list[_Stretch[T]] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(stretch.pieces) for stretch in self._stretches)

    def add(self, section: str, pieces: list[T]) -> None:
        """A section's pieces, in the order in which they are best visited."""
        if pieces:
            self._stretches.append(_Stretch(section, deque(pieces)))

    def take(self, place: str) -> T | None:
        """The next piece for a place; None if nothing waits."""
        if not self._stretches:
            return None
        stretch = self._own(place) or self._unvisited() or self._half()
        stretch.place = place
        piece = stretch.pieces.popleft()
        self._stretches = [one for one in self._stretches if one.pieces]
        return piece

    def leave(self, place: str) -> None:
        """A place is gone; its stretches are free for others."""
        for stretch in self._stretches:
            if stretch.place == place:
                stretch.place = None

    def drop(self, section: str) -> list[T]:
        """Take out all that waits of a section."""
        dropped = [piece for one in self._stretches if one.section == section
                   for piece in one.pieces]  # fmt: skip
        self._stretches = [one for one in self._stretches if one.section != section]
        return dropped

    def _own(self, place: str) -> _Stretch[T] | None:
        return next((one for one in self._stretches if one.place == place), None)

    def _unvisited(self) -> _Stretch[T] | None:
        return next((one for one in self._stretches if one.place is None), None)

    def _half(self) -> _Stretch[T]:
        """The second half of the longest stretch, as a stretch of its own."""
        longest = max(self._stretches, key=lambda one: len(one.pieces))
        kept = len(longest.pieces) // 2
        if not kept:
            return longest
        pieces = list(longest.pieces)
        longest.pieces = deque(pieces[:kept])
        other = _Stretch(longest.section, deque(pieces[kept:]))
        self._stretches.append(other)
        return other
