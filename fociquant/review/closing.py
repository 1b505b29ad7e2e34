"""What is closed at the end of a ``with`` block."""

from __future__ import annotations

from typing import Self


class Closed:
    """For classes that have a ``close()``: a ``with`` block calls it, whatever happens in it."""

    def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
